/* SPDX-License-Identifier: GPL-2.0-only */
/* Never returns from its first dispatch. */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

volatile u64 rounds;

void BPF_STRUCT_OPS(endless_dispatch, s32 cpu, struct task_struct *prev)
{
	while (rounds != ~0ULL)
		rounds = (rounds + 1) & 0xffff;
}

SCX_OPS_DEFINE(endless_ops,
	       .dispatch	= (void *)endless_dispatch,
	       .name		= "endless");

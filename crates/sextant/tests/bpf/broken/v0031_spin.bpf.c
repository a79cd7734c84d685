/* SPDX-License-Identifier: GPL-2.0-only */
/* V0031: waiting for another CPU in a loop */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

volatile u32 ready;

void BPF_STRUCT_OPS(broken_dispatch, s32 cpu, struct task_struct *prev)
{
	while (!ready)
		;
}

SCX_OPS_DEFINE(broken_ops,
	       .dispatch		= (void *)broken_dispatch,
	       .name		= "broken");

/* SPDX-License-Identifier: GPL-2.0-only */
/* V0032: a loop of a million rounds, each of which is followed */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

u64 seen[64];
volatile u64 sum;

void BPF_STRUCT_OPS(broken_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 i;

	for (i = 0; i < 1000000; i++)
		sum += seen[i & 63];
}

SCX_OPS_DEFINE(broken_ops,
	       .dispatch		= (void *)broken_dispatch,
	       .name		= "broken");

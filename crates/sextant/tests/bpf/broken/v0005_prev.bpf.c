/* SPDX-License-Identifier: GPL-2.0-only */
/* V0005: prev is NULL when the CPU was idle, and dispatch does not test it */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

void BPF_STRUCT_OPS(broken_dispatch, s32 cpu, struct task_struct *prev)
{
	if (prev->scx.slice == 0)
		scx_bpf_kick_cpu(cpu, 0);
}

SCX_OPS_DEFINE(broken_ops,
	       .dispatch		= (void *)broken_dispatch,
	       .name		= "broken");

/* SPDX-License-Identifier: GPL-2.0-only */
/* V0033: two functions of 300 bytes of stack each */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

u8 kept;

static __attribute__((noinline)) int inner(struct task_struct *p)
{
	volatile u8 copy[300] = {};

	kept += copy[p->pid & 127];
	return copy[0];
}

void BPF_STRUCT_OPS(broken_running, struct task_struct *p)
{
	volatile u8 mine[300] = {};

	mine[0] = inner(p);
	kept += mine[0] + mine[p->pid & 127];
}

SCX_OPS_DEFINE(broken_ops,
	       .running		= (void *)broken_running,
	       .name		= "broken");

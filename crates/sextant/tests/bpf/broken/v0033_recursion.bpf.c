/* SPDX-License-Identifier: GPL-2.0-only */
/* V0033: a function calls itself */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

static __attribute__((noinline)) u32 depth(u32 n)
{
	return n < 2 ? n : depth(n / 2) + depth(n / 3);
}

s32 BPF_STRUCT_OPS(broken_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return depth(p->pid) & 1;
}

SCX_OPS_DEFINE(broken_ops,
	       .select_cpu		= (void *)broken_select_cpu,
	       .name		= "broken");

/* SPDX-License-Identifier: GPL-2.0-only */
/* V0018: a task is inserted from ops.init, where there is none */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

struct task_struct *bpf_task_from_pid(s32 pid) __ksym;
void bpf_task_release(struct task_struct *p) __ksym;

s32 BPF_STRUCT_OPS_SLEEPABLE(broken_init)
{
	struct task_struct *p = bpf_task_from_pid(1);

	if (!p)
		return 0;
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, 0);
	bpf_task_release(p);
	return 0;
}

SCX_OPS_DEFINE(broken_ops,
	       .init		= (void *)broken_init,
	       .name		= "broken");

/* SPDX-License-Identifier: GPL-2.0-only */
/* V0022: in an op that may sleep, another task's pointer is no good outside of an RCU read side */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

struct task_struct *bpf_task_acquire(struct task_struct *p) __ksym;
void bpf_task_release(struct task_struct *p) __ksym;

int weight;

s32 BPF_STRUCT_OPS_SLEEPABLE(broken_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct task_struct *parent = bpf_task_acquire(p->real_parent);

	if (!parent)
		return 0;
	weight = parent->scx.weight;
	bpf_task_release(parent);
	return 0;
}

SCX_OPS_DEFINE(broken_ops,
	       .init_task		= (void *)broken_init_task,
	       .name		= "broken");

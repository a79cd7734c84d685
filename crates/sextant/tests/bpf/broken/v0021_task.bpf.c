/* SPDX-License-Identifier: GPL-2.0-only */
/* V0021: a task that may be NULL is passed on */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

struct task_struct *bpf_task_from_pid(s32 pid) __ksym;
void bpf_task_release(struct task_struct *p) __ksym;

s32 cpu;

void BPF_STRUCT_OPS(broken_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct task_struct *init = bpf_task_from_pid(1);

	cpu = scx_bpf_task_cpu(init);
	if (init)
		bpf_task_release(init);
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

SCX_OPS_DEFINE(broken_ops,
	       .enqueue		= (void *)broken_enqueue,
	       .name		= "broken");

/* SPDX-License-Identifier: GPL-2.0-only */
/* V0012: a program on a tracepoint writes a field that even ops may not */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

SEC("tp_btf/sched_switch")
int BPF_PROG(broken_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	next->nr_cpus_allowed = 1;
	return 0;
}

void BPF_STRUCT_OPS(fine_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

SCX_OPS_DEFINE(broken_ops,
	       .enqueue		= (void *)fine_enqueue,
	       .name		= "broken");

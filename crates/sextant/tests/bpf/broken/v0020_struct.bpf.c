/* SPDX-License-Identifier: GPL-2.0-only */
/* V0020: a task is passed where a cpumask is wanted */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

void BPF_STRUCT_OPS(broken_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (bpf_cpumask_test_cpu(0, (void *)p))
		scx_bpf_kick_cpu(0, 0);
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

SCX_OPS_DEFINE(broken_ops,
	       .enqueue		= (void *)broken_enqueue,
	       .name		= "broken");

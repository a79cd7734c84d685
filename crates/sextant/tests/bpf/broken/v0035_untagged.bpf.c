/* SPDX-License-Identifier: GPL-2.0-only */
/* V0035: a global function gets a task, but does not say __arg_trusted */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

__attribute__((noinline)) int is_batch(struct task_struct *p)
{
	if (!p)
		return 0;
	return p->static_prio > 120;
}

void BPF_STRUCT_OPS(broken_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (is_batch(p))
		scx_bpf_kick_cpu(0, 0);
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

SCX_OPS_DEFINE(broken_ops,
	       .enqueue		= (void *)broken_enqueue,
	       .name		= "broken");

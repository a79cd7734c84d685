/* SPDX-License-Identifier: GPL-2.0-only */
/* V0018: a queue is created in ops.enqueue: creating may sleep */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

void BPF_STRUCT_OPS(broken_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_create_dsq(p->pid, -1);
	scx_bpf_dsq_insert(p, p->pid, SCX_SLICE_DFL, enq_flags);
}

SCX_OPS_DEFINE(broken_ops,
	       .enqueue		= (void *)broken_enqueue,
	       .name		= "broken");

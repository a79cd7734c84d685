/* SPDX-License-Identifier: GPL-2.0-only */
/* V0018: tasks are moved to the local queue from ops.enqueue, which only dispatch may */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

#define SHARED 7

void BPF_STRUCT_OPS(broken_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
	scx_bpf_dsq_move_to_local(SHARED, 0);
}

SCX_OPS_DEFINE(broken_ops,
	       .enqueue		= (void *)broken_enqueue,
	       .name		= "broken");

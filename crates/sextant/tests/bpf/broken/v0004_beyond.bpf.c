/* SPDX-License-Identifier: GPL-2.0-only */
/* V0004: a pointer is moved by a number that can be anything */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

u64 seen[64];

void BPF_STRUCT_OPS(broken_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 *slot = seen + enq_flags;

	if (slot < seen + 64)
		*slot = 1;
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

SCX_OPS_DEFINE(broken_ops,
	       .enqueue		= (void *)broken_enqueue,
	       .name		= "broken");

/* SPDX-License-Identifier: GPL-2.0-only */
/* V0004: a pointer is multiplied */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

u64 dsq;

void BPF_STRUCT_OPS(broken_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 hash = (u64)p * 31;

	dsq = hash >> 40;
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

SCX_OPS_DEFINE(broken_ops,
	       .enqueue		= (void *)broken_enqueue,
	       .name		= "broken");

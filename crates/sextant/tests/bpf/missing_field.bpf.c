/* SPDX-License-Identifier: GPL-2.0-only */
/* Reads a task_struct field that no kernel has. */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

struct task_struct___other {
	u64 warp_factor;
} __attribute__((preserve_access_index));

u64 seen;

void BPF_STRUCT_OPS(field_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct task_struct___other *other = (void *)p;

	seen += other->warp_factor;
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

SCX_OPS_DEFINE(field_ops,
	       .enqueue		= (void *)field_enqueue,
	       .name		= "missing_field");

/* SPDX-License-Identifier: GPL-2.0-only */
/* The first program needs a field that no kernel has; those after it are fine, or not. */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

struct task_struct___odd {
	u64 warp_factor;
} __attribute__((preserve_access_index));

u64 seen;

void BPF_STRUCT_OPS(odd_running, struct task_struct *p)
{
	struct task_struct___odd *odd = (void *)p;

	seen = odd->warp_factor;
}

void BPF_STRUCT_OPS(odd_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

void BPF_STRUCT_OPS(odd_dispatch, s32 cpu, struct task_struct *prev)
{
	seen = prev->scx.slice;
}

SCX_OPS_DEFINE(odd_ops,
	       .running		= (void *)odd_running,
	       .enqueue		= (void *)odd_enqueue,
	       .dispatch	= (void *)odd_dispatch,
	       .name		= "odd");

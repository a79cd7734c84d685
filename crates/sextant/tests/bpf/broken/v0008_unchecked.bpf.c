/* SPDX-License-Identifier: GPL-2.0-only */
/* V0008: an index is bounded by more than the array has */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

u64 ran[64];

void BPF_STRUCT_OPS(broken_enqueue, struct task_struct *p, u64 enq_flags)
{
	ran[p->pid & 127]++;
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

SCX_OPS_DEFINE(broken_ops,
	       .enqueue		= (void *)broken_enqueue,
	       .name		= "broken");

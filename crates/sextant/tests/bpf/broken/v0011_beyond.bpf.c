/* SPDX-License-Identifier: GPL-2.0-only */
/* V0011: a read beyond the end of struct task_struct */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

u64 sum;

void BPF_STRUCT_OPS(broken_enqueue, struct task_struct *p, u64 enq_flags)
{
	sum += ((volatile u64 *)p)[4096];
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

SCX_OPS_DEFINE(broken_ops,
	       .enqueue		= (void *)broken_enqueue,
	       .name		= "broken");

/* SPDX-License-Identifier: GPL-2.0-only */
/* Two schedulers in one object. */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

void BPF_STRUCT_OPS(two_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

SCX_OPS_DEFINE(first_ops,
	       .enqueue		= (void *)two_enqueue,
	       .name		= "first");

SCX_OPS_DEFINE(second_ops,
	       .name		= "second");

/* SPDX-License-Identifier: GPL-2.0-only */
/* V0020: a number is passed where a task is wanted */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

void BPF_STRUCT_OPS(broken_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert((void *)enq_flags, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, 0);
}

SCX_OPS_DEFINE(broken_ops,
	       .enqueue		= (void *)broken_enqueue,
	       .name		= "broken");

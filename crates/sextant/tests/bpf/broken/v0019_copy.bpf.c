/* SPDX-License-Identifier: GPL-2.0-only */
/* V0019: a helper that may sleep in an op that may not */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

u64 word;

void BPF_STRUCT_OPS(broken_enqueue, struct task_struct *p, u64 enq_flags)
{
	bpf_copy_from_user(&word, sizeof(word), (void *)enq_flags);
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

SCX_OPS_DEFINE(broken_ops,
	       .enqueue		= (void *)broken_enqueue,
	       .name		= "broken");

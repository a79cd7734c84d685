/* SPDX-License-Identifier: GPL-2.0-only */
/* V0030: a dynptr is read that was not made */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

u64 word;

void BPF_STRUCT_OPS(broken_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct bpf_dynptr record;

	bpf_dynptr_read(&word, sizeof(word), &record, 0, 0);
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

SCX_OPS_DEFINE(broken_ops,
	       .enqueue		= (void *)broken_enqueue,
	       .name		= "broken");

/* SPDX-License-Identifier: GPL-2.0-only */
/* V0007: an index into an array on the stack is not checked */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

u8 kept;

void BPF_STRUCT_OPS(broken_enqueue, struct task_struct *p, u64 enq_flags)
{
	u8 votes[16] = {};

	votes[enq_flags & 31] = 1;
	bpf_probe_read_kernel(votes, sizeof(votes), p);
	kept = votes[enq_flags & 15];
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

SCX_OPS_DEFINE(broken_ops,
	       .enqueue		= (void *)broken_enqueue,
	       .name		= "broken");

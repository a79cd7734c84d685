/* SPDX-License-Identifier: GPL-2.0-only */
/* V0029: an iterator that was never begun is asked for the next number */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

u64 rounds;

void BPF_STRUCT_OPS(broken_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct bpf_iter_num it;

	while (bpf_iter_num_next(&it))
		rounds++;
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

SCX_OPS_DEFINE(broken_ops,
	       .enqueue		= (void *)broken_enqueue,
	       .name		= "broken");

/* SPDX-License-Identifier: GPL-2.0-only */
/* V0036: the callback of bpf_loop returns something else than 0 or 1 */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

static int each(u32 index, void *ctx)
{
	return 2;
}

void BPF_STRUCT_OPS(broken_enqueue, struct task_struct *p, u64 enq_flags)
{
	bpf_loop(8, each, NULL, 0);
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

SCX_OPS_DEFINE(broken_ops,
	       .enqueue		= (void *)broken_enqueue,
	       .name		= "broken");

/* SPDX-License-Identifier: GPL-2.0-only */
/* V0038: an atomic operation on the context */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

SEC("struct_ops/broken_enqueue")
void broken_enqueue(u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];

	__sync_fetch_and_add(&ctx[1], 1);
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, 0);
}

SCX_OPS_DEFINE(broken_ops,
	       .enqueue		= (void *)broken_enqueue,
	       .name		= "broken");

/* SPDX-License-Identifier: GPL-2.0-only */
/* V0042: the object says that its licence is not compatible with the GPL */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "MIT";

void BPF_STRUCT_OPS(broken_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

SCX_OPS_DEFINE(broken_ops,
	       .enqueue		= (void *)broken_enqueue,
	       .name		= "broken");

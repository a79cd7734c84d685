/* SPDX-License-Identifier: GPL-2.0-only */
/* V0010: a constant is written, which is frozen once the scheduler is loaded */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

const volatile u64 slice_ns = 1000000;

void BPF_STRUCT_OPS(broken_enqueue, struct task_struct *p, u64 enq_flags)
{
	*(volatile u64 *)&slice_ns = SCX_SLICE_DFL;
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, slice_ns, enq_flags);
}

SCX_OPS_DEFINE(broken_ops,
	       .enqueue		= (void *)broken_enqueue,
	       .name		= "broken");

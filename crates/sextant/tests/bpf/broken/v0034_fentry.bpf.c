/* SPDX-License-Identifier: GPL-2.0-only */
/* V0034: a program on a kernel function returns something else than 0 */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

SEC("fentry/bpf_scx_reg")
int BPF_PROG(broken_reg)
{
	return 1;
}

void BPF_STRUCT_OPS(fine_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

SCX_OPS_DEFINE(broken_ops,
	       .enqueue		= (void *)fine_enqueue,
	       .name		= "broken");

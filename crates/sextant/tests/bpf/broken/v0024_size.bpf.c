/* SPDX-License-Identifier: GPL-2.0-only */
/* V0024: the number of bytes to read is not bounded */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

char name[16];

void BPF_STRUCT_OPS(broken_enqueue, struct task_struct *p, u64 enq_flags)
{
	bpf_probe_read_kernel(name, enq_flags, p->comm);
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

SCX_OPS_DEFINE(broken_ops,
	       .enqueue		= (void *)broken_enqueue,
	       .name		= "broken");

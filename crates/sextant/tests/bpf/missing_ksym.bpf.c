/* SPDX-License-Identifier: GPL-2.0-only */
/* Needs a kernel variable that Sextant does not have. */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

extern const void *kernel_cpustat __ksym;
u64 nr_found;

void BPF_STRUCT_OPS(ksym_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (bpf_per_cpu_ptr(&kernel_cpustat, 0))
		nr_found++;
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

SCX_OPS_DEFINE(ksym_ops,
	       .enqueue		= (void *)ksym_enqueue,
	       .name		= "missing_ksym");

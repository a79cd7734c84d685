/* SPDX-License-Identifier: GPL-2.0-only */
/* Needs a kfunc that no kernel has. */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

void scx_bpf_teleport(struct task_struct *p) __ksym;

void BPF_STRUCT_OPS(missing_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_teleport(p);
}

SCX_OPS_DEFINE(missing_ops,
	       .enqueue		= (void *)missing_enqueue,
	       .name		= "missing_kfunc");

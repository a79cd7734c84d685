/* SPDX-License-Identifier: GPL-2.0-only */
/* Reads through a kernel pointer that is NULL. A verifier accepts that: the load reads 0 (the kernel's exception table). */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

struct task_struct___policy {
	struct mempolicy *mempolicy;
} __attribute__((preserve_access_index));

u64 zeros;

void BPF_STRUCT_OPS(probe_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct task_struct___policy *task = (void *)p;

	if (!task->mempolicy->mode && ++zeros == 10) {
		char fmt[] = "read %llu zeros";
		unsigned long long args[] = { zeros };

		scx_bpf_exit_bstr(0, fmt, args, sizeof(args));
	}
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

SCX_OPS_DEFINE(probe_ops,
	       .enqueue		= (void *)probe_enqueue,
	       .name		= "probe");

/* SPDX-License-Identifier: GPL-2.0-only */
/* Gives back references that it does not hold: of a task, or of a cgroup. No verifier would take it, the kernel's own references must
 * stand all the same. */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

void bpf_cgroup_release(struct cgroup *cgrp) __ksym;

const volatile bool of_cgroup = false;

void BPF_STRUCT_OPS(put_unowned_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (of_cgroup)
		bpf_cgroup_release(p->cgroups->dfl_cgrp);
	else
		bpf_task_release(p);
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

SCX_OPS_DEFINE(put_unowned_ops,
	       .enqueue		= (void *)put_unowned_enqueue,
	       .name		= "put_unowned");

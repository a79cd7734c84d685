/* SPDX-License-Identifier: GPL-2.0-only */
/* V0027: an RCU read side is entered and not left */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

void bpf_rcu_read_lock(void) __ksym;

void BPF_STRUCT_OPS(broken_enqueue, struct task_struct *p, u64 enq_flags)
{
	bpf_rcu_read_lock();
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

SCX_OPS_DEFINE(broken_ops,
	       .enqueue		= (void *)broken_enqueue,
	       .name		= "broken");

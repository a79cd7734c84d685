/* SPDX-License-Identifier: GPL-2.0-only */
/* Leaves by itself: from ops.init with an error, or from ops.enqueue with a code. */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

const volatile s32 init_error;
const volatile u32 after = 100;
u32 nr_enqueued;

void BPF_STRUCT_OPS(early_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (++nr_enqueued == after) {
		char fmt[] = "leaving after %u tasks";
		unsigned long long args[] = { after };

		scx_bpf_exit_bstr(42, fmt, args, sizeof(args));
	}
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

s32 BPF_STRUCT_OPS_SLEEPABLE(early_init)
{
	return init_error;
}

SCX_OPS_DEFINE(early_ops,
	       .enqueue		= (void *)early_enqueue,
	       .init		= (void *)early_init,
	       .name		= "early_exit");

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rr: round robin with a slice that can be set.
 *
 * One queue for the machine. Who has used up its slice goes to the back. A short
 * slice answers sooner and switches more often, a long one the other way round:
 *
 *	sextant sim rr --set slice_ns=1000000
 *	sextant sim rr --set slice_ns=50000000
 */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

/*
 * The queue. A DSQ of our own and not the global one, so that it is this program
 * that says, in ops.dispatch, when its front is taken.
 */
#define RR_DSQ 0

const volatile u64 slice_ns = 5000000;

UEI_DEFINE(uei);

void BPF_STRUCT_OPS(rr_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, RR_DSQ, slice_ns, enq_flags);
}

void BPF_STRUCT_OPS(rr_dispatch, s32 cpu, struct task_struct *prev)
{
	/*
	 * Nobody waits: prev, if it can still run, may go on. The kernel would
	 * give it its own default slice, hence this.
	 */
	if (!scx_bpf_dsq_move_to_local(RR_DSQ, 0) && prev && prev->scx.flags & SCX_TASK_QUEUED)
		scx_bpf_task_set_slice(prev, slice_ns);
}

s32 BPF_STRUCT_OPS_SLEEPABLE(rr_init)
{
	if (!slice_ns) {
		scx_bpf_error("slice_ns must not be 0");
		return -EINVAL;
	}
	return scx_bpf_create_dsq(RR_DSQ, -1);
}

void BPF_STRUCT_OPS(rr_exit, struct scx_exit_info *ei)
{
	UEI_RECORD(uei, ei);
}

SCX_OPS_DEFINE(rr_ops,
	       .enqueue		= (void *)rr_enqueue,
	       .dispatch	= (void *)rr_dispatch,
	       .init		= (void *)rr_init,
	       .exit		= (void *)rr_exit,
	       .name		= "rr");

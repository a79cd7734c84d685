/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vtime: shares by weight.
 *
 * Each task has a virtual time that advances while it runs, the slower the
 * heavier it is. The queue is a DSQ in priority order of that time, so that who
 * has had the least for its weight runs next:
 *
 *	running 10 ms at weight 100 (nice 0)	vtime + 10 ms
 *	running 10 ms at weight 200		vtime +  5 ms
 *
 * It comes close only when several tasks wait for each CPU. With one or two, a light
 * task moves the clock so far by one slice that the heavy ones, which may lag by one
 * slice only, lose what they were owed.
 */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

/* Built-in DSQs are FIFO only, a priority queue is one that we create. */
#define VTIME_DSQ 0

/* The weight of nice 0. */
#define WEIGHT_DFL 100

/* The largest vtime that a task has started to run with. */
static u64 vtime_now;

UEI_DEFINE(uei);

s32 BPF_STRUCT_OPS(vtime_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	return cpu;
}

void BPF_STRUCT_OPS(vtime_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 vtime = p->scx.dsq_vtime;
	u64 earliest = vtime_now - SCX_SLICE_DFL;

	/*
	 * Who slept does not save up: it comes back at most one slice behind the
	 * others, else it would keep them off the CPU for as long as it slept.
	 */
	if (time_before(vtime, earliest))
		vtime = earliest;
	scx_bpf_dsq_insert_vtime(p, VTIME_DSQ, SCX_SLICE_DFL, vtime, enq_flags);
}

void BPF_STRUCT_OPS(vtime_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(VTIME_DSQ, 0);
}

void BPF_STRUCT_OPS(vtime_running, struct task_struct *p)
{
	/* Two CPUs may race here. The loser's value is stored late, by a little. */
	if (time_before(vtime_now, p->scx.dsq_vtime))
		vtime_now = p->scx.dsq_vtime;
}

void BPF_STRUCT_OPS(vtime_stopping, struct task_struct *p, bool runnable)
{
	/* What is gone from the slice was used. Who yields has none left and pays for all of it. */
	u64 used = SCX_SLICE_DFL - p->scx.slice;

	scx_bpf_task_set_dsq_vtime(p, p->scx.dsq_vtime + used * WEIGHT_DFL / p->scx.weight);
}

void BPF_STRUCT_OPS(vtime_enable, struct task_struct *p)
{
	/* A newcomer neither owes nor is owed. */
	scx_bpf_task_set_dsq_vtime(p, vtime_now);
}

s32 BPF_STRUCT_OPS_SLEEPABLE(vtime_init)
{
	return scx_bpf_create_dsq(VTIME_DSQ, -1);
}

void BPF_STRUCT_OPS(vtime_exit, struct scx_exit_info *ei)
{
	UEI_RECORD(uei, ei);
}

SCX_OPS_DEFINE(vtime_ops,
	       .select_cpu	= (void *)vtime_select_cpu,
	       .enqueue		= (void *)vtime_enqueue,
	       .dispatch	= (void *)vtime_dispatch,
	       .running		= (void *)vtime_running,
	       .stopping	= (void *)vtime_stopping,
	       .enable		= (void *)vtime_enable,
	       .init		= (void *)vtime_init,
	       .exit		= (void *)vtime_exit,
	       .name		= "vtime");

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * @NAME@: shares by weight, and a head start for tasks that sleep a lot.
 *
 * Tasks wait in one queue, ordered by virtual time: the CPU time a task has had,
 * divided by its weight. Whoever has had the least is next. A task that wakes up
 * gets an idle CPU at once if there is one.
 *
 * Each callback below is one op of struct sched_ext_ops. Leave out what you do
 * not need: the kernel then does something sensible.
 *
 *	sextant check @NAME@.bpf.c		is it safe?
 *	sextant sim @NAME@.bpf.c workload.json	what does it do?
 */
#include <scx/common.bpf.h>

/* Kernel functions of sched_ext are for GPL programs only. */
char _license[] SEC("license") = "GPL";

/* How the scheduler ended, for whoever loads it. */
UEI_DEFINE(uei);

/* Constants that the loader may set: sextant sim --set slice_ns=1000000 */
const volatile u64 slice_ns = 5000000;

/* The queue. Numbers below 2^63 are yours. */
#define QUEUE 0

/* The virtual time that the newest running task has reached. */
static u64 vtime_now;

/* State of a task, made in ops.init_task and gone with the task. */
struct task_ctx {
	u64 started;	/* when it last got a CPU, ns */
	u64 ran;	/* CPU time so far, ns */
	u64 wakeups;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_ctx);
} task_ctxs SEC(".maps");

/* Statistics: an array for each CPU, so that counting needs no lock. */
enum stat {
	STAT_IDLE_CPU,	/* tasks that found an idle CPU */
	STAT_QUEUED,	/* tasks that had to wait */
	STAT_DISPATCHED,/* tasks taken from the queue */
	NR_STATS,
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, NR_STATS);
	__type(key, u32);
	__type(value, u64);
} stats SEC(".maps");

static void count(u32 stat)
{
	u64 *n = bpf_map_lookup_elem(&stats, &stat);

	/* The verifier insists: a lookup may find nothing. */
	if (n)
		(*n)++;
}

static struct task_ctx *ctx_of(struct task_struct *p)
{
	return bpf_task_storage_get(&task_ctxs, p, 0, 0);
}

/* A task wakes up: which CPU? If it goes straight to that CPU's own queue here, ops.enqueue is skipped. */
s32 BPF_STRUCT_OPS(@NAME@_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	struct task_ctx *t = ctx_of(p);
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (t)
		t->wakeups++;
	if (is_idle) {
		count(STAT_IDLE_CPU);
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, 0);
	}
	return cpu;
}

/* A task is ready to run and has no CPU. It must be inserted somewhere, or it waits for ever. */
void BPF_STRUCT_OPS(@NAME@_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 vtime = p->scx.dsq_vtime;

	/* Who slept does not save up more than one slice. */
	if (time_before(vtime, vtime_now - slice_ns))
		vtime = vtime_now - slice_ns;
	count(STAT_QUEUED);
	scx_bpf_dsq_insert_vtime(p, QUEUE, slice_ns, vtime, enq_flags);
}

/* A CPU has nothing to do. */
void BPF_STRUCT_OPS(@NAME@_dispatch, s32 cpu, struct task_struct *prev)
{
	if (scx_bpf_dsq_move_to_local(QUEUE, 0))
		count(STAT_DISPATCHED);
}

/* A task gets a CPU. */
void BPF_STRUCT_OPS(@NAME@_running, struct task_struct *p)
{
	struct task_ctx *t = ctx_of(p);

	if (t)
		t->started = scx_bpf_now();
	if (time_before(vtime_now, p->scx.dsq_vtime))
		vtime_now = p->scx.dsq_vtime;
}

/* A task leaves its CPU: what it used is charged. */
void BPF_STRUCT_OPS(@NAME@_stopping, struct task_struct *p, bool runnable)
{
	struct task_ctx *t = ctx_of(p);
	u64 used;

	if (!t)
		return;
	used = time_delta(scx_bpf_now(), t->started);
	t->ran += used;
	scx_bpf_task_set_dsq_vtime(p, p->scx.dsq_vtime + scale_by_task_weight_inverse(p, used));
}

/* A task comes to this scheduler: it begins where the others are. */
void BPF_STRUCT_OPS(@NAME@_enable, struct task_struct *p)
{
	scx_bpf_task_set_dsq_vtime(p, vtime_now);
}

/* A task is born, or was there before the scheduler. May sleep, and may say no. */
s32 BPF_STRUCT_OPS_SLEEPABLE(@NAME@_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	if (!bpf_task_storage_get(&task_ctxs, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE))
		return -ENOMEM;
	return 0;
}

s32 BPF_STRUCT_OPS_SLEEPABLE(@NAME@_init)
{
	if (!slice_ns) {
		scx_bpf_error("slice_ns must not be 0");
		return -EINVAL;
	}
	return scx_bpf_create_dsq(QUEUE, NUMA_NO_NODE);
}

void BPF_STRUCT_OPS(@NAME@_exit, struct scx_exit_info *ei)
{
	UEI_RECORD(uei, ei);
}

SCX_OPS_DEFINE(@NAME@_ops,
	       .select_cpu	= (void *)@NAME@_select_cpu,
	       .enqueue		= (void *)@NAME@_enqueue,
	       .dispatch	= (void *)@NAME@_dispatch,
	       .running		= (void *)@NAME@_running,
	       .stopping	= (void *)@NAME@_stopping,
	       .enable		= (void *)@NAME@_enable,
	       .init_task	= (void *)@NAME@_init_task,
	       .init		= (void *)@NAME@_init,
	       .exit		= (void *)@NAME@_exit,
	       .timeout_ms	= 5000,
	       .name		= "@NAME@");

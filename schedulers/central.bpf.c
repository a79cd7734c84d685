/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * central: one CPU decides for all.
 *
 *	a task becomes runnable	  -> its pid goes to the queue, the central CPU is kicked
 *	a CPU runs out of work	  -> it is marked hungry, the central CPU is kicked
 *	the central CPU is kicked -> its ops.dispatch feeds every hungry CPU, itself last
 *	a timer fires		  -> who had its slice is preempted, if others wait
 *
 * Tasks run with an infinite slice: no CPU needs a tick. What this shows: a BPF
 * queue instead of a DSQ, SCX_DSQ_LOCAL_ON, kicks, a timer, references to tasks.
 * It is no design for many CPUs, the one CPU becomes the bottleneck.
 */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

#define MAX_CPUS	1024
#define MAX_QUEUED	16384

const volatile s32 central_cpu;
const volatile u64 slice_ns = 20000000;
const volatile u64 timer_ns = 1000000;

static u32 nr_cpus;

u64 nr_queued;		/* pids in the queue now */
u64 nr_fed;		/* tasks given to a CPU that asked */
u64 nr_misfits;		/* tasks that could not run on the CPU that asked */
u64 nr_overflows;	/* tasks that found the queue full */
u64 nr_preempted;	/* slices ended by the timer */

UEI_DEFINE(uei);

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, MAX_QUEUED);
	__type(value, s32);
} queue SEC(".maps");

struct cpu {
	u64 since;	/* when its task started to run, ns; 0: it runs none of ours */
	bool hungry;	/* it asked for work and got none yet */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_CPUS);
	__type(key, u32);
	__type(value, struct cpu);
} cpus SEC(".maps");

struct preempter {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct preempter);
} preempter SEC(".maps");

s32 BPF_STRUCT_OPS(central_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	/* A hint, so that the other CPUs are not disturbed. */
	return central_cpu;
}

void BPF_STRUCT_OPS(central_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 pid = p->pid;

	/*
	 * Kernel threads of one CPU go first and at once: the timer itself may
	 * depend on one of them.
	 */
	if (p->flags & PF_KTHREAD && p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_INF, enq_flags | SCX_ENQ_PREEMPT);
		return;
	}

	/* No room: let it wait where it is, the timer looks there too. */
	if (bpf_map_push_elem(&queue, &pid, 0)) {
		__sync_fetch_and_add(&nr_overflows, 1);
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_INF, enq_flags);
		return;
	}
	__sync_fetch_and_add(&nr_queued, 1);

	/*
	 * A task that is just being preempted needs no kick, its CPU has asked for
	 * work already. A kick then would have the central CPU preempt for ever.
	 */
	if (enq_flags & SCX_ENQ_LAST || !scx_bpf_task_running(p))
		scx_bpf_kick_cpu(central_cpu, SCX_KICK_PREEMPT);
}

/* May p run there? One that must not migrate stays where it is. */
static bool fits(struct task_struct *p, s32 cpu)
{
	if (p->migration_disabled && scx_bpf_task_cpu(p) != cpu)
		return false;
	return bpf_cpumask_test_cpu(cpu, p->cpus_ptr);
}

/* Gives cpu the next task of the queue. False if there is none for it. */
static bool feed(s32 cpu)
{
	bool fed = false;
	int i;

	bpf_for(i, 0, MAX_QUEUED) {
		struct task_struct *p;
		s32 pid, to = cpu;

		if (!scx_bpf_dispatch_nr_slots() || bpf_map_pop_elem(&queue, &pid))
			break;
		__sync_fetch_and_sub(&nr_queued, 1);

		/* It may have exited since. */
		p = bpf_task_from_pid(pid);
		if (!p)
			continue;

		/* Where it is now it may run in any case. */
		if (!fits(p, cpu))
			to = scx_bpf_task_cpu(p);
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL_ON | to, SCX_SLICE_INF, 0);
		bpf_task_release(p);
		scx_bpf_kick_cpu(to, SCX_KICK_IDLE);

		fed = to == cpu;
		__sync_fetch_and_add(fed ? &nr_fed : &nr_misfits, 1);
		if (fed)
			break;
	}
	return fed;
}

void BPF_STRUCT_OPS(central_dispatch, s32 cpu, struct task_struct *prev)
{
	struct cpu *c = bpf_map_lookup_elem(&cpus, &cpu);
	s32 i;

	if (!c)
		return;
	c->hungry = true;
	if (cpu != central_cpu) {
		scx_bpf_kick_cpu(central_cpu, SCX_KICK_PREEMPT);
		return;
	}

	bpf_for(i, 0, nr_cpus) {
		struct cpu *other = bpf_map_lookup_elem(&cpus, &i);

		if (i != central_cpu && other && other->hungry && feed(i))
			other->hungry = false;
	}
	if (feed(central_cpu))
		c->hungry = false;

	/* The dispatch buffer is full: come back for the rest. */
	if (!scx_bpf_dispatch_nr_slots())
		scx_bpf_kick_cpu(central_cpu, SCX_KICK_PREEMPT);
}

void BPF_STRUCT_OPS(central_running, struct task_struct *p)
{
	s32 cpu = scx_bpf_task_cpu(p);
	struct cpu *c = bpf_map_lookup_elem(&cpus, &cpu);

	if (c) {
		c->since = scx_bpf_now();
		c->hungry = false;
	}
}

void BPF_STRUCT_OPS(central_stopping, struct task_struct *p, bool runnable)
{
	s32 cpu = scx_bpf_task_cpu(p);
	struct cpu *c = bpf_map_lookup_elem(&cpus, &cpu);

	if (c)
		c->since = 0;
}

static int on_timer(void *map, u32 *key, struct preempter *self)
{
	u64 now = scx_bpf_now();
	bool hungry = false;
	s32 cpu;

	bpf_for(cpu, 0, nr_cpus) {
		struct cpu *c = bpf_map_lookup_elem(&cpus, &cpu);

		if (!c)
			continue;
		if (c->hungry)
			hungry = true;
		if (!c->since || time_before(now, c->since + slice_ns))
			continue;
		if (nr_queued || scx_bpf_dsq_nr_queued(SCX_DSQ_LOCAL_ON | cpu) > 0) {
			__sync_fetch_and_add(&nr_preempted, 1);
			scx_bpf_kick_cpu(cpu, SCX_KICK_PREEMPT);
		}
	}

	/* Asked and not fed: the task was queued a moment after the central CPU had looked. */
	if (hungry && nr_queued)
		scx_bpf_kick_cpu(central_cpu, SCX_KICK_PREEMPT);

	bpf_timer_start(&self->timer, timer_ns, 0);
	return 0;
}

s32 BPF_STRUCT_OPS_SLEEPABLE(central_init)
{
	struct preempter *self;
	u32 zero = 0;

	nr_cpus = scx_bpf_nr_cpu_ids();
	if (nr_cpus > MAX_CPUS || central_cpu < 0 || (u32)central_cpu >= nr_cpus) {
		scx_bpf_error("central_cpu %d of %d CPUs, at most %d", central_cpu, nr_cpus, MAX_CPUS);
		return -EINVAL;
	}

	self = bpf_map_lookup_elem(&preempter, &zero);
	if (!self)
		return -ENOENT;
	bpf_timer_init(&self->timer, &preempter, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&self->timer, on_timer);
	return bpf_timer_start(&self->timer, timer_ns, 0);
}

void BPF_STRUCT_OPS(central_exit, struct scx_exit_info *ei)
{
	UEI_RECORD(uei, ei);
}

SCX_OPS_DEFINE(central_ops,
	       /* Also the last runnable task of a CPU is the central CPU's to place. */
	       .flags		= SCX_OPS_ENQ_LAST,
	       .select_cpu	= (void *)central_select_cpu,
	       .enqueue		= (void *)central_enqueue,
	       .dispatch	= (void *)central_dispatch,
	       .running		= (void *)central_running,
	       .stopping	= (void *)central_stopping,
	       .init		= (void *)central_init,
	       .exit		= (void *)central_exit,
	       .name		= "central");

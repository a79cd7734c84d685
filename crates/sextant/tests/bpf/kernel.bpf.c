// SPDX-License-Identifier: GPL-2.0-only
/* Reads what schedulers read of the kernel beside p->scx, and says at its end what it has seen; what cannot be is an error. */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

#define KERNEL __attribute__((preserve_access_index))
#define QUEUE 7

struct rq;
struct cgroup;

struct list_head___t { struct list_head___t *next, *prev; } KERNEL;
struct scx_dispatch_q___t { struct task_struct *first_task; u32 nr; u32 seq; u64 id; } KERNEL;

struct ns_common___t { unsigned int inum; } KERNEL;
struct pid_namespace___t { unsigned int level; struct ns_common___t ns; } KERNEL;
struct upid___t { int nr; struct pid_namespace___t *ns; } KERNEL;
struct pid___t { unsigned int level; struct upid___t numbers[1]; } KERNEL;
struct signal_struct___t { int nr_threads; struct list_head___t thread_head; struct pid___t *pids[4]; } KERNEL;
struct sched_ext_entity___t { struct scx_dispatch_q___t *dsq; } KERNEL;
struct sched_entity___t { u64 sum_exec_runtime; } KERNEL;
struct task_struct___t {
	u64 utime, stime;
	struct sched_entity___t se;
	struct sched_ext_entity___t scx;
	const void *sched_class;
	struct list_head___t thread_node;
	struct signal_struct___t *signal;
} KERNEL;

struct scx_rq___t { struct scx_dispatch_q___t local_dsq; u32 nr_running; } KERNEL;
struct rq___t { unsigned int nr_running; int cpu; struct scx_rq___t scx; } KERNEL;
struct cpufreq_cpuinfo___t { unsigned int max_freq; } KERNEL;
struct cpufreq_policy___t { struct cpufreq_cpuinfo___t cpuinfo; unsigned int min, max, cur, cpu; } KERNEL;

struct percpu_ref___t { unsigned long percpu_count_ptr; } KERNEL;
struct cgroup_subsys_state___t { struct cgroup *cgroup; struct percpu_ref___t refcnt; } KERNEL;
struct cgroup___t { struct cgroup_subsys_state___t self; struct cgroup_subsys_state___t *subsys[14]; } KERNEL;

/* `runqueues` is declared by the headers. */
extern struct cpufreq_policy___t *cpufreq_cpu_data __ksym;
extern const int sd_llc_size __ksym;

s32 last_pid;
u64 ext_class;
u32 queued, ticks, scx_ticks, made, moved, removed, dead;

#define MUST(cond) do { if (!(cond)) scx_bpf_error("line %d: " #cond, __LINE__); } while (0)

SEC("fentry/sched_tick")
int BPF_PROG(on_sched_tick)
{
	__sync_fetch_and_add(&ticks, 1);
	return 0;
}

SEC("fentry/scx_tick")
int BPF_PROG(on_scx_tick, struct rq *rq)
{
	__sync_fetch_and_add(&scx_ticks, 1);
	return 0;
}

static void look_at(struct cgroup *cgrp)
{
	struct cgroup___t *c = (void *)cgrp;

	if (c->self.refcnt.percpu_count_ptr & 2)
		dead++;
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(on_mkdir, struct cgroup *cgrp, const char *path)
{
	made++;
	look_at(cgrp);
	return 0;
}

SEC("tp_btf/cgroup_attach_task")
int BPF_PROG(on_attach, struct cgroup *cgrp, const char *path, struct task_struct *leader, bool threadgroup)
{
	moved++;
	return 0;
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(on_rmdir, struct cgroup *cgrp, const char *path)
{
	removed++;
	look_at(cgrp);
	return 0;
}

void BPF_STRUCT_OPS(kernel_enqueue, struct task_struct *p, u64 enq_flags)
{
	last_pid = p->pid;
	scx_bpf_dsq_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
}

void BPF_STRUCT_OPS(kernel_dispatch, s32 cpu, struct task_struct *prev)
{
	struct task_struct *p = bpf_task_from_pid(last_pid);

	if (p) {
		struct task_struct___t *t = (void *)p;
		struct scx_dispatch_q___t *dsq = t->scx.dsq;

		if (dsq && dsq->id == QUEUE) {
			queued++;
			MUST(dsq->nr == scx_bpf_dsq_nr_queued(QUEUE));
			MUST(dsq->seq >= dsq->nr);
			MUST(dsq->first_task);
		}
		bpf_task_release(p);
	}
	scx_bpf_dsq_move_to_local(QUEUE, 0);
}

void BPF_STRUCT_OPS(kernel_running, struct task_struct *p)
{
	struct task_struct___t *t = (void *)p;
	u64 class = (u64)t->sched_class;

	if (!ext_class)
		ext_class = class;
	MUST(class && class == ext_class);
	MUST(!t->scx.dsq);
}

void BPF_STRUCT_OPS(kernel_tick, struct task_struct *p)
{
	s32 cpu = bpf_get_smp_processor_id();
	const struct rq___t *rq = (const void *)bpf_per_cpu_ptr(&runqueues, cpu);
	const int *llc = bpf_this_cpu_ptr(&sd_llc_size);
	struct cpufreq_policy___t **at = bpf_per_cpu_ptr(&cpufreq_cpu_data, cpu), *policy;
	unsigned int cur = 0, max = 0, of = 99;

	MUST(*llc == 2);
	if (!rq || !at)
		return;
	MUST(rq->cpu == cpu);
	MUST(rq->scx.nr_running >= 1 && rq->scx.nr_running <= rq->nr_running);
	MUST(rq->scx.local_dsq.id == SCX_DSQ_LOCAL);
	policy = *at;
	bpf_probe_read_kernel(&cur, sizeof(cur), __builtin_preserve_access_index(&policy->cur));
	bpf_probe_read_kernel(&max, sizeof(max), __builtin_preserve_access_index(&policy->cpuinfo.max_freq));
	bpf_probe_read_kernel(&of, sizeof(of), __builtin_preserve_access_index(&policy->cpu));
	MUST(cur && cur == max && of == cpu);
}

void BPF_STRUCT_OPS(kernel_stopping, struct task_struct *p, bool runnable)
{
	struct task_struct___t *t = (void *)p;
	struct signal_struct___t *signal = t->signal;
	u64 ran = t->se.sum_exec_runtime;
	struct pid___t *pid;

	/* A tick is charged whole to the task that it meets. */
	MUST(t->stime == 0 || (p->flags & 0x00200000 /* PF_KTHREAD */));
	if (ran > 500 * 1000 * 1000ULL)
		MUST(t->utime > ran / 2 && t->utime < ran + ran / 2);
	if (!signal)
		return;
	MUST(signal->nr_threads >= 1);
	if (signal->nr_threads == 1) {
		struct list_head___t *first = signal->thread_head.next;

		MUST((u64)first == (u64)&t->thread_node);
		MUST((u64)first->next == (u64)&signal->thread_head);
	}
	pid = signal->pids[1];
	if (pid) {
		struct pid_namespace___t *ns = pid->numbers[0].ns;

		MUST(pid->numbers[0].nr == p->tgid);
		MUST(ns && ns->level == 0 && ns->ns.inum == 0xeffffffc);
	}
}

s32 BPF_STRUCT_OPS_SLEEPABLE(kernel_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

void BPF_STRUCT_OPS(kernel_exit, struct scx_exit_info *ei)
{
	bpf_printk("queued %d ticks %d", queued > 100, ticks > 100 && scx_ticks == ticks);
	bpf_printk("made %d moved %d removed %d", made, moved, removed);
	bpf_printk("dead %d", dead);
}

SCX_OPS_DEFINE(kernel_ops,
	       .enqueue		= (void *)kernel_enqueue,
	       .dispatch	= (void *)kernel_dispatch,
	       .running		= (void *)kernel_running,
	       .tick		= (void *)kernel_tick,
	       .stopping	= (void *)kernel_stopping,
	       .init		= (void *)kernel_init,
	       .exit		= (void *)kernel_exit,
	       .name		= "kernel");

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One name per operation, whatever the kernel calls it. Included by common.bpf.h.
 *
 *	here			6.19 and later		6.13 .. 6.18		6.12
 *	scx_bpf_dsq_insert	dsq_insert___v2		dsq_insert		dispatch
 *	..._insert_vtime	args in a struct	dsq_insert_vtime	dispatch_vtime
 *	..._move_to_local	dsq_move_to_local,	dsq_move_to_local	consume
 *				since 7.1 ___v2
 *	..._dsq_move, ...	dsq_move		dsq_move		dispatch_from_dsq
 *	..._select_cpu_and	args in a struct	select_cpu_and (6.16)	-
 *	..._reenqueue_local	dsq_reenq since 7.1	reenqueue_local		reenqueue_local
 *	..._task_set_slice	kfunc			store to p->scx		store to p->scx
 *	..._task_set_dsq_vtime	kfunc			store to p->scx		store to p->scx
 *	scx_bpf_now		kfunc			kfunc since 6.14	bpf_ktime_get_ns
 *
 * The declarations are weak: a name that the kernel lacks has the address 0,
 * which is known when the program is loaded, so only one branch survives.
 * libbpf drops the last ___suffix of a declared name before it looks it up.
 * That is why a name that ends in ___v2 in the kernel carries one more.
 */
#ifndef __SCX_COMPAT_BPF_H
#define __SCX_COMPAT_BPF_H

#define __COMPAT_ENUM_OR_ZERO(type, value) (bpf_core_enum_value_exists(type, value) ? value : 0)

bool scx_bpf_dsq_insert___v2___now(struct task_struct *p, u64 dsq_id, u64 slice, u64 enq_flags) __ksym __weak;
void scx_bpf_dsq_insert___v1(struct task_struct *p, u64 dsq_id, u64 slice, u64 enq_flags) __ksym __weak;
void scx_bpf_dispatch___old(struct task_struct *p, u64 dsq_id, u64 slice, u64 enq_flags) __ksym __weak;

void scx_bpf_dsq_insert_vtime___v1(struct task_struct *p, u64 dsq_id, u64 slice, u64 vtime, u64 enq_flags) __ksym __weak;
void scx_bpf_dispatch_vtime___old(struct task_struct *p, u64 dsq_id, u64 slice, u64 vtime, u64 enq_flags) __ksym __weak;

bool scx_bpf_dsq_move_to_local___v2___now(u64 dsq_id, u64 enq_flags) __ksym __weak;
bool scx_bpf_dsq_move_to_local___v1(u64 dsq_id) __ksym __weak;
bool scx_bpf_consume___old(u64 dsq_id) __ksym __weak;

bool scx_bpf_dsq_move___now(struct bpf_iter_scx_dsq *it__iter, struct task_struct *p, u64 dsq_id, u64 enq_flags) __ksym __weak;
bool scx_bpf_dsq_move_vtime___now(struct bpf_iter_scx_dsq *it__iter, struct task_struct *p, u64 dsq_id, u64 enq_flags) __ksym __weak;
void scx_bpf_dsq_move_set_slice___now(struct bpf_iter_scx_dsq *it__iter, u64 slice) __ksym __weak;
void scx_bpf_dsq_move_set_vtime___now(struct bpf_iter_scx_dsq *it__iter, u64 vtime) __ksym __weak;
bool scx_bpf_dispatch_from_dsq___old(struct bpf_iter_scx_dsq *it__iter, struct task_struct *p, u64 dsq_id, u64 enq_flags) __ksym __weak;
bool scx_bpf_dispatch_vtime_from_dsq___old(struct bpf_iter_scx_dsq *it__iter, struct task_struct *p, u64 dsq_id, u64 enq_flags) __ksym __weak;
void scx_bpf_dispatch_from_dsq_set_slice___old(struct bpf_iter_scx_dsq *it__iter, u64 slice) __ksym __weak;
void scx_bpf_dispatch_from_dsq_set_vtime___old(struct bpf_iter_scx_dsq *it__iter, u64 vtime) __ksym __weak;

s32 scx_bpf_select_cpu_and___v1(struct task_struct *p, s32 prev_cpu, u64 wake_flags, const struct cpumask *cpus_allowed, u64 flags) __ksym __weak;

void scx_bpf_dsq_reenq___now(u64 dsq_id, u64 reenq_flags) __ksym __weak;
void scx_bpf_reenqueue_local___v2___now(void) __ksym __weak;
u32 scx_bpf_reenqueue_local___v1(void) __ksym __weak;

bool scx_bpf_task_set_slice___now(struct task_struct *p, u64 slice) __ksym __weak;
bool scx_bpf_task_set_dsq_vtime___now(struct task_struct *p, u64 vtime) __ksym __weak;

struct cgroup *scx_bpf_task_cgroup___now(struct task_struct *p) __ksym __weak;

/* Before 6.12 a scheduler took over nothing until it called this in ops.init. */
void scx_bpf_switch_all(void) __ksym __weak;

/* Sub-schedulers, and cids that the scheduler numbers itself. */
bool scx_bpf_sub_dispatch___now(u64 cgroup_id) __ksym __weak;
s32 scx_bpf_sub_kill_bstr(u64 cgroup_id, char *fmt, unsigned long long *data, u32 data__sz) __ksym __weak;
s32 scx_bpf_sub_grant(u64 cgroup_id, u64 caps, const struct scx_cmask __arena *cmask__arena,
		      struct scx_cmask __arena *denied_out__arena__nullable) __ksym __weak;
void scx_bpf_sub_revoke(u64 cgroup_id, u64 caps, const struct scx_cmask __arena *cmask__arena) __ksym __weak;
s32 scx_bpf_sub_caps(u64 cgroup_id, u64 caps, struct scx_cmask __arena *out__arena) __ksym __weak;
void scx_bpf_cid_override___now(const s32 __arena *cpu_to_cid__arena, u32 cpu_to_cid_cnt,
				const s32 __arena *shard_start__arena, u32 shard_start_cnt) __ksym __weak;
const void __arena *scx_bpf_online_cmask(void) __ksym __weak;

/* Queue p in the FIFO order of a DSQ. A slice of 0 keeps the one p has. False when it was refused (since 6.19). */
static inline bool scx_bpf_dsq_insert(struct task_struct *p, u64 dsq_id, u64 slice, u64 enq_flags)
{
	if (bpf_ksym_exists(scx_bpf_dsq_insert___v2___now))
		return scx_bpf_dsq_insert___v2___now(p, dsq_id, slice, enq_flags);
	if (bpf_ksym_exists(scx_bpf_dsq_insert___v1))
		scx_bpf_dsq_insert___v1(p, dsq_id, slice, enq_flags);
	else
		scx_bpf_dispatch___old(p, dsq_id, slice, enq_flags);
	return true;
}

/* Queue p in a user DSQ by vtime, the smallest first. */
static inline bool scx_bpf_dsq_insert_vtime(struct task_struct *p, u64 dsq_id, u64 slice, u64 vtime, u64 enq_flags)
{
	if (bpf_core_type_exists(struct scx_bpf_dsq_insert_vtime_args)) {
		struct scx_bpf_dsq_insert_vtime_args args = {
			.dsq_id = dsq_id,
			.slice = slice,
			.vtime = vtime,
			.enq_flags = enq_flags,
		};

		return __scx_bpf_dsq_insert_vtime(p, &args);
	}
	if (bpf_ksym_exists(scx_bpf_dsq_insert_vtime___v1))
		scx_bpf_dsq_insert_vtime___v1(p, dsq_id, slice, vtime, enq_flags);
	else
		scx_bpf_dispatch_vtime___old(p, dsq_id, slice, vtime, enq_flags);
	return true;
}

/* In ops.dispatch: move the first task that may run here to this CPU. True if there was one. */
static inline bool scx_bpf_dsq_move_to_local(u64 dsq_id, u64 enq_flags)
{
	if (bpf_ksym_exists(scx_bpf_dsq_move_to_local___v2___now))
		return scx_bpf_dsq_move_to_local___v2___now(dsq_id, enq_flags);
	if (bpf_ksym_exists(scx_bpf_dsq_move_to_local___v1))
		return scx_bpf_dsq_move_to_local___v1(dsq_id);
	return scx_bpf_consume___old(dsq_id);
}

/*
 * Inside of bpf_for_each(scx_dsq, p, dsq_id, 0), with BPF_FOR_EACH_ITER: move p
 * to another DSQ; before, set the slice or the vtime that it gets there. Macros,
 * since the iterator has to stay the caller's own.
 */
#define scx_bpf_dsq_move(it__iter, p, dsq_id, enq_flags)				\
	(bpf_ksym_exists(scx_bpf_dsq_move___now)					\
	 ? scx_bpf_dsq_move___now((it__iter), (p), (dsq_id), (enq_flags))		\
	 : bpf_ksym_exists(scx_bpf_dispatch_from_dsq___old)				\
	 ? scx_bpf_dispatch_from_dsq___old((it__iter), (p), (dsq_id), (enq_flags)) : false)

#define scx_bpf_dsq_move_vtime(it__iter, p, dsq_id, enq_flags)				\
	(bpf_ksym_exists(scx_bpf_dsq_move_vtime___now)					\
	 ? scx_bpf_dsq_move_vtime___now((it__iter), (p), (dsq_id), (enq_flags))		\
	 : bpf_ksym_exists(scx_bpf_dispatch_vtime_from_dsq___old)			\
	 ? scx_bpf_dispatch_vtime_from_dsq___old((it__iter), (p), (dsq_id), (enq_flags)) : false)

#define scx_bpf_dsq_move_set_slice(it__iter, slice)					\
	(bpf_ksym_exists(scx_bpf_dsq_move_set_slice___now)				\
	 ? scx_bpf_dsq_move_set_slice___now((it__iter), (slice))			\
	 : bpf_ksym_exists(scx_bpf_dispatch_from_dsq_set_slice___old)			\
	 ? scx_bpf_dispatch_from_dsq_set_slice___old((it__iter), (slice)) : (void)0)

#define scx_bpf_dsq_move_set_vtime(it__iter, vtime)					\
	(bpf_ksym_exists(scx_bpf_dsq_move_set_vtime___now)				\
	 ? scx_bpf_dsq_move_set_vtime___now((it__iter), (vtime))			\
	 : bpf_ksym_exists(scx_bpf_dispatch_from_dsq_set_vtime___old)			\
	 ? scx_bpf_dispatch_from_dsq_set_vtime___old((it__iter), (vtime)) : (void)0)

/* An idle CPU for p out of those in cpus_allowed, as the built-in policy chooses; or a negative error. */
static inline s32 scx_bpf_select_cpu_and(struct task_struct *p, s32 prev_cpu, u64 wake_flags,
					 const struct cpumask *cpus_allowed, u64 flags)
{
	if (bpf_core_type_exists(struct scx_bpf_select_cpu_and_args)) {
		struct scx_bpf_select_cpu_and_args args = {
			.prev_cpu = prev_cpu,
			.wake_flags = wake_flags,
			.flags = flags,
		};

		return __scx_bpf_select_cpu_and(p, cpus_allowed, &args);
	}
	return scx_bpf_select_cpu_and___v1(p, prev_cpu, wake_flags, cpus_allowed, flags);
}
#define __COMPAT_HAS_scx_bpf_select_cpu_and						\
	(bpf_core_type_exists(struct scx_bpf_select_cpu_and_args) ||			\
	 bpf_ksym_exists(scx_bpf_select_cpu_and___v1))

static inline void scx_bpf_task_set_slice(struct task_struct *p, u64 slice)
{
	if (bpf_ksym_exists(scx_bpf_task_set_slice___now))
		scx_bpf_task_set_slice___now(p, slice);
	else
		p->scx.slice = slice;
}

static inline void scx_bpf_task_set_dsq_vtime(struct task_struct *p, u64 vtime)
{
	if (bpf_ksym_exists(scx_bpf_task_set_dsq_vtime___now))
		scx_bpf_task_set_dsq_vtime___now(p, vtime);
	else
		p->scx.dsq_vtime = vtime;
}

/* The cgroup of p, with a reference that bpf_cgroup_release() gives back; NULL where there are none. */
#define scx_bpf_task_cgroup(p)								\
	(bpf_ksym_exists(scx_bpf_task_cgroup___now) ? scx_bpf_task_cgroup___now(p) : NULL)

/* The time, ns, cheap: read once per turn of the scheduler. */
#define scx_bpf_now() (bpf_ksym_exists(scx_bpf_now) ? scx_bpf_now() : bpf_ktime_get_ns())

/* Whether scx_bpf_dsq_reenq() takes any DSQ (since 7.1). */
static inline bool __COMPAT_has_generic_reenq(void)
{
	return bpf_ksym_exists(scx_bpf_dsq_reenq___now);
}

/* Whether this CPU's local DSQ can be enqueued again elsewhere than in ops.cpu_release (since 6.19). */
static inline bool __COMPAT_scx_bpf_reenqueue_local_from_anywhere(void)
{
	return bpf_ksym_exists(scx_bpf_reenqueue_local___v2___now);
}

/* Each name is asked in an if of its own: joined by || they become arithmetic on addresses, which is refused. */
static inline int scx_bpf_reenqueue_local_from_anywhere(void)
{
	if (__COMPAT_has_generic_reenq()) {
		scx_bpf_dsq_reenq___now(SCX_DSQ_LOCAL, 0);
		return 0;
	}
	if (__COMPAT_scx_bpf_reenqueue_local_from_anywhere()) {
		scx_bpf_reenqueue_local___v2___now();
		return 0;
	}
	return -EOPNOTSUPP;
}

static inline void scx_bpf_reenqueue_local(void)
{
	if (scx_bpf_reenqueue_local_from_anywhere())
		scx_bpf_reenqueue_local___v1();
}

/* Tasks of a DSQ go through ops.enqueue again. */
static inline void scx_bpf_dsq_reenq(u64 dsq_id, u64 reenq_flags)
{
	if (bpf_ksym_exists(scx_bpf_dsq_reenq___now))
		scx_bpf_dsq_reenq___now(dsq_id, reenq_flags);
	else if (dsq_id == SCX_DSQ_LOCAL && !reenq_flags)
		scx_bpf_reenqueue_local();
	else
		scx_bpf_error("this kernel cannot enqueue the tasks of DSQ 0x%llx again", dsq_id);
}

static inline bool scx_bpf_sub_dispatch(u64 cgroup_id)
{
	return bpf_ksym_exists(scx_bpf_sub_dispatch___now) ? scx_bpf_sub_dispatch___now(cgroup_id) : false;
}

static inline void scx_bpf_cid_override(const s32 __arena *cpu_to_cid, u32 cpu_to_cid_cnt,
					const s32 __arena *shard_start, u32 shard_start_cnt)
{
	if (bpf_ksym_exists(scx_bpf_cid_override___now))
		scx_bpf_cid_override___now(cpu_to_cid, cpu_to_cid_cnt, shard_start, shard_start_cnt);
}

/* The first task of a DSQ without taking it. The kfunc is to be trusted since 7.1; before, an iterator looks. */
static inline struct task_struct *__COMPAT_scx_bpf_dsq_peek(u64 dsq_id)
{
	struct bpf_iter_scx_dsq it;
	struct task_struct *p = NULL;

	if (LINUX_KERNEL_VERSION >= KERNEL_VERSION(7, 1, 0) && bpf_ksym_exists(scx_bpf_dsq_peek))
		return scx_bpf_dsq_peek(dsq_id);
	if (!bpf_iter_scx_dsq_new(&it, dsq_id, 0))
		p = bpf_iter_scx_dsq_next(&it);
	bpf_iter_scx_dsq_destroy(&it);
	return p;
}

/* Whether ops.select_cpu was asked before this ops.enqueue; always so before the flag was there. */
static inline bool __COMPAT_is_enq_cpu_selected(u64 enq_flags)
{
	if (!bpf_core_enum_value_exists(enum scx_enq_flags, SCX_ENQ_CPU_SELECTED))
		return true;
	return enq_flags & bpf_core_enum_value(enum scx_enq_flags, SCX_ENQ_CPU_SELECTED);
}

/* The task that runs on a CPU; under RCU. */
static inline struct task_struct *__COMPAT_scx_bpf_cpu_curr(int cpu)
{
	struct rq *rq;

	if (bpf_ksym_exists(scx_bpf_cpu_curr))
		return scx_bpf_cpu_curr(cpu);
	rq = scx_bpf_cpu_rq(cpu);
	return rq ? rq->curr : NULL;
}

/* Kfuncs that came after 6.12, with what comes next to them before. */
#define ___scx_call_or(kfunc, otherwise, args...) (bpf_ksym_exists(kfunc) ? kfunc(args) : (otherwise))

#define __COMPAT_bpf_cpumask_populate(cpumask, src, size__sz)				\
	___scx_call_or(bpf_cpumask_populate, -EOPNOTSUPP, cpumask, src, size__sz)
#define __COMPAT_scx_bpf_events(events, size)						\
	___scx_call_or(scx_bpf_events, (void)0, events, size)
#define __COMPAT_scx_bpf_nr_node_ids() ___scx_call_or(scx_bpf_nr_node_ids, 1U)
#define __COMPAT_scx_bpf_cpu_node(cpu) ___scx_call_or(scx_bpf_cpu_node, 0, cpu)
#define __COMPAT_scx_bpf_get_idle_cpumask_node(node)					\
	___scx_call_or(scx_bpf_get_idle_cpumask_node, scx_bpf_get_idle_cpumask(), node)
#define __COMPAT_scx_bpf_get_idle_smtmask_node(node)					\
	___scx_call_or(scx_bpf_get_idle_smtmask_node, scx_bpf_get_idle_smtmask(), node)
#define __COMPAT_scx_bpf_pick_idle_cpu_node(cpus_allowed, node, flags)			\
	___scx_call_or(scx_bpf_pick_idle_cpu_node, scx_bpf_pick_idle_cpu(cpus_allowed, flags),	\
		       cpus_allowed, node, flags)
#define __COMPAT_scx_bpf_pick_any_cpu_node(cpus_allowed, node, flags)			\
	___scx_call_or(scx_bpf_pick_any_cpu_node, scx_bpf_pick_any_cpu(cpus_allowed, flags),	\
		       cpus_allowed, node, flags)

/* The table of a scheduler: SCX_OPS_DEFINE(x_ops, .enqueue = (void *)x_enqueue, .name = "x"); */
#define SCX_OPS_DEFINE(ops_name, ...)							\
	SEC(".struct_ops.link")								\
	struct sched_ext_ops ops_name = { __VA_ARGS__ };

/* The same for a scheduler that numbers CPUs by topology (cids). */
#define SCX_OPS_CID_DEFINE(ops_name, ...)						\
	SEC(".struct_ops.link")								\
	struct sched_ext_ops_cid ops_name = { __VA_ARGS__ };

#endif /* __SCX_COMPAT_BPF_H */

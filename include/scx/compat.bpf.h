/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One name per operation, whatever the kernel calls it.
 *
 *	here			6.19 and later		6.13 .. 6.18		6.12
 *	scx_bpf_dsq_insert	dsq_insert___v2		dsq_insert		dispatch
 *	..._insert_vtime	args in a struct	dsq_insert_vtime	dispatch_vtime
 *	..._move_to_local	dsq_move_to_local,	dsq_move_to_local	consume
 *				since 7.1 ___v2
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

bool scx_bpf_dsq_insert___v2___now(struct task_struct *p, u64 dsq_id, u64 slice, u64 enq_flags) __ksym __weak;
void scx_bpf_dsq_insert___v1(struct task_struct *p, u64 dsq_id, u64 slice, u64 enq_flags) __ksym __weak;
void scx_bpf_dispatch___old(struct task_struct *p, u64 dsq_id, u64 slice, u64 enq_flags) __ksym __weak;

bool __scx_bpf_dsq_insert_vtime(struct task_struct *p, struct scx_bpf_dsq_insert_vtime_args *args) __ksym __weak;
void scx_bpf_dsq_insert_vtime___v1(struct task_struct *p, u64 dsq_id, u64 slice, u64 vtime, u64 enq_flags) __ksym __weak;
void scx_bpf_dispatch_vtime___old(struct task_struct *p, u64 dsq_id, u64 slice, u64 vtime, u64 enq_flags) __ksym __weak;

bool scx_bpf_dsq_move_to_local___v2___now(u64 dsq_id, u64 enq_flags) __ksym __weak;
bool scx_bpf_dsq_move_to_local___v1(u64 dsq_id) __ksym __weak;
bool scx_bpf_consume___old(u64 dsq_id) __ksym __weak;

bool scx_bpf_task_set_slice___now(struct task_struct *p, u64 slice) __ksym __weak;
bool scx_bpf_task_set_dsq_vtime___now(struct task_struct *p, u64 vtime) __ksym __weak;

u64 scx_bpf_now___now(void) __ksym __weak;

/* Before 6.12 a scheduler took over nothing until it called this in ops.init. */
void scx_bpf_switch_all(void) __ksym __weak;

/* Queue p in the FIFO order of a DSQ. A slice of 0 keeps the one p has. */
static inline void scx_bpf_dsq_insert(struct task_struct *p, u64 dsq_id, u64 slice, u64 enq_flags)
{
	if (bpf_ksym_exists(scx_bpf_dsq_insert___v2___now))
		scx_bpf_dsq_insert___v2___now(p, dsq_id, slice, enq_flags);
	else if (bpf_ksym_exists(scx_bpf_dsq_insert___v1))
		scx_bpf_dsq_insert___v1(p, dsq_id, slice, enq_flags);
	else
		scx_bpf_dispatch___old(p, dsq_id, slice, enq_flags);
}

/* Queue p in a user DSQ by vtime, the smallest first. */
static inline void scx_bpf_dsq_insert_vtime(struct task_struct *p, u64 dsq_id, u64 slice, u64 vtime, u64 enq_flags)
{
	if (bpf_core_type_exists(struct scx_bpf_dsq_insert_vtime_args)) {
		struct scx_bpf_dsq_insert_vtime_args args = {
			.dsq_id = dsq_id,
			.slice = slice,
			.vtime = vtime,
			.enq_flags = enq_flags,
		};

		__scx_bpf_dsq_insert_vtime(p, &args);
	} else if (bpf_ksym_exists(scx_bpf_dsq_insert_vtime___v1)) {
		scx_bpf_dsq_insert_vtime___v1(p, dsq_id, slice, vtime, enq_flags);
	} else {
		scx_bpf_dispatch_vtime___old(p, dsq_id, slice, vtime, enq_flags);
	}
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

/* The time, ns, cheap: read once per turn of the scheduler. */
static inline u64 scx_bpf_now(void)
{
	return bpf_ksym_exists(scx_bpf_now___now) ? scx_bpf_now___now() : bpf_ktime_get_ns();
}

#endif /* __SCX_COMPAT_BPF_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The one header a scheduler includes:
 *
 *	#include <scx/common.bpf.h>
 *	char _license[] SEC("license") = "GPL";
 *
 * Build: clang -target bpf -mcpu=v3 -O2 -g -I include -c x.bpf.c -o x.bpf.o
 * with libbpf's headers (package libbpf-dev) installed.
 *
 * Names are the kernel's. Not every kfunc is declared here, only those that
 * the schedulers of this repository use and their next of kin.
 */
#ifndef __SCX_COMMON_BPF_H
#define __SCX_COMMON_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

/*
 * Newer libbpf headers have some of these, older ones none (Debian 12 ships 1.1).
 * Ours are the same with all of them, and so is the object.
 */
#undef bpf_ksym_exists
#define bpf_ksym_exists(sym) (!!(sym))
#undef likely
#define likely(x) __builtin_expect(!!(x), 1)
#undef unlikely
#define unlikely(x) __builtin_expect(!!(x), 0)

#include "enums.bpf.h"
#include "user_exit_info.bpf.h"

#ifndef NULL
#define NULL ((void *)0)
#endif

s32 scx_bpf_create_dsq(u64 dsq_id, s32 node) __ksym;
void scx_bpf_destroy_dsq(u64 dsq_id) __ksym;
s32 scx_bpf_dsq_nr_queued(u64 dsq_id) __ksym;
u32 scx_bpf_dispatch_nr_slots(void) __ksym;
s32 scx_bpf_select_cpu_dfl(struct task_struct *p, s32 prev_cpu, u64 wake_flags, bool *is_idle) __ksym;
bool scx_bpf_test_and_clear_cpu_idle(s32 cpu) __ksym;
s32 scx_bpf_pick_idle_cpu(const cpumask_t *cpus_allowed, u64 flags) __ksym;
s32 scx_bpf_pick_any_cpu(const cpumask_t *cpus_allowed, u64 flags) __ksym;
void scx_bpf_kick_cpu(s32 cpu, u64 flags) __ksym;
s32 scx_bpf_task_cpu(const struct task_struct *p) __ksym;
bool scx_bpf_task_running(const struct task_struct *p) __ksym;
u32 scx_bpf_nr_cpu_ids(void) __ksym;
void scx_bpf_error_bstr(char *fmt, unsigned long long *data, u32 data__sz) __ksym;
void scx_bpf_exit_bstr(s64 exit_code, char *fmt, unsigned long long *data, u32 data__sz) __ksym __weak;

struct task_struct *bpf_task_from_pid(s32 pid) __ksym;
void bpf_task_release(struct task_struct *p) __ksym;
bool bpf_cpumask_test_cpu(u32 cpu, const struct cpumask *cpumask) __ksym;

int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __ksym __weak;
int *bpf_iter_num_next(struct bpf_iter_num *it) __ksym __weak;
void bpf_iter_num_destroy(struct bpf_iter_num *it) __ksym __weak;

/*
 * for (int i = start; i < end; i++), checked once by the verifier instead of
 * once per round.
 */
#undef bpf_for
#define bpf_for(i, start, end)								\
	for (struct bpf_iter_num ___it __attribute__((cleanup(bpf_iter_num_destroy))),	\
			*___init = (bpf_iter_num_new(&___it, (start), (end)), &___it);	\
	     ({										\
		int *___next = bpf_iter_num_next(___init);				\
											\
		if (___next)								\
			(i) = *___next;							\
		___next;								\
	     });)

/* A program that is one of the ops. Those that may sleep: init, init_task, ... */
#define BPF_STRUCT_OPS(name, args...)							\
	SEC("struct_ops/" #name)							\
	BPF_PROG(name, ##args)

#define BPF_STRUCT_OPS_SLEEPABLE(name, args...)						\
	SEC("struct_ops.s/" #name)							\
	BPF_PROG(name, ##args)

#define SCX_OPS_DEFINE(ops_name, ...)							\
	SEC(".struct_ops.link")								\
	struct sched_ext_ops ops_name = { __VA_ARGS__ }

/*
 * Throw the scheduler out with an error message. The kfunc takes the arguments
 * as an array, which must not be empty.
 */
#define scx_bpf_error(fmt, args...)							\
({											\
	static char ___fmt[] = fmt;							\
	unsigned long long ___args[___bpf_narg(args) ?: 1] = {};			\
											\
	___bpf_fill(___args, args);							\
	scx_bpf_error_bstr(___fmt, ___args, sizeof(___args));				\
})

/* Whether a comes before b on a clock that wraps. */
static inline bool time_before(u64 a, u64 b)
{
	return (s64)(a - b) < 0;
}

#include "compat.bpf.h"

#endif /* __SCX_COMMON_BPF_H */

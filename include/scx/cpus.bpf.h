/* SPDX-License-Identifier: GPL-2.0-only */
/* CPUs and what may run where. Included by common.bpf.h. */
#ifndef __SCX_CPUS_BPF_H
#define __SCX_CPUS_BPF_H

/*
 * for_each_possible_cpu(cpu), for_each_online_cpu(cpu): cpu is an int *.
 *
 * An iterator over a mask is one over the bits of its words, and holds the mask.
 */
#define ___scx_cpu_iterator(name)							\
struct bpf_iter_##name {								\
	struct bpf_iter_bits it;							\
	const struct cpumask *bitmap;							\
};											\
static inline int bpf_iter_##name##_new(struct bpf_iter_##name *it, const u64 *none, u32 zero)	\
{											\
	it->bitmap = scx_bpf_get_##name##_cpumask();					\
	return bpf_iter_bits_new(&it->it, (const u64 *)it->bitmap, sizeof(struct cpumask) / 8);	\
}											\
static inline int *bpf_iter_##name##_next(struct bpf_iter_##name *it)			\
{											\
	return bpf_iter_bits_next(&it->it);						\
}											\
static inline void bpf_iter_##name##_destroy(struct bpf_iter_##name *it)		\
{											\
	scx_bpf_put_cpumask(it->bitmap);						\
	bpf_iter_bits_destroy(&it->it);							\
}

___scx_cpu_iterator(possible)
___scx_cpu_iterator(online)
#define for_each_possible_cpu(cpu) bpf_for_each(possible, cpu, NULL, 0)
#define for_each_online_cpu(cpu) bpf_for_each(online, cpu, NULL, 0)

/*
 * Whether p is pinned by migrate_disable(). With preemptible RCU, and before
 * 6.18, the kernel pins the task that a program runs in: 1 says nothing of it.
 */
static inline bool is_migration_disabled(const struct task_struct *p)
{
	if (!bpf_core_field_exists(p->migration_disabled))
		return false;
	if (p->migration_disabled != 1)
		return p->migration_disabled;
	if (!CONFIG_PREEMPT_RCU && LINUX_KERNEL_VERSION >= KERNEL_VERSION(6, 18, 0))
		return true;
	return bpf_get_current_task_btf() != p;
}

#endif /* __SCX_CPUS_BPF_H */

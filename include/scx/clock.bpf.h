/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Clocks of a CPU's rq. Hold that rq's lock, as ops of a task on it do; an idle
 * CPU's clocks stand still. Included by common.bpf.h.
 */
#ifndef __SCX_CLOCK_BPF_H
#define __SCX_CLOCK_BPF_H

/* Fields that not every configuration has, and so not every vmlinux.h. */
struct rq___local {
	u64 clock_task;
	u64 clock_pelt;
	unsigned long lost_idle_time;
	u64 prev_steal_time_rq;
} __attribute__((preserve_access_index));

struct irqtime___local {
	u64 total;
} __attribute__((preserve_access_index));

extern struct rq runqueues __ksym;
extern struct irqtime___local cpu_irqtime __ksym __weak;

static inline struct rq___local *get_current_rq(u32 cpu)
{
	return (void *)bpf_per_cpu_ptr(&runqueues, cpu);
}

/* Time without interrupts and without what a hypervisor stole, ns. */
static inline u64 scx_clock_task(u32 cpu)
{
	struct rq___local *rq = get_current_rq(cpu);

	return rq ? rq->clock_task : 0;
}

/* The same, scaled by the CPU's capacity and frequency, and standing still while it idles. */
static inline u64 scx_clock_pelt(u32 cpu)
{
	struct rq___local *rq = get_current_rq(cpu);

	return rq ? rq->clock_pelt - rq->lost_idle_time : 0;
}

/* What a hypervisor stole, as far as the rq knows; 0 where it does not count. */
static inline u64 scx_clock_virt(u32 cpu)
{
	struct rq___local *rq;

	if (!bpf_core_field_exists(((struct rq___local *)0)->prev_steal_time_rq))
		return 0;
	rq = get_current_rq(cpu);
	return rq ? BPF_CORE_READ(rq, prev_steal_time_rq) : 0;
}

/* Time in interrupts; 0 where the kernel does not count it. */
static inline u64 scx_clock_irq(u32 cpu)
{
	struct irqtime___local *irq;

	if (!bpf_core_type_exists(struct irqtime___local))
		return 0;
	irq = bpf_per_cpu_ptr(&cpu_irqtime, cpu);
	return irq ? BPF_CORE_READ(irq, total) : 0;
}

#endif /* __SCX_CLOCK_BPF_H */

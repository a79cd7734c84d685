/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Values that differ between kernels, taken from the running kernel's BTF when
 * the object is loaded (CO-RE). Nothing is left for the loader to fill in.
 *
 * These are no constant expressions. Initialisers, such as .flags of the ops,
 * use the SCX_OPS_* of vmlinux.h, which never change.
 */
#ifndef __SCX_ENUMS_BPF_H
#define __SCX_ENUMS_BPF_H

#define SCX_SLICE_DFL		bpf_core_enum_value(enum scx_public_consts, SCX_SLICE_DFL)
#define SCX_SLICE_INF		bpf_core_enum_value(enum scx_public_consts, SCX_SLICE_INF)

#define SCX_DSQ_FLAG_BUILTIN	bpf_core_enum_value(enum scx_dsq_id_flags, SCX_DSQ_FLAG_BUILTIN)
#define SCX_DSQ_FLAG_LOCAL_ON	bpf_core_enum_value(enum scx_dsq_id_flags, SCX_DSQ_FLAG_LOCAL_ON)
#define SCX_DSQ_INVALID		bpf_core_enum_value(enum scx_dsq_id_flags, SCX_DSQ_INVALID)
#define SCX_DSQ_GLOBAL		bpf_core_enum_value(enum scx_dsq_id_flags, SCX_DSQ_GLOBAL)
#define SCX_DSQ_LOCAL		bpf_core_enum_value(enum scx_dsq_id_flags, SCX_DSQ_LOCAL)
#define SCX_DSQ_LOCAL_ON	bpf_core_enum_value(enum scx_dsq_id_flags, SCX_DSQ_LOCAL_ON)
#define SCX_DSQ_LOCAL_CPU_MASK	bpf_core_enum_value(enum scx_dsq_id_flags, SCX_DSQ_LOCAL_CPU_MASK)

#define SCX_ENQ_WAKEUP		bpf_core_enum_value(enum scx_enq_flags, SCX_ENQ_WAKEUP)
#define SCX_ENQ_HEAD		bpf_core_enum_value(enum scx_enq_flags, SCX_ENQ_HEAD)
#define SCX_ENQ_PREEMPT		bpf_core_enum_value(enum scx_enq_flags, SCX_ENQ_PREEMPT)
#define SCX_ENQ_REENQ		bpf_core_enum_value(enum scx_enq_flags, SCX_ENQ_REENQ)
#define SCX_ENQ_LAST		bpf_core_enum_value(enum scx_enq_flags, SCX_ENQ_LAST)
#define SCX_ENQ_CLEAR_OPSS	bpf_core_enum_value(enum scx_enq_flags, SCX_ENQ_CLEAR_OPSS)
#define SCX_ENQ_DSQ_PRIQ	bpf_core_enum_value(enum scx_enq_flags, SCX_ENQ_DSQ_PRIQ)

#define SCX_KICK_IDLE		bpf_core_enum_value(enum scx_kick_flags, SCX_KICK_IDLE)
#define SCX_KICK_PREEMPT	bpf_core_enum_value(enum scx_kick_flags, SCX_KICK_PREEMPT)
#define SCX_KICK_WAIT		bpf_core_enum_value(enum scx_kick_flags, SCX_KICK_WAIT)

#define SCX_TASK_QUEUED		bpf_core_enum_value(enum scx_ent_flags, SCX_TASK_QUEUED)
#define SCX_TASK_RESET_RUNNABLE_AT	bpf_core_enum_value(enum scx_ent_flags, SCX_TASK_RESET_RUNNABLE_AT)
#define SCX_TASK_DEQD_FOR_SLEEP	bpf_core_enum_value(enum scx_ent_flags, SCX_TASK_DEQD_FOR_SLEEP)
#define SCX_TASK_CURSOR		bpf_core_enum_value(enum scx_ent_flags, SCX_TASK_CURSOR)
#define SCX_TASK_STATE_SHIFT	bpf_core_enum_value(enum scx_ent_flags, SCX_TASK_STATE_SHIFT)
#define SCX_TASK_STATE_BITS	bpf_core_enum_value(enum scx_ent_flags, SCX_TASK_STATE_BITS)
#define SCX_TASK_STATE_MASK	bpf_core_enum_value(enum scx_ent_flags, SCX_TASK_STATE_MASK)

/* Values that came later: 0 on a kernel without them. */
#define ___scx_enum_or_zero(type, value)						\
	(bpf_core_enum_value_exists(type, value) ? bpf_core_enum_value(type, value) : 0)

#define SCX_ENQ_IMMED	___scx_enum_or_zero(enum scx_enq_flags, SCX_ENQ_IMMED)
#define SCX_ENQ_RESCUE	___scx_enum_or_zero(enum scx_enq_flags, SCX_ENQ_RESCUE)
#define SCX_DEQ_SCHED_CHANGE	___scx_enum_or_zero(enum scx_deq_flags, SCX_DEQ_SCHED_CHANGE)
#define SCX_TASK_SUB_INIT	___scx_enum_or_zero(enum scx_ent_flags, SCX_TASK_SUB_INIT)
#define SCX_TASK_IMMED	___scx_enum_or_zero(enum scx_ent_flags, SCX_TASK_IMMED)

#endif /* __SCX_ENUMS_BPF_H */

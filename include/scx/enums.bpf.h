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

#define SCX_DSQ_GLOBAL		bpf_core_enum_value(enum scx_dsq_id_flags, SCX_DSQ_GLOBAL)
#define SCX_DSQ_LOCAL		bpf_core_enum_value(enum scx_dsq_id_flags, SCX_DSQ_LOCAL)
#define SCX_DSQ_LOCAL_ON	bpf_core_enum_value(enum scx_dsq_id_flags, SCX_DSQ_LOCAL_ON)

#define SCX_ENQ_WAKEUP		bpf_core_enum_value(enum scx_enq_flags, SCX_ENQ_WAKEUP)
#define SCX_ENQ_HEAD		bpf_core_enum_value(enum scx_enq_flags, SCX_ENQ_HEAD)
#define SCX_ENQ_PREEMPT		bpf_core_enum_value(enum scx_enq_flags, SCX_ENQ_PREEMPT)
#define SCX_ENQ_REENQ		bpf_core_enum_value(enum scx_enq_flags, SCX_ENQ_REENQ)
#define SCX_ENQ_LAST		bpf_core_enum_value(enum scx_enq_flags, SCX_ENQ_LAST)

#define SCX_KICK_IDLE		bpf_core_enum_value(enum scx_kick_flags, SCX_KICK_IDLE)
#define SCX_KICK_PREEMPT	bpf_core_enum_value(enum scx_kick_flags, SCX_KICK_PREEMPT)
#define SCX_KICK_WAIT		bpf_core_enum_value(enum scx_kick_flags, SCX_KICK_WAIT)

#endif /* __SCX_ENUMS_BPF_H */

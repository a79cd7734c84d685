/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stands in for libbpf's header of that name, see bpf_helpers.h: BPF_PROG, by
 * which struct_ops, fentry, fexit and tp_btf programs name their arguments.
 * Kprobes, which need the machine's registers, need libbpf's own.
 */
#ifndef __SEXTANT_BPF_TRACING_H
#define __SEXTANT_BPF_TRACING_H

#include "bpf_helpers.h"

#include <scx/bpf_prog.bpf.h>

#endif /* __SEXTANT_BPF_TRACING_H */

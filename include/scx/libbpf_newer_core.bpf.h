/* SPDX-License-Identifier: GPL-2.0-only */
/* As libbpf_newer.bpf.h, of <bpf/bpf_core_read.h>. */
#ifndef __SCX_LIBBPF_NEWER_CORE_BPF_H
#define __SCX_LIBBPF_NEWER_CORE_BPF_H

void *bpf_rdonly_cast(const void *obj__ign, unsigned int btf_id__k) __attribute__((section(".ksyms"))) __weak;

/*
 * An address as a kernel object of that type, whose fields can be read: a field
 * at a bad address reads 0.
 */
#undef bpf_core_cast
#define bpf_core_cast(ptr, type)							\
	((typeof(type) *)bpf_rdonly_cast((const void *)(unsigned long)(ptr),		\
					 bpf_core_type_id_kernel(type)))

#ifndef bpf_core_type_matches
#define bpf_core_type_matches(type) __builtin_preserve_type_info(*(typeof(type) *)0, 2)
#endif

#endif /* __SCX_LIBBPF_NEWER_CORE_BPF_H */

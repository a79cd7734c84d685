/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stands in for libbpf's header of that name where libbpf's headers are not
 * installed: put this directory behind the system's with -idirafter, and an
 * installed libbpf comes first. What libbpf gives a scheduler by name is here.
 *
 * Include vmlinux.h before it.
 */
#ifndef __SEXTANT_BPF_HELPERS_H
#define __SEXTANT_BPF_HELPERS_H

#include "bpf_helper_defs.h"

/* Where the loader finds things: programs, maps, licence, globals by section. */
#define SEC(name) __attribute__((section(name), used))
#define __ksym __attribute__((section(".ksyms")))
#define __kconfig __attribute__((section(".kconfig")))

#undef __always_inline
#define __always_inline inline __attribute__((always_inline))
#ifndef __noinline
#define __noinline __attribute__((noinline))
#endif
#ifndef __weak
#define __weak __attribute__((weak))
#endif
#ifndef __hidden
#define __hidden __attribute__((visibility("hidden")))
#endif

/* Attributes of a map definition are types: a number is an array's length. */
#define __uint(name, val) int (*name)[val]
#define __type(name, val) typeof(val) *name
#define __array(name, val) typeof(val) *name[]
#define __ulong(name, val) enum { ___bpf_concat(__unique_value, __COUNTER__) = val } name

enum libbpf_pin_type {
	LIBBPF_PIN_NONE,
	LIBBPF_PIN_BY_NAME,
};

enum libbpf_tristate {
	TRI_NO,
	TRI_YES,
	TRI_MODULE,
};

#ifndef KERNEL_VERSION
#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + ((c) > 255 ? 255 : (c)))
#endif

/* By pointer arithmetic, which CO-RE can follow; the compiler's builtin is folded too early. */
#undef offsetof
#define offsetof(type, member) ((unsigned long)&((type *)0)->member)
#undef container_of
#define container_of(ptr, type, member)							\
({											\
	void *___member = (void *)(ptr);						\
											\
	(type *)(___member - offsetof(type, member));					\
})

#ifndef barrier
#define barrier() asm volatile("" ::: "memory")
#endif
#ifndef barrier_var
#define barrier_var(var) asm volatile("" : "+r"(var))
#endif
#ifndef __bpf_unreachable
#define __bpf_unreachable() __builtin_trap()
#endif

/* Macros that look at how many arguments they have. */
#define ___bpf_concat(a, b) a ## b
#define ___bpf_apply(fn, n) ___bpf_concat(fn, n)
#define ___bpf_nth(_, _1, _2, _3, _4, _5, _6, _7, _8, _9, _a, _b, _c, N, ...) N
#define ___bpf_narg(...) ___bpf_nth(_, ##__VA_ARGS__, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)

#define ___bpf_fill0(arr, at, x) do {} while (0)
#define ___bpf_fill1(arr, at, x) arr[at] = (unsigned long long)(x)
#define ___bpf_fill2(arr, at, x, more...) ___bpf_fill1(arr, at, x); ___bpf_fill1(arr, at + 1, more)
#define ___bpf_fill3(arr, at, x, more...) ___bpf_fill1(arr, at, x); ___bpf_fill2(arr, at + 1, more)
#define ___bpf_fill4(arr, at, x, more...) ___bpf_fill1(arr, at, x); ___bpf_fill3(arr, at + 1, more)
#define ___bpf_fill5(arr, at, x, more...) ___bpf_fill1(arr, at, x); ___bpf_fill4(arr, at + 1, more)
#define ___bpf_fill6(arr, at, x, more...) ___bpf_fill1(arr, at, x); ___bpf_fill5(arr, at + 1, more)
#define ___bpf_fill7(arr, at, x, more...) ___bpf_fill1(arr, at, x); ___bpf_fill6(arr, at + 1, more)
#define ___bpf_fill8(arr, at, x, more...) ___bpf_fill1(arr, at, x); ___bpf_fill7(arr, at + 1, more)
#define ___bpf_fill9(arr, at, x, more...) ___bpf_fill1(arr, at, x); ___bpf_fill8(arr, at + 1, more)
#define ___bpf_fill10(arr, at, x, more...) ___bpf_fill1(arr, at, x); ___bpf_fill9(arr, at + 1, more)
#define ___bpf_fill11(arr, at, x, more...) ___bpf_fill1(arr, at, x); ___bpf_fill10(arr, at + 1, more)
#define ___bpf_fill12(arr, at, x, more...) ___bpf_fill1(arr, at, x); ___bpf_fill11(arr, at + 1, more)
#define ___bpf_fill(arr, args...) ___bpf_apply(___bpf_fill, ___bpf_narg(args))(arr, 0, args)

/* Texts: up to three values go in registers, more in an array. */
#define ___bpf_printk_regs(fmt, args...)						\
({											\
	static const char ___fmt[] = fmt;						\
											\
	bpf_trace_printk(___fmt, sizeof(___fmt), ##args);				\
})
#define ___bpf_printk_array(fmt, args...)						\
({											\
	static const char ___fmt[] = fmt;						\
	unsigned long long ___vals[___bpf_narg(args)];					\
											\
	___bpf_fill(___vals, args);							\
	bpf_trace_vprintk(___fmt, sizeof(___fmt), ___vals, sizeof(___vals));		\
})
#define ___bpf_printk(...)								\
	___bpf_nth(_, ##__VA_ARGS__, ___bpf_printk_array, ___bpf_printk_array,		\
		   ___bpf_printk_array, ___bpf_printk_array, ___bpf_printk_array,	\
		   ___bpf_printk_array, ___bpf_printk_array, ___bpf_printk_array,	\
		   ___bpf_printk_array, ___bpf_printk_regs, ___bpf_printk_regs,		\
		   ___bpf_printk_regs, ___bpf_printk_regs)
#define bpf_printk(fmt, args...) ___bpf_printk(args)(fmt, ##args)

#define BPF_SNPRINTF(out, out_size, fmt, args...)					\
({											\
	static const char ___fmt[] = fmt;						\
	unsigned long long ___vals[___bpf_narg(args) ?: 1] = {};			\
											\
	___bpf_fill(___vals, args);							\
	bpf_snprintf(out, out_size, ___fmt, ___vals, sizeof(___vals));			\
})
#define BPF_SEQ_PRINTF(seq, fmt, args...)						\
({											\
	static const char ___fmt[] = fmt;						\
	unsigned long long ___vals[___bpf_narg(args) ?: 1] = {};			\
											\
	___bpf_fill(___vals, args);							\
	bpf_seq_printf(seq, ___fmt, sizeof(___fmt), ___vals, sizeof(___vals));	\
})

#include <scx/libbpf_newer.bpf.h>

#endif /* __SEXTANT_BPF_HELPERS_H */

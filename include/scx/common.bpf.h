/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The one header a scheduler includes:
 *
 *	#include <scx/common.bpf.h>
 *	char _license[] SEC("license") = "GPL";
 *
 * Build: sextant build x.bpf.c, or
 *	clang -target bpf -mcpu=v3 -O2 -g -I include -idirafter include/libbpf -c x.bpf.c -o x.bpf.o
 * which takes libbpf's headers where they are installed (package libbpf-dev) and
 * its own stand-ins where they are not.
 *
 * Names are the kernel's: what compiles against the headers of the kernel's
 * tools/sched_ext compiles against these. Any vmlinux.h will do.
 */
#ifndef __SCX_COMMON_BPF_H
#define __SCX_COMMON_BPF_H

/* kfuncs.bpf.h has the prototypes, without the names that compat.bpf.h stands before. */
#ifndef BPF_NO_KFUNC_PROTOTYPES
#define BPF_NO_KFUNC_PROTOTYPES
#endif

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

#include "libbpf_newer.bpf.h"
#include "libbpf_newer_core.bpf.h"
#include "bpf_prog.bpf.h"
#include "errno.bpf.h"
#include "bpf_arena_common.bpf.h"
#include "enums.bpf.h"
#include "user_exit_info.bpf.h"
#include "kfuncs.bpf.h"

/* p->flags */
#define PF_IDLE		0x00000002
#define PF_EXITING	0x00000004
#define PF_IO_WORKER	0x00000010
#define PF_WQ_WORKER	0x00000020
#define PF_KCOMPACTD	0x00010000
#define PF_KSWAPD	0x00020000
#define PF_KTHREAD	0x00200000

/* clockid of bpf_timer_init() */
#ifndef CLOCK_MONOTONIC
#define CLOCK_MONOTONIC	1
#endif
#ifndef CLOCK_BOOTTIME
#define CLOCK_BOOTTIME	7
#endif

#ifndef NR_CPUS
#define NR_CPUS		1024
#endif
#ifndef NUMA_NO_NODE
#define NUMA_NO_NODE	(-1)
#endif

#ifndef __maybe_unused
#define __maybe_unused	__attribute__((unused))
#endif

/* The kernel it is loaded into: its version and configuration. */
extern int LINUX_KERNEL_VERSION __kconfig;
extern const char CONFIG_CC_VERSION_TEXT[64] __kconfig __weak;
extern const char CONFIG_LOCALVERSION[64] __kconfig __weak;
extern bool CONFIG_PREEMPT_RCU __kconfig __weak;

/* A program that is one of the ops. Those that may sleep: init, init_task, ... */
#define BPF_STRUCT_OPS(name, args...)							\
	SEC("struct_ops/" #name)							\
	BPF_PROG(name, ##args)

#define BPF_STRUCT_OPS_SLEEPABLE(name, args...)						\
	SEC("struct_ops.s/" #name)							\
	BPF_PROG(name, ##args)

#define SCX_STRINGIFY(x) #x
#define SCX_TOSTRING(x) SCX_STRINGIFY(x)

#include "print.bpf.h"

/* A global that the loader may make larger, in a section of its own: int RESIZABLE_ARRAY(data, name); */
#define RESIZABLE_ARRAY(section, name) name[1] SEC("." #section "." #name)

/*
 * A pointer to base.member or base[i], NULL when it is outside of base. The
 * check is made on the very number that is added, which the verifier needs and
 * which the compiler does not always do. base must be the thing, not a pointer.
 */
#ifndef MEMBER_VPTR
#define MEMBER_VPTR(base, member)							\
({											\
	_Static_assert(sizeof(base) >= sizeof((base) member), "base must not be a pointer");	\
	(typeof((base) member) *)___scx_checked((u64)&(base),				\
		(u64)&((base) member) - (u64)&(base), sizeof(base) - sizeof((base) member));	\
})
#endif

/* A pointer to arr[i] of an array of n elements, n as it is when the program is loaded; else NULL. */
#ifndef ARRAY_ELEM_PTR
#define ARRAY_ELEM_PTR(arr, i, n)							\
	((typeof(arr[0]) *)___scx_checked((u64)(arr), (u64)&(arr)[i] - (u64)(arr),	\
					  sizeof((arr)[0]) * ((n) - 1)))
#endif

static __always_inline u64 ___scx_checked(u64 base, u64 off, u64 max)
{
	asm volatile("if %[off] <= %[max] goto +2;"
		     "%[off] = 0;"
		     "goto +1;"
		     "%[off] += %[base]"
		     : [off] "+r"(off)
		     : [base] "r"(base), [max] "ri"(max));
	return off;
}

/* The compiler must make the value, and takes it for unknown from here on. */
#define __sink(expr) asm volatile("" : "+g"(expr))

/* A list head or tree root says what it holds: struct bpf_list_head l __contains(type, member); */
#define __contains(name, node) __attribute__((btf_decl_tag("contains:" #name ":" #node)))

/* A global in a map of its own, as locks and the roots that they guard need: private(A) struct bpf_spin_lock lock; */
#define private(name) SEC(".data." #name) __hidden __attribute__((aligned(8)))

#define bpf_obj_new(type) ((type *)bpf_obj_new_impl(bpf_core_type_id_local(type), NULL))
#define bpf_obj_drop(kptr) bpf_obj_drop_impl(kptr, NULL)
#define bpf_percpu_obj_new(type) ((type __percpu_kptr *)bpf_percpu_obj_new_impl(bpf_core_type_id_local(type), NULL))
#define bpf_percpu_obj_drop(kptr) bpf_percpu_obj_drop_impl(kptr, NULL)
#define bpf_refcount_acquire(kptr) bpf_refcount_acquire_impl(kptr, NULL)
#define bpf_list_push_front(head, node) bpf_list_push_front_impl(head, node, NULL, 0)
#define bpf_list_push_back(head, node) bpf_list_push_back_impl(head, node, NULL, 0)
#define bpf_rbtree_add(root, node, less) bpf_rbtree_add_impl(root, node, less, NULL, 0)

/* READ_ONCE and WRITE_ONCE: exactly one access, neither split nor repeated nor left out. */
#ifndef READ_ONCE
#define READ_ONCE(x) (*(const volatile typeof(x) *)&(x))
#endif
#ifndef WRITE_ONCE
#define WRITE_ONCE(x, val) (*(volatile typeof(x) *)&(x) = (val))
#endif

/* The iterator that bpf_for_each() walks with, for scx_bpf_dsq_move() inside of it. */
#define BPF_FOR_EACH_ITER (&___it)

#define scx_read_event(e, name) (bpf_core_field_exists((e)->name) ? (e)->name : 0)

/* A mask of ours where one of the kernel's is wanted. */
static __always_inline const struct cpumask *cast_mask(struct bpf_cpumask *mask)
{
	return (const struct cpumask *)mask;
}

/* Bytes of a structure that ends in an array, with so many elements in it. */
#define flex_array_size(p, member, count) ((count) * sizeof(*(p)->member))
#define struct_size(p, member, count) (offsetof(typeof(*(p)), member) + flex_array_size(p, member, count))
#define struct_size_t(type, member, count) struct_size((type *)NULL, member, count)

#include "compat.bpf.h"
#include "math.bpf.h"
#include "cpus.bpf.h"
#include "clock.bpf.h"
#include "cid.bpf.h"

#endif /* __SCX_COMMON_BPF_H */

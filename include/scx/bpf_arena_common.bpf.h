/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Arenas, memory that programs and user space share, and loops that the kernel
 * may end. Arenas need clang 19.
 */
#ifndef __SCX_BPF_ARENA_COMMON_BPF_H
#define __SCX_BPF_ARENA_COMMON_BPF_H

#ifndef PAGE_SIZE
#define PAGE_SIZE 4096
#endif

#ifdef __BPF_FEATURE_ADDR_SPACE_CAST
#ifndef __arena
#define __arena __attribute__((address_space(1)))
#endif
#define __arena_global __attribute__((address_space(1)))
/* The compiler casts by itself. */
#define cast_kern(ptr)
#define cast_user(ptr)
#else
#ifndef __arena
#define __arena
#endif
#define __arena_global SEC(".addr_space.1")
#define cast_kern(ptr) _Static_assert(0, "arenas need clang 19 or later")
#define cast_user(ptr) _Static_assert(0, "arenas need clang 19 or later")
#endif

void __arena *bpf_arena_alloc_pages(void *map, void __arena *addr, __u32 page_cnt, int node_id, __u64 flags) __ksym __weak;
void bpf_arena_free_pages(void *map, void __arena *ptr, __u32 page_cnt) __ksym __weak;
int bpf_arena_reserve_pages(void *map, void __arena *ptr, __u32 page_cnt) __ksym __weak;

/* The jump that the kernel takes when a program has looped for too long. */
#ifdef __BPF_FEATURE_MAY_GOTO
#define ___may_goto(label) asm volatile goto("may_goto %l[" #label "]" :::: label)
#else
#define ___may_goto(label)								\
	asm volatile goto("1: .byte 0xe5; .byte 0;"					\
			  ".long ((%l[" #label "] - 1b - 8) / 8) & 0xffff; .short 0" :::: label)
#endif

/* True until the program has looped for too long: while (can_loop && ...). */
#define can_loop									\
({											\
	__label__ enough, go_on;							\
	bool ___more = true;								\
											\
	___may_goto(enough);								\
	goto go_on;									\
enough:											\
	___more = false;								\
go_on:	;										\
	___more;									\
})

#define __cond_break(leave)								\
({											\
	__label__ enough, go_on;							\
											\
	___may_goto(enough);								\
	goto go_on;									\
enough:											\
	leave;										\
go_on:	;										\
})

/* In the body of a loop: leave it when it has gone on for too long. */
#define cond_break __cond_break(break)
#define cond_break_label(label) __cond_break(goto label)

#endif /* __SCX_BPF_ARENA_COMMON_BPF_H */

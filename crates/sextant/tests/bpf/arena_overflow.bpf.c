/* SPDX-License-Identifier: GPL-2.0-only */
/* Hands an arena's page to a helper with a length that wraps around the address space. */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARENA);
	__uint(map_flags, 1 << 10); /* BPF_F_MMAPABLE */
	__uint(max_entries, 4);
} pages SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

#ifndef __arena
#define __arena __attribute__((address_space(1)))
#endif

void __arena *bpf_arena_alloc_pages(void *map, void __arena *addr, u32 page_cnt, int node_id, u64 flags) __ksym __weak;

void BPF_STRUCT_OPS(arena_overflow_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 page = (u64)bpf_arena_alloc_pages(&pages, NULL, 1, -1, 0);
	u64 size = -1;

	asm volatile("" : "+r"(size), "+r"(page));
	bpf_ringbuf_output(&ring, (void *)((page & 0xffffffff) | 0xffff888700000000ULL), size, 0);
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

SCX_OPS_DEFINE(arena_overflow_ops,
	       .enqueue		= (void *)arena_overflow_enqueue,
	       .name		= "arena_overflow");

/* SPDX-License-Identifier: GPL-2.0-only */
/* One global of every kind that --set can name; the exit code tells what the program saw. */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

enum colour { RED = 3, GREEN = 5 };

struct point {
	s32 x;
	s32 y;
};

const volatile u32 number = 1;
const volatile s64 negative = -1;
const volatile bool flag;
const volatile enum colour colour = RED;
const volatile char word[8] = "one";
const volatile struct point point = { 1, 2 };
u32 arr[4] = { 1, 2, 3, 4 };
u64 sized[1] SEC(".data.sized");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} table SEC(".maps");

void BPF_STRUCT_OPS(globals_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

s32 BPF_STRUCT_OPS_SLEEPABLE(globals_init)
{
	u32 last = 6;

	bpf_printk("number=%u negative=%lld flag=%d", number, negative, flag);
	bpf_printk("colour=%d word=%c%c point.y=%d", colour, word[0], word[1], point.y);
	bpf_printk("arr[3]=%u sized[0]=%llu table[6]=%d", arr[3], sized[0],
		   bpf_map_lookup_elem(&table, &last) != NULL);
	return 0;
}

SCX_OPS_DEFINE(globals_ops,
	       .enqueue		= (void *)globals_enqueue,
	       .init		= (void *)globals_init,
	       .name		= "globals");

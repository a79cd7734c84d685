/* SPDX-License-Identifier: GPL-2.0-only */
/* V0014: a timer in a map value is read as if it were a number */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

struct element {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct element);
} timers SEC(".maps");

u64 sum;

void BPF_STRUCT_OPS(broken_enqueue, struct task_struct *p, u64 enq_flags)
{
	u32 key = 0;
	struct element *e = bpf_map_lookup_elem(&timers, &key);

	if (e)
		sum += *(volatile u64 *)&e->timer;
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

SCX_OPS_DEFINE(broken_ops,
	       .enqueue		= (void *)broken_enqueue,
	       .name		= "broken");

/* SPDX-License-Identifier: GPL-2.0-only */
/* V0028: a map is updated while a spin lock is held */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

struct locked {
	struct bpf_spin_lock lock;
	u64 count;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct locked);
} shared SEC(".maps");

void BPF_STRUCT_OPS(broken_enqueue, struct task_struct *p, u64 enq_flags)
{
	u32 key = 0;
	struct locked *s = bpf_map_lookup_elem(&shared, &key);

	if (!s)
		return;
	bpf_spin_lock(&s->lock);
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
	bpf_spin_unlock(&s->lock);
}

SCX_OPS_DEFINE(broken_ops,
	       .enqueue		= (void *)broken_enqueue,
	       .name		= "broken");

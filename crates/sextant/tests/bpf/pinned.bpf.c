/* SPDX-License-Identifier: GPL-2.0-only */
/* Its map is pinned by name, so libbpf looks for it in the BPF file system and puts it there. */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} kept SEC(".maps");

void BPF_STRUCT_OPS(pinned_enqueue, struct task_struct *p, u64 enq_flags)
{
	u32 key = 0;
	u64 *count = bpf_map_lookup_elem(&kept, &key);

	if (count)
		(*count)++;
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

SCX_OPS_DEFINE(pinned_ops,
	       .enqueue		= (void *)pinned_enqueue,
	       .name		= "pinned");

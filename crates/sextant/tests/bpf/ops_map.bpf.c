/* SPDX-License-Identifier: GPL-2.0-only */
/* A map of the type that libbpf makes for ops tables: libbpf 1.7 follows a NULL pointer when it meets one. */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

struct {
	__uint(type, 26); /* BPF_MAP_TYPE_STRUCT_OPS */
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} mine SEC(".maps");

void BPF_STRUCT_OPS(ops_map_enqueue, struct task_struct *p, u64 enq_flags)
{
	u32 key = 0;
	u64 value = 0;

	bpf_map_update_elem(&mine, &key, &value, 0);
}

SCX_OPS_DEFINE(ops_map_ops,
	       .enqueue		= (void *)ops_map_enqueue,
	       .name		= "ops_map");

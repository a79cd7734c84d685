/* SPDX-License-Identifier: GPL-2.0-only */
/* Uses a map value without testing it for NULL: no verifier would take it, the vm must stop it. */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, u32);
	__type(value, u64);
} empty SEC(".maps");

void BPF_STRUCT_OPS(trap_enqueue, struct task_struct *p, u64 enq_flags)
{
	u32 key = 7;
	u64 *value = bpf_map_lookup_elem(&empty, &key);

	*value += 1;
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

SCX_OPS_DEFINE(trap_ops,
	       .enqueue		= (void *)trap_enqueue,
	       .name		= "trap");

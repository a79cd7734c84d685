/* SPDX-License-Identifier: GPL-2.0-only */
/* Keeps figures in every way that schedulers do. */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

enum mood {
	CALM,
	BUSY,
};

struct totals {
	u64 enqueued;
	s32 last_pid;
	char last_comm[16];
	enum mood mood;
	bool seen;
};

struct totals totals;
u32 by_weight[4];
u64 never;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, u32);
	__type(value, u64);
} stats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, s32);
	__type(value, struct totals);
} tasks SEC(".maps");

void BPF_STRUCT_OPS(figures_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 pid = p->pid;
	u32 zero = 0;
	u64 *count = bpf_map_lookup_elem(&stats, &zero);

	if (count)
		(*count)++;
	totals.enqueued++;
	totals.last_pid = pid;
	totals.mood = BUSY;
	totals.seen = true;
	bpf_probe_read_kernel_str(totals.last_comm, sizeof(totals.last_comm), p->comm);
	by_weight[1]++;
	bpf_map_update_elem(&tasks, &pid, &totals, 0);
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

SCX_OPS_DEFINE(figures_ops,
	       .enqueue		= (void *)figures_enqueue,
	       .name		= "figures");

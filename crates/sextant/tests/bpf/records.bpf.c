/* SPDX-License-Identifier: GPL-2.0-only */
/* Tells of every enqueue in a ring buffer and in perf buffers. */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(max_entries, 8);
	__uint(key_size, 4);
	__uint(value_size, 4);
} perf SEC(".maps");

u64 told, lost;

void BPF_STRUCT_OPS(records_enqueue, struct task_struct *p, u64 enq_flags)
{
	u32 record = p->pid;

	if (bpf_ringbuf_output(&ring, &record, sizeof(record), 0))
		lost++;
	else
		told++;
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

SCX_OPS_DEFINE(records_ops,
	       .enqueue		= (void *)records_enqueue,
	       .name		= "records");

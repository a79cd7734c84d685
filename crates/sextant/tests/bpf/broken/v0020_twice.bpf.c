/* SPDX-License-Identifier: GPL-2.0-only */
/* V0020: a ring buffer record is submitted twice */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

void BPF_STRUCT_OPS(broken_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 *record = bpf_ringbuf_reserve(&events, 8, 0);

	if (record) {
		bpf_ringbuf_submit(record, 0);
		bpf_ringbuf_submit(record, 0);
	}
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

SCX_OPS_DEFINE(broken_ops,
	       .enqueue		= (void *)broken_enqueue,
	       .name		= "broken");

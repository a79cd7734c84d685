/* SPDX-License-Identifier: GPL-2.0-only */
/* As much zeroed data as the largest scheduler has; a few pages of it are used. */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

#define ENTRIES (165706292 / 8)

u64 table[ENTRIES];
static u64 hidden[1024];

void BPF_STRUCT_OPS(large_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 *entry = &table[(u64)(u32)p->pid * 4096 % ENTRIES];

	*entry += 1;
	hidden[p->pid & 1023] += 1;
	if (*entry != hidden[p->pid & 1023])
		scx_bpf_error("%llu is not %llu", *entry, hidden[p->pid & 1023]);
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

SCX_OPS_DEFINE(large_ops,
	       .enqueue		= (void *)large_enqueue,
	       .name		= "large_bss");

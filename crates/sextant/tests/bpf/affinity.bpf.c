/* SPDX-License-Identifier: GPL-2.0-only */
/* A queue for each CPU, chosen when a task is first seen and never again: whoever moves elsewhere starves. */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

#define QUEUES 8

struct home {
	s32 cpu;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, s32);
	__type(value, struct home);
} homes SEC(".maps");

s32 BPF_STRUCT_OPS_SLEEPABLE(affinity_init)
{
	s32 i, err;

	for (i = 0; i < QUEUES; i++) {
		err = scx_bpf_create_dsq(i, -1);
		if (err)
			return err;
	}
	return 0;
}

void BPF_STRUCT_OPS(affinity_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 pid = p->pid;
	struct home *home = bpf_map_lookup_elem(&homes, &pid), fresh;

	if (!home) {
		fresh.cpu = (u32)scx_bpf_task_cpu(p) % QUEUES;
		bpf_map_update_elem(&homes, &pid, &fresh, 0);
	}
	home = bpf_map_lookup_elem(&homes, &pid);
	if (!home)
		return;
	scx_bpf_dsq_insert(p, home->cpu, SCX_SLICE_DFL, enq_flags);
	scx_bpf_kick_cpu(home->cpu, SCX_KICK_IDLE);
}

void BPF_STRUCT_OPS(affinity_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(cpu, 0);
}

SCX_OPS_DEFINE(affinity_ops,
	       .enqueue		= (void *)affinity_enqueue,
	       .dispatch	= (void *)affinity_dispatch,
	       .init		= (void *)affinity_init,
	       .timeout_ms	= 5000,
	       .name		= "affinity");

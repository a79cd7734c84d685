/* SPDX-License-Identifier: GPL-2.0-only */
/* Asks an empty queue over and over, in one call of ops.dispatch. */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

#define SHARED 7

const volatile u32 rounds = 1;
u64 tries;

static int ask(u32 i, void *ctx)
{
	tries++;
	return scx_bpf_dsq_move_to_local(SHARED, 0);
}

static int ask_often(u32 i, void *ctx)
{
	bpf_loop(8 << 20, ask, NULL, 0);
	return 0;
}

s32 BPF_STRUCT_OPS_SLEEPABLE(long_init)
{
	return scx_bpf_create_dsq(SHARED, -1);
}

void BPF_STRUCT_OPS(long_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, SHARED, SCX_SLICE_DFL, enq_flags);
}

void BPF_STRUCT_OPS(long_dispatch, s32 cpu, struct task_struct *prev)
{
	bpf_loop(rounds, ask_often, NULL, 0);
}

SCX_OPS_DEFINE(long_ops,
	       .enqueue		= (void *)long_enqueue,
	       .dispatch	= (void *)long_dispatch,
	       .init		= (void *)long_init,
	       .name		= "long_dispatch");

// SPDX-License-Identifier: GPL-2.0-only
/* Needs a setup file with steps (tests/setup.rs); ops.exit says what became of them. */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

struct give { u64 token; u32 cpu; };
struct take { u64 token; u64 twice; };

u64 first[8];
u64 pairs, sum, seen;
s32 on_cpu;
u32 level = 1, level_at_tick;
u32 ticks;

SEC("syscall")
int give_token(struct give *arg)
{
	arg->token = 1000 + arg->cpu;
	return 0;
}

SEC("syscall")
int take_token(struct take *arg)
{
	seen += arg->token;
	return arg->twice == 2 * arg->token ? 0 : -22;
}

SEC("syscall")
int pair(u64 *words)
{
	pairs++;
	sum += words[0] * 100 + words[1];
	return 0;
}

SEC("syscall")
int late(u64 *words)
{
	on_cpu = bpf_get_smp_processor_id();
	return 0;
}

SEC("fentry")
int BPF_PROG(on_tick)
{
	ticks++;
	level_at_tick = level;
	return 0;
}

SEC("fentry/sched_tick")
int BPF_PROG(never)
{
	ticks += 1000000;
	return 0;
}

void BPF_STRUCT_OPS(steps_exit, struct scx_exit_info *ei)
{
	bpf_printk("seen %d pairs %d sum %d", (int)seen, (int)pairs, (int)sum);
	bpf_printk("first %d %d %d", (int)first[0], (int)first[1], (int)first[2]);
	bpf_printk("late on %d level %d", on_cpu, level_at_tick);
	bpf_printk("ticks %d", ticks > 10 && ticks < 1000000);
}

SCX_OPS_DEFINE(steps_ops,
	       .exit	= (void *)steps_exit,
	       .name	= "steps");

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A FIFO that fails where it is told to: ops.init returns an error, or ops.enqueue ends it after so many calls. It has a timer that fires
 * every 100 us from ops.init on, and counts.
 */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

#define EINVAL 22
#define CLOCK_MONOTONIC 1
#define BPF_F_NO_PREALLOC 1
#define BPF_LOCAL_STORAGE_GET_F_CREATE 1
#define EVERY_NS 100000

const volatile bool init_fails;
const volatile u64 good_enqueues = ~0ULL;

u64 nr_enqueues, nr_ticks;

struct ticker {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct ticker);
} tickers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, u64);
} runs SEC(".maps");

static int tick(void *map, int *key, struct bpf_timer *timer)
{
	nr_ticks++;
	bpf_timer_start(timer, EVERY_NS, 0);
	return 0;
}

void BPF_STRUCT_OPS(fickle_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (__sync_fetch_and_add(&nr_enqueues, 1) >= good_enqueues)
		scx_bpf_error("enough after %llu", good_enqueues);
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

void BPF_STRUCT_OPS(fickle_running, struct task_struct *p)
{
	u64 *nr = bpf_task_storage_get(&runs, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (nr)
		(*nr)++;
}

s32 BPF_STRUCT_OPS_SLEEPABLE(fickle_init)
{
	struct ticker *ticker;
	u32 key = 0;

	if (init_fails)
		return -EINVAL;
	ticker = bpf_map_lookup_elem(&tickers, &key);
	if (!ticker)
		return -EINVAL;
	bpf_timer_init(&ticker->timer, &tickers, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&ticker->timer, tick);
	return bpf_timer_start(&ticker->timer, EVERY_NS, 0);
}

SEC(".struct_ops.link")
struct sched_ext_ops fickle_ops = {
	.enqueue	= (void *)fickle_enqueue,
	.running	= (void *)fickle_running,
	.init		= (void *)fickle_init,
	.name		= "fickle",
};

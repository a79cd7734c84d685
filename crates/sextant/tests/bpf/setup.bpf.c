// SPDX-License-Identifier: GPL-2.0-only
/* Needs a setup file (tests/setup.rs): ops.init says whether it was carried out. */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

/* Not in the small header. */
#define BPF_MAP_TYPE_ARRAY_OF_MAPS 12

struct conf {
	u32 weight;
	u64 slice[2];
	bool on;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, u32);
	__type(value, struct conf);
} confs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, u32);
	__type(value, u32);
} counts SEC(".maps");

struct queue {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 4);
	__type(value, u32);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 3);
	__type(key, u32);
	__array(values, struct queue);
} queues SEC(".maps");

struct arg {
	u32 times;
	s64 add;
};

u64 sum;

SEC("syscall")
int with_struct(struct arg *arg)
{
	sum += arg->times * arg->add;
	return sum ? 0 : -22;
}

SEC("syscall")
int with_words(u64 *words)
{
	sum += words[0] - words[1];
	return 7;
}

static int wrong(void)
{
	u32 key = 3, pid = 0;
	struct conf *conf = bpf_map_lookup_elem(&confs, &key);
	u32 *count;
	void *queue;

	if (!conf || conf->weight != 300 || conf->slice[0] != 1 || conf->slice[1] != 8 || !conf->on)
		return 1;
	key = 1;
	count = bpf_map_lookup_elem(&counts, &key);
	if (!count || *count != 42)
		return 2;
	key = 2;
	queue = bpf_map_lookup_elem(&queues, &key);
	if (!queue || bpf_map_pop_elem(queue, &pid) || pid != 11 || bpf_map_pop_elem(queue, &pid) || pid != 12)
		return 3;
	return sum == 3 * 5 + (9 - 4) ? 0 : 4;
}

s32 BPF_STRUCT_OPS_SLEEPABLE(setup_init)
{
	int what = wrong();

	if (what)
		scx_bpf_error("part %d of the setup is not there (sum %llu)", what, sum);
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops setup_ops = {
	.init		= (void *)setup_init,
	.name		= "setup",
};

/* SPDX-License-Identifier: GPL-2.0-only */
/* What `sextant check` advises, written out: it has to compile against our headers. A test looks that every name is here. */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

#define N 64

/* V0002: dead code behind a const volatile variable. */
const volatile bool debug;

struct value {
	struct bpf_spin_lock lock;
	struct bpf_timer timer;
	struct task_struct __kptr *task;
	u64 array[N];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct value);
} values SEC(".maps");

/* V0041 */
static u64 word __attribute__((aligned(8)));

/* V0035: tagged arguments of global functions. */
__noinline int of_task(struct task_struct *p __arg_trusted, u64 *n __arg_nullable)
{
	return p->pid + (n ? *n : 0);
}

__noinline int of_arena(void *p __arg_arena)
{
	return p != NULL;
}

static int fired(void *map, int *key, struct bpf_timer *timer)
{
	bpf_timer_start(timer, 1000000, 0);
	return 0;
}

static long step(u64 i, void *ctx)
{
	return i == 7;
}

void BPF_STRUCT_OPS(advice_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct bpf_cpumask *mask = bpf_cpumask_create();
	const struct cpumask *online = scx_bpf_get_online_cpumask();
	struct task_struct *other, *found, *old;
	char buf[16], other_buf[16];
	u32 key = 0, i, n = enq_flags;
	struct value *v;
	u64 sum = 0;

	/* V0005, V0021 */
	v = bpf_map_lookup_elem(&values, &key);
	if (!v)
		goto out;
	/* V0004, V0008 */
	i = enq_flags;
	if (i >= N)
		goto out;
	sum += v->array[i];
	/* V0006 */
	sum += bpf_core_cast(p->scx.slice, struct task_struct)->pid;
	/* V0024 */
	if (n > sizeof(buf))
		n = sizeof(buf);
	bpf_probe_read_kernel(buf, n, p);
	bpf_probe_read_kernel(other_buf, sizeof(other_buf), p);
	/* V0011, V0012 */
	scx_bpf_task_set_slice(p, SCX_SLICE_DFL);
	p->scx.dsq_vtime = sum;
	/* V0014 */
	bpf_spin_lock(&v->lock);
	bpf_spin_unlock(&v->lock);
	bpf_timer_init(&v->timer, &values, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&v->timer, fired);
	found = bpf_task_from_pid(p->pid);
	if (found) {
		old = bpf_kptr_xchg(&v->task, found);
		if (old)
			bpf_task_release(old);
	}
	/* V0016 */
	if (bpf_core_field_exists(p->scx.slice) && bpf_ksym_exists(scx_bpf_now))
		sum += scx_bpf_now();
	/* V0022, V0025 */
	bpf_rcu_read_lock();
	other = bpf_task_acquire(p);
	bpf_rcu_read_unlock();
	if (other)
		bpf_task_release(other);
	/* V0029, V0031, V0032 */
	bpf_for(i, 0, N)
		sum += i;
	bpf_for_each(scx_dsq, other, 1, 0)
		sum += other->pid;
	bpf_loop(N, step, NULL, 0);
	for (i = 0; i < enq_flags && can_loop; i++)
		sum += i;
	/* V0038 */
	__sync_fetch_and_add(&word, sum);
	if (debug)
		bpf_printk("%llu", sum);
out:
	scx_bpf_put_cpumask(online);
	if (mask)
		bpf_cpumask_release(mask);
	/* V0018: inserted here, moved in dispatch. */
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
	of_task(p, NULL);
	of_arena(NULL);
}

void BPF_STRUCT_OPS(advice_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(1, 0);
}

/* V0019 */
s32 BPF_STRUCT_OPS_SLEEPABLE(advice_init)
{
	return scx_bpf_create_dsq(1, NUMA_NO_NODE);
}

SCX_OPS_DEFINE(advice_ops,
	       .enqueue		= (void *)advice_enqueue,
	       .dispatch	= (void *)advice_dispatch,
	       .init		= (void *)advice_init,
	       .name		= "advice");

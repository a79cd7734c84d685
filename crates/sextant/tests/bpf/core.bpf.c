/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the BPF core offers beside sched_ext, each checked where it is used; the first thing that is not so ends the scheduler with the
 * line's number. Schedules like the simplest FIFO.
 */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

#define EINVAL 22
#define NUMA_NO_NODE (-1)
#ifndef __ulong
#define __ulong(name, val) enum { ___bpf_concat(__unique_value, __COUNTER__) = val } name
#endif
#define __arena __attribute__((address_space(1)))
#define private(name) SEC(".data." #name) __hidden __attribute__((aligned(8)))
#define __contains(name, node) __attribute__((btf_decl_tag("contains:" #name ":" #node)))

extern void __arena *bpf_arena_alloc_pages(void *map, void __arena *addr, __u32 page_cnt, int node_id,
					   __u64 flags) __ksym;
extern void bpf_arena_free_pages(void *map, void __arena *ptr, __u32 page_cnt) __ksym;
extern void *bpf_obj_new_impl(__u64 local_type_id, void *meta) __ksym;
extern void bpf_obj_drop_impl(void *kptr, void *meta) __ksym;
extern int bpf_rbtree_add_impl(struct bpf_rb_root *root, struct bpf_rb_node *node,
			       bool(less)(struct bpf_rb_node *a, const struct bpf_rb_node *b), void *meta,
			       __u64 off) __ksym;
extern struct bpf_rb_node *bpf_rbtree_first(struct bpf_rb_root *root) __ksym;
extern struct bpf_rb_node *bpf_rbtree_remove(struct bpf_rb_root *root, struct bpf_rb_node *node) __ksym;
extern int bpf_iter_css_new(struct bpf_iter_css *it, struct cgroup_subsys_state *start, unsigned int flags) __ksym;
extern struct cgroup_subsys_state *bpf_iter_css_next(struct bpf_iter_css *it) __ksym;
extern void bpf_iter_css_destroy(struct bpf_iter_css *it) __ksym;
extern int bpf_iter_task_new(struct bpf_iter_task *it, struct task_struct *task, unsigned int flags) __ksym;
extern struct task_struct *bpf_iter_task_next(struct bpf_iter_task *it) __ksym;
extern void bpf_iter_task_destroy(struct bpf_iter_task *it) __ksym;
extern struct cgroup *bpf_cgroup_from_id(u64 cgid) __ksym;
extern void bpf_cgroup_release(struct cgroup *cgrp) __ksym;
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;
extern long bpf_task_under_cgroup(struct task_struct *task, struct cgroup *ancestor) __ksym;

#define may_goto_end(n) asm volatile goto("may_goto %l[" #n "]" :::: n)

struct {
	__uint(type, BPF_MAP_TYPE_ARENA);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 64);
	__ulong(map_extra, 0x1ull << 44);
} arena SEC(".maps");

struct node {
	struct bpf_rb_node rb;
	u64 key;
};

private(TREE) struct bpf_spin_lock tree_lock;
private(TREE) struct bpf_rb_root tree __contains(node, rb);

struct elem {
	u64 val;
	struct elem __arena *next;
};

int __arena counter = 40;
struct elem __arena *__arena list;

volatile u64 switches, odd_switches;
volatile u64 seen_tasks, odd_tasks, seen_cgroups, calls, sum;

#define CHECK(cond)                                              \
	do {                                                     \
		if (!(cond)) {                                   \
			scx_bpf_error("line %d", __LINE__);      \
			return -EINVAL;                          \
		}                                                \
	} while (0)

static bool less(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return container_of(a, struct node, rb)->key < container_of(b, struct node, rb)->key;
}

static int trees(void)
{
	struct bpf_rb_node *rb;
	u64 key, last = 0;
	int i;

	bpf_for(i, 0, 20) {
		struct node *n = bpf_obj_new_impl(bpf_core_type_id_local(struct node), NULL);

		CHECK(n);
		n->key = 1 + (u32)i * 7 % 20;
		bpf_spin_lock(&tree_lock);
		bpf_rbtree_add_impl(&tree, &n->rb, less, NULL, 0);
		bpf_spin_unlock(&tree_lock);
	}
	bpf_for(i, 0, 15) {
		struct node *n;

		bpf_spin_lock(&tree_lock);
		rb = bpf_rbtree_first(&tree);
		if (rb)
			rb = bpf_rbtree_remove(&tree, rb);
		bpf_spin_unlock(&tree_lock);
		CHECK(rb);
		n = container_of(rb, struct node, rb);
		key = n->key;
		bpf_obj_drop_impl(n, NULL);
		CHECK(key == last + 1);
		last = key;
	}
	return 0;
}

static int arenas(void)
{
	struct elem __arena *page, *e;
	u64 total = 0;
	int i;

	CHECK(counter == 40);
	counter += 2;
	CHECK(counter == 42);
	page = bpf_arena_alloc_pages(&arena, NULL, 2, NUMA_NO_NODE, 0);
	CHECK(page);
	for (i = 0; i < 300; i++) {
		page[i].val = i;
		page[i].next = list;
		list = &page[i];
	}
	for (e = list; e; e = e->next) {
		may_goto_end(out);
		total += e->val;
	}
out:
	CHECK(total == 300 * 299 / 2);
	sum = total;
	bpf_arena_free_pages(&arena, page, 2);
	CHECK(list->val == 0);
	return 0;
}

static int walks(void)
{
	struct cgroup *root = bpf_cgroup_from_id(1);
	struct cgroup_subsys_state *css;
	struct bpf_iter_task tasks;
	struct bpf_iter_css csses;
	struct task_struct *p;
	s32 last = -1;

	CHECK(root);
	bpf_rcu_read_lock();
	bpf_iter_task_new(&tasks, NULL, BPF_TASK_ITER_ALL_THREADS);
	while ((p = bpf_iter_task_next(&tasks))) {
		if (p->pid == last || (p->pid && !bpf_task_under_cgroup(p, root)))
			odd_tasks++;
		last = p->pid;
		seen_tasks++;
	}
	bpf_iter_task_destroy(&tasks);
	bpf_iter_css_new(&csses, &root->self, BPF_CGROUP_ITER_DESCENDANTS_PRE);
	while ((css = bpf_iter_css_next(&csses)))
		seen_cgroups++;
	bpf_iter_css_destroy(&csses);
	bpf_rcu_read_unlock();
	bpf_cgroup_release(root);
	CHECK(seen_tasks > 8 && !odd_tasks && seen_cgroups >= 1);
	return 0;
}

s32 BPF_STRUCT_OPS_SLEEPABLE(core_init)
{
	s32 ret;

	/* bpf_scx_reg's program has run. */
	CHECK(calls == 1);
	if ((ret = trees()) || (ret = arenas()) || (ret = walks()))
		return ret;
	return 0;
}

SEC("fentry/bpf_scx_reg")
int BPF_PROG(core_reg)
{
	if (bpf_get_current_task_btf()->migration_disabled == 1)
		calls++;
	return 0;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(core_switch, bool preempt, struct task_struct *prev, struct task_struct *next, unsigned int prev_state)
{
	switches++;
	if (prev->pid == next->pid || prev->pid != bpf_get_current_task_btf()->pid || (preempt && prev_state))
		odd_switches++;
	return 0;
}

void BPF_STRUCT_OPS(core_exit, struct scx_exit_info *ei)
{
	if (odd_switches || switches < 20)
		bpf_printk("%llu of %llu switches are odd", odd_switches, switches);
	bpf_printk("tasks %llu cgroups %llu sum %llu", seen_tasks, seen_cgroups, sum);
}

SCX_OPS_DEFINE(core_ops,
	       .init		= (void *)core_init,
	       .exit		= (void *)core_exit,
	       .name		= "core");

/* SPDX-License-Identifier: GPL-2.0-only */
/* V0022: tasks are walked without an RCU read side in an op that sleeps */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

int bpf_iter_task_new(struct bpf_iter_task *it, struct task_struct *task, unsigned int flags) __ksym;
struct task_struct *bpf_iter_task_next(struct bpf_iter_task *it) __ksym;
void bpf_iter_task_destroy(struct bpf_iter_task *it) __ksym;

u64 nr_tasks;

s32 BPF_STRUCT_OPS_SLEEPABLE(broken_init)
{
	struct bpf_iter_task it;

	bpf_iter_task_new(&it, NULL, BPF_TASK_ITER_ALL_PROCS);
	while (bpf_iter_task_next(&it))
		nr_tasks++;
	bpf_iter_task_destroy(&it);
	return 0;
}

SCX_OPS_DEFINE(broken_ops,
	       .init		= (void *)broken_init,
	       .name		= "broken");

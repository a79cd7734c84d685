/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * simple: the first scheduler to read.
 *
 * A task that wakes up goes straight to an idle CPU if there is one. All others
 * wait in one queue, the global DSQ, and every CPU takes its next task from its
 * front. The kernel does that by itself: a CPU whose local DSQ is empty looks at
 * the global DSQ before it asks ops.dispatch, so there is no ops.dispatch here.
 *
 * First come, first served: all tasks get equal shares whatever their nice value.
 */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

/*
 * Take over only the tasks of policy SCHED_EXT. This decides on kernels that have
 * scx_bpf_switch_all(), and under Sextant. On others, Linux 6.12 and later, all
 * fair tasks come over unless the loader sets SCX_OPS_SWITCH_PARTIAL in ops.flags.
 */
const volatile bool switch_partial;

u64 nr_local;	/* tasks that found an idle CPU */
u64 nr_global;	/* tasks that had to queue */

UEI_DEFINE(uei);

s32 BPF_STRUCT_OPS(simple_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	/* A task inserted here skips ops.enqueue. */
	if (is_idle) {
		__sync_fetch_and_add(&nr_local, 1);
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	}
	return cpu;
}

void BPF_STRUCT_OPS(simple_enqueue, struct task_struct *p, u64 enq_flags)
{
	__sync_fetch_and_add(&nr_global, 1);
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

s32 BPF_STRUCT_OPS_SLEEPABLE(simple_init)
{
	if (!switch_partial && bpf_ksym_exists(scx_bpf_switch_all))
		scx_bpf_switch_all();
	return 0;
}

void BPF_STRUCT_OPS(simple_exit, struct scx_exit_info *ei)
{
	UEI_RECORD(uei, ei);
	bpf_printk("simple: exit: %s %s", uei.reason, uei.msg);
}

SCX_OPS_DEFINE(simple_ops,
	       .select_cpu	= (void *)simple_select_cpu,
	       .enqueue		= (void *)simple_enqueue,
	       .init		= (void *)simple_init,
	       .exit		= (void *)simple_exit,
	       .name		= "simple");

/* SPDX-License-Identifier: GPL-2.0-only */
/* V0025: the idle mask is not put */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

const struct cpumask *scx_bpf_get_idle_cpumask(void) __ksym;
u32 bpf_cpumask_first(const struct cpumask *cpumask) __ksym;

s32 BPF_STRUCT_OPS(broken_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	const struct cpumask *idle = scx_bpf_get_idle_cpumask();
	u32 cpu = bpf_cpumask_first(idle);

	return cpu < scx_bpf_nr_cpu_ids() ? cpu : prev_cpu;
}

SCX_OPS_DEFINE(broken_ops,
	       .select_cpu		= (void *)broken_select_cpu,
	       .name		= "broken");

/* SPDX-License-Identifier: GPL-2.0-only */
/* Asks the kernel which last-level cache a CPU has; and for a variable that no kernel here has, which it can do without. */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

extern const int sd_llc_id __ksym;
extern const int no_such_variable __ksym __weak;

s32 BPF_STRUCT_OPS(llc_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	const int *here = bpf_this_cpu_ptr(&sd_llc_id), *prev = bpf_per_cpu_ptr(&sd_llc_id, prev_cpu);

	if (bpf_per_cpu_ptr(&sd_llc_id, 4096))
		scx_bpf_error("CPU 4096");
	if (&no_such_variable)
		scx_bpf_error("no_such_variable");
	if (!prev)
		scx_bpf_error("no LLC of CPU %d", prev_cpu);
	else if (prev_cpu == 5 && *here >= 0)
		bpf_printk("CPU 5 has LLC %d", *prev);
	return prev_cpu;
}

SCX_OPS_DEFINE(llc_ops,
	       .select_cpu	= (void *)llc_select_cpu,
	       .name		= "llc");

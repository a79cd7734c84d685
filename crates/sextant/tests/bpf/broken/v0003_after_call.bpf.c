/* SPDX-License-Identifier: GPL-2.0-only */
/* V0003: r1 is read after a call, which has overwritten it */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

SEC("struct_ops/broken_select_cpu")
__attribute__((naked)) void broken_select_cpu(void)
{
	asm volatile("r1 = 1;"
			 "call %[ktime];"
			 "r0 = r1;"
			 "exit;" :: [ktime] "i"(bpf_ktime_get_ns));
}

SCX_OPS_DEFINE(broken_ops,
	       .select_cpu		= (void *)broken_select_cpu,
	       .name		= "broken");

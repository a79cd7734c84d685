/* SPDX-License-Identifier: GPL-2.0-only */
/* V0003: the result is set on one way only */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

SEC("struct_ops/broken_select_cpu")
__attribute__((naked)) void broken_select_cpu(void)
{
	asm volatile("r2 = *(u64 *)(r1 + 8);"
			 "if r2 == 0 goto +1;"
			 "r0 = 1;"
			 "exit;");
}

SCX_OPS_DEFINE(broken_ops,
	       .select_cpu		= (void *)broken_select_cpu,
	       .name		= "broken");

/* SPDX-License-Identifier: GPL-2.0-only */
/* V0007: more than 512 bytes of stack */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

SEC("struct_ops/broken_select_cpu")
__attribute__((naked)) void broken_select_cpu(void)
{
	asm volatile("r1 = 0;"
			 "*(u64 *)(r10 - 520) = r1;"
			 "r0 = 0;"
			 "exit;");
}

SCX_OPS_DEFINE(broken_ops,
	       .select_cpu		= (void *)broken_select_cpu,
	       .name		= "broken");

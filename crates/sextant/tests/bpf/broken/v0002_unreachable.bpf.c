/* SPDX-License-Identifier: GPL-2.0-only */
/* V0002: code behind exit that nothing jumps to */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

SEC("struct_ops/broken_select_cpu")
__attribute__((naked)) void broken_select_cpu(void)
{
	asm volatile("r0 = 0;"
			 "exit;"
			 "r0 = 1;"
			 "exit;");
}

SCX_OPS_DEFINE(broken_ops,
	       .select_cpu		= (void *)broken_select_cpu,
	       .name		= "broken");

/* SPDX-License-Identifier: GPL-2.0-only */
/* V0015: half of a pointer is read back from the stack */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

SEC("struct_ops/broken_select_cpu")
__attribute__((naked)) void broken_select_cpu(void)
{
	asm volatile("*(u64 *)(r10 - 8) = r1;"
			 "r0 = *(u32 *)(r10 - 8);"
			 "exit;");
}

SCX_OPS_DEFINE(broken_ops,
	       .select_cpu		= (void *)broken_select_cpu,
	       .name		= "broken");

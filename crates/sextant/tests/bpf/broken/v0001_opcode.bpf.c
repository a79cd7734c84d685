/* SPDX-License-Identifier: GPL-2.0-only */
/* V0001: an instruction that BPF does not have */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

SEC("struct_ops/broken_select_cpu")
__attribute__((naked)) void broken_select_cpu(void)
{
	asm volatile("r0 = 0;"
			 ".8byte 0x00000000000000ff;"
			 "exit;");
}

SCX_OPS_DEFINE(broken_ops,
	       .select_cpu		= (void *)broken_select_cpu,
	       .name		= "broken");

/* SPDX-License-Identifier: GPL-2.0-only */
/* V0039: an instruction that reads a packet, which schedulers have none of */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

SEC("struct_ops/broken_select_cpu")
__attribute__((naked)) void broken_select_cpu(void)
{
	asm volatile("r6 = r1;"
			 ".8byte 0x0000000000000030;"
			 "exit;");
}

SCX_OPS_DEFINE(broken_ops,
	       .select_cpu		= (void *)broken_select_cpu,
	       .name		= "broken");

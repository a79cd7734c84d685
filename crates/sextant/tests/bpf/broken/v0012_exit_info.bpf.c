/* SPDX-License-Identifier: GPL-2.0-only */
/* V0012: the exit information is not the scheduler's to write */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

void BPF_STRUCT_OPS(broken_exit, struct scx_exit_info *ei)
{
	ei->exit_code = 0;
}

SCX_OPS_DEFINE(broken_ops,
	       .exit		= (void *)broken_exit,
	       .name		= "broken");

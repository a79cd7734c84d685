/* SPDX-License-Identifier: GPL-2.0-only */
/* V0005: the test is there, but on another pointer */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

struct task_ctx {
	u64 ran;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_ctx);
} task_ctxs SEC(".maps");

void BPF_STRUCT_OPS(broken_running, struct task_struct *p)
{
	struct task_ctx *tctx = bpf_task_storage_get(&task_ctxs, p, NULL, 0);

	if (p)
		tctx->ran++;
}

SCX_OPS_DEFINE(broken_ops,
	       .running		= (void *)broken_running,
	       .name		= "broken");

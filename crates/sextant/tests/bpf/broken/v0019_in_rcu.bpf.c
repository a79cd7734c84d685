/* SPDX-License-Identifier: GPL-2.0-only */
/* V0019: a call that may sleep inside of an RCU read side */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

void bpf_rcu_read_lock(void) __ksym;
void bpf_rcu_read_unlock(void) __ksym;

s32 BPF_STRUCT_OPS_SLEEPABLE(broken_init)
{
	s32 ret;

	bpf_rcu_read_lock();
	ret = scx_bpf_create_dsq(7, -1);
	bpf_rcu_read_unlock();
	return ret;
}

SCX_OPS_DEFINE(broken_ops,
	       .init		= (void *)broken_init,
	       .name		= "broken");

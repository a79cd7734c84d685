/* SPDX-License-Identifier: GPL-2.0-only */
/* Asks for memory until there is none, and ends with code 77 when the kernel has said so each way it can be asked. */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

struct bpf_cpumask *bpf_cpumask_create(void) __ksym;
void bpf_cpumask_release(struct bpf_cpumask *cpumask) __ksym;
void scx_bpf_exit_bstr(s64 exit_code, char *fmt, unsigned long long *data, u32 data__sz) __ksym;

struct mask_value {
	struct bpf_cpumask __kptr *mask;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, 1); /* BPF_F_NO_PREALLOC */
	__uint(max_entries, 100000000);
	__type(key, u64);
	__type(value, u64);
} elements SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 60000);
	__type(key, u32);
	__type(value, struct mask_value);
} masks SEC(".maps");

u64 made;
char why[] = "out of memory";
bool masks_end, elements_end;

static int one_mask(u32 i, void *ctx)
{
	struct mask_value *value = bpf_map_lookup_elem(&masks, &i);
	struct bpf_cpumask *mask;

	if (!value)
		return 1;
	mask = bpf_cpumask_create();
	if (!mask) {
		masks_end = true;
		return 1;
	}
	mask = bpf_kptr_xchg(&value->mask, mask);
	if (mask)
		bpf_cpumask_release(mask);
	return 0;
}

static int one_element(u32 i, void *ctx)
{
	u64 key = made++;

	elements_end = bpf_map_update_elem(&elements, &key, &key, 0) != 0;
	return elements_end;
}

void BPF_STRUCT_OPS(flood_dispatch, s32 cpu, struct task_struct *prev)
{
	bpf_loop(60000, one_mask, NULL, 0);
	bpf_loop(60000, one_element, NULL, 0);
	if (masks_end && elements_end)
		scx_bpf_exit_bstr(77, why, NULL, 0);
}

SCX_OPS_DEFINE(flood_ops,
	       .dispatch	= (void *)flood_dispatch,
	       .name		= "flood");

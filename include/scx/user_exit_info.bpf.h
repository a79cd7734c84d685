/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How the scheduler ended, kept in .data where user space reads it:
 *
 *	UEI_DEFINE(uei);
 *	void BPF_STRUCT_OPS(x_exit, struct scx_exit_info *ei) { UEI_RECORD(uei, ei); }
 *
 * kind is stored last, so a reader that sees it non-zero sees the rest too. The
 * debug dump goes to an array that the loader may make larger; when it does, it
 * stores the size in NAME_dump_len. The layout is that of the kernel's header,
 * so that its user space half works with this one.
 */
#ifndef __SCX_USER_EXIT_INFO_BPF_H
#define __SCX_USER_EXIT_INFO_BPF_H

enum uei_sizes {
	UEI_REASON_LEN = 128,
	UEI_MSG_LEN = 1024,
	UEI_DUMP_DFL_LEN = 32768,
};

struct user_exit_info {
	int kind;		/* enum scx_exit_kind */
	s32 exit_cpu;		/* -1 where the kernel does not say */
	s64 exit_code;
	char reason[UEI_REASON_LEN];
	char msg[UEI_MSG_LEN];
};

#define UEI_DEFINE(name)								\
	char name##_dump[1] SEC(".data." #name "_dump");				\
	const volatile u32 name##_dump_len;						\
	struct user_exit_info name SEC(".data")

#define UEI_RECORD(uei, ei)								\
({											\
	bpf_probe_read_kernel_str(uei##_dump, uei##_dump_len, (ei)->dump);		\
	___uei_record(&(uei), (ei));							\
})

static inline void ___uei_record(struct user_exit_info *uei, const struct scx_exit_info *ei)
{
	bpf_probe_read_kernel_str(uei->reason, sizeof(uei->reason), ei->reason);
	bpf_probe_read_kernel_str(uei->msg, sizeof(uei->msg), ei->msg);
	uei->exit_code = ei->exit_code;
	uei->exit_cpu = bpf_core_field_exists(ei->exit_cpu) ? ei->exit_cpu : -1;
	__sync_lock_test_and_set(&uei->kind, ei->kind);
}

#endif /* __SCX_USER_EXIT_INFO_BPF_H */

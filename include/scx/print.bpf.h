/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Messages: scx_bpf_error(), scx_bpf_exit(), scx_bpf_dump(). The kfuncs take the
 * values as an array of words, which must not be empty; the compiler compares
 * format and arguments as printf's. Included by common.bpf.h.
 */
#ifndef __SCX_PRINT_BPF_H
#define __SCX_PRINT_BPF_H

static inline __attribute__((format(printf, 1, 2)))
void ___scx_format_check(const char *fmt, ...) {}

#define ___scx_val0()
#define ___scx_val1(x) (u64)(x)
#define ___scx_val2(x, more...) (u64)(x), ___scx_val1(more)
#define ___scx_val3(x, more...) (u64)(x), ___scx_val2(more)
#define ___scx_val4(x, more...) (u64)(x), ___scx_val3(more)
#define ___scx_val5(x, more...) (u64)(x), ___scx_val4(more)
#define ___scx_val6(x, more...) (u64)(x), ___scx_val5(more)
#define ___scx_val7(x, more...) (u64)(x), ___scx_val6(more)
#define ___scx_val8(x, more...) (u64)(x), ___scx_val7(more)
#define ___scx_val9(x, more...) (u64)(x), ___scx_val8(more)
#define ___scx_val10(x, more...) (u64)(x), ___scx_val9(more)
#define ___scx_val11(x, more...) (u64)(x), ___scx_val10(more)
#define ___scx_val12(x, more...) (u64)(x), ___scx_val11(more)
#define ___scx_vals(args...) ___bpf_apply(___scx_val, ___bpf_narg(args))(args)

/* Declares the text ___fmt and the values ___param that the kfuncs take. */
#define scx_bpf_bstr_preamble(fmt, args...)						\
	static char ___fmt[] = fmt;							\
	unsigned long long ___param[___bpf_narg(args) ?: 1] = { ___scx_vals(args) };	\
											\
	___scx_format_check(fmt, ##args);

/* Ends the scheduler in good order, with a code for user space. */
#define scx_bpf_exit(code, fmt, args...)						\
({											\
	scx_bpf_bstr_preamble(fmt, ##args)						\
	scx_bpf_exit_bstr(code, ___fmt, ___param, sizeof(___param));			\
})

/* Throws the scheduler out with a message, which begins with file and line. */
#define scx_bpf_error(fmt, args...)							\
({											\
	scx_bpf_bstr_preamble(__FILE_NAME__ ":" SCX_TOSTRING(__LINE__) ": " fmt, ##args)	\
	scx_bpf_error_bstr(___fmt, ___param, sizeof(___param));				\
})

/* In ops.dump and its kin: adds to the debug dump. */
#define scx_bpf_dump(fmt, args...)							\
({											\
	scx_bpf_bstr_preamble(fmt, ##args)						\
	scx_bpf_dump_bstr(___fmt, ___param, sizeof(___param));				\
})

#define scx_bpf_dump_header()								\
	scx_bpf_dump("kernel: %d.%d.%d %s\ncc: %s\n", LINUX_KERNEL_VERSION >> 16,	\
		     LINUX_KERNEL_VERSION >> 8 & 0xff, LINUX_KERNEL_VERSION & 0xff,	\
		     CONFIG_LOCALVERSION, CONFIG_CC_VERSION_TEXT)

/* Ends a child scheduler; -EOPNOTSUPP where the kernel has no sub-schedulers. */
#define scx_bpf_sub_kill(cgid, fmt, args...)						\
({											\
	scx_bpf_bstr_preamble(fmt, ##args)						\
	bpf_ksym_exists(scx_bpf_sub_kill_bstr)						\
		? scx_bpf_sub_kill_bstr((cgid), ___fmt, ___param, sizeof(___param)) : -EOPNOTSUPP;	\
})

#endif /* __SCX_PRINT_BPF_H */

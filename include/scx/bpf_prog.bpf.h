/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * BPF_PROG(): the kernel hands a program one pointer to an array of words, one
 * word an argument; the body is a function with the arguments as they are meant.
 * libbpf's, before 1.6, cannot have a pointer into an arena among them.
 */
#ifndef __SCX_BPF_PROG_BPF_H
#define __SCX_BPF_PROG_BPF_H

#define ___scx_words0() ctx
#define ___scx_words1(a) ___scx_words0(), ctx[0]
#define ___scx_words2(a, b...) ___scx_words1(b), ctx[1]
#define ___scx_words3(a, b...) ___scx_words2(b), ctx[2]
#define ___scx_words4(a, b...) ___scx_words3(b), ctx[3]
#define ___scx_words5(a, b...) ___scx_words4(b), ctx[4]
#define ___scx_words6(a, b...) ___scx_words5(b), ctx[5]
#define ___scx_words7(a, b...) ___scx_words6(b), ctx[6]
#define ___scx_words8(a, b...) ___scx_words7(b), ctx[7]
#define ___scx_words9(a, b...) ___scx_words8(b), ctx[8]
#define ___scx_words10(a, b...) ___scx_words9(b), ctx[9]
#define ___scx_words11(a, b...) ___scx_words10(b), ctx[10]
#define ___scx_words12(a, b...) ___scx_words11(b), ctx[11]
#define ___scx_words(args...) ___bpf_apply(___scx_words, ___bpf_narg(args))(args)

#undef BPF_PROG
#define BPF_PROG(name, args...)								\
name(unsigned long long *ctx);								\
static __always_inline typeof(name(0)) ____##name(unsigned long long *ctx, ##args);	\
typeof(name(0)) name(unsigned long long *ctx)						\
{											\
	_Pragma("GCC diagnostic push")							\
	_Pragma("GCC diagnostic ignored \"-Wint-conversion\"")				\
	return ____##name(___scx_words(args));						\
	_Pragma("GCC diagnostic pop")							\
}											\
static __always_inline typeof(name(0)) ____##name(unsigned long long *ctx, ##args)

#endif /* __SCX_BPF_PROG_BPF_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What libbpf's headers have had only since some version: with this after them,
 * schedulers compile alike with those of Debian 12 (libbpf 1.1), Debian 13 (1.5)
 * and later ones, and yield the same object.
 */
#ifndef __SCX_LIBBPF_NEWER_BPF_H
#define __SCX_LIBBPF_NEWER_BPF_H

#ifndef NULL
#define NULL ((void *)0)
#endif

#undef bpf_ksym_exists
#define bpf_ksym_exists(sym) (!!(sym))
#undef likely
#define likely(x) __builtin_expect(!!(x), 1)
#undef unlikely
#define unlikely(x) __builtin_expect(!!(x), 0)

#ifndef __kptr
#define __kptr __attribute__((btf_type_tag("kptr")))
#endif
#ifndef __kptr_untrusted
#define __kptr_untrusted __attribute__((btf_type_tag("kptr_untrusted")))
#endif
#ifndef __percpu_kptr
#define __percpu_kptr __attribute__((btf_type_tag("percpu_kptr")))
#endif
#ifndef __uptr
#define __uptr __attribute__((btf_type_tag("uptr")))
#endif

/* What a global function may expect of an argument. */
#ifndef __arg_ctx
#define __arg_ctx __attribute__((btf_decl_tag("arg:ctx")))
#endif
#ifndef __arg_nonnull
#define __arg_nonnull __attribute__((btf_decl_tag("arg:nonnull")))
#endif
#ifndef __arg_nullable
#define __arg_nullable __attribute__((btf_decl_tag("arg:nullable")))
#endif
#ifndef __arg_trusted
#define __arg_trusted __attribute__((btf_decl_tag("arg:trusted")))
#endif
#ifndef __arg_untrusted
#define __arg_untrusted __attribute__((btf_decl_tag("arg:untrusted")))
#endif
#ifndef __arg_arena
#define __arg_arena __attribute__((btf_decl_tag("arg:arena")))
#endif

#ifndef __ulong
#define __ulong(name, val) enum { ___bpf_concat(__unique_value, __COUNTER__) = val } name
#endif

struct bpf_iter_num;
int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __attribute__((section(".ksyms"))) __weak;
int *bpf_iter_num_next(struct bpf_iter_num *it) __attribute__((section(".ksyms"))) __weak;
void bpf_iter_num_destroy(struct bpf_iter_num *it) __attribute__((section(".ksyms"))) __weak;

/*
 * for (int i = start; i < end; i++), checked once by the verifier instead of
 * once per round. The comparison never fails: it tells the verifier i's range.
 */
#undef bpf_for
#define bpf_for(i, start, end)								\
	for (struct bpf_iter_num ___it __attribute__((aligned(8), cleanup(bpf_iter_num_destroy))),	\
			*___init = (bpf_iter_num_new(&___it, (start), (end)), &___it);	\
	     ({										\
		int *___next = bpf_iter_num_next(___init);				\
											\
		___next && ((i) = *___next, (i) >= (typeof(i))(start) && (i) < (typeof(i))(end));	\
	     });)

#undef bpf_repeat
#define bpf_repeat(times)								\
	for (struct bpf_iter_num ___it __attribute__((aligned(8), cleanup(bpf_iter_num_destroy))),	\
			*___init = (bpf_iter_num_new(&___it, 0, (times)), &___it);	\
	     bpf_iter_num_next(___init);)

/* Over what an iterator of that type yields; cur is NULL behind the last. */
#undef bpf_for_each
#define bpf_for_each(type, cur, args...)						\
	for (struct bpf_iter_##type ___it						\
			__attribute__((aligned(8), cleanup(bpf_iter_##type##_destroy))),	\
			*___init = (bpf_iter_##type##_new(&___it, ##args), &___it);	\
	     ((cur) = bpf_iter_##type##_next(___init));)

#endif /* __SCX_LIBBPF_NEWER_BPF_H */

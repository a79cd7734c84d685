/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stands in for libbpf's header of that name, see bpf_helpers.h: reads and
 * questions whose answers depend on the running kernel (CO-RE).
 */
#ifndef __SEXTANT_BPF_CORE_READ_H
#define __SEXTANT_BPF_CORE_READ_H

#include "bpf_helpers.h"

/* Kinds of questions to the compiler's builtins, by the numbers of the BPF relocations. */
enum bpf_field_info_kind {
	BPF_FIELD_BYTE_OFFSET = 0,
	BPF_FIELD_BYTE_SIZE = 1,
	BPF_FIELD_EXISTS = 2,
	BPF_FIELD_SIGNED = 3,
	BPF_FIELD_LSHIFT_U64 = 4,
	BPF_FIELD_RSHIFT_U64 = 5,
};

enum bpf_type_id_kind {
	BPF_TYPE_ID_LOCAL = 0,
	BPF_TYPE_ID_TARGET = 1,
};

enum bpf_type_info_kind {
	BPF_TYPE_EXISTS = 0,
	BPF_TYPE_SIZE = 1,
	BPF_TYPE_MATCHES = 2,
};

enum bpf_enum_value_kind {
	BPF_ENUMVAL_EXISTS = 0,
	BPF_ENUMVAL_VALUE = 1,
};

/* A field is meant as an expression, or as a type and a member of it. */
#define ___core_field1(expr) (expr)
#define ___core_field2(type, member) (((typeof(type) *)0)->member)
#define ___core_field(args...) ___bpf_apply(___core_field, ___bpf_narg(args))(args)

#define bpf_core_field_exists(field...) __builtin_preserve_field_info(___core_field(field), BPF_FIELD_EXISTS)
#define bpf_core_field_size(field...) __builtin_preserve_field_info(___core_field(field), BPF_FIELD_BYTE_SIZE)
#define bpf_core_field_offset(field...) __builtin_preserve_field_info(___core_field(field), BPF_FIELD_BYTE_OFFSET)

#define bpf_core_type_exists(type) __builtin_preserve_type_info(*(typeof(type) *)0, BPF_TYPE_EXISTS)
#define bpf_core_type_matches(type) __builtin_preserve_type_info(*(typeof(type) *)0, BPF_TYPE_MATCHES)
#define bpf_core_type_size(type) __builtin_preserve_type_info(*(typeof(type) *)0, BPF_TYPE_SIZE)
#define bpf_core_type_id_local(type) __builtin_btf_type_id(*(typeof(type) *)0, BPF_TYPE_ID_LOCAL)
#define bpf_core_type_id_kernel(type) __builtin_btf_type_id(*(typeof(type) *)0, BPF_TYPE_ID_TARGET)

#define bpf_core_enum_value_exists(type, value)						\
	__builtin_preserve_enum_value(*(typeof(type) *)value, BPF_ENUMVAL_EXISTS)
#define bpf_core_enum_value(type, value)						\
	__builtin_preserve_enum_value(*(typeof(type) *)value, BPF_ENUMVAL_VALUE)

/* One read at an address that CO-RE finds. */
#define bpf_core_read(dst, sz, src)							\
	bpf_probe_read_kernel(dst, sz, (const void *)__builtin_preserve_access_index(src))
#define bpf_core_read_user(dst, sz, src)						\
	bpf_probe_read_user(dst, sz, (const void *)__builtin_preserve_access_index(src))
#define bpf_core_read_str(dst, sz, src)							\
	bpf_probe_read_kernel_str(dst, sz, (const void *)__builtin_preserve_access_index(src))
#define bpf_core_read_user_str(dst, sz, src)						\
	bpf_probe_read_user_str(dst, sz, (const void *)__builtin_preserve_access_index(src))

/* (s)->a->b->c, whose type a chain of reads has. */
#define ___core_arrow1(s, a) (s)->a
#define ___core_arrow2(s, a, b...) ___core_arrow1((s)->a, b)
#define ___core_arrow3(s, a, b...) ___core_arrow2((s)->a, b)
#define ___core_arrow4(s, a, b...) ___core_arrow3((s)->a, b)
#define ___core_arrow5(s, a, b...) ___core_arrow4((s)->a, b)
#define ___core_arrow6(s, a, b...) ___core_arrow5((s)->a, b)
#define ___core_arrow7(s, a, b...) ___core_arrow6((s)->a, b)
#define ___core_arrow8(s, a, b...) ___core_arrow7((s)->a, b)
#define ___core_arrow9(s, a, b...) ___core_arrow8((s)->a, b)
#define ___core_arrow(s, a...) ___bpf_apply(___core_arrow, ___bpf_narg(a))(s, a)

/*
 * The chain of reads: each pointer on the way is read into a variable of its
 * own, the last value with `last`.
 */
#define ___core_get(last, n, dst, sz, s, a)						\
	last((void *)(dst), sz, &(s)->a)
#define ___core_step(rest, last, n, dst, sz, s, a, b...)				\
({											\
	typeof((s)->a) ___core_##n;							\
											\
	bpf_core_read((void *)&___core_##n, sizeof(___core_##n), &(s)->a);		\
	rest(last, dst, sz, ___core_##n, b);						\
})
#define ___core_chain1(last, dst, sz, s, a) ___core_get(last, 1, dst, sz, s, a)
#define ___core_chain2(last, dst, sz, s, a, b...) ___core_step(___core_chain1, last, 2, dst, sz, s, a, b)
#define ___core_chain3(last, dst, sz, s, a, b...) ___core_step(___core_chain2, last, 3, dst, sz, s, a, b)
#define ___core_chain4(last, dst, sz, s, a, b...) ___core_step(___core_chain3, last, 4, dst, sz, s, a, b)
#define ___core_chain5(last, dst, sz, s, a, b...) ___core_step(___core_chain4, last, 5, dst, sz, s, a, b)
#define ___core_chain6(last, dst, sz, s, a, b...) ___core_step(___core_chain5, last, 6, dst, sz, s, a, b)
#define ___core_chain7(last, dst, sz, s, a, b...) ___core_step(___core_chain6, last, 7, dst, sz, s, a, b)
#define ___core_chain8(last, dst, sz, s, a, b...) ___core_step(___core_chain7, last, 8, dst, sz, s, a, b)
#define ___core_chain9(last, dst, sz, s, a, b...) ___core_step(___core_chain8, last, 9, dst, sz, s, a, b)
#define ___core_chain(last, dst, sz, s, a...)						\
	___bpf_apply(___core_chain, ___bpf_narg(a))(last, dst, sz, s, a)

#define BPF_CORE_READ_INTO(dst, src, a...)						\
	___core_chain(bpf_core_read, dst, sizeof(*(dst)), src, a)
#define BPF_CORE_READ_STR_INTO(dst, src, a...)						\
	___core_chain(bpf_core_read_str, dst, sizeof(*(dst)), src, a)

/* The value of src->a->b->c; 0 where a pointer on the way cannot be read. */
#define BPF_CORE_READ(src, a...)							\
({											\
	typeof(___core_arrow(src, a)) ___core_val;					\
											\
	BPF_CORE_READ_INTO(&___core_val, src, a);					\
	___core_val;									\
})

/* A bit field's value: its word is shifted up and down again. */
#define ___core_bits(s, field)								\
	(__builtin_preserve_field_info((s)->field, BPF_FIELD_SIGNED)			\
	 ? (unsigned long long)((long long)(___core_word				\
	   << __builtin_preserve_field_info((s)->field, BPF_FIELD_LSHIFT_U64))		\
	   >> __builtin_preserve_field_info((s)->field, BPF_FIELD_RSHIFT_U64))		\
	 : ___core_word << __builtin_preserve_field_info((s)->field, BPF_FIELD_LSHIFT_U64)	\
	   >> __builtin_preserve_field_info((s)->field, BPF_FIELD_RSHIFT_U64))

#define BPF_CORE_READ_BITFIELD_PROBED(s, field)						\
({											\
	unsigned long long ___core_word = 0;						\
											\
	bpf_probe_read_kernel(&___core_word,						\
		__builtin_preserve_field_info((s)->field, BPF_FIELD_BYTE_SIZE),		\
		(const void *)(s) + __builtin_preserve_field_info((s)->field, BPF_FIELD_BYTE_OFFSET));	\
	___core_bits(s, field);								\
})

#define BPF_CORE_READ_BITFIELD(s, field)						\
({											\
	const void *___core_at = (const void *)(s) +					\
		__builtin_preserve_field_info((s)->field, BPF_FIELD_BYTE_OFFSET);	\
	unsigned long long ___core_word = 0;						\
											\
	switch (__builtin_preserve_field_info((s)->field, BPF_FIELD_BYTE_SIZE)) {	\
	case 1: ___core_word = *(const unsigned char *)___core_at; break;		\
	case 2: ___core_word = *(const unsigned short *)___core_at; break;		\
	case 4: ___core_word = *(const unsigned int *)___core_at; break;		\
	case 8: ___core_word = *(const unsigned long long *)___core_at; break;		\
	}										\
	___core_bits(s, field);								\
})

#endif /* __SEXTANT_BPF_CORE_READ_H */

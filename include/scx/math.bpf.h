/* SPDX-License-Identifier: GPL-2.0-only */
/* Arithmetic that schedulers share. Included by common.bpf.h. */
#ifndef __SCX_MATH_BPF_H
#define __SCX_MATH_BPF_H

/* Times and vtimes wrap: what is meant is the sign of the difference. */
static inline bool time_before(u64 a, u64 b) { return (s64)(a - b) < 0; }
static inline bool time_after(u64 a, u64 b) { return (s64)(b - a) < 0; }
static inline bool time_before_eq(u64 a, u64 b) { return (s64)(a - b) <= 0; }
static inline bool time_after_eq(u64 a, u64 b) { return (s64)(b - a) <= 0; }
static inline bool time_in_range(u64 a, u64 from, u64 to) { return time_after_eq(a, from) && time_before_eq(a, to); }
static inline bool time_in_range_open(u64 a, u64 from, u64 to) { return time_after_eq(a, from) && time_before(a, to); }

/* From before to after, 0 when it is the other way round. */
static inline s64 time_delta(u64 after, u64 before)
{
	s64 delta = after - before;

	return delta > 0 ? delta : 0;
}

/* Weight 100 is the default, of nice 0. */
static inline u64 scale_by_task_weight(const struct task_struct *p, u64 value)
{
	return value * p->scx.weight / 100;
}

static inline u64 scale_by_task_weight_inverse(const struct task_struct *p, u64 value)
{
	return value * 100 / p->scx.weight;
}

/*
 * A moving average that keeps all but 1/2^decay of the old value; near 0, where
 * that share is lost in rounding, half of it.
 */
#define __calc_avg(old, new, decay)							\
({											\
	typeof(old) ___old = (old), ___new = (new), ___least = 1 << (decay);		\
	typeof(old) ___avg = ___old - (___old >> (decay)) + (___new >> (decay));	\
											\
	if (___old < ___least || ___new < ___least)					\
		___avg = ___old == 1 && ___new == 0 ? 0 : ___old - (___old >> 1) + (___new >> 1);	\
	___avg;										\
})

/* The number of the highest bit; 0 for 0 and 1. */
static inline u32 log2_u32(u32 v)
{
	u32 r = 0;

	if (v >> 16) { r += 16; v >>= 16; }
	if (v >> 8) { r += 8; v >>= 8; }
	if (v >> 4) { r += 4; v >>= 4; }
	if (v >> 2) { r += 2; v >>= 2; }
	return r + (v >> 1);
}

/* How many bits the value has; 1 for 0. */
static inline u32 log2_u64(u64 v)
{
	u32 high = v >> 32;

	return 1 + (high ? 32 + log2_u32(high) : log2_u32(v));
}

/* The square root, by Newton's method; exact for squares of what 8 steps reach. */
static inline u64 __sqrt_u64(u64 x)
{
	u64 root = x < (1ULL << 32) ? x : 1ULL << 32;

	if (x < 2)
		return x;
	for (int i = 0; i < 8; i++) {
		u64 other = x / root;

		if (other >= root)
			break;
		root = (root + other) / 2;
	}
	return root;
}

/* The number of the lowest bit that is set; of 0, nothing sensible. */
static inline int ctzll(u64 v)
{
#if __clang_major__ >= 19
	return __builtin_ctzll(v);
#else
	int n = 0;

	if (!(u32)v) { n += 32; v >>= 32; }
	if (!(v & 0xffff)) { n += 16; v >>= 16; }
	if (!(v & 0xff)) { n += 8; v >>= 8; }
	if (!(v & 0xf)) { n += 4; v >>= 4; }
	if (!(v & 0x3)) { n += 2; v >>= 2; }
	return n + !(v & 1);
#endif
}

static inline u64 get_prandom_u64(void)
{
	return (u64)bpf_get_prandom_u32() << 32 | bpf_get_prandom_u32();
}

#endif /* __SCX_MATH_BPF_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Masks of cids: CPUs numbered by topology. A struct scx_cmask covers the cids
 * from base to base + nr_cids - 1. bits[0] has the word of base, so that bit n of
 * any word is a cid that leaves the rest n when divided by 64; bits outside of the
 * range are 0, and every function here keeps them so. Masks lie in an arena.
 * Included by common.bpf.h.
 */
#ifndef __SCX_CID_BPF_H
#define __SCX_CID_BPF_H

#ifndef BIT_U64
#define BIT_U64(nr) (1ULL << (nr))
#endif
#ifndef GENMASK_U64
#define GENMASK_U64(high, low) ((~0ULL << (low)) & (~0ULL >> (63 - (high))))
#endif

/* Words of the largest mask: 8192 CPUs from a base inside of a word. */
#ifndef CMASK_MAX_WORDS
#define CMASK_MAX_WORDS 129
#endif

/* Words that so many cids need at most, wherever they begin. */
#define CMASK_NR_WORDS(nr_cids) ((u32)(((u64)(nr_cids) + 63) / 64 + 1))

/* Tries of a compare-and-swap before something must be wrong. */
#define CMASK_CAS_TRIES (1U << 23)

#define ___cmask_fn(ret) static __always_inline ret

___cmask_fn(u32) ___cmask_end(const struct scx_cmask __arena *m)
{
	return m->base + m->nr_cids;
}

___cmask_fn(bool) __cmask_contains(u32 cid, const struct scx_cmask __arena *m)
{
	return cid >= m->base && cid < ___cmask_end(m);
}

___cmask_fn(u64 __arena *) __cmask_word(u32 cid, const struct scx_cmask __arena *m)
{
	return (u64 __arena *)&m->bits[cid / 64 - m->base / 64];
}

/* The word of m that has the cids from 64 * word on; word must be in its range. */
___cmask_fn(u64) ___cmask_bits(const struct scx_cmask __arena *m, u32 word)
{
	return m->bits[word - m->base / 64];
}

/* A range of cids, and the bits of it in a word. */
struct ___cmask_range {
	u32 from;
	u32 to;
};

___cmask_fn(struct ___cmask_range) ___cmask_both(const struct scx_cmask __arena *a, const struct scx_cmask __arena *b)
{
	u32 a_end = ___cmask_end(a), b_end = ___cmask_end(b);
	struct ___cmask_range range = {
		.from = a->base > b->base ? a->base : b->base,
		.to = a_end < b_end ? a_end : b_end,
	};

	return range;
}

___cmask_fn(u64) ___cmask_in(u32 word, u32 from, u32 to)
{
	u64 bits = ~0ULL;

	if (word == from / 64)
		bits &= GENMASK_U64(63, from & 63);
	if (word == (to - 1) / 64)
		bits &= GENMASK_U64((to - 1) & 63, 0);
	return bits;
}

/* for (word = from / 64; word <= (to - 1) / 64; word++), bounded; from < to. */
#define ___cmask_for_each_word(i, word, from, to)					\
	bpf_for(i, 0, CMASK_MAX_WORDS)							\
		if (((word) = (from) / 64 + (i)) > ((to) - 1) / 64)			\
			break;								\
		else

/* An empty mask with room for alloc_cids, of which nr_cids from base on are in its range. */
___cmask_fn(void) __cmask_init(struct scx_cmask __arena *m, u32 base, u32 nr_cids, u32 alloc_cids)
{
	u32 words = CMASK_NR_WORDS(alloc_cids), i;

	if (nr_cids > alloc_cids) {
		scx_bpf_error("a cmask of %u cids has no room for %u", alloc_cids, nr_cids);
		return;
	}
	m->base = base;
	m->nr_cids = nr_cids;
	m->alloc_words = words;
	bpf_for(i, 0, CMASK_MAX_WORDS) {
		if (i >= words)
			break;
		m->bits[i] = 0;
	}
}

___cmask_fn(void) cmask_init(struct scx_cmask __arena *m, u32 base, u32 nr_cids)
{
	__cmask_init(m, base, nr_cids, nr_cids);
}

/* Gives m another range within its room. Its first and last word are cleared, the ones between hold anything. */
___cmask_fn(void) cmask_reframe(struct scx_cmask __arena *m, u32 base, u32 nr_cids)
{
	if (CMASK_NR_WORDS(nr_cids) > m->alloc_words) {
		scx_bpf_error("a cmask of %u words has no room for %u cids", m->alloc_words, nr_cids);
		return;
	}
	if (nr_cids) {
		m->bits[0] = 0;
		m->bits[((base & 63) + nr_cids - 1) / 64] = 0;
	}
	m->base = base;
	m->nr_cids = nr_cids;
}

___cmask_fn(void) cmask_zero(struct scx_cmask __arena *m)
{
	u32 words = CMASK_NR_WORDS(m->nr_cids), i;

	bpf_for(i, 0, CMASK_MAX_WORDS) {
		if (i >= words)
			break;
		m->bits[i] = 0;
	}
}

/* One cid. Outside of the range: not set, and nothing is changed. */
___cmask_fn(bool) cmask_test(u32 cid, const struct scx_cmask __arena *m)
{
	return __cmask_contains(cid, m) && *__cmask_word(cid, m) & BIT_U64(cid & 63);
}

/* Not atomic. What the bit was. */
___cmask_fn(bool) ___cmask_change(u32 cid, struct scx_cmask __arena *m, bool to)
{
	u64 bit = BIT_U64(cid & 63), old;
	u64 __arena *word;

	if (!__cmask_contains(cid, m))
		return false;
	word = __cmask_word(cid, m);
	old = *word;
	*word = to ? old | bit : old & ~bit;
	return old & bit;
}

___cmask_fn(void) __cmask_set(u32 cid, struct scx_cmask __arena *m) { ___cmask_change(cid, m, true); }
___cmask_fn(void) __cmask_clear(u32 cid, struct scx_cmask __arena *m) { ___cmask_change(cid, m, false); }
___cmask_fn(bool) __cmask_test_and_set(u32 cid, struct scx_cmask __arena *m) { return ___cmask_change(cid, m, true); }
___cmask_fn(bool) __cmask_test_and_clear(u32 cid, struct scx_cmask __arena *m) { return ___cmask_change(cid, m, false); }

/* Atomic, by compare-and-swap: x86 has no fetching AND and OR on arenas. What the bit was. */
___cmask_fn(bool) ___cmask_change_atomic(u32 cid, struct scx_cmask __arena *m, bool to)
{
	u64 bit = BIT_U64(cid & 63), old, new;
	u64 __arena *word;
	u32 i;

	if (!__cmask_contains(cid, m))
		return false;
	word = __cmask_word(cid, m);
	bpf_for(i, 0, CMASK_CAS_TRIES) {
		old = *word;
		new = to ? old | bit : old & ~bit;
		if (old == new || __sync_val_compare_and_swap(word, old, new) == old)
			return old & bit;
	}
	scx_bpf_error("cid %u of a cmask cannot be changed: its word never rests", cid);
	return false;
}

___cmask_fn(void) cmask_set(u32 cid, struct scx_cmask __arena *m) { ___cmask_change_atomic(cid, m, true); }
___cmask_fn(void) cmask_clear(u32 cid, struct scx_cmask __arena *m) { ___cmask_change_atomic(cid, m, false); }
___cmask_fn(bool) cmask_test_and_set(u32 cid, struct scx_cmask __arena *m) { return ___cmask_change_atomic(cid, m, true); }
___cmask_fn(bool) cmask_test_and_clear(u32 cid, struct scx_cmask __arena *m) { return ___cmask_change_atomic(cid, m, false); }

enum {
	BPF_CMASK_OP_AND,
	BPF_CMASK_OP_OR,
	BPF_CMASK_OP_COPY,
	BPF_CMASK_OP_ANDNOT,
};

/* dst = dst op src where both have cids; the rest of dst stays. */
___cmask_fn(void) cmask_op(struct scx_cmask __arena *dst, const struct scx_cmask __arena *src, int op)
{
	struct ___cmask_range both = ___cmask_both(dst, src);
	u32 i, word;

	if (both.from >= both.to)
		return;
	___cmask_for_each_word(i, word, both.from, both.to) {
		u64 in = ___cmask_in(word, both.from, both.to);
		u64 d = ___cmask_bits(dst, word), s = ___cmask_bits(src, word), r = s;

		if (op == BPF_CMASK_OP_AND)
			r = d & s;
		else if (op == BPF_CMASK_OP_OR)
			r = d | s;
		else if (op == BPF_CMASK_OP_ANDNOT)
			r = d & ~s;
		dst->bits[word - dst->base / 64] = (d & ~in) | (r & in);
	}
}

#define ___cmask_op_fn(name, op)							\
___cmask_fn(void) name(struct scx_cmask __arena *dst, const struct scx_cmask __arena *src) { cmask_op(dst, src, op); }
___cmask_op_fn(cmask_and, BPF_CMASK_OP_AND)
___cmask_op_fn(cmask_or, BPF_CMASK_OP_OR)
___cmask_op_fn(cmask_copy, BPF_CMASK_OP_COPY)
___cmask_op_fn(cmask_andnot, BPF_CMASK_OP_ANDNOT)

/* How many are set. */
___cmask_fn(u32) cmask_weight(const struct scx_cmask __arena *m)
{
	u32 i, word, count = 0;

	if (!m->nr_cids)
		return 0;
	___cmask_for_each_word(i, word, m->base, ___cmask_end(m))
		count += __builtin_popcountll(___cmask_bits(m, word));
	return count;
}

/* Same range and same cids. */
___cmask_fn(bool) cmask_equal(const struct scx_cmask __arena *a, const struct scx_cmask __arena *b)
{
	u32 i, word;

	if (a->base != b->base || a->nr_cids != b->nr_cids)
		return false;
	if (!a->nr_cids)
		return true;
	___cmask_for_each_word(i, word, a->base, ___cmask_end(a))
		if (___cmask_bits(a, word) != ___cmask_bits(b, word))
			return false;
	return true;
}

/* Whether a cid is in both. */
___cmask_fn(bool) cmask_intersects(const struct scx_cmask __arena *a, const struct scx_cmask __arena *b)
{
	struct ___cmask_range both = ___cmask_both(a, b);
	u32 i, word;

	if (both.from >= both.to)
		return false;
	___cmask_for_each_word(i, word, both.from, both.to)
		if (___cmask_bits(a, word) & ___cmask_bits(b, word) & ___cmask_in(word, both.from, both.to))
			return true;
	return false;
}

/*
 * The first cid at or after `start` and before `to` that is set in a, b and c
 * (give a mask twice for fewer), else `none`. All have the cids from `from` to `to`.
 */
___cmask_fn(u32) ___cmask_find(const struct scx_cmask __arena *a, const struct scx_cmask __arena *b,
			       const struct scx_cmask __arena *c, u32 start, u32 from, u32 to, u32 none)
{
	u32 i, word;

	if (start < from)
		start = from;
	if (start >= to)
		return none;
	___cmask_for_each_word(i, word, start, to) {
		u64 set = ___cmask_bits(a, word) & ___cmask_bits(b, word) & ___cmask_bits(c, word);

		set &= ___cmask_in(word, start, to);
		if (set)
			return word * 64 + ctzll(set);
	}
	return none;
}

/* The next cid that is set, at or after cid; the end of the range if there is none. */
___cmask_fn(u32) cmask_next_set(const struct scx_cmask __arena *m, u32 cid)
{
	u32 end = ___cmask_end(m);

	return ___cmask_find(m, m, m, cid, m->base, end, end);
}

___cmask_fn(u32) cmask_first_set(const struct scx_cmask __arena *m)
{
	return cmask_next_set(m, m->base);
}

#define cmask_for_each(cid, m)								\
	for ((cid) = cmask_first_set(m); (cid) < (m)->base + (m)->nr_cids; (cid) = cmask_next_set((m), (cid) + 1))

/* The next cid at or after start that is set in both, in all three; the end of a's range if there is none. */
___cmask_fn(u32) cmask_next_and_set(const struct scx_cmask __arena *a, const struct scx_cmask __arena *b, u32 start)
{
	struct ___cmask_range both = ___cmask_both(a, b);

	return ___cmask_find(a, b, b, start, both.from, both.to, ___cmask_end(a));
}

___cmask_fn(u32) cmask_next_and2_set(const struct scx_cmask __arena *a, const struct scx_cmask __arena *b,
				     const struct scx_cmask __arena *c, u32 start)
{
	struct ___cmask_range ab = ___cmask_both(a, b), ac = ___cmask_both(a, c);

	if (ac.from > ab.from)
		ab.from = ac.from;
	if (ac.to < ab.to)
		ab.to = ac.to;
	return ___cmask_find(a, b, c, start, ab.from, ab.to, ___cmask_end(a));
}

/* Goes on at the beginning of a's range: with start = last + 1, each cid in turn. */
#define ___cmask_wrap(a, start, next)							\
({											\
	u32 ___end = ___cmask_end(a), ___at = (start), ___found = next(___at);		\
											\
	if (___found >= ___end && ___at > (a)->base) {					\
		___found = next((a)->base);						\
		if (___found >= ___at)							\
			___found = ___end;						\
	}										\
	___found;									\
})

___cmask_fn(u32) cmask_next_set_wrap(const struct scx_cmask __arena *m, u32 start)
{
#define ___cmask_next(at) cmask_next_set(m, at)
	return ___cmask_wrap(m, start, ___cmask_next);
#undef ___cmask_next
}

___cmask_fn(u32) cmask_next_and_set_wrap(const struct scx_cmask __arena *a, const struct scx_cmask __arena *b, u32 start)
{
#define ___cmask_next(at) cmask_next_and_set(a, b, at)
	return ___cmask_wrap(a, start, ___cmask_next);
#undef ___cmask_next
}

___cmask_fn(u32) cmask_next_and2_set_wrap(const struct scx_cmask __arena *a, const struct scx_cmask __arena *b,
					  const struct scx_cmask __arena *c, u32 start)
{
#define ___cmask_next(at) cmask_next_and2_set(a, b, c, at)
	return ___cmask_wrap(a, start, ___cmask_next);
#undef ___cmask_next
}

/* Whether every cid of a is in b; one outside of b's range is not. */
___cmask_fn(bool) cmask_subset(const struct scx_cmask __arena *a, const struct scx_cmask __arena *b)
{
	struct ___cmask_range both = ___cmask_both(a, b);
	u32 a_end = ___cmask_end(a), b_end = ___cmask_end(b), i, word;

	if (a->base < b->base && cmask_first_set(a) < (b->base < a_end ? b->base : a_end))
		return false;
	if (a_end > b_end && cmask_next_set(a, b_end) < a_end)
		return false;
	if (both.from >= both.to)
		return true;
	___cmask_for_each_word(i, word, both.from, both.to)
		if (___cmask_bits(a, word) & ~___cmask_bits(b, word) & ___cmask_in(word, both.from, both.to))
			return false;
	return true;
}

/* The cids of the CPUs in a cpumask, as far as m's range goes. The cpumask must not change meanwhile. */
___cmask_fn(void) cmask_from_cpumask(struct scx_cmask __arena *m, const struct cpumask *cpumask)
{
	u32 nr_cpus = scx_bpf_nr_cpu_ids();
	s32 cpu;

	cmask_zero(m);
	bpf_for(cpu, 0, nr_cpus) {
		s32 cid = bpf_cpumask_test_cpu(cpu, cpumask) ? scx_bpf_cpu_to_cid(cpu) : -1;

		if (cid >= 0)
			__cmask_set(cid, m);
	}
}

#endif /* __SCX_CID_BPF_H */

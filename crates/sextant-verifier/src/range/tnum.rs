//! Bits that are known of a value ("tracked number"). Mirrors kernel/bpf/tnum.c, 7.3.
//!
//! `mask` has the unknown bits, `value` the known ones; `value & mask == 0` always. Every operation is an over-approximation: the
//! result contains every concrete result (tested exhaustively on small widths).

/// Known bits (`value`) and unknown bits (`mask`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Tnum {
    /// Known ones.
    pub value: u64,
    /// Unknown bits.
    pub mask: u64,
}

impl Tnum {
    /// Nothing is known.
    pub const UNKNOWN: Tnum = Tnum { value: 0, mask: u64::MAX };

    /// Exactly `value`.
    pub const fn constant(value: u64) -> Tnum {
        Tnum { value, mask: 0 }
    }

    /// The smallest one that contains `min..=max`.
    pub const fn range(min: u64, max: u64) -> Tnum {
        let bits = 64 - (min ^ max).leading_zeros();
        if bits > 63 {
            return Tnum::UNKNOWN;
        }
        let delta = (1u64 << bits) - 1;
        Tnum { value: min & !delta, mask: delta }
    }

    /// Whether all bits are known.
    pub const fn is_const(self) -> bool {
        self.mask == 0
    }

    /// Whether `value` is one of its values.
    pub const fn contains(self, value: u64) -> bool {
        value & !self.mask == self.value
    }

    /// Whether every value of `inner` is one of its values.
    pub const fn covers(self, inner: Tnum) -> bool {
        inner.mask & !self.mask == 0 && inner.value & !self.mask == self.value
    }

    /// The lowest value.
    pub const fn min(self) -> u64 {
        self.value
    }

    /// The highest value.
    pub const fn max(self) -> u64 {
        self.value | self.mask
    }

    /// The lowest member above `v`; the highest member when there is none. Mirrors `tnum_step()`.
    pub const fn next_above(self, v: u64) -> u64 {
        if v >= self.max() {
            return self.max();
        }
        if v < self.value {
            return self.value;
        }
        // Counting within the unknown bits: all others are set, so that a carry goes through them.
        let above = v - self.value;
        let stray = above & !self.mask;
        let below = if stray == 0 { 0 } else { u64::MAX >> stray.leading_zeros() };
        let filled = above | below | !self.mask;
        self.value | (filled.wrapping_add(1) & self.mask)
    }

    /// What is known when both hold, where it is known that they do not contradict. Mirrors `tnum_intersect()`.
    pub const fn meet(self, other: Tnum) -> Tnum {
        let mask = self.mask & other.mask;
        Tnum { value: (self.value | other.value) & !mask, mask }
    }

    /// What is known when both hold; `None` when they contradict.
    pub const fn intersect(self, other: Tnum) -> Option<Tnum> {
        if (self.value ^ other.value) & !self.mask & !other.mask != 0 {
            return None;
        }
        let mask = self.mask & other.mask;
        Some(Tnum { value: (self.value | other.value) & !mask, mask })
    }

    /// What holds of both.
    pub const fn union(self, other: Tnum) -> Tnum {
        let mask = self.mask | other.mask | (self.value ^ other.value);
        Tnum { value: self.value & !mask, mask }
    }

    /// `self + other`
    #[allow(clippy::should_implement_trait)]
    pub const fn add(self, other: Tnum) -> Tnum {
        let low = self.value.wrapping_add(other.value);
        let high = self.max().wrapping_add(other.max());
        let mask = (low ^ high) | self.mask | other.mask;
        Tnum { value: low & !mask, mask }
    }

    /// `self - other`
    #[allow(clippy::should_implement_trait)]
    pub const fn sub(self, other: Tnum) -> Tnum {
        let diff = self.value.wrapping_sub(other.value);
        let high = diff.wrapping_add(self.mask);
        let low = diff.wrapping_sub(other.mask);
        let mask = (high ^ low) | self.mask | other.mask;
        Tnum { value: diff & !mask, mask }
    }

    /// `self & other`
    pub const fn and(self, other: Tnum) -> Tnum {
        let value = self.value & other.value;
        Tnum { value, mask: self.max() & other.max() & !value }
    }

    /// `self | other`
    pub const fn or(self, other: Tnum) -> Tnum {
        let value = self.value | other.value;
        Tnum { value, mask: (self.mask | other.mask) & !value }
    }

    /// `self ^ other`
    pub const fn xor(self, other: Tnum) -> Tnum {
        let mask = self.mask | other.mask;
        Tnum { value: (self.value ^ other.value) & !mask, mask }
    }

    /// `self * other`, by long multiplication over the bits of `self`.
    #[allow(clippy::should_implement_trait)]
    pub const fn mul(self, other: Tnum) -> Tnum {
        let (mut a, mut b) = (self, other);
        let mut acc = Tnum::constant(0);
        while a.value != 0 || a.mask != 0 {
            if a.value & 1 != 0 {
                acc = acc.add(b);
            } else if a.mask & 1 != 0 {
                acc = acc.union(acc.add(b));
            }
            a = Tnum { value: a.value >> 1, mask: a.mask >> 1 };
            b = Tnum { value: b.value << 1, mask: b.mask << 1 };
        }
        acc
    }

    /// `self << shift`, shift below 64
    pub const fn lsh(self, shift: u32) -> Tnum {
        Tnum { value: self.value << shift, mask: self.mask << shift }
    }

    /// `self >> shift`, logical, shift below 64
    pub const fn rsh(self, shift: u32) -> Tnum {
        Tnum { value: self.value >> shift, mask: self.mask >> shift }
    }

    /// `self >> shift`, arithmetic on `bits` (32 or 64) bits, shift below `bits`; upper half zero for 32.
    pub const fn arsh(self, shift: u32, bits: u32) -> Tnum {
        if bits == 32 {
            let value = ((self.value as i32) >> shift) as u32 as u64;
            let mask = ((self.mask as i32) >> shift) as u32 as u64;
            return Tnum { value: value & !mask, mask };
        }
        let mask = ((self.mask as i64) >> shift) as u64;
        Tnum { value: ((self.value as i64) >> shift) as u64 & !mask, mask }
    }

    /// The low half, upper half zero.
    pub const fn low32(self) -> Tnum {
        Tnum { value: self.value as u32 as u64, mask: self.mask as u32 as u64 }
    }

    /// The upper half, low half zero.
    pub const fn high32(self) -> Tnum {
        let high = !(u32::MAX as u64);
        Tnum { value: self.value & high, mask: self.mask & high }
    }

    /// The upper half of `self` with the low half of `low`.
    pub const fn with_low32(self, low: Tnum) -> Tnum {
        let high = !(u32::MAX as u64);
        let low = low.low32();
        Tnum { value: self.value & high | low.value, mask: self.mask & high | low.mask }
    }

    /// Truncated to `bytes`, the rest zero.
    pub const fn cast(self, bytes: u32) -> Tnum {
        if bytes >= 8 {
            return self;
        }
        let keep = (1u64 << (bytes * 8)) - 1;
        Tnum { value: self.value & keep, mask: self.mask & keep }
    }

    /// Whether every value is a multiple of `size`, a power of two.
    pub const fn is_aligned(self, size: u64) -> bool {
        (self.value | self.mask) & (size - 1) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::Tnum;

    const WIDTH: u32 = 4;

    fn all() -> impl Iterator<Item = Tnum> {
        let n = 1u64 << WIDTH;
        (0..n).flat_map(move |mask| {
            (0..n).filter(move |v| v & mask == 0).map(move |value| Tnum { value, mask })
        })
    }

    fn members(t: Tnum) -> impl Iterator<Item = u64> {
        (0..1u64 << WIDTH).filter(move |v| t.contains(*v))
    }

    #[test]
    fn every_small_result_is_contained() {
        type Op = (&'static str, fn(Tnum, Tnum) -> Tnum, fn(u64, u64) -> u64);
        let ops: [Op; 6] = [
            ("add", Tnum::add, u64::wrapping_add),
            ("sub", Tnum::sub, u64::wrapping_sub),
            ("mul", Tnum::mul, u64::wrapping_mul),
            ("and", Tnum::and, |a, b| a & b),
            ("or", Tnum::or, |a, b| a | b),
            ("xor", Tnum::xor, |a, b| a ^ b),
        ];
        for (name, abs, conc) in ops {
            for (a, b) in all().flat_map(|a| all().map(move |b| (a, b))) {
                let r = abs(a, b);
                assert_eq!(r.value & r.mask, 0, "{name} {a:?} {b:?}");
                for (x, y) in members(a).flat_map(|x| members(b).map(move |y| (x, y))) {
                    assert!(r.contains(conc(x, y)), "{name} {a:?} {b:?}: {x} {y}");
                }
            }
        }
    }

    #[test]
    fn lattice_operations_agree_with_sets() {
        for (a, b) in all().flat_map(|a| all().map(move |b| (a, b))) {
            let both: Vec<_> = members(a).filter(|v| b.contains(*v)).collect();
            match a.intersect(b) {
                None => assert!(both.is_empty()),
                Some(t) => assert_eq!(members(t).collect::<Vec<_>>(), both),
            }
            assert!(members(a).chain(members(b)).all(|v| a.union(b).contains(v)));
            assert_eq!(a.covers(b), members(b).all(|v| a.contains(v)));
        }
    }

    #[test]
    fn the_next_member_is_the_nearest_above() {
        for (t, v) in all().flat_map(|t| (0..1u64 << WIDTH).map(move |v| (t, v))) {
            let nearest = members(t).find(|m| *m > v).unwrap_or(t.max());
            assert_eq!(t.next_above(v), nearest, "{t:?} {v}");
        }
        assert_eq!(Tnum::UNKNOWN.next_above(u64::MAX), u64::MAX);
        assert_eq!(Tnum::constant(u64::MAX).next_above(3), u64::MAX);
    }

    #[test]
    fn ranges_are_contained() {
        for (lo, hi) in (0..40u64).flat_map(|lo| (lo..40).map(move |hi| (lo, hi))) {
            assert!((lo..=hi).all(|v| Tnum::range(lo, hi).contains(v)));
        }
        assert_eq!(Tnum::range(0, u64::MAX), Tnum::UNKNOWN);
    }

    #[test]
    fn shifts_extend_the_sign() {
        let t = Tnum { value: 0x8000_0000, mask: 1 };
        assert_eq!(t.arsh(4, 32), Tnum { value: 0xf800_0000, mask: 0 });
        assert_eq!(t.arsh(4, 64), Tnum { value: 0x0800_0000, mask: 0 });
        let unknown_sign = Tnum { value: 0, mask: 1 << 31 };
        assert_eq!(unknown_sign.arsh(31, 32), Tnum { value: 0, mask: u64::from(u32::MAX) });
    }
}

//! Ranges of numbers on a circle: `size + 1` numbers from `base` on, upwards, past the highest number back to 0. One range says what
//! two, a signed and an unsigned one, would. Mirrors kernel/bpf/cnum.c and cnum_defs.h, 7.3, whose approximations these are.

macro_rules! circle {
    ($name:ident, $unsigned:ty, $signed:ty, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
        pub struct $name {
            /// The first number.
            pub base: $unsigned,
            /// How many numbers follow it.
            pub size: $unsigned,
        }

        impl $name {
            /// All numbers.
            pub const UNBOUNDED: $name = $name { base: 0, size: <$unsigned>::MAX };
            /// No number.
            pub const EMPTY: $name = $name { base: <$unsigned>::MAX, size: <$unsigned>::MAX };

            /// `min..=max`, unsigned.
            pub const fn unsigned(min: $unsigned, max: $unsigned) -> $name {
                $name { base: min, size: max.wrapping_sub(min) }
            }

            /// `min..=max`, signed.
            pub const fn signed(min: $signed, max: $signed) -> $name {
                let size = (max as $unsigned).wrapping_sub(min as $unsigned);
                let base = if size == <$unsigned>::MAX { 0 } else { min as $unsigned };
                $name { base, size }
            }

            /// Exactly `value`.
            pub const fn constant(value: $unsigned) -> $name {
                $name { base: value, size: 0 }
            }

            /// Whether it has no number.
            pub const fn is_empty(self) -> bool {
                self.base == Self::EMPTY.base && self.size == Self::EMPTY.size
            }

            /// Whether it has one number only.
            pub const fn is_const(self) -> bool {
                self.size == 0
            }

            /// Its last number.
            const fn end(self) -> $unsigned {
                self.base.wrapping_add(self.size)
            }

            /// Whether it goes past the highest unsigned number.
            pub const fn wraps(self) -> bool {
                self.size > <$unsigned>::MAX - self.base
            }

            /// Whether it goes past the highest signed number.
            const fn turns(self) -> bool {
                self.contains(<$signed>::MAX as $unsigned) && self.contains(<$signed>::MIN as $unsigned)
            }

            /// Whether `value` is in it.
            pub const fn contains(self, value: $unsigned) -> bool {
                if self.is_empty() {
                    false
                } else if self.wraps() {
                    value >= self.base || value <= self.end()
                } else {
                    value >= self.base && value <= self.end()
                }
            }

            /// Lowest number, unsigned.
            pub const fn umin(self) -> $unsigned {
                if self.wraps() { 0 } else { self.base }
            }

            /// Highest number, unsigned.
            pub const fn umax(self) -> $unsigned {
                if self.wraps() { <$unsigned>::MAX } else { self.end() }
            }

            /// Lowest number, signed.
            pub fn smin(self) -> $signed {
                if self.turns() { <$signed>::MIN } else { (self.base as $signed).min(self.end() as $signed) }
            }

            /// Highest number, signed.
            pub fn smax(self) -> $signed {
                if self.turns() { <$signed>::MAX } else { (self.base as $signed).max(self.end() as $signed) }
            }

            /// The numbers of both; where these are two pieces, all of the smaller range.
            pub fn intersect(self, other: $name) -> $name {
                if self.is_empty() || other.is_empty() {
                    return Self::EMPTY;
                }
                let (a, b) = if self.base > other.base { (other, self) } else { (self, other) };
                // Seen from the start of `a`, `b` begins at `gap`.
                let gap = b.base - a.base;
                match gap.checked_add(b.size) {
                    None if gap <= a.size => {
                        if a.size <= b.size {
                            a
                        } else {
                            b
                        }
                    }
                    None => $name { base: a.base, size: a.size.min(gap.wrapping_add(b.size)) },
                    Some(_) if gap <= a.size => $name { base: b.base, size: b.size.min(a.size - gap) },
                    Some(_) => Self::EMPTY,
                }
            }

            /// The full circle has one form, with an exception that the kernel makes.
            const fn normal(self) -> $name {
                let odd = self.base != 0 && self.base != <$signed>::MAX as $unsigned;
                if self.size == <$unsigned>::MAX && odd { Self::UNBOUNDED } else { self }
            }

            /// Sums of a number of each.
            #[allow(clippy::should_implement_trait)]
            pub const fn add(self, other: $name) -> $name {
                if self.is_empty() || other.is_empty() {
                    return Self::EMPTY;
                }
                match self.size.checked_add(other.size) {
                    None => Self::UNBOUNDED,
                    Some(size) => $name { base: self.base.wrapping_add(other.base), size }.normal(),
                }
            }

            /// Its numbers negated.
            pub const fn negate(self) -> $name {
                if self.is_empty() {
                    return Self::EMPTY;
                }
                $name { base: self.end().wrapping_neg(), size: self.size }.normal()
            }

            /// Whether every number of `inner` is in it.
            pub const fn covers(self, inner: $name) -> bool {
                if inner.is_empty() {
                    return true;
                }
                if self.is_empty() {
                    return false;
                }
                // Seen from its own start it does not wrap.
                let at = $name { base: inner.base.wrapping_sub(self.base), size: inner.size };
                if at.wraps() && self.size < <$unsigned>::MAX {
                    return false;
                }
                at.end() <= self.size
            }
        }
    };
}

circle!(Cnum32, u32, i32, "A range of 32-bit numbers.");
circle!(Cnum64, u64, i64, "A range of 64-bit numbers.");

impl Cnum64 {
    /// The low halves.
    pub const fn low(self) -> Cnum32 {
        if self.is_empty() {
            return Cnum32::EMPTY;
        }
        if self.size >= u32::MAX as u64 {
            return Cnum32::UNBOUNDED;
        }
        Cnum32 { base: self.base as u32, size: self.size as u32 }
    }

    /// The numbers whose low half is in `low`: the ends move inwards to the nearest of these.
    pub fn with_low(self, low: Cnum32) -> Cnum64 {
        const TURN: u64 = 1 << 32;
        if self.is_empty() || low.is_empty() {
            return Cnum64::EMPTY;
        }
        // Seen from the start of the range, where turns of the low half begin.
        let low = Cnum32 { base: low.base.wrapping_sub(self.base as u32), size: low.size };
        let rest = self.size as u32;
        if low.wraps() {
            let end = low.end();
            let cut = if rest > end && rest < low.base { u64::from(rest - end) } else { 0 };
            return Cnum64 { base: self.base, size: self.size - cut };
        }
        let Some(size) = self.size.checked_sub(low.base.into()) else { return Cnum64::EMPTY };
        let end = low.base + low.size;
        let cut = if rest < low.base {
            u64::from(rest) + (TURN - u64::from(end))
        } else {
            u64::from(rest.saturating_sub(end))
        };
        match size.checked_sub(cut) {
            Some(size) => Cnum64 { base: self.base.wrapping_add(low.base.into()), size },
            None => Cnum64::EMPTY,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Cnum32, Cnum64};

    /// Numbers around every edge of the circle.
    const EDGES: [u32; 14] = [
        0,
        1,
        2,
        100,
        0x7fff_fffd,
        0x7fff_fffe,
        0x7fff_ffff,
        0x8000_0000,
        0x8000_0001,
        0x8000_0002,
        0xffff_ff00,
        0xffff_fffd,
        0xffff_fffe,
        0xffff_ffff,
    ];

    fn ranges() -> impl Iterator<Item = Cnum32> {
        EDGES.iter().flat_map(|base| EDGES.iter().map(|size| Cnum32 { base: *base, size: *size }))
    }

    fn members(range: Cnum32) -> impl Iterator<Item = u32> {
        EDGES.into_iter().filter(move |v| range.contains(*v))
    }

    #[test]
    fn the_views_of_a_range_hold_its_members() {
        for range in ranges() {
            for v in members(range) {
                assert!((range.umin()..=range.umax()).contains(&v), "{range:?} {v}");
                assert!((range.smin()..=range.smax()).contains(&(v as i32)), "{range:?} {v}");
                assert!(range.negate().contains(v.wrapping_neg()), "{range:?} {v}");
            }
        }
        assert_eq!(Cnum32::signed(-1, 0), Cnum32 { base: u32::MAX, size: 1 });
        assert_eq!((Cnum32::signed(-1, 0).umin(), Cnum32::signed(-1, 0).umax()), (0, u32::MAX));
    }

    #[test]
    fn operations_keep_members() {
        for (a, b) in ranges().flat_map(|a| ranges().map(move |b| (a, b))) {
            let (both, sum) = (a.intersect(b), a.add(b));
            for v in members(a) {
                assert!(!b.contains(v) || both.contains(v), "{a:?} {b:?} {v}");
                assert!(!b.covers(a) || b.contains(v), "{a:?} {b:?} {v}");
                for w in members(b) {
                    assert!(sum.contains(v.wrapping_add(w)), "{a:?} {b:?} {v} {w}");
                }
            }
        }
    }

    #[test]
    fn the_low_half_moves_the_ends() {
        let low = Cnum32::unsigned(0x10, 0x20);
        let whole = Cnum64::unsigned(0x1_0000_0000, 0x3_0000_0005);
        assert_eq!(whole.with_low(low), Cnum64::unsigned(0x1_0000_0010, 0x2_0000_0020));
        assert_eq!(Cnum64::unsigned(0x30, 0x40).with_low(low), Cnum64::EMPTY);
        let around = Cnum32::signed(-4, 4);
        assert_eq!(Cnum64::unsigned(0, 0x100).with_low(around), Cnum64::unsigned(0, 4));
        for (a, b) in ranges().flat_map(|a| ranges().map(move |b| (a, b))) {
            let wide = Cnum64 { base: u64::from(a.base) | 1 << 40, size: u64::from(a.size) };
            let met = wide.with_low(b);
            for v in
                EDGES.iter().flat_map(|v| [u64::from(*v) | 1 << 40, (u64::from(*v) | 1 << 40) + (1 << 32)])
            {
                if wide.contains(v) && b.contains(v as u32) {
                    assert!(met.contains(v), "{wide:?} {b:?} {v:#x}");
                }
            }
        }
    }
}

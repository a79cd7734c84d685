//! What is known of a number: its bits, and one range of the whole and one of its low half, from which signed and unsigned bounds
//! follow.
//!
//! [`Scalar`] is a set of 64-bit values; every function over-approximates, exactly as far as Linux does: a program is refused for
//! want of a bound here if and only if it is there. What must hold: a value that the program can have is a member. [`alu`] computes,
//! [`branch`] refines. Mirrors the scalar part of `struct bpf_reg_state` and `reg_bounds_sync()` of kernel/bpf/verifier.c, 7.3.

pub mod alu;
pub mod branch;
pub mod cnum;
#[cfg(test)]
mod tests;
pub mod tnum;

use std::fmt;

pub use cnum::{Cnum32, Cnum64};
pub use tnum::Tnum;

/// A set of 64-bit values.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Scalar {
    /// Known bits.
    pub bits: Tnum,
    /// The whole.
    pub r64: Cnum64,
    /// The low half.
    pub r32: Cnum32,
}

impl Scalar {
    /// Any value.
    pub const UNKNOWN: Scalar =
        Scalar { bits: Tnum::UNKNOWN, r64: Cnum64::UNBOUNDED, r32: Cnum32::UNBOUNDED };

    /// Exactly `value`.
    pub const fn constant(value: u64) -> Scalar {
        Scalar {
            bits: Tnum::constant(value),
            r64: Cnum64::constant(value),
            r32: Cnum32::constant(value as u32),
        }
    }

    /// `min..=max`, unsigned.
    pub fn unsigned(min: u64, max: u64) -> Scalar {
        Scalar { r64: Cnum64::unsigned(min, max), ..Scalar::UNKNOWN }.synced()
    }

    /// `min..=max`, signed.
    pub fn signed(min: i64, max: i64) -> Scalar {
        Scalar { r64: Cnum64::signed(min, max), ..Scalar::UNKNOWN }.synced()
    }

    /// What these bits say.
    pub fn from_bits(bits: Tnum) -> Scalar {
        Scalar { bits, ..Scalar::UNKNOWN }.synced()
    }

    /// Any value of that many bytes, zero-extended.
    pub fn bytes(size: u32) -> Scalar {
        if size >= 8 { Scalar::UNKNOWN } else { Scalar::UNKNOWN.truncated(size) }
    }

    /// Lowest value, unsigned.
    pub const fn umin(&self) -> u64 {
        self.r64.umin()
    }

    /// Highest value, unsigned.
    pub const fn umax(&self) -> u64 {
        self.r64.umax()
    }

    /// Lowest value, signed.
    pub fn smin(&self) -> i64 {
        self.r64.smin()
    }

    /// Highest value, signed.
    pub fn smax(&self) -> i64 {
        self.r64.smax()
    }

    /// Lowest low half, unsigned.
    pub const fn umin32(&self) -> u32 {
        self.r32.umin()
    }

    /// Highest low half, unsigned.
    pub const fn umax32(&self) -> u32 {
        self.r32.umax()
    }

    /// Lowest low half, signed.
    pub fn smin32(&self) -> i32 {
        self.r32.smin()
    }

    /// Highest low half, signed.
    pub fn smax32(&self) -> i32 {
        self.r32.smax()
    }

    /// Its only value.
    pub const fn value(&self) -> Option<u64> {
        if self.bits.is_const() { Some(self.bits.value) } else { None }
    }

    /// The only value of its low half.
    pub const fn value32(&self) -> Option<u32> {
        let low = self.bits.low32();
        if low.is_const() { Some(low.value as u32) } else { None }
    }

    /// Whether it is exactly `value`.
    pub fn is(&self, value: u64) -> bool {
        self.value() == Some(value)
    }

    /// Whether nothing is known.
    pub fn is_unknown(&self) -> bool {
        *self == Scalar::UNKNOWN
    }

    /// Whether no value fits: the path cannot be taken.
    pub fn is_empty(&self) -> bool {
        self.r64.is_empty() || self.r32.is_empty()
    }

    /// Whether `value` is a member.
    pub fn contains(&self, value: u64) -> bool {
        self.bits.contains(value) && self.r64.contains(value) && self.r32.contains(value as u32)
    }

    /// Whether every member of `inner` is, by its bounds, a member.
    pub fn covers(&self, inner: &Scalar) -> bool {
        self.r64.covers(inner.r64) && self.r32.covers(inner.r32) && self.bits.covers(inner.bits)
    }

    /// The values of both.
    pub fn intersect(&self, other: &Scalar) -> Scalar {
        let Some(bits) = self.bits.intersect(other.bits) else {
            return Scalar { r64: Cnum64::EMPTY, ..*self };
        };
        let (r64, r32) = (self.r64.intersect(other.r64), self.r32.intersect(other.r32));
        Scalar { bits, r64, r32 }.synced()
    }

    /// The low half, zero-extended, before [`Scalar::synced`].
    fn zext(&self) -> Scalar {
        let r64 = Cnum64::unsigned(self.umin32().into(), self.umax32().into());
        Scalar { bits: self.bits.low32(), r64, r32: self.r32 }
    }

    /// The low half, zero-extended.
    pub fn zext32(&self) -> Scalar {
        self.zext().synced()
    }

    /// The low `bytes` bytes, zero-extended. Mirrors `coerce_reg_to_size()`.
    pub fn truncated(&self, bytes: u32) -> Scalar {
        if bytes >= 8 {
            return *self;
        }
        let keep = (1u64 << (bytes * 8)) - 1;
        let (min, max) = (self.umin(), self.umax());
        let r64 = match min & !keep == max & !keep {
            true => Cnum64::unsigned(min & keep, max & keep),
            false => Cnum64::unsigned(0, keep),
        };
        let r32 = if bytes < 4 { Cnum32::UNBOUNDED } else { self.r32 };
        Scalar { bits: self.bits.cast(bytes), r64, r32 }.synced()
    }

    /// The same set with what each view tells the others, as far as Linux goes.
    #[must_use]
    pub fn synced(mut self) -> Scalar {
        if self.is_empty() {
            return self;
        }
        self.ranges_from_bits();
        for _ in 0..2 {
            self.r32 = self.r32.intersect(self.r64.low());
            self.r64 = self.r64.with_low(self.r32);
        }
        self.bits_from_ranges();
        self.ranges_from_bits();
        self
    }

    /// Mirrors `__update_reg_bounds()`.
    fn ranges_from_bits(&mut self) {
        self.low_from_bits();
        self.whole_from_bits();
    }

    /// Mirrors `__update_reg32_bounds()`.
    fn low_from_bits(&mut self) {
        let low = self.bits.low32();
        let (value, max) = (low.value as u32, low.max() as u32);
        const SIGN: u32 = 1 << 31;
        let told = match max & SIGN {
            0 => Cnum32::unsigned(value, max),
            _ => Cnum32::signed(
                (value | low.mask as u32 & SIGN) as i32,
                (value | low.mask as u32 & !SIGN) as i32,
            ),
        };
        self.r32 = self.r32.intersect(told);
    }

    /// Mirrors `__update_reg64_bounds()`.
    fn whole_from_bits(&mut self) {
        let Tnum { value, mask } = self.bits;
        const SIGN: u64 = 1 << 63;
        let told = match (value | mask) & SIGN {
            0 => Cnum64::unsigned(value, value | mask),
            _ => Cnum64::signed((value | mask & SIGN) as i64, (value | mask & !SIGN) as i64),
        };
        self.r64 = self.r64.intersect(told);
        // Where bits and range share one number only, that is it.
        let (min, max) = (self.umin(), self.umax());
        let (fits, next) = (self.bits.contains(min), self.bits.next_above(min));
        if fits && next > max {
            *self = Scalar::constant(min);
        } else if !fits && (next == self.bits.max() || next <= max && self.bits.next_above(next) > max) {
            *self = Scalar::constant(next);
        }
    }

    /// Mirrors `__reg_bound_offset()`.
    fn bits_from_ranges(&mut self) {
        let whole = self.bits.meet(Tnum::range(self.umin(), self.umax()));
        let low = whole.low32().meet(Tnum::range(self.umin32().into(), self.umax32().into()));
        self.bits = whole.high32().or(low);
    }
}

impl fmt::Display for Scalar {
    /// As in the kernel's log: a number, or the bounds that say something.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(value) = self.value() {
            return write!(f, "{}", value as i64);
        }
        let mut parts = Vec::new();
        if self.smin() != i64::MIN {
            parts.push(format!("smin={}", self.smin()));
        }
        if self.smax() != i64::MAX {
            parts.push(format!("smax={}", self.smax()));
        }
        if self.umin() != 0 {
            parts.push(format!("umin={}", self.umin()));
        }
        if self.umax() != u64::MAX {
            parts.push(format!("umax={}", self.umax()));
        }
        let wide = self.umax() <= u64::from(u32::MAX);
        if self.smin32() != i32::MIN && i64::from(self.smin32()) != self.smin() {
            parts.push(format!("smin32={}", self.smin32()));
        }
        if self.smax32() != i32::MAX && i64::from(self.smax32()) != self.smax() {
            parts.push(format!("smax32={}", self.smax32()));
        }
        if !wide && self.umin32() != 0 {
            parts.push(format!("umin32={}", self.umin32()));
        }
        if !wide && self.umax32() != u32::MAX {
            parts.push(format!("umax32={}", self.umax32()));
        }
        if self.bits != Tnum::UNKNOWN {
            parts.push(format!("var_off=({:#x}; {:#x})", self.bits.value, self.bits.mask));
        }
        write!(f, "({})", parts.join(","))
    }
}

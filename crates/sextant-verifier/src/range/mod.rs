//! What is known of a number: its bits and its bounds, unsigned and signed, on 64 and on 32 bits.
//!
//! [`Scalar`] is a set of 64-bit values; every function over-approximates. What must hold: a value that the program can have is a
//! member. [`alu`] computes, [`branch`] refines. Mirrors the scalar part of `struct bpf_reg_state` and `reg_bounds_sync()` of
//! kernel/bpf/verifier.c, 7.3.

pub mod alu;
pub mod branch;
#[cfg(test)]
mod tests;
pub mod tnum;

use std::fmt;

pub use tnum::Tnum;

/// A set of 64-bit values.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Scalar {
    /// Known bits.
    pub bits: Tnum,
    /// Lowest value, unsigned.
    pub umin: u64,
    /// Highest value, unsigned.
    pub umax: u64,
    /// Lowest value, signed.
    pub smin: i64,
    /// Highest value, signed.
    pub smax: i64,
    /// Lowest low half, unsigned.
    pub umin32: u32,
    /// Highest low half, unsigned.
    pub umax32: u32,
    /// Lowest low half, signed.
    pub smin32: i32,
    /// Highest low half, signed.
    pub smax32: i32,
}

impl Scalar {
    /// Any value.
    pub const UNKNOWN: Scalar = Scalar {
        bits: Tnum::UNKNOWN,
        umin: 0,
        umax: u64::MAX,
        smin: i64::MIN,
        smax: i64::MAX,
        umin32: 0,
        umax32: u32::MAX,
        smin32: i32::MIN,
        smax32: i32::MAX,
    };

    /// Exactly `value`.
    pub const fn constant(value: u64) -> Scalar {
        Scalar {
            bits: Tnum::constant(value),
            umin: value,
            umax: value,
            smin: value as i64,
            smax: value as i64,
            umin32: value as u32,
            umax32: value as u32,
            smin32: value as i32,
            smax32: value as i32,
        }
    }

    /// `min..=max`, unsigned.
    pub fn unsigned(min: u64, max: u64) -> Scalar {
        Scalar { umin: min, umax: max, ..Scalar::UNKNOWN }.synced()
    }

    /// `min..=max`, signed.
    pub fn signed(min: i64, max: i64) -> Scalar {
        Scalar { smin: min, smax: max, ..Scalar::UNKNOWN }.synced()
    }

    /// What these bits say.
    pub fn from_bits(bits: Tnum) -> Scalar {
        Scalar { bits, ..Scalar::UNKNOWN }.synced()
    }

    /// Any value of that many bytes, zero-extended.
    pub fn bytes(size: u32) -> Scalar {
        Scalar::from_bits(Tnum::UNKNOWN.cast(size))
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
        self.umin > self.umax
            || self.smin > self.smax
            || self.umin32 > self.umax32
            || self.smin32 > self.smax32
    }

    /// Whether `value` is a member.
    pub fn contains(&self, value: u64) -> bool {
        self.bits.contains(value)
            && (self.umin..=self.umax).contains(&value)
            && (self.smin..=self.smax).contains(&(value as i64))
            && (self.umin32..=self.umax32).contains(&(value as u32))
            && (self.smin32..=self.smax32).contains(&(value as i32))
    }

    /// Whether every member of `inner` is, by its bounds, a member.
    pub fn covers(&self, inner: &Scalar) -> bool {
        self.umin <= inner.umin
            && self.umax >= inner.umax
            && self.smin <= inner.smin
            && self.smax >= inner.smax
            && self.umin32 <= inner.umin32
            && self.umax32 >= inner.umax32
            && self.smin32 <= inner.smin32
            && self.smax32 >= inner.smax32
            && self.bits.covers(inner.bits)
    }

    /// The values of both.
    pub fn intersect(&self, other: &Scalar) -> Scalar {
        let bits = self.bits.intersect(other.bits);
        let mut out = Scalar {
            bits: bits.unwrap_or(self.bits),
            umin: self.umin.max(other.umin),
            umax: self.umax.min(other.umax),
            smin: self.smin.max(other.smin),
            smax: self.smax.min(other.smax),
            umin32: self.umin32.max(other.umin32),
            umax32: self.umax32.min(other.umax32),
            smin32: self.smin32.max(other.smin32),
            smax32: self.smax32.min(other.smax32),
        };
        if bits.is_none() {
            (out.umin, out.umax) = (1, 0);
        }
        out.synced()
    }

    /// The values of either (and some between).
    pub fn union(&self, other: &Scalar) -> Scalar {
        Scalar {
            bits: self.bits.union(other.bits),
            umin: self.umin.min(other.umin),
            umax: self.umax.max(other.umax),
            smin: self.smin.min(other.smin),
            smax: self.smax.max(other.smax),
            umin32: self.umin32.min(other.umin32),
            umax32: self.umax32.max(other.umax32),
            smin32: self.smin32.min(other.smin32),
            smax32: self.smax32.max(other.smax32),
        }
    }

    /// The low half, zero-extended.
    pub fn zext32(&self) -> Scalar {
        Scalar {
            bits: self.bits.low32(),
            umin: u64::from(self.umin32),
            umax: u64::from(self.umax32),
            smin: i64::from(self.umin32),
            smax: i64::from(self.umax32),
            ..*self
        }
        .synced()
    }

    /// The low `bytes` bytes, zero-extended.
    pub fn truncated(&self, bytes: u32) -> Scalar {
        match bytes {
            8 => *self,
            4 => self.zext32(),
            _ => {
                let bits = self.bits.cast(bytes);
                let keep = (1u64 << (bytes * 8)) - 1;
                let mut out = Scalar::from_bits(bits);
                // Without a carry into the bits that are cut off, the bounds are cut like the value.
                if self.umin & !keep == self.umax & !keep {
                    out = out.intersect(&Scalar::unsigned(self.umin & keep, self.umax & keep));
                }
                out
            }
        }
    }

    /// The same set with every bound told by the others.
    pub fn synced(mut self) -> Scalar {
        // Facts travel between five views; three rounds reach what matters, more change nothing for the programs seen.
        for _ in 0..3 {
            if self.is_empty() {
                return self;
            }
            let before = self;
            self.bounds_from_bits();
            self.deduce32();
            self.deduce64();
            self.deduce_mixed();
            self.bits_from_bounds();
            if self == before {
                break;
            }
        }
        self
    }

    fn bounds_from_bits(&mut self) {
        let (bits, low) = (self.bits, self.bits.low32());
        match bits.at_least(self.umin).zip(bits.at_most(self.umax)) {
            Some((min, max)) => (self.umin, self.umax) = (min, max),
            None => (self.umin, self.umax) = (1, 0),
        }
        match low.at_least(self.umin32.into()).zip(low.at_most(self.umax32.into())) {
            Some((min, max)) => (self.umin32, self.umax32) = (min as u32, max as u32),
            None => (self.umin, self.umax) = (1, 0),
        }
        let sign = 1u64 << 63;
        self.smin = self.smin.max((bits.value | (bits.mask & sign)) as i64);
        self.smax = self.smax.min((bits.value | (bits.mask & !sign)) as i64);
        let sign = 1u64 << 31;
        self.smin32 = self.smin32.max((low.value | (low.mask & sign)) as i32);
        self.smax32 = self.smax32.min((low.value | (low.mask & !sign)) as i32);
    }

    fn deduce32(&mut self) {
        if (self.umin32 as i32) <= (self.umax32 as i32) {
            self.smin32 = self.smin32.max(self.umin32 as i32);
            self.smax32 = self.smax32.min(self.umax32 as i32);
        }
        if (self.smin32 as u32) <= (self.smax32 as u32) {
            self.umin32 = self.umin32.max(self.smin32 as u32);
            self.umax32 = self.umax32.min(self.smax32 as u32);
        } else if self.umax32 < self.smin32 as u32 {
            self.smin32 = self.smin32.max(0);
        } else if self.umin32 > self.smax32 as u32 {
            self.smax32 = self.smax32.min(-1);
        }
    }

    fn deduce64(&mut self) {
        if (self.umin as i64) <= (self.umax as i64) {
            self.smin = self.smin.max(self.umin as i64);
            self.smax = self.smax.min(self.umax as i64);
        }
        if (self.smin as u64) <= (self.smax as u64) {
            self.umin = self.umin.max(self.smin as u64);
            self.umax = self.umax.min(self.smax as u64);
        } else if self.umax < self.smin as u64 {
            self.smin = self.smin.max(0);
        } else if self.umin > self.smax as u64 {
            self.smax = self.smax.min(-1);
        }
    }

    /// The low half by the whole and the whole by the low half.
    fn deduce_mixed(&mut self) {
        const HIGH: u64 = 0xffff_ffff_0000_0000;
        if self.umin & HIGH == self.umax & HIGH {
            self.umin32 = self.umin32.max(self.umin as u32);
            self.umax32 = self.umax32.min(self.umax as u32);
            let high = self.umin & HIGH;
            self.umin = self.umin.max(high | u64::from(self.umin32));
            self.umax = self.umax.min(high | u64::from(self.umax32));
        }
        if self.smin as u64 & HIGH == self.smax as u64 & HIGH {
            self.umin32 = self.umin32.max(self.smin as u32);
            self.umax32 = self.umax32.min(self.smax as u32);
            let high = self.smin as u64 & HIGH;
            self.smin = self.smin.max((high | u64::from(self.umin32)) as i64);
            self.smax = self.smax.min((high | u64::from(self.umax32)) as i64);
        }
        self.ends_by_low_half();
        // Within i32, the sign of the low half is the sign of the whole.
        let narrow = i64::from(i32::MIN)..=i64::from(i32::MAX);
        if narrow.contains(&self.smin) && narrow.contains(&self.smax) {
            self.smin32 = self.smin32.max(self.smin as i32);
            self.smax32 = self.smax32.min(self.smax as i32);
            self.smin = self.smin.max(i64::from(self.smin32));
            self.smax = self.smax.min(i64::from(self.smax32));
        }
    }

    /// The ends of the whole are values whose low half is one that is possible.
    fn ends_by_low_half(&mut self) {
        let (low, high) = (self.umin as u32, self.umin >> 32);
        let min = match () {
            () if low < self.umin32 => Some(high << 32 | u64::from(self.umin32)),
            () if low > self.umax32 => {
                (high < u64::from(u32::MAX)).then(|| (high + 1) << 32 | u64::from(self.umin32))
            }
            () => Some(self.umin),
        };
        let (low, high) = (self.umax as u32, self.umax >> 32);
        let max = match () {
            () if low > self.umax32 => Some(high << 32 | u64::from(self.umax32)),
            () if low < self.umin32 => high.checked_sub(1).map(|high| high << 32 | u64::from(self.umax32)),
            () => Some(self.umax),
        };
        match min.zip(max) {
            Some((min, max)) => (self.umin, self.umax) = (min, max),
            None => (self.umin, self.umax) = (1, 0),
        }
    }

    fn bits_from_bounds(&mut self) {
        let whole = self.bits.intersect(Tnum::range(self.umin, self.umax));
        let low = whole.and_then(|t| {
            let low = Tnum::range(u64::from(self.umin32), u64::from(self.umax32));
            t.low32().intersect(low).map(|low| t.with_low32(low))
        });
        match low {
            Some(bits) => self.bits = bits,
            None => (self.umin, self.umax) = (1, 0),
        }
    }
}

impl fmt::Display for Scalar {
    /// As in the kernel's log: a number, or the bounds that say something.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(value) = self.value() {
            return write!(f, "{}", value as i64);
        }
        let mut parts = Vec::new();
        if self.smin != i64::MIN {
            parts.push(format!("smin={}", self.smin));
        }
        if self.smax != i64::MAX {
            parts.push(format!("smax={}", self.smax));
        }
        if self.umin != 0 {
            parts.push(format!("umin={}", self.umin));
        }
        if self.umax != u64::MAX {
            parts.push(format!("umax={}", self.umax));
        }
        let wide = self.umax <= u64::from(u32::MAX);
        if self.smin32 != i32::MIN && i64::from(self.smin32) != self.smin {
            parts.push(format!("smin32={}", self.smin32));
        }
        if self.smax32 != i32::MAX && i64::from(self.smax32) != self.smax {
            parts.push(format!("smax32={}", self.smax32));
        }
        if !wide && self.umin32 != 0 {
            parts.push(format!("umin32={}", self.umin32));
        }
        if !wide && self.umax32 != u32::MAX {
            parts.push(format!("umax32={}", self.umax32));
        }
        if self.bits != Tnum::UNKNOWN {
            parts.push(format!("var_off=({:#x}; {:#x})", self.bits.value, self.bits.mask));
        }
        write!(f, "({})", parts.join(","))
    }
}

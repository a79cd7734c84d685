//! Units with laws: nanoseconds, CPU numbers, DSQ ids and the wrapping order of vtime.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};

/// Nanoseconds of virtual time (an instant since boot, or a span).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ns(pub u64);

impl Ns {
    /// Zero nanoseconds.
    pub const ZERO: Ns = Ns(0);
    /// Later than every instant a run reaches.
    pub const MAX: Ns = Ns(u64::MAX);

    /// `ms` milliseconds.
    pub const fn from_ms(ms: u64) -> Ns {
        Ns(ms * 1_000_000)
    }

    /// `us` microseconds.
    pub const fn from_us(us: u64) -> Ns {
        Ns(us * 1_000)
    }

    /// The span from `earlier` to `self`, zero if `earlier` is later.
    pub fn since(self, earlier: Ns) -> Ns {
        Ns(self.0.saturating_sub(earlier.0))
    }
}

impl Add for Ns {
    type Output = Ns;
    fn add(self, other: Ns) -> Ns {
        Ns(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Ns {
    fn add_assign(&mut self, other: Ns) {
        *self = *self + other;
    }
}

impl Sub for Ns {
    type Output = Ns;
    fn sub(self, other: Ns) -> Ns {
        Ns(self.0 - other.0)
    }
}

impl fmt::Debug for Ns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ns", self.0)
    }
}

/// A CPU number, dense from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct CpuId(pub u32);

impl CpuId {
    /// The number as an index.
    pub const fn idx(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Debug for CpuId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cpu{}", self.0)
    }
}

impl fmt::Display for CpuId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A DSQ id as a scheduler names it (`SCX_DSQ_*`, or any number below 2^63 for a user DSQ).
/// Mirrors `enum scx_dsq_id_flags` of kernel/sched/ext/internal.h, 7.3.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DsqId(pub u64);

impl DsqId {
    /// Bit 63: not a user DSQ.
    pub const FLAG_BUILTIN: u64 = 1 << 63;
    /// Bit 62 (with bit 63): a given CPU's local DSQ.
    pub const FLAG_LOCAL_ON: u64 = 1 << 62;
    /// `SCX_DSQ_INVALID`
    pub const INVALID: DsqId = DsqId(Self::FLAG_BUILTIN);
    /// `SCX_DSQ_GLOBAL`
    pub const GLOBAL: DsqId = DsqId(Self::FLAG_BUILTIN | 1);
    /// `SCX_DSQ_LOCAL`
    pub const LOCAL: DsqId = DsqId(Self::FLAG_BUILTIN | 2);
    /// `SCX_DSQ_BYPASS`
    pub const BYPASS: DsqId = DsqId(Self::FLAG_BUILTIN | 3);
    /// `SCX_DSQ_LOCAL_ON`
    pub const LOCAL_ON: DsqId = DsqId(Self::FLAG_BUILTIN | Self::FLAG_LOCAL_ON);

    /// Whether it is one of the kernel's own (bit 63).
    pub const fn is_builtin(self) -> bool {
        self.0 & Self::FLAG_BUILTIN != 0
    }

    /// The CPU number in a `SCX_DSQ_LOCAL_ON | cpu` id, not validated.
    pub const fn local_on_cpu(self) -> Option<u32> {
        if self.0 >> 62 == 3 { Some(self.0 as u32) } else { None }
    }
}

impl fmt::Debug for DsqId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::INVALID => write!(f, "INVALID"),
            Self::GLOBAL => write!(f, "GLOBAL"),
            Self::LOCAL => write!(f, "LOCAL"),
            Self::BYPASS => write!(f, "BYPASS"),
            d => match d.local_on_cpu() {
                Some(cpu) => write!(f, "LOCAL_ON@{cpu}"),
                None => write!(f, "{:#x}", d.0),
            },
        }
    }
}

/// A virtual time. It wraps, so it has no `Ord`: `before` is the kernel's `time_before64`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Vtime(pub u64);

impl Vtime {
    /// Whether `self` comes before `other` in the wrapping order (signed difference below zero).
    pub const fn before(self, other: Vtime) -> bool {
        (self.0.wrapping_sub(other.0) as i64) < 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vtime_wraps() {
        assert!(Vtime(u64::MAX).before(Vtime(1)));
        assert!(!Vtime(1).before(Vtime(u64::MAX)));
        assert!(!Vtime(7).before(Vtime(7)));
    }

    #[test]
    fn local_on_carries_its_cpu() {
        assert_eq!(DsqId(DsqId::LOCAL_ON.0 | 5).local_on_cpu(), Some(5));
        assert_eq!(DsqId::LOCAL.local_on_cpu(), None);
        assert!(!DsqId(7).is_builtin());
    }
}

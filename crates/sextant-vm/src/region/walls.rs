//! The wall check as a table, for compiled code: where an access may begin, by zone, size and kind.
//!
//! ```text
//! zone = address >> ZONE_BITS & 15;  the access passes when address - start[zone] < allowed[size, kind][zone]
//! ```
//!
//! Must hold: what passes here passes [`Region::wall`](super::Region) too. Other address bits than the tag's make the
//! difference 2^(ZONE_BITS + 4) and more, which no entry reaches. What does not pass is asked the long way; that is
//! everything in the numbers behind the last zone, and in arenas, whose pages come and go.

use std::cell::Cell;
use std::mem::offset_of;

use super::{TAG, ZONE_BITS};

/// Zones, rounded up to a power of two.
const ZONES: usize = super::ZONES.next_power_of_two();

/// The table.
#[repr(C)]
pub(crate) struct Walls {
    start: [u64; ZONES],
    /// Rows: log2(size) * 2 + write.
    allowed: [[Cell<u64>; ZONES]; 8],
    /// Host address of a byte less its address.
    delta: u64,
}

impl Walls {
    /// Of a zone's number.
    pub(crate) const ZONE_MASK: u64 = ZONES as u64 - 1;
    pub(crate) const START: usize = offset_of!(Walls, start);
    pub(crate) const DELTA: usize = offset_of!(Walls, delta);

    /// Of a region without any memory.
    pub(super) fn new(base: *mut u8) -> Walls {
        let start = std::array::from_fn(|zone| TAG | (zone as u64) << ZONE_BITS);
        Walls { start, allowed: Default::default(), delta: (base as u64).wrapping_sub(TAG) }
    }

    /// Offset of the row for a size and a kind of access.
    pub(crate) fn allowed_at(size: u32, write: bool) -> usize {
        let row = size.trailing_zeros() as usize * 2 + usize::from(write);
        offset_of!(Walls, allowed) + row * ZONES * 8
    }

    /// A zone ends at `limit` from now on.
    pub(super) fn open(&self, zone: usize, write: bool, limit: u64) {
        for log in 0..4 {
            let allowed = (limit + 1).saturating_sub(1 << log);
            self.allowed[log * 2 + usize::from(write)][zone].set(allowed);
        }
    }
}

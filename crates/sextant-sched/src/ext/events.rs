//! Event counters (`struct scx_event_stats`), summed over CPUs.

pub use sextant_abi::tables::events::{EVENTS, Event as EventId};

use super::Ext;

/// The counters of one scheduler, in the kernel's order.
pub type EventStats = [i64; EventId::COUNT];

impl Ext {
    /// The current (or last) scheduler's counters with their names, in the kernel's order.
    pub fn events(&self) -> impl Iterator<Item = (&'static str, i64)> + '_ {
        EVENTS.iter().copied().zip(self.stats.iter().copied())
    }

    /// The value of one counter.
    pub fn event(&self, id: EventId) -> i64 {
        self.stats[id as usize]
    }

    pub(crate) fn add_event(&mut self, id: EventId, n: i64) {
        self.stats[id as usize] += n;
    }
}

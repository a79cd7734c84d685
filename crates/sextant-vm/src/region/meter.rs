//! How much memory the programs' objects may take: maps, their elements, arena pages, objects that programs make.
//!
//! DIVERGES: the limit is one number for a machine, not a memory cgroup.
//!
//! Must hold: what is charged bounds what the process uses for programs, the vm's own bookkeeping included; the class's own
//! objects (tasks, cgroups, masks of the machine) are not charged. The kernel has such a limit as the memory cgroup of whoever
//! created the map (kernel/bpf/syscall.c bpf_map_kmalloc_node() and its siblings, 7.3).

use std::cell::Cell;

use crate::Errno;

/// Bytes that programs' objects may take unless somebody says otherwise: 4 GiB.
pub const DEFAULT_MEMORY: u64 = 4 << 30;

/// What a slot of the heap costs beside its bytes: indices, list links, counts. Bytes.
pub(crate) const SLOT_OVERHEAD: u64 = 128;

/// Counts bytes against a limit.
#[derive(Debug)]
pub(crate) struct Meter {
    limit: u64,
    used: Cell<u64>,
}

impl Meter {
    /// A limit in bytes; 0 stands for [`DEFAULT_MEMORY`].
    pub(crate) fn new(limit: u64) -> Meter {
        Meter { limit: if limit == 0 { DEFAULT_MEMORY } else { limit }, used: Cell::new(0) }
    }

    /// Takes `bytes`. ENOMEM when that would be more than the limit; then nothing is taken.
    pub(crate) fn charge(&self, bytes: u64) -> Result<(), Errno> {
        if !self.has(bytes) {
            return Err(Errno::ENOMEM);
        }
        self.used.set(self.used.get() + bytes);
        Ok(())
    }

    /// Whether `bytes` more would stay below the limit.
    pub(crate) fn has(&self, bytes: u64) -> bool {
        self.used.get().checked_add(bytes).is_some_and(|used| used <= self.limit)
    }

    /// Gives `bytes` back that were charged.
    pub(crate) fn uncharge(&self, bytes: u64) {
        self.used.set(self.used.get().saturating_sub(bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charge_over_the_limit_takes_nothing() {
        let meter = Meter::new(100);
        assert_eq!(meter.charge(60), Ok(()));
        assert_eq!(meter.charge(41), Err(Errno::ENOMEM));
        assert_eq!(meter.charge(u64::MAX), Err(Errno::ENOMEM));
        assert_eq!(meter.charge(40), Ok(()));
        meter.uncharge(50);
        assert_eq!(meter.charge(51), Err(Errno::ENOMEM));
        assert_eq!(meter.charge(50), Ok(()));
        assert_eq!(Meter::new(0).charge(DEFAULT_MEMORY + 1), Err(Errno::ENOMEM));
    }
}

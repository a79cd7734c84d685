//! Accesses of programs that use an arena: which addresses mean it, and what a fault does.
//!
//! A pointer into the arena is, depending on how a program came to it: the BPF address, its low half alone (32-bit arithmetic, or
//! NULL plus an offset), or the user address (a global's). All mean the same byte. A load from a page that is not there
//! reads 0, a store is dropped, and the program's error stream says so. Of a pointer that the verifier knows to be the arena's
//! only the low half counts, so that whatever arithmetic made of it, it means a byte of the arena: a note per instruction says so.
//!
//! DIVERGES: the kernel makes 64-bit arithmetic on such pointers 32-bit; here it stays, and only accesses drop the upper half.

use crate::error::Fault;
use crate::exec::Exec;

/// What a program's `addr_space_cast`s and arena accesses go by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ArenaUse {
    /// BPF address of the arena's window; the low half is 0.
    pub(crate) window: u64,
    /// High half of user addresses; 0 with BPF_F_NO_USER_CONV.
    pub(crate) user_high: u64,
    /// High half of user addresses, always.
    pub(crate) user_window: u64,
}

/// Half of the guard around an arena: what an instruction's offset can reach.
const GUARD: u64 = 1 << 15;
const LOW: u64 = u32::MAX as u64;
/// Reports of faults that a vm prints; a program that faults in a loop would print for ever.
const MAX_REPORTS: u32 = 32;

impl ArenaUse {
    /// The BPF address that an address means, if it means the arena.
    fn resolve(self, addr: u64) -> Option<u64> {
        let high = addr & !LOW;
        if high == 0 || high == self.window || high == self.user_window {
            return Some(self.window | addr & LOW);
        }
        let near = |base: u64| addr.wrapping_add(GUARD).wrapping_sub(base) < LOW + 1 + 2 * GUARD;
        (near(self.window) || near(0) || near(self.user_window)).then_some(addr)
    }
}

/// What becomes of an access that the wall refused.
pub(crate) enum Refused {
    /// It goes there.
    Retry(u64),
    /// A fault in the arena: reads 0, stores nothing.
    Absorbed,
    /// A trap.
    Trap(Fault),
}

impl Exec<'_> {
    /// Decides it for the access of slot `pc`, and reports arena faults.
    #[cold]
    #[inline(never)]
    pub(crate) fn refused(&mut self, pc: usize, fault: Fault) -> Refused {
        let Some(arena) = self.prog.arena else { return Refused::Trap(fault) };
        let noted = self.prog.arena_access.get(pc) == Some(&true);
        let resolved = match noted {
            true => Some(arena.window | fault.addr & LOW),
            false => arena.resolve(fault.addr),
        };
        let Some(addr) = resolved else { return Refused::Trap(fault) };
        let size = fault.size.into();
        let there = match fault.write {
            true => self.region.wall::<true>(addr, size).is_ok(),
            false => self.region.wall::<false>(addr, size).is_ok(),
        };
        if addr & !LOW == arena.window && there {
            return Refused::Retry(addr);
        }
        let reports = &self.vm.arena_reports;
        reports.set(reports.get() + 1);
        if reports.get() <= MAX_REPORTS {
            let verb = if fault.write { "WRITE" } else { "READ" };
            let user = arena.user_window | addr & LOW;
            self.host.printk(&format!("ERROR: Arena {verb} access at unmapped address {user:#x}"));
        }
        Refused::Absorbed
    }
}

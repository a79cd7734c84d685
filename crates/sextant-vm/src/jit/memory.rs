//! Executable memory.
//!
//! Must hold: a page is writable first and executable later, never both, and never writable again; the code is gone with
//! its [`Compiled`].

use std::ffi::c_void;

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags};

use super::lower::{Assembled, NO_ENTRY};
use super::run::State;
use crate::region::PAGE;

/// The entry code: `(state, first instruction, r1..r5 and r10)`; the result is a [`super::run::Status`].
pub(crate) type Entry = unsafe extern "C" fn(*const State, *const c_void, *const [u64; 6]) -> u64;

/// A compiled program.
pub(crate) struct Compiled {
    base: *mut c_void,
    len: usize,
    entries: Vec<u32>,
}

impl Compiled {
    /// Puts code into memory of its own; `None` when the host has none, or forbids it.
    pub(crate) fn new(code: Assembled) -> Option<Compiled> {
        let len = code.bytes.len().next_multiple_of(PAGE as usize);
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice disturbs no other memory.
        let base = unsafe { rustix::mm::mmap_anonymous(std::ptr::null_mut(), len, prot, MapFlags::PRIVATE) };
        let compiled = Compiled { base: base.ok()?, len, entries: code.entries };
        // SAFETY: the mapping is at least that long, writable, and nobody else knows it.
        unsafe {
            std::ptr::copy_nonoverlapping(code.bytes.as_ptr(), compiled.base.cast(), code.bytes.len());
        }
        let flags = MprotectFlags::READ | MprotectFlags::EXEC;
        // SAFETY: the mapping is ours; no reference into it exists.
        unsafe { rustix::mm::mprotect(compiled.base, len, flags) }.ok()?;
        Some(compiled)
    }

    /// Where a slot's block begins; `None`: none begins there.
    pub(crate) fn target(&self, slot: u32) -> Option<*const c_void> {
        let offset = *self.entries.get(slot as usize)?;
        (offset != NO_ENTRY).then(|| self.base.cast_const().wrapping_byte_add(offset as usize))
    }

    /// The entry code.
    pub(crate) fn entry(&self) -> Entry {
        // SAFETY: every back end puts a function of this type at offset 0.
        unsafe { std::mem::transmute::<*mut c_void, Entry>(self.base) }
    }
}

impl Drop for Compiled {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`; a run holds its program, so nobody is inside.
        let _ = unsafe { rustix::mm::munmap(self.base, self.len) };
    }
}

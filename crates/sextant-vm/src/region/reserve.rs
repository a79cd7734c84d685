//! The host side of the region: one reserved address range, committed piece by piece.
//!
//! Must hold: `base .. base + LEN` belongs to this object until it is dropped; only committed pages are readable and
//! writable. Host addresses never leave the crate.

use std::ffi::c_void;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags};

use crate::Errno;

/// Page size of the emulated machine.
pub(crate) const PAGE: u64 = 4096;

/// A reserved range of host addresses.
pub(crate) struct Reserve {
    base: *mut u8,
    len: usize,
}

fn errno(e: rustix::io::Errno) -> Errno {
    Errno(e.raw_os_error())
}

impl Reserve {
    /// Reserves `len` bytes that cost nothing until committed.
    pub(crate) fn new(len: usize) -> Result<Reserve, Errno> {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice disturbs no other memory.
        let base =
            unsafe { rustix::mm::mmap_anonymous(std::ptr::null_mut(), len, ProtFlags::empty(), flags) };
        let base = base.map_err(errno)?;
        // SAFETY: the range was mapped just above; the advice only keeps the kernel from rounding
        // a touched page up to a huge one. A kernel without huge pages refuses it, which is fine.
        let _ = unsafe { rustix::mm::madvise(base, len, Advice::LinuxNoHugepage) };
        Ok(Reserve { base: base.cast(), len })
    }

    /// The first byte's host address.
    #[inline(always)]
    pub(crate) fn base(&self) -> *mut u8 {
        self.base
    }

    fn at(&self, off: u64, len: u64) -> *mut c_void {
        assert!(off + len <= self.len as u64 && off.is_multiple_of(PAGE), "outside the reserved range");
        self.base.wrapping_add(off as usize).cast()
    }

    /// Makes `off..off + len` (whole pages) readable and writable, zeroed.
    pub(crate) fn commit(&self, off: u64, len: u64) -> Result<(), Errno> {
        let flags = MprotectFlags::READ | MprotectFlags::WRITE;
        // SAFETY: `at` checked that the range is ours.
        unsafe { rustix::mm::mprotect(self.at(off, len), len as usize, flags) }.map_err(errno)
    }

    /// Gives the memory behind `off..off + len` (whole pages) back; it reads as zeroes from now on.
    pub(crate) fn discard(&self, off: u64, len: u64) -> Result<(), Errno> {
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED;
        // SAFETY: as in `map_file`: ours, and nobody holds a reference into it.
        unsafe { rustix::mm::mmap_anonymous(self.at(off, len), len as usize, prot, flags) }.map_err(errno)?;
        Ok(())
    }

    /// Puts the file's first `len` bytes at `off`.
    pub(crate) fn map_file(&self, off: u64, len: u64, fd: BorrowedFd<'_>) -> Result<(), Errno> {
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::SHARED | MapFlags::FIXED;
        // SAFETY: `at` checked that the replaced range is ours; nobody holds a reference into it, accesses go
        // through raw pointers made for one access each. The file is sealed against shrinking.
        unsafe { rustix::mm::mmap(self.at(off, len), len as usize, prot, flags, fd, 0) }.map_err(errno)?;
        Ok(())
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        // SAFETY: the range was mapped by `new` and is used through `self` only.
        let _ = unsafe { rustix::mm::munmap(self.base.cast(), self.len) };
    }
}

/// An anonymous file of `len` bytes that cannot change its size (so that no holder of the fd can make us fault).
pub(crate) fn sealed_memfd(name: &str, len: u64) -> Result<OwnedFd, Errno> {
    let fd =
        rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).map_err(errno)?;
    rustix::fs::ftruncate(&fd, len).map_err(errno)?;
    rustix::fs::fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW).map_err(errno)?;
    Ok(fd)
}

/// Lets no further writable mapping of the file be made (a frozen map).
pub(crate) fn seal_writes(fd: BorrowedFd<'_>) {
    // A host older than 5.1 lacks the seal; then freezing binds only those who go through bpf(2).
    let _ = rustix::fs::fcntl_add_seals(fd, SealFlags::FUTURE_WRITE);
}

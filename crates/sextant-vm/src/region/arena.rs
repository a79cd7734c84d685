//! Arenas: sparse memory that programs and user space share.
//!
//! ```text
//!  user address     user_start + page * 4096          what pointers in the arena hold
//!  BPF address      window | low 32 bits of the user address    window: the arena's zone
//!  host             a file of max_entries pages, mapped there; user space maps the same file
//! ```
//!
//! Must hold: a page is touched only when it is present. Present is what `bpf_arena_alloc_pages` gave out, and what user space
//! has touched: then the file has data there. Mirrors kernel/bpf/arena.c, 7.3.
//! DIVERGES: pages are freed at once, not by a worker, when the caller cannot sleep.

use std::cell::{Cell, RefCell};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{FallocateFlags, SeekFrom};

use super::ranges::Ranges;
use super::{Meter, PAGE, Region, ZONE_BITS, Zone, sealed_memfd};
use crate::Errno;

/// Arenas that one vm can have: a zone each.
pub(super) const ARENAS: usize = 4;

/// One arena.
pub(crate) struct Arena {
    /// BPF address whose low half is 0.
    pub(crate) window: u64,
    /// Where user space sees page 0.
    pub(crate) user_start: u64,
    pages: u32,
    fd: OwnedFd,
    meter: Rc<Meter>,
    present: Vec<Cell<u64>>,
    free: RefCell<Ranges>,
}

impl Arena {
    /// The page of an offset in the window; `None` outside the arena.
    fn page(&self, low: u32) -> Option<u32> {
        let page = low.checked_sub(self.user_start as u32)? / PAGE as u32;
        (page < self.pages).then_some(page)
    }

    /// Whether all bytes lie in present pages.
    #[inline]
    pub(super) fn covers(&self, low: u32, size: u64) -> bool {
        let Some(first) = self.page(low) else { return false };
        let end = u64::from(low).checked_add(size.max(1) - 1);
        let last = end.and_then(|end| u32::try_from(end).ok()).and_then(|end| self.page(end));
        last.is_some_and(|last| (first..=last).all(|page| self.is_present(page)))
    }

    fn is_present(&self, page: u32) -> bool {
        let bits = self.present[page as usize / 64].get();
        bits >> (page % 64) & 1 != 0 || self.touched(page)
    }

    /// The first page from `from` on where the file has data, which is user space's doing if the page is not present.
    fn next_data(&self, from: u32) -> Option<u32> {
        let at = rustix::fs::seek(&self.fd, SeekFrom::Data(u64::from(from) * PAGE)).ok()?;
        Some((at / PAGE) as u32)
    }

    /// Whether user space has touched a page: then it is present and taken.
    #[cold]
    fn touched(&self, page: u32) -> bool {
        let touched = self.next_data(page) == Some(page);
        if touched {
            self.mark(page, 1, true);
            self.free.borrow_mut().clear(page, 1);
        }
        touched
    }

    fn mark(&self, start: u32, len: u32, present: bool) {
        for page in start..start + len {
            let bits = &self.present[page as usize / 64];
            let bit = 1 << (page % 64);
            bits.set(if present { bits.get() | bit } else { bits.get() & !bit });
        }
    }

    fn count_present(&self, start: u32, len: u32) -> u64 {
        let marked = |page: &u32| self.present[*page as usize / 64].get() >> (page % 64) & 1 != 0;
        (start..start + len).filter(marked).count() as u64
    }

    /// User address of a page.
    fn user(&self, page: u32) -> u64 {
        self.user_start + u64::from(page) * PAGE
    }

    /// BPF address of a byte of the arena, by its offset from page 0.
    pub(crate) fn addr(&self, off: u64) -> u64 {
        self.window | u64::from((self.user_start + off) as u32)
    }

    /// Bytes.
    pub(crate) fn len(&self) -> u64 {
        u64::from(self.pages) * PAGE
    }

    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// The page that a user address starts, from its low half; `None` outside or inside a page.
    fn page_at(&self, addr: u64) -> Option<u32> {
        if addr.is_multiple_of(PAGE) { self.page(addr as u32) } else { None }
    }

    /// `bpf_arena_alloc_pages`: the user address of `count` new pages, at `addr` unless that is 0; `None` when there are none.
    pub(crate) fn alloc(&self, addr: u64, count: u32) -> Option<u64> {
        if count == 0 || count > self.pages {
            return None;
        }
        loop {
            let start = match addr {
                0 => self.free.borrow().find(count)?,
                addr => self.page_at(addr)?,
            };
            if !self.free.borrow().has(start, count) {
                return None;
            }
            match self.next_data(start).filter(|&page| page < start + count) {
                Some(page) => _ = self.touched(page),
                None => {
                    self.meter.charge(u64::from(count) * PAGE).ok()?;
                    self.free.borrow_mut().clear(start, count);
                    self.mark(start, count, true);
                    return Some(self.user(start));
                }
            }
        }
    }

    /// `bpf_arena_free_pages`: the pages are gone, for user space too.
    pub(crate) fn free(&self, addr: u64, count: u32) {
        let Some(start) = self.page(addr as u32) else { return };
        let count = count.min(self.pages - start);
        self.meter.uncharge(self.count_present(start, count) * PAGE);
        self.free.borrow_mut().set(start, count);
        self.mark(start, count, false);
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let (at, len) = (u64::from(start) * PAGE, u64::from(count) * PAGE);
        if len > 0 && rustix::fs::fallocate(&self.fd, flags, at, len).is_err() {
            // Then the data stays, and with it the pages.
            (start..start + count).for_each(|page| _ = self.touched(page));
        }
    }

    /// `bpf_arena_reserve_pages`: keeps `bpf_arena_alloc_pages` out of them. EINVAL outside, EBUSY when they are not all free.
    pub(crate) fn reserve(&self, addr: u64, count: u32) -> Result<(), Errno> {
        if !addr.is_multiple_of(PAGE) || count == 0 {
            return Ok(());
        }
        let start = self.page(addr as u32).ok_or(Errno::EINVAL)?;
        if count > self.pages - start {
            return Err(Errno::EINVAL);
        }
        if !self.free.borrow().has(start, count) {
            return Err(Errno::EBUSY);
        }
        self.free.borrow_mut().clear(start, count);
        Ok(())
    }
}

impl Region {
    /// A new arena that user space sees at `user_start` (0: at an address of ours). ENOMEM when the vm has its four.
    pub(crate) fn arena_create(&self, user_start: u64, pages: u32) -> Result<Rc<Arena>, Errno> {
        let index = self.arenas.iter().position(|a| a.borrow().is_none()).ok_or(Errno::ENOMEM)?;
        let window = Zone::Arena.start() + ((index as u64) << ZONE_BITS);
        // Where mmap(2) would put it is the host's business; programs see this.
        let user_start = if user_start == 0 { (0x1000 + index as u64) << 32 } else { user_start };
        let len = u64::from(pages) * PAGE;
        let fd = sealed_memfd("bpf-arena", len)?;
        self.host.map_file(self.arena_offset(window, user_start), len, fd.as_fd())?;
        let mut free = Ranges::default();
        free.set(0, pages);
        let present = vec![Cell::new(0); pages.div_ceil(64) as usize];
        let arena = Rc::new(Arena {
            window,
            user_start,
            pages,
            fd,
            meter: self.meter.clone(),
            present,
            free: free.into(),
        });
        *self.arenas[index].borrow_mut() = Some(arena.clone());
        Ok(arena)
    }

    fn arena_offset(&self, window: u64, user_start: u64) -> u64 {
        (window & super::MASK) + u64::from(user_start as u32)
    }

    /// Gives an arena's memory back.
    pub(crate) fn arena_free(&self, arena: &Arena) {
        let index = (arena.window - Zone::Arena.start()) >> ZONE_BITS;
        self.meter.uncharge(arena.count_present(0, arena.pages) * PAGE);
        *self.arenas[index as usize].borrow_mut() = None;
        let _ = self.host.discard(self.arena_offset(arena.window, arena.user_start), arena.len()); // else it costs memory
    }

    /// The wall of an arena's zone: `at` is an offset in it.
    pub(super) fn arena_covers(&self, arena: usize, at: u64, size: u64) -> bool {
        let arena = self.arenas[arena].borrow();
        arena.as_ref().is_some_and(|arena| arena.covers(at as u32, size))
    }
}

/// Room for the arenas of a region.
pub(super) type Arenas = [RefCell<Option<Rc<Arena>>>; ARENAS];

//! Giving out addresses: bump allocation, and slots that come back first in, first out.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::OwnedFd;

use sextant_abi::Mem;

use super::meter::SLOT_OVERHEAD;
use super::{MASK, PAGE, POISON, Region, ZONE_LEN, Zone, sealed_memfd};
use crate::Errno;

/// Pages are committed in steps of this many bytes.
const COMMIT_STEP: u64 = 1 << 18;

/// Of a zone of kernel objects, the part that programs cannot fill: 1 GiB.
const KERNELS_OWN: u64 = 1 << 30;

/// How far each zone is given out, and the freed slots.
#[derive(Default)]
pub(crate) struct Slots {
    bump: [u64; super::ZONES],
    /// Freed slots by zone and size.
    free: BTreeMap<(u8, u64), VecDeque<u64>>,
}

impl Region {
    /// Memory that is never given back: map values, stacks. Zeroed. What programs' objects take is charged to the meter.
    pub(crate) fn alloc_block(&self, zone: Zone, size: u64, align: u64) -> Result<u64, Errno> {
        let charge = if zone.is_metered() { size } else { 0 };
        self.meter.charge(charge)?;
        self.carve(zone, size, align).inspect_err(|_| self.meter.uncharge(charge))
    }

    fn carve(&self, zone: Zone, size: u64, align: u64) -> Result<u64, Errno> {
        let mut slots = self.slots.borrow_mut();
        let at = slots.bump[zone as usize].next_multiple_of(align);
        let end = size.checked_next_multiple_of(8).and_then(|s| at.checked_add(s)).ok_or(Errno::ENOMEM)?;
        if end > ZONE_LEN {
            return Err(Errno::ENOMEM);
        }
        self.commit(zone, end)?;
        slots.bump[zone as usize] = end;
        self.open(zone, end);
        Ok(zone.start() + at)
    }

    /// Leaves the rest of the page that blocks go to now: the address of the next one, or of the zone's end when it is full.
    pub(crate) fn next_page(&self, zone: Zone) -> u64 {
        self.alloc_block(zone, 0, PAGE).unwrap_or(zone.start() + ZONE_LEN)
    }

    /// Page-aligned memory with a file behind it, which others can map.
    pub(crate) fn alloc_file(&self, zone: Zone, size: u64, name: &str) -> Result<(u64, OwnedFd), Errno> {
        let size = size.checked_next_multiple_of(PAGE).ok_or(Errno::ENOMEM)?;
        if size > ZONE_LEN {
            return Err(Errno::ENOMEM);
        }
        let fd = sealed_memfd(name, size)?;
        let addr = self.alloc_block(zone, size, PAGE)?;
        use std::os::fd::AsFd;
        self.host.map_file(addr & MASK, size, fd.as_fd())?;
        Ok((addr, fd))
    }

    /// Gives the memory of a block that nobody uses any more back to the host, except the pages it shares. Its addresses
    /// are not given out again and read as zeroes.
    pub(crate) fn release_block(&self, addr: u64, size: u64) {
        let start = (addr & MASK).next_multiple_of(PAGE);
        let end = ((addr & MASK) + size) / PAGE * PAGE;
        if start < end {
            let _ = self.host.discard(start, end - start); // else it costs memory, nothing more
        }
    }

    /// The same for a block that is a file: all of its pages, which nobody shares, or the file would live on.
    pub(crate) fn release_file(&self, addr: u64, size: u64) {
        self.release_block(addr, size.next_multiple_of(PAGE));
    }

    fn commit(&self, zone: Zone, end: u64) -> Result<(), Errno> {
        let committed = &self.committed[zone as usize];
        let from = committed.get();
        if end > from {
            let to = end.next_multiple_of(COMMIT_STEP).min(ZONE_LEN);
            self.host.commit((zone.start() & MASK) + from, to - from)?;
            committed.set(to);
        }
        Ok(())
    }

    /// Moves the limits of the wall check.
    fn open(&self, zone: Zone, end: u64) {
        self.limits[zone as usize * 2].set(end);
        self.compiled.walls.open(zone as usize, false, end);
        if zone.writable() {
            self.limits[zone as usize * 2 + 1].set(end);
            self.compiled.walls.open(zone as usize, true, end);
        }
    }

    fn stride(&self, zone: Zone, size: u64) -> u64 {
        if zone == Zone::Task {
            assert!(size <= self.task_stride, "a task of {size} bytes in slots of {}", self.task_stride);
            self.task_stride
        } else {
            size.max(1).next_multiple_of(8)
        }
    }

    /// An object that can be freed: a freed slot of the same zone and size, else new memory. Zeroed.
    pub(crate) fn alloc_slot(&self, zone: Zone, size: u64) -> Result<u64, Errno> {
        let stride = self.stride(zone, size);
        let addr = match self.reuse(zone, stride) {
            Some(addr) => addr,
            None if zone.is_metered() => {
                self.meter.charge(SLOT_OVERHEAD)?;
                self.alloc_block(zone, stride, 8).inspect_err(|_| self.meter.uncharge(SLOT_OVERHEAD))?
            }
            None => self.alloc_block(zone, stride, 8)?,
        };
        self.object_add(addr, size, stride, 1);
        Ok(addr)
    }

    /// The same for a kernel object that a program asks for: it counts against the limit, and a part of the zone stays for the
    /// kernel's own objects, whose allocation never fails.
    pub(super) fn alloc_kernel_slot(&self, zone: Zone, size: u64) -> Result<u64, Errno> {
        let stride = self.stride(zone, size);
        let addr = match self.reuse(zone, stride) {
            Some(addr) => addr,
            None if self.used(zone) + stride > ZONE_LEN - KERNELS_OWN => return Err(Errno::ENOMEM),
            None => {
                let charge = stride + SLOT_OVERHEAD;
                self.meter.charge(charge)?;
                self.carve(zone, stride, 8).inspect_err(|_| self.meter.uncharge(charge))?
            }
        };
        self.object_add(addr, size, stride, 1);
        Ok(addr)
    }

    /// A freed slot of that zone and stride, zeroed.
    fn reuse(&self, zone: Zone, stride: u64) -> Option<u64> {
        let addr =
            self.slots.borrow_mut().free.get_mut(&(zone as u8, stride)).and_then(VecDeque::pop_front)?;
        self.fill(addr, stride, 0);
        Some(addr)
    }

    /// Memory that programs may write, for `bpf_obj_new` and the like. Zeroed; ENOMEM.
    pub fn heap_alloc(&self, size: u32) -> Result<u64, Errno> {
        self.alloc_slot(Zone::Heap, size.into())
    }

    /// Frees what `heap_alloc` gave, at the end of the RCU section if one is open.
    ///
    /// # Panics
    /// When it is not memory of the heap.
    pub fn heap_free(&self, addr: u64, size: u32) {
        self.free_slot(Zone::Heap, addr, size.into());
    }

    /// Frees such an object, at the end of the RCU section if one is open.
    pub(crate) fn free_slot(&self, zone: Zone, addr: u64, size: u64) {
        if self.rcu_depth.get() > 0 {
            self.rcu_pending.borrow_mut().push((zone, addr, size));
        } else {
            self.poison(zone, addr, size);
        }
    }

    /// Poisons a slot and puts it at the end of its queue.
    pub(super) fn poison(&self, zone: Zone, addr: u64, size: u64) {
        assert!(addr.wrapping_sub(zone.start()) < ZONE_LEN, "{addr:#x} is not in zone {zone:?}");
        let stride = self.stride(zone, size);
        self.fill(addr, stride, POISON);
        self.object_remove(addr, stride);
        self.slots.borrow_mut().free.entry((zone as u8, stride)).or_default().push_back(addr);
    }

    /// Fills memory of the region with one byte value.
    pub(crate) fn fill(&self, addr: u64, len: u64, byte: u8) {
        let ptr = self.kernel_ptr(addr, len);
        // SAFETY: `kernel_ptr` checked the range; everything below a zone's limit is committed writable.
        unsafe { std::ptr::write_bytes(ptr, byte, len as usize) }
    }

    /// Copies inside the region.
    pub(crate) fn copy_within(&self, to: u64, from: u64, len: u64) {
        let (dst, src) = (self.kernel_ptr(to, len), self.kernel_ptr(from, len));
        // SAFETY: `kernel_ptr` checked both ranges; `copy` allows overlap.
        unsafe { std::ptr::copy(src, dst, len as usize) }
    }

    /// Reads bytes into a new vector (kernel's own access).
    pub(crate) fn read_vec(&self, addr: u64, len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        self.read_bytes(addr, &mut out);
        out
    }

    /// Notes live objects for `--sanitize`.
    pub(crate) fn object_add(&self, start: u64, elem: u64, stride: u64, count: u64) {
        if let Some(objects) = &self.objects {
            objects.borrow_mut().add(start, elem, stride, count);
        }
    }

    /// Forgets the live objects that start in a range.
    pub(crate) fn object_remove(&self, start: u64, len: u64) {
        if let Some(objects) = &self.objects {
            objects.borrow_mut().remove(start, len);
        }
    }
}

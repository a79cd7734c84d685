//! `VecMem`: kernel objects in plain vectors, for builds without the vm.
//!
//! One zone of addresses per object kind, given out in creation order; what is freed is poisoned and reused in
//! FIFO order by kind and size, as the vm's region does it. No BPF program exists in such a build, so nothing is checked.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};

use sextant_abi::{Mem, ObjKind};

/// Where the zone of `ObjKind::Task` starts.
const TASK_BASE: u64 = 0xffff_8881_0000_0000;
/// Where the zone of `ObjKind::Kernel` starts.
const KERNEL_BASE: u64 = 0xffff_8882_0000_0000;
/// What a freed byte holds (POISON_FREE).
const POISON: u8 = 0x6b;

/// Memory of one object kind.
#[derive(Default)]
struct Zone {
    bytes: Vec<u8>,
    free: BTreeMap<u32, VecDeque<u64>>,
}

/// `Mem` without a vm.
#[derive(Default)]
pub struct VecMem {
    task: RefCell<Zone>,
    kernel: RefCell<Zone>,
}

impl VecMem {
    /// Nothing allocated.
    pub fn new() -> Self {
        Self::default()
    }

    fn zone(&self, kind: ObjKind) -> (&RefCell<Zone>, u64) {
        match kind {
            ObjKind::Task => (&self.task, TASK_BASE),
            ObjKind::Kernel => (&self.kernel, KERNEL_BASE),
        }
    }

    /// The zone an address lies in and the offset in it.
    fn at(&self, addr: u64) -> (&RefCell<Zone>, usize) {
        if addr >= KERNEL_BASE {
            (&self.kernel, (addr - KERNEL_BASE) as usize)
        } else {
            assert!(addr >= TASK_BASE, "{addr:#x} is not an address of a kernel object");
            (&self.task, (addr - TASK_BASE) as usize)
        }
    }
}

impl Mem for VecMem {
    fn load(&self, addr: u64, size: u32) -> u64 {
        let mut buf = [0u8; 8];
        self.read_bytes(addr, &mut buf[..size as usize]);
        u64::from_le_bytes(buf)
    }

    fn store(&self, addr: u64, size: u32, val: u64) {
        self.write_bytes(addr, &val.to_le_bytes()[..size as usize]);
    }

    fn read_bytes(&self, addr: u64, out: &mut [u8]) {
        let (zone, off) = self.at(addr);
        out.copy_from_slice(&zone.borrow().bytes[off..off + out.len()]);
    }

    fn write_bytes(&self, addr: u64, data: &[u8]) {
        let (zone, off) = self.at(addr);
        zone.borrow_mut().bytes[off..off + data.len()].copy_from_slice(data);
    }

    fn alloc(&self, kind: ObjKind, size: u32) -> u64 {
        let size = size.next_multiple_of(8);
        let (zone, base) = self.zone(kind);
        let zone = &mut *zone.borrow_mut();
        if let Some(addr) = zone.free.get_mut(&size).and_then(VecDeque::pop_front) {
            let off = (addr - base) as usize;
            zone.bytes[off..off + size as usize].fill(0);
            return addr;
        }
        let off = zone.bytes.len();
        zone.bytes.resize(off + size as usize, 0);
        base + off as u64
    }

    fn try_alloc(&self, kind: ObjKind, size: u32) -> Option<u64> {
        Some(self.alloc(kind, size)) // no program asks here
    }

    fn free(&self, kind: ObjKind, addr: u64, size: u32) {
        let size = size.next_multiple_of(8);
        let (zone, base) = self.zone(kind);
        let zone = &mut *zone.borrow_mut();
        let off = (addr - base) as usize;
        zone.bytes[off..off + size as usize].fill(POISON);
        zone.free.entry(size).or_default().push_back(addr);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_apart_and_little_endian() {
        let m = VecMem::new();
        let (a, b) = (m.alloc(ObjKind::Task, 12), m.alloc(ObjKind::Task, 12));
        assert_eq!(b - a, 16);
        m.store(a, 8, 0x0102_0304_0506_0708);
        m.store(b, 4, 0xffff_ffff);
        assert_eq!(m.load(a, 1), 8);
        assert_eq!(m.load(a + 4, 4), 0x0102_0304);
        assert_eq!(m.load(b + 4, 4), 0);
    }

    #[test]
    fn freed_slots_are_poisoned_and_come_back_in_order() {
        let m = VecMem::new();
        let (a, b) = (m.alloc(ObjKind::Kernel, 8), m.alloc(ObjKind::Kernel, 8));
        m.free(ObjKind::Kernel, b, 8);
        m.free(ObjKind::Kernel, a, 8);
        assert_eq!(m.load(b, 2), 0x6b6b);
        assert_eq!(m.alloc(ObjKind::Kernel, 8), b);
        assert_eq!(m.load(b, 8), 0);
        assert_eq!(m.alloc(ObjKind::Kernel, 8), a);
        assert_ne!(m.alloc(ObjKind::Task, 8), a);
    }
}

//! BPF-visible memory: numbers of ours, checked at the wall.
//!
//! ```text
//!  63                                36 35    32 31                     0
//! +------------------------------------+--------+-----------------------+
//! | TAG (0xffff888000000000 >> 36)     | zone   | offset in the zone    |
//! +------------------------------------+--------+-----------------------+
//! host address = base + (address & MASK)
//! ```
//!
//! Must hold: below a zone's limit everything is committed; limits only grow; addresses are given out in the order
//! of creation, so they depend on nothing but the program's and the kernel's own actions. Freed slots are filled with
//! 0x6b and reused first in, first out, at the end of the RCU section in which they were freed.

mod arena;
mod meter;
mod objects;
mod ranges;
mod reserve;
mod slots;
mod walls;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use sextant_abi::{Mem, ObjKind};

use crate::Errno;
use crate::error::{Fault, Why};
use crate::jit;
use objects::Objects;
use reserve::Reserve;
use slots::Slots;

pub(crate) use arena::Arena;
pub use meter::DEFAULT_MEMORY;
pub(crate) use meter::Meter;
pub(crate) use reserve::{PAGE, seal_writes, sealed_memfd};
pub(crate) use walls::Walls;

/// The fixed high bits of every address.
pub const TAG: u64 = 0xffff_8880_0000_0000;
/// Bits of the offset inside a zone: 4 GiB, the most an arena may have.
pub const ZONE_BITS: u32 = 32;
const ZONE_LEN: u64 = 1 << ZONE_BITS;
/// The last ones are arenas.
const ZONES: usize = Zone::Arena as usize + arena::ARENAS;
/// Bytes of all zones: 44 GiB, of the 60 that Valgrind has to give.
const LEN: u64 = ZONE_LEN * ZONES as u64;
/// Host address = base + (address & MASK).
pub const MASK: u64 = LEN.next_power_of_two() - 1;
/// What freed memory is filled with (the kernel's POISON_FREE).
pub const POISON: u8 = 0x6b;

/// Part of the address space with its own rules.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Zone {
    /// `task_struct`s in slots of one size; stores only to the fields a scheduler may write.
    Task = 0,
    /// Other kernel objects; read-only for programs.
    Kernel = 1,
    /// Map values that programs may write.
    MapRw = 2,
    /// Values of maps with BPF_F_RDONLY_PROG.
    MapRo = 3,
    /// Stacks and contexts.
    Stack = 4,
    /// Elements that come and go: hash maps, task storage, `bpf_obj_new`.
    Heap = 5,
    /// One slot per map: what a program holds as a map pointer; read-only.
    MapPtr = 6,
    /// The first arena; pages come and go. The others have the numbers behind it.
    Arena = 7,
}

impl Zone {
    /// Its first address.
    pub const fn start(self) -> u64 {
        TAG | (self as u64) << ZONE_BITS
    }

    /// Whether programs' objects fill it: it counts against the limit of [`RegionConfig::memory`].
    const fn is_metered(self) -> bool {
        matches!(self, Zone::MapRw | Zone::MapRo | Zone::Heap)
    }

    const fn writable(self) -> bool {
        matches!(self, Zone::MapRw | Zone::Stack | Zone::Heap | Zone::Arena)
    }
}

/// How memory is going to be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Loads only.
    Read,
    /// Stores, or both.
    Write,
}

/// What a region is made for.
#[derive(Clone, Debug, Default)]
pub struct RegionConfig {
    /// `sizeof(struct task_struct)`, bytes.
    pub task_size: u32,
    /// Ranges (offset, length) of `task_struct` that programs may store to.
    pub task_writable: Vec<(u32, u32)>,
    /// Keep the live objects and check accesses against them.
    pub sanitize: bool,
    /// Bytes that maps, their elements, arena pages and programs' own objects may take; 0 stands for [`DEFAULT_MEMORY`].
    pub memory: u64,
}

/// BPF-visible memory.
pub struct Region {
    host: Reserve,
    /// `[zone * 2 + write]`: bytes a program may touch without a further question.
    limits: [Cell<u64>; ZONES * 2],
    committed: [Cell<u64>; ZONES],
    /// What compiled code looks at.
    pub(crate) compiled: jit::State,
    task_stride: u64,
    /// Per byte of a task slot: how many bytes from here on may be stored to.
    task_writable: Vec<u8>,
    slots: RefCell<Slots>,
    objects: Option<RefCell<Objects>>,
    arenas: arena::Arenas,
    pub(crate) meter: Rc<Meter>,
    rcu_depth: Cell<u32>,
    /// Freed inside an RCU section: zone, address, size.
    rcu_pending: RefCell<Vec<(Zone, u64, u64)>>,
}

impl Region {
    /// Reserves the address range. Fails with the host's errno when the process has no room for 44 GiB of
    /// reserved (not used) addresses.
    pub fn new(cfg: RegionConfig) -> Result<Rc<Region>, Errno> {
        let task_stride = u64::from(cfg.task_size.max(1)).next_multiple_of(64);
        let host = Reserve::new(LEN as usize)?;
        Ok(Rc::new(Region {
            compiled: jit::State::new(Walls::new(host.base())),
            host,
            limits: Default::default(),
            committed: Default::default(),
            task_stride,
            task_writable: writable_runs(task_stride as usize, &cfg.task_writable),
            slots: RefCell::default(),
            objects: cfg.sanitize.then(RefCell::default),
            arenas: Default::default(),
            meter: Rc::new(Meter::new(cfg.memory)),
            rcu_depth: Cell::new(0),
            rcu_pending: RefCell::default(),
        }))
    }

    /// The wall check: `size` bytes at `addr` are BPF-visible, allocated once and open to this kind of access.
    #[inline]
    pub fn check(&self, addr: u64, size: u64, access: Access) -> Result<(), Fault> {
        match access {
            Access::Read => self.wall::<false>(addr, size).map(|_| ()),
            Access::Write => self.wall::<true>(addr, size).map(|_| ()),
        }
    }

    /// The object check of `--sanitize`; passes without it.
    pub fn check_object(&self, addr: u64, size: u64, write: bool) -> Result<(), Fault> {
        let Some(objects) = &self.objects else { return Ok(()) };
        if (Zone::Arena.start()..TAG + LEN).contains(&addr) {
            return Ok(()); // pages are all there is
        }
        let check = objects.borrow().check(addr, size);
        check.map_err(|why| Fault { addr, size: size as u32, write, why })
    }

    /// The wall check, giving the host address.
    #[inline(always)]
    pub(crate) fn wall<const WRITE: bool>(&self, addr: u64, size: u64) -> Result<*mut u8, Fault> {
        match self.below_limit::<WRITE>(addr, size) {
            Some(ptr) => Ok(ptr),
            None => self.wall_slow(addr, size, WRITE),
        }
    }

    /// The part of the wall check that nearly all accesses pass.
    #[inline(always)]
    fn below_limit<const WRITE: bool>(&self, addr: u64, size: u64) -> Option<*mut u8> {
        let off = addr.wrapping_sub(TAG);
        let zone = off >> ZONE_BITS;
        if zone < ZONES as u64 && size <= ZONE_LEN {
            let end = (off & (ZONE_LEN - 1)) + size;
            if end <= self.limits[zone as usize * 2 + WRITE as usize].get() {
                return Some(self.host.base().wrapping_add(off as usize));
            }
        }
        None
    }

    #[cold]
    #[inline(never)]
    fn wall_slow(&self, addr: u64, size: u64, write: bool) -> Result<*mut u8, Fault> {
        let fault = |why| Err(Fault { addr, size: size.min(u32::MAX.into()) as u32, write, why });
        let off = addr.wrapping_sub(TAG);
        if off >= LEN {
            return fault(Why::Outside);
        }
        let (zone, at) = (off >> ZONE_BITS, off & (ZONE_LEN - 1));
        if let Some(arena) = zone.checked_sub(Zone::Arena as u64) {
            return match self.arena_covers(arena as usize, at, size) {
                true => Ok(self.host.base().wrapping_add(off as usize)),
                false => fault(Why::ArenaPage),
            };
        }
        if size > ZONE_LEN || at + size > self.limits[zone as usize * 2].get() {
            return fault(Why::Unmapped);
        }
        if zone != Zone::Task as u64 {
            return fault(Why::ReadOnly);
        }
        if u64::from(self.task_writable[(at % self.task_stride) as usize]) < size {
            return fault(Why::TaskField);
        }
        Ok(self.host.base().wrapping_add(off as usize))
    }

    /// A program's load of 1, 2, 4 or 8 bytes, zero-extended.
    #[inline]
    pub fn bpf_load(&self, addr: u64, size: u32) -> Result<u64, Fault> {
        let ptr = self.wall::<false>(addr, size.into())?;
        // SAFETY: the wall check says that these bytes are committed memory of the region.
        Ok(unsafe { load(ptr, size) })
    }

    /// A program's store of the low 1, 2, 4 or 8 bytes.
    #[inline]
    pub fn bpf_store(&self, addr: u64, size: u32, val: u64) -> Result<(), Fault> {
        let ptr = self.wall::<true>(addr, size.into())?;
        // SAFETY: as in `bpf_load`, and open to stores.
        unsafe { store(ptr, size, val) };
        Ok(())
    }

    /// Copies memory a program may read; both checks.
    pub fn bpf_read(&self, addr: u64, out: &mut [u8]) -> Result<(), Fault> {
        let ptr = self.wall::<false>(addr, out.len() as u64)?;
        if !out.is_empty() {
            self.check_object(addr, out.len() as u64, false)?;
        }
        // SAFETY: the wall check says that these bytes are committed memory of the region; `out` is a Rust buffer and
        // so not inside it.
        unsafe { std::ptr::copy_nonoverlapping(ptr, out.as_mut_ptr(), out.len()) };
        Ok(())
    }

    /// Copies into memory a program may write; both checks.
    pub fn bpf_write(&self, addr: u64, data: &[u8]) -> Result<(), Fault> {
        let ptr = self.wall::<true>(addr, data.len() as u64)?;
        if !data.is_empty() {
            self.check_object(addr, data.len() as u64, true)?;
        }
        // SAFETY: as in `bpf_read`, and open to stores.
        unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), ptr, data.len()) };
        Ok(())
    }

    /// Reads a NUL-terminated string of at most `max` bytes (the NUL not counted or returned). `None` when the first
    /// byte cannot be read; a string that runs into the end of the memory ends there.
    pub fn read_cstr(&self, addr: u64, max: usize) -> Option<Vec<u8>> {
        self.bpf_load(addr, 1).ok()?;
        let bytes = (0..max as u64).map_while(|i| self.bpf_load(addr.wrapping_add(i), 1).ok());
        Some(bytes.map(|b| b as u8).take_while(|&b| b != 0).collect())
    }

    /// The host address for the kernel's own access.
    ///
    /// # Panics
    /// When the bytes are not allocated: a bug of the caller.
    #[inline(always)]
    fn kernel_ptr(&self, addr: u64, size: u64) -> *mut u8 {
        match self.below_limit::<false>(addr, size) {
            Some(ptr) => ptr,
            None => self.kernel_fault(addr, size),
        }
    }

    #[cold]
    #[inline(never)]
    fn kernel_fault(&self, addr: u64, size: u64) -> *mut u8 {
        match self.wall_slow(addr, size, false) {
            // A page of an arena, which programs hand to helpers: arenas have no limit, their pages come and go.
            Ok(ptr) => ptr,
            Err(fault) => panic!("the kernel's own access: {fault}"),
        }
    }

    /// Bytes of a zone that were given out, from its first address on; 0 for arenas, whose pages come and go.
    pub fn used(&self, zone: Zone) -> u64 {
        if zone == Zone::Arena { 0 } else { self.limits[zone as usize * 2].get() }
    }

    /// A mark between the start and the end of which freed memory stays as it was.
    pub fn rcu_enter(&self) {
        self.rcu_depth.set(self.rcu_depth.get() + 1);
    }

    /// Ends what `rcu_enter` began; the outermost one poisons what was freed meanwhile.
    pub fn rcu_exit(&self) {
        let depth = self.rcu_depth.get().checked_sub(1).expect("rcu_exit without rcu_enter");
        self.rcu_depth.set(depth);
        if depth == 0 && !self.rcu_pending.borrow().is_empty() {
            let pending = std::mem::take(&mut *self.rcu_pending.borrow_mut());
            pending.into_iter().for_each(|(zone, addr, size)| self.poison(zone, addr, size));
        }
    }
}

/// For every byte the number of writable bytes from it on (at most 255).
fn writable_runs(len: usize, ranges: &[(u32, u32)]) -> Vec<u8> {
    let mut runs = vec![0u8; len];
    for &(off, n) in ranges {
        for i in (off as usize..(off + n) as usize).take_while(|&i| i < len) {
            runs[i] = 1;
        }
    }
    for i in (0..len.saturating_sub(1)).rev() {
        if runs[i] != 0 {
            runs[i] = runs[i + 1].saturating_add(1);
        }
    }
    runs
}

/// Little-endian load of 1, 2, 4 or 8 bytes.
///
/// # Safety
/// `ptr` leads to `size` readable bytes.
#[inline(always)]
pub(crate) unsafe fn load(ptr: *const u8, size: u32) -> u64 {
    // SAFETY: by the caller's promise; unaligned reads of plain integers.
    unsafe {
        match size {
            1 => ptr.read().into(),
            2 => ptr.cast::<u16>().read_unaligned().into(),
            4 => ptr.cast::<u32>().read_unaligned().into(),
            _ => ptr.cast::<u64>().read_unaligned(),
        }
    }
}

/// Little-endian store of the low 1, 2, 4 or 8 bytes.
///
/// # Safety
/// `ptr` leads to `size` writable bytes.
#[inline(always)]
pub(crate) unsafe fn store(ptr: *mut u8, size: u32, val: u64) {
    // SAFETY: by the caller's promise; unaligned writes of plain integers.
    unsafe {
        match size {
            1 => ptr.write(val as u8),
            2 => ptr.cast::<u16>().write_unaligned(val as u16),
            4 => ptr.cast::<u32>().write_unaligned(val as u32),
            _ => ptr.cast::<u64>().write_unaligned(val),
        }
    }
}

impl Mem for Region {
    #[inline]
    fn load(&self, addr: u64, size: u32) -> u64 {
        assert!(matches!(size, 1 | 2 | 4 | 8), "load of {size} bytes");
        // SAFETY: `kernel_ptr` checked the range.
        unsafe { load(self.kernel_ptr(addr, size.into()), size) }
    }

    #[inline]
    fn store(&self, addr: u64, size: u32, val: u64) {
        assert!(matches!(size, 1 | 2 | 4 | 8), "store of {size} bytes");
        // SAFETY: `kernel_ptr` checked the range; everything below a zone's limit is committed writable.
        unsafe { store(self.kernel_ptr(addr, size.into()), size, val) }
    }

    fn read_bytes(&self, addr: u64, out: &mut [u8]) {
        let ptr = self.kernel_ptr(addr, out.len() as u64);
        // SAFETY: `kernel_ptr` checked the range; `out` is a Rust buffer, not in the region.
        unsafe { std::ptr::copy_nonoverlapping(ptr, out.as_mut_ptr(), out.len()) }
    }

    fn write_bytes(&self, addr: u64, data: &[u8]) {
        let ptr = self.kernel_ptr(addr, data.len() as u64);
        // SAFETY: as in `read_bytes`.
        unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), ptr, data.len()) }
    }

    fn alloc(&self, kind: ObjKind, size: u32) -> u64 {
        let zone = kind_zone(kind);
        self.alloc_slot(zone, size.into()).expect("the zone of kernel objects is full")
    }

    fn try_alloc(&self, kind: ObjKind, size: u32) -> Option<u64> {
        let zone = kind_zone(kind);
        self.alloc_kernel_slot(zone, size.into()).ok()
    }

    fn free(&self, kind: ObjKind, addr: u64, size: u32) {
        self.free_slot(kind_zone(kind), addr, size.into());
    }
}

fn kind_zone(kind: ObjKind) -> Zone {
    match kind {
        ObjKind::Task => Zone::Task,
        ObjKind::Kernel => Zone::Kernel,
    }
}

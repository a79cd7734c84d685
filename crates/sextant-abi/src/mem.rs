//! BPF-visible memory as the class sees it: addresses are numbers, nobody holds a reference into it.
//!
//! Two implementors: the vm's region, and `VecMem` of `sextant-sched` for builds without the `bpf` feature.

/// What a kernel allocation is for; each kind has its own zone of addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum ObjKind {
    /// A `task_struct`. BPF may store only to the fields a scheduler may write.
    Task,
    /// Any other kernel object a program may read but not write: `cgroup`, `cpumask`, op arguments, `rq`.
    Kernel,
}

/// BPF-visible memory. Interior mutability: all methods take `&self`.
///
/// The kernel's own accesses only: an address outside any allocation is a bug of the caller and panics.
pub trait Mem {
    /// Little-endian load of 1, 2, 4 or 8 bytes, zero-extended.
    fn load(&self, addr: u64, size: u32) -> u64;
    /// Little-endian store of the low 1, 2, 4 or 8 bytes.
    fn store(&self, addr: u64, size: u32, val: u64);
    /// Copies `out.len()` bytes out.
    fn read_bytes(&self, addr: u64, out: &mut [u8]);
    /// Copies `data` in.
    fn write_bytes(&self, addr: u64, data: &[u8]);
    /// Allocates `size` zeroed bytes (8-aligned) for a kernel object; addresses are given out in creation order.
    fn alloc(&self, kind: ObjKind, size: u32) -> u64;
    /// Allocates like [`Mem::alloc`] on behalf of a program, whose demand has a limit: `None` when that is reached.
    fn try_alloc(&self, kind: ObjKind, size: u32) -> Option<u64>;
    /// Frees an allocation: its bytes are poisoned (0x6b) and the slot is reused in FIFO order by a later
    /// allocation of the same kind and size.
    fn free(&self, kind: ObjKind, addr: u64, size: u32);
}

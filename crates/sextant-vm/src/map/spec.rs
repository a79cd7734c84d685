//! What a map is created from, and which of it the kernel accepts.

use crate::Errno;
use crate::map::MapId;

pub use sextant_abi::SpecialField;

pub use sextant_abi::tables::bpf::{
    BPF_F_CLONE, BPF_F_INNER_MAP, BPF_F_MMAPABLE, BPF_F_NO_COMMON_LRU, BPF_F_NO_PREALLOC, BPF_F_NO_USER_CONV,
    BPF_F_NUMA_NODE, BPF_F_PRESERVE_ELEMS, BPF_F_RDONLY, BPF_F_RDONLY_PROG, BPF_F_SEGV_ON_FAULT,
    BPF_F_WRONLY, BPF_F_WRONLY_PROG, BPF_F_ZERO_SEED, BPF_MAP_TYPE_ARENA, BPF_MAP_TYPE_ARRAY,
    BPF_MAP_TYPE_ARRAY_OF_MAPS, BPF_MAP_TYPE_CGRP_STORAGE, BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_HASH_OF_MAPS,
    BPF_MAP_TYPE_LRU_HASH, BPF_MAP_TYPE_LRU_PERCPU_HASH, BPF_MAP_TYPE_PERCPU_ARRAY, BPF_MAP_TYPE_PERCPU_HASH,
    BPF_MAP_TYPE_PERF_EVENT_ARRAY, BPF_MAP_TYPE_QUEUE, BPF_MAP_TYPE_RINGBUF, BPF_MAP_TYPE_STACK,
    BPF_MAP_TYPE_STRUCT_OPS, BPF_MAP_TYPE_TASK_STORAGE, BPF_MAP_TYPE_USER_RINGBUF,
};

const ACCESS_MASK: u32 = BPF_F_RDONLY | BPF_F_WRONLY | BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG;
/// What the kernel can allocate in one piece, bytes.
const KMALLOC_MAX: u64 = 1 << 22;
/// Largest per-CPU value, bytes.
const PCPU_MIN_UNIT: u64 = 32 << 10;

/// BPF_MAP_CREATE.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MapSpec {
    /// `BPF_MAP_TYPE_*`
    pub map_type: u32,
    /// Bytes.
    pub key_size: u32,
    /// Bytes.
    pub value_size: u32,
    /// Elements.
    pub max_entries: u32,
    /// `BPF_F_*`
    pub flags: u32,
    /// Name, at most 15 bytes (not checked).
    pub name: String,
    /// Special fields of a value (offset, field), sorted, from the value's BTF.
    pub fields: Vec<(u32, SpecialField)>,
    /// `map_extra`
    pub map_extra: u64,
    /// Map-in-map: the map that `inner_map_fd` means.
    pub inner: Option<MapId>,
    /// The value type is known from BTF (local storage must have it).
    pub has_value_btf: bool,
}

/// Whether each CPU has its own value.
pub(crate) const fn is_percpu(map_type: u32) -> bool {
    matches!(map_type, BPF_MAP_TYPE_PERCPU_HASH | BPF_MAP_TYPE_PERCPU_ARRAY | BPF_MAP_TYPE_LRU_PERCPU_HASH)
}

pub(crate) const fn is_lru(map_type: u32) -> bool {
    matches!(map_type, BPF_MAP_TYPE_LRU_HASH | BPF_MAP_TYPE_LRU_PERCPU_HASH)
}

fn require(ok: bool, errno: Errno) -> Result<(), Errno> {
    if ok { Ok(()) } else { Err(errno) }
}

/// Whether the kernel would make this map. EINVAL also for types it does not have (or we do not).
pub(crate) fn validate(spec: &MapSpec) -> Result<(), Errno> {
    let both = BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG;
    require(spec.flags & both != both, Errno::EINVAL)?;
    let fields_fit =
        |&(off, f): &(u32, SpecialField)| u64::from(off) + u64::from(f.size()) <= spec.value_size.into();
    require(spec.fields.iter().all(fields_fit), Errno::EINVAL)?;
    match spec.map_type {
        BPF_MAP_TYPE_ARRAY | BPF_MAP_TYPE_PERCPU_ARRAY => array(spec),
        BPF_MAP_TYPE_ARRAY_OF_MAPS => {
            require(spec.value_size == 4 && spec.flags & both == 0, Errno::EINVAL)?;
            array(spec)?;
            require(spec.inner.is_some(), Errno::EBADF)
        }
        BPF_MAP_TYPE_HASH_OF_MAPS => {
            require(spec.value_size == 4, Errno::EINVAL)?;
            hash(spec)?;
            require(spec.inner.is_some(), Errno::EBADF)
        }
        BPF_MAP_TYPE_HASH
        | BPF_MAP_TYPE_PERCPU_HASH
        | BPF_MAP_TYPE_LRU_HASH
        | BPF_MAP_TYPE_LRU_PERCPU_HASH => hash(spec),
        BPF_MAP_TYPE_QUEUE | BPF_MAP_TYPE_STACK => queue(spec),
        BPF_MAP_TYPE_TASK_STORAGE | BPF_MAP_TYPE_CGRP_STORAGE => storage(spec),
        BPF_MAP_TYPE_ARENA => arena(spec),
        BPF_MAP_TYPE_RINGBUF | BPF_MAP_TYPE_USER_RINGBUF => ring(spec),
        BPF_MAP_TYPE_PERF_EVENT_ARRAY => {
            require(spec.key_size == 4 && spec.value_size == 4 && spec.max_entries != 0, Errno::EINVAL)?;
            require(spec.flags & !(BPF_F_NUMA_NODE | ACCESS_MASK | BPF_F_PRESERVE_ELEMS) == 0, Errno::EINVAL)
        }
        BPF_MAP_TYPE_STRUCT_OPS => {
            require(spec.key_size == 4 && spec.max_entries == 1 && spec.value_size > 0, Errno::EINVAL)
        }
        _ => Err(Errno::EINVAL),
    }
}

/// Bytes of data are a power of two, whole pages. Overwrite mode is left out.
fn ring(spec: &MapSpec) -> Result<(), Errno> {
    let whole = spec.max_entries.is_power_of_two() && spec.max_entries.is_multiple_of(4096);
    require(spec.key_size == 0 && spec.value_size == 0 && whole, Errno::EINVAL)?;
    require(spec.flags & !BPF_F_NUMA_NODE == 0, Errno::EINVAL)
}

/// Pages that one arena can have: 4 GiB.
const ARENA_PAGES: u32 = 1 << 20;

/// `map_extra` is the address that user space will map it at; the low halves of its addresses must not wrap.
fn arena(spec: &MapSpec) -> Result<(), Errno> {
    let mask = BPF_F_SEGV_ON_FAULT | BPF_F_MMAPABLE | BPF_F_NO_USER_CONV;
    let shape = spec.key_size == 0 && spec.value_size == 0 && spec.max_entries != 0;
    require(shape && spec.flags & BPF_F_MMAPABLE != 0 && spec.flags & !mask == 0, Errno::EINVAL)?;
    require(spec.map_extra.is_multiple_of(4096), Errno::EINVAL)?;
    require(spec.max_entries <= ARENA_PAGES, Errno::E2BIG)?;
    let last = spec.map_extra.wrapping_add(u64::from(spec.max_entries) * 4096 - 1);
    require(spec.map_extra >> 32 == last >> 32, Errno::ERANGE)
}

fn array(spec: &MapSpec) -> Result<(), Errno> {
    let mask = BPF_F_NUMA_NODE | BPF_F_MMAPABLE | ACCESS_MASK | BPF_F_PRESERVE_ELEMS | BPF_F_INNER_MAP;
    require(spec.max_entries != 0 && spec.key_size == 4 && spec.value_size != 0, Errno::EINVAL)?;
    require(spec.flags & !mask == 0, Errno::EINVAL)?;
    let plain = spec.map_type == BPF_MAP_TYPE_ARRAY;
    require(plain || spec.flags & (BPF_F_MMAPABLE | BPF_F_INNER_MAP) == 0, Errno::EINVAL)?;
    require(spec.value_size <= i32::MAX as u32, Errno::E2BIG)?;
    percpu_fits(spec)
}

fn percpu_fits(spec: &MapSpec) -> Result<(), Errno> {
    let fits = u64::from(spec.value_size).next_multiple_of(8) <= PCPU_MIN_UNIT;
    require(!is_percpu(spec.map_type) || fits, Errno::E2BIG)
}

fn hash(spec: &MapSpec) -> Result<(), Errno> {
    let mask = BPF_F_NO_PREALLOC | BPF_F_NO_COMMON_LRU | BPF_F_NUMA_NODE | ACCESS_MASK | BPF_F_ZERO_SEED;
    let lru = is_lru(spec.map_type);
    require(spec.flags & !mask == 0, Errno::EINVAL)?;
    require(lru || spec.flags & BPF_F_NO_COMMON_LRU == 0, Errno::EINVAL)?;
    require(!lru || spec.flags & BPF_F_NO_PREALLOC == 0, Errno::ENOTSUPP)?;
    require(spec.max_entries != 0 && spec.key_size != 0 && spec.value_size != 0, Errno::EINVAL)?;
    require(u64::from(spec.key_size) + u64::from(spec.value_size) < KMALLOC_MAX - 64, Errno::E2BIG)?;
    percpu_fits(spec)
}

fn queue(spec: &MapSpec) -> Result<(), Errno> {
    require(spec.max_entries != 0 && spec.key_size == 0 && spec.value_size != 0, Errno::EINVAL)?;
    require(spec.flags & !(BPF_F_NUMA_NODE | ACCESS_MASK) == 0, Errno::EINVAL)?;
    require(u64::from(spec.value_size) <= KMALLOC_MAX, Errno::E2BIG)
}

fn storage(spec: &MapSpec) -> Result<(), Errno> {
    require(spec.flags & !(BPF_F_NO_PREALLOC | BPF_F_CLONE) == 0, Errno::EINVAL)?;
    require(spec.flags & BPF_F_NO_PREALLOC != 0 && spec.max_entries == 0, Errno::EINVAL)?;
    require(spec.key_size == 4 && spec.value_size != 0 && spec.has_value_btf, Errno::EINVAL)?;
    require(u64::from(spec.value_size) <= (64 << 10) - 128, Errno::E2BIG)
}

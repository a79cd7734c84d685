//! Maps: what they are made of, how they are checked at creation, and the operations both sides share.
//!
//! ```text
//!  program ── helper/map.rs ──┐
//!                             ├── Map (this file: flags, bounds, special fields) ── array, hash, queue, storage
//!  bpf(2) ── map/syscall.rs ──┘
//! ```
//!
//! Must hold: values that programs can reach live in the region; everything the vm itself relies on (indices, lists,
//! counts) is ordinary Rust. Iteration order is the order of insertion. A removed element stays readable until the RCU
//! section ends.
//!
//! Leaves out: ring buffers, arenas, sockets, tries, tail calls. Mirrors kernel/bpf/{arraymap,hashtab,
//! queue_stack_maps,bpf_task_storage,bpf_local_storage,map_in_map,syscall}.c, 7.3.

mod array;
mod dump;
mod hash;
mod ops;
mod queue;
mod ring;
mod spec;
mod storage;
mod syscall;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::arena::ArenaUse;
use crate::region::Arena;

pub(crate) use array::Array;
pub use dump::{Element, ElementKey};
pub(crate) use hash::Hash;
pub(crate) use ops::MAP_PTR_SIZE;
pub(crate) use queue::Queue;
pub(crate) use ring::{MAX_DYNPTR, Ring};
pub use spec::*;
pub(crate) use storage::Storage;

/// A map's number, from 1, as in `bpf_map_info.id`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MapId(pub u32);

macro_rules! update_flags {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        $($(#[$doc])* pub const $name: u64 = sextant_abi::tables::bpf::$name as u64;)*
    };
}

update_flags! {
    /// Update: create or replace.
    BPF_ANY;
    /// Update: create only.
    BPF_NOEXIST;
    /// Update: replace only.
    BPF_EXIST;
    /// Update, look up: under the value's spin lock.
    BPF_F_LOCK;
    /// Update, look up: one CPU's value of a per-CPU map; the CPU is in the upper half.
    BPF_F_CPU;
    /// Update: one value for all CPUs of a per-CPU map.
    BPF_F_ALL_CPUS;
}

/// A map.
pub(crate) struct Map {
    pub(crate) id: MapId,
    /// What programs hold as a pointer to it.
    pub(crate) addr: u64,
    pub(crate) spec: MapSpec,
    pub(crate) frozen: Cell<bool>,
    pub(crate) kind: Kind,
}

/// What holds the values.
pub(crate) enum Kind {
    /// ARRAY, PERCPU_ARRAY; ARRAY_OF_MAPS with map addresses as values.
    Array(Array),
    /// HASH, PERCPU_HASH, LRU_HASH, LRU_PERCPU_HASH; HASH_OF_MAPS with map addresses as values.
    Hash(RefCell<Hash>),
    /// QUEUE, STACK.
    Queue(RefCell<Queue>),
    /// TASK_STORAGE, CGRP_STORAGE.
    Storage(RefCell<Storage>),
    /// RINGBUF, USER_RINGBUF.
    Ring(Ring),
    /// PERF_EVENT_ARRAY: no slot ever holds an event.
    Empty,
    /// ARENA.
    Arena(Rc<Arena>),
    /// STRUCT_OPS: bytes that no program sees.
    Blob(RefCell<Vec<u8>>),
}

impl Map {
    /// Offset of the first field of this kind in a value.
    pub(crate) fn field_offset(&self, want: fn(&SpecialField) -> bool) -> Option<u32> {
        self.spec.fields.iter().find(|(_, f)| want(f)).map(|&(off, _)| off)
    }

    pub(crate) fn has_lock(&self) -> bool {
        self.field_offset(|f| matches!(f, SpecialField::SpinLock | SpecialField::ResSpinLock)).is_some()
    }

    /// Bytes of the blocks that were made with it; elements that came later are not counted.
    pub(crate) fn block_len(&self) -> u64 {
        match &self.kind {
            Kind::Array(array) => array.block_len(),
            Kind::Queue(queue) => queue.borrow().block_len(),
            Kind::Ring(ring) => ring.block_len(),
            _ => 0,
        }
    }

    /// Whether the values are other maps.
    pub(crate) fn is_of_maps(&self) -> bool {
        matches!(self.spec.map_type, BPF_MAP_TYPE_ARRAY_OF_MAPS | BPF_MAP_TYPE_HASH_OF_MAPS)
    }

    /// What a program that uses this arena goes by.
    pub(crate) fn arena_use(&self) -> Option<ArenaUse> {
        let Kind::Arena(arena) = &self.kind else { return None };
        let user_window = arena.user_start & !0xffff_ffff;
        let converts = self.spec.flags & BPF_F_NO_USER_CONV == 0;
        let user_high = if converts { user_window } else { 0 };
        Some(ArenaUse { window: arena.window, user_high, user_window })
    }

    pub(crate) fn is_percpu(&self) -> bool {
        is_percpu(self.spec.map_type)
    }

    /// The value at `addr` holds this address: start of the value and of its key, and the index for arrays.
    pub(crate) fn value_of(&self, addr: u64) -> Option<(u64, KeyAt)> {
        match &self.kind {
            Kind::Array(a) => a.index_of(addr).map(|(i, value)| (value, KeyAt::Index(i))),
            Kind::Hash(h) => h.borrow().elem_of_value(addr).map(|(elem, value)| (value, KeyAt::Addr(elem))),
            _ => None,
        }
    }
}

/// Where an element's key is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum KeyAt {
    /// An array's index, not stored anywhere.
    Index(u32),
    /// In memory.
    Addr(u64),
}

/// Objects freed with a map element, for the kernel around the vm to drop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DroppedKptr {
    /// BTF id of the pointed-to type, as given in [`SpecialField::Kptr`].
    pub btf_id: u32,
    /// Address of the object.
    pub addr: u64,
}

/// Deterministic by-key index of live timers, by the address of their `bpf_timer`.
pub(crate) type Timers = BTreeMap<u64, crate::timer::Timer>;

//! HASH, PERCPU_HASH, LRU_HASH and LRU_PERCPU_HASH: elements on the heap, an index by key, a list in order of insertion.
//!
//! ```text
//!  element:  key, padded to 8 | value, padded to 8 (one per CPU in per-CPU maps)
//!  list:     head → slot → slot → … → tail        (LRU: a referenced element goes to the tail instead of out)
//! ```
//!
//! Replacing a value makes a new element in the old one's place of the list, as the kernel does: who holds the old
//! value goes on seeing it until the RCU section ends. Per-CPU values are overwritten in place.
//!
//! DIVERGES: one LRU list for all CPUs, exact second chance; the kernel's is approximate.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use sextant_abi::Mem;

use crate::Errno;
use crate::map::{MapSpec, is_lru, is_percpu};
use crate::region::{Region, Zone};

const NONE: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Slot {
    elem: u64,
    prev: u32,
    next: u32,
    referenced: bool,
}

/// A hash map's elements.
pub(crate) struct Hash {
    index: HashMap<Box<[u8]>, u32, BuildHasherDefault<FixedHasher>>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    head: u32,
    tail: u32,
    max_entries: u32,
    key_size: u32,
    value_size: u32,
    cpus: u32,
    lru: bool,
    /// Live elements by address, to find the element of a value address (only for values with special fields).
    by_addr: Option<std::collections::BTreeMap<u64, u32>>,
}

impl Hash {
    /// `value_size`: bytes of a value in memory.
    pub(crate) fn new(spec: &MapSpec, value_size: u32, nr_cpus: u32) -> Hash {
        Hash {
            index: HashMap::default(),
            slots: Vec::new(),
            free: Vec::new(),
            head: NONE,
            tail: NONE,
            max_entries: spec.max_entries,
            key_size: spec.key_size,
            value_size,
            cpus: if is_percpu(spec.map_type) { nr_cpus } else { 1 },
            lru: is_lru(spec.map_type),
            by_addr: (!spec.fields.is_empty()).then(Default::default),
        }
    }

    fn value_stride(&self) -> u64 {
        u64::from(self.value_size).next_multiple_of(8)
    }

    /// Address of an element's value.
    pub(crate) fn value(&self, elem: u64, cpu: u32) -> Option<u64> {
        let cpu = if self.cpus == 1 { 0 } else { cpu };
        let first = elem + u64::from(self.key_size).next_multiple_of(8);
        (cpu < self.cpus).then(|| first + u64::from(cpu) * self.value_stride())
    }

    fn elem_size(&self) -> u64 {
        u64::from(self.key_size).next_multiple_of(8) + self.value_stride() * u64::from(self.cpus)
    }

    /// The element with this key, kept from eviction for a while.
    pub(crate) fn find(&mut self, key: &[u8]) -> Option<u64> {
        let slot = *self.index.get(key)?;
        let slot = &mut self.slots[slot as usize];
        slot.referenced |= self.lru;
        Some(slot.elem)
    }

    /// The element with this key; bpf(2)'s look-ups do not count as use.
    pub(crate) fn peek(&self, key: &[u8]) -> Option<u64> {
        self.index.get(key).map(|&slot| self.slots[slot as usize].elem)
    }

    /// The element and value that an address lies in.
    pub(crate) fn elem_of_value(&self, addr: u64) -> Option<(u64, u64)> {
        let (&elem, _) = self.by_addr.as_ref()?.range(..=addr).next_back()?;
        let off = addr.checked_sub(self.value(elem, 0)?)?;
        let cpu = off / self.value_stride();
        let value = self.value(elem, cpu.try_into().ok()?)?;
        (off < self.value_stride() * u64::from(self.cpus)).then_some((elem, value))
    }

    /// Whether another element needs an eviction (LRU) or does not fit.
    pub(crate) fn is_full(&self) -> bool {
        self.index.len() as u64 >= u64::from(self.max_entries)
    }

    fn new_elem(&self, region: &Region, key: &[u8]) -> Result<u64, Errno> {
        let elem = region.alloc_slot(Zone::Heap, self.elem_size())?;
        region.write_bytes(elem, key);
        region.object_remove(elem, 1);
        let value = elem + u64::from(self.key_size).next_multiple_of(8);
        region.object_add(elem, self.key_size.into(), value - elem, 1);
        region.object_add(value, self.value_size.into(), self.value_stride(), self.cpus.into());
        Ok(elem)
    }

    /// Adds a zeroed element at the end of the list. The key is not there yet and the map not full.
    pub(crate) fn insert(&mut self, region: &Region, key: &[u8]) -> Result<u64, Errno> {
        let elem = self.new_elem(region, key)?;
        let new = Slot { elem, prev: NONE, next: NONE, referenced: false };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = new;
                slot
            }
            None => {
                self.slots.push(new);
                self.slots.len() as u32 - 1
            }
        };
        self.link_tail(slot);
        self.index.insert(key.into(), slot);
        if let Some(by_addr) = &mut self.by_addr {
            by_addr.insert(elem, slot);
        }
        Ok(elem)
    }

    /// Puts a new zeroed element in the old one's place: new, old. The old one is the caller's to free.
    pub(crate) fn replace(&mut self, region: &Region, key: &[u8]) -> Result<(u64, u64), Errno> {
        let slot = *self.index.get(key).ok_or(Errno::ENOENT)?;
        let elem = self.new_elem(region, key)?;
        let old = std::mem::replace(&mut self.slots[slot as usize].elem, elem);
        if let Some(by_addr) = &mut self.by_addr {
            by_addr.remove(&old);
            by_addr.insert(elem, slot);
        }
        Ok((elem, old))
    }

    /// Takes an element out; it is the caller's to free.
    pub(crate) fn remove(&mut self, key: &[u8]) -> Option<u64> {
        let slot = self.index.remove(key)?;
        let elem = self.slots[slot as usize].elem;
        self.unlink(slot);
        self.free.push(slot);
        self.slots[slot as usize].elem = 0;
        if let Some(by_addr) = &mut self.by_addr {
            by_addr.remove(&elem);
        }
        Some(elem)
    }

    /// Takes out the least recently used element.
    pub(crate) fn evict(&mut self, region: &Region) -> Option<u64> {
        let mut slot = self.head;
        while slot != NONE && self.slots[slot as usize].referenced {
            self.slots[slot as usize].referenced = false;
            self.unlink(slot);
            self.link_tail(slot);
            slot = self.head;
        }
        let victim = self.slots.get(slot as usize)?;
        let key = region.read_vec(victim.elem, self.key_size as usize);
        self.remove(&key)
    }

    /// Poisons an element taken out, at the end of the RCU section.
    pub(crate) fn free_elem(&self, region: &Region, elem: u64) {
        region.free_slot(Zone::Heap, elem, self.elem_size());
    }

    /// The element after the one with this key; the first if there is no such key or none is given.
    pub(crate) fn next(&self, key: Option<&[u8]>) -> Option<u64> {
        let slot = match key.and_then(|key| self.index.get(key)) {
            Some(&slot) => self.slots[slot as usize].next,
            None => self.head,
        };
        self.slots.get(slot as usize).map(|slot| slot.elem)
    }

    /// All elements in order: slot, element.
    pub(crate) fn elems(&self) -> Vec<(u32, u64)> {
        let mut out = Vec::with_capacity(self.index.len());
        let mut at = self.head;
        while at != NONE {
            out.push((at, self.slots[at as usize].elem));
            at = self.slots[at as usize].next;
        }
        out
    }

    /// Whether the slot still holds this element.
    pub(crate) fn holds(&self, slot: u32, elem: u64) -> bool {
        self.slots.get(slot as usize).is_some_and(|s| s.elem == elem)
    }

    fn link_tail(&mut self, slot: u32) {
        let tail = self.tail;
        self.slots[slot as usize].prev = tail;
        self.slots[slot as usize].next = NONE;
        match self.slots.get_mut(tail as usize) {
            Some(prev) => prev.next = slot,
            None => self.head = slot,
        }
        self.tail = slot;
    }

    fn unlink(&mut self, slot: u32) {
        let Slot { prev, next, .. } = self.slots[slot as usize];
        match self.slots.get_mut(prev as usize) {
            Some(s) => s.next = next,
            None => self.head = next,
        }
        match self.slots.get_mut(next as usize) {
            Some(s) => s.prev = prev,
            None => self.tail = prev,
        }
    }
}

/// A hash without a seed: the same on every run and machine.
#[derive(Default)]
pub(crate) struct FixedHasher(u64);

impl Hasher for FixedHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|w| self.write_u64(u64::from_le_bytes(*w)));
        let mut last = [0u8; 8];
        last[..rest.len()].copy_from_slice(rest);
        if !rest.is_empty() {
            self.write_u64(u64::from_le_bytes(last));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }
}

//! The operations that programs and bpf(2) share: look up, update, delete, push; special fields of values.

use std::rc::Rc;

use sextant_abi::Mem;

use super::*;
use crate::{Errno, Vm};

/// Whether update flags are known and fit the map.
fn check_flags(map: &Map, flags: u64) -> Result<(), Errno> {
    if flags & !BPF_F_LOCK > BPF_EXIST || (flags & BPF_F_LOCK != 0 && !map.has_lock()) {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

fn array_index(key: &[u8]) -> Result<u32, Errno> {
    Ok(u32::from_le_bytes(key.try_into().map_err(|_| Errno::EINVAL)?))
}

impl Vm {
    /// Address of an element's value on a CPU; `None` if there is no such element. For map-in-map: where the inner map's
    /// address is.
    pub(crate) fn elem_lookup(&self, map: &Map, key: &[u8], cpu: u32) -> Option<u64> {
        match &map.kind {
            Kind::Array(a) => a.value(array_index(key).ok()?, cpu),
            Kind::Hash(h) => {
                let mut hash = h.borrow_mut();
                let elem = hash.find(key)?;
                hash.value(elem, cpu)
            }
            _ => None,
        }
    }

    /// Creates or replaces an element; on per-CPU maps this CPU's value only (a new element's others are zero).
    pub(crate) fn elem_update(
        &self,
        map: &Map,
        key: &[u8],
        val: &[u8],
        flags: u64,
        cpu: u32,
    ) -> Result<(), Errno> {
        check_flags(map, flags)?;
        match &map.kind {
            Kind::Array(a) => {
                let index = array_index(key)?;
                let value = a.value(index, cpu).ok_or(Errno::E2BIG)?;
                if flags & BPF_NOEXIST != 0 {
                    return Err(Errno::EEXIST);
                }
                self.store_value(map, value, val);
                self.drop_fields(map, value);
                Ok(())
            }
            Kind::Hash(_) => {
                let value = self.hash_slot(map, key, flags, cpu)?;
                self.store_value(map, value, val);
                Ok(())
            }
            Kind::Queue(q) if key.is_empty() => q.borrow_mut().push(&self.region, val, flags),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Address of the value that an update writes, made or replaced as the flags say.
    pub(crate) fn hash_slot(&self, map: &Map, key: &[u8], flags: u64, cpu: u32) -> Result<u64, Errno> {
        let Kind::Hash(h) = &map.kind else { return Err(Errno::EINVAL) };
        let found = h.borrow_mut().find(key);
        let Some(old) = found else {
            if flags & BPF_EXIST != 0 {
                return Err(Errno::ENOENT);
            }
            return self.hash_insert(map, key, cpu);
        };
        if flags & BPF_NOEXIST != 0 {
            return Err(Errno::EEXIST);
        }
        if map.is_percpu() || flags & BPF_F_LOCK != 0 {
            return h.borrow().value(old, cpu).ok_or(Errno::EINVAL);
        }
        let (new, old) = h.borrow_mut().replace(&self.region, key)?;
        self.hash_free(map, old);
        h.borrow().value(new, cpu).ok_or(Errno::EINVAL)
    }

    fn hash_insert(&self, map: &Map, key: &[u8], cpu: u32) -> Result<u64, Errno> {
        let Kind::Hash(h) = &map.kind else { return Err(Errno::EINVAL) };
        if h.borrow().is_full() {
            let victim = if is_lru(map.spec.map_type) { h.borrow_mut().evict(&self.region) } else { None };
            self.hash_free(map, victim.ok_or(Errno::E2BIG)?);
        }
        let elem = h.borrow_mut().insert(&self.region, key)?;
        h.borrow().value(elem, cpu).ok_or(Errno::EINVAL)
    }

    /// Gives an element that was taken out back, with what its special fields own.
    fn hash_free(&self, map: &Map, elem: u64) {
        let Kind::Hash(h) = &map.kind else { return };
        let hash = h.borrow();
        let cpus = if map.is_percpu() { self.cfg.nr_cpus } else { 1 };
        (0..cpus).filter_map(|cpu| hash.value(elem, cpu)).for_each(|value| self.drop_fields(map, value));
        hash.free_elem(&self.region, elem);
    }

    /// Deletes an element: ENOENT if there is none, EINVAL where elements cannot go.
    pub(crate) fn elem_delete(&self, map: &Map, key: &[u8]) -> Result<(), Errno> {
        match &map.kind {
            Kind::Hash(h) => {
                let elem = h.borrow_mut().remove(key).ok_or(Errno::ENOENT)?;
                self.hash_free(map, elem);
                Ok(())
            }
            Kind::Array(a) if map.is_of_maps() => {
                let value = a.value(array_index(key)?, 0).ok_or(Errno::E2BIG)?;
                if self.region.load(value, 8) == 0 {
                    return Err(Errno::ENOENT);
                }
                self.region.store(value, 8, 0);
                Ok(())
            }
            _ => Err(Errno::EINVAL),
        }
    }

    /// Address of an owner's value in local storage, made when `create` is given.
    pub(crate) fn storage_value(&self, map: &Map, owner: u64, create: bool) -> Result<u64, Errno> {
        let Kind::Storage(s) = &map.kind else { return Err(Errno::EINVAL) };
        if let Some(value) = s.borrow().get(owner) {
            return Ok(value);
        }
        if !create {
            return Err(Errno::ENOENT);
        }
        s.borrow_mut().create(&self.region, owner)
    }

    /// Removes an owner's value.
    pub(crate) fn storage_remove(&self, map: &Map, owner: u64) -> Result<(), Errno> {
        let Kind::Storage(s) = &map.kind else { return Err(Errno::EINVAL) };
        let value = s.borrow_mut().remove(owner).ok_or(Errno::ENOENT)?;
        self.drop_fields(map, value);
        s.borrow().free_value(&self.region, value);
        Ok(())
    }

    /// A kernel object is gone (task or cgroup at this address): its storage in every map goes with it.
    pub fn task_gone(&self, owner: u64) {
        for map in self.all_maps() {
            if matches!(map.kind, Kind::Storage(_)) {
                let _ = self.storage_remove(&map, owner); // ENOENT: had none
            }
        }
    }

    /// Writes a value except its special fields.
    pub(crate) fn store_value(&self, map: &Map, addr: u64, val: &[u8]) {
        let mut at = 0usize;
        for &(off, field) in &map.spec.fields {
            self.region.write_bytes(addr + at as u64, &val[at..off as usize]);
            at = (off + field.size()) as usize;
        }
        self.region.write_bytes(addr + at as u64, &val[at..]);
    }

    /// Reads a value; its special fields read as zero.
    pub(crate) fn load_value(&self, map: &Map, addr: u64, out: &mut [u8]) {
        self.region.read_bytes(addr, out);
        for &(off, field) in &map.spec.fields {
            out[off as usize..(off + field.size()) as usize].fill(0);
        }
    }

    /// Ends what the special fields of a dying value own.
    fn drop_fields(&self, map: &Map, value: u64) {
        if !map.spec.fields.is_empty() {
            self.drop_special(&map.spec.fields, value);
        }
    }

    /// Ends what all of a map's values own.
    pub(crate) fn drop_map_values(&self, map: &Map) {
        match &map.kind {
            Kind::Array(a) if !map.spec.fields.is_empty() => {
                let cpus = if map.is_percpu() { self.cfg.nr_cpus } else { 1 };
                let values =
                    (0..a.max_entries()).flat_map(|i| (0..cpus).filter_map(move |cpu| a.value(i, cpu)));
                values.for_each(|value| self.drop_fields(map, value));
            }
            Kind::Hash(h) => {
                let elems = h.borrow().elems();
                elems.into_iter().for_each(|(_, elem)| self.hash_free(map, elem));
            }
            Kind::Storage(s) => {
                let owners = s.borrow().owners();
                for owner in owners {
                    let _ = self.storage_remove(map, owner); // it was there a line ago
                }
            }
            _ => {}
        }
    }

    /// Kernel objects whose owning pointers went with map elements since the last call; the caller drops its references.
    pub fn take_dropped_kptrs(&self) -> Vec<DroppedKptr> {
        if self.dropped_kptrs.borrow().is_empty() {
            return Vec::new(); // asked after every run
        }
        std::mem::take(&mut *self.dropped_kptrs.borrow_mut())
    }

    /// The map a program's map pointer means.
    pub(crate) fn map_by_addr(&self, addr: u64) -> Option<Rc<Map>> {
        let off = addr.checked_sub(crate::region::Zone::MapPtr.start())?;
        if !off.is_multiple_of(MAP_PTR_SIZE) {
            return None;
        }
        self.map(MapId((off / MAP_PTR_SIZE).try_into().ok()?))
    }
}

/// Bytes of what a map pointer leads to.
pub(crate) const MAP_PTR_SIZE: u64 = 64;

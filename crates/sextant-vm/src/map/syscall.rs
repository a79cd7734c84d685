//! The side of bpf(2): creation, elements by key bytes, freezing, the mmapable values' files.
//!
//! Keys and values are exactly as long as the kernel copies them: a per-CPU value is `round_up(value_size, 8)` bytes for
//! every possible CPU. Map-in-map values are map ids here (4 bytes); the caller translates file descriptors.
//! The caller checks the mode of the fd; map flags are checked here.

use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use sextant_abi::Mem;

use super::*;
use crate::region::Zone;
use crate::{Errno, Vm};

impl Vm {
    /// BPF_MAP_CREATE. EINVAL for what the kernel refuses, and for map types that do not exist here; E2BIG, ENOMEM,
    /// ENOTSUPP as the kernel.
    pub fn map_create(&self, spec: &MapSpec) -> Result<MapId, Errno> {
        validate(spec)?;
        if let Some(inner) = spec.inner {
            let inner = self.map(inner).ok_or(Errno::EBADF)?;
            if inner.is_of_maps() {
                return Err(Errno::EINVAL);
            }
        }
        let kind = self.make_kind(spec)?;
        let addr = self.region.alloc_block(Zone::MapPtr, MAP_PTR_SIZE, MAP_PTR_SIZE)?;
        self.region.object_add(addr, MAP_PTR_SIZE, MAP_PTR_SIZE, 1);
        let id = MapId(((addr - Zone::MapPtr.start()) / MAP_PTR_SIZE) as u32);
        let map = Map { id, addr, spec: spec.clone(), frozen: Cell::new(false), kind };
        self.maps.borrow_mut().push(Some(Rc::new(map)));
        Ok(id)
    }

    fn make_kind(&self, spec: &MapSpec) -> Result<Kind, Errno> {
        let (region, cpus) = (&*self.region, self.cfg.nr_cpus);
        Ok(match spec.map_type {
            BPF_MAP_TYPE_ARRAY | BPF_MAP_TYPE_PERCPU_ARRAY => {
                Kind::Array(Array::new(region, spec, spec.value_size, cpus)?)
            }
            BPF_MAP_TYPE_ARRAY_OF_MAPS => Kind::Array(Array::new(region, spec, 8, cpus)?),
            BPF_MAP_TYPE_HASH_OF_MAPS => Kind::Hash(Hash::new(spec, 8, cpus).into()),
            BPF_MAP_TYPE_QUEUE | BPF_MAP_TYPE_STACK => Kind::Queue(Queue::new(region, spec)?.into()),
            BPF_MAP_TYPE_TASK_STORAGE | BPF_MAP_TYPE_CGRP_STORAGE => {
                Kind::Storage(Storage::new(spec.value_size).into())
            }
            BPF_MAP_TYPE_ARENA => Kind::Arena(region.arena_create(spec.map_extra, spec.max_entries)?),
            BPF_MAP_TYPE_RINGBUF | BPF_MAP_TYPE_USER_RINGBUF => {
                Kind::Ring(Ring::new(region, spec.max_entries)?)
            }
            BPF_MAP_TYPE_PERF_EVENT_ARRAY => Kind::Empty,
            BPF_MAP_TYPE_STRUCT_OPS => Kind::Blob(vec![0; spec.value_size as usize].into()),
            _ => Kind::Hash(Hash::new(spec, spec.value_size, cpus).into()),
        })
    }

    /// Drops a map whose last reference is gone. Elements and timers end; an array's addresses are not used again.
    pub fn map_free(&self, id: MapId) {
        let map = self.maps.borrow_mut().get_mut(id.0 as usize).and_then(Option::take);
        if let Some(map) = map {
            self.drop_map_values(&map);
            self.region.object_remove(map.addr, 1);
            self.region.meter.uncharge(map.block_len());
            match &map.kind {
                Kind::Arena(arena) => self.region.arena_free(arena),
                Kind::Ring(ring) if !self.is_running() => {
                    self.region.release_file(ring.base(), ring.block_len());
                }
                _ => {}
            }
            if let Kind::Array(a) = &map.kind {
                self.region.object_remove(a.base(), 1);
                if !self.is_running() && a.fd().is_some() {
                    self.region.release_file(a.base(), a.block_len());
                } else if !self.is_running() {
                    self.region.release_block(a.base(), a.block_len());
                }
            }
        }
    }

    /// What a map was created from.
    pub fn map_spec(&self, id: MapId) -> Option<MapSpec> {
        self.map(id).map(|map| map.spec.clone())
    }

    /// What a program holds as a pointer to the map (`Reloc::Map`).
    pub fn map_addr(&self, id: MapId) -> Option<u64> {
        self.map(id).map(|map| map.addr)
    }

    /// Bytes of a value as bpf(2) copies it with these flags.
    pub fn map_user_value_size(&self, id: MapId, flags: u64) -> Option<usize> {
        let map = self.map(id)?;
        let one = flags & (BPF_F_CPU | BPF_F_ALL_CPUS) != 0;
        Some(if one { map.spec.value_size as usize } else { self.user_value_size(&map) })
    }

    /// What `bpf_map_check_op_flags` makes of flags: EINVAL for those that are not `allowed` or do not fit the map, ERANGE for a CPU
    /// that does not exist.
    fn op_flags(&self, map: &Map, flags: u64, allowed: u64) -> Result<Whose, Errno> {
        let cpu = (flags >> 32) as u32;
        let (one, all) = (flags & BPF_F_CPU != 0, flags & BPF_F_ALL_CPUS != 0);
        let unknown = flags & u64::from(u32::MAX) & !allowed != 0;
        let no_lock = flags & BPF_F_LOCK != 0 && !map.has_lock();
        if unknown || no_lock || (!one && cpu != 0) || ((one || all) && !map.is_percpu()) || (one && all) {
            return Err(Errno::EINVAL);
        }
        match (one, all) {
            (true, _) if cpu >= self.cfg.nr_cpus => Err(Errno::ERANGE),
            (true, _) => Ok(Whose::One(cpu)),
            (_, true) => Ok(Whose::All),
            _ => Ok(Whose::Own),
        }
    }

    fn user_value_size(&self, map: &Map) -> usize {
        let size = map.spec.value_size as usize;
        if map.is_percpu() { size.next_multiple_of(8) * self.cfg.nr_cpus as usize } else { size }
    }

    fn map_or_ebadf(&self, id: MapId) -> Result<Rc<Map>, Errno> {
        self.map(id).ok_or(Errno::EBADF)
    }

    fn map_for_write(&self, id: MapId) -> Result<Rc<Map>, Errno> {
        let map = self.map_or_ebadf(id)?;
        if map.frozen.get() || map.spec.flags & BPF_F_RDONLY != 0 {
            return Err(Errno::EPERM);
        }
        Ok(map)
    }

    fn map_for_read(&self, id: MapId) -> Result<Rc<Map>, Errno> {
        let map = self.map_or_ebadf(id)?;
        if map.spec.flags & BPF_F_WRONLY != 0 {
            return Err(Errno::EPERM);
        }
        Ok(map)
    }

    /// BPF_MAP_LOOKUP_ELEM: the value's bytes. Local storage is looked up by [`Vm::storage_lookup`].
    pub fn map_lookup(&self, id: MapId, key: &[u8], flags: u64) -> Result<Vec<u8>, Errno> {
        let map = self.map_for_read(id)?;
        let whose = self.op_flags(&map, flags, BPF_F_LOCK | BPF_F_CPU)?;
        self.check_key(&map, key)?;
        if let Whose::One(cpu) = whose {
            let value = self.elem_peek(&map, key, cpu).ok_or(Errno::ENOENT)?;
            let mut out = vec![0; map.spec.value_size as usize];
            self.load_value(&map, value, &mut out);
            return Ok(out);
        }
        match &map.kind {
            Kind::Arena(_) => Err(Errno::EOPNOTSUPP),
            Kind::Ring(_) | Kind::Empty => Err(Errno::ENOTSUPP),
            Kind::Queue(q) => q.borrow().peek(&self.region),
            Kind::Blob(bytes) => Ok(bytes.borrow().clone()),
            Kind::Storage(_) => Err(Errno::EBADF),
            _ => self.user_value(&map, key),
        }
    }

    fn check_key(&self, map: &Map, key: &[u8]) -> Result<(), Errno> {
        if key.len() == map.spec.key_size as usize { Ok(()) } else { Err(Errno::EINVAL) }
    }

    fn user_value(&self, map: &Map, key: &[u8]) -> Result<Vec<u8>, Errno> {
        let mut out = vec![0; self.user_value_size(map)];
        let first = self.elem_peek(map, key, 0).ok_or(Errno::ENOENT)?;
        if map.is_of_maps() {
            let inner = self.map_by_addr(self.region.load(first, 8)).ok_or(Errno::ENOENT)?;
            out.copy_from_slice(&inner.id.0.to_le_bytes());
            return Ok(out);
        }
        let size = map.spec.value_size as usize;
        for (cpu, out) in out.chunks_mut(size.next_multiple_of(8)).enumerate() {
            let value = self.elem_peek(map, key, cpu as u32).ok_or(Errno::ENOENT)?;
            self.load_value(map, value, &mut out[..size]);
        }
        Ok(out)
    }

    /// Address of an element's value on a CPU.
    pub(super) fn elem_peek(&self, map: &Map, key: &[u8], cpu: u32) -> Option<u64> {
        match &map.kind {
            Kind::Hash(h) => {
                let hash = h.borrow();
                hash.value(hash.peek(key)?, cpu)
            }
            _ => self.elem_lookup(map, key, cpu),
        }
    }

    /// BPF_MAP_UPDATE_ELEM.
    pub fn map_update(&self, id: MapId, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        let map = self.map_for_write(id)?;
        self.check_key(&map, key)?;
        if matches!(map.kind, Kind::Arena(_)) {
            return Err(Errno::EOPNOTSUPP);
        }
        match map.kind {
            Kind::Ring(_) => return Err(Errno::ENOTSUPP),
            Kind::Empty => return Err(Errno::EBADF), // no descriptor is a perf event
            _ => {}
        }
        let whose = self.op_flags(&map, flags, u64::MAX)?;
        if Some(value.len()) != self.map_user_value_size(id, flags) {
            return Err(Errno::EINVAL);
        }
        match whose {
            Whose::Own => {}
            // The kernel asks about existence only when no other flag is there.
            Whose::One(cpu) => return self.elem_update(&map, key, value, BPF_ANY, cpu),
            Whose::All => {
                let all = value.len().next_multiple_of(8);
                let mut padded = value.to_vec();
                padded.resize(all, 0);
                return self.update_percpu(&map, key, &padded.repeat(self.cfg.nr_cpus as usize), BPF_ANY);
            }
        }
        if map.is_of_maps() {
            return self.update_inner(&map, key, value, flags);
        }
        match &map.kind {
            Kind::Blob(bytes) => {
                bytes.borrow_mut().copy_from_slice(value);
                Ok(())
            }
            Kind::Storage(_) => Err(Errno::EBADF),
            _ if map.is_percpu() => self.update_percpu(&map, key, value, flags),
            _ => self.elem_update(&map, key, value, flags, 0),
        }
    }

    fn update_percpu(&self, map: &Map, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        let size = map.spec.value_size as usize;
        for (cpu, part) in value.chunks(size.next_multiple_of(8)).enumerate() {
            // After the first CPU's part the element is there.
            let flags = if cpu == 0 { flags } else { BPF_ANY };
            self.elem_update(map, key, &part[..size], flags, cpu as u32)?;
        }
        Ok(())
    }

    fn update_inner(&self, map: &Map, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        let id = u32::from_le_bytes(value.try_into().map_err(|_| Errno::EINVAL)?);
        let inner = self.map_or_ebadf(MapId(id))?;
        let template = map.spec.inner.and_then(|id| self.map(id)).ok_or(Errno::EINVAL)?;
        if !same_meta(&template.spec, &inner.spec) {
            return Err(Errno::EINVAL);
        }
        self.elem_update(map, key, &inner.addr.to_le_bytes(), flags, 0)
    }

    /// Gives the first `count` elements of an ARRAY_OF_MAPS new maps like the one it was created with. EINVAL for another map,
    /// E2BIG when it has fewer elements; or as [`Vm::map_create`].
    pub fn map_fill_inner(&self, id: MapId, count: u32) -> Result<(), Errno> {
        let map = self.map_for_write(id)?;
        let template = map.spec.inner.and_then(|id| self.map(id)).ok_or(Errno::EINVAL)?;
        for index in 0..count {
            let inner = self.map_create(&template.spec)?;
            self.update_inner(&map, &index.to_le_bytes(), &inner.0.to_le_bytes(), BPF_ANY)?;
        }
        Ok(())
    }

    /// BPF_MAP_DELETE_ELEM.
    pub fn map_delete(&self, id: MapId, key: &[u8]) -> Result<(), Errno> {
        let map = self.map_for_write(id)?;
        self.check_key(&map, key)?;
        self.elem_delete(&map, key)
    }

    /// BPF_MAP_LOOKUP_AND_DELETE_ELEM: ENOTSUPP where elements cannot go.
    pub fn map_lookup_and_delete(&self, id: MapId, key: &[u8]) -> Result<Vec<u8>, Errno> {
        let map = self.map_for_write(id)?;
        self.check_key(&map, key)?;
        match &map.kind {
            Kind::Queue(q) => q.borrow_mut().pop(&self.region),
            Kind::Hash(_) => {
                let value = self.user_value(&map, key)?;
                self.elem_delete(&map, key).map(|()| value)
            }
            _ => Err(Errno::ENOTSUPP),
        }
    }

    /// BPF_MAP_GET_NEXT_KEY, in order of insertion: ENOENT after the last one; the first for an unknown key.
    pub fn map_next_key(&self, id: MapId, key: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
        let map = self.map_for_read(id)?;
        if let Some(key) = key {
            self.check_key(&map, key)?;
        }
        match &map.kind {
            Kind::Array(a) => {
                let at = key.map(|k| u32::from_le_bytes(k.try_into().unwrap_or([0xff; 4])));
                let next = match at {
                    Some(at) if at == a.max_entries() - 1 => return Err(Errno::ENOENT),
                    Some(at) if at < a.max_entries() => at + 1,
                    _ => 0,
                };
                Ok(next.to_le_bytes().to_vec())
            }
            Kind::Hash(h) => {
                let elem = h.borrow().next(key).ok_or(Errno::ENOENT)?;
                Ok(self.region.read_vec(elem, map.spec.key_size as usize))
            }
            Kind::Blob(_) if key.is_none() => Ok(vec![0; 4]),
            Kind::Blob(_) => Err(Errno::ENOENT),
            Kind::Arena(_) => Err(Errno::EOPNOTSUPP),
            Kind::Ring(_) => Err(Errno::ENOTSUPP),
            Kind::Empty => Err(Errno::ENOENT),
            Kind::Queue(_) => Err(Errno::EINVAL),
            Kind::Storage(_) => Err(Errno::ENOTSUPP),
        }
    }

    /// BPF_MAP_FREEZE: EBUSY when frozen already, ENOTSUPP for struct_ops and for values with special fields.
    pub fn map_freeze(&self, id: MapId) -> Result<(), Errno> {
        let map = self.map_or_ebadf(id)?;
        if matches!(map.kind, Kind::Blob(_)) || !map.spec.fields.is_empty() {
            return Err(Errno::ENOTSUPP);
        }
        if map.frozen.replace(true) {
            return Err(Errno::EBUSY);
        }
        if let Kind::Array(a) = &map.kind
            && let Some(fd) = a.fd()
        {
            crate::region::seal_writes(fd.as_fd());
        }
        Ok(())
    }

    /// A duplicate of the file behind a mmapable map's values; offset 0 is value 0.
    pub fn map_fd(&self, id: MapId) -> Option<OwnedFd> {
        match &self.map(id)?.kind {
            Kind::Array(a) => a.fd()?.try_clone().ok(),
            Kind::Arena(arena) => arena.fd().try_clone().ok(),
            Kind::Ring(ring) => ring.fd().try_clone().ok(),
            _ => None,
        }
    }

    /// Address of a byte inside an arena or an array's values (value 0 at offset 0): `Reloc::MapValue`.
    pub fn map_value_addr(&self, id: MapId, off: u32) -> Option<u64> {
        let map = self.map(id)?;
        if let Kind::Arena(arena) = &map.kind {
            return (u64::from(off) < arena.len()).then(|| arena.addr(off.into()));
        }
        let Kind::Array(a) = &map.kind else { return None };
        (u64::from(off) < a.len()).then(|| a.base() + u64::from(off))
    }

    /// A constant: `size` bytes (1, 2, 4, 8) at `off` of the values of a map that neither side can write any more.
    pub fn frozen_read(&self, id: MapId, off: u32, size: u32) -> Option<u64> {
        let map = self.map(id)?;
        let Kind::Array(a) = &map.kind else { return None };
        let constant = map.frozen.get() && map.spec.flags & BPF_F_RDONLY_PROG != 0;
        let inside = u64::from(off) + u64::from(size) <= a.len();
        (constant && inside && matches!(size, 1 | 2 | 4 | 8))
            .then(|| self.region.load(a.base() + u64::from(off), size))
    }

    /// Local storage by its owner's address: the value's bytes.
    pub fn storage_lookup(&self, id: MapId, owner: u64) -> Result<Vec<u8>, Errno> {
        let map = self.map_for_read(id)?;
        let value = self.storage_value(&map, owner, false)?;
        let mut out = vec![0; map.spec.value_size as usize];
        self.load_value(&map, value, &mut out);
        Ok(out)
    }

    /// Sets local storage by its owner's address.
    pub fn storage_update(&self, id: MapId, owner: u64, val: &[u8], flags: u64) -> Result<(), Errno> {
        let map = self.map_for_write(id)?;
        if val.len() != map.spec.value_size as usize || flags & !BPF_F_LOCK > BPF_EXIST {
            return Err(Errno::EINVAL);
        }
        match self.storage_value(&map, owner, false) {
            Ok(_) if flags & BPF_NOEXIST != 0 => return Err(Errno::EEXIST),
            Err(_) if flags & BPF_EXIST != 0 => return Err(Errno::ENOENT),
            _ => {}
        }
        let value = self.storage_value(&map, owner, true)?;
        self.store_value(&map, value, val);
        Ok(())
    }

    /// Removes local storage by its owner's address.
    pub fn storage_delete(&self, id: MapId, owner: u64) -> Result<(), Errno> {
        let map = self.map_for_write(id)?;
        self.storage_remove(&map, owner)
    }
}

/// Which CPUs' values of a per-CPU map an operation means.
enum Whose {
    /// Each its own, or the map is not per CPU.
    Own,
    One(u32),
    /// All the same.
    All,
}

/// Whether a map can stand where the template was declared.
fn same_meta(template: &MapSpec, inner: &MapSpec) -> bool {
    let sized = matches!(template.map_type, BPF_MAP_TYPE_ARRAY | BPF_MAP_TYPE_PERCPU_ARRAY)
        && template.flags & BPF_F_INNER_MAP == 0;
    template.map_type == inner.map_type
        && template.key_size == inner.key_size
        && template.value_size == inner.value_size
        && template.flags == inner.flags
        && (!sized || template.max_entries == inner.max_entries)
        && template.fields == inner.fields
}

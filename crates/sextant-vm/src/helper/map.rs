//! Elements of maps, from programs.

use std::ops::Deref;
use std::rc::Rc;

use sextant_abi::Mem;

use crate::Errno;
use crate::error::TrapKind;
use crate::exec::Exec;
use crate::map::{BPF_F_RDONLY_PROG, Kind, Map};

/// Bytes copied from a program's memory, short ones without an allocation.
pub(crate) struct Bytes {
    short: [u8; 64],
    long: Vec<u8>,
    len: usize,
}

impl Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        if self.long.is_empty() { &self.short[..self.len] } else { &self.long }
    }
}

impl Exec<'_> {
    /// Copies `len` bytes that a program may read.
    pub(crate) fn bytes(&self, addr: u64, len: usize) -> Result<Bytes, TrapKind> {
        let mut bytes = Bytes { short: [0; 64], long: Vec::new(), len };
        if len <= 64 {
            self.region.bpf_read(addr, &mut bytes.short[..len])?;
        } else {
            self.region.check(addr, len as u64, crate::Access::Read)?;
            bytes.long = vec![0; len];
            self.region.bpf_read(addr, &mut bytes.long)?;
        }
        Ok(bytes)
    }

    /// The map that a map pointer means.
    pub(super) fn map(&self, helper: &'static str, addr: u64) -> Result<Rc<Map>, TrapKind> {
        self.vm.map_by_addr(addr).ok_or(TrapKind::BadArg(helper, "not a map pointer"))
    }
}

/// r0 of a helper that gives 0 or a negated errno.
pub(super) fn status(result: Result<(), Errno>) -> Result<u64, TrapKind> {
    Ok(result.map_or_else(Errno::ret, |()| 0))
}

fn value_or_null(exec: &Exec<'_>, map: &Map, value: Option<u64>) -> u64 {
    match value {
        Some(value) if map.is_of_maps() => exec.region.load(value, 8),
        Some(value) => value,
        None => 0,
    }
}

pub(super) fn lookup(exec: &mut Exec<'_>, [map, key, ..]: [u64; 5]) -> Result<u64, TrapKind> {
    let map = exec.map("bpf_map_lookup_elem", map)?;
    let key = exec.bytes(key, map.spec.key_size as usize)?;
    let value = exec.vm.elem_lookup(&map, &key, exec.host.cpu());
    Ok(value_or_null(exec, &map, value))
}

pub(super) fn lookup_percpu(exec: &mut Exec<'_>, [map, key, cpu, ..]: [u64; 5]) -> Result<u64, TrapKind> {
    let map = exec.map("bpf_map_lookup_percpu_elem", map)?;
    let key = exec.bytes(key, map.spec.key_size as usize)?;
    if !map.is_percpu() || cpu as u32 >= exec.vm.cfg.nr_cpus {
        return Ok(0);
    }
    Ok(exec.vm.elem_lookup(&map, &key, cpu as u32).unwrap_or(0))
}

pub(super) fn update(exec: &mut Exec<'_>, [map, key, value, flags, _]: [u64; 5]) -> Result<u64, TrapKind> {
    let map = exec.map("bpf_map_update_elem", map)?;
    if map.spec.flags & BPF_F_RDONLY_PROG != 0 || map.is_of_maps() {
        return Err(TrapKind::BadArg("bpf_map_update_elem", "programs may not write to this map"));
    }
    let key = exec.bytes(key, map.spec.key_size as usize)?;
    let value = exec.bytes(value, map.spec.value_size as usize)?;
    status(exec.vm.elem_update(&map, &key, &value, flags, exec.host.cpu()))
}

pub(super) fn delete(exec: &mut Exec<'_>, [map, key, ..]: [u64; 5]) -> Result<u64, TrapKind> {
    let map = exec.map("bpf_map_delete_elem", map)?;
    if map.is_of_maps() {
        return Err(TrapKind::BadArg("bpf_map_delete_elem", "programs may not write to this map"));
    }
    let key = exec.bytes(key, map.spec.key_size as usize)?;
    status(exec.vm.elem_delete(&map, &key))
}

pub(super) fn push(exec: &mut Exec<'_>, [map, value, flags, ..]: [u64; 5]) -> Result<u64, TrapKind> {
    let map = exec.map("bpf_map_push_elem", map)?;
    let Kind::Queue(queue) = &map.kind else {
        return Err(TrapKind::BadArg("bpf_map_push_elem", "neither a queue nor a stack"));
    };
    let value = exec.bytes(value, map.spec.value_size as usize)?;
    status(queue.borrow_mut().push(exec.region, &value, flags))
}

pub(super) fn pop(exec: &mut Exec<'_>, [map, value, ..]: [u64; 5]) -> Result<u64, TrapKind> {
    take(exec, "bpf_map_pop_elem", map, value, true)
}

pub(super) fn peek(exec: &mut Exec<'_>, [map, value, ..]: [u64; 5]) -> Result<u64, TrapKind> {
    take(exec, "bpf_map_peek_elem", map, value, false)
}

/// The next value to `out`; zeroes when there is none.
fn take(exec: &mut Exec<'_>, name: &'static str, map: u64, out: u64, remove: bool) -> Result<u64, TrapKind> {
    let map = exec.map(name, map)?;
    let Kind::Queue(queue) = &map.kind else {
        return Err(TrapKind::BadArg(name, "neither a queue nor a stack"));
    };
    let size = map.spec.value_size as usize;
    exec.region.check(out, size as u64, crate::Access::Write)?;
    let mut queue = queue.borrow_mut();
    let got = if remove { queue.pop(exec.region) } else { queue.peek(exec.region) };
    let errno = got.as_ref().err().copied();
    exec.region.bpf_write(out, &got.unwrap_or_else(|_| vec![0; size]))?;
    status(errno.map_or(Ok(()), Err))
}

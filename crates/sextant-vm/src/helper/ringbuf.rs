//! `bpf_ringbuf_*` and `bpf_user_ringbuf_drain`; the rings are [`crate::map`]'s.

use std::rc::Rc;

use sextant_abi::tables::bpf::{
    BPF_RB_AVAIL_DATA, BPF_RB_CONS_POS, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP, BPF_RB_PROD_POS,
    BPF_RB_RING_SIZE,
};

use super::dynptr::{Dynptr, RINGBUF};
use crate::Errno;
use crate::error::TrapKind;
use crate::exec::Exec;
use crate::map::{BPF_MAP_TYPE_RINGBUF, BPF_MAP_TYPE_USER_RINGBUF, Kind, Map, Ring};

type Ret = Result<u64, TrapKind>;

const WAKEUPS: u64 = (BPF_RB_NO_WAKEUP | BPF_RB_FORCE_WAKEUP) as u64;
/// BPF_MAX_USER_RINGBUF_SAMPLES
const MAX_SAMPLES: u32 = 128 * 1024;

/// The ring of a map pointer.
fn ring(exec: &Exec<'_>, map: u64, map_type: u32) -> Result<Rc<Map>, TrapKind> {
    let map = exec.vm.map_by_addr(map).filter(|map| map.spec.map_type == map_type);
    map.ok_or(TrapKind::BadArg("bpf_ringbuf", "not a ring buffer of this kind"))
}

fn of(map: &Map) -> Result<&Ring, TrapKind> {
    match &map.kind {
        Kind::Ring(ring) => Ok(ring),
        _ => Err(TrapKind::BadArg("bpf_ringbuf", "not a ring buffer")),
    }
}

pub(super) fn reserve(exec: &mut Exec<'_>, [map, size, flags, ..]: [u64; 5]) -> Ret {
    let map = ring(exec, map, BPF_MAP_TYPE_RINGBUF)?;
    if flags != 0 {
        return Ok(0);
    }
    Ok(of(&map)?.reserve(exec.region, size).unwrap_or(0))
}

/// Ends a reservation of whichever ring it is.
fn commit(exec: &Exec<'_>, sample: u64, discard: bool) -> Ret {
    let maps = exec.vm.maps.borrow();
    let done = maps
        .iter()
        .flatten()
        .any(|map| matches!(&map.kind, Kind::Ring(ring) if ring.commit(exec.region, sample, discard)));
    if done { Ok(0) } else { Err(TrapKind::BadArg("bpf_ringbuf_submit", "not a reserved sample")) }
}

pub(super) fn submit(exec: &mut Exec<'_>, [sample, ..]: [u64; 5]) -> Ret {
    commit(exec, sample, false)
}

pub(super) fn discard(exec: &mut Exec<'_>, [sample, ..]: [u64; 5]) -> Ret {
    commit(exec, sample, true)
}

/// -EAGAIN when there is no room.
pub(super) fn output(exec: &mut Exec<'_>, [map, data, size, flags, _]: [u64; 5]) -> Ret {
    let map = ring(exec, map, BPF_MAP_TYPE_RINGBUF)?;
    if flags & !WAKEUPS != 0 {
        return Ok(Errno::EINVAL.ret());
    }
    let ring = of(&map)?;
    exec.region.check(data, size, crate::Access::Read)?;
    let bytes = exec.bytes(data, size as usize)?;
    let Some(sample) = ring.reserve(exec.region, size) else { return Ok(Errno::EAGAIN.ret()) };
    sextant_abi::Mem::write_bytes(exec.region, sample, &bytes);
    ring.commit(exec.region, sample, false);
    Ok(0)
}

pub(super) fn query(exec: &mut Exec<'_>, [map, flags, ..]: [u64; 5]) -> Ret {
    let map = ring(exec, map, BPF_MAP_TYPE_RINGBUF)?;
    let ring = of(&map)?;
    let consumer = ring.consumer(exec.region);
    Ok(match u32::try_from(flags) {
        Ok(BPF_RB_AVAIL_DATA) => ring.producer().wrapping_sub(consumer),
        Ok(BPF_RB_RING_SIZE) => ring.size(),
        Ok(BPF_RB_CONS_POS) => consumer,
        Ok(BPF_RB_PROD_POS) => ring.producer(),
        _ => 0,
    })
}

/// As `reserve`; the dynptr is a null one when that fails, and is to be given back all the same.
pub(super) fn reserve_dynptr(exec: &mut Exec<'_>, [map, size, flags, ptr, _]: [u64; 5]) -> Ret {
    let map = ring(exec, map, BPF_MAP_TYPE_RINGBUF)?;
    let size = u64::from(size as u32);
    let sample = match Dynptr::check_size(size) {
        Err(errno) => Err(errno),
        Ok(()) if flags != 0 => Err(Errno::EINVAL),
        Ok(()) => of(&map)?.reserve(exec.region, size).ok_or(Errno::EINVAL),
    };
    Dynptr::new(*sample.as_ref().unwrap_or(&0), RINGBUF, size).put(exec, ptr)?;
    Ok(sample.map_or_else(Errno::ret, |_| 0))
}

fn commit_dynptr(exec: &mut Exec<'_>, ptr: u64, discard: bool) -> Ret {
    let dynptr = Dynptr::get(exec, ptr)?;
    Dynptr::new(0, 0, 0).put(exec, ptr)?;
    if dynptr.is_null() { Ok(0) } else { commit(exec, dynptr.data, discard) }
}

pub(super) fn submit_dynptr(exec: &mut Exec<'_>, [ptr, ..]: [u64; 5]) -> Ret {
    commit_dynptr(exec, ptr, false)
}

pub(super) fn discard_dynptr(exec: &mut Exec<'_>, [ptr, ..]: [u64; 5]) -> Ret {
    commit_dynptr(exec, ptr, true)
}

/// Gives user space's records to the callback (dynptr, ctx) until it says 1: how many; -EBUSY inside itself.
pub(super) fn user_drain(exec: &mut Exec<'_>, [map, func, ctx, flags, _]: [u64; 5]) -> Ret {
    let map = ring(exec, map, BPF_MAP_TYPE_USER_RINGBUF)?;
    if flags & !WAKEUPS != 0 {
        return Ok(Errno::EINVAL.ret());
    }
    let ring = of(&map)?;
    if ring.busy.replace(true) {
        return Ok(Errno::EBUSY.ret());
    }
    let result = drain(exec, ring, func, ctx);
    ring.busy.set(false);
    result
}

fn drain(exec: &mut Exec<'_>, ring: &Ring, func: u64, ctx: u64) -> Ret {
    let (mut left, mut count) = (MAX_SAMPLES, 0);
    loop {
        let (sample, size) = match ring.user_peek(exec.region, &mut left) {
            Ok(Some(next)) => next,
            Ok(None) => return Ok(count),
            Err(errno) => return Ok(errno.ret()),
        };
        Dynptr::new(sample, super::dynptr::LOCAL, size.into()).store(exec, ring.dynptr);
        exec.region.object_add(sample, size.into(), size.into(), 1);
        let ret = exec.callback(func, [ring.dynptr, ctx, 0, 0, 0]);
        exec.region.object_remove(sample, 1);
        ring.release(exec.region, size);
        (left, count) = (left - 1, count + 1);
        if ret? != 0 {
            return Ok(count);
        }
    }
}

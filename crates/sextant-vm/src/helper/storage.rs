//! `bpf_task_storage_*` and `bpf_cgrp_storage_*`.

use crate::Errno;
use crate::error::TrapKind;
use crate::exec::Exec;
use crate::helper::map::status;
use crate::region::Zone;

/// BPF_LOCAL_STORAGE_GET_F_CREATE
const F_CREATE: u64 = 1;

pub(super) fn task_get(exec: &mut Exec<'_>, args: [u64; 5]) -> Result<u64, TrapKind> {
    get(exec, args, true)
}

pub(super) fn cgrp_get(exec: &mut Exec<'_>, args: [u64; 5]) -> Result<u64, TrapKind> {
    get(exec, args, false)
}

/// The owner's value, made (from `init` or zeroes) with F_CREATE while the owner lives; else NULL.
fn get(exec: &mut Exec<'_>, [map, owner, init, flags, _]: [u64; 5], is_task: bool) -> Result<u64, TrapKind> {
    let map = exec.map("bpf local storage", map)?;
    if owner == 0 || flags > F_CREATE {
        return Ok(0);
    }
    if let Ok(value) = exec.vm.storage_value(&map, owner, false) {
        return Ok(value);
    }
    let zone = if is_task { Zone::Task } else { Zone::Kernel };
    if owner.wrapping_sub(zone.start()) >> crate::region::ZONE_BITS != 0 {
        return Err(TrapKind::BadArg("bpf local storage", "the owner is not a kernel object of its kind"));
    }
    if flags & F_CREATE == 0 || is_task && !exec.host.task_alive(owner) {
        return Ok(0);
    }
    let init = if init == 0 { None } else { Some(exec.bytes(init, map.spec.value_size as usize)?) };
    let Ok(value) = exec.vm.storage_value(&map, owner, true) else { return Ok(0) };
    if let Some(init) = init {
        exec.vm.store_value(&map, value, &init);
    }
    Ok(value)
}

pub(super) fn delete(exec: &mut Exec<'_>, [map, owner, ..]: [u64; 5]) -> Result<u64, TrapKind> {
    let map = exec.map("bpf local storage", map)?;
    if owner == 0 {
        return Ok(Errno::EINVAL.ret());
    }
    status(exec.vm.storage_remove(&map, owner))
}

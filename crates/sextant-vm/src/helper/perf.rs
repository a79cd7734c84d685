//! PERF_EVENT_ARRAY: the simulated machine has no perf events, so every slot is empty, unless somebody reads the array
//! ([`Vm::perf_open`](crate::Vm::perf_open)): then it is as if there were a perf buffer for each CPU.

use crate::Errno;
use crate::error::TrapKind;
use crate::exec::Exec;
use crate::map::{BPF_MAP_TYPE_PERF_EVENT_ARRAY, Map};

type Ret = Result<u64, TrapKind>;

/// BPF_F_INDEX_MASK, which also stands for the current CPU.
const INDEX: u64 = 0xffff_ffff;

/// What an event that is not there gives: -ENOENT, -E2BIG outside the array, -EINVAL for flags.
fn absent(exec: &Exec<'_>, map: &Map, flags: u64) -> Errno {
    let index = if flags == INDEX { exec.host.cpu().into() } else { flags & INDEX };
    if flags & !INDEX != 0 {
        Errno::EINVAL
    } else if index >= u64::from(map.spec.max_entries) {
        Errno::E2BIG
    } else {
        Errno::ENOENT
    }
}

fn ask(exec: &Exec<'_>, map: u64, flags: u64) -> Ret {
    let map = exec.vm.map_by_addr(map).filter(|map| map.spec.map_type == BPF_MAP_TYPE_PERF_EVENT_ARRAY);
    let map = map.ok_or(TrapKind::BadArg("bpf_perf_event", "not a perf event array"))?;
    Ok(absent(exec, &map, flags).ret())
}

pub(super) fn read(exec: &mut Exec<'_>, [map, flags, ..]: [u64; 5]) -> Ret {
    ask(exec, map, flags)
}

/// The buffer is cleared.
pub(super) fn read_value(exec: &mut Exec<'_>, [map, flags, buf, size, _]: [u64; 5]) -> Ret {
    let zeros = [0; 24];
    let size = (size as u32 as usize).min(zeros.len());
    exec.region.bpf_write(buf, &zeros[..size])?;
    ask(exec, map, flags)
}

/// __bpf_perf_event_output() of kernel/trace/bpf_trace.c, 7.3: -EOPNOTSUPP for the buffer of another CPU.
pub(super) fn output(exec: &mut Exec<'_>, [_, map, flags, data, size]: [u64; 5]) -> Ret {
    let id = exec.vm.map_by_addr(map).map(|map| map.id);
    let Some(id) = id.filter(|id| exec.vm.perf.borrow().contains_key(id)) else {
        return ask(exec, map, flags);
    };
    let refused = ask(exec, map, flags)?;
    if refused != Errno::ENOENT.ret() {
        return Ok(refused);
    }
    let cpu = exec.host.cpu();
    if flags != INDEX && flags != u64::from(cpu) {
        return Ok(Errno::EOPNOTSUPP.ret());
    }
    let mut bytes = vec![0; size as u32 as usize];
    exec.region.bpf_read(data, &mut bytes)?;
    if let Some(kept) = exec.vm.perf.borrow_mut().get_mut(&id) {
        kept.push((cpu, bytes));
    }
    Ok(0)
}

//! Helpers that call back into the program.

use crate::Errno;
use crate::error::TrapKind;
use crate::exec::Exec;
use crate::map::{KeyAt, Kind};

/// Most iterations of one bpf_loop (BPF_MAX_LOOPS).
const MAX_LOOPS: u32 = 8 << 20;

/// `bpf_loop(nr_loops, callback, ctx, flags)`: iterations done; the callback's 1 ends it.
pub(super) fn bpf_loop(exec: &mut Exec<'_>, [count, func, ctx, flags, _]: [u64; 5]) -> Result<u64, TrapKind> {
    if flags != 0 {
        return Ok(Errno::EINVAL.ret());
    }
    let count = count as u32;
    if count > MAX_LOOPS {
        return Ok(Errno::E2BIG.ret());
    }
    for i in 0..count {
        if exec.callback(func, [i.into(), ctx, 0, 0, 0])? != 0 {
            return Ok(u64::from(i) + 1);
        }
    }
    Ok(count.into())
}

/// `bpf_for_each_map_elem(map, callback, ctx, flags)`: elements seen; the callback's 1 ends it. The callback may delete
/// elements.
pub(super) fn for_each_map_elem(
    exec: &mut Exec<'_>,
    [map_addr, func, ctx, flags, _]: [u64; 5],
) -> Result<u64, TrapKind> {
    if flags != 0 {
        return Ok(Errno::EINVAL.ret());
    }
    let map = exec.map("bpf_for_each_map_elem", map_addr)?;
    let cpu = exec.host.cpu();
    let mut seen = 0;
    match &map.kind {
        Kind::Array(array) => {
            for index in 0..array.max_entries() {
                let Some(value) = array.value(index, cpu) else { break };
                seen += 1;
                let key = exec.key_addr(KeyAt::Index(index));
                if exec.callback(func, [map_addr, key, value, ctx, 0])? == 1 {
                    break;
                }
            }
        }
        Kind::Hash(hash) => {
            let elems = hash.borrow().elems();
            for (slot, elem) in elems {
                let value = hash.borrow().value(elem, cpu).filter(|_| hash.borrow().holds(slot, elem));
                let Some(value) = value else { continue };
                seen += 1;
                if exec.callback(func, [map_addr, elem, value, ctx, 0])? == 1 {
                    break;
                }
            }
        }
        _ => return Ok(Errno::EINVAL.ret()),
    }
    Ok(seen)
}

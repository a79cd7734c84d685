//! `bpf_arena_*`; the pages are [`crate::region`]'s.

use std::rc::Rc;

use crate::error::TrapKind;
use crate::exec::Exec;
use crate::map::Kind;
use crate::region::Arena;

type Ret = Result<u64, TrapKind>;

/// NUMA_NO_NODE, and what a node can be (MAX_NUMNODES): memory here has no node.
const NODES: std::ops::RangeInclusive<i32> = -1..=1023;

fn arena(exec: &Exec<'_>, map: u64) -> Result<Rc<Arena>, TrapKind> {
    match exec.vm.map_by_addr(map).as_deref().map(|map| &map.kind) {
        Some(Kind::Arena(arena)) => Ok(arena.clone()),
        _ => Err(TrapKind::BadArg("bpf_arena", "not an arena")),
    }
}

/// The pages' user address, NULL when there are none.
pub(super) fn alloc_pages(exec: &mut Exec<'_>, [map, addr, count, node, flags]: [u64; 5]) -> Ret {
    let arena = arena(exec, map)?;
    if flags != 0 || !NODES.contains(&(node as i32)) {
        return Ok(0);
    }
    Ok(arena.alloc(addr, count as u32).unwrap_or(0))
}

pub(super) fn free_pages(exec: &mut Exec<'_>, [map, addr, count, ..]: [u64; 5]) -> Ret {
    let arena = arena(exec, map)?;
    if addr != 0 && count as u32 != 0 {
        arena.free(addr, count as u32);
    }
    Ok(0)
}

pub(super) fn reserve_pages(exec: &mut Exec<'_>, [map, addr, count, ..]: [u64; 5]) -> Ret {
    let arena = arena(exec, map)?;
    super::status(arena.reserve(addr, count as u32))
}

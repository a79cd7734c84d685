//! Open-coded iterators over numbers (`bpf_for`), tasks and cgroups. Mirrors kernel/bpf/{bpf_iter,task_iter,cgroup_iter}.c, 7.3.
//!
//! ```text
//!  bpf_iter_task (24 B):  next task's address, 0 at the end | flags      Must hold: what is read back is checked again.
//!  bpf_iter_css  (24 B):  start's address, 0 at the end | address of the last one given, 0 before the first | flags
//! ```

use sextant_abi::Mem;
use sextant_abi::tables::KfuncId;
use sextant_vm::{Access, Errno};

use super::Handler;
use crate::bpf::call::{Call, Ret};
use crate::cgroup::CgroupId;
use crate::sched::Sched;
use crate::task::TaskId;

/// `BPF_MAX_LOOPS`: what `bpf_iter_num` accepts as a range.
const MAX_LOOPS: i64 = 8 << 20;

pub(super) fn handler(id: KfuncId) -> Option<Handler> {
    Some(match id {
        KfuncId::bpf_iter_num_new => num_new,
        KfuncId::bpf_iter_num_next => num_next,
        KfuncId::bpf_iter_num_destroy => num_destroy,
        KfuncId::bpf_iter_task_new => task_new,
        KfuncId::bpf_iter_task_next => task_next,
        KfuncId::bpf_iter_css_new => css_new,
        KfuncId::bpf_iter_css_next => css_next,
        KfuncId::bpf_iter_css_task_new => css_task_new,
        KfuncId::bpf_iter_css_task_next => css_task_next,
        KfuncId::bpf_iter_task_destroy | KfuncId::bpf_iter_css_destroy => |c| destroy(c, 24),
        KfuncId::bpf_iter_css_task_destroy => |c| destroy(c, 8),
        _ => return None,
    })
}

/// The state is two s32 on the program's stack: the current number, starting one below the first, and the end.
fn num_new(c: &mut Call<'_>) -> Ret {
    let it = c.buffer(0, 8, Access::Write)?;
    let (start, end) = (c.s32(1), c.s32(2));
    let err = if start > end {
        Errno::EINVAL.ret()
    } else if i64::from(end) - i64::from(start) > MAX_LOOPS {
        Errno::E2BIG.ret()
    } else {
        0
    };
    let (cur, end) = if err == 0 { (start.wrapping_sub(1), end) } else { (0, 0) };
    set(c, it, cur, end);
    Ok(err)
}

fn num_next(c: &mut Call<'_>) -> Ret {
    let it = c.buffer(0, 8, Access::Write)?;
    let (cur, end) = (c.mem().load(it, 4) as i32, c.mem().load(it + 4, 4) as i32);
    if cur.wrapping_add(1) >= end {
        set(c, it, 0, 0);
        return Ok(0);
    }
    set(c, it, cur.wrapping_add(1), end);
    Ok(it)
}

fn num_destroy(c: &mut Call<'_>) -> Ret {
    let it = c.buffer(0, 8, Access::Write)?;
    set(c, it, 0, 0);
    Ok(0)
}

fn set(c: &Call<'_>, it: u64, cur: i32, end: i32) {
    c.mem().store(it, 4, u64::from(cur as u32));
    c.mem().store(it + 4, 4, u64::from(end as u32));
}

/// BPF_TASK_ITER_*
const ALL_PROCS: u32 = 0;
const ALL_THREADS: u32 = 1;
const PROC_THREADS: u32 = 2;

/// The walk starts at swapper/0 (`init_task`), or with PROC_THREADS at the given task.
fn task_new(c: &mut Call<'_>) -> Ret {
    let it = c.buffer(0, 24, Access::Write)?;
    let (given, flags) = (c.task_or_null(1)?, c.u32(2));
    let first = match flags {
        ALL_PROCS | ALL_THREADS => c.s.tasks.ids().next(),
        PROC_THREADS => given,
        _ => None,
    };
    c.mem().store(it, 8, c.addr_of(first));
    c.mem().store(it + 8, 8, flags.into());
    Ok(if first.is_some() { 0 } else { Errno::EINVAL.ret() })
}

fn task_next(c: &mut Call<'_>) -> Ret {
    let it = c.buffer(0, 24, Access::Write)?;
    let addr = c.mem().load(it, 8);
    let Some(p) = c.s.tasks.from_addr(addr) else { return Ok(0) };
    let next = task_after(c.s, p, c.mem().load(it + 8, 8) as u32);
    c.mem().store(it, 8, c.addr_of(next));
    Ok(addr)
}

/// Processes go in the order of creation, threads of each one too; of the idle tasks only the first is in the list.
fn task_after(s: &Sched, p: TaskId, flags: u32) -> Option<TaskId> {
    let id_of = |p: TaskId| (s.tasks[p].ts.pid().get(&*s.mem), s.tasks[p].ts.tgid().get(&*s.mem));
    let tgid = id_of(p).1;
    let later = |from: TaskId| s.tasks.iter().skip(from.0 as usize + 1).filter(|t| !t.dead).map(|t| t.id);
    if flags != ALL_PROCS {
        let thread = if tgid == 0 { None } else { s.tasks.thread_after(tgid, p) };
        if thread.is_some() || flags == PROC_THREADS {
            return thread;
        }
    }
    let leader = s.tasks.from_pid(tgid).unwrap_or(p);
    later(leader).find(|&t| matches!(id_of(t), (pid, tgid) if pid == tgid && pid != 0))
}

/// BPF_CGROUP_ITER_*
const DESCENDANTS_PRE: u32 = 2;
const DESCENDANTS_POST: u32 = 3;
const ANCESTORS_UP: u32 = 4;
const CHILDREN: u32 = 5;

/// A css is its cgroup: `self` is the first member.
fn css_new(c: &mut Call<'_>) -> Ret {
    let it = c.buffer(0, 24, Access::Write)?;
    let flags = c.u32(2);
    c.mem().store(it, 8, 0);
    if !matches!(flags, DESCENDANTS_PRE | DESCENDANTS_POST | ANCESTORS_UP | CHILDREN) {
        return Ok(Errno::EINVAL.ret());
    }
    c.cgroup(1)?;
    c.mem().store(it, 8, c.u64(1));
    c.mem().store(it + 8, 8, 0);
    c.mem().store(it + 16, 8, flags.into());
    Ok(0)
}

fn css_next(c: &mut Call<'_>) -> Ret {
    let it = c.buffer(0, 24, Access::Write)?;
    let table = &c.s.cgroups;
    let Some(start) = table.from_addr(c.mem().load(it, 8)) else { return Ok(0) };
    let pos = table.from_addr(c.mem().load(it + 8, 8));
    let order = match c.mem().load(it + 16, 8) as u32 {
        DESCENDANTS_PRE => table.descendants_pre(start),
        DESCENDANTS_POST => table.descendants_post(start),
        CHILDREN => table[start].children().to_vec(),
        _ => std::iter::successors(Some(start), |&id| table[id].parent).collect(),
    };
    let at = pos.map_or(Some(0), |pos| order.iter().position(|&id| id == pos).map(|at| at + 1));
    let next = at.and_then(|at| order.get(at)).map(|&id| table[id].cgrp.addr());
    match next {
        Some(addr) => c.mem().store(it + 8, 8, addr),
        None => c.mem().store(it, 8, 0),
    }
    Ok(next.unwrap_or(0))
}

/// CSS_TASK_ITER_PROCS, and with threads of domains.
const CSS_TASK_PROCS: u32 = 1;
const CSS_TASK_THREADED: u32 = 2;

/// The word holds the next task's address, with bit 0 for processes only; the cgroup is that task's.
fn css_task_new(c: &mut Call<'_>) -> Ret {
    let it = c.buffer(0, 8, Access::Write)?;
    let flags = c.u32(2);
    c.mem().store(it, 8, 0);
    if flags & !(CSS_TASK_PROCS | CSS_TASK_THREADED) != 0 || flags == CSS_TASK_THREADED {
        return Ok(Errno::EINVAL.ret());
    }
    let (cgroup, procs) = (c.cgroup(1)?, flags & CSS_TASK_PROCS != 0);
    let first = c.s.tasks.ids().next().and_then(|idle| css_task_after(c.s, idle, cgroup, procs));
    let first = c.addr_of(first);
    c.mem().store(it, 8, if first == 0 { 0 } else { first | u64::from(procs) });
    Ok(0)
}

fn css_task_after(s: &Sched, p: TaskId, cgroup: CgroupId, procs: bool) -> Option<TaskId> {
    let flags = if procs { ALL_PROCS } else { ALL_THREADS };
    std::iter::successors(task_after(s, p, flags), |&p| task_after(s, p, flags))
        .find(|&p| s.tasks[p].cgroup == cgroup)
}

fn css_task_next(c: &mut Call<'_>) -> Ret {
    let it = c.buffer(0, 8, Access::Write)?;
    let word = c.mem().load(it, 8);
    let (addr, procs) = (word & !1, word & 1 != 0);
    let Some(p) = c.s.tasks.from_addr(addr) else { return Ok(0) };
    let next = css_task_after(c.s, p, c.s.tasks[p].cgroup, procs);
    let next = c.addr_of(next);
    c.mem().store(it, 8, if next == 0 { 0 } else { next | u64::from(procs) });
    Ok(addr)
}

fn destroy(c: &mut Call<'_>, size: u64) -> Ret {
    let it = c.buffer(0, size, Access::Write)?;
    c.mem().store(it, 8, 0);
    Ok(0)
}

//! Tasks, cgroups, clocks and critical sections. Mirrors kernel/sched/ext/ext.c and kernel/bpf/helpers.c, 7.3.

use sextant_abi::tables::KfuncId;
use sextant_vm::Access;

use super::Handler;
use crate::bpf::call::{Call, Ret};
use crate::cgroup::CgroupId;

pub(super) fn handler(id: KfuncId) -> Option<Handler> {
    Some(match id {
        KfuncId::scx_bpf_task_running => |c| {
            let p = c.task(0)?;
            Ok(c.s.kf_scx_bpf_task_running(p).into())
        },
        KfuncId::scx_bpf_task_cpu => |c| {
            let p = c.task(0)?;
            Ok(c.s.kf_scx_bpf_task_cpu(p) as u64)
        },
        KfuncId::scx_bpf_task_set_slice => |c| {
            let p = c.task(0)?;
            Ok(c.s.kf_scx_bpf_task_set_slice(p, c.u64(1)).into())
        },
        KfuncId::scx_bpf_task_set_dsq_vtime => |c| {
            let p = c.task(0)?;
            Ok(c.s.kf_scx_bpf_task_set_dsq_vtime(p, c.u64(1)).into())
        },
        KfuncId::scx_bpf_cpu_curr => |c| {
            let p = c.s.kf_scx_bpf_cpu_curr(c.s32(0));
            Ok(c.addr_of(p))
        },
        KfuncId::scx_bpf_locked_rq => |c| {
            let cpu = c.s.kf_scx_bpf_locked_rq();
            Ok(cpu.map_or(0, |cpu| c.s.rqs[cpu.idx()].addr))
        },
        KfuncId::scx_bpf_cpu_rq => cpu_rq,
        KfuncId::scx_bpf_now => |c| Ok(c.s.kf_scx_bpf_now().0),
        KfuncId::scx_bpf_events => events,
        KfuncId::scx_bpf_task_cgroup => |c| {
            let p = c.task(0)?;
            let cgrp = c.s.kf_scx_bpf_task_cgroup(p);
            c.ops.note_acquired(cgrp);
            Ok(cgrp)
        },
        KfuncId::scx_bpf_switch_all => |c| {
            c.s.kf_scx_bpf_switch_all();
            Ok(0)
        },
        // One pid namespace: a vpid is a pid.
        KfuncId::bpf_task_from_pid | KfuncId::bpf_task_from_vpid => task_from_pid,
        KfuncId::bpf_task_acquire => task_acquire,
        KfuncId::bpf_task_release => task_release,
        KfuncId::bpf_cgroup_from_id => |c| {
            let id = c.s.cgroups.from_kn_id(c.u64(0));
            Ok(get_cgroup(c, id))
        },
        KfuncId::bpf_cgroup_acquire => |c| {
            let id = c.cgroup(0)?;
            Ok(get_cgroup(c, Some(id)))
        },
        KfuncId::bpf_cgroup_release => |c| {
            let id = c.cgroup(0)?;
            c.give_back()?;
            c.s.cgroup_put(id);
            Ok(0)
        },
        KfuncId::bpf_cgroup_ancestor => cgroup_ancestor,
        KfuncId::bpf_task_under_cgroup => task_under_cgroup,
        // No cgroup v1 hierarchy is mounted.
        KfuncId::bpf_task_get_cgroup1 => |_| Ok(0),
        // An entry is atomic and one RCU section.
        KfuncId::bpf_rcu_read_lock
        | KfuncId::bpf_rcu_read_unlock
        | KfuncId::bpf_preempt_disable
        | KfuncId::bpf_preempt_enable => |_| Ok(0),
        _ => return None,
    })
}

/// Older kernels'; the rq is read-only for programs as there.
fn cpu_rq(c: &mut Call<'_>) -> Ret {
    match c.possible_cpu(c.s32(0)) {
        Some(cpu) => Ok(c.s.rqs[cpu.idx()].addr),
        None => {
            c.s.scx_error(format!("invalid CPU {}", c.s32(0)));
            Ok(0)
        }
    }
}

/// A reference on a cgroup that is not gone: its address, or NULL.
fn get_cgroup(c: &mut Call<'_>, id: Option<CgroupId>) -> u64 {
    match id {
        Some(id) if c.s.cgroup_get(id) => {
            let addr = c.s.cgroups[id].cgrp.addr();
            c.ops.note_acquired(addr);
            addr
        }
        _ => 0,
    }
}

fn cgroup_ancestor(c: &mut Call<'_>) -> Ret {
    let (mut id, level) = (c.cgroup(0)?, c.s32(1));
    let Ok(level) = u32::try_from(level) else { return Ok(0) };
    if level > c.s.cgroups[id].level {
        return Ok(0);
    }
    while c.s.cgroups[id].level > level
        && let Some(parent) = c.s.cgroups[id].parent
    {
        id = parent;
    }
    Ok(get_cgroup(c, Some(id)))
}

/// Whether a task is in a cgroup or below.
fn task_under_cgroup(c: &mut Call<'_>) -> Ret {
    let (p, top) = (c.task(0)?, c.cgroup(1)?);
    let mut at = Some(c.s.tasks[p].cgroup);
    while let Some(id) = at {
        if id == top {
            return Ok(1);
        }
        at = c.s.cgroups[id].parent;
    }
    Ok(0)
}

fn events(c: &mut Call<'_>) -> Ret {
    let size = c.u32(1);
    let to = c.buffer(0, size.into(), Access::Write)?;
    c.s.kf_scx_bpf_events(to, size);
    Ok(0)
}

fn task_from_pid(c: &mut Call<'_>) -> Ret {
    let p = c.s.tasks.from_pid(c.s32(0)).filter(|&p| c.s.get_task_struct(p));
    let addr = c.addr_of(p);
    c.ops.note_acquired(addr);
    Ok(addr)
}

fn task_acquire(c: &mut Call<'_>) -> Ret {
    let p = c.task(0)?;
    if !c.s.get_task_struct(p) {
        return Ok(0);
    }
    c.ops.note_acquired(c.u64(0));
    Ok(c.u64(0))
}

fn task_release(c: &mut Call<'_>) -> Ret {
    let p = c.task(0)?;
    c.give_back()?;
    c.s.put_task_struct(p);
    Ok(0)
}

//! Tasks, cgroups, clocks and critical sections. Mirrors kernel/sched/ext/ext.c and kernel/bpf/helpers.c, 7.3.

use sextant_abi::tables::KfuncId;
use sextant_vm::Access;

use super::Handler;
use crate::bpf::call::{Call, Ret};

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
            Ok(c.s.kf_scx_bpf_task_cgroup(p))
        },
        KfuncId::scx_bpf_switch_all => |c| {
            c.s.kf_scx_bpf_switch_all();
            Ok(0)
        },
        // One pid namespace: a vpid is a pid.
        KfuncId::bpf_task_from_pid | KfuncId::bpf_task_from_vpid => task_from_pid,
        KfuncId::bpf_task_acquire => task_acquire,
        KfuncId::bpf_task_release => task_release,
        KfuncId::bpf_cgroup_from_id => |c| Ok(if c.u64(0) == 1 { c.s.root.cgrp.addr() } else { 0 }),
        KfuncId::bpf_cgroup_acquire => |c| Ok(c.u64(0)),
        KfuncId::bpf_cgroup_release => |_| Ok(0),
        KfuncId::bpf_cgroup_ancestor => |c| Ok(if c.s32(1) == 0 { c.s.root.cgrp.addr() } else { 0 }),
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
            c.s.kf_scx_bpf_error(format!("invalid CPU {}", c.s32(0)));
            Ok(0)
        }
    }
}

fn events(c: &mut Call<'_>) -> Ret {
    let size = c.u32(1);
    let to = c.buffer(0, size.into(), Access::Write)?;
    c.s.kf_scx_bpf_events(to, size);
    Ok(0)
}

fn task_from_pid(c: &mut Call<'_>) -> Ret {
    let p = c.s.tasks.from_pid(c.s32(0)).filter(|&p| c.s.get_task_struct(p));
    Ok(c.addr_of(p))
}

fn task_acquire(c: &mut Call<'_>) -> Ret {
    let p = c.task(0)?;
    Ok(if c.s.get_task_struct(p) { c.u64(0) } else { 0 })
}

fn task_release(c: &mut Call<'_>) -> Ret {
    let p = c.task(0)?;
    c.s.put_task_struct(p);
    Ok(0)
}

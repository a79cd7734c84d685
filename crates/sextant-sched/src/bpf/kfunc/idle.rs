//! CPU selection, idle masks, kicks and the machine's CPUs. Mirrors kernel/sched/ext/{ext,idle}.c, 7.3.

use sextant_abi::Mem;
use sextant_abi::tables::KfuncId;
use sextant_abi::types::ScxBpfSelectCpuAndArgs;
use sextant_vm::Access;

use super::Handler;
use crate::bpf::call::{Call, Ret};

pub(super) fn handler(id: KfuncId) -> Option<Handler> {
    Some(match id {
        KfuncId::scx_bpf_select_cpu_dfl => select_cpu_dfl,
        KfuncId::scx_bpf_select_cpu_and => select_cpu_and,
        KfuncId::__scx_bpf_select_cpu_and => select_cpu_and_args,
        KfuncId::scx_bpf_test_and_clear_cpu_idle => {
            |c| Ok(c.s.kf_scx_bpf_test_and_clear_cpu_idle(c.s32(0)).into())
        }
        KfuncId::scx_bpf_pick_idle_cpu => |c| {
            let mask = c.cpumask(0)?;
            Ok(c.s.kf_scx_bpf_pick_idle_cpu(mask, c.u64(1)) as u64)
        },
        KfuncId::scx_bpf_pick_any_cpu => |c| {
            let mask = c.cpumask(0)?;
            Ok(c.s.kf_scx_bpf_pick_any_cpu(mask, c.u64(1)) as u64)
        },
        KfuncId::scx_bpf_get_idle_cpumask => |c| Ok(c.s.kf_scx_bpf_get_idle_cpumask().addr()),
        KfuncId::scx_bpf_get_idle_smtmask => |c| Ok(c.s.kf_scx_bpf_get_idle_smtmask().addr()),
        KfuncId::scx_bpf_pick_idle_cpu_node => |c| {
            let mask = c.cpumask(0)?;
            Ok(c.s.kf_scx_bpf_pick_idle_cpu_node(mask, c.s32(1), c.u64(2)) as u64)
        },
        KfuncId::scx_bpf_pick_any_cpu_node => |c| {
            let mask = c.cpumask(0)?;
            Ok(c.s.kf_scx_bpf_pick_any_cpu_node(mask, c.s32(1), c.u64(2)) as u64)
        },
        KfuncId::scx_bpf_get_idle_cpumask_node => {
            |c| Ok(c.s.kf_scx_bpf_get_idle_cpumask_node(c.s32(0)).addr())
        }
        KfuncId::scx_bpf_get_idle_smtmask_node => {
            |c| Ok(c.s.kf_scx_bpf_get_idle_smtmask_node(c.s32(0)).addr())
        }
        KfuncId::scx_bpf_get_possible_cpumask => |c| Ok(c.s.kf_scx_bpf_get_possible_cpumask().addr()),
        KfuncId::scx_bpf_get_online_cpumask => |c| Ok(c.s.kf_scx_bpf_get_online_cpumask().addr()),
        KfuncId::scx_bpf_put_idle_cpumask | KfuncId::scx_bpf_put_cpumask => |_| Ok(0),
        KfuncId::scx_bpf_kick_cpu => |c| {
            c.s.kf_scx_bpf_kick_cpu(c.s32(0), c.u64(1));
            Ok(0)
        },
        KfuncId::scx_bpf_cpuperf_cap => |c| Ok(c.s.kf_scx_bpf_cpuperf_cap(c.s32(0)).into()),
        KfuncId::scx_bpf_cpuperf_cur => |c| Ok(c.s.kf_scx_bpf_cpuperf_cur(c.s32(0)).into()),
        KfuncId::scx_bpf_cpuperf_set => |c| {
            c.s.kf_scx_bpf_cpuperf_set(c.s32(0), c.u32(1));
            Ok(0)
        },
        KfuncId::scx_bpf_nr_cpu_ids => |c| Ok(c.s.kf_scx_bpf_nr_cpu_ids().into()),
        KfuncId::scx_bpf_nr_node_ids => |c| Ok(c.s.kf_scx_bpf_nr_node_ids().into()),
        KfuncId::scx_bpf_cpu_node => |c| Ok(c.s.kf_scx_bpf_cpu_node(c.s32(0)) as u64),
        _ => return None,
    })
}

fn select_cpu_dfl(c: &mut Call<'_>) -> Ret {
    let (p, out) = (c.task(0)?, c.buffer(3, 1, Access::Write)?);
    let (cpu, is_idle) = c.s.kf_scx_bpf_select_cpu_dfl(p, c.s32(1), c.u64(2));
    c.mem().store(out, 1, is_idle.into());
    Ok(cpu as u64)
}

fn select_cpu_and(c: &mut Call<'_>) -> Ret {
    let (p, allowed) = (c.task(0)?, c.cpumask(3)?);
    Ok(c.s.kf_scx_bpf_select_cpu_and(p, c.s32(1), c.u64(2), allowed, c.u64(4)) as u64)
}

fn select_cpu_and_args(c: &mut Call<'_>) -> Ret {
    let (p, allowed) = (c.task(0)?, c.cpumask(1)?);
    let args = ScxBpfSelectCpuAndArgs::at(c.buffer(2, ScxBpfSelectCpuAndArgs::SIZE.into(), Access::Read)?);
    let (prev, wake) = (args.prev_cpu().get(c.mem()), args.wake_flags().get(c.mem()));
    let flags = args.flags().get(c.mem());
    Ok(c.s.kf_scx_bpf_select_cpu_and(p, prev, wake, allowed, flags) as u64)
}

//! Cids. Mirrors the cid kfuncs of kernel/sched/ext/{ext,cid}.c, 7.3. Not here: `scx_bpf_cid_override` and sub-schedulers.

use sextant_abi::Mem;
use sextant_abi::tables::KfuncId;
use sextant_vm::Access;

use super::Handler;
use crate::bpf::call::{Call, Ret};

pub(super) fn handler(id: KfuncId) -> Option<Handler> {
    Some(match id {
        KfuncId::scx_bpf_nr_cids => |c| Ok(c.s.kf_scx_bpf_nr_cids().into()),
        KfuncId::scx_bpf_nr_online_cids => |c| Ok(c.s.kf_scx_bpf_nr_online_cids().into()),
        KfuncId::scx_bpf_cid_to_cpu => |c| Ok(c.s.kf_scx_bpf_cid_to_cpu(c.s32(0)) as u64),
        KfuncId::scx_bpf_cpu_to_cid => |c| Ok(c.s.kf_scx_bpf_cpu_to_cid(c.s32(0)) as u64),
        KfuncId::scx_bpf_cid_topo => cid_topo,
        KfuncId::scx_bpf_this_cid => |c| Ok(c.s.kf_scx_bpf_this_cid() as u64),
        KfuncId::scx_bpf_task_cid => |c| {
            let p = c.task(0)?;
            Ok(c.s.kf_scx_bpf_task_cid(p) as u64)
        },
        KfuncId::scx_bpf_cid_curr => |c| {
            let p = c.s.kf_scx_bpf_cid_curr(c.s32(0));
            Ok(c.addr_of(p))
        },
        KfuncId::scx_bpf_kick_cid => |c| {
            c.s.kf_scx_bpf_kick_cid(c.s32(0), c.u64(1));
            Ok(0)
        },
        KfuncId::scx_bpf_cidperf_cap | KfuncId::scx_bpf_cidperf_cur => {
            |c| Ok(c.s.kf_scx_bpf_cidperf_cap(c.s32(0)).into())
        }
        KfuncId::scx_bpf_cidperf_set => |c| Ok(c.s.kf_scx_bpf_cidperf_set(c.s32(0), c.u32(1)) as u64),
        KfuncId::scx_bpf_online_cmask => |c| Ok(c.ops.online_cmask(c.s)),
        KfuncId::scx_bpf_tid_to_task => |c| {
            let p = c.s.kf_scx_bpf_tid_to_task(c.u64(0));
            Ok(c.addr_of(p))
        },
        _ => return None,
    })
}

/// As much of `struct scx_cid_topo` as the program's own holds, the rest -1.
fn cid_topo(c: &mut Call<'_>) -> Ret {
    let size = c.u32(2);
    let out = c.buffer(1, size.into(), Access::Write)?;
    let topo = c.s.kf_scx_bpf_cid_topo(c.s32(0));
    let bytes = topo.iter().flat_map(|v| v.to_le_bytes()).chain(std::iter::repeat(0xff));
    for (i, byte) in bytes.take(size as usize).enumerate() {
        c.mem().store(out + i as u64, 1, byte.into());
    }
    Ok(0)
}

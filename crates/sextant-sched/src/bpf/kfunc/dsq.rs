//! Insertion, dispatch, DSQs and their iterators. Mirrors kernel/sched/ext/ext.c, 7.3; the older names come here by
//! `KfuncId::canonical`.

use sextant_abi::tables::KfuncId;
use sextant_abi::types::{BpfIterScxDsq, ScxBpfDsqInsertVtimeArgs};
use sextant_abi::{DsqId, Mem};
use sextant_vm::{Access, Trap};

use super::Handler;
use crate::bpf::call::{Call, Ret};
use crate::ext::DsqIter;

pub(super) fn handler(id: KfuncId) -> Option<Handler> {
    Some(match id {
        KfuncId::scx_bpf_dsq_insert | KfuncId::scx_bpf_dsq_insert___v2 => insert,
        KfuncId::scx_bpf_dsq_insert_vtime => insert_vtime,
        KfuncId::__scx_bpf_dsq_insert_vtime => insert_vtime_args,
        KfuncId::scx_bpf_dispatch_nr_slots => |c| Ok(c.s.kf_scx_bpf_dispatch_nr_slots().into()),
        KfuncId::scx_bpf_dispatch_cancel => |c| {
            c.s.kf_scx_bpf_dispatch_cancel();
            Ok(0)
        },
        KfuncId::scx_bpf_dsq_move_to_local => |c| Ok(c.s.kf_scx_bpf_dsq_move_to_local(dsq(c, 0), 0).into()),
        KfuncId::scx_bpf_dsq_move_to_local___v2 => {
            |c| Ok(c.s.kf_scx_bpf_dsq_move_to_local(dsq(c, 0), c.u64(1)).into())
        }
        KfuncId::scx_bpf_create_dsq => |c| Ok(c.s.kf_scx_bpf_create_dsq(dsq(c, 0), c.s32(1)) as u64),
        KfuncId::scx_bpf_destroy_dsq => |c| {
            c.s.kf_scx_bpf_destroy_dsq(dsq(c, 0));
            Ok(0)
        },
        KfuncId::scx_bpf_dsq_nr_queued => |c| Ok(c.s.kf_scx_bpf_dsq_nr_queued(dsq(c, 0)) as u64),
        KfuncId::scx_bpf_dsq_peek => |c| {
            let p = c.s.kf_scx_bpf_dsq_peek(dsq(c, 0));
            Ok(c.addr_of(p))
        },
        KfuncId::scx_bpf_dsq_reenq => |c| {
            c.s.kf_scx_bpf_dsq_reenq(dsq(c, 0), c.u64(1));
            Ok(0)
        },
        KfuncId::scx_bpf_reenqueue_local___v2 => |c| {
            c.s.kf_scx_bpf_dsq_reenq(DsqId::LOCAL, 0);
            Ok(0)
        },
        KfuncId::scx_bpf_reenqueue_local => |c| Ok(c.s.kf_scx_bpf_reenqueue_local().into()),
        KfuncId::bpf_iter_scx_dsq_new => iter_new,
        KfuncId::bpf_iter_scx_dsq_next => iter_next,
        KfuncId::bpf_iter_scx_dsq_destroy => iter_destroy,
        KfuncId::scx_bpf_dsq_move => |c| move_task(c, false),
        KfuncId::scx_bpf_dsq_move_vtime => |c| move_task(c, true),
        KfuncId::scx_bpf_dsq_move_set_slice => |c| {
            if let Some(it) = iter(c)? {
                c.s.kf_scx_bpf_dsq_move_set_slice(it, c.u64(1));
            }
            Ok(0)
        },
        KfuncId::scx_bpf_dsq_move_set_vtime => |c| {
            if let Some(it) = iter(c)? {
                c.s.kf_scx_bpf_dsq_move_set_vtime(it, c.u64(1));
            }
            Ok(0)
        },
        _ => return None,
    })
}

fn dsq(c: &Call<'_>, i: usize) -> DsqId {
    DsqId(c.u64(i))
}

fn insert(c: &mut Call<'_>) -> Ret {
    let p = c.task_or_null(0)?;
    Ok(c.s.kf_scx_bpf_dsq_insert(p, dsq(c, 1), c.u64(2), c.u64(3)).into())
}

fn insert_vtime(c: &mut Call<'_>) -> Ret {
    let p = c.task_or_null(0)?;
    Ok(c.s.kf_scx_bpf_dsq_insert_vtime(p, dsq(c, 1), c.u64(2), c.u64(3), c.u64(4)).into())
}

fn insert_vtime_args(c: &mut Call<'_>) -> Ret {
    let at = c.buffer(1, ScxBpfDsqInsertVtimeArgs::SIZE.into(), Access::Read)?;
    let (args, mem) = (ScxBpfDsqInsertVtimeArgs::at(at), c.mem());
    let (dsq, slice) = (DsqId(args.dsq_id().get(mem)), args.slice().get(mem));
    let (vtime, enq_flags) = (args.vtime().get(mem), args.enq_flags().get(mem));
    let p = c.task_or_null(0)?;
    Ok(c.s.kf_scx_bpf_dsq_insert_vtime(p, dsq, slice, vtime, enq_flags).into())
}

/// The iterator object on the program's stack: its first word holds our handle, 0 for none.
fn iter_state(c: &Call<'_>) -> Result<u64, Trap> {
    c.buffer(0, BpfIterScxDsq::SIZE.into(), Access::Write)
}

fn iter(c: &Call<'_>) -> Result<Option<DsqIter>, Trap> {
    let at = iter_state(c)?;
    Ok(handle(c.mem().load(at, 8)))
}

/// What the first word says; a number that was never given out is treated as none by the class.
fn handle(word: u64) -> Option<DsqIter> {
    u32::try_from(word).ok().filter(|&raw| raw != 0).map(DsqIter)
}

fn iter_new(c: &mut Call<'_>) -> Ret {
    let at = iter_state(c)?;
    c.mem().write_bytes(at, &[0; BpfIterScxDsq::SIZE as usize]);
    match c.s.kf_bpf_iter_scx_dsq_new(dsq(c, 1), c.u64(2)) {
        Ok(it) => {
            c.mem().store(at, 8, u64::from(it.0));
            Ok(0)
        }
        Err(errno) => Ok(errno as u64),
    }
}

fn iter_next(c: &mut Call<'_>) -> Ret {
    let Some(it) = iter(c)? else { return Ok(0) };
    let p = c.s.kf_bpf_iter_scx_dsq_next(it);
    Ok(c.addr_of(p))
}

fn iter_destroy(c: &mut Call<'_>) -> Ret {
    if let Some(it) = iter(c)? {
        c.s.kf_bpf_iter_scx_dsq_destroy(it);
    }
    let at = iter_state(c)?;
    c.mem().store(at, 8, 0);
    Ok(0)
}

fn move_task(c: &mut Call<'_>, vtime: bool) -> Ret {
    let (p, to, enq_flags) = (c.task(1)?, dsq(c, 2), c.u64(3));
    let Some(it) = iter(c)? else { return Ok(0) };
    Ok(if vtime {
        c.s.kf_scx_bpf_dsq_move_vtime(it, p, to, enq_flags).into()
    } else {
        c.s.kf_scx_bpf_dsq_move(it, p, to, enq_flags).into()
    })
}

//! Insertion and dispatch: dsq_insert, the dispatch buffer, move_to_local, dsq_move, DSQ creation, slices and vtimes.

use sextant_abi::DsqId;
use sextant_abi::types::*;

use super::iter::DsqIter;
use super::{EEXIST, EINVAL, ENODEV, ENOENT};
use crate::ext::entity::Verdict;
use crate::ext::events::EventId;
use crate::ext::rq::{DdspSubject, DspEntry};
use crate::sched::Sched;
use crate::task::TaskId;

impl Sched {
    /// `scx_bpf_dsq_insert`: `p` goes to the FIFO of `dsq`. From select_cpu and enqueue a direct dispatch of the task
    /// being enqueued, from dispatch an entry of the buffer. `slice` in ns, 0 keeps what is left. False if refused.
    pub fn kf_scx_bpf_dsq_insert(
        &mut self,
        p: Option<TaskId>,
        dsq: DsqId,
        slice: u64,
        enq_flags: u64,
    ) -> bool {
        self.dsq_insert(p, Verdict { dsq_id: dsq, slice, vtime: 0, enq_flags }, 0)
    }

    /// `scx_bpf_dsq_insert_vtime`: the same into the priority queue, ordered by `vtime`.
    pub fn kf_scx_bpf_dsq_insert_vtime(
        &mut self,
        p: Option<TaskId>,
        dsq: DsqId,
        slice: u64,
        vtime: u64,
        enq_flags: u64,
    ) -> bool {
        self.dsq_insert(p, Verdict { dsq_id: dsq, slice, vtime, enq_flags }, SCX_ENQ_DSQ_PRIQ)
    }

    /// `scx_dsq_insert_preamble` and `scx_dsq_insert_commit`
    fn dsq_insert(&mut self, p: Option<TaskId>, mut v: Verdict, priq: u64) -> bool {
        if !self.has_sched() {
            return false;
        }
        let Some(p) = p else {
            self.scx_error("called with NULL task".into());
            return false;
        };
        if !self.task_on_sched(p) {
            self.ext.add_event(EventId::InsertNotOwned, 1);
            return false;
        }
        let Some(enq_flags) = self.vet_enq_flags(v.dsq_id, v.enq_flags) else { return false };
        v.enq_flags = enq_flags | priq;
        let subject = self.rqs[self.this_cpu.idx()].ext.ddsp_subject;
        if subject != DdspSubject::Off {
            self.mark_direct_dispatch(subject, p, v);
            return true;
        }
        let qseq = self.tasks[p].ext.qseq;
        let max = self.ext.max_batch as usize;
        let dsp = self.dsp_ctx();
        if dsp.buf.len() >= max {
            self.scx_error("dispatch buffer overflow".into());
        } else {
            dsp.buf.push(DspEntry { task: p, qseq, verdict: v });
        }
        true
    }

    /// `scx_vet_enq_flags`: the flags to use, with what the scheduler's own flags imply.
    fn vet_enq_flags(&mut self, dsq: DsqId, enq_flags: u64) -> Option<u64> {
        let local = dsq == DsqId::LOCAL || dsq.local_on_cpu().is_some();
        let msg = if enq_flags & __SCX_ENQ_INTERNAL_MASK != 0 {
            format!("invalid enq_flags {enq_flags:#x}")
        } else if enq_flags & SCX_ENQ_IMMED != 0 && !local {
            format!("SCX_ENQ_IMMED on a non-local DSQ {:#x}", dsq.0)
        } else if enq_flags & SCX_ENQ_RESCUE != 0 && !local {
            format!("SCX_ENQ_RESCUE on a non-local DSQ {:#x}", dsq.0)
        } else if local && self.ext.flags & SCX_OPS_ALWAYS_ENQ_IMMED != 0 {
            return Some(enq_flags | SCX_ENQ_IMMED);
        } else {
            return Some(enq_flags);
        };
        self.scx_error(msg);
        None
    }

    /// `scx_bpf_dispatch_nr_slots`: room in the dispatch buffer of this CPU.
    pub fn kf_scx_bpf_dispatch_nr_slots(&mut self) -> u32 {
        if !self.has_sched() {
            return 0;
        }
        self.ext.max_batch - self.dsp_ctx().buf.len() as u32
    }

    /// `scx_bpf_dispatch_cancel`: drops the newest entry of the buffer.
    pub fn kf_scx_bpf_dispatch_cancel(&mut self) {
        if self.has_sched() && self.dsp_ctx().buf.pop().is_none() {
            self.scx_error("dispatch buffer underflow".into());
        }
    }

    /// `scx_bpf_dsq_move_to_local`: flushes the buffer, then moves the first task of a user DSQ that can run on the
    /// dispatching CPU to its local DSQ; whether there was one.
    pub fn kf_scx_bpf_dsq_move_to_local(&mut self, dsq: DsqId, enq_flags: u64) -> bool {
        if !self.has_sched() {
            return false;
        }
        let Some(enq_flags) = self.vet_enq_flags(DsqId::LOCAL, enq_flags) else { return false };
        let cpu = self.ext.ctx.locked_rq.unwrap_or(self.this_cpu);
        self.flush_dispatch_buf(cpu);
        let Some(idx) = self.ext.dsqs.find_user(dsq) else {
            self.scx_error(format!("invalid DSQ ID {:#018x}", dsq.0));
            return false;
        };
        let moved = self.consume_dispatch_q(cpu, idx, enq_flags);
        self.dsp_ctx().nr_tasks += u32::from(moved);
        moved
    }

    /// `scx_bpf_dsq_move`: `p`, seen by the iterator and still on its DSQ, goes to the FIFO of `dsq`; whether it did.
    pub fn kf_scx_bpf_dsq_move(&mut self, it: DsqIter, p: TaskId, dsq: DsqId, enq_flags: u64) -> bool {
        let (slice, vtime) = self.take_iter_overrides(it);
        self.dsq_move(it, p, dsq, enq_flags, 0, slice, vtime)
    }

    /// `scx_bpf_dsq_move_vtime`: the same to the priority queue of a user DSQ.
    pub fn kf_scx_bpf_dsq_move_vtime(&mut self, it: DsqIter, p: TaskId, dsq: DsqId, enq_flags: u64) -> bool {
        let (slice, vtime) = self.take_iter_overrides(it);
        self.dsq_move(it, p, dsq, enq_flags, SCX_ENQ_DSQ_PRIQ, slice, vtime)
    }

    #[allow(clippy::too_many_arguments)] // the kernel's, with what the iterator carries beside them
    fn dsq_move(
        &mut self,
        it: DsqIter,
        p: TaskId,
        dsq: DsqId,
        enq_flags: u64,
        priq: u64,
        slice: Option<u64>,
        vtime: Option<u64>,
    ) -> bool {
        let Some(src) = self.iter_dsq(it) else { return false };
        let Some(enq_flags) = self.vet_enq_flags(dsq, enq_flags) else { return false };
        if self.ext.aborting || self.iter_lost_task(it, src, p) {
            return false;
        }
        let rq = self.ext.ctx.locked_rq.unwrap_or(self.this_cpu);
        let dst = self.find_dsq_for_dispatch(rq, dsq, self.tasks[p].cpu);
        if let Some(vtime) = vtime {
            self.scx(p).dsq_vtime().set(&*self.mem, vtime);
        }
        if let Some(slice) = slice {
            self.set_task_slice(p, slice);
        }
        self.move_task_between_dsqs(p, enq_flags | priq, dst);
        true
    }

    /// `scx_bpf_create_dsq`: an empty user DSQ on `node` (-1 for any); 0 or -errno.
    pub fn kf_scx_bpf_create_dsq(&mut self, dsq: DsqId, node: i32) -> i32 {
        let nr_nodes = self.topology.shape().nodes as i32;
        if !(-1..nr_nodes).contains(&node) || dsq.is_builtin() {
            return EINVAL;
        }
        if !self.has_sched() {
            return ENODEV;
        }
        if self.ext.dsqs.create(dsq) { 0 } else { EEXIST }
    }

    /// `scx_bpf_destroy_dsq`: an unknown id is ignored, a DSQ in use is an error and stays.
    pub fn kf_scx_bpf_destroy_dsq(&mut self, dsq: DsqId) {
        let Some(idx) = self.ext.dsqs.find_user(dsq).filter(|_| self.has_sched()) else { return };
        let nr = self.ext.dsqs[idx].nr;
        if nr != 0 {
            return self.scx_error(format!("attempting to destroy in-use dsq {:#018x} (nr={nr})", dsq.0));
        }
        self.drop_seen_dsqs(Some(idx));
        self.ext.dsqs.destroy(idx);
    }

    /// `scx_bpf_dsq_nr_queued`: tasks on a user DSQ or a local one; -ENOENT for others.
    pub fn kf_scx_bpf_dsq_nr_queued(&mut self, dsq: DsqId) -> i32 {
        if !self.has_sched() {
            return ENODEV;
        }
        if dsq == DsqId::LOCAL {
            return self.local_nr(self.ext.ctx.locked_rq.unwrap_or(self.this_cpu)) as i32;
        }
        if let Some(cpu) = dsq.local_on_cpu() {
            return self.scx_cpu_arg(cpu as i32, "").map_or(ENOENT, |cpu| self.local_nr(cpu) as i32);
        }
        self.ext.dsqs.find_user(dsq).map_or(ENOENT, |idx| self.ext.dsqs[idx].nr as i32)
    }

    /// `scx_bpf_dsq_peek`: the first task of a user DSQ.
    pub fn kf_scx_bpf_dsq_peek(&mut self, dsq: DsqId) -> Option<TaskId> {
        if !self.has_sched() {
            return None;
        }
        let msg = if dsq.is_builtin() {
            format!("peek disallowed on builtin DSQ {:#x}", dsq.0)
        } else {
            match self.ext.dsqs.find_user(dsq) {
                Some(idx) => return self.dsq_first(idx),
                None => format!("peek on non-existent DSQ {:#x}", dsq.0),
            }
        };
        self.scx_error(msg);
        None
    }

    /// `scx_bpf_reenqueue_local` (v1, in ops.cpu_release): every task of this CPU's local DSQ goes through ops.enqueue with
    /// SCX_ENQ_REENQ; how many.
    pub fn kf_scx_bpf_reenqueue_local(&mut self) -> u32 {
        if !self.has_sched() {
            return 0;
        }
        self.reenq_local(self.this_cpu, SCX_REENQ_ANY)
    }

    /// `scx_bpf_task_set_slice`: `slice` ns, at once if the caller holds the task's runqueue, else when it runs next.
    pub fn kf_scx_bpf_task_set_slice(&mut self, p: TaskId, slice: u64) -> bool {
        /// Longest request that fits beside the owner's id, ns.
        const OOB_MAX: u64 = (1 << 43) - 2;
        if !self.has_sched() || !self.task_on_sched(p) {
            return false;
        }
        let rq = self.ext.ctx.locked_rq;
        if rq.is_some_and(|cpu| self.tasks[p].ext.runnable_cpu == Some(cpu) || self.rqs[cpu.idx()].curr == p)
        {
            self.set_task_slice(p, slice);
            return true;
        }
        let clamped = if slice == SCX_SLICE_INF { slice } else { slice.min(OOB_MAX) };
        if clamped != slice {
            self.ext.add_event(EventId::SliceClamped, 1);
        }
        self.tasks[p].ext.slice_oob = Some(clamped);
        true
    }

    /// `scx_bpf_task_set_dsq_vtime`
    pub fn kf_scx_bpf_task_set_dsq_vtime(&mut self, p: TaskId, vtime: u64) -> bool {
        let ok = self.has_sched() && self.task_on_sched(p);
        if ok {
            self.scx(p).dsq_vtime().set(&*self.mem, vtime);
        }
        ok
    }
}

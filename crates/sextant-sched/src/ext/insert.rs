//! Putting a task on a DSQ and taking it off, and what follows: custody, preemption, the ends of QUEUEING and DISPATCHING.
//!
//! Custody (7.3): a task handed to ops.enqueue or put on a user DSQ is the scheduler's until it leaves for a local, global or
//! bypass DSQ or is dequeued; ops.dequeue is called once for each time.

use sextant_abi::types::*;
use sextant_abi::{CpuId, DsqId};

use super::entity::DsqIdx;
use super::rq::RqFlags;
use crate::event::Event;
use crate::probe::Probe;
use crate::sched::Sched;
use crate::task::{Class, TaskId};

impl Sched {
    /// `scx_dispatch_enqueue`: inserts `p`, which is on no DSQ, with what the verdict carries; leaves or enters custody;
    /// ends QUEUEING or DISPATCHING with CLEAR_OPSS. `rq` is the CPU of the caller's runqueue.
    pub(crate) fn scx_dispatch_enqueue(
        &mut self,
        rq: CpuId,
        mut dsq: DsqIdx,
        p: TaskId,
        slice: u64,
        vtime: u64,
        mut enq_flags: u64,
    ) {
        if self.ext.dsqs[dsq].id == DsqId::INVALID {
            self.scx_error("attempting to dispatch to a destroyed dsq".into());
            dsq = self.ext.dsqs.global(self.tasks[p].cpu);
        }
        if enq_flags & SCX_ENQ_DSQ_PRIQ != 0 && self.ext.dsqs[dsq].id.is_builtin() {
            self.scx_error("cannot use vtime ordering for built-in DSQs".into());
            enq_flags &= !SCX_ENQ_DSQ_PRIQ;
        }
        if enq_flags & SCX_ENQ_APPLY_SLICE != 0 {
            self.apply_slice_vtime(p, slice, vtime, enq_flags);
        }
        self.check_dsq_mix(dsq, enq_flags);
        self.dsq_link(dsq, p, enq_flags);
        let d = &mut self.ext.dsqs[dsq];
        d.seq = d.seq.wrapping_add(1);
        self.tasks[p].ext.dsq_seq = d.seq;
        self.show_dsq(dsq);
        self.emit_insert(dsq, p, enq_flags);
        self.immed_inserted(dsq, p, enq_flags);
        self.post_enqueue(rq, dsq, p, enq_flags);
        if enq_flags & SCX_ENQ_CLEAR_OPSS != 0 {
            self.tasks[p].ext.clear_opss();
        }
    }

    /// FIFO and vtime insertions may not meet in one DSQ. Checked against what is queued now; the insertion goes on.
    fn check_dsq_mix(&mut self, dsq: DsqIdx, enq_flags: u64) {
        let d = &self.ext.dsqs[dsq];
        let (id, priq) = (d.id.0, !d.root.is_nil());
        if enq_flags & SCX_ENQ_DSQ_PRIQ != 0 {
            if !priq && d.nr > 0 {
                self.scx_error(format!("DSQ ID {id:#018x} already had FIFO-enqueued tasks"));
            }
        } else if priq {
            self.scx_error(format!("DSQ ID {id:#018x} already had PRIQ-enqueued tasks"));
        }
    }

    /// `scx_move_local_task_to_local_dsq`: `p`, just unlinked and on `cpu`'s runqueue, goes to its local DSQ.
    pub(crate) fn move_local_task_to_local_dsq(&mut self, p: TaskId, enq_flags: u64, cpu: CpuId) {
        self.probe(Probe::LocalToLocal { p, cpu, flags: enq_flags });
        let dsq = self.ext.dsqs.local(cpu);
        self.dsq_link(dsq, p, enq_flags & !SCX_ENQ_DSQ_PRIQ);
        self.emit_insert(dsq, p, enq_flags);
        self.immed_inserted(dsq, p, enq_flags);
        self.rq_owned_post_enq(cpu, p, enq_flags);
    }

    fn emit_insert(&mut self, dsq: DsqIdx, p: TaskId, enq_flags: u64) {
        let scx = self.tasks[p].ts.scx();
        let (slice, vtime) = (scx.slice().get(&*self.mem), scx.dsq_vtime().get(&*self.mem));
        let dsq = self.ext.dsqs[dsq].event_id();
        let enq_flags = enq_flags & !(__SCX_ENQ_INTERNAL_MASK & !SCX_ENQ_DSQ_PRIQ);
        self.emit(Event::DsqInsert { p, dsq, slice, vtime, enq_flags });
    }

    /// Custody after an insertion.
    fn post_enqueue(&mut self, rq: CpuId, dsq: DsqIdx, p: TaskId, enq_flags: u64) {
        let d = &self.ext.dsqs[dsq];
        if let Some(cpu) = d.cpu {
            self.rq_owned_post_enq(cpu, p, enq_flags);
        } else if d.id == DsqId::GLOBAL || d.id == DsqId::BYPASS {
            if self.task_leave_custody(p) {
                self.op_dequeue(rq, p, 0);
            }
        } else {
            self.set_scx_flags(p, SCX_TASK_IN_CUSTODY);
        }
    }

    /// `rq_owned_post_enq`: a task has arrived on a local DSQ.
    fn rq_owned_post_enq(&mut self, cpu: CpuId, p: TaskId, enq_flags: u64) {
        if self.task_leave_custody(p) {
            self.op_dequeue(cpu, p, 0);
        }
        if self.rqs[cpu.idx()].next_class > self.tasks[p].class {
            self.wakeup_preempt(cpu, p, 0);
        }
        let rq = &self.rqs[cpu.idx()];
        if rq.ext.flags.contains(RqFlags::IN_DISPATCH) {
            return;
        }
        let curr = rq.curr;
        if enq_flags & SCX_ENQ_PREEMPT != 0 && p != curr && self.tasks[curr].class == Class::Ext {
            self.set_task_slice(curr, 0);
            self.resched_curr(cpu);
        }
    }

    /// `task_leave_custody`: whether ops.dequeue is due. Not during a migration of the class's own.
    pub(crate) fn task_leave_custody(&mut self, p: TaskId) -> bool {
        if self.scx_flags(p) & SCX_TASK_IN_CUSTODY == 0 || self.tasks[p].ext.sticky_cpu.is_some() {
            return false;
        }
        self.clear_scx_flags(p, SCX_TASK_IN_CUSTODY);
        true
    }

    /// `scx_dispatch_dequeue`: off its DSQ, or out of a deferred transfer.
    pub(crate) fn scx_dispatch_dequeue(&mut self, cpu: CpuId, p: TaskId) {
        if self.tasks[p].ext.dsq.is_some() {
            return self.task_unlink_from_dsq(p);
        }
        if std::mem::take(&mut self.tasks[p].ext.deferred) {
            self.rqs[cpu.idx()].ext.ddsp_deferred_locals.retain(|&q| q != p);
        }
        self.tasks[p].ext.holding_cpu = None;
    }

    /// `find_dsq_for_dispatch`: LOCAL is `rq`'s; what does not exist is an error and the global DSQ of `tcpu`'s node.
    pub(crate) fn find_dsq_for_dispatch(&mut self, rq: CpuId, id: DsqId, tcpu: CpuId) -> DsqIdx {
        if id == DsqId::LOCAL {
            return self.ext.dsqs.local(rq);
        }
        if let Some(cpu) = id.local_on_cpu() {
            return match self.scx_cpu_arg(cpu as i32, " in SCX_DSQ_LOCAL_ON dispatch verdict") {
                Some(cpu) => self.ext.dsqs.local(cpu),
                None => self.ext.dsqs.global(tcpu),
            };
        }
        if id == DsqId::GLOBAL {
            return self.ext.dsqs.global(tcpu);
        }
        match self.ext.dsqs.find_user(id) {
            Some(dsq) => dsq,
            None => {
                self.scx_error(format!("non-existent DSQ {:#x}", id.0));
                self.ext.dsqs.global(tcpu)
            }
        }
    }
}

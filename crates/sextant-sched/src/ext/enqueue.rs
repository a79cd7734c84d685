//! Into the class and out of it: `enqueue_task`, the order of checks of `do_enqueue_task`, direct dispatch, custody, dequeue.
//!
//! ```text
//! select_cpu ─(direct dispatch)─► verdict on the task ─┐
//! enqueue_task ─► runnable ─► do_enqueue_task ─────────┼─► direct_dispatch ─► DSQ, or deferred to another CPU's local
//!                                   └─► ops.enqueue ───┘
//!                                         └─► QUEUED: in the scheduler's custody until dispatched or dequeued
//! ```

use sextant_abi::types::*;
use sextant_abi::{CpuId, DsqId};

use super::entity::{OpsState, Verdict};
use super::events::EventId;
use super::list::{Link, Links, NodeId};
use super::rq::{DdspSubject, RqFlags};
use crate::core::flags::*;
use crate::deadline::Server;
use crate::ops::Op;
use crate::probe::{Pause, Probe};
use crate::sched::Sched;
use crate::task::{OnRq, TaskId, TaskTable};

/// Links of the runqueues' runnable lists.
pub(crate) struct RunnableNodes<'a>(pub &'a mut TaskTable);

impl Links for RunnableNodes<'_> {
    fn link(&mut self, node: NodeId) -> &mut Link {
        &mut self.0[TaskId(node.0)].ext.runnable
    }
}

impl Sched {
    /// `set_task_runnable`: waits on this runqueue from now on (or still, when it was only moved).
    pub(crate) fn set_task_runnable(&mut self, cpu: CpuId, p: TaskId) {
        if self.scx_flags(p) & SCX_TASK_RESET_RUNNABLE_AT != 0 {
            let now = self.jiffies();
            self.scx(p).runnable_at().set(&*self.mem, now);
            self.clear_scx_flags(p, SCX_TASK_RESET_RUNNABLE_AT);
        }
        let ends = &mut self.rqs[cpu.idx()].ext.runnable;
        RunnableNodes(&mut self.tasks).push_back(ends, NodeId::task(p.0));
        self.tasks[p].ext.runnable_cpu = Some(cpu);
        self.scx(p).runnable_cpu().set(&*self.mem, cpu.0 as i32);
    }

    /// `clr_task_runnable`: no longer waits; `reset` when that is because it runs.
    pub(crate) fn clr_task_runnable(&mut self, p: TaskId, reset: bool) {
        if let Some(cpu) = self.tasks[p].ext.runnable_cpu.take() {
            let ends = &mut self.rqs[cpu.idx()].ext.runnable;
            RunnableNodes(&mut self.tasks).unlink(ends, NodeId::task(p.0));
            self.scx(p).runnable_cpu().set(&*self.mem, -1);
        }
        if reset {
            self.set_scx_flags(p, SCX_TASK_RESET_RUNNABLE_AT);
            self.tasks[p].ext.reenq_cnt = 0;
        }
    }

    /// `enqueue_task_scx`
    pub(super) fn do_enqueue_task_scx(&mut self, cpu: CpuId, p: TaskId, core_flags: u64) {
        let mut enq_flags = core_flags | self.rqs[cpu.idx()].ext.extra_enq_flags;
        let mut sticky = self.tasks[p].ext.sticky_cpu.take();
        if core_flags & ENQUEUE_WAKEUP != 0 {
            self.rqs[cpu.idx()].ext.flags.insert(RqFlags::IN_WAKEUP);
        }
        if enq_flags & ENQUEUE_RESTORE != 0 && self.rqs[cpu.idx()].curr == p {
            sticky = Some(cpu);
            enq_flags |= SCX_ENQ_IGNORE_CAPS;
        }
        if !self.scx_queued(p) {
            self.set_task_runnable(cpu, p);
            self.set_scx_flags(p, SCX_TASK_QUEUED);
            self.scx_add_nr_running(cpu, 1);
            if self.tasks[p].on_rq != OnRq::Migrating {
                self.op_runnable(cpu, p, enq_flags);
            }
            if self.rqs[cpu.idx()].ext.nr_running == 1 {
                self.dl_server_start(cpu, Server::Ext);
            }
            self.scx_do_enqueue_task(cpu, p, enq_flags, sticky);
        }
        self.rqs[cpu.idx()].ext.flags.remove(RqFlags::IN_WAKEUP);
        if enq_flags & SCX_ENQ_CPU_SELECTED != 0 && self.tasks[p].ext.selected_cpu != cpu.0 as i32 {
            self.ext.add_event(EventId::SelectCpuFallback, 1);
        }
    }

    /// `scx_do_enqueue_task`: first match wins (semantics §4.3).
    pub(crate) fn scx_do_enqueue_task(
        &mut self,
        cpu: CpuId,
        p: TaskId,
        mut enq_flags: u64,
        sticky: Option<CpuId>,
    ) {
        self.probe(Probe::DoEnqueue { p, flags: enq_flags, sticky });
        let local = self.ext.dsqs.local(cpu);
        if sticky == Some(cpu) {
            return self.scx_dispatch_enqueue(cpu, local, p, 0, 0, enq_flags);
        }
        self.clear_scx_flags(p, SCX_TASK_IMMED);
        if enq_flags & SCX_ENQ_REENQ != 0 && !self.count_reenq(cpu, p) {
            return;
        }
        let dsq = if !self.scx_rq_online(cpu) {
            local
        } else if self.scx_bypassing(cpu) {
            self.ext.add_event(EventId::BypassDispatch, 1);
            self.ext.dsqs.bypass(self.tasks[p].cpu)
        } else if self.tasks[p].ext.ddsp.dsq_id != DsqId::INVALID {
            return self.direct_dispatch(p, enq_flags);
        } else if self.ext.flags & SCX_OPS_ENQ_EXITING == 0 && self.pf_exiting(p) {
            self.ext.add_event(EventId::EnqSkipExiting, 1);
            enq_flags |= SCX_ENQ_RESCUE;
            local
        } else if self.ext.flags & SCX_OPS_ENQ_MIGRATION_DISABLED == 0 && self.is_migration_disabled(p) {
            self.ext.add_event(EventId::EnqSkipMigrationDisabled, 1);
            local
        } else if self.ext.has(Op::Enqueue) {
            return self.enqueue_to_ops(cpu, p, enq_flags);
        } else {
            self.ext.dsqs.global(self.tasks[p].cpu)
        };
        self.refill_task_slice_dfl(p);
        self.clear_direct_dispatch(p);
        self.scx_dispatch_enqueue(cpu, dsq, p, 0, 0, enq_flags);
    }

    fn pf_exiting(&self, p: TaskId) -> bool {
        self.tasks[p].ts.flags().get(&*self.mem) & PF_EXITING != 0
    }

    /// Hands `p` to ops.enqueue, which may dispatch it directly.
    fn enqueue_to_ops(&mut self, cpu: CpuId, p: TaskId, enq_flags: u64) {
        let ent = &mut self.tasks[p].ext;
        ent.last_qseq = ent.last_qseq.checked_add(1).unwrap_or(1);
        ent.qseq = ent.last_qseq;
        ent.ops_state = OpsState::Queueing;
        self.with_ddsp_subject(p, |s| s.op_enqueue(cpu, p, enq_flags));
        if self.tasks[p].ext.ddsp.dsq_id != DsqId::INVALID {
            return self.direct_dispatch(p, enq_flags);
        }
        self.set_scx_flags(p, SCX_TASK_IN_CUSTODY);
        self.tasks[p].ext.ops_state = OpsState::Queued;
    }

    /// Runs `f` while this CPU may record a direct dispatch of `p`.
    pub(crate) fn with_ddsp_subject<R>(&mut self, p: TaskId, f: impl FnOnce(&mut Self) -> R) -> R {
        let this = self.this_cpu.idx();
        let outer = std::mem::replace(&mut self.rqs[this].ext.ddsp_subject, DdspSubject::Task(p));
        let r = f(self);
        self.rqs[this].ext.ddsp_subject = outer;
        r
    }

    /// `mark_direct_dispatch`: a kfunc wants `p` dispatched while `subject` is being enqueued.
    pub(crate) fn mark_direct_dispatch(&mut self, subject: DdspSubject, p: TaskId, v: Verdict) {
        self.rqs[self.this_cpu.idx()].ext.ddsp_subject = DdspSubject::Done;
        match subject {
            DdspSubject::Task(t) if t == p => self.set_direct_dispatch(p, v),
            DdspSubject::Task(t) => {
                let (a, b) = (self.task_name(t), self.task_name(p));
                self.scx_error(format!("scheduling for {a} but trying to direct-dispatch {b}"));
            }
            DdspSubject::Done | DdspSubject::Off => {
                let name = self.task_name(p);
                self.scx_error(format!("{name} already direct-dispatched"));
            }
        }
    }

    /// `direct_dispatch`: carries the recorded verdict out, or defers it when it names another CPU's local DSQ.
    fn direct_dispatch(&mut self, p: TaskId, enq_flags: u64) {
        let cpu = self.tasks[p].cpu;
        let mut v = self.tasks[p].ext.ddsp;
        let dsq = self.find_dsq_for_dispatch(cpu, v.dsq_id, cpu);
        v.enq_flags |= enq_flags;
        if self.ext.dsqs[dsq].is_local() && dsq != self.ext.dsqs.local(cpu) {
            self.set_direct_dispatch(p, v);
            let ent = &mut self.tasks[p].ext;
            ent.clear_opss();
            ent.deferred = true;
            self.rqs[cpu.idx()].ext.ddsp_deferred_locals.push(p);
            return self.schedule_deferred_locked(cpu);
        }
        self.clear_direct_dispatch(p);
        let enq_flags = v.enq_flags | SCX_ENQ_APPLY_SLICE | SCX_ENQ_CLEAR_OPSS;
        self.scx_dispatch_enqueue(cpu, dsq, p, v.slice, v.vtime, enq_flags);
    }

    /// `ops_dequeue`: takes the task back from whoever holds it.
    pub(crate) fn ops_dequeue(&mut self, cpu: CpuId, p: TaskId, deq_flags: u64) {
        self.clr_task_runnable(p, false);
        if self.tasks[p].ext.ops_state == OpsState::Queued {
            self.tasks[p].ext.clear_opss();
        }
        if self.task_leave_custody(p) {
            self.op_dequeue(cpu, p, deq_flags);
        }
    }

    /// `dequeue_task_scx`
    pub(super) fn do_dequeue_task_scx(&mut self, cpu: CpuId, p: TaskId, core_flags: u64) {
        let mut deq_flags = core_flags;
        if deq_flags & DEQUEUE_SLEEP == 0 {
            deq_flags |= SCX_DEQ_SCHED_CHANGE;
        }
        if !self.scx_queued(p) {
            return;
        }
        self.ops_dequeue(cpu, p, deq_flags);
        if self.rqs[cpu.idx()].curr == p && self.ext.has(Op::Stopping) {
            self.update_curr_scx(cpu);
            self.op_stopping(cpu, p, false);
        }
        if self.tasks[p].on_rq != OnRq::Migrating {
            self.op_quiescent(cpu, p, deq_flags);
        }
        if deq_flags & SCX_DEQ_SLEEP != 0 {
            self.set_scx_flags(p, SCX_TASK_DEQD_FOR_SLEEP);
        } else {
            self.clear_scx_flags(p, SCX_TASK_DEQD_FOR_SLEEP);
        }
        self.clear_scx_flags(p, SCX_TASK_QUEUED);
        self.scx_add_nr_running(cpu, -1);
        self.scx_dispatch_dequeue(cpu, p);
        self.clear_direct_dispatch(p);
    }

    /// `schedule_deferred_locked`: the transfers of this runqueue are done by `task_woken`, by the balance callback after a
    /// dispatch, or by an irq_work.
    pub(crate) fn schedule_deferred_locked(&mut self, cpu: CpuId) {
        let flags = &mut self.rqs[cpu.idx()].ext.flags;
        if flags.intersects(RqFlags::IN_WAKEUP | RqFlags::BAL_CB_PENDING) {
            return;
        }
        if flags.contains(RqFlags::IN_DISPATCH) {
            flags.insert(RqFlags::BAL_CB_PENDING);
        } else {
            self.queue_scx_irq_work(cpu);
        }
    }

    /// `run_deferred`: direct dispatches to other CPUs' local DSQs, then reenqueues.
    pub(crate) fn run_deferred(&mut self, cpu: CpuId) {
        while let Some(&p) = self.rqs[cpu.idx()].ext.ddsp_deferred_locals.first() {
            self.pause(Pause::Transfer(p));
            if self.rqs[cpu.idx()].ext.ddsp_deferred_locals.first() != Some(&p) {
                continue; // a dequeue on another CPU took it off the list
            }
            self.rqs[cpu.idx()].ext.ddsp_deferred_locals.remove(0);
            let v = self.tasks[p].ext.ddsp;
            self.tasks[p].ext.deferred = false;
            self.clear_direct_dispatch(p);
            let dsq = self.find_dsq_for_dispatch(cpu, v.dsq_id, self.tasks[p].cpu);
            self.dispatch_to_local_dsq(cpu, dsq, p, v);
        }
        self.process_deferred_reenqs(cpu);
    }

    /// `rq->scx.nr_running`
    fn scx_add_nr_running(&mut self, cpu: CpuId, by: i32) {
        let ext = &mut self.rqs[cpu.idx()].ext;
        ext.nr_running = ext.nr_running.checked_add_signed(by).expect("nr_running counts what is queued");
        let nr = ext.nr_running;
        self.rq_struct(cpu).scx().nr_running().set(&*self.mem, nr);
    }
}

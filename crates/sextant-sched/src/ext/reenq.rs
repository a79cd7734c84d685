//! Reenqueueing (7.3): tasks of a local or user DSQ go back to ops.enqueue, because SCX_ENQ_IMMED cannot be kept, or because the
//! scheduler asks (`scx_bpf_dsq_reenq`).
//!
//! SCX_ENQ_IMMED promises that a task on a local DSQ runs at once or comes back with SCX_ENQ_REENQ. The flag stays with the
//! task until its next fresh enqueue.
//!
//! ```text
//! insertion behind others, or while the CPU is not open ─┐
//! a higher class wakes up here                          ─┼─► requested ─► run_deferred ─► reenq_local
//! a dispatch ends with more than one task               ─┘
//! put with slice left ─► ops.enqueue at once
//! ```
//!
//! Left out: caps and rescue (sub-schedulers).

use sextant_abi::exit::ExitKind;
use sextant_abi::types::*;
use sextant_abi::{CpuId, DsqId};

use super::entity::DsqIdx;
use super::events::EventId;
use super::rq::RqFlags;
use crate::probe::Probe;
use crate::rq::StopWork;
use crate::sched::Sched;
use crate::task::{Class, TaskId};

impl Sched {
    /// `rq_is_open`: a task put on the local DSQ now would run at once.
    fn rq_is_open(&self, cpu: CpuId, enq_flags: u64) -> bool {
        let rq = &self.rqs[cpu.idx()];
        match rq.next_class {
            class if class < Class::Ext => false,
            class if class > Class::Ext => true,
            // Whether the running task goes on is seen at the end of the dispatch; a preemption makes room.
            _ => rq.ext.flags.contains(RqFlags::IN_DISPATCH) || enq_flags & SCX_ENQ_PREEMPT != 0,
        }
    }

    /// The part of `dsq_inc_nr` that is about SCX_ENQ_IMMED, after `p` was linked.
    pub(super) fn immed_inserted(&mut self, dsq: DsqIdx, p: TaskId, enq_flags: u64) {
        let Some(cpu) = self.ext.dsqs[dsq].cpu else { return };
        if enq_flags & SCX_ENQ_IMMED != 0 {
            self.set_scx_flags(p, SCX_TASK_IMMED);
        } else if self.scx_flags(p) & SCX_TASK_IMMED == 0 {
            return;
        }
        self.rqs[cpu.idx()].ext.nr_immed += 1;
        if self.ext.dsqs[dsq].nr > 1 || !self.rq_is_open(cpu, enq_flags) {
            self.schedule_reenq_local(cpu, 0);
        }
    }

    /// The part of `dsq_dec_nr` that is about SCX_ENQ_IMMED.
    pub(super) fn immed_removed(&mut self, dsq: DsqIdx, p: TaskId) {
        if let Some(cpu) = self.ext.dsqs[dsq].cpu
            && self.scx_flags(p) & SCX_TASK_IMMED != 0
        {
            let nr = &mut self.rqs[cpu.idx()].ext.nr_immed;
            *nr = nr.saturating_sub(1);
        }
    }

    /// At the end of a dispatch that found something: IMMED tasks behind others go back.
    pub(super) fn reenq_after_dispatch(&mut self, cpu: CpuId) {
        if self.rqs[cpu.idx()].ext.nr_immed != 0 && self.local_nr(cpu) > 1 {
            self.schedule_reenq_local(cpu, 0);
        }
    }

    /// `wakeup_preempt_scx`: a task of a higher class takes the CPU, so IMMED tasks cannot have it.
    pub(super) fn do_wakeup_preempt_scx(&mut self, cpu: CpuId, p: TaskId) {
        if self.tasks[p].class != Class::Ext && self.rqs[cpu.idx()].ext.nr_immed != 0 {
            self.schedule_reenq_local(cpu, 0);
        }
    }

    /// `scx_schedule_reenq_local`, with the runqueue held.
    pub(super) fn schedule_reenq_local(&mut self, cpu: CpuId, flags: u64) {
        self.schedule_dsq_reenq(self.ext.dsqs.local(cpu), flags, Some(cpu));
    }

    /// `schedule_dsq_reenq`: done by `run_deferred` of the local DSQ's CPU, of the executing CPU for a user DSQ.
    pub(super) fn schedule_dsq_reenq(&mut self, dsq: DsqIdx, flags: u64, locked: Option<CpuId>) {
        let d = &self.ext.dsqs[dsq];
        let (id, local) = (d.id, d.cpu);
        self.probe(Probe::Reenq(id.0, flags));
        if self.ext.bypass_depth != 0 || local.is_some_and(|cpu| !self.cpu_online(cpu)) {
            return;
        }
        let cpu = local.unwrap_or(self.this_cpu);
        let rq = &mut self.rqs[cpu.idx()].ext;
        if local.is_some() {
            rq.reenq_local = Some(rq.reenq_local.unwrap_or(0) | flags);
        } else if id.is_builtin() {
            return self.scx_error(format!("DSQ {:#x} not allowed for reenq", id.0));
        } else {
            match rq.reenq_users.iter_mut().find(|(known, _)| *known == id) {
                Some((_, pending)) => *pending |= flags,
                None => rq.reenq_users.push((id, flags)),
            }
        }
        if locked == Some(cpu) { self.schedule_deferred_locked(cpu) } else { self.queue_scx_irq_work(cpu) }
    }

    /// The reenqueues that `run_deferred` has to do.
    pub(super) fn process_deferred_reenqs(&mut self, cpu: CpuId) {
        while let Some(flags) = self.rqs[cpu.idx()].ext.reenq_local.take() {
            self.reenq_local(cpu, flags);
        }
        while !self.rqs[cpu.idx()].ext.reenq_users.is_empty() {
            let (id, flags) = self.rqs[cpu.idx()].ext.reenq_users.remove(0);
            if let Some(dsq) = self.ext.dsqs.find_user(id) {
                self.reenq_user(dsq, flags);
            }
        }
    }

    /// `reenq_local`: all candidates leave the DSQ first, since the scheduler may put them back on it; how many there were.
    pub(super) fn reenq_local(&mut self, cpu: CpuId, flags: u64) -> u32 {
        let open = self.rq_is_open(cpu, 0);
        let local = self.ext.dsqs.local(cpu);
        let mut tasks = Vec::new();
        let mut first = true;
        let mut at = self.dsq_first(local);
        while let Some(p) = at {
            at = self.dsq_next(p);
            if self.rqs[cpu.idx()].stop_works.contains(&StopWork::Migrate(p)) {
                continue; // migration/N is about to move it
            }
            let runs_now = std::mem::take(&mut first) && open;
            let reason = if self.scx_flags(p) & SCX_TASK_IMMED != 0 && !runs_now {
                self.ext.add_event(EventId::ReenqImmed, 1);
                SCX_TASK_REENQ_IMMED
            } else if flags & SCX_REENQ_ANY != 0 {
                SCX_TASK_REENQ_KFUNC
            } else {
                continue;
            };
            self.scx_dispatch_dequeue(cpu, p);
            tasks.push((p, reason));
        }
        for &(p, reason) in &tasks {
            self.reenq_task(cpu, p, reason);
        }
        tasks.len() as u32
    }

    /// `reenq_user`: every task that was there when it started, unless bypass begins meanwhile.
    fn reenq_user(&mut self, dsq: DsqIdx, flags: u64) {
        if flags & SCX_REENQ_ANY == 0 {
            return;
        }
        let mut tasks = Vec::new();
        let mut at = self.dsq_first(dsq);
        while let Some(p) = at {
            tasks.push((p, self.tasks[p].ext.dsq_seq));
            at = self.dsq_next(p);
        }
        for (p, seq) in tasks {
            let ent = &self.tasks[p].ext;
            if self.ext.bypass_depth == 0 && ent.dsq == dsq && ent.dsq_seq == seq {
                self.task_unlink_from_dsq(p);
                self.reenq_task(self.tasks[p].cpu, p, SCX_TASK_REENQ_KFUNC);
            }
        }
    }

    /// Hands a task that is on no DSQ to ops.enqueue again; `reason` can be read from its flags meanwhile.
    pub(super) fn reenq_task(&mut self, cpu: CpuId, p: TaskId, reason: u32) {
        self.clear_scx_flags(p, SCX_TASK_REENQ_REASON_MASK);
        self.set_scx_flags(p, reason);
        self.scx_do_enqueue_task(cpu, p, SCX_ENQ_REENQ, None);
        self.clear_scx_flags(p, SCX_TASK_REENQ_REASON_MASK);
    }

    /// Counts a reenqueue; false when there were too many without the task having run: it is left where it is, on no DSQ, for
    /// bypass to pick up.
    pub(super) fn count_reenq(&mut self, cpu: CpuId, p: TaskId) -> bool {
        let ent = &mut self.tasks[p].ext;
        ent.reenq_cnt += 1;
        let count = ent.reenq_cnt;
        if count > 1 {
            self.ext.add_event(EventId::ReenqRepeat, 1);
        }
        if count > SCX_REENQ_MAX_REPEAT {
            let msg = format!("{} reenqueued {count} times without running", self.task_name(p));
            self.scx_exit(ExitKind::ErrorReenq, 0, cpu.0 as i32, msg);
            return false;
        }
        true
    }

    /// `scx_bpf_dsq_reenq`: all tasks of a local or user DSQ are enqueued again, later. `flags`: 0 or SCX_REENQ_ANY.
    pub fn kf_scx_bpf_dsq_reenq(&mut self, dsq: DsqId, flags: u64) {
        if !self.has_sched() {
            return;
        }
        if flags & !__SCX_REENQ_USER_MASK != 0 {
            return self.scx_error(format!("invalid SCX_REENQ flags {flags:#x}"));
        }
        let locked = self.ext.ctx.locked_rq;
        let this = self.this_cpu;
        let idx = self.find_dsq_for_dispatch(locked.unwrap_or(this), dsq, this);
        self.schedule_dsq_reenq(idx, flags | SCX_REENQ_ANY, locked);
    }
}

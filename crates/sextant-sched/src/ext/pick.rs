//! What runs: pick, put_prev and set_next, charging of slices, tick, yield.

use sextant_abi::CpuId;
use sextant_abi::types::*;

use super::dispatch::DspVerdict;
use super::rq::RqFlags;
use crate::deadline::Server;
use crate::ops::Op;
use crate::probe::Probe;
use crate::sched::Sched;
use crate::task::{Class, TaskId};

impl Sched {
    /// `ext_server_pick_task`: whatever classes above want. When it finds nothing the core goes on picking, and what waits for the end of
    /// the pick is done from irq_work.
    pub(crate) fn ext_server_pick_task(&mut self, cpu: CpuId, prev: TaskId) -> Option<TaskId> {
        if !self.ext.enabled {
            return None;
        }
        let p = self.dispatch_and_pick(cpu, prev);
        if p.is_some() {
            self.queue_scx_balance(cpu);
        } else if self.rqs[cpu.idx()].ext.flags.contains(RqFlags::BAL_CB_PENDING) {
            self.rqs[cpu.idx()].ext.flags.remove(RqFlags::BAL_CB_PENDING);
            self.queue_scx_irq_work(cpu);
        }
        p
    }

    /// `do_pick_task_scx`: dispatches, then prev or the head of the local DSQ.
    pub(super) fn do_pick_task_scx(&mut self, cpu: CpuId, prev: TaskId) -> Option<TaskId> {
        let p = self.dispatch_and_pick(cpu, prev);
        self.queue_scx_balance(cpu);
        p
    }

    fn dispatch_and_pick(&mut self, cpu: CpuId, prev: TaskId) -> Option<TaskId> {
        self.rqs[cpu.idx()].ext.kick_sync += 1;
        self.cpu_acquire(cpu);
        let verdict = self.dispatch_one(cpu, prev);
        self.picked(cpu, prev, verdict)
    }

    /// `maybe_queue_balance_callback`, and the wait of a KICK_WAIT.
    fn queue_scx_balance(&mut self, cpu: CpuId) {
        let rq = &self.rqs[cpu.idx()].ext;
        if rq.flags.contains(RqFlags::BAL_CB_PENDING) || rq.kick_sync_pending {
            self.queue_balance_callback(cpu);
        }
    }

    fn picked(&mut self, cpu: CpuId, prev: TaskId, verdict: DspVerdict) -> Option<TaskId> {
        let p = match verdict {
            DspVerdict::Prev => prev,
            _ => self.dsq_first(self.ext.dsqs.local(cpu))?,
        };
        if self.slice(p) == 0 {
            self.refill_task_slice_dfl(p);
        }
        Some(p)
    }

    /// ops.cpu_acquire is owed since a cpu_release.
    fn cpu_acquire(&mut self, cpu: CpuId) {
        if self.ext.flags & SCX_OPS_HAS_CPU_PREEMPT != 0
            && std::mem::take(&mut self.rqs[cpu.idx()].ext.cpu_released)
            && self.ext.has(Op::CpuAcquire)
        {
            self.op_cpu_acquire(cpu);
        }
    }

    /// `put_prev_task_scx`
    pub(super) fn do_put_prev_task_scx(&mut self, cpu: CpuId, p: TaskId, next: Option<TaskId>) {
        self.rqs[cpu.idx()].ext.kick_sync += 1;
        self.update_curr_scx(cpu);
        if self.scx_queued(p) {
            self.op_stopping(cpu, p, true);
            self.put_prev_queued(cpu, p, next);
        }
        if let Some(next) = next
            && self.tasks[next].class != Class::Ext
        {
            self.switch_class(cpu, next);
        }
    }

    /// A runnable task is put: with slice left back to the head of the local DSQ (to ops.enqueue if it is IMMED), else enqueued
    /// anew.
    fn put_prev_queued(&mut self, cpu: CpuId, p: TaskId, next: Option<TaskId>) {
        self.set_task_runnable(cpu, p);
        let local = self.ext.dsqs.local(cpu);
        if self.slice(p) != 0 && !self.scx_bypassing(cpu) {
            if self.scx_flags(p) & SCX_TASK_IMMED != 0 {
                return self.reenq_task(cpu, p, SCX_TASK_REENQ_PREEMPTED);
            }
            return self.scx_dispatch_enqueue(cpu, local, p, 0, 0, SCX_ENQ_HEAD);
        }
        match next {
            Some(next) if self.tasks[next].class > Class::Ext => {
                self.scx_do_enqueue_task(cpu, p, SCX_ENQ_LAST, None);
                if self.tasks[p].ext.dsq == local {
                    // The core clears need_resched right after the pick: ask again behind it.
                    self.rqs[cpu.idx()].ext.flags.insert(RqFlags::RESCHED_NEXT);
                    self.queue_balance_callback(cpu);
                }
            }
            _ => self.scx_do_enqueue_task(cpu, p, 0, None),
        }
    }

    /// `switch_class`: a class above ext takes the CPU; ops.cpu_release, once.
    fn switch_class(&mut self, cpu: CpuId, next: TaskId) {
        let class = self.tasks[next].class;
        if self.ext.flags & SCX_OPS_HAS_CPU_PREEMPT == 0 || class > Class::Ext {
            return;
        }
        if std::mem::replace(&mut self.rqs[cpu.idx()].ext.cpu_released, true) {
            return;
        }
        let reason = match class {
            Class::Stop => SCX_CPU_PREEMPT_STOP,
            Class::Rt => SCX_CPU_PREEMPT_RT,
            _ => SCX_CPU_PREEMPT_UNKNOWN,
        };
        if self.ext.has(Op::CpuRelease) {
            self.op_cpu_release(cpu, reason, next);
        }
    }

    /// `set_next_task_scx`
    pub(super) fn do_set_next_task_scx(&mut self, cpu: CpuId, p: TaskId) {
        let queued = self.scx_queued(p);
        if queued {
            self.ops_dequeue(cpu, p, SCX_DEQ_CORE_SCHED_EXEC);
            self.scx_dispatch_dequeue(cpu, p);
        }
        self.start_exec(cpu, p);
        if queued {
            self.op_running(cpu, p);
        }
        self.clr_task_runnable(p, true);
        self.apply_task_slice_oob(p);
        let infinite = self.slice(p) == SCX_SLICE_INF;
        self.rqs[cpu.idx()].ext.flags.set(RqFlags::CAN_STOP_TICK, infinite);
    }

    /// `update_curr_scx`: charges the running task's time to its slice.
    pub(crate) fn update_curr_scx(&mut self, cpu: CpuId) {
        let curr = self.rqs[cpu.idx()].curr;
        self.apply_task_slice_oob(curr);
        let delta = self.update_curr_common(cpu);
        let mut slice = self.slice(curr);
        if delta != 0 && slice != SCX_SLICE_INF {
            slice = slice.saturating_sub(delta);
            self.scx(curr).slice().set(&*self.mem, slice);
        }
        self.dl_server_update(cpu, Server::Ext, delta);
        self.probe(Probe::Charge { p: curr, slice });
    }

    /// `task_tick_scx`
    pub(super) fn do_task_tick_scx(&mut self, cpu: CpuId, p: TaskId) {
        self.update_curr_scx(cpu);
        if self.scx_bypassing(cpu) {
            self.set_task_slice(p, 0);
        } else if self.ext.has(Op::Tick) {
            self.op_tick(cpu, p);
        }
        if self.slice(p) == 0 {
            self.resched_curr(cpu);
        }
    }

    /// `yield_task_scx`
    pub(super) fn do_yield_task_scx(&mut self, cpu: CpuId) {
        let p = self.rqs[cpu.idx()].curr;
        if self.ext.has(Op::Yield) {
            self.op_yield(cpu, p, None);
        } else {
            self.set_task_slice(p, 0);
        }
    }

    /// `yield_to_task_scx`
    pub(super) fn do_yield_to_task_scx(&mut self, cpu: CpuId, to: TaskId) -> bool {
        let from = self.rqs[cpu.idx()].curr;
        self.ext.has(Op::Yield) && self.op_yield(cpu, from, Some(to))
    }
}

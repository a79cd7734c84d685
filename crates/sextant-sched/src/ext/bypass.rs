//! Bypass: the scheduler's decisions are not asked for, tasks run first in first out per CPU with short slices.
//! On while a scheduler is enabled or disabled, and while the system sleeps.

use sextant_abi::CpuId;
use sextant_abi::types::*;

use super::events::EventId;
use super::list::NodeId;
use super::rq::RqFlags;
use crate::core::flags::*;
use crate::event::Event;
use crate::sched::Sched;
use crate::task::TaskId;

impl Sched {
    /// `scx_bypassing`: on this CPU.
    pub(crate) fn scx_bypassing(&self, cpu: CpuId) -> bool {
        self.rqs[cpu.idx()].ext.flags.contains(RqFlags::BYPASSING)
    }

    /// `scx_bypass`: enters or leaves, nesting.
    pub(crate) fn scx_bypass(&mut self, bypass: bool) {
        if !self.change_bypass_depth(bypass) {
            return;
        }
        self.emit(Event::Bypass { on: bypass });
        for cpu in (0..self.cfg.nr_cpus).map(CpuId) {
            let flags = &mut self.rqs[cpu.idx()].ext.flags;
            if !bypass && flags.contains(RqFlags::BYPASSING) {
                flags.insert(RqFlags::ROOT_IDLE_RENOTIFY);
            }
            flags.set(RqFlags::BYPASSING, bypass);
            if self.ext.enabled {
                self.cycle_runnable(cpu);
                if self.cpu_online(cpu) || cpu == self.this_cpu {
                    self.resched_curr(cpu);
                }
            }
        }
    }

    /// `scx_pm_handler`: the system is about to sleep (`true`) or has woken up.
    pub fn scx_pm(&mut self, sleeps: bool) {
        if self.ext.ops.is_some() && (sleeps || self.ext.bypass_depth > 0) {
            self.scx_bypass(sleeps);
        }
    }

    /// Whether that made the difference.
    fn change_bypass_depth(&mut self, bypass: bool) -> bool {
        if bypass {
            self.ext.bypass_depth += 1;
            if self.ext.bypass_depth != 1 {
                return false;
            }
            self.ext.slice_dfl = self.ext.slice_bypass;
            self.ext.bypass_timestamp = self.now;
            self.ext.add_event(EventId::BypassActivate, 1);
            self.start_bypass_lb();
        } else {
            self.ext.bypass_depth -= 1;
            if self.ext.bypass_depth != 0 {
                return false;
            }
            self.ext.slice_dfl = SCX_SLICE_DFL;
            let spent = self.now.since(self.ext.bypass_timestamp).0;
            self.ext.add_event(EventId::BypassDuration, spent as i64);
        }
        true
    }

    /// Runnable ext tasks of a runqueue, last first.
    pub(crate) fn runnable_tasks_reverse(&self, cpu: CpuId) -> Vec<TaskId> {
        let mut tasks = Vec::new();
        let mut at: NodeId = self.rqs[cpu.idx()].ext.runnable.last;
        while !at.is_nil() {
            tasks.push(TaskId(at.0));
            at = self.tasks[TaskId(at.0)].ext.runnable.prev;
        }
        tasks
    }

    /// Takes every waiting task of a runqueue through dequeue and enqueue, last first, so that it ends where it belongs now.
    fn cycle_runnable(&mut self, cpu: CpuId) {
        for p in self.runnable_tasks_reverse(cpu) {
            let ctx = self.sched_change_begin(p, DEQUEUE_SAVE | DEQUEUE_MOVE);
            self.sched_change_end(ctx);
        }
    }
}

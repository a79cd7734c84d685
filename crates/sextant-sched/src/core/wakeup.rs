//! Wakeups and preemption by them. Mirrors try_to_wake_up(), select_task_rq(), ttwu_do_activate(), wakeup_preempt().

use sextant_abi::{CpuId, CpuMaskBits};

use super::flags::*;
use crate::event::Event;
use crate::sched::Sched;
use crate::task::{Class, OnRq, TaskId};

impl Sched {
    /// `try_to_wake_up(p, TASK_NORMAL, wake_flags)`: whether it was asleep.
    ///
    /// DIVERGES: an entry is atomic, so a task is never seen between `on_rq = 0` and its last switch, and the wakelist (an
    /// IPI that makes the target CPU do the enqueue) is left out.
    pub fn try_to_wake_up(&mut self, p: TaskId, wake_flags: u64) -> bool {
        let mut wake_flags = wake_flags | WF_TTWU;
        let ts = self.tasks[p].ts;
        if ts.__state().get(&*self.mem) & TASK_INTERRUPTIBLE == 0 || self.tasks[p].dead {
            return false;
        }
        ts.__state().set(&*self.mem, TASK_RUNNING);
        if self.tasks[p].on_rq != OnRq::No {
            return true; // about to block: it keeps running
        }
        let cpu = self.select_task_rq(p, &mut wake_flags);
        if self.tasks[p].cpu != cpu {
            wake_flags |= WF_MIGRATED;
            self.set_task_cpu(p, cpu);
        }
        self.ttwu_do_activate(cpu, p, wake_flags);
        true
    }

    fn ttwu_do_activate(&mut self, cpu: CpuId, p: TaskId, wake_flags: u64) {
        let mut en_flags = ENQUEUE_WAKEUP | ENQUEUE_NOCLOCK;
        if wake_flags & WF_RQ_SELECTED != 0 {
            en_flags |= ENQUEUE_RQ_SELECTED;
        }
        if wake_flags & WF_MIGRATED != 0 {
            en_flags |= ENQUEUE_MIGRATED;
        }
        self.update_rq_clock(cpu);
        self.emit(Event::Wakeup { p, cpu });
        self.activate_task(cpu, p, en_flags);
        self.wakeup_preempt(cpu, p, wake_flags);
        self.task_woken(cpu, p);
    }

    /// `task_woken` of the class.
    pub(super) fn task_woken(&mut self, cpu: CpuId, p: TaskId) {
        match self.tasks[p].class {
            Class::Ext => self.task_woken_scx(cpu),
            Class::Rt => self.task_woken_rt(cpu, p),
            _ => {}
        }
    }

    /// `select_task_rq`: asks the class if there is a choice; the result is always a CPU the task may use.
    pub(crate) fn select_task_rq(&mut self, p: TaskId, wake_flags: &mut u64) -> CpuId {
        let prev = self.tasks[p].cpu;
        let nr_allowed = self.tasks[p].ts.nr_cpus_allowed().get(&*self.mem);
        let cpu = if nr_allowed > 1 && !self.is_migration_disabled(p) {
            let cpu = match self.tasks[p].class {
                Class::Fair => self.select_task_rq_fair(p, prev, *wake_flags),
                Class::Ext => self.select_task_rq_scx(p, prev, *wake_flags),
                Class::Rt => self.select_task_rq_rt(p, prev, *wake_flags),
                Class::Stop | Class::Idle => prev,
            };
            *wake_flags |= WF_RQ_SELECTED;
            cpu
        } else {
            self.first_allowed(p).unwrap_or(prev)
        };
        if self.is_cpu_allowed(p, cpu) { cpu } else { self.select_fallback_rq(p) }
    }

    /// `is_cpu_allowed`: by the affinity, and not on its way offline unless the task belongs there.
    pub(crate) fn is_cpu_allowed(&self, p: TaskId, cpu: CpuId) -> bool {
        self.cpus_allowed(p, cpu)
            && (self.cpu_active(cpu)
                || self.cpu_online(cpu) && (self.is_migration_disabled(p) || self.kthread_is_per_cpu(p)))
    }

    /// `select_fallback_rq`: the first CPU the task may use. When all of them are gone its affinity is widened to every CPU.
    pub(crate) fn select_fallback_rq(&mut self, p: TaskId) -> CpuId {
        let nr = self.cfg.nr_cpus;
        let all = || (0..nr).map(CpuId);
        if let Some(cpu) = all().find(|&cpu| self.is_cpu_allowed(p, cpu)) {
            return cpu;
        }
        self.do_set_cpus_allowed(p, &CpuMaskBits::first_n(nr));
        all().find(|&cpu| self.cpu_active(cpu)).unwrap_or(CpuId(0))
    }

    fn first_allowed(&self, p: TaskId) -> Option<CpuId> {
        let nr = self.cfg.nr_cpus;
        let first = self.tasks[p].ts.cpus(&*self.mem).first(&*self.mem, nr);
        (first < nr).then_some(CpuId(first))
    }

    /// `wakeup_preempt`: `p` was queued on `cpu`; reschedules if it should run before what is there.
    pub fn wakeup_preempt(&mut self, cpu: CpuId, p: TaskId, wake_flags: u64) {
        let class = self.tasks[p].class;
        let next_class = self.rqs[cpu.idx()].next_class;
        if class > next_class {
            return; // `Class` is ordered highest first
        }
        match next_class {
            Class::Fair if class == Class::Fair => self.wakeup_preempt_fair(cpu, p, wake_flags),
            Class::Rt => self.wakeup_preempt_rt(cpu, p),
            Class::Ext => self.wakeup_preempt_scx(cpu, p, wake_flags),
            _ => {}
        }
        if class < next_class {
            self.resched_curr(cpu);
            self.rqs[cpu.idx()].next_class = class;
        }
    }
}

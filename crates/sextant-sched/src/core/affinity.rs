//! Affinity: the mask, and getting a task off a CPU it may no longer use. Mirrors __set_cpus_allowed_ptr(),
//! affine_move_task() and migration_cpu_stop().

use sextant_abi::types::Cpumask;
use sextant_abi::{CpuId, CpuMaskBits};

use super::flags::*;
use crate::rq::StopWork;
use crate::sched::Sched;
use crate::task::{Class, TaskId};

impl Sched {
    /// `sched_setaffinity`: CPUs that do not exist are ignored; -EINVAL if none is left or the task may not be moved.
    pub fn set_cpus_allowed(&mut self, p: TaskId, mask: &CpuMaskBits) -> Result<(), i32> {
        let mask = mask.and(&CpuMaskBits::first_n(self.cfg.nr_cpus));
        let ts = self.tasks[p].ts;
        if mask.is_empty() || ts.flags().get(&*self.mem) & PF_NO_SETAFFINITY != 0 || self.tasks[p].dead {
            return Err(EINVAL);
        }
        let cpus_mask = Cpumask::at(ts.cpus_mask().addr());
        if cpus_mask.load(&*self.mem, self.cfg.nr_cpus) == mask {
            return Ok(());
        }
        if !mask.iter().any(|cpu| self.cpu_active(cpu)) {
            return Err(EINVAL);
        }
        self.do_set_cpus_allowed(p, &mask);
        self.affine_move_task(p);
        Ok(())
    }

    /// `__do_set_cpus_allowed`
    pub(super) fn do_set_cpus_allowed(&mut self, p: TaskId, mask: &CpuMaskBits) {
        let ts = self.tasks[p].ts;
        let ctx = self.sched_change_begin(p, DEQUEUE_SAVE);
        Cpumask::at(ts.cpus_mask().addr()).store(&*self.mem, mask);
        ts.nr_cpus_allowed().set(&*self.mem, mask.weight() as i32);
        if self.tasks[p].class == Class::Ext {
            self.set_cpus_allowed_scx(p);
        }
        self.sched_change_end(ctx);
    }

    /// Moves the task if its CPU is no longer allowed: at once when it waits, by migration/N when it runs, at its next
    /// wakeup when it sleeps.
    fn affine_move_task(&mut self, p: TaskId) {
        let cpu = self.tasks[p].cpu;
        if self.cpus_allowed(p, cpu) {
            return;
        }
        if self.task_current(p) {
            self.queue_stop_work(cpu, StopWork::Migrate(p));
        } else if self.task_on_rq_queued(p) {
            let dest = self.select_fallback_rq(p);
            self.move_queued_task(p, dest);
        }
    }

    /// What migration/N does when it runs on `cpu`: its works, then it sleeps again. The machine calls it when the running
    /// task of `cpu` is in the stop class.
    pub fn stopper_thread(&mut self, cpu: CpuId) {
        let mut works = std::mem::take(&mut self.rqs[cpu.idx()].stop_works);
        for work in works.drain(..) {
            match work {
                StopWork::Migrate(p) => self.migration_cpu_stop(cpu, p),
                StopWork::Push(p) => self.push_cpu_stop(cpu, p),
            }
        }
        self.rqs[cpu.idx()].stop_works = works;
        self.block_current(cpu);
    }

    /// `stop_one_cpu_nowait`
    pub(super) fn queue_stop_work(&mut self, cpu: CpuId, work: StopWork) {
        self.rqs[cpu.idx()].stop_works.push(work);
        if let Some(stop) = self.rqs[cpu.idx()].stop {
            self.try_to_wake_up(stop, 0);
        }
    }

    fn push_cpu_stop(&mut self, cpu: CpuId, p: TaskId) {
        if self.tasks[p].cpu == cpu && self.task_on_rq_queued(p) {
            let dest = self.select_fallback_rq(p);
            if dest != cpu {
                self.move_queued_task(p, dest);
            }
        }
    }

    fn migration_cpu_stop(&mut self, cpu: CpuId, p: TaskId) {
        if self.tasks[p].cpu != cpu || self.cpus_allowed(p, cpu) || !self.task_on_rq_queued(p) {
            return; // it has left meanwhile, or may be here again
        }
        let dest = self.select_fallback_rq(p);
        self.move_queued_task(p, dest);
    }
}

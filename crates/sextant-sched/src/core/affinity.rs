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
        let ctx = self.sched_change_begin(p, DEQUEUE_SAVE);
        cpus_mask.store(&*self.mem, &mask);
        ts.nr_cpus_allowed().set(&*self.mem, mask.weight() as i32);
        if self.tasks[p].class == Class::Ext {
            self.set_cpus_allowed_scx(p);
        }
        self.sched_change_end(ctx);
        self.affine_move_task(p);
        Ok(())
    }

    /// Moves the task if its CPU is no longer allowed: at once when it waits, by migration/N when it runs, at its next
    /// wakeup when it sleeps.
    fn affine_move_task(&mut self, p: TaskId) {
        let cpu = self.tasks[p].cpu;
        if self.cpus_allowed(p, cpu) {
            return;
        }
        if self.task_current(p) {
            self.rqs[cpu.idx()].stop_works.push(StopWork::Migrate(p));
            if let Some(stop) = self.rqs[cpu.idx()].stop {
                self.try_to_wake_up(stop, 0);
            }
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
            let StopWork::Migrate(p) = work;
            self.migration_cpu_stop(cpu, p);
        }
        self.rqs[cpu.idx()].stop_works = works;
        self.block_current(cpu);
    }

    fn migration_cpu_stop(&mut self, cpu: CpuId, p: TaskId) {
        if self.tasks[p].cpu != cpu || self.cpus_allowed(p, cpu) || !self.task_on_rq_queued(p) {
            return; // it has left meanwhile, or may be here again
        }
        let dest = self.select_fallback_rq(p);
        self.move_queued_task(p, dest);
    }
}

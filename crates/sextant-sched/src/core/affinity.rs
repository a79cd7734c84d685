//! Affinity: the mask, and getting a task off a CPU it may no longer use. Mirrors __set_cpus_allowed_ptr(),
//! affine_move_task(), migration_cpu_stop() and migrate_disable().

use sextant_abi::types::{Cpumask, TaskStruct};
use sextant_abi::{CpuId, CpuMaskBits, Mem, ObjKind};

use super::flags::*;
use crate::rq::StopWork;
use crate::sched::Sched;
use crate::task::{Class, TaskId};

impl Sched {
    /// `sched_setaffinity`: CPUs that do not exist are ignored; -EINVAL if none is left that is active or the task may not be moved.
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
        let stays = self.is_migration_disabled(p);
        // Kernel threads, and tasks that may not migrate, can be on a CPU that is on its way offline.
        let online = stays || ts.flags().get(&*self.mem) & PF_KTHREAD != 0;
        let valid = |cpu| if online { self.cpu_online(cpu) } else { self.cpu_active(cpu) };
        if !mask.iter().any(valid) {
            return Err(EINVAL);
        }
        self.do_set_cpus_allowed(p, &mask);
        self.affine_move_task(p);
        Ok(())
    }

    /// `__do_set_cpus_allowed`: a new configured mask. While migrate_disable has narrowed the effective one, that one stays.
    pub(super) fn do_set_cpus_allowed(&mut self, p: TaskId, mask: &CpuMaskBits) {
        self.change_cpus(p, |s, ts| {
            Cpumask::at(ts.cpus_mask().addr()).store(&*s.mem, mask);
            ts.nr_cpus_allowed().set(&*s.mem, mask.weight() as i32);
        });
    }

    fn change_cpus(&mut self, p: TaskId, change: impl FnOnce(&Self, TaskStruct)) {
        let ctx = self.sched_change_begin(p, DEQUEUE_SAVE);
        change(self, self.tasks[p].ts);
        if self.tasks[p].class == Class::Ext {
            self.set_cpus_allowed_scx(p);
        }
        self.sched_change_end(ctx);
    }

    /// `migrate_disable` by the task itself, which runs: it stays on this CPU until as many `migrate_enable`.
    pub fn migrate_disable(&mut self, p: TaskId) {
        self.count_migration_disabled(p, 1);
    }

    /// `migrate_enable` by the task itself, which runs. If it was narrowed meanwhile, the effective mask is the configured one
    /// again, and a move that waited for that happens.
    pub fn migrate_enable(&mut self, p: TaskId) {
        if self.tasks[p].migration_disabled == 1 {
            let cpus_mask = self.tasks[p].ts.cpus_mask().addr();
            let narrowed = self.tasks[p].ts.cpus_ptr().get(&*self.mem) != cpus_mask;
            if narrowed {
                self.change_cpus(p, |s, ts| ts.cpus_ptr().set(&*s.mem, cpus_mask));
            }
            self.count_migration_disabled(p, -1);
            if narrowed {
                self.affine_move_task(p);
            }
        } else if self.tasks[p].migration_disabled > 1 {
            self.count_migration_disabled(p, -1);
        }
    }

    fn count_migration_disabled(&mut self, p: TaskId, by: i16) {
        let t = &mut self.tasks[p];
        t.migration_disabled = t.migration_disabled.saturating_add_signed(by);
        let visible = t.ts.migration_disabled();
        visible.set(&*self.mem, visible.get(&*self.mem).wrapping_add_signed(by));
    }

    /// `migrate_disable_switch`, at the top of `__schedule`: the task that may leave the CPU is narrowed to it.
    pub(super) fn migrate_disable_switch(&mut self, cpu: CpuId, p: TaskId) {
        let ts = self.tasks[p].ts;
        if self.tasks[p].migration_disabled == 0 || ts.cpus_ptr().get(&*self.mem) != ts.cpus_mask().addr() {
            return;
        }
        let mask = self.cpumask_of(cpu);
        self.change_cpus(p, |s, ts| ts.cpus_ptr().set(&*s.mem, mask.addr()));
    }

    /// `cpumask_of`: the constant mask of one CPU.
    fn cpumask_of(&mut self, cpu: CpuId) -> Cpumask {
        let (nr, mem) = (self.cfg.nr_cpus, self.mem.clone());
        *self.rqs[cpu.idx()].cpumask_of.get_or_insert_with(|| {
            let mask = Cpumask::at(mem.alloc(ObjKind::Kernel, Cpumask::SIZE));
            debug_assert!(cpu.0 < nr);
            mask.set_cpu(&*mem, cpu.0);
            mask
        })
    }

    /// Moves the task if its CPU is no longer allowed: at once when it waits, by migration/N when it runs, at its next
    /// wakeup when it sleeps.
    fn affine_move_task(&mut self, p: TaskId) {
        let cpu = self.tasks[p].cpu;
        if self.cpus_mask_has(p, cpu) || self.is_migration_disabled(p) {
            return; // or at migrate_enable
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
            let (StopWork::Migrate(p) | StopWork::Push(p)) = work;
            match work {
                StopWork::Migrate(p) => self.migration_cpu_stop(cpu, p),
                StopWork::Push(p) => self.push_cpu_stop(cpu, p),
            }
            self.put_task_struct(p);
        }
        self.rqs[cpu.idx()].stop_works = works;
        self.block_current(cpu);
    }

    /// `stop_one_cpu_nowait`. The work holds a reference: the task may exit before migration/N comes.
    pub(super) fn queue_stop_work(&mut self, cpu: CpuId, work: StopWork) {
        let (StopWork::Migrate(p) | StopWork::Push(p)) = work;
        if self.get_task_struct(p) {
            self.rqs[cpu.idx()].stop_works.push(work);
        }
        if let Some(stop) = self.rqs[cpu.idx()].stop {
            self.try_to_wake_up(stop, 0);
        }
    }

    fn cpus_mask_has(&self, p: TaskId, cpu: CpuId) -> bool {
        Cpumask::at(self.tasks[p].ts.cpus_mask().addr()).test_cpu(&*self.mem, cpu.0)
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
        if self.tasks[p].cpu != cpu
            || self.is_migration_disabled(p)
            || self.cpus_allowed(p, cpu)
            || !self.task_on_rq_queued(p)
        {
            return; // it has left meanwhile, or may be here again
        }
        let dest = self.select_fallback_rq(p);
        self.move_queued_task(p, dest);
    }
}

//! Enqueue, dequeue and the calls into the classes. Mirrors enqueue_task() to deactivate_task() and set_task_cpu().

use sextant_abi::{CpuId, Mem as _};

use super::flags::*;
use crate::event::Event;
use crate::sched::Sched;
use crate::task::{Class, OnRq, TaskId};

impl Sched {
    /// `enqueue_task`: by class; counts `nr_running`.
    pub(crate) fn enqueue_task(&mut self, cpu: CpuId, p: TaskId, flags: u64) {
        if flags & ENQUEUE_NOCLOCK == 0 {
            self.update_rq_clock(cpu);
        }
        self.add_nr_running(cpu, 1);
        match self.tasks[p].class {
            Class::Stop => self.rqs[cpu.idx()].stop_queued = true,
            Class::Rt => self.enqueue_task_rt(cpu, p, flags),
            Class::Fair => self.enqueue_task_fair(cpu, p, flags),
            Class::Ext => self.enqueue_task_scx(cpu, p, flags),
            Class::Idle => unreachable!("swapper is never queued"),
        }
    }

    /// `dequeue_task`: by class.
    pub(crate) fn dequeue_task(&mut self, cpu: CpuId, p: TaskId, flags: u64) {
        if flags & DEQUEUE_NOCLOCK == 0 {
            self.update_rq_clock(cpu);
        }
        match self.tasks[p].class {
            Class::Stop => {
                if self.rqs[cpu.idx()].curr == p {
                    self.update_curr_common(cpu);
                }
                self.rqs[cpu.idx()].stop_queued = false;
            }
            Class::Rt => self.dequeue_task_rt(cpu, p, flags),
            Class::Fair => self.dequeue_task_fair(cpu, p, flags),
            Class::Ext => self.dequeue_task_scx(cpu, p, flags),
            Class::Idle => unreachable!("swapper is never queued"),
        }
        self.add_nr_running(cpu, -1);
    }

    /// `put_prev_task` of the task's class; `next` is None in a property change.
    pub(crate) fn put_prev_task(&mut self, cpu: CpuId, p: TaskId, next: Option<TaskId>) {
        match self.tasks[p].class {
            Class::Stop | Class::Rt => {
                self.update_curr_common(cpu);
            }
            Class::Fair => self.put_prev_task_fair(cpu, p),
            Class::Ext => self.put_prev_task_scx(cpu, p, next),
            Class::Idle => self.put_prev_task_idle(cpu),
        }
    }

    /// `set_next_task` of the task's class.
    pub(crate) fn set_next_task(&mut self, cpu: CpuId, p: TaskId, first: bool) {
        match self.tasks[p].class {
            Class::Stop => self.start_exec(cpu, p),
            Class::Rt => self.set_next_task_rt(cpu, p, first),
            Class::Fair => self.set_next_task_fair(cpu, p),
            Class::Ext => self.set_next_task_scx(cpu, p, first),
            Class::Idle => self.set_next_task_idle(cpu),
        }
    }

    /// `activate_task`: onto `cpu`'s runqueue.
    pub fn activate_task(&mut self, cpu: CpuId, p: TaskId, mut flags: u64) {
        if self.tasks[p].on_rq == OnRq::Migrating {
            flags |= ENQUEUE_MIGRATED;
        }
        debug_assert_eq!(self.tasks[p].cpu, cpu, "activate_task on a CPU that is not the task's");
        self.enqueue_task(cpu, p, flags);
        self.set_on_rq(p, OnRq::Queued);
    }

    /// `deactivate_task`: off `cpu`'s runqueue, to be activated on another one.
    pub fn deactivate_task(&mut self, cpu: CpuId, p: TaskId, flags: u64) {
        debug_assert_eq!(flags & DEQUEUE_SLEEP, 0);
        self.set_on_rq(p, OnRq::Migrating);
        self.dequeue_task(cpu, p, flags);
    }

    /// `block_task`: off the runqueue, asleep.
    pub(crate) fn block_task(&mut self, cpu: CpuId, p: TaskId, state: u32) {
        let special = if state & TASK_DEAD != 0 { DEQUEUE_SPECIAL } else { 0 };
        self.dequeue_task(cpu, p, DEQUEUE_SLEEP | DEQUEUE_NOCLOCK | special);
        self.set_on_rq(p, OnRq::No);
    }

    pub(super) fn set_on_rq(&mut self, p: TaskId, on_rq: OnRq) {
        self.tasks[p].on_rq = on_rq;
        let val = match on_rq {
            OnRq::No => 0,
            OnRq::Queued => 1,
            OnRq::Migrating => 2,
        };
        self.tasks[p].ts.on_rq().set(&*self.mem, val);
    }

    /// `set_task_cpu`: the task is queued nowhere.
    pub fn set_task_cpu(&mut self, p: TaskId, cpu: CpuId) {
        let from = std::mem::replace(&mut self.tasks[p].cpu, cpu);
        if from == cpu {
            return;
        }
        let nr = self.tasks[p].ts.se().nr_migrations();
        nr.set(&*self.mem, nr.get(&*self.mem) + 1);
        self.emit(Event::Migrate { p, from, to: cpu });
    }

    /// `move_queued_task`: a waiting task goes to another runqueue, which looks whether it preempts there.
    pub(crate) fn move_queued_task(&mut self, p: TaskId, dest: CpuId) {
        let src = self.tasks[p].cpu;
        self.update_rq_clock(src);
        self.deactivate_task(src, p, DEQUEUE_NOCLOCK);
        self.set_task_cpu(p, dest);
        self.update_rq_clock(dest);
        self.activate_task(dest, p, ENQUEUE_NOCLOCK);
        self.wakeup_preempt(dest, p, 0);
    }

    /// `p->on_rq == TASK_ON_RQ_QUEUED`
    pub fn task_on_rq_queued(&self, p: TaskId) -> bool {
        self.tasks[p].on_rq == OnRq::Queued
    }

    /// `task_current`: it runs on its CPU now.
    pub fn task_current(&self, p: TaskId) -> bool {
        self.rqs[self.tasks[p].cpu.idx()].curr == p
    }

    /// Whether the task itself has disabled migration. What a running program adds to `current->migration_disabled` is
    /// not the task's doing and does not count.
    pub fn is_migration_disabled(&self, p: TaskId) -> bool {
        self.tasks[p].migration_disabled != 0
    }

    fn add_nr_running(&mut self, cpu: CpuId, by: i32) {
        let rq = &mut self.rqs[cpu.idx()];
        rq.nr_running = rq.nr_running.checked_add_signed(by).expect("nr_running counts what is queued");
        // `nr_running` is the first member of struct rq that programs see.
        let nr = rq.nr_running;
        self.rq_struct(cpu).nr_running().set(&*self.mem, nr);
    }

    /// Whether `p->cpus_ptr` has `cpu`.
    pub fn cpus_allowed(&self, p: TaskId, cpu: CpuId) -> bool {
        let mask = self.tasks[p].ts.cpus_ptr().get(&*self.mem);
        // One word of the mask, not the whole: this is asked for every candidate of a pull.
        self.mem.load(mask + u64::from(cpu.0 / 64) * 8, 8) >> (cpu.0 % 64) & 1 != 0
    }
}

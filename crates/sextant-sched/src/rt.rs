//! The real-time class: SCHED_FIFO and SCHED_RR. Mirrors kernel/sched/rt.c.
//!
//! What must hold: the task picked is the first of the best priority that has one; the running task keeps its place in its
//! list; a task that waits behind another real-time task is pushed to a CPU that runs something lower, if there is one it
//! may use, and a CPU whose real-time task leaves pulls such tasks from others.
//!
//! Left out: group scheduling, inheritance of priorities, the preference of near CPUs. What is left to the classes below beside a task
//! that never sleeps is the work of the deadline servers (`deadline`).

use std::collections::{BTreeMap, VecDeque};

use sextant_abi::CpuId;

use crate::core::flags::*;
use crate::sched::Sched;
use crate::task::{Class, TaskId};

/// RR_TIMESLICE: 100 ms.
const RR_TIMESLICE_MS: u64 = 100;
/// Priority of a runqueue without real-time tasks (MAX_RT_PRIO).
const NONE: i32 = 100;

/// `struct rt_rq`: lists by priority, 0 the best.
#[derive(Default, Debug)]
pub struct RtRq {
    lists: BTreeMap<i32, VecDeque<TaskId>>,
    /// Push when the pick is done (`rt_queue_push_tasks`).
    pub(crate) push: bool,
    /// Pull when the change is done (`rt_queue_pull_task`).
    pub(crate) pull: bool,
}

/// `struct sched_rt_entity`
#[derive(Default, Debug, Clone)]
pub struct RtEntity {
    /// Priority of the list it is on.
    queued: Option<i32>,
    /// SCHED_RR: ticks until its turn is over.
    time_slice: u64,
}

impl RtRq {
    fn first(&self) -> Option<TaskId> {
        self.lists.first_key_value().and_then(|(_, list)| list.front()).copied()
    }

    /// `highest_prio.curr`
    fn highest(&self) -> i32 {
        self.lists.first_key_value().map_or(NONE, |(&prio, _)| prio)
    }

    /// Whether anybody is queued.
    pub(crate) fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }

    /// Everybody queued, best first.
    pub(crate) fn tasks(&self) -> impl Iterator<Item = TaskId> + '_ {
        self.lists.values().flatten().copied()
    }
}

/// Whether a dequeue or enqueue with these flags takes the task from its list (`move_entity`).
fn moves(flags: u64) -> bool {
    flags & (DEQUEUE_SAVE | DEQUEUE_MOVE) != DEQUEUE_SAVE
}

impl Sched {
    fn prio(&self, p: TaskId) -> i32 {
        self.tasks[p].ts.prio().get(&*self.mem)
    }

    fn rr_timeslice(&self) -> u64 {
        RR_TIMESLICE_MS * self.cfg.hz / 1000
    }

    /// `enqueue_task_rt`
    pub(crate) fn enqueue_task_rt(&mut self, cpu: CpuId, p: TaskId, flags: u64) {
        if flags & ENQUEUE_WAKEUP != 0 || self.tasks[p].rt.time_slice == 0 {
            self.tasks[p].rt.time_slice = self.rr_timeslice();
        }
        if self.tasks[p].rt.queued.is_some() {
            return; // it has kept its place
        }
        let prio = self.prio(p);
        let list = self.rqs[cpu.idx()].rt.lists.entry(prio).or_default();
        if flags & ENQUEUE_HEAD != 0 {
            list.push_front(p)
        } else {
            list.push_back(p)
        }
        self.tasks[p].rt.queued = Some(prio);
    }

    /// `dequeue_task_rt`
    pub(crate) fn dequeue_task_rt(&mut self, cpu: CpuId, p: TaskId, flags: u64) {
        if self.rqs[cpu.idx()].curr == p {
            self.update_curr_common(cpu);
        }
        if moves(flags) {
            self.delist_rt(cpu, p);
        }
    }

    fn delist_rt(&mut self, cpu: CpuId, p: TaskId) {
        let Some(prio) = self.tasks[p].rt.queued.take() else { return };
        let lists = &mut self.rqs[cpu.idx()].rt.lists;
        if let Some(list) = lists.get_mut(&prio) {
            list.retain(|&q| q != p);
            if list.is_empty() {
                lists.remove(&prio);
            }
        }
    }

    /// `requeue_task_rt`: behind its equals; whether there are any.
    fn requeue_task_rt(&mut self, cpu: CpuId, p: TaskId) -> bool {
        let Some(prio) = self.tasks[p].rt.queued else { return false };
        let Some(list) = self.rqs[cpu.idx()].rt.lists.get_mut(&prio) else { return false };
        list.retain(|&q| q != p);
        list.push_back(p);
        list.len() > 1
    }

    /// `balance_rt` and `pick_task_rt`: a CPU that falls to a lower priority looks for tasks that wait elsewhere.
    pub(crate) fn pick_task_rt(&mut self, cpu: CpuId, prev: TaskId) -> Option<TaskId> {
        if self.prio(prev) < self.rqs[cpu.idx()].rt.highest() && self.tasks[prev].class == Class::Rt {
            self.pull_rt_task(cpu);
        }
        self.rqs[cpu.idx()].rt.first()
    }

    /// `set_next_task_rt`
    pub(crate) fn set_next_task_rt(&mut self, cpu: CpuId, p: TaskId, first: bool) {
        self.start_exec(cpu, p);
        if first {
            self.rt_queue_balance(cpu, true);
        }
    }

    fn rt_queue_balance(&mut self, cpu: CpuId, push: bool) {
        let rq = &mut self.rqs[cpu.idx()];
        let flag = if push { &mut rq.rt.push } else { &mut rq.rt.pull };
        *flag = true;
        self.queue_balance_callback(cpu);
    }

    /// The balance callbacks of the class.
    pub(crate) fn rt_balance_callback(&mut self, cpu: CpuId) {
        if std::mem::take(&mut self.rqs[cpu.idx()].rt.push) {
            self.push_rt_tasks(cpu);
        }
        if std::mem::take(&mut self.rqs[cpu.idx()].rt.pull) {
            self.pull_rt_task(cpu);
        }
    }

    /// `task_tick_rt`
    pub(crate) fn task_tick_rt(&mut self, cpu: CpuId, p: TaskId) {
        self.update_curr_common(cpu);
        if self.tasks[p].ts.policy().get(&*self.mem) != SCHED_RR {
            return;
        }
        let left = self.tasks[p].rt.time_slice.saturating_sub(1);
        self.tasks[p].rt.time_slice = left;
        if left == 0 {
            self.tasks[p].rt.time_slice = self.rr_timeslice();
            if self.requeue_task_rt(cpu, p) {
                self.resched_curr(cpu);
            }
        }
    }

    /// `yield_task_rt`
    pub(crate) fn yield_task_rt(&mut self, cpu: CpuId) {
        self.requeue_task_rt(cpu, self.rqs[cpu.idx()].curr);
    }

    /// `wakeup_preempt_rt`
    pub(crate) fn wakeup_preempt_rt(&mut self, cpu: CpuId, p: TaskId) {
        let curr = self.rqs[cpu.idx()].curr;
        if self.tasks[p].class != Class::Rt || self.tasks[curr].class != Class::Rt {
            return;
        }
        if self.prio(p) < self.prio(curr) {
            self.resched_curr(cpu);
        } else if self.prio(p) == self.prio(curr) && !self.rqs[cpu.idx()].need_resched {
            self.check_preempt_equal_prio(cpu, p, curr);
        }
    }

    /// A task that cannot go elsewhere meets an equal one that can: the latter makes room.
    fn check_preempt_equal_prio(&mut self, cpu: CpuId, p: TaskId, curr: TaskId) {
        let stuck = |s: &Self, t| !s.rt_movable(t) || s.find_lowest_rq(t).is_none();
        if stuck(self, curr) || !stuck(self, p) {
            return;
        }
        if let Some(prio) = self.tasks[p].rt.queued
            && let Some(list) = self.rqs[cpu.idx()].rt.lists.get_mut(&prio)
        {
            list.retain(|&q| q != p);
            list.push_front(p);
        }
        self.resched_curr(cpu);
    }

    /// `select_task_rq_rt`: elsewhere if its CPU is busy with a real-time task that is at least as good or cannot move.
    pub(crate) fn select_task_rq_rt(&self, p: TaskId, prev: CpuId, wake_flags: u64) -> CpuId {
        if wake_flags & (WF_TTWU | WF_FORK) == 0 {
            return prev;
        }
        let curr = self.rqs[prev.idx()].curr;
        let in_the_way = self.tasks[curr].class == Class::Rt
            && (self.nr_cpus_allowed(curr) < 2 || self.prio(curr) <= self.prio(p));
        match self.find_lowest_rq(p) {
            Some(cpu) if in_the_way && self.prio(p) < self.rqs[cpu.idx()].rt.highest() => cpu,
            _ => prev,
        }
    }

    fn nr_cpus_allowed(&self, p: TaskId) -> i32 {
        self.tasks[p].ts.nr_cpus_allowed().get(&*self.mem)
    }

    fn rt_movable(&self, p: TaskId) -> bool {
        self.nr_cpus_allowed(p) > 1 && !self.is_migration_disabled(p)
    }

    /// `find_lowest_rq`: of the CPUs with the lowest priority that `p` may use and that is below its own, the one it was on, the
    /// executing one, or the first.
    fn find_lowest_rq(&self, p: TaskId) -> Option<CpuId> {
        if self.nr_cpus_allowed(p) < 2 {
            return None;
        }
        let own = self.prio(p);
        let level = |cpu: CpuId| self.rqs[cpu.idx()].rt.highest();
        let usable = || (0..self.cfg.nr_cpus).map(CpuId).filter(|&c| self.is_cpu_allowed(p, c));
        let lowest = usable().map(level).max().filter(|&l| l > own)?;
        let good = |cpu: &CpuId| level(*cpu) == lowest && self.is_cpu_allowed(p, *cpu);
        [self.tasks[p].cpu, self.this_cpu].into_iter().find(good).or_else(|| usable().find(good))
    }

    /// The best task of `cpu` that waits behind another and may go elsewhere (`pick_next_pushable_task`).
    fn pushable_task(&self, cpu: CpuId) -> Option<TaskId> {
        let rq = &self.rqs[cpu.idx()];
        rq.rt.tasks().find(|&p| p != rq.curr && self.rt_movable(p))
    }

    /// `push_rt_tasks`
    fn push_rt_tasks(&mut self, cpu: CpuId) {
        while let Some(p) = self.pushable_task(cpu) {
            let curr = self.rqs[cpu.idx()].curr;
            if self.tasks[curr].class != Class::Rt || self.prio(p) < self.prio(curr) {
                return self.resched_curr(cpu); // it runs here soon
            }
            let Some(dest) = self.find_lowest_rq(p).filter(|&dest| dest != cpu) else { return };
            self.move_queued_task(p, dest);
        }
    }

    /// `task_woken_rt`: nobody will switch to it soon.
    pub(crate) fn task_woken_rt(&mut self, cpu: CpuId, p: TaskId) {
        let rq = &self.rqs[cpu.idx()];
        let curr = rq.curr;
        if curr != p
            && !rq.need_resched
            && self.rt_movable(p)
            && self.tasks[curr].class == Class::Rt
            && (self.nr_cpus_allowed(curr) < 2 || self.prio(curr) <= self.prio(p))
        {
            self.push_rt_tasks(cpu);
        }
    }

    /// `pull_rt_task`: from each overloaded CPU, its best waiting task if that is better than what is here.
    fn pull_rt_task(&mut self, this: CpuId) {
        for src in (0..self.cfg.nr_cpus).map(CpuId).filter(|&c| c != this) {
            if self.rqs[src.idx()].rt.is_empty() {
                continue;
            }
            let rq = &self.rqs[src.idx()];
            let Some(p) =
                rq.rt.tasks().find(|&p| p != rq.curr && self.rt_movable(p) && self.cpus_allowed(p, this))
            else {
                continue;
            };
            let better = self.prio(p) < self.rqs[this.idx()].rt.highest();
            // One that is better than who runs there is about to run there.
            if better && self.tasks[rq.curr].class <= Class::Rt && self.prio(p) >= self.prio(rq.curr) {
                self.move_queued_task(p, this);
            }
        }
    }

    /// `switched_from_rt`
    pub(crate) fn switched_from_rt(&mut self, cpu: CpuId, p: TaskId) {
        self.delist_rt(cpu, p);
        if self.task_on_rq_queued(p) && self.rqs[cpu.idx()].rt.is_empty() {
            self.rt_queue_balance(cpu, false);
        }
    }

    /// `switched_to_rt`
    pub(crate) fn switched_to_rt(&mut self, cpu: CpuId, p: TaskId) {
        if self.rqs[cpu.idx()].curr == p || !self.task_on_rq_queued(p) {
            return;
        }
        if self.nr_cpus_allowed(p) > 1 {
            self.rt_queue_balance(cpu, true);
        }
        if self.prio(p) < self.prio(self.rqs[cpu.idx()].curr) {
            self.resched_curr(cpu);
        }
    }

    /// `prio_changed_rt`: it was `old`.
    pub(crate) fn prio_changed_rt(&mut self, cpu: CpuId, p: TaskId, old: i32) {
        let prio = self.prio(p);
        if !self.task_on_rq_queued(p) || prio == old {
            return;
        }
        let curr = self.rqs[cpu.idx()].curr;
        if curr == p {
            if old < prio {
                self.rt_queue_balance(cpu, false);
            }
            if prio > self.rqs[cpu.idx()].rt.highest() {
                self.resched_curr(cpu);
            }
        } else if prio < self.prio(curr) {
            self.resched_curr(cpu);
        }
    }
}

//! The fair class: proportional share by weight, per CPU in virtual runtime, with pulling between CPUs.
//!
//! Not EEVDF yet: a task waits by virtual runtime alone (no eligibility, no deadlines, no lag kept over sleep).
//!
//! How it works:
//! 1. A task's `vruntime` grows by run time * 1024 / weight; the waiting task with the smallest one is picked.
//! 2. All runqueues use one axis as far as they can: a task keeps its vruntime when it changes CPUs, but is never put further than
//!    [`LAG_LIMIT`] from what its new runqueue has reached, and a woken sleeper not further than [`WAKEUP_BONUS`] ahead of it.
//! 3. A tick reschedules a task that has had its slice while one behind it waits. Then it looks at the other CPUs: if somebody waits
//!    there who is behind the running task, it is pulled here. So tasks of equal weight on too few CPUs rotate, and shares
//!    follow the weights over the whole machine.
//! 4. A CPU about to go idle pulls whoever is furthest behind.
//!
//! Mirrors kernel/sched/fair.c in its interface; constants are noted where they are the kernel's. Left out: group scheduling, load tracking,
//! topology, delayed dequeue, buddies.

mod balance;

use sextant_abi::{CpuId, Ns};

use crate::core::flags::*;
use crate::deadline::Server;
use crate::sched::Sched;
use crate::task::TaskId;

/// `sysctl_sched_base_slice` of an 8 CPU machine, rounded: how long a task runs while others wait.
const SLICE: u64 = 3_000_000;
/// How far ahead of its runqueue a woken task may be put, ns of virtual runtime.
const WAKEUP_BONUS: u64 = 3_000_000;
/// How much further behind than the running task a woken one must be to preempt it, ns of virtual runtime.
const WAKEUP_GRANULARITY: u64 = 1_000_000;
/// How far a task may be from its new runqueue's virtual time, ns of virtual runtime (more for a task so light that two ticks of running
/// take it further).
const LAG_LIMIT: u64 = 24_000_000;
/// How far behind the running task a waiting one elsewhere must be to be pulled, ns of virtual runtime: more than a tick, so that
/// CPUs with equal queues leave each other alone.
const PULL_THRESHOLD: u64 = 6_000_000;
/// A tick at 250 Hz.
const TICK: u64 = 4_000_000;
/// Weight of nice 0.
const NICE_0_LOAD: u64 = 1024;

/// `struct sched_entity`, the private part.
#[derive(Clone, Debug)]
pub struct FairEntity {
    /// Weight by nice value or SCHED_IDLE.
    pub weight: u32,
    /// ns of run time, scaled by the weight.
    pub vruntime: u64,
    /// Rq clock when it got the CPU.
    picked_at: Ns,
    /// Queued, running included (`se.on_rq`).
    on_rq: bool,
}

impl FairEntity {
    /// Virtual time that `ns` of running take.
    fn scaled(&self, ns: u64) -> u64 {
        ns * NICE_0_LOAD / u64::from(self.weight)
    }

    fn lag_limit(&self) -> u64 {
        LAG_LIMIT.max(self.scaled(2 * TICK))
    }

    /// A new task.
    pub fn new(weight: u32) -> Self {
        Self { weight, vruntime: 0, picked_at: Ns::ZERO, on_rq: false }
    }
}

/// `struct cfs_rq`
#[derive(Default, Debug)]
pub struct FairRq {
    /// Waiting tasks, the one with the smallest vruntime last.
    waiting: Vec<(u64, TaskId)>,
    /// The running task, if it is fair; it is not among the waiting ones.
    curr: Option<TaskId>,
    /// What the runqueue has reached: grows with the smallest vruntime on it.
    min_vruntime: u64,
    /// Fair tasks here, the running one included.
    pub nr_queued: u32,
}

impl FairRq {
    /// Tasks that wait.
    pub fn nr_waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Who waits.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = TaskId> + '_ {
        self.waiting.iter().map(|w| w.1)
    }

    /// The waiting task that is furthest behind.
    fn first(&self) -> Option<(u64, TaskId)> {
        self.waiting.last().copied()
    }

    /// In order of vruntime, later arrivals behind equal ones.
    fn insert(&mut self, vruntime: u64, p: TaskId) {
        let at = self.waiting.partition_point(|w| w.0 > vruntime);
        self.waiting.insert(at, (vruntime, p));
    }

    fn remove(&mut self, vruntime: u64, p: TaskId) {
        let from = self.waiting.partition_point(|w| w.0 > vruntime);
        let at = (from..self.waiting.len()).find(|&i| self.waiting[i].1 == p);
        self.waiting.remove(at.expect("a waiting task is in its runqueue's list"));
    }
}

impl Sched {
    fn fair_rq(&mut self, cpu: CpuId) -> &mut FairRq {
        &mut self.rqs[cpu.idx()].fair
    }

    fn add_waiting(&mut self, cpu: CpuId, p: TaskId) {
        let vruntime = self.tasks[p].fair.vruntime;
        self.fair_rq(cpu).insert(vruntime, p);
        self.fair_nr_waiting += 1;
    }

    fn remove_waiting(&mut self, cpu: CpuId, p: TaskId) {
        let vruntime = self.tasks[p].fair.vruntime;
        self.fair_rq(cpu).remove(vruntime, p);
        self.fair_nr_waiting -= 1;
    }

    /// `update_curr`: charges the running task of `cpu` if it is fair.
    pub(crate) fn update_curr_fair(&mut self, cpu: CpuId) {
        let Some(curr) = self.rqs[cpu.idx()].fair.curr else { return };
        let delta = self.update_curr_common(cpu);
        if delta == 0 {
            return;
        }
        let t = &mut self.tasks[curr];
        t.fair.vruntime += t.fair.scaled(delta);
        let vruntime = t.fair.vruntime;
        t.ts.se().vruntime().set(&*self.mem, vruntime);
        self.dl_server_update(cpu, Server::Fair, delta);
        let rq = self.fair_rq(cpu);
        let least = rq.first().map_or(vruntime, |(v, _)| v.min(vruntime));
        rq.min_vruntime = rq.min_vruntime.max(least);
    }

    /// `place_entity`: `p` is about to be queued on `cpu`, at most `ahead` before what the runqueue has reached.
    fn place_entity(&mut self, cpu: CpuId, p: TaskId, ahead: u64) {
        let rq = &mut self.rqs[cpu.idx()].fair;
        let fair = &mut self.tasks[p].fair;
        if rq.nr_queued == 0 {
            // Nobody here to be compared with: the runqueue goes to where the task is on the axis.
            rq.min_vruntime = rq.min_vruntime.max(fair.vruntime);
        }
        let min = rq.min_vruntime;
        fair.vruntime = fair.vruntime.clamp(min.saturating_sub(ahead), min + fair.lag_limit());
    }

    /// `task_fork_fair`: a new task starts where its CPU's runqueue is.
    pub(crate) fn task_fork_fair(&mut self, p: TaskId) {
        let cpu = self.tasks[p].cpu;
        self.tasks[p].fair.vruntime = self.rqs[cpu.idx()].fair.min_vruntime;
    }

    /// `enqueue_task_fair`
    pub(crate) fn enqueue_task_fair(&mut self, cpu: CpuId, p: TaskId, flags: u64) {
        self.update_curr_fair(cpu);
        if flags & ENQUEUE_RESTORE == 0 || flags & ENQUEUE_CLASS != 0 {
            let ahead = match flags {
                f if f & (ENQUEUE_INITIAL | ENQUEUE_CLASS) != 0 => 0,
                f if f & ENQUEUE_WAKEUP != 0 => WAKEUP_BONUS,
                _ => LAG_LIMIT,
            };
            self.place_entity(cpu, p, ahead);
        }
        self.fair_rq(cpu).nr_queued += 1;
        let first = self.rqs[cpu.idx()].fair.nr_queued == 1;
        self.tasks[p].fair.on_rq = true;
        if self.rqs[cpu.idx()].fair.curr != Some(p) {
            self.add_waiting(cpu, p);
        }
        if first {
            self.dl_server_start(cpu, Server::Fair);
        }
    }

    /// `dequeue_task_fair`
    pub(crate) fn dequeue_task_fair(&mut self, cpu: CpuId, p: TaskId, _flags: u64) {
        self.update_curr_fair(cpu);
        if self.rqs[cpu.idx()].fair.curr != Some(p) {
            self.remove_waiting(cpu, p);
        }
        self.fair_rq(cpu).nr_queued -= 1;
        self.tasks[p].fair.on_rq = false;
    }

    /// `pick_task_fair`: the running task while it is the furthest behind; pulls if there is nobody.
    pub(crate) fn pick_task_fair(&mut self, cpu: CpuId) -> Option<TaskId> {
        if self.rqs[cpu.idx()].fair.nr_queued == 0 {
            if self.fair_nr_waiting == 0 {
                return None;
            }
            self.sched_balance_newidle(cpu);
        }
        self.update_curr_fair(cpu);
        let rq = &self.rqs[cpu.idx()].fair;
        let curr = rq.curr.filter(|&c| self.tasks[c].fair.on_rq);
        match (curr, rq.first()) {
            (Some(curr), Some((v, _))) if self.tasks[curr].fair.vruntime <= v => Some(curr),
            (_, Some((_, first))) => Some(first),
            (curr, None) => curr,
        }
    }

    /// `put_prev_task_fair`
    pub(crate) fn put_prev_task_fair(&mut self, cpu: CpuId, p: TaskId) {
        self.update_curr_fair(cpu);
        self.fair_rq(cpu).curr = None;
        if self.tasks[p].fair.on_rq {
            self.add_waiting(cpu, p);
        }
    }

    /// `set_next_task_fair`
    pub(crate) fn set_next_task_fair(&mut self, cpu: CpuId, p: TaskId) {
        if self.tasks[p].fair.on_rq {
            self.remove_waiting(cpu, p);
        }
        self.start_exec(cpu, p);
        self.tasks[p].fair.picked_at = self.rqs[cpu.idx()].clock;
        self.fair_rq(cpu).curr = Some(p);
    }

    /// `task_tick_fair`: the slice is over and somebody is further behind.
    pub(crate) fn task_tick_fair(&mut self, cpu: CpuId, p: TaskId) {
        self.update_curr_fair(cpu);
        let rq = &self.rqs[cpu.idx()];
        let fair = &self.tasks[p].fair;
        let ran = rq.clock.since(fair.picked_at).0;
        if ran >= SLICE && rq.fair.first().is_some_and(|(v, _)| v < fair.vruntime) {
            self.resched_curr(cpu);
        }
    }

    /// `yield_task_fair`: goes behind the first who waits.
    pub(crate) fn yield_task_fair(&mut self, cpu: CpuId) {
        self.update_curr_fair(cpu);
        let rq = &self.rqs[cpu.idx()].fair;
        if let (Some(curr), Some((v, _))) = (rq.curr, rq.first()) {
            let fair = &mut self.tasks[curr].fair;
            fair.vruntime = fair.vruntime.max(v + 1);
        }
    }

    /// `wakeup_preempt_fair`: SCHED_IDLE and SCHED_BATCH never preempt a fair task.
    pub(crate) fn wakeup_preempt_fair(&mut self, cpu: CpuId, p: TaskId, _wake_flags: u64) {
        let rq = &self.rqs[cpu.idx()];
        let Some(curr) = rq.fair.curr else { return };
        if rq.need_resched || curr == p {
            return;
        }
        let policy = self.tasks[p].ts.policy().get(&*self.mem);
        if policy == SCHED_IDLE || policy == SCHED_BATCH {
            return;
        }
        self.update_curr_fair(cpu);
        let fair = &self.tasks[p].fair;
        if fair.vruntime + fair.scaled(WAKEUP_GRANULARITY) < self.tasks[curr].fair.vruntime {
            self.resched_curr(cpu);
        }
    }

    /// `prio_changed_fair` of a queued task.
    pub(crate) fn prio_changed_fair(&mut self, p: TaskId, running: bool) {
        let cpu = self.tasks[p].cpu;
        if !running {
            self.wakeup_preempt(cpu, p, 0);
        } else if self.rqs[cpu.idx()].fair.nr_queued > 1 {
            self.resched_curr(cpu);
        }
    }
}

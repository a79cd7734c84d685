//! Where fair tasks run: the choice at wakeup, and pulling waiting tasks.
//!
//! Equal CPUs, no domains: every CPU looks at every other. What must hold: a pull moves only a task that waits and may run
//! here; a running task is never taken away.

use sextant_abi::CpuId;

use super::PULL_THRESHOLD;
use crate::core::flags::*;
use crate::sched::Sched;
use crate::task::TaskId;

impl Sched {
    /// `select_task_rq_fair`
    pub(crate) fn select_task_rq_fair(&mut self, p: TaskId, prev: CpuId, wake_flags: u64) -> CpuId {
        if wake_flags & (WF_FORK | WF_EXEC) != 0 {
            return self.sched_balance_find_dst_cpu(p);
        }
        let prev_allowed = self.is_cpu_allowed(p, prev);
        if prev_allowed && self.available_idle_cpu(prev) {
            return prev;
        }
        if let Some(idle) = self.select_idle_cpu(p, prev) {
            return idle;
        }
        let this = self.this_cpu;
        let this_nr = self.rqs[this.idx()].nr_running;
        let prev_nr = self.rqs[prev.idx()].nr_running;
        // A waker that is about to sleep leaves its CPU to the wakee.
        let sync = wake_flags & WF_SYNC != 0 && this_nr == 1;
        let affine = sync || this_nr + 1 < prev_nr;
        if (affine || !prev_allowed) && self.is_cpu_allowed(p, this) { this } else { prev }
    }

    /// Idle, and nothing is on its way there.
    fn available_idle_cpu(&self, cpu: CpuId) -> bool {
        self.idle_cpus.test(cpu) && self.rqs[cpu.idx()].nr_running == 0
    }

    /// The next idle CPU behind `prev`, round the machine.
    fn select_idle_cpu(&self, p: TaskId, prev: CpuId) -> Option<CpuId> {
        let usable = |cpu: &CpuId| self.available_idle_cpu(*cpu) && self.is_cpu_allowed(p, *cpu);
        self.idle_from(prev.0 + 1)
            .find(usable)
            .or_else(|| self.idle_from(0).take_while(|c| *c < prev).find(usable))
    }

    fn idle_from(&self, cpu: u32) -> impl Iterator<Item = CpuId> + '_ {
        std::iter::successors(self.idle_cpus.next_from(cpu), |c| self.idle_cpus.next_from(c.0 + 1))
    }

    /// For a new task: the CPU with the fewest tasks, from this one on round the machine.
    fn sched_balance_find_dst_cpu(&self, p: TaskId) -> CpuId {
        let nr = self.cfg.nr_cpus;
        let this = self.this_cpu.0;
        let cpus = (0..nr).map(|i| CpuId((this + i) % nr)).filter(|&c| self.is_cpu_allowed(p, c));
        cpus.min_by_key(|c| self.rqs[c.idx()].nr_running).unwrap_or(self.tasks[p].cpu)
    }

    /// `sched_balance_newidle`: `cpu` has no fair task; it takes the waiting one that is furthest behind.
    pub(super) fn sched_balance_newidle(&mut self, cpu: CpuId) {
        if !self.cpu_active(cpu) {
            return;
        }
        if let Some((_, p)) = self.furthest_behind(cpu) {
            self.pull_task(cpu, p);
        }
    }

    /// `sched_balance_trigger`: from the tick of `cpu`. Sends an idle CPU for who waits here, and pulls who is much further behind
    /// elsewhere than everybody here.
    pub(crate) fn sched_balance_tick(&mut self, cpu: CpuId) {
        let waiting_here = self.rqs[cpu.idx()].fair.nr_waiting() as u32;
        if self.fair_nr_waiting == 0 || !self.cpu_active(cpu) {
            return;
        }
        if waiting_here > 0 {
            self.kick_idle_for(cpu);
        }
        let rq = &self.rqs[cpu.idx()].fair;
        let Some(curr) = rq.curr else { return };
        if self.fair_nr_waiting == waiting_here {
            return;
        }
        let mine = self.tasks[curr].fair.vruntime.min(rq.first().map_or(u64::MAX, |w| w.0));
        if let Some((v, p)) = self.furthest_behind(cpu)
            && v + PULL_THRESHOLD < mine
        {
            self.pull_task(cpu, p);
            self.wakeup_preempt(cpu, p, 0);
        }
    }

    /// `nohz_balancer_kick`: an idle CPU that may run somebody who waits on `cpu` looks for work.
    fn kick_idle_for(&mut self, cpu: CpuId) {
        let waiting = &self.rqs[cpu.idx()].fair.waiting;
        let idle = self.idle_from(0).find(|&idle| {
            self.available_idle_cpu(idle) && waiting.iter().any(|w| self.is_cpu_allowed(w.1, idle))
        });
        if let Some(idle) = idle {
            self.resched_curr(idle);
        }
    }

    /// Of the tasks that wait on other CPUs and may run on `cpu`, the one with the smallest vruntime.
    fn furthest_behind(&self, cpu: CpuId) -> Option<(u64, TaskId)> {
        let mut best: Option<(u64, TaskId)> = None;
        for rq in self.rqs.iter().filter(|rq| rq.cpu != cpu) {
            let usable = rq.fair.waiting.iter().rev().find(|w| self.cpus_allowed(w.1, cpu));
            if let Some(&w) = usable
                && best.is_none_or(|b| w.0 < b.0)
            {
                best = Some(w);
            }
        }
        best
    }

    fn pull_task(&mut self, cpu: CpuId, p: TaskId) {
        let src = self.tasks[p].cpu;
        self.update_rq_clock(src);
        self.deactivate_task(src, p, DEQUEUE_NOCLOCK);
        self.set_task_cpu(p, cpu);
        self.activate_task(cpu, p, ENQUEUE_NOCLOCK);
    }
}

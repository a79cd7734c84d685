//! Runqueue clocks, charging of run time, and the requests a runqueue makes to the machine.

use sextant_abi::CpuId;
use sextant_abi::types::Rq as RqStruct;

use crate::ext::EnableState;
use crate::probe::Probe;
use crate::sched::{Request, Sched};
use crate::task::TaskId;

impl Sched {
    /// `struct rq` of a CPU in BPF-visible memory.
    pub fn rq_struct(&self, cpu: CpuId) -> RqStruct {
        RqStruct::at(self.rqs[cpu.idx()].addr)
    }

    /// Moves the clock of `cpu`'s runqueue to now. It never goes back, even where the executing CPU is behind.
    pub fn update_rq_clock(&mut self, cpu: CpuId) {
        let now = self.now;
        let rq = &mut self.rqs[cpu.idx()];
        if rq.clock >= now {
            return self.scx_rq_clock_update(cpu);
        }
        rq.clock = now;
        if self.ext.state() == EnableState::Disabled {
            return; // nobody to read struct rq
        }
        let rs = self.rq_struct(cpu);
        rs.clock().set(&*self.mem, now.0);
        rs.clock_task().set(&*self.mem, now.0);
        rs.clock_pelt().set(&*self.mem, now.0);
        self.scx_rq_clock_update(cpu);
    }

    /// `update_curr_common`: charges the running task of `cpu` up to the rq clock; the ns charged.
    pub fn update_curr_common(&mut self, cpu: CpuId) -> u64 {
        let rq = &mut self.rqs[cpu.idx()];
        let t = &mut self.tasks[rq.curr];
        let delta = rq.clock.since(t.exec_start).0;
        if delta == 0 {
            return 0;
        }
        t.exec_start = rq.clock;
        rq.exec_ns += delta;
        let se = t.ts.se();
        se.exec_start().set(&*self.mem, rq.clock.0);
        let sum = se.sum_exec_runtime();
        sum.set(&*self.mem, sum.get(&*self.mem) + delta);
        delta
    }

    /// Charges whoever runs on `cpu`, swapper too, up to now: for figures at the end of a run.
    pub fn account_curr(&mut self, cpu: CpuId) {
        self.update_rq_clock(cpu);
        if self.rqs[cpu.idx()].curr == self.rqs[cpu.idx()].idle {
            self.update_curr_idle(cpu);
        } else {
            self.update_curr_common(cpu);
        }
    }

    /// What `p` has run until `now` and was not charged for yet, ns; 0 if it does not run.
    pub fn uncharged_ns(&self, p: TaskId, now: sextant_abi::Ns) -> u64 {
        let t = &self.tasks[p];
        if self.rqs[t.cpu.idx()].curr == p { now.since(t.exec_start).0 } else { 0 }
    }

    /// Starts charging `p` from the rq clock on (`set_next_task` of every class but idle).
    pub fn start_exec(&mut self, cpu: CpuId, p: TaskId) {
        let clock = self.rqs[cpu.idx()].clock;
        let t = &mut self.tasks[p];
        t.exec_start = clock;
        let se = t.ts.se();
        se.exec_start().set(&*self.mem, clock.0);
        let sum = se.sum_exec_runtime().get(&*self.mem);
        se.prev_sum_exec_runtime().set(&*self.mem, sum);
    }

    /// Asks for a reschedule of `cpu`.
    pub fn resched_curr(&mut self, cpu: CpuId) {
        self.probe(Probe::Resched(cpu));
        let rq = &mut self.rqs[cpu.idx()];
        if !rq.need_resched {
            rq.need_resched = true;
            self.requests.push(Request::Resched(cpu));
        }
    }

    /// Runs `scx_irq_work` on `cpu` as soon as its interrupts are on.
    pub fn queue_irq_work(&mut self, cpu: CpuId) {
        self.requests.push(Request::IrqWork(cpu));
    }

    /// Runs `scx_balance_callback` on `cpu` at the end of its current pick or property change.
    pub fn queue_balance_callback(&mut self, cpu: CpuId) {
        self.rqs[cpu.idx()].balance_pending = true;
    }

    /// `__balance_callbacks`
    pub(crate) fn balance_callbacks(&mut self, cpu: CpuId) {
        while std::mem::take(&mut self.rqs[cpu.idx()].balance_pending) {
            self.rt_balance_callback(cpu);
            self.scx_balance_callback(cpu);
        }
    }

    /// Whether `cpu` exists and is online.
    pub fn cpu_online(&self, cpu: CpuId) -> bool {
        self.rqs.get(cpu.idx()).is_some_and(|rq| rq.cpu_online)
    }
}

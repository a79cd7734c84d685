//! The idle class: swapper/N, and the hooks through which sched_ext follows who is idle. Mirrors kernel/sched/idle.c.
//!
//! Left out: idle states (leaving idle costs what the machine's cost model says).

use sextant_abi::CpuId;

use crate::deadline::Server;
use crate::sched::Sched;
use crate::task::TaskId;

impl Sched {
    /// swapper gets the CPU.
    pub(crate) fn set_next_task_idle(&mut self, cpu: CpuId) {
        let (clock, idle) = (self.rqs[cpu.idx()].clock, self.rqs[cpu.idx()].idle);
        self.tasks[idle].exec_start = clock;
        self.idle_cpus.set(cpu);
        self.scx_update_idle(cpu, true, true);
    }

    /// swapper gives up the CPU.
    pub(crate) fn put_prev_task_idle(&mut self, cpu: CpuId) {
        self.update_curr_idle(cpu);
        self.idle_cpus.clear(cpu);
        self.scx_update_idle(cpu, false, true);
    }

    /// Nobody else wants the CPU. The built-in idle mask is refreshed even where swapper goes on.
    pub(crate) fn pick_task_idle(&mut self, cpu: CpuId) -> TaskId {
        self.scx_update_idle(cpu, true, false);
        self.rqs[cpu.idx()].idle
    }

    /// Charges idle time up to the rq clock.
    pub fn update_curr_idle(&mut self, cpu: CpuId) {
        let rq = &mut self.rqs[cpu.idx()];
        let t = &mut self.tasks[rq.idle];
        let delta = rq.clock.since(t.exec_start).0;
        rq.idle_ns += delta;
        t.exec_start = rq.clock;
        self.dl_server_update(cpu, Server::Fair, delta);
        self.dl_server_update(cpu, Server::Ext, delta);
    }
}

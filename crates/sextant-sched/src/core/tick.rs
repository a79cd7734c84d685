//! What the machine calls besides wakeups: the tick, sched_yield, blocking, irq_work, timers, works.

use sextant_abi::CpuId;
use sextant_abi::tables::TracePoint;

use super::flags::*;
use crate::event::Event;
use crate::sched::{Sched, TimerId, Work};
use crate::task::{Class, TaskId};

impl Sched {
    /// `sched_tick` on `cpu`. Not called while the CPU is idle (NO_HZ_IDLE).
    pub fn tick(&mut self, cpu: CpuId) {
        self.update_rq_clock(cpu);
        let curr = self.rqs[cpu.idx()].curr;
        self.account_process_tick(cpu, curr);
        self.trace(TracePoint::SchedTick, &[]);
        match self.tasks[curr].class {
            Class::Rt => self.task_tick_rt(cpu, curr),
            Class::Fair => self.task_tick_fair(cpu, curr),
            Class::Ext => self.task_tick_scx(cpu, curr),
            Class::Stop | Class::Idle => {}
        }
        self.scx_tick(cpu);
        if !self.scx_switched_all() {
            self.sched_balance_tick(cpu);
        }
        self.scx_rq_clock_invalidate(cpu);
    }

    /// `account_process_tick`: the tick is charged to whoever runs, whole. User tasks are in user mode whenever they run.
    fn account_process_tick(&mut self, cpu: CpuId, curr: TaskId) {
        if curr == self.rqs[cpu.idx()].idle {
            return;
        }
        let (mem, ts) = (&*self.mem, self.tasks[curr].ts);
        let kthread = ts.flags().get(mem) & PF_KTHREAD != 0;
        let time = if kthread { ts.stime() } else { ts.utime() };
        time.set(mem, time.get(mem) + 1_000_000_000 / self.cfg.hz);
    }

    /// `sched_yield` by the running task of `cpu`.
    pub fn yield_current(&mut self, cpu: CpuId) {
        self.update_rq_clock(cpu);
        let curr = self.rqs[cpu.idx()].curr;
        match self.tasks[curr].class {
            Class::Rt => self.yield_task_rt(cpu),
            Class::Fair => self.yield_task_fair(cpu),
            Class::Ext => self.yield_task_scx(cpu),
            Class::Stop | Class::Idle => {}
        }
        self.schedule(cpu);
    }

    /// The running task of `cpu` goes to sleep (TASK_INTERRUPTIBLE) until somebody wakes it.
    pub fn block_current(&mut self, cpu: CpuId) {
        let curr = self.rqs[cpu.idx()].curr;
        debug_assert_ne!(self.tasks[curr].class, Class::Idle, "swapper does not sleep");
        self.tasks[curr].ts.__state().set(&*self.mem, TASK_INTERRUPTIBLE);
        self.schedule(cpu);
    }

    /// The irq_work of `cpu` that `Request::IrqWork` asked for.
    pub fn irq_work(&mut self, cpu: CpuId) {
        self.scx_irq_work(cpu);
    }

    /// A timer fires, in softirq context on the executing CPU.
    pub fn timer_fire(&mut self, timer: TimerId) {
        if let Some(ops) = self.ext.ops.clone() {
            self.emit(Event::Timer);
            let call = self.begin_call(&*ops);
            ops.timer(self, timer);
            self.end_call(&*ops, call, "timer", None);
        }
    }

    /// A kthread does `work`.
    pub fn run_work(&mut self, work: Work) {
        self.scx_work(work);
    }
}

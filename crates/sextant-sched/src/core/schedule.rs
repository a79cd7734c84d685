//! `__schedule`: block, pick in class order, switch.
//!
//! ```text
//! 0. a task in migrate_disable is narrowed to this CPU, whatever the pick will be
//! 1. the outgoing task blocks if its state says so (unless preempted)
//! 2. pick: stop, what a deadline server is due to, rt, fair unless skipped, ext if enabled, idle; a class that let go of the runqueue's lock may
//!    have let a higher one in: restart
//! 3. put_prev_task / set_next_task, unless the same task goes on
//! 4. switch; a dead task leaves for good
//! 5. balance callbacks
//! ```

use sextant_abi::CpuId;
use sextant_abi::tables::TracePoint;

use super::flags::*;
use crate::event::Event;
use crate::ext::EnableState;
use crate::sched::Sched;
use crate::task::{OnRq, TaskId};

impl Sched {
    /// `schedule()` or preemption of the running task of `cpu`, whichever its state asks for. The machine calls it on
    /// `Request::Resched`; returns the task that runs now.
    pub fn schedule(&mut self, cpu: CpuId) -> TaskId {
        debug_assert_eq!(cpu, self.this_cpu);
        let prev = self.rqs[cpu.idx()].curr;
        self.migrate_disable_switch(cpu, prev);
        self.update_rq_clock(cpu);
        let state = self.tasks[prev].ts.__state().get(&*self.mem);
        let blocks = state != TASK_RUNNING && self.tasks[prev].on_rq == OnRq::Queued;
        if blocks {
            self.block_task(cpu, prev, state);
        }
        let next = self.pick_next_task(cpu, prev);
        let rq = &mut self.rqs[cpu.idx()];
        rq.next_class = self.tasks[next].class;
        rq.need_resched = false;
        if next != prev {
            self.context_switch(cpu, prev, next, blocks);
        }
        self.scx_rq_clock_invalidate(cpu);
        self.balance_callbacks(cpu);
        self.balance_push(cpu);
        next
    }

    /// `pick_next_task` with `put_prev_set_next_task`.
    fn pick_next_task(&mut self, cpu: CpuId, prev: TaskId) -> TaskId {
        let next = self.pick_task(cpu, prev);
        if next != prev {
            self.put_prev_task(cpu, prev, Some(next));
            self.set_next_task(cpu, next, true);
        }
        next
    }

    fn pick_task(&mut self, cpu: CpuId, prev: TaskId) -> TaskId {
        loop {
            if let Some(p) = self.pick_task_stop(cpu) {
                return p;
            }
            if let Some(p) = self.pick_task_dl(cpu, prev) {
                return p;
            }
            if let Some(p) = self.pick_task_rt(cpu, prev) {
                return p;
            }
            if !self.scx_switched_all()
                && let Some(p) = self.pick_task_fair(cpu)
            {
                return p;
            }
            if self.scx_is_on() {
                if let Some(p) = self.pick_task_scx(cpu, prev) {
                    return p;
                }
                // Dispatching lets other CPUs in: something higher may have come meanwhile.
                if self.higher_than_ext(cpu) {
                    continue;
                }
            }
            return self.pick_task_idle(cpu);
        }
    }

    fn pick_task_stop(&self, cpu: CpuId) -> Option<TaskId> {
        let rq = &self.rqs[cpu.idx()];
        if rq.stop_queued { rq.stop } else { None }
    }

    fn higher_than_ext(&self, cpu: CpuId) -> bool {
        let rq = &self.rqs[cpu.idx()];
        rq.stop_queued || !rq.rt.is_empty() || (!self.scx_switched_all() && rq.fair.nr_queued > 0)
    }

    /// Whether tasks can be in the ext class (`scx_enabled`, with some slack at both ends).
    fn scx_is_on(&self) -> bool {
        self.ext.state() != EnableState::Disabled
    }

    fn context_switch(&mut self, cpu: CpuId, prev: TaskId, next: TaskId, blocked: bool) {
        if self.traces(TracePoint::SchedSwitch) {
            let state = if blocked { self.tasks[prev].ts.__state().get(&*self.mem) } else { 0 };
            let (from, to) = (self.tasks[prev].ts.addr(), self.tasks[next].ts.addr());
            let outer = std::mem::replace(&mut self.ext.ctx.in_switch, true);
            self.trace(TracePoint::SchedSwitch, &[(!blocked).into(), from, to, state.into()]);
            self.ext.ctx.in_switch = outer;
        }
        let mem = &*self.mem;
        let (prev_ts, next_ts) = (self.tasks[prev].ts, self.tasks[next].ts);
        let count = if blocked { prev_ts.nvcsw() } else { prev_ts.nivcsw() };
        count.set(mem, count.get(mem) + 1);
        prev_ts.on_cpu().set(mem, 0);
        next_ts.on_cpu().set(mem, 1);
        let rq = &mut self.rqs[cpu.idx()];
        rq.curr = next;
        rq.nr_switches += 1;
        let nr_switches = rq.nr_switches;
        let rs = self.rq_struct(cpu);
        rs.nr_switches().set(mem, nr_switches);
        rs.running().curr().set(mem, next_ts.addr());
        let prev_runnable = self.tasks[prev].on_rq != OnRq::No;
        self.emit(Event::Switch { prev, prev_runnable, next });
        self.charge(self.cfg.costs.switch_ns);
        if blocked && self.tasks[prev].ts.__state().get(&*self.mem) & TASK_DEAD != 0 {
            self.finish_dead_task(prev);
        }
    }
}

//! Kicks: asynchronous reschedule requests, recorded per CPU and sent from an irq_work.
//!
//! DIVERGES: KICK_WAIT makes the kicking CPU go through a pick, but the wait itself takes no virtual time: an entry is
//! atomic, and the kicked CPU is on its way.

use sextant_abi::types::*;
use sextant_abi::{CpuId, CpuMaskBits};

use super::rq::RqFlags;
use crate::event::Event;
use crate::probe::Probe;
use crate::sched::Sched;
use crate::task::Class;

impl Sched {
    /// `scx_kick_cpu`: `cpu` is valid.
    pub(crate) fn scx_kick_cpu(&mut self, cpu: CpuId, flags: u64) {
        self.probe(Probe::Kick(cpu, flags));
        let this = self.this_cpu;
        if self.scx_bypassing(this) {
            return;
        }
        if flags & SCX_KICK_IDLE != 0 {
            if flags & (SCX_KICK_PREEMPT | SCX_KICK_WAIT) != 0 {
                self.scx_error("PREEMPT/WAIT cannot be used with SCX_KICK_IDLE".into());
            }
            // The kernel looks only if it gets the rq's lock; under an op that holds it (ops.enqueue of a task that leaves its CPU
            // idle), it does not.
            if self.ext.ctx.locked_rq != Some(cpu) && self.can_skip_idle_kick(cpu) {
                return;
            }
            self.rqs[this.idx()].ext.kicks.idle.set(cpu);
        } else {
            let kicks = &mut self.rqs[this.idx()].ext.kicks;
            kicks.kick.set(cpu);
            if flags & SCX_KICK_PREEMPT != 0 {
                kicks.preempt.set(cpu);
            }
            if flags & SCX_KICK_WAIT != 0 {
                kicks.wait.set(cpu);
            }
        }
        self.emit(Event::Kick { cpu, flags });
        self.queue_scx_irq_work(this);
    }

    /// `can_skip_idle_kick`: the CPU is neither idle nor dispatching.
    fn can_skip_idle_kick(&self, cpu: CpuId) -> bool {
        let rq = &self.rqs[cpu.idx()];
        self.tasks[rq.curr].class != Class::Idle && !rq.ext.flags.contains(RqFlags::IN_DISPATCH)
    }

    /// Asks for `scx_irq_work` on a CPU, once.
    pub(crate) fn queue_scx_irq_work(&mut self, cpu: CpuId) {
        if !std::mem::replace(&mut self.rqs[cpu.idx()].ext.irq_work_pending, true) {
            self.queue_irq_work(cpu);
        }
    }

    /// `kick_cpus_irq_workfn`
    pub(crate) fn kick_cpus(&mut self, this: CpuId) {
        let mut should_wait = false;
        let mut from = 0;
        while let Some(cpu) = take_from(&mut self.rqs[this.idx()].ext.kicks.kick, from) {
            should_wait |= self.kick_one_cpu(this, cpu);
            self.rqs[this.idx()].ext.kicks.idle.clear(cpu);
            from = cpu.0 + 1;
        }
        from = 0;
        while let Some(cpu) = take_from(&mut self.rqs[this.idx()].ext.kicks.idle, from) {
            if !self.can_skip_idle_kick(cpu) && (self.cpu_online(cpu) || cpu == this) {
                self.resched_curr(cpu);
            }
            from = cpu.0 + 1;
        }
        if should_wait {
            self.rqs[this.idx()].ext.kick_sync_pending = true;
            self.resched_curr(this);
        }
    }

    /// `kick_one_cpu`: whether `this` must wait for it.
    fn kick_one_cpu(&mut self, this: CpuId, cpu: CpuId) -> bool {
        let kicks = &mut self.rqs[this.idx()].ext.kicks;
        let (preempt, wait) = (kicks.preempt.clear(cpu), kicks.wait.clear(cpu));
        let curr = self.rqs[cpu.idx()].curr;
        let class = self.tasks[curr].class;
        if class < Class::Ext || !(self.cpu_online(cpu) || cpu == this) {
            return false;
        }
        if preempt && class == Class::Ext {
            self.set_task_slice(curr, 0);
        }
        self.resched_curr(cpu);
        let wait = wait && class == Class::Ext;
        if wait {
            self.rqs[this.idx()].ext.kicks.sync.set(cpu);
        }
        wait
    }
}

/// Takes the lowest CPU not below `from` out.
fn take_from(mask: &mut CpuMaskBits, from: u32) -> Option<CpuId> {
    let cpu = mask.next_from(from)?;
    mask.clear(cpu);
    Some(cpu)
}

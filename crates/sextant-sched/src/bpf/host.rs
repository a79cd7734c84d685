//! The kernel around a running program, as the vm asks for it.

use sextant_abi::tables::{KFUNCS, KfuncId};
use sextant_abi::{CpuId, Ns};
use sextant_vm::{Host, Trap, Vm};

use super::BpfOps;
use super::call::Call;
use crate::event::Event;
use crate::sched::{Request, Sched, TimerId};

/// The scheduler a program runs in, for the time of one run.
pub(super) struct KernelHost<'a> {
    pub(super) s: &'a mut Sched,
    pub(super) ops: &'a BpfOps,
    /// Instructions of this run that have been charged.
    pub(super) charged: u64,
}

impl KernelHost<'_> {
    /// Brings the clock up to `insns` executed instructions of this run.
    pub(super) fn settle(&mut self, insns: u64) {
        let executed = insns.saturating_sub(self.charged);
        self.ops.insns.set(self.ops.insns.get() + executed);
        self.ops.charge_insns(self.s, executed);
        self.charged = insns;
    }
}

impl Host for KernelHost<'_> {
    fn ktime_ns(&mut self, insns: u64) -> u64 {
        self.settle(insns);
        self.s.now.0
    }

    fn jiffies(&mut self) -> u64 {
        self.s.jiffies()
    }

    fn cpu(&self) -> u32 {
        self.s.this_cpu.0
    }

    fn nr_cpus(&self) -> u32 {
        self.s.cfg.nr_cpus
    }

    fn current_task(&self) -> u64 {
        self.s.tasks[self.s.current()].ts.addr()
    }

    fn prandom_u32(&mut self) -> u32 {
        self.s.prandom_u32()
    }

    fn printk(&mut self, text: &str) {
        self.s.emit(Event::Printk { text: text.to_owned() });
    }

    fn kfunc(&mut self, vm: &Vm, id: u32, args: [u64; 5]) -> Result<u64, Trap> {
        self.settle(vm.insns());
        self.s.charge(self.s.cfg.costs.kfunc_ns);
        let name = KFUNCS.get(id as usize).map_or("unknown kfunc", |kfunc| kfunc.name);
        let Some(handler) = self.ops.handlers.get(id as usize).copied().flatten() else {
            return Err(Trap::kfunc(format!("{name}: not implemented")));
        };
        let watch = self.ops.watch.as_deref().zip(KfuncId::from_index(id));
        if let Some((watch, kfunc)) = watch {
            watch.before(self.s, kfunc, args);
        }
        let ret = handler(&mut Call { s: self.s, ops: self.ops, vm, args, name })?;
        Ok(watch.map_or(ret, |(watch, kfunc)| watch.after(self.s, kfunc, args, ret)))
    }

    fn core_kfunc(&mut self, insns: u64) {
        self.settle(insns);
        self.s.charge(self.s.cfg.costs.kfunc_ns);
    }

    fn refill(&mut self, insns: u64) -> u64 {
        self.more(insns)
    }

    fn timer_start(&mut self, timer: u64, at_ns: u64, _pinned: bool) {
        let cpu: CpuId = self.s.this_cpu;
        self.s.requests.push(Request::TimerArm { timer: TimerId(timer), cpu, at: Ns(at_ns) });
    }

    fn timer_cancel(&mut self, timer: u64) -> bool {
        self.s.requests.push(Request::TimerCancel(TimerId(timer)));
        true
    }

    fn irqs_disabled(&self) -> bool {
        self.s.ext.ctx.irqs_off()
    }

    fn numa_node(&self) -> u32 {
        self.s.topology.node_of(self.s.this_cpu)
    }

    fn current_cgroup_id(&self, level: Option<i32>) -> u64 {
        let cgroups = &self.s.cgroups;
        let own = self.s.tasks[self.s.current()].cgroup;
        let ancestor = std::iter::successors(Some(own), |&id| cgroups[id].parent)
            .find(|&id| level.is_none_or(|level| level >= 0 && cgroups[id].level == level as u32));
        ancestor.map_or(0, |id| self.s.cgroup_id(cgroups[id].cgrp.addr()))
    }

    fn task_alive(&self, task: u64) -> bool {
        self.s.tasks.from_addr(task).is_some_and(|p| self.s.tasks[p].refs > 0)
    }
}

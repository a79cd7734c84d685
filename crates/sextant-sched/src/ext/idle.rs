//! Built-in idle tracking and the default CPU selection. Mirrors kernel/sched/ext/idle.c.
//!
//! The masks are in BPF-visible memory, since programs read them live. They are all busy when a scheduler is enabled and
//! fill as CPUs pick idle again when bypass ends. Left out, with their place marked: SMT (the smt mask is the cpu
//! mask without SMT), LLC and NUMA preference, per-node masks.

use sextant_abi::types::*;
use sextant_abi::{CpuId, Mem, ObjKind};

use super::rq::RqFlags;
use crate::core::flags::PF_EXITING;
use crate::event::Event;
use crate::ops::Op;
use crate::probe::Probe;
use crate::sched::{KMem, Sched};
use crate::task::TaskId;

/// EBUSY, as kfuncs return it: no CPU.
pub(crate) const EBUSY: i32 = -16;

/// The CPU sets that programs can look at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Masks {
    /// Idle CPUs.
    pub idle: Cpumask,
    /// What is returned beside an error.
    pub empty: Cpumask,
    pub possible: Cpumask,
    pub online: Cpumask,
}

impl Masks {
    fn new(mem: &KMem, nr_cpus: u32, offline: &[CpuId]) -> Self {
        let alloc = || Cpumask::at(mem.alloc(ObjKind::Kernel, Cpumask::SIZE));
        let m = Self { idle: alloc(), empty: alloc(), possible: alloc(), online: alloc() };
        m.possible.setall(mem, nr_cpus);
        m.online.setall(mem, nr_cpus);
        offline.iter().for_each(|cpu| m.online.clear_cpu(mem, cpu.0));
        m
    }
}

impl Sched {
    /// The masks, made when first needed.
    pub(crate) fn masks(&mut self) -> Masks {
        *self.ext.masks.get_or_insert_with(|| {
            let off: Vec<CpuId> = self.rqs.iter().filter(|rq| !rq.cpu_online).map(|rq| rq.cpu).collect();
            Masks::new(&self.mem, self.cfg.nr_cpus, &off)
        })
    }

    /// `scx_idle_enable`
    pub(crate) fn scx_idle_enable(&mut self, has_update_idle: bool) {
        self.ext.builtin_idle = !has_update_idle || self.ext.flags & SCX_OPS_KEEP_BUILTIN_IDLE != 0;
        let masks = self.masks();
        masks.idle.clear(&*self.mem);
    }

    fn idle_mask(&self) -> Option<Cpumask> {
        self.ext.masks.map(|m| m.idle)
    }

    /// `update_builtin_idle`
    fn update_builtin_idle(&mut self, cpu: CpuId, idle: bool) {
        let Some(mask) = self.idle_mask() else { return };
        if mask.test_cpu(&*self.mem, cpu.0) == idle {
            return;
        }
        if idle {
            mask.set_cpu(&*self.mem, cpu.0);
        } else {
            mask.clear_cpu(&*self.mem, cpu.0);
        }
        // smt: all siblings idle sets all of them, one leaving clears them.
        self.emit(Event::Idle { cpu, idle });
    }

    /// `__scx_update_idle`: the mask first, then ops.update_idle on real transitions and where bypass owes one.
    pub(super) fn do_update_idle(&mut self, cpu: CpuId, idle: bool, do_notify: bool) {
        if self.ext.builtin_idle {
            self.update_builtin_idle(cpu, idle);
        }
        let owed = RqFlags::ROOT_IDLE_RENOTIFY;
        let renotify = self.rqs[cpu.idx()].ext.flags.contains(owed);
        if do_notify || (idle && renotify) {
            self.rqs[cpu.idx()].ext.flags.remove(owed);
            if self.ext.has(Op::UpdateIdle) && !self.scx_bypassing(cpu) {
                self.op_update_idle(cpu, idle);
            }
        }
    }

    /// `scx_idle_test_and_clear_cpu`: claims an idle CPU; whether it was idle.
    pub(crate) fn idle_test_and_clear_cpu(&mut self, cpu: CpuId) -> bool {
        let was = self.idle_mask().is_some_and(|m| m.test_cpu(&*self.mem, cpu.0));
        if was {
            self.update_builtin_idle(cpu, false);
        }
        self.probe(Probe::IdleClaim(cpu, was));
        was
    }

    /// `scx_pick_idle_cpu`: claims an idle CPU of `allowed` (all of `also` too), rotating; or -EBUSY.
    pub(crate) fn pick_idle_cpu(&mut self, allowed: Cpumask, also: Option<Cpumask>) -> i32 {
        let Some(idle) = self.idle_mask() else { return EBUSY };
        // smt: full-idle cores first.
        let found = match self.any_and_distribute(idle, allowed, also) {
            Some(cpu) => {
                self.idle_test_and_clear_cpu(cpu);
                cpu.0 as i32
            }
            None => EBUSY,
        };
        self.probe(Probe::IdlePick(found));
        found
    }

    /// `cpumask_any_and_distribute`: the next CPU of the intersection behind the one this CPU got last.
    pub(crate) fn any_and_distribute(&mut self, a: Cpumask, b: Cpumask, c: Option<Cpumask>) -> Option<CpuId> {
        let last = self.ext.distribute_prev[self.this_cpu.idx()];
        let nr = self.cfg.nr_cpus;
        let cpu = self.next_and(a, b, c, last + 1, nr).or_else(|| self.next_and(a, b, c, 0, last + 1))?;
        self.ext.distribute_prev[self.this_cpu.idx()] = cpu.0;
        Some(cpu)
    }

    /// The lowest CPU in `from..to` that all the masks have.
    fn next_and(&self, a: Cpumask, b: Cpumask, c: Option<Cpumask>, from: u32, to: u32) -> Option<CpuId> {
        let mem = &*self.mem;
        let to = to.min(self.cfg.nr_cpus);
        let mut at = from;
        while at < to {
            let i = (at / 64) as usize;
            let mut word = a.bits().at(i).get(mem) & b.bits().at(i).get(mem) & u64::MAX << (at % 64);
            if let Some(c) = c {
                word &= c.bits().at(i).get(mem);
            }
            if word != 0 {
                let cpu = i as u32 * 64 + word.trailing_zeros();
                return (cpu < to).then_some(CpuId(cpu));
            }
            at = (i as u32 + 1) * 64;
        }
        None
    }

    /// `scx_select_cpu_dfl`: a claimed idle CPU, or negative. `allowed` narrows the affinity.
    pub(crate) fn select_cpu_dfl(
        &mut self,
        p: TaskId,
        prev: CpuId,
        wake_flags: u64,
        allowed: Option<Cpumask>,
    ) -> i32 {
        let found = self.do_select_cpu_dfl(p, prev, wake_flags, allowed);
        self.probe(Probe::SelectDfl(p, found));
        found
    }

    fn do_select_cpu_dfl(
        &mut self,
        p: TaskId,
        prev: CpuId,
        wake_flags: u64,
        allowed: Option<Cpumask>,
    ) -> i32 {
        let nr = self.cfg.nr_cpus;
        let cpus = self.tasks[p].ts.cpus(&*self.mem);
        if allowed.is_some_and(|a| !a.intersects(&*self.mem, cpus, nr)) {
            return EBUSY;
        }
        let ok = |s: &Self, cpu: CpuId| {
            cpus.test_cpu(&*s.mem, cpu.0) && allowed.is_none_or(|a| a.test_cpu(&*s.mem, cpu.0))
        };
        let prev_ok = ok(self, prev);
        if wake_flags & SCX_WAKE_SYNC != 0 {
            // llc: prev only if it shares the waker's cache; one LLC now.
            if prev_ok && self.idle_test_and_clear_cpu(prev) {
                return prev.0 as i32;
            }
            let this = self.this_cpu;
            if self.waker_cpu_is_free(this) && ok(self, this) {
                self.idle_test_and_clear_cpu(this);
                return this.0 as i32;
            }
        }
        // smt: prev on a full-idle core, then such cores in llc, numa, anywhere.
        if prev_ok && self.idle_test_and_clear_cpu(prev) {
            return prev.0 as i32;
        }
        // smt: an idle sibling of prev; llc and numa: an idle CPU there.
        self.pick_idle_cpu(cpus, allowed)
    }

    /// A synchronous waker gives its CPU away: it lives on, nothing waits here, and some CPU is idle (no overload).
    fn waker_cpu_is_free(&self, this: CpuId) -> bool {
        let exiting = self.tasks[self.current()].ts.flags().get(&*self.mem) & PF_EXITING != 0;
        let some_idle = self.idle_mask().is_some_and(|m| !m.is_empty(&*self.mem, self.cfg.nr_cpus));
        !exiting && self.local_nr(this) == 0 && some_idle
    }
}

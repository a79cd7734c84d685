//! Built-in idle tracking and the default CPU selection. Mirrors kernel/sched/ext/idle.c.
//!
//! The masks are in BPF-visible memory, since programs read them live. They are all busy when a scheduler is enabled and
//! fill as CPUs pick idle again when bypass ends. With SCX_OPS_BUILTIN_IDLE_PER_NODE there is a pair of masks per node and the
//! machine's own are not kept.

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

/// `struct scx_idle_cpus`: of the machine, or of a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IdleSet {
    /// Idle CPUs.
    pub cpu: Cpumask,
    /// CPUs of cores that are idle as a whole; not kept without SMT.
    pub smt: Cpumask,
}

/// The CPU sets that programs can look at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Masks {
    /// Idle CPUs.
    pub idle: Cpumask,
    /// CPUs of idle cores.
    pub smt: Cpumask,
    /// What is returned beside an error.
    pub empty: Cpumask,
    pub possible: Cpumask,
    pub online: Cpumask,
}

impl Masks {
    fn new(mem: &KMem, nr_cpus: u32, offline: &[CpuId]) -> Self {
        let alloc = || Cpumask::at(mem.alloc(ObjKind::Kernel, Cpumask::SIZE));
        let m = Self { idle: alloc(), smt: alloc(), empty: alloc(), possible: alloc(), online: alloc() };
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
        let per_node = self.idle_per_node();
        let masks = self.masks();
        let mem = self.mem.clone();
        let alloc = || Cpumask::at(mem.alloc(ObjKind::Kernel, Cpumask::SIZE));
        if per_node && self.ext.node_masks.is_empty() {
            let nodes = 0..self.topology.shape().nodes;
            self.ext.node_masks = nodes.map(|_| IdleSet { cpu: alloc(), smt: alloc() }).collect();
        }
        let global = IdleSet { cpu: masks.idle, smt: masks.smt };
        for set in self.ext.node_masks.iter().chain([&global]) {
            set.cpu.clear(&*mem);
            set.smt.clear(&*mem);
        }
        self.update_selcpu_topology(per_node);
    }

    /// `scx_builtin_idle_per_node`
    pub(crate) fn idle_per_node(&self) -> bool {
        self.ext.flags & SCX_OPS_BUILTIN_IDLE_PER_NODE != 0
    }

    /// `scx_cpu_node_if_enabled`: None stands for the machine's own masks.
    pub(crate) fn node_if_enabled(&self, cpu: CpuId) -> Option<u32> {
        self.idle_per_node().then(|| self.topology.node_of(cpu))
    }

    /// `idle_cpumask`
    pub(crate) fn idle_set(&self, node: Option<u32>) -> Option<IdleSet> {
        match node {
            Some(node) => self.ext.node_masks.get(node as usize).copied(),
            None => self.ext.masks.map(|m| IdleSet { cpu: m.idle, smt: m.smt }),
        }
    }

    /// `update_builtin_idle`
    fn update_builtin_idle(&mut self, cpu: CpuId, idle: bool) {
        let Some(set) = self.idle_set(self.node_if_enabled(cpu)) else { return };
        let mem = &*self.mem;
        let changed = set.cpu.test_cpu(mem, cpu.0) != idle;
        if changed {
            if idle { set.cpu.set_cpu(mem, cpu.0) } else { set.cpu.clear_cpu(mem, cpu.0) }
        }
        if self.topology.smt() {
            let core = || self.smt_mask(cpu);
            if !idle {
                core().for_each(|c| set.smt.clear_cpu(mem, c.0));
            } else if core().all(|c| set.cpu.test_cpu(mem, c.0)) {
                core().for_each(|c| set.smt.set_cpu(mem, c.0));
            }
        }
        if changed {
            self.emit(Event::Idle { cpu, idle });
        }
    }

    /// `cpu_smt_mask`: the online threads of the core.
    fn smt_mask(&self, cpu: CpuId) -> impl Iterator<Item = CpuId> + '_ {
        self.topology.core_of(cpu).filter(|&c| self.cpu_online(c))
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

    /// `scx_idle_test_and_clear_cpu`: claims an idle CPU; whether it was idle. Its core is not idle as a whole either way.
    pub(crate) fn idle_test_and_clear_cpu(&mut self, cpu: CpuId) -> bool {
        let Some(set) = self.idle_set(self.node_if_enabled(cpu)) else { return false };
        let mem = &*self.mem;
        if self.topology.smt() {
            self.smt_mask(cpu).chain([cpu]).for_each(|c| set.smt.clear_cpu(mem, c.0));
        }
        let was = set.cpu.test_cpu(mem, cpu.0);
        if was {
            set.cpu.clear_cpu(mem, cpu.0);
            self.emit(Event::Idle { cpu, idle: false });
        }
        self.probe(Probe::IdleClaim(cpu, was));
        was
    }

    /// `scx_pick_idle_cpu`: claims an idle CPU that all of `allowed` have, `node`'s first; or -EBUSY.
    pub(crate) fn pick_idle_cpu(&mut self, allowed: &[Cpumask], node: Option<u32>, flags: u64) -> i32 {
        let found = self.pick_idle_cpu_from(allowed, node, flags);
        self.probe(Probe::IdlePick(found));
        found
    }

    fn pick_idle_cpu_from(&mut self, allowed: &[Cpumask], node: Option<u32>, flags: u64) -> i32 {
        let found = self.pick_idle_cpu_in_node(allowed, node, flags);
        let Some(node) = node.filter(|_| found < 0 && flags & SCX_PICK_IDLE_IN_NODE == 0) else {
            return found;
        };
        // By distance: all others are equally far.
        (0..self.topology.shape().nodes)
            .filter(|&other| other != node)
            .find_map(|other| {
                let cpu = self.pick_idle_cpu_in_node(allowed, Some(other), flags);
                (cpu >= 0).then_some(cpu)
            })
            .unwrap_or(EBUSY)
    }

    /// `pick_idle_cpu_in_node`: idle cores first, rotating.
    fn pick_idle_cpu_in_node(&mut self, allowed: &[Cpumask], node: Option<u32>, flags: u64) -> i32 {
        let Some(set) = self.idle_set(node) else { return EBUSY };
        loop {
            let core = if self.topology.smt() { self.any_and_distribute(set.smt, allowed) } else { None };
            let found = match core {
                None if self.topology.smt() && flags & SCX_PICK_IDLE_CORE != 0 => None,
                None => self.any_and_distribute(set.cpu, allowed),
                core => core,
            };
            let Some(cpu) = found else { return EBUSY };
            if self.idle_test_and_clear_cpu(cpu) {
                return cpu.0 as i32;
            }
        }
    }

    /// `cpumask_any_and_distribute`: the next CPU of the intersection behind the one this CPU got last.
    pub(crate) fn any_and_distribute(&mut self, a: Cpumask, others: &[Cpumask]) -> Option<CpuId> {
        let last = self.ext.distribute_prev[self.this_cpu.idx()];
        let nr = self.cfg.nr_cpus;
        let cpu = self.next_and(a, others, last + 1, nr).or_else(|| self.next_and(a, others, 0, last + 1))?;
        self.ext.distribute_prev[self.this_cpu.idx()] = cpu.0;
        Some(cpu)
    }

    /// The lowest CPU in `from..to` that all the masks have.
    fn next_and(&self, a: Cpumask, others: &[Cpumask], from: u32, to: u32) -> Option<CpuId> {
        let mem = &*self.mem;
        let to = to.min(self.cfg.nr_cpus);
        let mut at = from;
        while at < to {
            let i = (at / 64) as usize;
            let mut word = a.bits().at(i).get(mem) & u64::MAX << (at % 64);
            for other in others {
                word &= other.bits().at(i).get(mem);
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
        flags: u64,
    ) -> i32 {
        let cpus = self.tasks[p].ts.cpus(&*self.mem);
        let usable = Usable { masks: [cpus, allowed.unwrap_or(cpus)], prev };
        let found = self.do_select_cpu_dfl(&usable, wake_flags, flags);
        self.probe(Probe::SelectDfl(p, found));
        found
    }

    fn do_select_cpu_dfl(&mut self, u: &Usable, wake_flags: u64, flags: u64) -> i32 {
        let (prev, node) = (u.prev, self.node_if_enabled(u.prev));
        let [cpus, allowed] = u.masks;
        if cpus != allowed && !allowed.intersects(&*self.mem, cpus, self.cfg.nr_cpus) {
            return EBUSY;
        }
        let prev_ok = u.has(&self.mem, prev);
        if wake_flags & SCX_WAKE_SYNC != 0
            && let Some(cpu) = self.select_sync(u, prev_ok, flags)
        {
            return cpu.0 as i32;
        }
        let [llc, numa] = [self.llc_cpus(prev), self.numa_cpus(prev)];
        if self.topology.smt() {
            let whole = self.idle_set(node).is_some_and(|set| set.smt.test_cpu(&*self.mem, prev.0));
            if prev_ok && whole && self.idle_test_and_clear_cpu(prev) {
                return prev.0 as i32;
            }
            let core = flags | SCX_PICK_IDLE_CORE;
            let cpu = self.pick_near(u, [llc, numa], node, SCX_PICK_IDLE_CORE, core);
            if cpu >= 0 || flags & SCX_PICK_IDLE_CORE != 0 {
                return cpu;
            }
        }
        if prev_ok && self.idle_test_and_clear_cpu(prev) {
            return prev.0 as i32;
        }
        if self.topology.smt()
            && let Some(sibling) = self.claim_sibling(u)
        {
            return sibling.0 as i32;
        }
        self.pick_near(u, [llc, numa], node, 0, flags)
    }

    /// An idle CPU in the spans, in order, then anywhere.
    fn pick_near(
        &mut self,
        u: &Usable,
        spans: [Option<Cpumask>; 2],
        node: Option<u32>,
        near: u64,
        far: u64,
    ) -> i32 {
        let [cpus, allowed] = u.masks;
        for span in spans.into_iter().flatten() {
            let cpu = self.pick_idle_cpu_in_node(&[cpus, allowed, span], node, near);
            if cpu >= 0 {
                return cpu;
            }
        }
        if cpus == allowed {
            return self.pick_idle_cpu(&[cpus], node, far);
        }
        self.pick_idle_cpu(&[cpus, allowed], node, far)
    }

    /// The span of the last-level cache, where that narrows anything.
    fn llc_cpus(&self, cpu: CpuId) -> Option<Cpumask> {
        if self.ext.selcpu.llc { self.topology.llc_span(cpu) } else { None }
    }

    fn numa_cpus(&self, cpu: CpuId) -> Option<Cpumask> {
        if self.ext.selcpu.numa { self.topology.node_span(self.topology.node_of(cpu)) } else { None }
    }

    /// A synchronous wakeup: prev if it is idle and shares the waker's cache, else the waker's own CPU if that is free.
    fn select_sync(&mut self, u: &Usable, prev_ok: bool, flags: u64) -> Option<CpuId> {
        let this = self.this_cpu;
        if prev_ok && self.topology.share_cache(this, u.prev) && self.idle_test_and_clear_cpu(u.prev) {
            return Some(u.prev);
        }
        let (node, waker_node) = (self.node_if_enabled(u.prev), self.node_if_enabled(this));
        let near = flags & SCX_PICK_IDLE_IN_NODE == 0 || node == waker_node;
        if near && self.waker_cpu_is_free(this, waker_node) && u.has(&self.mem, this) {
            self.idle_test_and_clear_cpu(this);
            return Some(this);
        }
        None
    }

    /// A synchronous waker gives its CPU away: it lives on, nothing waits here, and some CPU is idle (no overload).
    fn waker_cpu_is_free(&self, this: CpuId, node: Option<u32>) -> bool {
        let exiting = self.tasks[self.current()].ts.flags().get(&*self.mem) & PF_EXITING != 0;
        let some_idle =
            self.idle_set(node).is_some_and(|set| !set.cpu.is_empty(&*self.mem, self.cfg.nr_cpus));
        !exiting && self.local_nr(this) == 0 && some_idle
    }

    fn claim_sibling(&mut self, u: &Usable) -> Option<CpuId> {
        let siblings: Vec<CpuId> = self.smt_mask(u.prev).filter(|&c| c != u.prev).collect();
        siblings.into_iter().find(|&c| u.has(&self.mem, c) && self.idle_test_and_clear_cpu(c))
    }
}

/// What a default selection may choose from.
struct Usable {
    /// The affinity, and what narrows it (or the affinity again).
    masks: [Cpumask; 2],
    prev: CpuId,
}

impl Usable {
    fn has(&self, mem: &KMem, cpu: CpuId) -> bool {
        self.masks.iter().all(|m| m.test_cpu(mem, cpu.0))
    }
}

//! Which CPUs share what: threads of a core, a last-level cache, a node. Counts only; CPUs are numbered from the inside out:
//! the threads of a core are neighbours, so are the cores of a cache, so are the caches of a node.
//!
//! Mirrors what sched_ext reads of kernel/sched/topology.c: `cpu_smt_mask`, `sd_llc`, `sd_numa`, `cpu_to_node`. Left out:
//! distances (every other node is as far), capacities, uneven machines.

use sextant_abi::types::Cpumask;
use sextant_abi::{CpuId, Mem, ObjKind};

use crate::sched::{KMem, Sched};

/// How many of each: per machine, per node, per cache, per core.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    /// NUMA nodes of the machine.
    pub nodes: u32,
    /// Last-level caches of a node.
    pub llcs: u32,
    /// Cores of a last-level cache.
    pub cores: u32,
    /// Threads of a core.
    pub threads: u32,
}

impl Shape {
    /// One node, one cache, no SMT.
    pub const fn flat(nr_cpus: u32) -> Self {
        Self { nodes: 1, llcs: 1, cores: nr_cpus, threads: 1 }
    }

    /// CPUs of the machine; None when that is no number of CPUs.
    pub fn nr_cpus(&self) -> Option<u32> {
        let parts = [self.nodes, self.llcs, self.cores, self.threads];
        parts.into_iter().try_fold(1u32, u32::checked_mul).filter(|&n| n > 0)
    }

    /// The number of a CPU's last-level cache. Mirrors `sd_llc_id`.
    pub fn llc_of(&self, cpu: u32) -> u32 {
        cpu / self.per_llc().max(1)
    }

    /// CPUs of a last-level cache. Mirrors `sd_llc_size`.
    pub fn llc_size(&self) -> u32 {
        self.per_llc()
    }

    fn per_llc(&self) -> u32 {
        self.cores * self.threads
    }

    fn per_node(&self) -> u32 {
        self.llcs * self.per_llc()
    }
}

/// The machine's shape, and the masks of online CPUs that follow from it (none for a flat machine).
#[derive(Debug)]
pub struct Topology {
    shape: Shape,
    llcs: Vec<Cpumask>,
    nodes: Vec<Cpumask>,
}

impl Topology {
    /// One node, one cache, no SMT.
    pub(crate) fn flat(nr_cpus: u32) -> Self {
        Self { shape: Shape::flat(nr_cpus), llcs: Vec::new(), nodes: Vec::new() }
    }

    fn new(shape: Shape, mem: &KMem) -> Self {
        let mask = |first: u32, n: u32| {
            let m = Cpumask::at(mem.alloc(ObjKind::Kernel, Cpumask::SIZE));
            (first..first + n).for_each(|cpu| m.set_cpu(mem, cpu));
            m
        };
        let (per_llc, per_node) = (shape.per_llc(), shape.per_node());
        let llcs = (0..shape.nodes * shape.llcs).map(|i| mask(i * per_llc, per_llc)).collect();
        let nodes = (0..shape.nodes).map(|i| mask(i * per_node, per_node)).collect();
        Self { shape, llcs, nodes }
    }

    /// The counts.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// `sched_smt_active`: cores have several threads.
    pub(crate) fn smt(&self) -> bool {
        self.shape.threads > 1
    }

    /// `cpu_to_node`
    pub fn node_of(&self, cpu: CpuId) -> u32 {
        if self.shape.nodes == 1 { 0 } else { cpu.0 / self.shape.per_node() }
    }

    /// `cpus_share_cache`
    pub(crate) fn share_cache(&self, a: CpuId, b: CpuId) -> bool {
        self.llcs.is_empty() || a.0 / self.shape.per_llc() == b.0 / self.shape.per_llc()
    }

    /// The threads of a CPU's core, itself included.
    pub(crate) fn core_of(&self, cpu: CpuId) -> impl Iterator<Item = CpuId> + use<> {
        let first = cpu.0 - cpu.0 % self.shape.threads;
        (first..first + self.shape.threads).map(CpuId)
    }

    /// Online CPUs that share the last-level cache; None for a flat machine.
    pub(crate) fn llc_span(&self, cpu: CpuId) -> Option<Cpumask> {
        self.llcs.get((cpu.0 / self.shape.per_llc()) as usize).copied()
    }

    /// Online CPUs of a node; None for a flat machine.
    pub(crate) fn node_span(&self, node: u32) -> Option<Cpumask> {
        self.nodes.get(node as usize).copied()
    }
}

impl Sched {
    /// Gives the machine a shape, before anything runs on it.
    ///
    /// # Panics
    /// When the shape is of another number of CPUs.
    pub fn set_topology(&mut self, shape: Shape) {
        assert_eq!(shape.nr_cpus(), Some(self.cfg.nr_cpus), "{shape:?}");
        if shape == Shape::flat(self.cfg.nr_cpus) {
            return;
        }
        self.topology = Topology::new(shape, &self.mem);
        self.ext.dsqs.set_nodes(shape.nodes, shape.per_node());
    }

    /// A CPU has gone or come: the spans hold those online.
    pub(crate) fn update_spans(&mut self, cpu: CpuId, online: bool) {
        let spans = [self.topology.llc_span(cpu), self.topology.node_span(self.topology.node_of(cpu))];
        for span in spans.into_iter().flatten().chain([self.effective_cpus()]) {
            if online { span.set_cpu(&*self.mem, cpu.0) } else { span.clear_cpu(&*self.mem, cpu.0) }
        }
    }

    /// `scx_idle_update_selcpu_topology`: whether the default selection looks at caches and nodes, by the online CPUs.
    pub(crate) fn update_selcpu_topology(&mut self, per_node: bool) {
        let (mem, nr) = (&*self.mem, self.cfg.nr_cpus);
        let online = || self.rqs.iter().filter(|rq| rq.active).map(|rq| rq.cpu);
        let nr_online = online().count() as u32;
        let first = online().next().unwrap_or(CpuId(0));
        let t = &self.topology;
        // A domain of one CPU is none.
        let llc = |cpu| t.llc_span(cpu).map(|m| m.weight(mem, nr)).filter(|&w| w > 1).unwrap_or(0);
        let node =
            |cpu| t.node_span(t.node_of(cpu)).filter(|_| t.shape.nodes > 1).map_or(0, |m| m.weight(mem, nr));
        let llc_on = llc(first) > 0 && llc(first) < nr_online;
        let mismatch = online().any(|cpu| llc(cpu) != node(cpu));
        let numa_on = !per_node && node(first) > 0 && node(first) < nr_online && mismatch;
        self.ext.selcpu = SelcpuTopology { llc: llc_on, numa: numa_on };
    }
}

/// `scx_selcpu_topo_llc`, `scx_selcpu_topo_numa`
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct SelcpuTopology {
    pub llc: bool,
    pub numa: bool,
}

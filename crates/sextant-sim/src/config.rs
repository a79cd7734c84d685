//! What goes into a run and what comes out: configuration, errors, the sink of events, the outcome.

use std::collections::BTreeMap;

use sextant_abi::{CpuId, Ns};
use sextant_sched::ext::LongCall;
use sextant_sched::topology::Shape;
use sextant_sched::{CgroupError, Event, Sched};

use crate::interp::find_busy_loop;
use crate::long::LongCalls;
use crate::script::Command;
use crate::stats::{CpuResult, GroupResult, TaskResult};
use crate::swap::SwapResult;
use crate::workload::{SpecId, Workload};

/// What a machine is like.
#[derive(Clone, Debug)]
pub struct SimConfig {
    /// CPUs, 1..=8192.
    pub nr_cpus: u32,
    /// What shares cores, caches and nodes; None: one node, one cache, no SMT. Must have `nr_cpus` CPUs.
    pub machine: Option<Shape>,
    /// Drives `get_prandom`, start offsets and cost noise, nothing else.
    pub seed: u64,
    /// No start offsets, no costs, no noise.
    pub ideal: bool,
    /// Overrides the workload's.
    pub duration: Option<Ns>,
    /// Check all invariants after every entry (slow; debug builds do it now and then anyway).
    pub check: bool,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self { nr_cpus: 8, machine: None, seed: 1, ideal: false, duration: None, check: false }
    }
}

/// Why a simulation cannot be made or go on.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SimError {
    /// Number of CPUs out of range.
    #[error("{0} CPUs: a machine has 1 to 8192")]
    NrCpus(u32),
    /// A shape of another size.
    #[error("a machine of {nr_cpus} CPUs cannot be {shape:?}")]
    Shape {
        /// As given.
        shape: Shape,
        /// As given.
        nr_cpus: u32,
    },
    /// An affinity without any existing CPU.
    #[error("task \"{task}\": none of its cpus {cpus:?} exists on a machine of {nr_cpus} CPUs")]
    Affinity {
        /// Name in the workload.
        task: String,
        /// As given.
        cpus: Vec<CpuId>,
        /// What there is.
        nr_cpus: u32,
    },
    /// An event about a CPU that does not exist.
    #[error("an event takes CPU {cpu} on- or offline: the machine has {nr_cpus} CPUs")]
    NoCpu {
        /// As given.
        cpu: CpuId,
        /// What there is.
        nr_cpus: u32,
    },
    /// A loop that never lets time pass.
    #[error("task \"{task}\" loops forever without using time: add a run or a sleep to its loop")]
    BusyLoop {
        /// Name in the workload.
        task: String,
    },
    /// A cgroup of the workload that cannot be made as it says.
    #[error("cgroup {path}: {error}")]
    Cgroup {
        /// As given.
        path: String,
        /// Why not.
        error: CgroupError,
    },
    /// Actions go on and on at one instant.
    #[error(
        "too much happens at one instant, {at:?} (running: {task}): its actions take no time{}; add a run or a sleep to them",
        if *ideal { ", since --ideal leaves all costs out" } else { "" }
    )]
    NoProgress {
        /// When.
        at: Ns,
        /// `comm`
        task: String,
        /// Whether the costs were left out.
        ideal: bool,
    },
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The duration was over.
    Duration,
    /// Every workload task has exited.
    AllExited,
    /// The sink said so.
    Stopped,
    /// Every workload task that is left waits to be resumed, and nobody is left to do it (no duration given).
    AllSuspended,
}

/// What a run gave.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Why it ended.
    pub ended: Ended,
    /// When.
    pub now: Ns,
    /// How long the figures below are of: `now`, or the time until the scheduler ended by itself.
    pub own: Ns,
    /// Workload tasks by pid: in file order, then those forked later.
    pub tasks: Vec<TaskResult>,
    /// One for each description in the workload that had a task, in file order.
    pub groups: Vec<GroupResult>,
    /// The machine's own tasks, without swapper.
    pub system_tasks: Vec<TaskResult>,
    /// Per CPU.
    pub cpus: Vec<CpuResult>,
    /// Forks that ops.init_task refused: description, errno.
    pub refused_forks: BTreeMap<(SpecId, i32), u64>,
    /// Forks that failed with EAGAIN because [`MAX_TASKS`](crate::MAX_TASKS) tasks lived.
    pub forks_at_limit: u64,
    /// Events of the workload that could not be carried out: when, and what was wrong.
    pub failed_events: Vec<(Ns, String)>,
    /// Changes of the scheduler while the machine ran, rollbacks among them.
    pub swaps: Vec<SwapResult>,
    /// A scheduler was in charge at some time.
    pub took_over: bool,
    /// What the fair class did after a scheduler had ended by itself.
    pub after: Option<After>,
    /// Debug dumps that were asked for: when, and the text, empty without a scheduler.
    pub dumps: Vec<(Ns, String)>,
    /// Calls into schedulers that took long.
    pub long_calls: LongCalls,
}

/// Figures of the time after a scheduler, with no other one.
#[derive(Clone, Debug)]
pub struct After {
    /// How long that was.
    pub duration: Ns,
    /// As in [`Outcome`], as far as they were there.
    pub tasks: Vec<TaskResult>,
    /// As in [`Outcome`].
    pub groups: Vec<GroupResult>,
    /// As in [`Outcome`].
    pub system_tasks: Vec<TaskResult>,
    /// Per CPU.
    pub cpus: Vec<CpuResult>,
}

/// Takes the events as they happen.
pub trait EventSink {
    /// One event at its time and CPU. `s` is in the state after the entry that the event belongs to.
    fn event(&mut self, t: Ns, cpu: CpuId, ev: &Event, s: &Sched);

    /// A call into the scheduler took long; its time is counted from the start of the run.
    fn long_call(&mut self, _call: &LongCall) {}

    /// Asked once for each entry: the run ends here if it says so.
    fn stop(&mut self) -> bool {
        false
    }
}

/// Takes nothing.
pub struct NoSink;

impl EventSink for NoSink {
    fn event(&mut self, _t: Ns, _cpu: CpuId, _ev: &Event, _s: &Sched) {}
}

/// Refuses what cannot be simulated.
pub(crate) fn check(config: &SimConfig, workload: &Workload) -> Result<(), SimError> {
    let nr_cpus = config.nr_cpus;
    if !(1..=8192).contains(&nr_cpus) {
        return Err(SimError::NrCpus(nr_cpus));
    }
    if let Some(shape) = config.machine.filter(|shape| shape.nr_cpus() != Some(nr_cpus)) {
        return Err(SimError::Shape { shape, nr_cpus });
    }
    for spec in &workload.tasks {
        let lists = std::iter::once(&spec.cpus).chain(spec.phases.iter().map(|p| &p.cpus));
        if let Some(cpus) = lists.flatten().find(|cpus| !cpus.iter().any(|c| c.0 < nr_cpus)) {
            return Err(SimError::Affinity { task: spec.name.clone(), cpus: cpus.clone(), nr_cpus });
        }
    }
    let cpus = workload.events.iter().filter_map(|e| match e.command {
        Command::Cpu { cpu, .. } => Some(cpu),
        _ => None,
    });
    if let Some(cpu) = cpus.into_iter().find(|c| c.0 >= nr_cpus) {
        return Err(SimError::NoCpu { cpu, nr_cpus });
    }
    match find_busy_loop(workload) {
        Some(spec) => Err(SimError::BusyLoop { task: spec.name.clone() }),
        None => Ok(()),
    }
}

//! The workload model: what the tasks of a run do. The rt-app reader of `sextant-trace` produces it, tests build it by hand,
//! `interp` executes it.
//!
//! Semantics are rt-app's (rt-app.c, `run_event`):
//! - `Run` is an amount of CPU time; being preempted does not count.
//! - `RunTime` keeps the CPU busy until that much time has passed since the action began, preemption included.
//! - `Sleep` is a relative sleep. `Timer` sleeps until the timer's next period; see [`Action::Timer`].
//! - `Suspend(c)` blocks until somebody does `Resume(c)` *later*: a resume that finds nobody waiting is lost; one
//!   resume wakes everybody who waits (condition-variable broadcast).
//! - `SemPost` and `SemWait` are sem_post(3) and sem_wait(3) on a semaphore that starts at 0: a post before the wait is remembered. What two
//!   tasks that drive each other need (a pipe remembers its bytes).
//! - A task performs all its phases in order, each `Phase::loops` times; the whole `TaskSpec::loops` times; then it exits.
//!
//! Left out so far: mutexes, wait/signal, barriers, memory and I/O actions (the reader refuses them by line).

use sextant_abi::{CpuId, Ns};

use crate::script::{CgroupSetting, ScriptEvent};

/// A whole workload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workload {
    /// For reports.
    pub name: String,
    /// How long to run; None: until every task has exited.
    pub duration: Option<Ns>,
    /// Task descriptions, in file order; their instances get pids in this order.
    pub tasks: Vec<TaskSpec>,
    /// Names of the conditions that `Suspend` and `Resume` use; [`CondId`] is an index into it.
    pub conds: Vec<String>,
    /// Names of the semaphores that `SemPost` and `SemWait` use; [`SemId`] is an index into it.
    pub sems: Vec<String>,
    /// The timers that `Timer` uses; [`TimerRef`] is an index into it.
    pub timers: Vec<TimerSpec>,
    /// Cgroups that exist from the start, in this order; parents are made as needed.
    pub cgroups: Vec<CgroupSpec>,
    /// What happens to machine and tasks meanwhile.
    pub events: Vec<ScriptEvent>,
}

/// Index into [`Workload::conds`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CondId(pub u32);

/// Index into [`Workload::sems`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SemId(pub u32);

/// Index into [`Workload::timers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimerRef(pub u32);

/// Index into [`Workload::tasks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SpecId(pub u32);

/// A cgroup that exists from the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CgroupSpec {
    /// Absolute path.
    pub path: String,
    /// What differs from the defaults.
    pub settings: Vec<CgroupSetting>,
}

/// A named timer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimerSpec {
    /// `ref` in the file.
    pub name: String,
    /// `"ref": "unique"`: every task has its own; otherwise all users share one.
    pub unique: bool,
}

/// Scheduling policy of a task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Policy {
    /// SCHED_NORMAL (SCHED_OTHER)
    #[default]
    Normal,
    /// SCHED_BATCH
    Batch,
    /// SCHED_IDLE
    Idle,
    /// SCHED_EXT (our extension of the format).
    Ext,
    /// SCHED_FIFO
    Fifo,
    /// SCHED_RR
    Rr,
}

impl Policy {
    /// The number in `task_struct::policy`.
    pub const fn number(self) -> u32 {
        match self {
            Policy::Normal => 0,
            Policy::Fifo => 1,
            Policy::Rr => 2,
            Policy::Batch => 3,
            Policy::Idle => 5,
            Policy::Ext => 7,
        }
    }

    /// Whether a priority 1..=99 goes with it instead of a nice value.
    pub const fn is_rt(self) -> bool {
        matches!(self, Policy::Fifo | Policy::Rr)
    }
}

/// One kind of task; `instances` of it start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskSpec {
    /// Name; `comm` is this, followed by `-0`, `-1`, … if there are several instances, the name cut so that it fits into 15 bytes.
    pub name: String,
    /// How many start with the workload (0: only by `Fork`).
    pub instances: u32,
    /// Policy.
    pub policy: Policy,
    /// Nice value, -20..=19.
    pub nice: i32,
    /// Priority of SCHED_FIFO and SCHED_RR, 1..=99.
    pub rt_priority: u32,
    /// Allowed CPUs; None for all. CPUs the machine does not have are refused by `Simulation::new`.
    pub cpus: Option<Vec<CpuId>>,
    /// The cgroup it is born in: an absolute path, made if it does not exist at the start. None: where who forks it is, at the start
    /// the root.
    pub cgroup: Option<String>,
    /// What it sleeps first of all, after its start or fork.
    pub delay: Ns,
    /// How often the phases are performed; None: forever.
    pub loops: Option<u64>,
    /// In order; none: the task exits at once.
    pub phases: Vec<Phase>,
}

impl Default for TaskSpec {
    fn default() -> Self {
        TaskSpec {
            name: String::new(),
            instances: 1,
            policy: Policy::Normal,
            nice: 0,
            rt_priority: 0,
            cpus: None,
            cgroup: None,
            delay: Ns::ZERO,
            loops: None,
            phases: Vec::new(),
        }
    }
}

/// A sequence of actions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phase {
    /// For messages.
    pub name: String,
    /// How often it is performed in a row; None: forever.
    pub loops: Option<u64>,
    /// Affinity from here on, if given.
    pub cpus: Option<Vec<CpuId>>,
    /// Nice value from here on, if given.
    pub nice: Option<i32>,
    /// Policy from here on, if given, with its nice value or priority.
    pub policy: Option<(Policy, i32)>,
    /// Cgroup from here on, if given.
    pub cgroup: Option<String>,
    /// In order. A loop forever in which no time passes is refused by `Simulation::new`.
    pub actions: Vec<Action>,
}

impl Default for Phase {
    fn default() -> Self {
        Phase {
            name: String::new(),
            loops: Some(1),
            cpus: None,
            nice: None,
            policy: None,
            cgroup: None,
            actions: Vec::new(),
        }
    }
}

impl Phase {
    /// Whether something is set when it begins.
    pub(crate) fn has_settings(&self) -> bool {
        self.cpus.is_some() || self.nice.is_some() || self.policy.is_some() || self.cgroup.is_some()
    }
}

/// One step of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Uses that much CPU time.
    Run(Ns),
    /// Keeps a CPU busy until that much time has passed.
    RunTime(Ns),
    /// Sleeps.
    Sleep(Ns),
    /// Sleeps until the timer's next instant: the first use takes the task's start as the base, each use adds `period`. If
    /// that instant has passed already, the task goes on at once; then a relative timer starts anew from now,
    /// an absolute one keeps its grid (and catches up).
    Timer {
        /// Which.
        timer: TimerRef,
        /// Between two instants.
        period: Ns,
        /// `"mode": "absolute"`.
        absolute: bool,
    },
    /// Blocks until the next `Resume` of the same condition.
    Suspend(CondId),
    /// Wakes everybody who is suspended on the condition.
    Resume(CondId),
    /// Blocks while the semaphore is 0, then takes one.
    SemWait(SemId),
    /// Adds one to the semaphore, or wakes the task that has waited longest.
    SemPost(SemId),
    /// Starts another task of that description.
    Fork(SpecId),
    /// sched_yield(2)
    Yield,
    /// Stays on its CPU from here on (what kernel code does with `migrate_disable`); nests.
    MigrateDisable,
    /// Takes one `MigrateDisable` back.
    MigrateEnable,
}

impl Action {
    /// Whether time passes or the task blocks in it.
    pub fn takes_time(&self) -> bool {
        match *self {
            Action::Run(d) | Action::RunTime(d) | Action::Sleep(d) => d > Ns::ZERO,
            Action::Timer { period, .. } => period > Ns::ZERO,
            Action::Suspend(_) | Action::SemWait(_) => true,
            Action::Resume(_)
            | Action::SemPost(_)
            | Action::Fork(_)
            | Action::Yield
            | Action::MigrateDisable
            | Action::MigrateEnable => false,
        }
    }
}

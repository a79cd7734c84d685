//! What a run is reported as: plain numbers, from which the JSON document ([`crate::document`]) and the table
//! ([`crate::table`]) are written.
//!
//! All times are virtual nanoseconds.

use sextant_abi::ExitInfo;

use crate::ideal::{Demand, ideal_shares};

/// A run and its result. The figures (tasks, groups, CPUs) are of the scheduler's own time: until it ended by itself, else of the whole
/// run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What made it.
    pub made: Made,
    /// Scheduler as named by the user, or `fair`.
    pub scheduler: String,
    /// Workload as named by the user.
    pub workload: String,
    /// CPUs of the machine.
    pub cpus: u32,
    /// Seed of the run.
    pub seed: u64,
    /// How long the figures are of.
    pub duration_ns: u64,
    /// How long the whole run was.
    pub run_ns: u64,
    /// Why the run ended: `duration`, `tasks_exited`, `tasks_suspended` or `interrupted`.
    pub ended: &'static str,
    /// A scheduler came into charge, or none was to.
    pub took_over: bool,
    /// How the scheduler ended; None if there was none.
    pub exit: Option<ExitRow>,
    /// What the fair class did after the scheduler had ended by itself.
    pub after: Option<AfterRow>,
    /// There was a scheduler, and no task was ever in SCHED_EXT.
    pub scheduled_nothing: bool,
    /// Tasks of the workload, by pid.
    pub tasks: Vec<TaskRow>,
    /// The machine's own tasks.
    pub system_tasks: Vec<TaskRow>,
    /// Groups of the workload's tasks, in file order.
    pub groups: Vec<GroupRow>,
    /// By CPU number.
    pub cpu_rows: Vec<CpuRow>,
    /// Ops that were called, in the order of the ops table.
    pub ops: Vec<OpRow>,
    /// SCX event counters, name and value, in the kernel's order; empty without a scheduler.
    pub events: Vec<(&'static str, i64)>,
    /// Calls into the scheduler that took long, one for each op that had any.
    pub long_calls: Vec<LongRow>,
    /// Debug dumps that were asked for: when, ns, and the text.
    pub dumps: Vec<(u64, String)>,
    /// Variables and maps that were asked for.
    pub shown: Vec<ShownRow>,
    /// Changes of the scheduler while the machine ran, in order.
    pub swaps: Vec<SwapRow>,
    /// SHA-256 of the event lines, hexadecimal.
    pub trace_hash: String,
}

/// What a result comes from: with the same, the same comes out.
#[derive(Clone, Debug, Default)]
pub struct Made {
    /// Version of Sextant.
    pub version: String,
    /// Its commit; None where it was built without git.
    pub commit: Option<String>,
    /// Version of the emulated kernel.
    pub kernel: String,
    /// The options that decide about the result, in one order; those that do not (engine, files that are written) are left out.
    pub options: Vec<String>,
    /// Name and SHA-256 of each scheduler's object, in the order in which they come.
    pub objects: Vec<(String, String)>,
    /// Name and SHA-256 of each setup file.
    pub setups: Vec<(String, String)>,
    /// SHA-256 of the workload's text.
    pub workload_hash: String,
    /// NUMA nodes, last-level caches in each, cores in each, threads in each.
    pub machine: [u32; 4],
}

/// A scheduler's end, and where it was claimed.
#[derive(Clone, Debug)]
pub struct ExitRow {
    /// Kind, code, words, dump.
    pub info: ExitInfo,
    /// When, ns since the start of the run.
    pub at_ns: u64,
    /// The line of the program that was being executed.
    pub source: Option<SourceRow>,
}

/// A line of a program's source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceRow {
    /// The program.
    pub prog: String,
    /// As the compiler was given it.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1; 0: unknown.
    pub column: u32,
    /// The line itself, without indentation.
    pub text: String,
}

/// A variable or map of the scheduler, after the run.
#[derive(Clone, Debug)]
pub struct ShownRow {
    /// As it was asked for: `VAR` or `map:NAME`.
    pub name: String,
    /// What it is.
    pub what: ShownWhat,
}

/// What was asked for.
#[derive(Clone, Debug)]
pub enum ShownWhat {
    /// A variable, or a part of one.
    Var(ShownValue),
    /// A map.
    Map {
        /// `HASH`, `PERCPU_ARRAY`, …
        map_type: String,
        /// Keys with their value; with one for each CPU where it is a map per CPU.
        elements: Vec<(ShownValue, Vec<ShownValue>)>,
    },
    /// Why it could not be read.
    Failed(String),
}

/// A value of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShownValue {
    /// A number.
    Int(i128),
    /// A truth value.
    Bool(bool),
    /// An enumerator, or the task or cgroup that something belongs to.
    Name(String),
    /// An address.
    Pointer(u64),
    /// Characters.
    Text(String),
    /// Bytes of no known type.
    Bytes(Vec<u8>),
    /// Elements.
    Array(Vec<ShownValue>),
    /// Fields.
    Struct(Vec<(String, ShownValue)>),
}

/// Figures of the time after a scheduler.
#[derive(Clone, Debug, Default)]
pub struct AfterRow {
    /// How long that was.
    pub duration_ns: u64,
    /// Tasks of the workload that were there, by pid.
    pub tasks: Vec<TaskRow>,
    /// The machine's own.
    pub system_tasks: Vec<TaskRow>,
    /// Groups, with indices into these tasks.
    pub groups: Vec<GroupRow>,
    /// By CPU number.
    pub cpu_rows: Vec<CpuRow>,
}

/// The calls of an op that took long.
#[derive(Clone, Debug, Default)]
pub struct LongRow {
    /// Name of the op; `timer` for the callback of a timer.
    pub op: &'static str,
    /// How many.
    pub count: u64,
    /// What they took together.
    pub total_ns: u64,
    /// The longest: when it began.
    pub at_ns: u64,
    /// How long it took.
    pub took_ns: u64,
    /// BPF instructions in it.
    pub insns: u64,
    /// The CPU that was busy with it.
    pub cpu: u32,
    /// The task that it was about, `comm[pid]`.
    pub task: Option<String>,
}

/// One task.
#[derive(Clone, Debug, Default)]
pub struct TaskRow {
    /// comm
    pub name: String,
    /// pid
    pub pid: i32,
    /// Nice value at the end.
    pub nice: i32,
    /// `scx.weight`, 100 for nice 0.
    pub weight: u64,
    /// Weight in the fair class, 1024 for nice 0: what the ideal is computed from.
    pub load_weight: u64,
    /// Time on a CPU.
    pub run_ns: u64,
    /// Time runnable but not running.
    pub wait_ns: u64,
    /// Time on a CPU that it would have used if it never waited.
    pub want_ns: u64,
    /// How often it was woken.
    pub wakeups: u64,
    /// From wakeup to running; a wakeup that still waits counts with its wait so far.
    pub latency: Latency,
    /// Longest time runnable without a CPU.
    pub max_wait_ns: u64,
    /// How often it was switched in.
    pub switches: u64,
    /// How often it changed its CPU.
    pub migrations: u64,
    /// Whether it had exited at the end.
    pub exited: bool,
}

/// Percentiles of wakeup latency, ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// Median.
    pub p50: u64,
    /// 90 %.
    pub p90: u64,
    /// 99 %.
    pub p99: u64,
    /// 99.9 %.
    pub p999: u64,
    /// Worst.
    pub max: u64,
}

/// The tasks made from one description.
#[derive(Clone, Debug, Default)]
pub struct GroupRow {
    /// Its name in the workload file.
    pub name: String,
    /// Which of [`Report::tasks`].
    pub members: Vec<usize>,
    /// Wakeup latency over all of them.
    pub latency: Latency,
    /// Longest time that one of them was runnable without a CPU.
    pub max_wait_ns: u64,
}

/// One CPU.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuRow {
    /// Its number.
    pub cpu: u32,
    /// Time not idle.
    pub busy_ns: u64,
    /// Context switches.
    pub switches: u64,
}

/// One op.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpRow {
    /// Its name.
    pub name: &'static str,
    /// Calls.
    pub calls: u64,
    /// BPF instructions executed in all of them.
    pub insns: u64,
}

/// One change of the scheduler; times in ns.
#[derive(Clone, Debug, Default)]
pub struct SwapRow {
    /// When it began.
    pub at_ns: u64,
    /// Who went, and who came.
    pub from: String,
    /// The same.
    pub to: String,
    /// It came back because the other had failed.
    pub rollback: bool,
    /// How the old one ended.
    pub from_exit: Option<ExitRow>,
    /// Why the new one was not loaded.
    pub failed: Option<String>,
    /// Time in bypass mode.
    pub bypass_ns: u64,
    /// Until the first callback of the new one.
    pub first_op_ns: Option<u64>,
    /// Until its first select_cpu, enqueue or dispatch.
    pub first_decision_ns: Option<u64>,
    /// Longest wait for a CPU of a task that waited during the swap.
    pub max_wait_ns: u64,
    /// Whose, `comm[pid]`.
    pub max_wait_task: Option<String>,
}

impl Report {
    /// CPU time of the whole machine, ns.
    pub fn capacity_ns(&self) -> u64 {
        self.duration_ns.saturating_mul(u64::from(self.cpus))
    }

    /// CPU time that each of the workload's tasks would ideally have got, in the order of `tasks`.
    pub fn ideal_run_ns(&self) -> Vec<u64> {
        ideal_run_ns(&self.tasks, self.capacity_ns())
    }
}

impl From<ExitInfo> for ExitRow {
    /// Claimed at the start of the run, in no program.
    fn from(info: ExitInfo) -> ExitRow {
        ExitRow { info, at_ns: 0, source: None }
    }
}

/// CPU time that each of the tasks would ideally have got of that capacity, ns.
pub fn ideal_run_ns(tasks: &[TaskRow], capacity_ns: u64) -> Vec<u64> {
    let demand = |t: &TaskRow| Demand { weight: t.load_weight, want_ns: t.want_ns };
    let demands: Vec<Demand> = tasks.iter().map(demand).collect();
    ideal_shares(&demands, capacity_ns)
}

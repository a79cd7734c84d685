//! The JSON document of `sextant sim --json`. docs/formats.md describes it; a change that is not an addition raises
//! [`FORMAT`].

use std::collections::BTreeMap;

use serde::Serialize;

use crate::report::{
    AfterRow, CpuRow, ExitRow, GroupRow, Latency, LongRow, Made, Report, SourceRow, SwapRow, TaskRow,
    ideal_run_ns,
};
use crate::shown::Shown;

/// Version of the document, its member `format`.
pub const FORMAT: u32 = 2;

/// The document.
#[derive(Serialize, Debug)]
pub struct Document<'a> {
    /// [`FORMAT`]
    pub format: u32,
    /// What it comes from.
    pub made_by: MadeBy<'a>,
    /// Name or path of the scheduler, `fair` for none.
    pub scheduler: &'a str,
    /// Name or path of the workload.
    pub workload: &'a str,
    /// CPUs of the machine.
    pub cpus: u32,
    /// Seed of the run.
    pub seed: u64,
    /// The whole run.
    pub run: Run,
    /// How long `groups`, `tasks`, `system_tasks` and `cpus_stats` are of.
    pub duration_ns: u64,
    /// How the scheduler ended; null for `fair`.
    pub exit: Option<Exit<'a>>,
    /// True if there was a scheduler and no task was ever in SCHED_EXT; else left out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub scheduled_nothing: bool,
    /// The workload's groups of tasks.
    pub groups: Vec<Group<'a>>,
    /// The workload's tasks.
    pub tasks: Vec<Task<'a>>,
    /// The machine's own tasks.
    pub system_tasks: Vec<Task<'a>>,
    /// By CPU.
    pub cpus_stats: Vec<Cpu>,
    /// By name of the op.
    pub ops: BTreeMap<&'a str, Op>,
    /// `SCX_EV_*`, all of them; empty for `fair`.
    pub events: BTreeMap<&'a str, i64>,
    /// Calls into the scheduler that took 10 ms or more, by op.
    pub long_calls: Vec<LongCalls<'a>>,
    /// What the fair class did after the scheduler had ended by itself; null if it did not.
    pub after: Option<After<'a>>,
    /// Debug dumps that were asked for; left out without any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dumps: Vec<Dump<'a>>,
    /// Variables and maps that were asked for; left out without any.
    #[serde(skip_serializing_if = "Option::is_none")]
    shown: Option<Shown<'a>>,
    /// Changes of the scheduler while the machine ran; left out without any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub swaps: Vec<Swap<'a>>,
    /// SHA-256 of the event lines of the trace.
    pub trace_hash: &'a str,
}

/// What a result comes from.
#[derive(Serialize, Debug)]
pub struct MadeBy<'a> {
    /// Version of Sextant.
    pub version: &'a str,
    /// Its commit; null where it was built without git.
    pub commit: Option<&'a str>,
    /// Version of the emulated kernel.
    pub kernel: &'a str,
    /// The options that decide about the result.
    pub options: &'a [String],
    /// The schedulers' objects, in the order in which they come.
    pub objects: Vec<File<'a>>,
    /// Setup files.
    pub setups: Vec<File<'a>>,
    /// SHA-256 of the workload's text.
    pub workload_sha256: &'a str,
    /// The machine's shape.
    pub machine: Machine,
}

/// A file that went in.
#[derive(Serialize, Debug)]
pub struct File<'a> {
    /// As on the command line.
    pub name: &'a str,
    /// Of its content.
    pub sha256: &'a str,
}

/// A machine.
#[derive(Serialize, Debug)]
pub struct Machine {
    /// NUMA nodes.
    pub nodes: u32,
    /// Last-level caches in each.
    pub llcs: u32,
    /// Cores in each.
    pub cores: u32,
    /// Threads in each.
    pub threads: u32,
}

/// A whole run.
#[derive(Serialize, Debug)]
pub struct Run {
    /// Virtual length.
    pub duration_ns: u64,
    /// `duration`, `tasks_exited`, `tasks_suspended` or `interrupted`.
    pub ended: &'static str,
    /// By a signal.
    pub interrupted: bool,
}

/// A group of tasks.
#[derive(Serialize, Debug)]
pub struct Group<'a> {
    /// Its name in the workload.
    pub name: &'a str,
    /// pids of its tasks.
    pub pids: Vec<i32>,
    /// Time on a CPU.
    pub run_ns: u64,
    /// The time that an ideal scheduler would have given.
    pub ideal_run_ns: u64,
    /// From wakeup to running.
    pub wakeup_latency_ns: Percentiles,
    /// Longest time that one of them was runnable without a CPU.
    pub max_wait_ns: u64,
}

/// What the fair class did after a scheduler.
#[derive(Serialize, Debug)]
pub struct After<'a> {
    /// How long that was.
    pub duration_ns: u64,
    /// As above, those that were still there.
    pub groups: Vec<Group<'a>>,
    /// As above.
    pub tasks: Vec<Task<'a>>,
    /// As above.
    pub system_tasks: Vec<Task<'a>>,
    /// As above.
    pub cpus_stats: Vec<Cpu>,
}

/// The long calls of an op.
#[derive(Serialize, Debug)]
pub struct LongCalls<'a> {
    /// Name of the op; `timer` for the callback of a timer.
    pub op: &'a str,
    /// How many.
    pub count: u64,
    /// What they took together.
    pub total_ns: u64,
    /// How long the longest took.
    pub longest_ns: u64,
    /// When the longest began.
    pub at_ns: u64,
    /// The CPU that was busy with it.
    pub cpu: u32,
    /// The task that it was about, `comm[pid]`, or null.
    pub task: Option<&'a str>,
    /// BPF instructions in it.
    pub insns: u64,
}

/// A debug dump.
#[derive(Serialize, Debug)]
pub struct Dump<'a> {
    /// When.
    pub at_ns: u64,
    /// Its text; empty when there was no scheduler.
    pub text: &'a str,
}

/// A line of a program's source.
#[derive(Serialize, Debug)]
pub struct Source<'a> {
    /// The program.
    pub program: &'a str,
    /// As the compiler was given it.
    pub file: &'a str,
    /// From 1.
    pub line: u32,
    /// From 1; 0: unknown.
    pub column: u32,
    /// The line itself.
    pub text: &'a str,
}

/// A change of the scheduler.
#[derive(Serialize, Debug)]
pub struct Swap<'a> {
    /// When it began.
    pub at_ns: u64,
    /// Who went.
    pub from: &'a str,
    /// Who came.
    pub to: &'a str,
    /// It came back because the other had failed.
    pub rollback: bool,
    /// How the old one ended; null for `fair`.
    pub from_exit: Option<Exit<'a>>,
    /// Why the new one was not loaded; null if it was.
    pub failed: Option<&'a str>,
    /// Time in bypass mode.
    pub bypass_ns: u64,
    /// Until the first callback of the new one; null if it had none.
    pub first_op_ns: Option<u64>,
    /// Until its first select_cpu, enqueue or dispatch.
    pub first_decision_ns: Option<u64>,
    /// Longest wait of a task that waited during the swap.
    pub max_wait_ns: u64,
    /// Whose, `comm[pid]`; null if nobody waited.
    pub max_wait_task: Option<&'a str>,
}

/// How a scheduler ended.
#[derive(Serialize, Debug)]
pub struct Exit<'a> {
    /// Enumerator without `SCX_EXIT_`.
    pub kind: &'static str,
    /// Its number.
    pub kind_value: u32,
    /// Exit code.
    pub code: i64,
    /// The kernel's words for the kind.
    pub reason: &'a str,
    /// What happened.
    pub msg: &'a str,
    /// When it was claimed.
    pub at_ns: u64,
    /// The CPU that claimed it.
    pub cpu: u32,
    /// The op that ran or had just returned, without `ops.`; null for neither.
    pub op: Option<&'static str>,
    /// The op had returned: what it returned or left behind was at fault.
    pub op_returned: bool,
    /// The task that the op was about, `comm[pid]`, or null.
    pub task: Option<&'a str>,
    /// The line of the program that was being executed, or null.
    pub source: Option<Source<'a>>,
    /// The kernel's debug dump; empty without an error.
    pub dump: &'a str,
}

/// A task.
#[derive(Serialize, Debug)]
pub struct Task<'a> {
    /// comm
    pub name: &'a str,
    /// pid
    pub pid: i32,
    /// Nice value.
    pub nice: i32,
    /// `scx.weight`, 100 for nice 0.
    pub weight: u64,
    /// Time on a CPU.
    pub run_ns: u64,
    /// The time that an ideal scheduler would have given; null for the machine's own tasks.
    pub ideal_run_ns: Option<u64>,
    /// Time runnable but not running.
    pub wait_ns: u64,
    /// Longest time runnable but not running.
    pub max_wait_ns: u64,
    /// How often it was woken.
    pub wakeups: u64,
    /// From wakeup to running.
    pub wakeup_latency_ns: Percentiles,
    /// How often it was switched in.
    pub switches: u64,
    /// How often it changed its CPU.
    pub migrations: u64,
    /// Whether it had exited at the end.
    pub exited: bool,
}

/// Percentiles, ns; all 0 without a sample.
#[derive(Serialize, Debug)]
pub struct Percentiles {
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

/// A CPU.
#[derive(Serialize, Debug)]
pub struct Cpu {
    /// Its number.
    pub cpu: u32,
    /// Time not idle.
    pub busy_ns: u64,
    /// Context switches.
    pub switches: u64,
}

/// An op.
#[derive(Serialize, Debug)]
pub struct Op {
    /// Calls.
    pub calls: u64,
    /// BPF instructions in all calls.
    pub insns: u64,
}

impl<'a> From<&'a Report> for Document<'a> {
    fn from(r: &'a Report) -> Document<'a> {
        let ideal = r.ideal_run_ns();
        Document {
            format: FORMAT,
            made_by: MadeBy::from(&r.made),
            scheduler: &r.scheduler,
            workload: &r.workload,
            cpus: r.cpus,
            seed: r.seed,
            run: Run { duration_ns: r.run_ns, ended: r.ended, interrupted: r.ended == "interrupted" },
            duration_ns: r.duration_ns,
            exit: r.exit.as_ref().map(Exit::from),
            scheduled_nothing: r.scheduled_nothing,
            groups: groups(&r.groups, &r.tasks, &ideal),
            tasks: own_tasks(&r.tasks, &ideal),
            system_tasks: system_tasks(&r.system_tasks),
            cpus_stats: cpus(&r.cpu_rows),
            ops: r.ops.iter().map(|o| (o.name, Op { calls: o.calls, insns: o.insns })).collect(),
            events: r.events.iter().copied().collect(),
            long_calls: r.long_calls.iter().map(LongCalls::from).collect(),
            after: r.after.as_ref().map(|after| afterwards(after, r.cpus)),
            dumps: r.dumps.iter().map(|(at_ns, text)| Dump { at_ns: *at_ns, text }).collect(),
            shown: (!r.shown.is_empty()).then_some(Shown(&r.shown)),
            swaps: r.swaps.iter().map(Swap::from).collect(),
            trace_hash: &r.trace_hash,
        }
    }
}

fn afterwards(after: &AfterRow, nr_cpus: u32) -> After<'_> {
    let ideal = ideal_run_ns(&after.tasks, after.duration_ns.saturating_mul(u64::from(nr_cpus)));
    After {
        duration_ns: after.duration_ns,
        groups: groups(&after.groups, &after.tasks, &ideal),
        tasks: own_tasks(&after.tasks, &ideal),
        system_tasks: system_tasks(&after.system_tasks),
        cpus_stats: cpus(&after.cpu_rows),
    }
}

fn groups<'a>(rows: &'a [GroupRow], tasks: &[TaskRow], ideal: &[u64]) -> Vec<Group<'a>> {
    let group = |g: &'a GroupRow| Group {
        name: &g.name,
        pids: g.members.iter().map(|&i| tasks[i].pid).collect(),
        run_ns: g.members.iter().map(|&i| tasks[i].run_ns).sum(),
        ideal_run_ns: g.members.iter().map(|&i| ideal[i]).sum(),
        wakeup_latency_ns: g.latency.into(),
        max_wait_ns: g.max_wait_ns,
    };
    rows.iter().map(group).collect()
}

fn own_tasks<'a>(rows: &'a [TaskRow], ideal: &[u64]) -> Vec<Task<'a>> {
    let with_ideal = |(t, &ideal): (&'a TaskRow, &u64)| Task { ideal_run_ns: Some(ideal), ..Task::from(t) };
    rows.iter().zip(ideal).map(with_ideal).collect()
}

fn system_tasks(rows: &[TaskRow]) -> Vec<Task<'_>> {
    rows.iter().map(Task::from).collect()
}

fn cpus(rows: &[CpuRow]) -> Vec<Cpu> {
    rows.iter().map(|c| Cpu { cpu: c.cpu, busy_ns: c.busy_ns, switches: c.switches }).collect()
}

impl<'a> From<&'a Made> for MadeBy<'a> {
    fn from(made: &'a Made) -> MadeBy<'a> {
        let files = |files: &'a [(String, String)]| {
            files.iter().map(|(name, sha256)| File { name, sha256 }).collect::<Vec<_>>()
        };
        let [nodes, llcs, cores, threads] = made.machine;
        MadeBy {
            version: &made.version,
            commit: made.commit.as_deref(),
            kernel: &made.kernel,
            options: &made.options,
            objects: files(&made.objects),
            setups: files(&made.setups),
            workload_sha256: &made.workload_hash,
            machine: Machine { nodes, llcs, cores, threads },
        }
    }
}

impl<'a> From<&'a ExitRow> for Exit<'a> {
    fn from(row: &'a ExitRow) -> Exit<'a> {
        let e = &row.info;
        Exit {
            kind: e.kind.name(),
            kind_value: e.kind.value(),
            code: e.code,
            reason: e.reason,
            msg: &e.msg,
            at_ns: row.at_ns,
            cpu: e.origin.cpu.0,
            op: e.origin.op,
            op_returned: e.origin.returned,
            task: e.origin.task.as_deref(),
            source: row.source.as_ref().map(Source::from),
            dump: &e.dump,
        }
    }
}

impl<'a> From<&'a SourceRow> for Source<'a> {
    fn from(row: &'a SourceRow) -> Source<'a> {
        Source { program: &row.prog, file: &row.file, line: row.line, column: row.column, text: &row.text }
    }
}

impl<'a> From<&'a LongRow> for LongCalls<'a> {
    fn from(row: &'a LongRow) -> LongCalls<'a> {
        LongCalls {
            op: row.op,
            count: row.count,
            total_ns: row.total_ns,
            longest_ns: row.took_ns,
            at_ns: row.at_ns,
            cpu: row.cpu,
            task: row.task.as_deref(),
            insns: row.insns,
        }
    }
}

impl<'a> From<&'a SwapRow> for Swap<'a> {
    fn from(row: &'a SwapRow) -> Swap<'a> {
        Swap {
            at_ns: row.at_ns,
            from: &row.from,
            to: &row.to,
            rollback: row.rollback,
            from_exit: row.from_exit.as_ref().map(Exit::from),
            failed: row.failed.as_deref(),
            bypass_ns: row.bypass_ns,
            first_op_ns: row.first_op_ns,
            first_decision_ns: row.first_decision_ns,
            max_wait_ns: row.max_wait_ns,
            max_wait_task: row.max_wait_task.as_deref(),
        }
    }
}

impl<'a> From<&'a TaskRow> for Task<'a> {
    fn from(t: &'a TaskRow) -> Task<'a> {
        Task {
            name: &t.name,
            pid: t.pid,
            nice: t.nice,
            weight: t.weight,
            run_ns: t.run_ns,
            ideal_run_ns: None,
            wait_ns: t.wait_ns,
            max_wait_ns: t.max_wait_ns,
            wakeups: t.wakeups,
            wakeup_latency_ns: Percentiles::from(t.latency),
            switches: t.switches,
            migrations: t.migrations,
            exited: t.exited,
        }
    }
}

impl From<Latency> for Percentiles {
    fn from(l: Latency) -> Percentiles {
        Percentiles { p50: l.p50, p90: l.p90, p99: l.p99, p999: l.p999, max: l.max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The members and their order are a promise to scripts.
    #[test]
    fn the_document() {
        let mut report = crate::table::tests::sample();
        report.tasks.truncate(1);
        report.groups.truncate(1);
        report.groups[0].members.truncate(1);
        report.trace_hash = "00ff".into();
        let text = serde_json::to_string(&Document::from(&report)).unwrap();
        expect_test::expect![[r#"{"format":2,"made_by":{"version":"","commit":null,"kernel":"","options":[],"objects":[],"setups":[],"workload_sha256":"","machine":{"nodes":0,"llcs":0,"cores":0,"threads":0}},"scheduler":"simple","workload":"mixed","cpus":2,"seed":7,"run":{"duration_ns":2000000000,"ended":"duration","interrupted":false},"duration_ns":2000000000,"exit":{"kind":"UNREG","kind_value":64,"code":0,"reason":"unregistered from user space","msg":"","at_ns":0,"cpu":0,"op":null,"op_returned":false,"task":null,"source":null,"dump":""},"groups":[{"name":"hog","pids":[1000],"run_ns":1900000000,"ideal_run_ns":2000000000,"wakeup_latency_ns":{"p50":0,"p90":0,"p99":0,"p999":0,"max":0},"max_wait_ns":17000000}],"tasks":[{"name":"hog","pid":1000,"nice":0,"weight":100,"run_ns":1900000000,"ideal_run_ns":2000000000,"wait_ns":100000000,"max_wait_ns":17000000,"wakeups":0,"wakeup_latency_ns":{"p50":0,"p90":0,"p99":0,"p999":0,"max":0},"switches":700,"migrations":33,"exited":false}],"system_tasks":[],"cpus_stats":[{"cpu":0,"busy_ns":2000000000,"switches":9},{"cpu":1,"busy_ns":1993000000,"switches":9}],"ops":{"select_cpu":{"calls":605,"insns":8000}},"events":{"SCX_EV_BYPASS_ACTIVATE":0,"SCX_EV_REFILL_SLICE_DFL":12},"long_calls":[],"after":null,"trace_hash":"00ff"}"#]].assert_eq(&text);
    }

    #[test]
    fn without_a_scheduler_exit_is_null() {
        let report = Report::default();
        let value = serde_json::to_value(Document::from(&report)).unwrap();
        assert!(value["exit"].is_null());
        assert_eq!(value["events"], serde_json::json!({}));
    }
}

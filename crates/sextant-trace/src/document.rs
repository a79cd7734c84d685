//! The JSON document of `sextant sim --json`. docs/formats.md describes it; a change that is not an addition raises
//! [`FORMAT`].

use std::collections::BTreeMap;

use serde::Serialize;
use sextant_abi::ExitInfo;

use crate::report::{Latency, Report, SwapRow, TaskRow};

/// Version of the document, its member `format`.
pub const FORMAT: u32 = 1;

/// The document.
#[derive(Serialize, Debug)]
pub struct Document<'a> {
    /// [`FORMAT`]
    pub format: u32,
    /// Name or path of the scheduler, `fair` for none.
    pub scheduler: &'a str,
    /// Name or path of the workload.
    pub workload: &'a str,
    /// CPUs of the machine.
    pub cpus: u32,
    /// Seed of the run.
    pub seed: u64,
    /// Virtual length of the run.
    pub duration_ns: u64,
    /// How the scheduler ended; null for `fair`.
    pub exit: Option<Exit<'a>>,
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
    /// Changes of the scheduler while the machine ran; left out without any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub swaps: Vec<Swap<'a>>,
    /// SHA-256 of the event lines of the trace.
    pub trace_hash: &'a str,
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
    /// Time runnable but not running.
    pub wait_ns: u64,
    /// How often it was woken.
    pub wakeups: u64,
    /// From wakeup to running.
    pub wakeup_latency_ns: Percentiles,
    /// How often it was switched in.
    pub switches: u64,
    /// How often it changed its CPU.
    pub migrations: u64,
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
        Document {
            format: FORMAT,
            scheduler: &r.scheduler,
            workload: &r.workload,
            cpus: r.cpus,
            seed: r.seed,
            duration_ns: r.duration_ns,
            exit: r.exit.as_ref().map(Exit::from),
            tasks: r.tasks.iter().map(Task::from).collect(),
            system_tasks: r.system_tasks.iter().map(Task::from).collect(),
            cpus_stats: r
                .cpu_rows
                .iter()
                .map(|c| Cpu { cpu: c.cpu, busy_ns: c.busy_ns, switches: c.switches })
                .collect(),
            ops: r.ops.iter().map(|o| (o.name, Op { calls: o.calls, insns: o.insns })).collect(),
            events: r.events.iter().copied().collect(),
            swaps: r.swaps.iter().map(Swap::from).collect(),
            trace_hash: &r.trace_hash,
        }
    }
}

impl<'a> From<&'a ExitInfo> for Exit<'a> {
    fn from(e: &'a ExitInfo) -> Exit<'a> {
        Exit { kind: e.kind.name(), kind_value: e.kind.value(), code: e.code, reason: e.reason, msg: &e.msg }
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
            wait_ns: t.wait_ns,
            wakeups: t.wakeups,
            wakeup_latency_ns: Percentiles::from(t.latency),
            switches: t.switches,
            migrations: t.migrations,
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
        report.trace_hash = "00ff".into();
        let text = serde_json::to_string(&Document::from(&report)).unwrap();
        expect_test::expect![[r#"{"format":1,"scheduler":"simple","workload":"mixed","cpus":2,"seed":7,"duration_ns":2000000000,"exit":{"kind":"UNREG","kind_value":64,"code":0,"reason":"unregistered from user space","msg":""},"tasks":[{"name":"hog","pid":1000,"nice":0,"weight":100,"run_ns":1900000000,"wait_ns":100000000,"wakeups":0,"wakeup_latency_ns":{"p50":0,"p90":0,"p99":0,"p999":0,"max":0},"switches":700,"migrations":33}],"system_tasks":[],"cpus_stats":[{"cpu":0,"busy_ns":2000000000,"switches":9},{"cpu":1,"busy_ns":1993000000,"switches":9}],"ops":{"select_cpu":{"calls":605,"insns":8000}},"events":{"SCX_EV_BYPASS_ACTIVATE":0,"SCX_EV_REFILL_SLICE_DFL":12},"trace_hash":"00ff"}"#]].assert_eq(&text);
    }

    #[test]
    fn without_a_scheduler_exit_is_null() {
        let report = Report::default();
        let value = serde_json::to_value(Document::from(&report)).unwrap();
        assert!(value["exit"].is_null());
        assert_eq!(value["events"], serde_json::json!({}));
    }
}

//! From what the machine counted to a [`Report`].

use std::path::Path;

use sextant_abi::ExitInfo;
use sextant_abi::tables::task::{WEIGHT_IDLEPRIO, nice_to_load_weight};
use sextant_sim::workload::{Policy, SpecId, TaskSpec};
use sextant_sim::{CpuResult, Ended, GroupResult, LongOp, Outcome, SwapResult, TaskResult, UPTIME, Workload};
use sextant_trace::demand::alone_ns;
use sextant_trace::ideal::Observed;
use sextant_trace::report::{
    AfterRow, CpuRow, ExitRow, GroupRow, Latency, LongRow, Made, OpRow, Report, SourceRow, SwapRow, TaskRow,
};

use crate::cli::SimArgs;
use crate::demand::Wanted;
use crate::scheduler::Machine;
use crate::show;

/// A run, as far as a report wants to know it.
pub struct Run<'a> {
    /// The command line.
    pub args: &'a SimArgs,
    /// The workload.
    pub workload: &'a Workload,
    /// By description, what tasks want that wait for each other.
    pub wanted: &'a [Wanted],
    /// The machine at the end.
    pub machine: &'a Machine,
    /// What it counted.
    pub outcome: &'a Outcome,
}

/// Everything that is reported of a run.
pub fn report(run: &Run<'_>, made: Made, trace_hash: String) -> Report {
    let Run { args, workload, wanted, machine, outcome } = *run;
    let ext = &machine.sim.sched.ext;
    let ops = machine.last_ops();
    let stats = ops.as_ref().map(|ops| ops.op_stats()).unwrap_or_default();
    let tasks = |results: &[TaskResult]| results.iter().map(|t| task(t, workload, wanted)).collect();
    Report {
        made,
        scheduler: args.scheduler.clone(),
        workload: args.workload.clone(),
        cpus: args.cpus,
        seed: args.seed,
        duration_ns: outcome.own.0,
        run_ns: outcome.now.0,
        ended: ended(outcome.ended),
        took_over: ops.is_none() || outcome.took_over,
        exit: machine.exit_info().map(|info| exit_row(info, machine)),
        after: outcome.after.as_ref().map(|after| AfterRow {
            duration_ns: after.duration.0,
            tasks: tasks(&after.tasks),
            system_tasks: tasks(&after.system_tasks),
            groups: groups(workload, &after.tasks, &after.groups),
            cpu_rows: after.cpus.iter().zip(0..).map(cpu).collect(),
        }),
        scheduled_nothing: machine.exit_info().is_some() && !ext.had_tasks(),
        tasks: tasks(&outcome.tasks),
        system_tasks: tasks(&outcome.system_tasks),
        groups: groups(workload, &outcome.tasks, &outcome.groups),
        cpu_rows: outcome.cpus.iter().zip(0..).map(cpu).collect(),
        ops: stats.iter().map(|&(op, calls, insns)| OpRow { name: op.name(), calls, insns }).collect(),
        events: if ops.is_some() { ext.events().collect() } else { Vec::new() },
        long_calls: outcome.long_calls.0.iter().map(long_row).collect(),
        shown: show::shown(args, machine),
        dumps: outcome.dumps.iter().map(|(at, text)| (at.0, text.clone())).collect(),
        swaps: outcome.swaps.iter().map(|swap| swap_row(swap, machine)).collect(),
        trace_hash,
    }
}

fn ended(ended: Ended) -> &'static str {
    match ended {
        Ended::Duration => "duration",
        Ended::AllExited => "tasks_exited",
        Ended::AllSuspended => "tasks_suspended",
        Ended::Stopped => "interrupted",
    }
}

/// Files as people see them from where they are.
fn from_here(file: String) -> String {
    let here = std::env::current_dir().ok();
    let inside =
        here.and_then(|here| Path::new(&file).strip_prefix(here).ok().map(|f| f.display().to_string()));
    inside.unwrap_or(file)
}

/// A scheduler's end, with the source line where its program was.
fn exit_row(info: &ExitInfo, machine: &Machine) -> ExitRow {
    let line = info.origin.place.as_ref().and_then(|place| machine.loads.source_line(place));
    let source = line.map(|line| SourceRow {
        prog: line.prog,
        file: from_here(line.file),
        line: line.line,
        column: line.column,
        text: line.text,
    });
    ExitRow { info: info.clone(), at_ns: info.origin.at.since(UPTIME).0, source }
}

fn long_row(op: &LongOp) -> LongRow {
    let longest = &op.longest;
    LongRow {
        op: longest.op,
        count: op.count,
        total_ns: op.total.0,
        at_ns: longest.at.0,
        took_ns: longest.took.0,
        insns: longest.insns,
        cpu: longest.cpu.0,
        task: longest.task.clone(),
    }
}

fn swap_row(swap: &SwapResult, machine: &Machine) -> SwapRow {
    let name = |number: usize| machine.names.get(number).cloned().unwrap_or_default();
    SwapRow {
        at_ns: swap.at.0,
        from: name(swap.from),
        to: name(swap.to),
        rollback: swap.rollback,
        from_exit: swap.from_exit.as_ref().map(|info| exit_row(info, machine)),
        failed: swap.failed.clone(),
        bypass_ns: swap.bypass_ns,
        first_op_ns: swap.first_op_ns,
        first_decision_ns: swap.first_decision_ns,
        max_wait_ns: swap.max_wait_ns,
        max_wait_task: swap.max_wait_task.clone(),
    }
}

fn task(t: &TaskResult, workload: &Workload, wanted: &[Wanted]) -> TaskRow {
    TaskRow {
        name: t.name.clone(),
        pid: t.pid,
        nice: t.nice,
        weight: u64::from(t.weight),
        load_weight: load_weight(t, workload),
        run_ns: t.run_ns,
        wait_ns: t.wait_ns,
        want_ns: want_ns(t, workload, wanted),
        wakeups: t.wakeups,
        latency: t.latency.map_or_else(Latency::default, latency),
        max_wait_ns: t.max_wait_ns,
        switches: t.switches,
        migrations: t.migrations,
        exited: t.exited,
    }
}

/// What the task would have used without waiting: as its description says; else as on a machine where nobody waits;
/// else as what was seen suggests.
fn want_ns(t: &TaskResult, workload: &Workload, wanted: &[Wanted]) -> u64 {
    let described = || alone_ns(spec(t, workload)?, t.alive_ns);
    let measured = || wanted.get(t.spec?.0 as usize)?.of_life(t.alive_ns);
    let seen = || Observed { run_ns: t.run_ns, wait_ns: t.wait_ns, alive_ns: t.alive_ns }.want_ns();
    described().or_else(measured).unwrap_or_else(seen)
}

fn spec<'a>(t: &TaskResult, workload: &'a Workload) -> Option<&'a TaskSpec> {
    t.spec.and_then(|SpecId(i)| workload.tasks.get(i as usize))
}

/// The weight of the fair class, finer than `scx.weight`.
fn load_weight(t: &TaskResult, workload: &Workload) -> u64 {
    match spec(t, workload) {
        Some(spec) if spec.policy == Policy::Idle => u64::from(WEIGHT_IDLEPRIO),
        _ => u64::from(nice_to_load_weight(t.nice)),
    }
}

fn latency(l: sextant_sim::Latency) -> Latency {
    Latency { p50: l.p50, p90: l.p90, p99: l.p99, p999: l.p999, max: l.max }
}

fn groups(workload: &Workload, tasks: &[TaskResult], groups: &[GroupResult]) -> Vec<GroupRow> {
    let row = |(spec, description): (u32, &TaskSpec)| {
        let spec = SpecId(spec);
        let group = groups.iter().find(|g| g.spec == spec);
        GroupRow {
            name: description.name.clone(),
            members: tasks.iter().enumerate().filter(|(_, t)| t.spec == Some(spec)).map(|(i, _)| i).collect(),
            latency: group.and_then(|g| g.latency).map_or_else(Latency::default, latency),
            max_wait_ns: group.map_or(0, |g| g.max_wait_ns),
        }
    };
    (0..).zip(&workload.tasks).map(row).collect()
}

fn cpu((result, cpu): (&CpuResult, u32)) -> CpuRow {
    CpuRow { cpu, busy_ns: result.busy_ns, switches: result.switches }
}

//! From what the machine counted to a [`Report`].

use sextant_abi::tables::task::{WEIGHT_IDLEPRIO, nice_to_load_weight};
use sextant_sim::workload::{Policy, SpecId, TaskSpec};
use sextant_sim::{CpuResult, Outcome, SwapResult, TaskResult, Workload};
use sextant_trace::demand::alone_ns;
use sextant_trace::ideal::Observed;
use sextant_trace::report::{CpuRow, GroupRow, Latency, OpRow, Report, SwapRow, TaskRow};

use crate::cli::SimArgs;
use crate::demand::Wanted;
use crate::scheduler::Machine;

/// Everything that is reported of a run. `wanted`: by description, what tasks want that wait for each other.
pub fn report(
    args: &SimArgs,
    workload: &Workload,
    wanted: &[Wanted],
    machine: &Machine,
    outcome: &Outcome,
    trace_hash: String,
) -> Report {
    let ext = &machine.sim.sched.ext;
    let ops = machine.last_ops();
    let stats = ops.as_ref().map(|ops| ops.op_stats()).unwrap_or_default();
    let tasks = |results: &[TaskResult]| results.iter().map(|t| task(t, workload, wanted)).collect();
    Report {
        scheduler: args.scheduler.clone(),
        workload: args.workload.clone(),
        cpus: args.cpus,
        seed: args.seed,
        duration_ns: outcome.now.0,
        exit: machine.exit_info().cloned(),
        tasks: tasks(&outcome.tasks),
        system_tasks: tasks(&outcome.system_tasks),
        groups: groups(workload, outcome),
        cpu_rows: outcome.cpus.iter().zip(0..).map(cpu).collect(),
        ops: stats.iter().map(|&(op, calls, insns)| OpRow { name: op.name(), calls, insns }).collect(),
        events: if ops.is_some() { ext.events().collect() } else { Vec::new() },
        swaps: outcome.swaps.iter().map(|swap| swap_row(swap, machine)).collect(),
        trace_hash,
    }
}

fn swap_row(swap: &SwapResult, machine: &Machine) -> SwapRow {
    let name = |number: usize| machine.names.get(number).cloned().unwrap_or_default();
    SwapRow {
        at_ns: swap.at.0,
        from: name(swap.from),
        to: name(swap.to),
        rollback: swap.rollback,
        from_exit: swap.from_exit.clone(),
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
        switches: t.switches,
        migrations: t.migrations,
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

fn groups(workload: &Workload, outcome: &Outcome) -> Vec<GroupRow> {
    let row = |(spec, description): (u32, &TaskSpec)| {
        let spec = SpecId(spec);
        let all = outcome.tasks.iter().enumerate();
        GroupRow {
            name: description.name.clone(),
            members: all.filter(|(_, t)| t.spec == Some(spec)).map(|(i, _)| i).collect(),
            latency: group_latency(outcome, spec),
        }
    };
    (0..).zip(&workload.tasks).map(row).collect()
}

fn group_latency(outcome: &Outcome, spec: SpecId) -> Latency {
    let group = outcome.groups.iter().find(|g| g.spec == spec);
    group.and_then(|g| g.latency).map_or_else(Latency::default, latency)
}

fn cpu((result, cpu): (&CpuResult, u32)) -> CpuRow {
    CpuRow { cpu, busy_ns: result.busy_ns, switches: result.switches }
}

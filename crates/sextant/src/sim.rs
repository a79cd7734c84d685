//! `sextant sim`: a scheduler, a workload, a machine; and what came of it.

use std::io::Write;

use anyhow::Context;
use sextant_abi::Ns;
use sextant_sim::{Ended, MAX_TASKS, Outcome, SimConfig, Workload};
use sextant_trace::demand::waits_for_others;
use sextant_trace::document::Document;
use sextant_trace::report::Report;
use sextant_trace::rtapp;
use sextant_trace::table::{self, Style};

use crate::cli::SimArgs;
use crate::interrupt::Interrupt;
use crate::scheduler::Machine;
use crate::sink::Sink;
use crate::status::{Failure, Status};
use crate::summary::{self, Run};
use crate::swap::Lineup;
use crate::{color, demand, dump, made, options, source};

/// Virtual time of a run for which nobody said a duration.
const DEFAULT_DURATION: Ns = Ns::from_ms(10_000);

/// Runs the subcommand.
pub fn run(args: &SimArgs, out: &mut dyn Write) -> Result<Status, Failure> {
    options::streams(args)?;
    let (workload, text) = read_workload(args)?;
    let config = config(args, &workload);
    let lineup = Lineup::new(args, config.duration)?;
    options::check(args, &lineup, config.duration)?;
    if let Some(ignored) = options::ignored_by_fair(args, &workload) {
        tracing::warn!("{ignored}");
    }
    let interrupt = Interrupt::listen()?;
    let mut sink = Sink::new(args.trace.as_deref(), &about(args), args.json, interrupt.clone())?;
    let dump_file = dump::open(args)?;
    let made = made::made(args, &lineup, &text);
    let mut machine = Machine::new(lineup, args, config.clone(), &workload, &mut sink)?;
    machine.sim.plan_dumps(args.dump_at.clone());
    let outcome = machine.run(&mut sink)?;
    let (trace_hash, trace_written) = sink.finish();
    note_end(&outcome, &workload);

    let compare = workload.tasks.iter().any(waits_for_others);
    let wanted = if compare { demand::measure(&workload, &config) } else { None }.unwrap_or_default();
    let run = Run { args, workload: &workload, wanted: &wanted, machine: &machine, outcome: &outcome };
    let report = summary::report(&run, made, trace_hash);
    let dumped = dump::tell(&report, dump_file);
    match tell(args, &report, out) {
        // Whoever asks for the first lines only has them; how the run ended is still said by the status.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
        told => told.context("cannot write the result to stdout")?,
    }
    if report.scheduled_nothing {
        tracing::warn!("{}: no task was ever in SCHED_EXT", args.scheduler);
    }
    trace_written.and(dumped)?;
    Ok(status(&machine, &outcome, &interrupt))
}

/// Writes the result, to its end.
fn tell(args: &SimArgs, report: &Report, out: &mut dyn Write) -> std::io::Result<()> {
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &Document::from(report))?;
        writeln!(out)?;
        return out.flush();
    }
    let table = table::render(report, Style { color: color(std::io::stdout()) });
    if !options::outputs_on_stdout(args).is_empty() {
        return std::io::stderr().write_all(table.as_bytes());
    }
    out.write_all(table.as_bytes())?;
    out.flush()
}

fn status(machine: &Machine, outcome: &Outcome, interrupt: &Interrupt) -> Status {
    if interrupt.pressed() {
        return Status::Interrupted;
    }
    let replaced = outcome.swaps.iter().filter_map(|swap| swap.from_exit.as_ref());
    if replaced.chain(machine.exit_info()).any(|exit| exit.kind.is_error()) {
        return Status::SchedulerError;
    }
    if outcome.swaps.iter().any(|swap| swap.failed.is_some()) { Status::No } else { Status::Done }
}

/// The workload, and its text.
fn read_workload(args: &SimArgs) -> Result<(Workload, String), Failure> {
    let source = source::workload(&args.workload)?;
    let options = rtapp::Options { nr_cpus: args.cpus, skip_unsupported: args.skip_unsupported };
    let name = &source.name;
    let read = rtapp::read(&source.content, name, &options).map_err(|e| {
        let hint = match e {
            rtapp::RtappError::Unsupported(_) => "\n--skip-unsupported leaves these out and runs the rest",
            _ => "",
        };
        Failure::usage(format!("{name}:{e}{hint}"))
    })?;
    for skipped in &read.skipped {
        tracing::warn!("{name}:{skipped}: left out");
    }
    for unknown in &read.unknown {
        tracing::warn!("{name}:{unknown}");
    }
    for ignored in &read.ignored {
        tracing::info!("{name}:{ignored}");
    }
    Ok((read.workload, source.content.into_owned()))
}

fn config(args: &SimArgs, workload: &Workload) -> SimConfig {
    if args.duration.is_none() && workload.duration.is_none() {
        tracing::info!(
            "neither --duration nor the workload says how long: {} s",
            DEFAULT_DURATION.0 / 1_000_000_000
        );
    }
    SimConfig {
        nr_cpus: args.cpus,
        machine: args.machine,
        seed: args.seed,
        ideal: args.ideal,
        duration: Some(args.duration.or(workload.duration).unwrap_or(DEFAULT_DURATION)),
        ..SimConfig::default()
    }
}

/// The lines of the trace's head that say which run it is. None of this is in event lines.
fn about(args: &SimArgs) -> Vec<String> {
    let swaps = args.swaps.iter().flat_map(|list| &list.0).map(|swap| format!("swap {swap}"));
    let mut about = vec![
        format!("scheduler {}", args.scheduler),
        format!("workload {}", args.workload),
        match args.machine {
            Some(s) => {
                format!("machine nodes={},llcs={},cores={},threads={}", s.nodes, s.llcs, s.cores, s.threads)
            }
            None => "machine flat".into(),
        },
        format!("cpus {}, seed {}{}", args.cpus, args.seed, if args.ideal { ", ideal" } else { "" }),
    ];
    about.extend(swaps);
    about
}

fn note_end(outcome: &Outcome, workload: &Workload) {
    match outcome.ended {
        Ended::Stopped => tracing::warn!("interrupted: the result is of the time until then"),
        Ended::AllSuspended => {
            tracing::warn!(
                "the run ended early: every task that is left waits for another one, and nobody is left to wake it"
            );
        }
        Ended::Duration | Ended::AllExited => {}
    }
    for ((spec, errno), count) in &outcome.refused_forks {
        let name = &workload.tasks[spec.0 as usize].name;
        let what = if *count == 1 { "a task".into() } else { format!("{count} tasks") };
        tracing::warn!("ops.init_task refused {what} of \"{name}\" with {errno}: not started");
    }
    if outcome.forks_at_limit > 0 {
        tracing::warn!(
            "{} forks failed with EAGAIN: {MAX_TASKS} tasks live, and the machine takes no more",
            outcome.forks_at_limit
        );
    }
    for (at, why) in &outcome.failed_events {
        tracing::warn!("event at {at:?}: {why}");
    }
}

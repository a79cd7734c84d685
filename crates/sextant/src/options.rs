//! Options of `sextant sim` that would do nothing are refused: whoever gives one believes that it does something.

use sextant_abi::Ns;
use sextant_sim::Workload;
use sextant_sim::script::{CgroupSetting, Command};
use sextant_sim::workload::CgroupSpec;

use crate::builtin::FAIR;
use crate::cli::SimArgs;
use crate::output::is_stdio;
use crate::status::Failure;
use crate::swap::Lineup;

/// Refuses options that have nothing to act on with these schedulers.
pub fn check(args: &SimArgs, lineup: &Lineup, duration: Option<Ns>) -> Result<(), Failure> {
    let first = &args.scheduler;
    if args.ops.is_some() && !lineup.first_is_object() {
        return Err(useless("--ops", &format!("{first} is no object with several ops tables")));
    }
    if let Some((name, set)) = lineup.set_without_object() {
        return Err(useless(&format!("--set {set}"), &format!("{name} is no object that has variables")));
    }
    let dumps = [("--dump", args.dump.is_some()), ("--dump-at", !args.dump_at.is_empty())];
    if let Some((option, _)) = dumps.iter().find(|(_, given)| *given && lineup.is_fair_only()) {
        return Err(useless(option, "the fair class has no debug dump"));
    }
    if let Some(late) = args.dump_at.iter().find(|at| duration.is_some_and(|end| **at >= end)) {
        return Err(useless(&format!("--dump-at {late:?}"), "the run is over by then"));
    }
    if let Some(what) = args.shows.first().filter(|_| !lineup.has_object()) {
        return Err(useless(&format!("--show {what}"), "no scheduler of this run is an object"));
    }
    let programs = [
        ("--sanitize", args.sanitize),
        ("--unchecked", args.unchecked),
        ("--engine", args.engine.is_some()),
        ("--lockup", args.lockup.is_some()),
        ("--memory", args.memory.is_some()),
    ];
    let given = programs.iter().find(|(_, given)| *given);
    if let Some((option, _)) = given.filter(|_| !lineup.has_object()) {
        return Err(useless(option, "no scheduler of this run has BPF programs"));
    }
    if args.rollback && !lineup.can_fail_later() {
        return Err(useless("--rollback", "nothing that comes by --swap can exit with an error"));
    }
    Ok(())
}

/// `-` may stand for one input and for one output, and the document wants stdout for itself.
pub fn streams(args: &SimArgs) -> Result<(), Failure> {
    let inputs = [Some(&args.scheduler), Some(&args.workload)].into_iter().flatten().chain(&args.setups);
    if inputs.filter(|input| input.as_str() == "-").count() > 1 {
        return Err(Failure::usage("stdin (`-`) can be read once: give the other one as a file"));
    }
    let taken = outputs_on_stdout(args);
    if taken.len() > 1 {
        return Err(Failure::usage(format!("{} cannot share stdout (`-`)", taken.join(" and "))));
    }
    match taken.first() {
        Some(option) if args.json => {
            Err(Failure::usage(format!("{option} - and --json cannot share stdout: write one into a file")))
        }
        _ => Ok(()),
    }
}

/// The options whose file is stdout; the table goes to stderr then.
pub fn outputs_on_stdout(args: &SimArgs) -> Vec<&'static str> {
    let outputs = [("--trace", args.trace.as_deref()), ("--dump", args.dump.as_deref())];
    outputs.into_iter().filter(|(_, path)| path.is_some_and(is_stdio)).map(|(option, _)| option).collect()
}

fn useless(option: &str, why: &str) -> Failure {
    Failure::usage(format!("{option} would do nothing: {why}; leave it out"))
}

/// What the fair class ignores of a workload, if it is to schedule it.
pub fn ignored_by_fair(args: &SimArgs, workload: &Workload) -> Option<String> {
    let fair = args.scheduler == FAIR || args.swaps.iter().flat_map(|s| &s.0).any(|s| s.scheduler == FAIR);
    let scripted = workload.events.iter().filter_map(|event| match &event.command {
        Command::CgroupCreate(spec) | Command::CgroupSet(spec) => Some(spec),
        _ => None,
    });
    let specs: Vec<&CgroupSpec> = workload.cgroups.iter().chain(scripted).collect();
    let sets = |is: fn(&CgroupSetting) -> bool| specs.iter().any(|spec| spec.settings.iter().any(is));
    let files = [
        ("cpu.weight", sets(|s| matches!(s, CgroupSetting::Weight(_)))),
        ("cpu.idle", sets(|s| matches!(s, CgroupSetting::Idle(_)))),
        ("cpu.max", sets(|s| matches!(s, CgroupSetting::Max { .. }))),
    ];
    let files: Vec<&str> = files.iter().filter(|(_, set)| *set).map(|(name, _)| *name).collect();
    (fair && !files.is_empty()).then(|| {
        format!(
            "the fair class does not follow {} yet: it shares by nice values alone, and so does the IDEAL column",
            files.join(", ")
        )
    })
}

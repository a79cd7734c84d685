//! What a result comes from: version, commit, emulated kernel, files, arguments. With the same, the same comes out.

use sextant_abi::tables::kconfig::KERNEL_VERSION;
use sextant_sched::topology::Shape;
use sextant_trace::report::Made;
use sha2::{Digest, Sha256};

use crate::cli::SimArgs;
use crate::swap::Lineup;

/// The commit that this was built from; None without git.
pub const COMMIT: Option<&str> = option_env!("SEXTANT_COMMIT");

/// In hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// What a run of `sim` comes from.
pub fn made(args: &SimArgs, lineup: &Lineup, workload: &str) -> Made {
    let (major, minor, patch) = KERNEL_VERSION;
    let shape = args.machine.unwrap_or(Shape::flat(args.cpus));
    Made {
        version: env!("CARGO_PKG_VERSION").into(),
        commit: COMMIT.map(String::from),
        kernel: format!("{major}.{minor}.{patch}"),
        options: options(args),
        objects: lineup.objects(),
        setups: lineup.setups(),
        workload_hash: sha256(workload.as_bytes()),
        machine: [shape.nodes, shape.llcs, shape.cores, shape.threads],
    }
}

/// The options that decide about the result, in one order: whoever gives them again gets it again. `--engine`, `--json` and the files that are
/// written change nothing.
fn options(args: &SimArgs) -> Vec<String> {
    let mut options = Vec::new();
    let mut option = |name: &str, value: String| options.push(format!("--{name}={value}"));
    match args.machine {
        Some(s) => option(
            "machine",
            format!("nodes={},llcs={},cores={},threads={}", s.nodes, s.llcs, s.cores, s.threads),
        ),
        None => option("cpus", args.cpus.to_string()),
    }
    if let Some(duration) = args.duration {
        option("duration", format!("{}ns", duration.0));
    }
    if let Some(lockup) = args.lockup {
        option("lockup", format!("{}ns", lockup.0));
    }
    if let Some(memory) = args.memory {
        option("memory", memory.to_string());
    }
    option("seed", args.seed.to_string());
    args.ops.iter().for_each(|ops| option("ops", ops.clone()));
    args.setups.iter().for_each(|setup| option("setup", setup.clone()));
    args.sets.iter().for_each(|set| option("set", set.clone()));
    args.swaps.iter().flat_map(|list| &list.0).for_each(|swap| option("swap", swap.to_string()));
    // A ring that is read has room for more.
    args.drains.iter().for_each(|drain| option("drain", drain.clone()));
    args.dump_at.iter().for_each(|at| option("dump-at", format!("{}ns", at.0)));
    let flags = [
        ("--ideal", args.ideal),
        ("--rollback", args.rollback),
        ("--skip-unsupported", args.skip_unsupported),
        ("--sanitize", args.sanitize),
        ("--unchecked", args.unchecked),
    ];
    options.extend(flags.iter().filter(|(_, given)| *given).map(|(name, _)| name.to_string()));
    options
}

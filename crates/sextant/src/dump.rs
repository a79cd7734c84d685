//! The kernel's debug dumps: of error exits, and those that were asked for. They go to `--dump FILE`, else to stderr.

use std::io::Write;

use sextant_trace::report::{ExitRow, Report};

use crate::cli::SimArgs;
use crate::output::Output;
use crate::status::Failure;

/// The file of `--dump`, made before the run, so that a path that cannot be written is known then.
pub fn open(args: &SimArgs) -> Result<Option<Output>, Failure> {
    args.dump.as_deref().map(|path| Output::create(path, "the debug dump")).transpose()
}

/// Writes all dumps of a run, in the order of time.
///
/// # Errors
/// The file of `--dump` cannot be written.
pub fn tell(report: &Report, file: Option<Output>) -> Result<(), Failure> {
    let text = all(report);
    match file {
        Some(mut file) => {
            file.write(text.as_bytes());
            file.finish()
        }
        None => {
            let safe = text.replace(|c: char| c.is_control() && c != '\n' && c != '\t', "?");
            // Nobody is left to tell if stderr is gone.
            let _ = std::io::stderr().write_all(safe.as_bytes());
            Ok(())
        }
    }
}

fn all(report: &Report) -> String {
    let wanted = report.dumps.iter().map(|(at, text)| (*at, "asked for", text.as_str()));
    let exits = report.swaps.iter().filter_map(|swap| swap.from_exit.as_ref()).chain(&report.exit);
    let mut dumps: Vec<(u64, &str, &str)> = wanted.chain(exits.filter_map(of_exit)).collect();
    dumps.sort_by_key(|dump| dump.0);
    // The last scheduler's end may be that of a swap too.
    dumps.dedup();
    dumps.iter().map(|(at, why, text)| one(*at, why, text)).collect()
}

fn of_exit(exit: &ExitRow) -> Option<(u64, &str, &str)> {
    let info = &exit.info;
    info.kind.is_error().then_some((exit.at_ns, info.reason, info.dump.as_str()))
}

fn one(at_ns: u64, why: &str, text: &str) -> String {
    let rule = "=".repeat(80);
    let text = if text.is_empty() { "no scheduler was loaded\n" } else { text };
    let end = if text.ends_with('\n') { "" } else { "\n" };
    let (s, us) = (at_ns / 1_000_000_000, at_ns % 1_000_000_000 / 1000);
    format!("DEBUG DUMP at {s}.{us:06}s ({why})\n{rule}\n{text}{end}{rule}\n")
}

//! What is left when the program itself is wrong: a panic becomes a message that says where, with which version, command line and seed, and
//! an exit status of its own.

use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::{Mutex, PoisonError};

use anyhow::anyhow;

use crate::cli::{Cli, Command};
use crate::status::{Failure, Status};

/// The first panic: what it said, and where.
static PANIC: Mutex<Option<String>> = Mutex::new(None);

/// Runs `f`; a panic in it is a failure with [`Status::Internal`].
pub fn guard(cli: &Cli, f: impl FnOnce() -> Result<Status, Failure>) -> Result<Status, Failure> {
    panic::set_hook(Box::new(keep));
    let result = panic::catch_unwind(AssertUnwindSafe(f));
    drop(panic::take_hook());
    result.unwrap_or_else(|_| {
        let what = PANIC.lock().unwrap_or_else(PoisonError::into_inner).take();
        Err(internal(cli, &what.unwrap_or_else(|| "a panic without a message".into())))
    })
}

/// Keeps the first panic for the report. With RUST_BACKTRACE set it is shown at once, with its backtrace.
fn keep(info: &PanicHookInfo<'_>) {
    if std::env::var_os("RUST_BACKTRACE").is_some_and(|v| v != "0") {
        eprintln!("{info}\n{}", std::backtrace::Backtrace::force_capture());
    }
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let message = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let message = message.unwrap_or("a panic without a message");
    let place = info.location().map_or(String::new(), |at| format!(" ({}:{})", at.file(), at.line()));
    PANIC.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| format!("{message}{place}"));
}

fn internal(cli: &Cli, what: &str) -> Failure {
    let line: Vec<String> = std::env::args().map(|arg| format!("{arg:?}")).collect();
    let seed = match &cli.command {
        Command::Sim(args) => format!("\n  seed:         {}", args.seed),
        _ => String::new(),
    };
    let error = anyhow!(
        "internal error: {what}\n  version:      sextant {}\n  command line: {}{seed}\n\
         This is a mistake in Sextant and not in your scheduler. Please report it with these lines and the files that they name; \
         RUST_BACKTRACE=1 shows where it happened.",
        env!("CARGO_PKG_VERSION"),
        line.join(" ")
    );
    Failure { status: Status::Internal, error }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn a_panic_is_a_failure_with_all_that_a_report_needs() {
        let cli = Cli::parse_from(["sextant", "sim", "simple", "--seed", "42"]);
        let failure = guard(&cli, || panic!("a rule is broken")).expect_err("it panics");
        assert_eq!(failure.status, Status::Internal);
        let text = failure.error.to_string();
        assert!(text.starts_with("internal error: a rule is broken ("), "{text}");
        for part in ["last_resort.rs:", "version:", "command line:", "seed:         42"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}

//! The program `sextant`: one file per subcommand; the only room with files, stdout, clap and anyhow.
//!
//! stdout is the result, stderr the rest. Every end has a [`status::Status`].
#![forbid(unsafe_code)]

mod builtin;
mod check;
mod cli;
mod compile;
mod demand;
mod disasm;
mod drain;
mod dump;
mod duration;
mod r#gen;
mod header;
mod inline;
mod inspect;
mod interrupt;
mod ksyms;
mod last_resort;
mod list;
mod made;
mod new;
mod object;
mod options;
mod output;
mod probe;
mod scheduler;
mod setup;
mod shape;
mod show;
mod sim;
mod sink;
mod size;
mod source;
mod status;
mod summary;
mod swap;
mod watch;

use std::io::{BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;

use anstream::stream::RawStream;
use anstream::{AutoStream, ColorChoice};
use clap::Parser;
use tracing_subscriber::EnvFilter;

use cli::{Cli, Command};
use status::{Failure, Status};

fn main() -> ExitCode {
    let cli = Cli::parse().resolve();
    cli.color.choice().write_global();
    log_to_stderr();
    let mut out = BufWriter::new(std::io::stdout().lock());
    let result = last_resort::guard(&cli, || run(&cli, &mut out)).and_then(|status| {
        out.flush()?;
        Ok(status)
    });
    match result {
        Ok(status) => status.into(),
        Err(failure) if failure.is_broken_pipe() => Status::Done.into(),
        Err(failure) => {
            report(&failure);
            failure.status.into()
        }
    }
}

fn run(cli: &Cli, out: &mut dyn Write) -> Result<Status, Failure> {
    if let Some(args) = cli.compile_args() {
        if args.watch {
            return watch::run();
        }
        compile::configure(args);
    }
    match &cli.command {
        Command::Sim(args) => sim::run(args, out),
        Command::Inspect(args) => inspect::run(args, out),
        Command::Check(args) => check::run(args, out),
        Command::Build(args) => compile::run(args, out),
        Command::New(args) => new::run(args, out),
        Command::Header(args) => header::run(args, out),
        Command::Gen(args) => r#gen::run(args, out),
        Command::List => list::run(out),
        Command::ProbeObject => probe::run(),
    }
}

/// Colours only for people, and only if they want them: `--color`, NO_COLOR, CLICOLOR, CLICOLOR_FORCE, TERM=dumb.
fn color(stream: impl RawStream) -> bool {
    AutoStream::choice(&stream) != ColorChoice::Never
}

/// Columns of a terminal; any number where it is none.
fn width(stream: impl IsTerminal + AsFd) -> usize {
    let columns = stream.is_terminal().then(|| terminal_size::terminal_size_of(stream)).flatten();
    columns.map_or(usize::MAX, |(terminal_size::Width(columns), _)| usize::from(columns).max(40))
}

/// Warnings of the libraries; `RUST_LOG` asks for more.
fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(color(std::io::stderr()))
        .without_time()
        .with_target(false)
        .init();
}

/// `error: what: why: …`, causes that repeat their parent left out.
fn report(failure: &Failure) {
    let mut message = String::new();
    for cause in failure.error.chain() {
        let text = cause.to_string();
        if message.is_empty() {
            message = text;
        } else if !message.contains(&text) {
            message.push_str(": ");
            message.push_str(&text);
        }
    }
    let label = if color(std::io::stderr()) { "\x1b[1;31merror:\x1b[0m" } else { "error:" };
    // Nobody is left to tell if stderr is gone.
    let _ = writeln!(std::io::stderr(), "{label} {message}");
}

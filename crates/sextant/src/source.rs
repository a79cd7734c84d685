//! Where a scheduler or a workload comes from: a file, or a name of a built-in one.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::Context;
use sextant_trace::nearest::did_you_mean;

use crate::builtin::{self, Builtin, FAIR, SCHEDULERS, SETUPS, WORKLOADS};
use crate::compile;
use crate::probe;
use crate::status::Failure;

/// Largest object that is read; the largest scheduler with debug information has 23 MB.
const MAX_OBJECT: u64 = 256 << 20;

/// Largest workload that is read.
const MAX_WORKLOAD: u64 = 16 << 20;

/// Something read, and what reports call it.
pub struct Source<T> {
    /// Built-in name, or the path as given.
    pub name: String,
    /// Its content.
    pub content: T,
}

/// What stands for stdin.
const STDIN: &str = "-";

/// The object named or found at `arg`, compiled if that is a C source, or read from stdin for `-`; None for `fair`.
pub fn scheduler(arg: &str) -> Result<Option<Source<Cow<'static, [u8]>>>, Failure> {
    let name = arg.to_string();
    if arg == FAIR {
        return Ok(None);
    }
    if let Some(b) = builtin::find(SCHEDULERS, arg) {
        // A copy of its own: included bytes may lie at any address, and an ELF reader wants them aligned.
        return Ok(Some(Source { name, content: Cow::Owned(b.content.to_vec()) }));
    }
    if arg.ends_with(".json") {
        let what =
            format!("{arg} looks like a workload; the scheduler comes first: sextant sim simple {arg}");
        return Err(Failure::usage(what));
    }
    if !is_path(arg) {
        return Err(unknown("scheduler", arg, SCHEDULERS, &[FAIR]));
    }
    if compile::is_source(arg) {
        return Ok(Some(Source { name, content: Cow::Owned(compile::compile(arg)?) }));
    }
    let content = read(arg, MAX_OBJECT)?;
    probe::survives(arg, &content)?;
    Ok(Some(Source { name, content: Cow::Owned(content) }))
}

/// The workload named or found at `arg`, or read from stdin for `-`.
pub fn workload(arg: &str) -> Result<Source<Cow<'static, str>>, Failure> {
    text("workload", "an rt-app file", WORKLOADS, arg)
}

/// The setup named or found at `arg`, or read from stdin for `-`.
pub fn setup(arg: &str) -> Result<Source<Cow<'static, str>>, Failure> {
    text("setup", "a setup file", SETUPS, arg)
}

fn text(
    kind: &str,
    what: &str,
    table: &'static [Builtin<&'static str>],
    arg: &str,
) -> Result<Source<Cow<'static, str>>, Failure> {
    let name = arg.to_string();
    if let Some(b) = builtin::find(table, arg) {
        return Ok(Source { name, content: Cow::Borrowed(b.content) });
    }
    if !is_path(arg) {
        return Err(unknown(kind, arg, table, &[]));
    }
    let bytes = read(arg, MAX_WORKLOAD)?;
    let text = String::from_utf8(bytes).map_err(|e| {
        let line = 1 + e.as_bytes()[..e.utf8_error().valid_up_to()].iter().filter(|&&b| b == b'\n').count();
        Failure::usage(format!("{arg}:{line}: not UTF-8 text, so not {what}"))
    })?;
    Ok(Source { name, content: Cow::Owned(text) })
}

/// Whether an argument can only be meant as a file, or is one.
fn is_path(arg: &str) -> bool {
    arg == STDIN || arg.contains(['/', '.']) || Path::new(arg).exists()
}

fn unknown<T>(kind: &str, arg: &str, table: &'static [Builtin<T>], more: &[&'static str]) -> Failure {
    let hint = did_you_mean(arg, table.iter().map(|b| b.name).chain(more.iter().copied()));
    Failure::usage(format!(
        "no {kind} \"{arg}\": neither a file nor a built-in {kind}{hint}\n`sextant list` shows the built-in ones"
    ))
}

fn read(path: &str, limit: u64) -> Result<Vec<u8>, Failure> {
    let attempt = || -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match path {
            STDIN => std::io::stdin().lock().take(limit + 1).read_to_end(&mut bytes)?,
            _ => File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?,
        };
        Ok(bytes)
    };
    let bytes = attempt().with_context(|| format!("cannot read {path}"))?;
    if bytes.len() as u64 > limit {
        return Err(Failure::usage(format!("{path} has more than {} MiB", limit >> 20)));
    }
    Ok(bytes)
}

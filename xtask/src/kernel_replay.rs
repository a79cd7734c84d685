//! Recorded decisions of a real 7.3.4 kernel against our class: `sextant-replay` does it, this builds it and runs it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{Done, workspace};

/// Replays the named recordings, or all of ../shared/data/kernel-traces; an error if one matches to less than 99%. With `bpf` the
/// schedulers' own objects run.
pub fn run(files: &[PathBuf], bpf: bool, show: usize, verbose: bool) -> Result<Done> {
    let shared = workspace::root().join("../shared/data/kernel-traces");
    if files.is_empty() && !shared.is_dir() {
        return Ok(Done::Skipped(format!("no recordings in {}", shared.display())));
    }
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args([
        "run",
        "--release",
        "--quiet",
        "--locked",
        "-p",
        "sextant-replay",
        "--bin",
        "kernel-replay",
    ]);
    command.arg("--manifest-path").arg(workspace::root().join("Cargo.toml"));
    command.args(["--", "--show", &show.to_string()]);
    if verbose {
        command.arg("--verbose");
    }
    if bpf {
        command.arg("--bpf");
    }
    let status = command.args(files).status().context("cannot start cargo")?;
    match status.code() {
        Some(0) => Ok(Done::Ok("every recording matches to 99% or more".into())),
        Some(1) => bail!("a recording matches to less than 99%"),
        _ => bail!("kernel-replay ended with {status}"),
    }
}

//! Random programs for verifier, interpreter and compiler, for as long as one likes (crates/sextant-fuzz).

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{Done, workspace};

/// Programs from `seed` on: so many, or for so long; as many as CI runs if neither is given.
pub fn run(seed: u64, programs: Option<u64>, hours: Option<f64>, show: bool) -> Result<Done> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace::root());
    command.args([
        "run",
        "--quiet",
        "--locked",
        "--release",
        "-p",
        "sextant-fuzz",
        "--no-default-features",
        "--",
        "--seed",
        &seed.to_string(),
    ]);
    if let Some(programs) = programs {
        command.args(["--programs", &programs.to_string()]);
    }
    if let Some(hours) = hours {
        command.args(["--hours", &hours.to_string()]);
    }
    if show {
        command.arg("--show");
    }
    if !command.status().context("cannot start cargo")?.success() {
        bail!("see above");
    }
    Ok(Done::Ok("no rule broken".into()))
}

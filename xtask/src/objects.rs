//! Damaged object files through the program, for as many as one likes (crates/sextant-fuzz, `src/bin/objects.rs`).

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{Done, workspace};

/// Damages `count` objects from `seed` on: our own schedulers, and the kernel's examples and selftests if they are built.
pub fn run(seed: u64, count: u64) -> Result<Done> {
    let root = workspace::root();
    let cargo = || {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(root);
        command
    };
    // The development profile: its arithmetic panics where it overflows.
    let built = cargo().args(["build", "--quiet", "--locked", "-p", "sextant"]).status();
    if !built.context("cannot start cargo")?.success() {
        bail!("the program does not build");
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    let mut objects = found(&root.join("schedulers/built"))?;
    objects.extend(found(&target.join("kernel-examples/examples"))?);
    objects.extend(found(&target.join("kernel-examples/selftests"))?);
    let ran = cargo()
        .args(["run", "--quiet", "--locked", "-p", "sextant-fuzz", "--bin", "objects", "--"])
        .arg(target.join("debug/sextant"))
        .arg(target.join("damaged-objects"))
        .args(["--seed", &seed.to_string(), "--count", &count.to_string()])
        .args(&objects)
        .status();
    if !ran.context("cannot start cargo")?.success() {
        bail!("the program broke, see above");
    }
    Ok(Done::Ok(format!("{count} damaged copies of {} objects, each answered in good order", objects.len())))
}

/// The objects in a directory, in the order of their names; none when there is no such directory.
fn found(dir: &std::path::Path) -> Result<Vec<PathBuf>> {
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "o") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

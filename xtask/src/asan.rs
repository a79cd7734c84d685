//! The tests of the crates with unsafe code once more, under AddressSanitizer.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{Done, workspace};

/// Where the sanitizer is known to work; a target that is named keeps build scripts and macros out of it.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Builds and runs them in a target directory of their own.
pub fn run() -> Result<Done> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu")) {
        return Ok(Done::Skipped(format!("only on {TARGET}")));
    }
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace::root());
    command.args(["test", "--quiet", "--locked", "--no-fail-fast", "--target", TARGET, "--lib", "--tests"]);
    command.args(["-p", "sextant-vm", "-p", "sextant-uapi"]);
    // -Zsanitizer is not for stable compilers, unless they are told to be otherwise.
    command.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", "-Zsanitizer=address");
    command.env("CARGO_TARGET_DIR", workspace::root().join("target/asan"));
    if !command.status().context("cannot start cargo")?.success() {
        bail!("see above");
    }
    Ok(Done::Ok("the tests of sextant-vm and sextant-uapi under AddressSanitizer".into()))
}

//! The whole test suite, step by step, as CI and `./x test` run it. Every step runs even when an earlier one failed, so that one
//! run shows everything; what was skipped is counted, never passed over in silence.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::{Done, workspace};

/// Name and arguments to cargo, in order. The objects that tests read are made before the tests.
const STEPS: [(&str, &[&str]); 16] = [
    ("format", &["fmt", "--all", "--check"]),
    ("deny", &["xtask", "deny"]),
    ("kernel-examples", &["xtask", "kernel-examples"]),
    ("schedulers", &["xtask", "schedulers", "--check"]),
    ("clippy", &["clippy", "--locked", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]),
    ("build", &["build", "--locked", "--workspace", "--all-targets"]),
    ("tests", &["test", "--locked", "--workspace", "--all-targets", "--no-fail-fast", "--", "--show-output"]),
    ("verifier tests", &["xtask", "verifier-tests", "--check"]),
    ("damaged objects", &["xtask", "objects"]),
    ("a real kernel's verdicts", &["xtask", "kernel-verdicts", "--check"]),
    ("address sanitizer", &["xtask", "asan"]),
    ("doc tests", &["test", "--locked", "--workspace", "--doc", "--no-fail-fast"]),
    ("documentation", &["doc", "--locked", "--workspace", "--no-deps", "--quiet"]),
    ("invariants", &["xtask", "invariants"]),
    ("seeded bugs", &["xtask", "mutants", "--check"]),
    ("seeded bugs of the class", &["xtask", "mutants", "class", "selftests"]),
];

/// Runs every step; an error names those that failed.
pub fn run() -> Result<Done> {
    let mut failed = Vec::new();
    let mut skipped = Vec::new();
    let mut summary = Vec::new();
    for (name, args) in STEPS {
        println!("\n=== {name}: cargo {}", args.join(" "));
        let start = Instant::now();
        let ok = step(args, &mut skipped)?;
        let verdict = if ok { "ok" } else { "FAILED" };
        summary.push(format!("{verdict:>6} {:>4} s  {name}", start.elapsed().as_secs()));
        if !ok {
            failed.push(name);
        }
    }
    println!("\n=== summary\n{}", summary.join("\n"));
    for line in &skipped {
        println!("{line}");
    }
    println!("skipped: {}", skipped.len());
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(Done::Ok(format!("{} steps, {} skipped", STEPS.len(), skipped.len())))
}

/// Runs one, showing its output and keeping the lines that say what it skipped.
fn step(args: &[&str], skipped: &mut Vec<String>) -> Result<bool> {
    let mut child = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(workspace::root())
        .args(args)
        .env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private-intra-doc-links") // readers of the code follow those
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start cargo")?;
    let stdout = child.stdout.take().context("its stdout is a pipe")?;
    for line in BufReader::new(stdout).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        println!("{line}");
        if line.starts_with("SKIPPED ") {
            skipped.push(line);
        }
    }
    Ok(child.wait()?.success())
}

//! The verdicts of a real kernel beside ours, program by program: `cargo xtask kernel-verdicts`.
//!
//! ```text
//!  cases: objects of four kinds, random programs ─┬─► lab: a Debian kernel under QEMU, one boot ─► its verdicts
//!                                                 └─► ours: `sextant check --json`, `sextant-fuzz --export` ─► ours
//!                                                                           compare ─► docs/parity/kernel-verdicts.md
//! ```
//!
//! What must hold: both agree on every program, or the page has a row that says why not. A row that explains nothing fails too.

mod cases;
mod compare;
mod guest;
mod lab;
mod ours;
mod report;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail, ensure};

use crate::{Done, deps, kernel_examples, workspace};
use cases::Case;
use compare::Outcome;
use lab::Lab;

/// Random programs of a whole run, and of the suite's.
const RANDOM: u64 = 5_000;
const RANDOM_IN_SUITE: u64 = 200;
/// The first random program.
const SEED: u64 = 1;

/// What is asked for.
pub struct Request {
    /// Only compare: nothing is written, and fewer random programs are tried.
    pub check: bool,
    /// How many random programs, if not the usual number.
    pub random: Option<u64>,
    /// Show the kernel's whole log of what differs.
    pub verbose: bool,
    /// Just these objects, which are shown and held against nothing.
    pub objects: Vec<PathBuf>,
}

/// Judges everything, and writes the page or sees that it is complete.
pub fn run(request: &Request) -> Result<Done> {
    if let Done::Skipped(why) = kernel_examples::run(false)? {
        return Ok(Done::Skipped(why));
    }
    if let Err(why) = deps::ensure(&lab::NEEDS) {
        return Ok(Done::Skipped(format!("{why:#}")));
    }
    let dir = workspace::root().join("target/kernel-verdicts");
    let lab = match Lab::open(&dir)? {
        Ok(lab) => lab,
        Err(why) => return Ok(Done::Skipped(why)),
    };
    let start = Instant::now();
    let some = !request.objects.is_empty();
    let cases = if some { cases::named(&request.objects) } else { cases::all(&dir)? };
    let usual = if request.check { RANDOM_IN_SUITE } else { RANDOM };
    let random = if some { 0 } else { request.random.unwrap_or(usual) };
    let raw = ours::random(&dir, SEED, random)?;
    let mine = ours::objects(&cases)?;
    eprintln!("{} objects and {random} random programs to {}", cases.len(), lab.kernel);
    let theirs = lab.judge(&dir, &cases, raw.as_ref().map(|r| r.file.as_path()), request.verbose)?;
    let outcome = compare::compare(&cases, &mine, raw.as_ref(), &theirs);
    if some {
        report::show(&outcome, request.verbose);
        return Ok(Done::Ok(format!("{} programs shown", outcome.programs.len())));
    }
    eprintln!("judged in {} s", start.elapsed().as_secs());
    finish(request, &lab, &outcome, &cases)
}

fn finish(request: &Request, lab: &Lab, outcome: &Outcome, cases: &[Case]) -> Result<Done> {
    let page = workspace::root().join("docs/parity/kernel-verdicts.md");
    let explained = report::explanations(&page)?;
    let (unexplained, stale) = outcome.hold(&explained);
    for program in &unexplained {
        println!("{}", report::difference(program, request.verbose));
    }
    // Only a whole run knows of every random program.
    let stale: Vec<&String> = if request.check { Vec::new() } else { stale };
    for name in &stale {
        println!("explained, but there is no such difference: {name}");
    }
    if !request.check {
        report::write(&page, &report::render(outcome, &lab.kernel, &explained))?;
    }
    ensure!(!outcome.programs.is_empty(), "nothing was judged");
    if !unexplained.is_empty() || !stale.is_empty() {
        bail!(
            "{} differences without an explanation, {} without a difference",
            unexplained.len(),
            stale.len()
        );
    }
    Ok(Done::Ok(format!(
        "{} programs of {} objects and {} random ones as on {}",
        outcome.programs.len() - outcome.random(),
        cases.len(),
        outcome.random(),
        lab.kernel
    )))
}

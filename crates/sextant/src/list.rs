//! `sextant list`: what can be named instead of a file.

use std::io::Write;

use crate::builtin::{Builtin, FAIR, SCHEDULERS, SETUPS, WORKLOADS};
use crate::status::{Failure, Status};

/// Prints the tables.
pub fn run(out: &mut dyn Write) -> Result<Status, Failure> {
    writeln!(out, "Schedulers (sextant sim SCHEDULER):")?;
    entries(out, SCHEDULERS)?;
    entry(out, FAIR, "no sched_ext scheduler: the fair class alone")?;
    writeln!(out, "\nWorkloads (sextant sim SCHEDULER WORKLOAD):")?;
    entries(out, WORKLOADS)?;
    writeln!(out, "\nSetups (sextant sim SCHEDULER --setup SETUP):")?;
    entries(out, SETUPS)?;
    Ok(Status::Done)
}

fn entries<T>(out: &mut dyn Write, table: &[Builtin<T>]) -> std::io::Result<()> {
    table.iter().try_for_each(|b| entry(out, b.name, b.about))
}

fn entry(out: &mut dyn Write, name: &str, about: &str) -> std::io::Result<()> {
    writeln!(out, "  {name:<10} {about}")
}

//! `sextant inspect`: what an object file contains and needs.

use std::io::Write;

use crate::cli::InspectArgs;
use crate::source;
use crate::status::{Failure, Status};

/// Runs the subcommand.
pub fn run(args: &InspectArgs, out: &mut dyn Write) -> Result<Status, Failure> {
    let Some(object) = source::scheduler(&args.object)? else {
        return Err(Failure::usage(
            "fair is no object file: it is the machine without a sched_ext scheduler",
        ));
    };
    writeln!(out, "{}: {} bytes", object.name, object.content.len())?;
    Ok(Status::Done)
}

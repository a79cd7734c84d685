//! `sextant header`: a vmlinux.h of the emulated kernel.

use std::io::Write;

use sextant_bpf::vmlinux::Vmlinux;
use sextant_sched::bpf::has_kfunc;

use crate::status::{Failure, Status};

/// Prints it.
pub fn run(out: &mut dyn Write) -> Result<Status, Failure> {
    out.write_all(Vmlinux::build(&has_kfunc).btf.c_header().as_bytes())?;
    Ok(Status::Done)
}

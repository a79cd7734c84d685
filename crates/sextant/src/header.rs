//! `sextant header`: what schedulers are compiled against. Some headers are written from the tables of the emulated kernel, the
//! others by hand, in `include/`; the program holds both.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::Context;
use sextant_bpf::headers;
use sextant_bpf::vmlinux::Vmlinux;
use sextant_sched::bpf::has_kfunc;

use crate::cli::HeaderArgs;
use crate::status::{Failure, Status};

/// Directory, below that of all headers, that stands in for libbpf's.
pub const LIBBPF: &str = "libbpf";

/// What objects call the directory of the headers they were compiled with, wherever it lay.
pub const SHOWN: &str = "sextant/include";

/// A line of one of the headers, by the name that objects have for it.
pub fn line(file: &str, line: u32) -> Option<String> {
    let (_, path) = file.split_once(SHOWN)?;
    let path = path.strip_prefix('/')?;
    let nth =
        |text: &str| text.lines().nth(line.checked_sub(1)? as usize).map(|line| line.trim_end().to_owned());
    match WRITTEN.iter().find(|(name, _)| *name == path) {
        Some((_, text)) => nth(text),
        None => headers::all(&Vmlinux::build(&has_kfunc).btf)
            .iter()
            .find(|h| h.path == path)
            .and_then(|h| nth(&h.text)),
    }
}

macro_rules! written {
    ($($path:literal),* $(,)?) => {
        /// Headers that are written by hand: path below `include/`, text.
        const WRITTEN: &[(&str, &str)] = &[$(($path, include_str!(concat!("../../../include/", $path)))),*];
    };
}

written! {
    "libbpf/bpf/bpf_core_read.h",
    "libbpf/bpf/bpf_endian.h",
    "libbpf/bpf/bpf_helpers.h",
    "libbpf/bpf/bpf_tracing.h",
    "scx/bpf_arena_common.bpf.h",
    "scx/bpf_prog.bpf.h",
    "scx/cid.bpf.h",
    "scx/clock.bpf.h",
    "scx/common.bpf.h",
    "scx/compat.bpf.h",
    "scx/cpus.bpf.h",
    "scx/enums.bpf.h",
    "scx/errno.bpf.h",
    "scx/libbpf_newer.bpf.h",
    "scx/libbpf_newer_core.bpf.h",
    "scx/math.bpf.h",
    "scx/print.bpf.h",
    "scx/user_exit_info.bpf.h",
}

/// Prints vmlinux.h, or writes every header to a directory.
pub fn run(args: &HeaderArgs, out: &mut dyn Write) -> Result<Status, Failure> {
    let Some(dir) = &args.all else {
        let vmlinux = Vmlinux::build(&has_kfunc).btf.c_header();
        out.write_all(vmlinux.as_bytes())?;
        return Ok(Status::Done);
    };
    let files = write_all(dir)?;
    let dir = dir.display();
    writeln!(out, "{files} headers in {dir}; compile with\n  {} x.bpf.c -o x.bpf.o", command_line(&dir))?;
    Ok(Status::Done)
}

/// How to compile by hand with the headers in that directory.
pub fn command_line(dir: &dyn std::fmt::Display) -> String {
    format!("clang -target bpf -mcpu=v3 -O2 -g -I {dir} -idirafter {dir}/{LIBBPF} -c")
}

/// Writes all headers below a directory, which is made if need be; how many.
///
/// # Errors
/// When a file cannot be written.
pub fn write_all(dir: &Path) -> Result<usize, Failure> {
    let printed = headers::all(&Vmlinux::build(&has_kfunc).btf);
    let printed = printed.iter().map(|header| (header.path, header.text.as_str()));
    let mut files = 0;
    for (path, text) in printed.chain(WRITTEN.iter().copied()) {
        let path = dir.join(path);
        let parent = path.parent().unwrap_or(dir);
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        files += 1;
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every file in `include/` comes with the program.
    #[test]
    fn all_headers_are_embedded() {
        let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../include");
        let mut found = Vec::new();
        let mut dirs = vec![include.clone()];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(dir).expect("include/") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    dirs.push(path);
                } else {
                    let below = path.strip_prefix(&include).expect("below include/");
                    found.push(below.display().to_string());
                }
            }
        }
        let printed = headers::all(&Vmlinux::build(&has_kfunc).btf).map(|header| header.path.to_owned());
        let mut known: Vec<String> =
            WRITTEN.iter().map(|(path, _)| path.to_string()).chain(printed).collect();
        found.sort();
        known.sort();
        assert_eq!(found, known);
    }
}

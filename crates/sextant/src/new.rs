//! `sextant new`: a directory with a scheduler to begin with, and what is needed to try it.

use std::fs;
use std::io::Write;

use anyhow::Context;

use crate::cli::NewArgs;
use crate::status::{Failure, Status};

/// What stands for the scheduler's name in the files.
const NAME: &str = "@NAME@";

/// Longest name: `sched_ext_ops.name` has 128 bytes, and a BPF object's 15 characters are cut from `NAME_op`.
const MAX_NAME: usize = 100;

/// The files: name, text. Both may hold [`NAME`].
const FILES: &[(&str, &str)] = &[
    ("@NAME@.bpf.c", include_str!("new/scheduler.bpf.c")),
    ("workload.json", include_str!("new/workload.json")),
    ("setup.toml", include_str!("new/setup.toml")),
    ("Makefile", include_str!("new/Makefile")),
    ("ci.yml", include_str!("new/ci.yml")),
    ("README.md", include_str!("new/README.md")),
    (".gitignore", "/include/\n*.bpf.o\n"),
];

/// Runs the subcommand.
pub fn run(args: &NewArgs, out: &mut dyn Write) -> Result<Status, Failure> {
    let dir = &args.name;
    let name = dir.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if let Err(why) = check_name(name) {
        return Err(Failure::usage(format!("\"{name}\" cannot be a scheduler's name: {why}")));
    }
    // Nothing that is there is touched.
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    }
    fs::create_dir(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    for (file, text) in FILES {
        let path = dir.join(file.replace(NAME, name));
        fs::write(&path, text.replace(NAME, name))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let dir = dir.display();
    writeln!(out, "{dir}: a scheduler that runs, a workload, a Makefile. Go on with\n")?;
    writeln!(out, "  cd {dir}\n  sextant check {name}.bpf.c\n  sextant sim {name}.bpf.c workload.json")?;
    Ok(Status::Done)
}

/// It becomes part of C names.
fn check_name(name: &str) -> Result<(), &'static str> {
    let first = name.chars().next().ok_or("there is none")?;
    if !(first.is_ascii_alphabetic() || first == '_') {
        return Err("it has to begin with a letter, since functions are named after it");
    }
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err("functions are named after it, so it may have letters, digits and _");
    }
    if name.len() > MAX_NAME { Err("it is too long") } else { Ok(()) }
}

//! The kernel's verifier tests against ours: compiles those files of tools/testing/selftests/bpf/progs that say of a program whether
//! Linux accepts it (`__success`, `__failure`) as the Makefile does for `test_progs-cpuv4`, and lets `sextant-judge` load them and write
//! the numbers.
//!
//! ```text
//! target/verifier-tests/
//!   include/vmlinux.h   that of target/kernel-examples, and prototypes of the kfuncs, which an older bpftool leaves out
//!   *.o                 one for each annotated file
//!   btf/                the objects whose BTF a test takes for the kernel's (`__btf_path`)
//!   FAILED              what did not compile, and why: a line each
//!   STAMP               what all this was made from; unchanged means up to date
//! ```

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail};
use sextant_bpf::btf::{Btf, Kind, TypeId};

use crate::{Done, bpf_clang, kernel_examples, workspace};

/// Raised when the recipe changes, so that old objects are not taken for new ones.
const RECIPE: u32 = 3;
const PROGS: &str = "tools/testing/selftests/bpf/progs";

/// Makes target/verifier-tests where it is not up to date, and judges.
pub fn run(check: bool, only: Option<&str>) -> Result<Done> {
    if let Done::Skipped(why) = kernel_examples::run(false)? {
        return Ok(Done::Skipped(why));
    }
    let examples = workspace::kernel_examples();
    let dir = workspace::root().join("target/verifier-tests");
    let stamp = format!("recipe {RECIPE}\n{}", fs::read_to_string(examples.join("STAMP"))?);
    if fs::read_to_string(dir.join("STAMP")).is_ok_and(|old| old == stamp) {
        eprintln!("target/verifier-tests is up to date");
    } else {
        kernel_examples::remove(&dir)?;
        make(&examples, &dir)?;
        fs::write(dir.join("STAMP"), &stamp)?;
    }
    let source = stamp.lines().find(|line| line.starts_with("linux-source")).unwrap_or_default();
    judge(&examples, &dir, source, check, only)
}

fn make(examples: &Path, dir: &Path) -> Result<()> {
    fs::create_dir_all(dir.join("include"))?;
    let (examples, dir) = (examples.canonicalize()?, dir.canonicalize()?);
    fs::write(dir.join("include/vmlinux.h"), vmlinux_h(&examples)?)?;
    let failed = compile(&examples, &dir)?;
    fs::write(dir.join("FAILED"), failed)?;
    Ok(())
}

/// vmlinux.h with the prototypes that bpftool writes from version 7.5 on.
fn vmlinux_h(examples: &Path) -> Result<String> {
    let btf = Btf::parse(&fs::read(examples.join("vmlinux.btf"))?)?;
    let mut text = format!("#include \"{}\"\n", examples.join("vmlinux.h").display());
    text.push_str("#ifndef BPF_NO_KFUNC_PROTOTYPES\n#pragma once\n");
    let is_kfunc = |id: TypeId| btf.decl_tags(id).any(|(tag, _)| tag == "bpf_kfunc");
    let funcs = btf.types().filter(|(id, ty)| matches!(ty.kind, Kind::Func { .. }) && is_kfunc(*id));
    for (id, _) in funcs {
        let _ = writeln!(
            text,
            "extern {} __attribute__((weak, section(\".ksyms\")));",
            btf.declare(id, btf.name(id))
        );
    }
    text.push_str("#endif\n");
    Ok(text)
}

/// Compiles all of them, on all CPUs; a line for each that fails.
fn compile(examples: &Path, dir: &Path) -> Result<String> {
    let source = examples.join("source");
    let progs = source.join(PROGS);
    let (names, btfs) = annotated(&progs)?;
    fs::create_dir_all(dir.join("btf"))?;
    let mut jobs: Vec<(String, PathBuf)> =
        names.into_iter().map(|name| (name.clone(), dir.join(format!("{name}.o")))).collect();
    jobs.extend(btfs.into_iter().map(|name| (name.clone(), dir.join(format!("btf/{name}.bpf.o")))));
    eprintln!("compiling {} objects with {}", jobs.len(), bpf_clang::version()?);
    let flags = flags(examples, dir, &source)?;
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some((name, to)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = bpf_clang::compile(dir, &flags, &progs.join(format!("{name}.c")), to) {
                let text = format!("{error:#}");
                let why = text.lines().find(|line| line.contains("error:")).unwrap_or(&text);
                let why = why.rsplit("error:").next().unwrap_or(why).trim();
                failed.lock().expect("no thread panics with it").push(format!("{name}: {why}\n"));
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let mut failed = failed.into_inner().expect("no thread panics with it");
    failed.sort();
    Ok(failed.concat())
}

/// The files that say of a program what Linux answers, without their `.c`; and those whose BTF they name; both sorted.
fn annotated(progs: &Path) -> Result<(BTreeSet<String>, BTreeSet<String>)> {
    let (mut names, mut btfs) = (BTreeSet::new(), BTreeSet::new());
    for entry in fs::read_dir(progs).with_context(|| format!("cannot read {}", progs.display()))? {
        let path = entry?.path();
        if path.extension().is_none_or(|ext| ext != "c") {
            continue;
        }
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        if ["__success", "__failure"].iter().any(|mark| text.contains(mark)) {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
            let paths = text.split("__btf_path(\"").skip(1).filter_map(|rest| rest.split_once(".bpf.o\""));
            btfs.extend(paths.map(|(name, _)| name.to_owned()));
        }
    }
    Ok((names, btfs))
}

/// BPF_CFLAGS of the Makefile, with -mcpu=v4 as `test_progs-cpuv4` has it.
fn flags(examples: &Path, dir: &Path, source: &Path) -> Result<Vec<String>> {
    let tests = source.join("tools/testing/selftests/bpf");
    let include = [
        dir.join("include"),
        examples.join("include"),
        tests.clone(),
        tests.join("libarena/include"),
        source.join("tools/include/uapi"),
        source.join("tools/include"),
    ];
    let mut flags: Vec<String> = include.iter().map(|path| format!("-I{}", path.display())).collect();
    flags.extend(bpf_clang::system_includes()?);
    let fixed = "-g -O2 -mcpu=v4 -mlittle-endian -D__TARGET_ARCH_x86 -DENABLE_ATOMICS_TESTS -std=gnu11 \
                 -fno-strict-aliasing -fms-extensions -Wno-microsoft-anon-tag -Wno-compare-distinct-pointer-types \
                 -Wno-initializer-overrides -Wno-incompatible-pointer-types";
    flags.extend(fixed.split_whitespace().map(str::to_owned));
    Ok(flags)
}

fn judge(examples: &Path, dir: &Path, source: &str, check: bool, only: Option<&str>) -> Result<Done> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["run", "--quiet", "--locked", "-p", "sextant-judge"]);
    command.arg("--manifest-path").arg(workspace::root().join("Cargo.toml"));
    command.arg("--").arg("--btf").arg(examples.join("vmlinux.btf"));
    command.args(["--kernel", source]).arg("--failed").arg(dir.join("FAILED"));
    command.arg("--btf-dir").arg(dir.join("btf"));
    match only {
        Some(only) => command.args(["--verbose", "--only", only]),
        None => command.arg("--report").arg(workspace::root().join("docs/parity/verifier.md")),
    };
    if check {
        command.arg("--check");
    }
    let mut objects: Vec<PathBuf> = fs::read_dir(dir)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ext| ext == "o"))
        .collect();
    objects.sort();
    let status = command.args(&objects).status().context("cannot start cargo")?;
    if !status.success() {
        bail!("verifier-tests ended with {status}");
    }
    Ok(Done::Ok(format!("{} files judged", objects.len())))
}

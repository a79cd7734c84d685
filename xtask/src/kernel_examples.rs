//! Compiles what the kernel itself ships for sched_ext, tools/sched_ext and tools/testing/selftests/sched_ext, with
//! the flags of their Makefiles. Source and BTF come from Debian packages and are never committed.
//!
//! ```text
//! target/kernel-examples/
//!   vmlinux.btf  vmlinux.h     of a Debian cloud kernel of the same version
//!   examples/scx_*.bpf.o       one per *.bpf.c, with DWARF, as make leaves them
//!   selftests/*.bpf.o
//!   include/bpf/               libbpf's headers, from the same source
//!   source/                    the part of linux-source that compiles
//!   STAMP                      what all this was made from; unchanged means up to date
//! ```
//!
//! What must hold: every `*.bpf.c` yields its object, and every scheduler that the Makefile names is among them. It
//! leaves out the schedulers' user-space halves and `bpftool gen object`, which changes no instruction.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail, ensure};

use crate::apt::Suite;
use crate::{Done, bpf_clang, deps, run, vmlinuz, workspace};

/// The suite that has these kernels.
pub const SUITE: &str = "trixie-backports";
/// The emulated kernel's version; where its packages are gone, the next one that is there.
const KERNEL: (u32, u32) = (7, 3);
/// Raised when the recipe changes, so that an old result is not taken for a new one.
const RECIPE: u32 = 2;

/// What is compiled: directory in the kernel's source, directory of the objects, further flags of its Makefile.
const SETS: [(&str, &str, &[&str]); 2] = [
    ("tools/sched_ext", "examples", &[]),
    ("tools/testing/selftests/sched_ext", "selftests", &["-Wno-incompatible-function-pointer-types"]),
];

/// The part of the source that compiling needs, here and for `verifier-tests`.
const SOURCE_PARTS: [&str; 8] = [
    "tools/sched_ext",
    "tools/testing/selftests/sched_ext",
    "tools/testing/selftests/bpf",
    "tools/lib/bpf",
    "tools/include",
    "include/uapi",
    "scripts/bpf_doc.py",
    "COPYING",
];

/// Selftests that tests of the workspace name; the Makefile of the selftests does not list its objects.
const NAMED_SELFTESTS: [&str; 5] =
    ["minimal", "select_cpu_dfl", "create_dsq", "select_cpu_vtime", "enq_last_no_enq_fails"];

/// Makes target/kernel-examples, or finds it made.
pub fn run(force: bool) -> Result<Done> {
    let dir = workspace::kernel_examples();
    if let Err(why) =
        deps::ensure(&[deps::CLANG, deps::BPFTOOL, deps::ZSTD, deps::XZ, deps::PYTHON, deps::DEBIAN_KEYS])
    {
        return Ok(Done::Skipped(format!("{why:#}")));
    }
    let recipe = format!("recipe {RECIPE}\n{}\n", bpf_clang::version()?);
    if !force && let Some(done) = made_before(&dir, &recipe)? {
        return Ok(Done::Ok(done));
    }
    let fresh = dir.with_extension("new");
    remove(&fresh)?;
    fs::create_dir_all(&fresh)?;
    let fresh = fresh.canonicalize()?;
    let packages = match choose(&fresh) {
        Ok(packages) => packages,
        Err(why) => return Ok(Done::Skipped(format!("{why:#}"))),
    };
    let versions = fetch(&fresh, &packages)?;
    headers(&fresh)?;
    let made = compile(&fresh)?;
    check(&fresh)?;
    fs::write(fresh.join("STAMP"), format!("{recipe}{versions}"))?;
    remove(&dir)?;
    fs::rename(&fresh, &dir)?;
    Ok(Done::Ok(format!("{made} objects from {}", packages.source)))
}

pub fn remove(dir: &Path) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    Ok(())
}

/// The result of an earlier run with the same recipe, if all of it is still there.
fn made_before(dir: &Path, recipe: &str) -> Result<Option<String>> {
    let Ok(stamp) = fs::read_to_string(dir.join("STAMP")) else { return Ok(None) };
    if !stamp.starts_with(recipe) || check(dir).is_err() {
        return Ok(None);
    }
    let objects = objects(dir)?.len();
    Ok(Some(format!(
        "{objects} objects, made before from {}",
        stamp[recipe.len()..].trim().replace('\n', ", ")
    )))
}

/// The two packages: the kernel's source, and a kernel of that version for its BTF.
struct Packages {
    suite: Suite,
    source: String,
    kernel: String,
}

fn choose(dir: &Path) -> Result<Packages> {
    let suite = Suite::open(SUITE, &dir.join("apt"))?;
    let sources = suite.names("linux-source-")?;
    let kernels = suite.names("linux-")?;
    let (source, kernel) = pick(&sources, &kernels).with_context(|| {
        format!("{SUITE} has no linux-source of {}.{} or later with a kernel", KERNEL.0, KERNEL.1)
    })?;
    Ok(Packages { suite, source, kernel })
}

/// The oldest source that is not older than KERNEL and for which there is a kernel; of its kernels the newest.
fn pick(sources: &[String], kernels: &[String]) -> Option<(String, String)> {
    let versions: BTreeSet<(u32, u32)> =
        sources.iter().filter_map(|name| two(name.strip_prefix("linux-source-")?)).collect();
    versions.range(KERNEL..).find_map(|&(major, minor)| {
        let of_this = |name: &&String| kernel_version(name).is_some_and(|v| (v.0, v.1) == (major, minor));
        let newest = kernels.iter().filter(of_this).max_by_key(|name| kernel_version(name))?;
        Some((format!("linux-source-{major}.{minor}"), newest.clone()))
    })
}

/// Version of a package that holds a cloud kernel; the last number prefers the small packages.
fn kernel_version(name: &str) -> Option<(u32, u32, u32, u32)> {
    let kinds = [("linux-binary-unsigned-", 2), ("linux-binary-", 1), ("linux-image-", 0)];
    let (rest, kind) = kinds.iter().find_map(|(prefix, kind)| Some((name.strip_prefix(prefix)?, *kind)))?;
    let (version, debian) = rest.strip_suffix("-cloud-amd64")?.split_once('+')?;
    if !debian.starts_with("deb") {
        return None;
    }
    let (head, patch) = version.rsplit_once('.')?;
    let (major, minor) = two(head)?;
    Some((major, minor, patch.parse().ok()?, kind))
}

/// Whether a line of the STAMP is about the package that holds the kernel.
pub fn is_kernel(line: &str) -> bool {
    line.split(' ').next().is_some_and(|package| kernel_version(package).is_some())
}

fn two(version: &str) -> Option<(u32, u32)> {
    let (major, minor) = version.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Leaves source/ and vmlinux.btf; says what they are, one line each.
fn fetch(dir: &Path, packages: &Packages) -> Result<String> {
    let Packages { suite, source, kernel } = packages;
    eprintln!("downloading {source} and {kernel}");
    let unpacked = dir.join("unpacked");
    let source_version = suite.unpack(source, &unpacked)?;
    let kernel_version = suite.unpack(kernel, &unpacked)?;
    unpack_source(&unpacked.join(format!("usr/src/{source}.tar.xz")), source, dir)?;
    let vmlinuz = find_vmlinuz(&unpacked).with_context(|| format!("{kernel} holds no vmlinuz"))?;
    fs::write(dir.join("vmlinux.btf"), vmlinuz::btf(&vmlinuz, dir)?)?;
    fs::remove_dir_all(unpacked)?;
    fs::remove_dir_all(dir.join("apt"))?;
    Ok(format!("{source} {source_version}\n{kernel} {kernel_version}\n"))
}

fn unpack_source(tar: &Path, top: &str, dir: &Path) -> Result<()> {
    eprintln!("unpacking {}", tar.file_name().unwrap_or_default().to_string_lossy());
    let parts = SOURCE_PARTS.map(|part| format!("{top}/{part}"));
    run::output(Command::new("tar").arg("-xJf").arg(tar).arg("-C").arg(dir).args(parts))?;
    fs::rename(dir.join(top), dir.join("source"))?;
    Ok(())
}

/// `boot/vmlinuz-*` or `usr/lib/modules/*/vmlinuz*`.
pub fn find_vmlinuz(unpacked: &Path) -> Option<PathBuf> {
    let modules = fs::read_dir(unpacked.join("usr/lib/modules")).into_iter().flatten().flatten();
    let mut dirs: Vec<PathBuf> = modules.map(|entry| entry.path()).collect();
    dirs.push(unpacked.join("boot"));
    let files = dirs.iter().filter_map(|dir| fs::read_dir(dir).ok()).flatten().flatten();
    files.map(|entry| entry.path()).find(|path| {
        path.is_file() && path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz"))
    })
}

/// vmlinux.h, and libbpf's headers as its `make install_headers` leaves them.
fn headers(dir: &Path) -> Result<()> {
    let bpftool = deps::find("bpftool").context("no bpftool")?;
    let header = run::output(
        Command::new(bpftool)
            .args(["btf", "dump", "file"])
            .arg(dir.join("vmlinux.btf"))
            .args(["format", "c"]),
    )?;
    fs::write(dir.join("vmlinux.h"), header.stdout)?;
    let include = dir.join("include/bpf");
    fs::create_dir_all(&include)?;
    for entry in fs::read_dir(dir.join("source/tools/lib/bpf"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|ext| ext == "h") {
            fs::copy(&path, include.join(path.file_name().unwrap_or_default()))?;
        }
    }
    let source = dir.join("source");
    let defs = run::output(
        Command::new("python3")
            .arg(source.join("scripts/bpf_doc.py"))
            .args(["--header", "--file"])
            .arg(source.join("tools/include/uapi/linux/bpf.h")),
    )?;
    fs::write(include.join("bpf_helper_defs.h"), defs.stdout)?;
    Ok(())
}

/// BPF_CFLAGS of the two Makefiles, relative to `dir`.
fn flags(set: &str, further: &[&str]) -> Result<Vec<String>> {
    let fixed = "-g -D__TARGET_ARCH_x86 -mlittle-endian -I. -Iinclude -Isource/tools/include/uapi \
                 -Isource/tools/sched_ext/include -Isource/tools/sched_ext/include/bpf-compat -Isource/include";
    let warnings =
        "-Wall -Wno-compare-distinct-pointer-types -Wno-microsoft-anon-tag -fms-extensions -O2 -mcpu=v3";
    let mut flags = vec![format!("-Isource/{set}/include")];
    flags.extend(fixed.split_whitespace().map(str::to_owned));
    flags.extend(bpf_clang::system_includes()?);
    flags.extend(warnings.split_whitespace().chain(further.iter().copied()).map(str::to_owned));
    Ok(flags)
}

/// Compiles everything, on all CPUs; how many objects.
fn compile(dir: &Path) -> Result<usize> {
    let mut jobs = Vec::new();
    for (set, out, further) in SETS {
        fs::create_dir_all(dir.join(out))?;
        let flags = flags(set, further)?;
        for name in sources(dir, set)? {
            let source = PathBuf::from(format!("source/{set}/{name}.c"));
            jobs.push((flags.clone(), source, PathBuf::from(format!("{out}/{name}.o"))));
        }
    }
    eprintln!("compiling {} objects with {}", jobs.len(), bpf_clang::version()?);
    let next = AtomicUsize::new(0);
    let work = || -> Result<()> {
        while let Some((flags, source, object)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            bpf_clang::compile(dir, flags, source, object)?;
        }
        Ok(())
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("a compiling thread panicked"))
    })?;
    Ok(jobs.len())
}

/// Names (`scx_simple.bpf`) of the BPF sources of a set, sorted.
fn sources(dir: &Path, set: &str) -> Result<BTreeSet<String>> {
    let path = dir.join("source").join(set);
    let entries = fs::read_dir(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut names = BTreeSet::new();
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if let Some(stem) = name.strip_suffix(".c").filter(|stem| stem.ends_with(".bpf")) {
            names.insert(stem.to_owned());
        }
    }
    Ok(names)
}

/// Every object that must be there, relative to `dir`.
fn objects(dir: &Path) -> Result<BTreeSet<String>> {
    let mut objects = BTreeSet::new();
    for (set, out, _) in SETS {
        objects.extend(sources(dir, set)?.iter().map(|name| format!("{out}/{name}.o")));
    }
    let makefile = fs::read_to_string(dir.join("source/tools/sched_ext/Makefile"))?;
    objects.extend(named_schedulers(&makefile)?.map(|name| format!("examples/{name}.bpf.o")));
    objects.extend(NAMED_SELFTESTS.iter().map(|name| format!("selftests/{name}.bpf.o")));
    Ok(objects)
}

/// The schedulers that tools/sched_ext/Makefile builds.
fn named_schedulers(makefile: &str) -> Result<impl Iterator<Item = &str>> {
    let line = makefile.lines().find_map(|line| line.strip_prefix("c-sched-targets = "));
    Ok(line.context("tools/sched_ext/Makefile names no c-sched-targets")?.split_whitespace())
}

/// Fails for a missing file.
fn check(dir: &Path) -> Result<()> {
    for file in ["vmlinux.btf", "vmlinux.h"] {
        ensure!(dir.join(file).is_file(), "{file} is missing");
    }
    let missing: Vec<String> =
        objects(dir)?.into_iter().filter(|object| !dir.join(object).is_file()).collect();
    if !missing.is_empty() {
        bail!("missing: {}", missing.join(" "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picked(sources: &[&str], kernels: &[&str]) -> Option<(String, String)> {
        let owned = |names: &[&str]| names.iter().map(|s| s.to_string()).collect::<Vec<_>>();
        pick(&owned(sources), &owned(kernels))
    }

    #[test]
    fn takes_its_version_and_the_newest_kernel_of_it() {
        let kernels = [
            "linux-binary-unsigned-7.3.9+deb13-cloud-amd64",
            "linux-binary-unsigned-7.3.12+deb13-cloud-amd64",
            "linux-binary-7.3.12+deb13-cloud-amd64",
            "linux-image-7.3.12+deb13-cloud-amd64",
            "linux-image-7.3.12+deb13-cloud-amd64-dbg",
            "linux-binary-unsigned-7.4.1+deb13-cloud-amd64",
        ];
        let got =
            picked(&["linux-source-7.2", "linux-source-7.4", "linux-source-7.3", "linux-source"], &kernels);
        let expected = ("linux-source-7.3", "linux-binary-unsigned-7.3.12+deb13-cloud-amd64");
        assert_eq!(got, Some((expected.0.into(), expected.1.into())));
    }

    #[test]
    fn takes_the_next_version_when_its_own_is_gone() {
        let kernels = ["linux-binary-7.2.1+deb13-cloud-amd64", "linux-image-7.10.2+deb13-cloud-amd64"];
        let got = picked(&["linux-source-7.2", "linux-source-7.4", "linux-source-7.10"], &kernels);
        assert_eq!(got, Some(("linux-source-7.10".into(), kernels[1].into())));
        assert_eq!(picked(&["linux-source-7.2"], &kernels), None);
    }

    #[test]
    fn makefile_names_its_schedulers() {
        let names: Vec<_> =
            named_schedulers("a = b\nc-sched-targets = scx_simple scx_pair\n").expect("named").collect();
        assert_eq!(names, ["scx_simple", "scx_pair"]);
        assert!(named_schedulers("all:\n").is_err());
    }
}

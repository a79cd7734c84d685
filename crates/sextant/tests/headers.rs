//! The headers: those that are printed from tables are the committed ones; the kernel's own schedulers and selftests compile against
//! them unchanged, with libbpf's headers of Debian 12, of 1.7 and none, and what comes out loads as what the kernel's headers yield.
//!
//! After a change of tables `SEXTANT_GOLDEN=write cargo test -p sextant --test headers` writes the printed headers anew.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use sextant_abi::tables::{HELPER_PROTOS, HelperId};
use support::{command, root, sextant};

fn scratch(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).expect("the scratch directory is writable");
    dir
}

/// Files below a directory, sorted.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() { dirs.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

#[test]
fn the_committed_headers_are_those_the_program_writes() {
    let (dir, include) = (scratch("headers-written"), root().join("include"));
    sextant(&["header", "--all", &dir.display().to_string()]).expect(0);
    let below = |dir: &Path| -> Vec<PathBuf> {
        files(dir).iter().map(|f| f.strip_prefix(dir).expect("below").to_owned()).collect()
    };
    if std::env::var_os("SEXTANT_GOLDEN").is_some_and(|v| v == "write") {
        for file in below(&dir) {
            std::fs::copy(dir.join(&file), include.join(&file)).expect("include/ is writable");
        }
    }
    assert_eq!(below(&dir), below(&include));
    for file in below(&dir) {
        let [now, committed] =
            [&dir, &include].map(|d| std::fs::read_to_string(d.join(&file)).expect("text"));
        assert!(
            now == committed,
            "include/{} is out of date: cargo run -p sextant -- header --all include",
            file.display()
        );
    }
}

/// Every helper that the vm carries out can be called by name without libbpf's headers.
#[test]
fn every_implemented_helper_has_a_prototype() {
    let missing: Vec<&str> = (1..=211)
        .filter(|&number| sextant_vm::helper_is_implemented(number))
        .filter_map(HelperId::from_number)
        .filter(|id| HELPER_PROTOS.iter().all(|proto| proto.id != *id))
        .map(HelperId::name)
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// The kernel's schedulers and selftests: name, source.
fn kernel_sources() -> Vec<(String, PathBuf)> {
    let tools = root().join("target/kernel-examples/source/tools");
    let mut sources = Vec::new();
    for dir in ["sched_ext", "testing/selftests/sched_ext"] {
        let Ok(entries) = std::fs::read_dir(tools.join(dir)) else { continue };
        for entry in entries {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            if let Some(name) = name.strip_suffix(".bpf.c") {
                sources.push((name.to_owned(), path.clone()));
            }
        }
    }
    sources.sort();
    sources
}

/// Whether the emulated kernel has the fields that a source names.
fn is_modelled(name: &str) -> bool {
    let vmlinux = std::fs::read_to_string(root().join("include/vmlinux.h")).expect("include/vmlinux.h");
    let lacks = name == "scx_qmap" && !vmlinux.contains("cpu_cgrp_id");
    if lacks {
        println!("SKIPPED {name} against our headers: cgroup.subsys is not modelled");
    }
    !lacks
}

/// Compilers on this machine that the headers have to work with.
fn compilers() -> Vec<String> {
    let runs = |name: &String| Command::new(name).arg("--version").output().is_ok_and(|o| o.status.success());
    (16..=22).map(|version| format!("clang-{version}")).filter(runs).collect()
}

/// Compiles with our headers and, before them, further flags; what the compiler said.
fn compile(clang: &str, source: &Path, object: &Path, libbpf: &[&str]) -> Result<(), String> {
    let output = Command::new(clang)
        .current_dir(root())
        .args(
            "-target bpf -mcpu=v3 -O2 -g -D__TARGET_ARCH_x86 -Wall -Wno-compare-distinct-pointer-types"
                .split(' '),
        )
        .args("-Wno-incompatible-function-pointer-types -Werror -Iinclude".split(' '))
        .args(libbpf)
        .arg("-I")
        .arg(source.parent().expect("a directory"))
        .arg("-c")
        .arg(source)
        .arg("-o")
        .arg(object)
        .output()
        .map_err(|e| format!("{clang}: {e}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// Where libbpf's headers come from.
const LIBBPFS: [(&str, &[&str]); 3] = [
    ("none", &["-isystem", "include/libbpf"]),
    ("installed", &["-idirafter", "include/libbpf"]),
    ("1.7", &["-isystem", "target/kernel-examples/include"]),
];

#[test]
fn the_kernels_own_schedulers_and_selftests_compile_unchanged() {
    let (sources, compilers) = (kernel_sources(), compilers());
    if sources.is_empty() || compilers.is_empty() {
        println!("SKIPPED headers: needs clang 16 or later, and `cargo xtask kernel-examples` first");
        return;
    }
    let mut wrong = Vec::new();
    let sources: Vec<_> = sources.into_iter().filter(|(name, _)| is_modelled(name)).collect();
    for clang in &compilers {
        for (libbpf, flags) in LIBBPFS {
            let dir = scratch(&format!("headers-{clang}-{libbpf}"));
            for (name, source) in &sources {
                if let Err(said) = compile(clang, source, &dir.join(format!("{name}.bpf.o")), flags) {
                    wrong.push(format!("{name}, {clang}, libbpf {libbpf}: {said}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(sources.len() >= 39, "{}", sources.len());
}

/// Programs that are accepted, and those that are not, by name.
fn verdicts(object: &Path) -> Vec<(String, bool)> {
    let output = command().args(["check", "--json"]).arg(object).output().expect("the program starts");
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a document");
    let programs = document["objects"][0]["programs"].as_array().expect("programs");
    let mut verdicts: Vec<(String, bool)> = programs
        .iter()
        .map(|p| (p["name"].as_str().unwrap_or_default().to_owned(), p["accepted"] == true))
        // The kernel's header puts this one into every object.
        .filter(|(name, _)| name != "scx_lib_init_probe")
        .collect();
    verdicts.sort();
    verdicts
}

#[test]
fn what_they_yield_is_judged_as_what_the_kernels_headers_yield() {
    let (sources, built) = (kernel_sources(), root().join("target/kernel-examples"));
    let Some(clang) = compilers().pop().filter(|_| !sources.is_empty()) else {
        println!("SKIPPED headers' verdicts: needs clang and `cargo xtask kernel-examples` first");
        return;
    };
    let dir = scratch("headers-verdicts");
    for (name, source) in sources.iter().filter(|(name, _)| is_modelled(name)) {
        let file = format!("{name}.bpf.o");
        compile(&clang, source, &dir.join(&file), LIBBPFS[1].1).expect("compiles");
        let kernels = ["examples", "selftests"].map(|d| built.join(d).join(&file));
        let kernels = kernels.iter().find(|path| path.exists()).expect("built");
        assert_eq!(verdicts(&dir.join(&file)), verdicts(kernels), "{name}");
    }
}

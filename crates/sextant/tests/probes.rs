//! Small programs of which it is known what Linux 7.3.4 said of them: `sextant check` says the same.
//!
//! `../shared/data/cases/probes` holds the sources, variants chosen with `-DV=N`, and the kernel's verdicts. [`WRONG`] lists those on
//! which we differ; it may only shrink: a variant that agrees must leave it. `SEXTANT_PROBES=TEXT` takes only the files whose name
//! contains TEXT and prints every answer with its reason.

mod support;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use support::{command, root};

/// File (without `.bpf.c`) and variants on which Sextant and Linux differ.
const WRONG: &[(&str, &[u64])] = &[];

/// A probe and what Linux says of it.
struct Probe {
    file: String,
    variant: u64,
    accepted: bool,
    linux_says: String,
    what: String,
}

impl Probe {
    /// `b06_div_mod/7`
    fn name(&self) -> String {
        format!("{}/{}", self.stem(), self.variant)
    }

    fn stem(&self) -> &str {
        self.file.trim_end_matches(".bpf.c")
    }

    fn known(&self) -> bool {
        WRONG.iter().any(|(file, variants)| *file == self.stem() && variants.contains(&self.variant))
    }
}

fn probes(dir: &Path) -> Option<Vec<Probe>> {
    let text = std::fs::read_to_string(dir.join("verdicts.json")).ok()?;
    let all: Vec<serde_json::Value> = serde_json::from_str(&text).expect("verdicts.json is JSON");
    let word = |v: &serde_json::Value, key: &str| v[key].as_str().unwrap_or_default().to_owned();
    let probe = |v: &serde_json::Value| Probe {
        file: word(v, "file"),
        variant: v["V"].as_u64().expect("a variant"),
        accepted: match v["linux_7_3_4"].as_str() {
            Some("accept") => true,
            Some("reject") => false,
            other => panic!("verdict {other:?}"),
        },
        linux_says: word(v, "linux_says"),
        what: word(v, "what"),
    };
    Some(all.iter().map(probe).collect())
}

/// Compiles a variant with the flags of the kernel's own Makefiles, unless that was done before from the same text.
fn compile(dir: &Path, probe: &Probe) -> PathBuf {
    let examples = root().join("target/kernel-examples");
    let source = dir.join(&probe.file);
    let text = std::fs::read_to_string(&source).expect("the probe's source");
    let mut hash = DefaultHasher::new();
    let header = std::fs::read_to_string(dir.join("probe.h")).expect("probe.h");
    let stamp = std::fs::read_to_string(examples.join("STAMP")).unwrap_or_default();
    (&text, header, stamp, probe.variant).hash(&mut hash);
    let object = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!(
        "probes/{}-{}-{:016x}.bpf.o",
        probe.stem(),
        probe.variant,
        hash.finish()
    ));
    if object.exists() {
        return object;
    }
    let further = text.lines().take(3).find_map(|line| line.strip_prefix("/* flags: ")).unwrap_or_default();
    let further = further.trim_end_matches("*/").split_whitespace();
    let fixed = "-target bpf -g -D__TARGET_ARCH_x86 -mlittle-endian -I. -Iinclude -Isource/tools/include/uapi \
                 -Isource/tools/sched_ext/include -Isource/tools/sched_ext/include/bpf-compat -Isource/include \
                 -w -fms-extensions -O2 -mcpu=v3";
    let half = object.with_extension("half");
    let output = Command::new("clang-19")
        .current_dir(&examples)
        .args(fixed.split_whitespace())
        .args(further)
        .arg(format!("-DV={}", probe.variant))
        .arg("-c")
        .arg(&source)
        .arg("-o")
        .arg(&half)
        .output()
        .expect("clang-19 starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} does not compile:\n{said}", probe.name());
    std::fs::rename(&half, &object).expect("the scratch directory is writable");
    object
}

/// Whether `check` accepts the object, and what it says.
fn check(object: &Path) -> (bool, String) {
    let output = command().arg("check").arg(object).output().expect("the program starts");
    let said = [output.stdout, output.stderr].map(|b| String::from_utf8_lossy(&b).into_owned()).concat();
    match output.status.code() {
        Some(0) => (true, said),
        Some(1 | 2) => (false, said),
        other => panic!("{}: exit status {other:?}:\n{said}", object.display()),
    }
}

/// The lines that say why.
fn reason(said: &str) -> &str {
    said.find("error").map_or(said, |at| &said[at..]).trim_end()
}

#[test]
fn every_probe_is_judged_as_linux_does() {
    let name = "every_probe_is_judged_as_linux_does";
    let dir = root().join("../shared/data/cases/probes");
    let Some(mut probes) = probes(&dir) else {
        return println!("SKIPPED {name}: no ../shared/data/cases/probes");
    };
    if !root().join("target/kernel-examples/STAMP").exists() {
        return println!("SKIPPED {name}: run `cargo xtask kernel-examples` first");
    }
    if Command::new("clang-19").arg("--version").output().is_err() {
        return println!("SKIPPED {name}: needs the package clang-19");
    }
    let only = std::env::var("SEXTANT_PROBES").ok();
    probes.retain(|p| only.as_ref().is_none_or(|only| p.file.contains(only)));
    std::fs::create_dir_all(Path::new(env!("CARGO_TARGET_TMPDIR")).join("probes")).expect("scratch");
    let (next, answers) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let work = || {
        while let Some(probe) = probes.get(next.fetch_add(1, Ordering::Relaxed)) {
            let answer = check(&compile(&dir, probe));
            answers.lock().expect("no panic with it").insert(probe.name(), answer);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(4);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let answers = answers.into_inner().expect("no panic with it");
    let mut wrong = Vec::new();
    for probe in &probes {
        let (accepted, said) = &answers[&probe.name()];
        let ours = if *accepted { "accepted" } else { reason(said) };
        let told = format!(
            "{}: {}\n  Linux: {}\n  we: {}",
            probe.name(),
            probe.what,
            if probe.accepted { "accepts" } else { &probe.linux_says },
            ours.replace('\n', "\n      "),
        );
        if only.is_some() {
            println!("{told}\n");
        }
        match (*accepted == probe.accepted, probe.known()) {
            (true, false) | (false, true) => {}
            (true, true) => wrong.push(format!("{}: agrees now: take it off the list", probe.name())),
            (false, false) => wrong.push(told),
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), probes.len(), wrong.join("\n"));
}

//! The engines give the same: the whole document of a run, trace hash included.

mod support;

use std::path::Path;

use support::sextant;

/// What a run says, in one engine. A run may fail; then its message counts.
fn run(engine: &str, scheduler: &str) -> (String, String) {
    let args =
        ["sim", scheduler, "mixed", "--cpus", "4", "--duration", "200ms", "--json", "--engine", engine];
    let run = sextant(&args);
    (run.stdout, run.stderr)
}

/// Whether it ran.
fn same(scheduler: &str) -> bool {
    let (interp, jit) = (run("interp", scheduler), run("jit", scheduler));
    assert_eq!(interp, jit, "{scheduler}");
    jit.0.contains("trace_hash")
}

#[test]
fn built_in_schedulers() {
    if !sextant_vm::Engine::Jit.is_available() {
        println!("SKIPPED built_in_schedulers: no compiler for this machine");
        return;
    }
    for scheduler in ["simple", "vtime", "rr", "central"] {
        assert!(same(scheduler), "{scheduler} does not run");
    }
}

#[test]
fn the_kernels_schedulers_and_selftests() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/kernel-examples");
    if !dir.exists() || !sextant_vm::Engine::Jit.is_available() {
        println!(
            "SKIPPED the_kernels_schedulers_and_selftests: needs x86-64 and `cargo xtask kernel-examples`"
        );
        return;
    }
    let (mut ran, mut all) = (0, 0);
    for part in ["examples", "selftests"] {
        let files = std::fs::read_dir(dir.join(part)).expect("made by the chore");
        for file in files.map(|file| file.expect("a file").path()) {
            let path = file.display().to_string();
            if path.ends_with(".bpf.o") {
                all += 1;
                ran += u32::from(same(&path));
            }
        }
    }
    assert!(ran * 2 > all, "only {ran} of {all} ran");
}

#[test]
fn sanitize_is_the_interpreters() {
    let run = sextant(&["sim", "simple", "mixed", "--engine", "jit", "--sanitize"]);
    assert!(run.stderr.contains("--sanitize checks in the interpreter"), "{}", run.stderr);
}

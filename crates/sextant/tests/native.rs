//! A policy in Rust and the same policy in BPF decide the same: equal traces, line by line. `--ideal`, as BPF instructions take time and
//! Rust takes none.

mod support;

use std::fs;
use std::path::Path;

use support::{kernel_object, sextant};

/// The trace of a run, without the lines that `drop` names.
fn trace(scheduler: &str, workload: &str, more: &[&str], drop: &[&str]) -> Vec<String> {
    let name = format!("native-{}-{workload}.trace", scheduler.rsplit(['/', ':']).next().unwrap_or_default());
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let file = path.to_string_lossy().into_owned();
    let fixed = ["sim", scheduler, workload, "--ideal", "--cpus", "4", "--duration", "2s", "--trace", &file];
    sextant(&[&fixed[..], more].concat()).expect(0);
    let text = fs::read_to_string(&path).expect("the trace");
    let keep = |line: &&str| {
        !line.starts_with('#') && !drop.iter().any(|d| line.contains(d) || line.ends_with(d.trim_end()))
    };
    text.lines().filter(keep).map(str::to_owned).collect()
}

#[track_caller]
fn assert_same(a: &[String], b: &[String], least: usize) {
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        assert_eq!(a, b, "line {i} of what both have");
    }
    assert_eq!(a.len(), b.len());
    assert!(a.len() > least, "only {} lines", a.len());
}

/// What the name of a scheduler shows in, and ops.exit, which native policies leave out.
const NOT_DECISIONS: &[&str] = &[" enabled ", "ops.exit "];

#[test]
fn vtime_in_rust_is_vtime_in_bpf() {
    for workload in ["mixed", "hogs"] {
        let drop = |line: &[&'static str]| [NOT_DECISIONS, line].concat();
        let bpf = trace("vtime", workload, &[], &drop(&[]));
        let native = trace("native:vtime", workload, &[], &drop(&[]));
        assert_same(&native, &bpf, 1_000);
    }
}

/// The kernel's example in its FIFO mode is the same policy; it has three ops that then do nothing.
#[test]
fn fifo_in_rust_is_the_kernels_simple() {
    let Some(object) = kernel_object("examples", "scx_simple") else { return };
    let drop = [NOT_DECISIONS, &["ops.running", "ops.stopping", "ops.enable"]].concat();
    let bpf = trace(&object, "mixed", &["--set", "fifo_sched=true"], &drop);
    let native = trace("native:fifo", "mixed", &[], &drop);
    assert_same(&native, &bpf, 5_000);
}

/// `simple` queues on the built-in global DSQ instead of one of its own, so it has no ops.dispatch; who runs when and where is the same.
#[test]
fn fifo_in_rust_runs_whom_simple_runs() {
    let switches = |scheduler| -> Vec<String> {
        let lines = trace(scheduler, "mixed", &[], NOT_DECISIONS);
        lines.into_iter().filter(|line| line.contains("] switch ")).collect()
    };
    assert_same(&switches("native:fifo"), &switches("simple"), 500);
}

//! What schedulers read of the kernel beside `p->scx`: run queues, DSQs, processes, cgroups, frequencies, time; and programs on its functions and
//! tracepoints. `bpf/kernel.bpf.c` compares them with each other and ends with an error where they do not fit.

mod support;

use std::path::Path;

use support::{bpf_object, sextant};

const WORKLOAD: &str = r#"{
    "tasks": { "hog": { "instance": 3, "run": 3000000 }, "nap": { "instance": 2, "loop": -1, "run": 500, "sleep": 1500 } },
    "events": [ "at 100ms cgroup create /a", "at 200ms move hog-0 /a", "at 300ms move hog-0 /", "at 400ms cgroup remove /a" ]
}"#;

#[test]
fn what_programs_read_is_kept() {
    let Some(object) = bpf_object("kernel") else { return };
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kernel.json");
    std::fs::write(&file, WORKLOAD).expect("the scratch directory is writable");
    let workload = file.display().to_string();
    let args = ["sim", &object, &workload, "--machine", "llcs=2,cores=2", "--duration", "2s", "--json"];
    let run = sextant(&args).expect(0);
    assert_eq!(run.json()["exit"]["kind"], "UNREG", "{:#}", run.json()["exit"]);
    for line in ["queued 1 ticks 1", "made 1 moved 2 removed 1", "dead 1"] {
        assert!(run.stderr.contains(line), "no {line:?} in {}", run.stderr);
    }
}

/// A scheduler for which nobody asks is one that schedules nothing: said in the table, in JSON and on stderr.
#[test]
fn a_scheduler_without_tasks_is_told_of() {
    let args = ["sim", "simple", "mixed", "--set", "switch_partial=true", "--duration", "100ms"];
    let run = sextant(&args).expect(0);
    assert!(run.stdout.contains("  No task was ever in SCHED_EXT"), "{}", run.stdout);
    assert!(run.stderr.contains("simple: no task was ever in SCHED_EXT"), "{}", run.stderr);
    let json = sextant(&[&args[..], &["--json"]].concat()).expect(0).json();
    assert_eq!(json["scheduled_nothing"], true);
    let some = sextant(&["sim", "simple", "mixed", "--duration", "100ms", "--json"]).expect(0);
    assert!(some.json().get("scheduled_nothing").is_none() && !some.stderr.contains("SCHED_EXT"));
}

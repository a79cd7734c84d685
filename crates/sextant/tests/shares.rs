//! CPU shares under scx_simple against the ideal that the weights ask for.

mod support;

use support::{kernel_object, sim_json, workload};

/// Four hogs of each nice value. With one of each the ideal is out of reach of any scheduler that takes the next task from
/// a shared DSQ: ops.dispatch runs before the previous task is back in the queue (semantics 4.24), so nobody runs twice in
/// a row.
const HOGS: &str = r#"{
    "tasks": {
        "nice0": { "instance": 4, "loop": -1, "run": 10000000, "priority": 0 },
        "nice1": { "instance": 4, "loop": -1, "run": 10000000, "priority": 1 },
        "nice5": { "instance": 4, "loop": -1, "run": 10000000, "priority": 5 },
        "nice10": { "instance": 4, "loop": -1, "run": 10000000, "priority": 10 }
    },
    "global": { "duration": 20 }
}"#;

/// Asserts that the tasks of each nice value together got the share of the machine, per mille, within 2 points.
fn assert_shares(doc: &serde_json::Value, ideal: &[(i64, u64)]) {
    let machine = 2 * doc["duration_ns"].as_u64().expect("a duration");
    let tasks = doc["tasks"].as_array().expect("tasks");
    for &(nice, want) in ideal {
        let of_nice = tasks.iter().filter(|t| t["nice"] == nice);
        let run: u64 = of_nice.map(|t| t["run_ns"].as_u64().expect("run_ns")).sum();
        let share = run * 1000 / machine;
        assert!(share.abs_diff(want) <= 20, "nice {nice}: {share} per mille of the machine, ideal {want}");
    }
}

/// Weights 100, 80, 33, 11 of 224: no task reaches a whole CPU, so the ideal is the weight's part of the machine.
#[test]
fn weighted_vtime_follows_the_weights() {
    let Some(object) = kernel_object("examples", "scx_simple") else { return };
    let load = workload("hogs-16", HOGS);
    let doc = sim_json(&[&object, &load, "--cpus", "2"]);
    assert_shares(&doc, &[(0, 446), (1, 357), (5, 147), (10, 49)]);
}

#[test]
fn fifo_gives_equal_shares() {
    let Some(object) = kernel_object("examples", "scx_simple") else { return };
    let load = workload("hogs-16-fifo", HOGS);
    let doc = sim_json(&[&object, &load, "--cpus", "2", "--set", "fifo_sched=true"]);
    assert_shares(&doc, &[(0, 250), (1, 250), (5, 250), (10, 250)]);
}

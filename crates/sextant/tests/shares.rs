//! CPU shares under scx_simple against the ideal that the weights ask for.

mod support;

use support::{kernel_object, sim_json, workload};

const HOGS: &str = r#"{
    "tasks": {
        "nice0": { "loop": -1, "run": 10000000, "priority": 0 },
        "nice1": { "loop": -1, "run": 10000000, "priority": 1 },
        "nice5": { "loop": -1, "run": 10000000, "priority": 5 },
        "nice10": { "loop": -1, "run": 10000000, "priority": 10 }
    },
    "global": { "duration": 20 }
}"#;

/// Share of each task in per mille of one CPU.
fn shares(doc: &serde_json::Value) -> Vec<(String, u64)> {
    let total = doc["duration_ns"].as_u64().expect("a duration");
    let tasks = doc["tasks"].as_array().expect("tasks").iter();
    tasks
        .map(|t| {
            let run = t["run_ns"].as_u64().expect("run_ns");
            (t["name"].as_str().expect("a name").to_owned(), run * 1000 / total)
        })
        .collect()
}

fn assert_shares(doc: &serde_json::Value, ideal: &[(&str, u64)]) {
    let got = shares(doc);
    for (name, want) in ideal {
        let (_, share) = got.iter().find(|(n, _)| n.starts_with(name)).unwrap_or_else(|| panic!("{name}: {got:?}"));
        assert!(share.abs_diff(*want) <= 40, "{name}: {share} of 1000, ideal {want}: {got:?}"); // 2 points of the 2 CPUs
    }
}

/// Two CPUs, weights 100, 80, 33, 11 (sum 224): 200% x 100/224 = 89.3% and so on; none reaches a whole CPU.
#[test]
fn weighted_vtime_follows_the_weights() {
    let Some(object) = kernel_object("examples", "scx_simple") else { return };
    let load = workload("hogs-4", HOGS);
    let doc = sim_json(&[&object, &load, "--cpus", "2"]);
    assert_shares(&doc, &[("nice0", 893), ("nice1", 714), ("nice5", 295), ("nice10", 98)]);
}

#[test]
fn fifo_gives_equal_shares() {
    let Some(object) = kernel_object("examples", "scx_simple") else { return };
    let load = workload("hogs-4-fifo", HOGS);
    let doc = sim_json(&[&object, &load, "--cpus", "2", "--set", "fifo_sched=true"]);
    assert_shares(&doc, &[("nice0", 500), ("nice1", 500), ("nice5", 500), ("nice10", 500)]);
}

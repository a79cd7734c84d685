//! Schedulers nobody here wrote: the kernel's examples, unmodified, under the mixed load, through the program. Its selftests are in
//! `selftests`.

mod support;

use support::{kernel_object, sim_json};

/// Ten virtual seconds under the default load: loaded, ran, ended as a run ends; every task of the load ran.
fn runs_ten_seconds(name: &str, more: &[&str]) {
    let Some(object) = kernel_object("examples", name) else { return };
    let doc = sim_json(&[&[&*object, "mixed", "--duration", "10s"], more].concat());
    assert_eq!(doc["exit"]["kind"], "UNREG", "{name}: {:#}", doc["exit"]);
    assert_eq!(doc["duration_ns"], 10_000_000_000_u64);
    for task in doc["tasks"].as_array().expect("tasks") {
        assert!(task["run_ns"].as_u64() > Some(0), "{name}: {task} never ran");
    }
}

#[test]
fn scx_simple() {
    runs_ten_seconds("scx_simple", &[]);
}

#[test]
fn scx_simple_fifo() {
    runs_ten_seconds("scx_simple", &["--set", "fifo_sched=true"]);
}

#[test]
fn scx_cpu0() {
    runs_ten_seconds("scx_cpu0", &[]);
}

/// The globals that scx_central's own program sets before it loads.
#[test]
fn scx_central() {
    let set =
        ["nr_cpu_ids=@cpus", "slice_ns=20000000", "cpu_gimme_task=[0;@cpus]", "cpu_started_at=[0;@cpus]"];
    let args: Vec<&str> = set.iter().flat_map(|set| ["--set", *set]).collect();
    runs_ten_seconds("scx_central", &args);
}

/// Objects in a tree, storage of cgroups; the globals are its loader's.
#[test]
fn scx_flatcg() {
    runs_ten_seconds("scx_flatcg", &["--set", "nr_cpus=@cpus", "--set", "cgrp_slice_ns=20000000"]);
}

/// Everything it keeps per task is in an arena.
#[test]
fn scx_sdt() {
    runs_ten_seconds("scx_sdt", &[]);
}

/// An array of queues, a pair of CPUs each, with its loader's batches. It takes a start time of 0 for long ago, which is so on a machine
/// that has been up for longer than a batch.
#[test]
fn scx_pair() {
    let Some(object) = kernel_object("examples", "scx_pair") else { return };
    let set = [
        "map:pair_ctx.max_entries=4",
        "map:cgrp_q_arr.inner=4096",
        "nr_cpu_ids=@cpus",
        "pair_batch_dur_ns=20000000",
        "pair_cpu=[4,5,6,7,0,1,2,3]",
        "pair_id=[0,1,2,3,0,1,2,3]",
        "in_pair_idx=[0,0,0,0,1,1,1,1]",
    ];
    let args: Vec<&str> = set.iter().flat_map(|set| ["--set", *set]).collect();
    let doc = sim_json(&[&[&*object, "mixed", "--duration", "5s"], &*args].concat());
    assert_eq!(doc["exit"]["kind"], "UNREG", "{:#}", doc["exit"]);
}

//! `--show`: a scheduler's own figures after the run.

mod support;

use support::{header_object, sextant, sim_json, workload};

const LOAD: &str =
    r#"{ "tasks": { "w": { "instance": 4, "run": 3000, "sleep": 1000 } }, "global": { "duration": 1 } }"#;

const SHOWS: [&str; 12] = [
    "--show",
    "totals",
    "--show",
    "totals.enqueued",
    "--show",
    "by_weight[1]",
    "--show",
    "never",
    "--show",
    "map:stats",
    "--show",
    "map:tasks",
];

#[test]
fn variables_and_maps_are_shown() {
    let Some(object) = header_object("figures") else { return };
    let load = workload("shown", LOAD);
    let args = [&[object.as_str(), &load, "--cpus", "2"], &SHOWS[..]].concat();
    let doc = sim_json(&args);
    let (shown, calls) = (&doc["shown"], doc["ops"]["enqueue"]["calls"].as_u64().expect("calls"));
    assert_eq!(shown["totals.enqueued"].as_u64(), Some(calls), "{shown}");
    assert_eq!(shown["by_weight[1]"].as_u64(), Some(calls));
    assert_eq!(shown["never"], 0);
    let totals = &shown["totals"];
    assert_eq!((&totals["mood"], &totals["seen"]), (&"BUSY".into(), &true.into()), "{totals}");
    assert!(totals["last_comm"].as_str().is_some_and(|comm| !comm.is_empty()), "{totals}");
    let stats = &shown["map:stats"];
    assert_eq!(stats["type"], "PERCPU_ARRAY");
    let by_cpu: Vec<u64> = stats["elements"][0]["values"]
        .as_array()
        .expect("by CPU")
        .iter()
        .filter_map(|v| v.as_u64())
        .collect();
    assert_eq!((by_cpu.len(), by_cpu.iter().sum::<u64>()), (2, calls), "{stats}");
    let tasks = shown["map:tasks"]["elements"].as_array().expect("elements");
    assert!(tasks.iter().any(|e| e["key"] == totals["last_pid"] && e["value"] == *totals), "{tasks:?}");

    let table = sextant(&[&["sim"], &args[..]].concat()).expect(0).stdout;
    assert!(
        table.contains("\nSHOWN\n") && table.contains(&format!("totals.enqueued = {calls}\n")),
        "{table}"
    );
    assert!(table.contains(&format!("[0] = {calls} in all, by CPU [")), "{table}");
    assert!(table.lines().all(|l| l.chars().count() <= 80), "{table}");
}

#[test]
fn what_is_not_there_is_refused_before_the_run() {
    for (what, says) in [("slice_n", "slice_ns"), ("map:nope", "nope"), ("slice_ns[1]", "array")] {
        let run = sextant(&["sim", "rr", "--show", what, "--json"]).expect(2);
        assert!(run.stdout.is_empty() && run.stderr.contains(says), "{what}: {}", run.stderr);
    }
    sextant(&["sim", "fair", "--show", "x"]).expect(2);
    sextant(&["sim", "native:fifo", "--show", "x"]).expect(2);
}

/// With `--swap` the scheduler that came last is read; the memory of the others is gone.
#[test]
fn the_scheduler_that_came_last_is_shown() {
    let args = ["simple", "mixed", "--duration", "300ms", "--swap", "rr@100ms", "--show", "slice_ns"];
    let doc = sim_json(&args);
    assert!(doc["shown"]["slice_ns"].as_u64() > Some(0), "{}", doc["shown"]);
    let doc = sim_json(&["rr", "mixed", "--duration", "300ms", "--swap", "fair@100ms", "--show", "slice_ns"]);
    assert!(
        doc["shown"]["slice_ns"]["error"].as_str().is_some_and(|why| why.contains("gone")),
        "{}",
        doc["shown"]
    );
}

/// A ring that nobody reads fills up; drained, it loses nothing.
#[test]
fn a_ring_is_drained_into_a_file() {
    let Some(object) = header_object("records") else { return };
    let load = workload("drained", LOAD);
    let file = format!("{}/drained-{}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    let drain = format!("map:ring={file}");
    let args = [object.as_str(), &load, "--cpus", "1", "--show", "told", "--show", "lost"];
    let full = sim_json(&args);
    assert!(full["shown"]["lost"].as_u64() > Some(0), "{}", full["shown"]);
    let doc = sim_json(&[&args[..], &["--drain", &drain]].concat());
    let text = std::fs::read_to_string(&file).expect("a file");
    std::fs::remove_file(&file).expect("it is there");
    assert_eq!(doc["shown"]["lost"], 0);
    let records: Vec<&str> = text.lines().filter(|l| !l.starts_with('#')).collect();
    assert_eq!(doc["shown"]["told"].as_u64(), Some(records.len() as u64));
    // Time, CPU, bytes, a pid of the workload or of the machine.
    let words: Vec<&str> = records[records.len() / 2].split(' ').collect();
    assert_eq!((words[1], words[2], words[3].len()), ("[000]", "4", 8), "{words:?}");

    for (what, says) in [("map:told=x", "no such map"), ("ring", "map:NAME=FILE")] {
        let run = sextant(&["sim", &object, &load, "--drain", what]).expect(2);
        assert!(run.stderr.contains(says), "{}", run.stderr);
    }
}

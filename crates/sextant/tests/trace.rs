//! The trace file and its hash, and the result in its two forms.

mod support;

use std::path::Path;

use sha2::{Digest, Sha256};
use support::{command, sextant, sim_json, workload};

fn hash_of_events(text: &str) -> String {
    let events: String = text.lines().filter(|l| !l.starts_with('#')).map(|l| format!("{l}\n")).collect();
    Sha256::digest(events.as_bytes()).iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn the_hash_is_over_the_event_lines_and_nothing_else() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fair.trace");
    let file = path.display().to_string();
    let doc = sim_json(&["fair", "mixed", "--duration", "50ms", "--trace", &file]);
    let text = std::fs::read_to_string(&path).expect("a trace");
    assert_eq!(hash_of_events(&text), doc["trace_hash"].as_str().expect("a hash"));

    let event = text.lines().find(|l| !l.starts_with('#') && l.contains(" S ==> ")).expect("a switch");
    let flipped = text.replacen(event, &event.replacen(" S ==> ", " R ==> ", 1), 1);
    assert_ne!(hash_of_events(&flipped), hash_of_events(&text));

    assert!(text.starts_with("# sextant trace, format 1\n"));
    assert!(text.contains("\n# workload mixed\n"));
}

#[test]
fn without_a_trace_file_the_hash_is_the_same() {
    let args = ["fair", "mixed", "--duration", "50ms"];
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("same.trace").display().to_string();
    let with = sim_json(&[&args[..], &["--trace", &file]].concat());
    assert_eq!(with["trace_hash"], sim_json(&args)["trace_hash"]);
    assert_ne!(with["trace_hash"], sim_json(&[&args[..], &["--seed", "2"]].concat())["trace_hash"]);
}

#[test]
fn the_document_has_every_member() {
    let doc = sim_json(&["fair", "hogs", "--cpus", "2", "--duration", "20ms", "--seed", "9"]);
    assert_eq!(
        (&doc["format"], &doc["scheduler"], &doc["workload"]),
        (&2.into(), &"fair".into(), &"hogs".into())
    );
    assert_eq!((&doc["cpus"], &doc["seed"], &doc["duration_ns"]), (&2.into(), &9.into(), &20_000_000.into()));
    assert!(doc["exit"].is_null());
    let tasks = doc["tasks"].as_array().expect("tasks");
    let names: Vec<&str> = tasks.iter().filter_map(|t| t["name"].as_str()).collect();
    assert_eq!(names.len(), 16);
    assert_eq!((names[0], names[15]), ("nice0-0", "nice10-3"));
    for member in ["pid", "nice", "weight", "run_ns", "wait_ns", "wakeups", "switches", "migrations"] {
        assert!(tasks[0][member].is_i64() || tasks[0][member].is_u64(), "{member}");
    }
    for p in ["p50", "p90", "p99", "p999", "max"] {
        assert!(tasks[0]["wakeup_latency_ns"][p].is_u64(), "{p}");
    }
    let system = doc["system_tasks"].as_array().expect("system_tasks");
    assert!(system.iter().any(|t| t["name"] == "kthreadd" && t["pid"] == 2));
    assert_eq!(doc["cpus_stats"].as_array().map(Vec::len), Some(2));
}

#[test]
fn the_table_fits_a_terminal_and_has_no_colours_in_a_pipe() {
    let run = sextant(&["sim", "fair", "mixed", "--duration", "100ms"]).expect(0);
    assert!(run.stdout.lines().all(|l| l.chars().count() <= 80), "{}", run.stdout);
    assert!(!run.stdout.contains('\x1b'));
    assert!(run.stderr.is_empty(), "{}", run.stderr);
}

#[test]
fn help_and_version_are_results() {
    for (args, word) in
        [(&["--help"][..], "Exit status"), (&["sim", "--help"], "Examples"), (&["--version"], "sextant 0.")]
    {
        let output = command().args(args).output().expect("starts");
        assert_eq!(output.status.code(), Some(0));
        assert!(String::from_utf8_lossy(&output.stdout).contains(word), "{args:?}");
    }
    let list = sextant(&["list"]).expect(0).stdout;
    for name in ["simple", "vtime", "rr", "central", "fair", "mixed", "hogs", "bench-64", "partial"] {
        assert!(list.contains(&format!("  {name} ")), "{name}");
    }
}

/// Every built-in workload reads, runs, and its groups use what they ask for where nobody competes.
#[test]
fn built_in_workloads_run() {
    for name in ["mixed", "hogs", "bench-64", "partial"] {
        let doc = sim_json(&["fair", name, "--cpus", "128", "--duration", "200ms"]);
        for task in doc["tasks"].as_array().expect("tasks") {
            let (run, wait) =
                (task["run_ns"].as_u64().unwrap_or(0), task["wait_ns"].as_u64().unwrap_or(u64::MAX));
            assert!(run > 0 && wait < 20_000_000, "{name}: {task}");
        }
    }
}

/// A sleeper behind a hog on one CPU under a FIFO waits for the rest of a 20 ms slice: percentiles are of real size.
#[test]
fn latency_percentiles_are_not_clamped() {
    let load = workload(
        "behind-a-hog",
        r#"{"tasks": {"hog": {"run": 1000000}, "sleeper": {"run": 100, "sleep": 7000}}, "global": {"duration": 2}}"#,
    );
    let doc = sim_json(&["native:fifo", &load, "--cpus", "1"]);
    let sleeper =
        doc["tasks"].as_array().and_then(|t| t.iter().find(|t| t["name"] == "sleeper")).expect("it");
    let latency = |p: &str| sleeper["wakeup_latency_ns"][p].as_u64().expect("ns");
    assert!(latency("p50") > 1_000_000 && latency("p50") <= latency("p99"), "{sleeper}");
    assert!(latency("p99") <= latency("max") * 1001 / 1000 && latency("max") <= 30_000_000, "{sleeper}");
}

/// A partially switching scheduler gets the SCHED_EXT tasks only: what the comment of the workload promises.
#[test]
fn the_partial_workload_shows_partial_switching() {
    for args in [["simple", "switch_partial=true"], ["vtime", "ops.flags=SCX_OPS_SWITCH_PARTIAL"]] {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("partial-{}.trace", args[0]));
        let file = file.display().to_string();
        sim_json(&[args[0], "partial", "--set", args[1], "--duration", "50ms", "--trace", &file]);
        let text = std::fs::read_to_string(&file).expect("a trace");
        assert!(text.lines().any(|l| l.contains("enabled partial=1")), "{args:?}");
        let ops: Vec<&str> = text.lines().filter(|l| l.contains(" ops.enqueue ")).collect();
        assert!(!ops.is_empty() && ops.iter().all(|l| l.contains("p=ext_")), "{args:?}: {:?}", ops.first());
    }
}

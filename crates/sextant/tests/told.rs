//! What a run tells beyond its figures: waits that are still open, debug dumps, long calls, what it came from, how it ended.

mod support;

use std::path::Path;

use support::{bpf_object, case, header_object, sextant, sim_json, workload};

const LOAD: &str =
    r#"{ "tasks": { "w": { "instance": 4, "run": 3000, "sleep": 1000 } }, "global": { "duration": 2 } }"#;

fn scratch(name: &str) -> String {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("{name}-{}", std::process::id()))
        .display()
        .to_string()
}

/// Two tasks wait until the end: for that time they have waited, whether somebody takes them or not.
#[test]
fn a_wait_that_is_still_open_counts() {
    let Some(object) = bpf_object("stall") else { return };
    let load = workload("open-waits", LOAD);
    let args =
        [object.as_str(), &load, "--cpus", "2", "--duration", "150ms", "--set", "ops.timeout_ms=30000"];
    let doc = sim_json(&args);
    assert_eq!(doc["exit"]["kind"], "UNREG");
    assert!(doc["groups"][0]["max_wait_ns"].as_u64() > Some(100_000_000), "{}", doc["groups"][0]);
    for task in doc["tasks"].as_array().expect("tasks") {
        let waited = task["wait_ns"].as_u64().zip(task["max_wait_ns"].as_u64());
        assert!(waited.is_some_and(|(all, longest)| all >= longest), "{task}");
    }
    let table = sextant(&[&["sim"], &args[..]].concat()).expect(0).stdout;
    assert!(
        table.contains("WAIT: the longest time") && table.lines().all(|l| l.chars().count() <= 80),
        "{table}"
    );
}

#[test]
fn a_starving_task_shows_in_max() {
    let Some(load) = case("class/affinity_queue/w.json") else { return };
    let Some(object) = header_object("affinity") else { return };
    let doc = sim_json(&[&object, &load, "--cpus", "4", "--duration", "3s"]);
    let group = &doc["groups"][0];
    for figure in [&group["max_wait_ns"], &group["wakeup_latency_ns"]["max"]] {
        assert!(figure.as_u64() > Some(1_900_000_000), "{group}");
    }
}

#[test]
fn an_error_has_a_debug_dump() {
    let Some(object) = bpf_object("stall") else { return };
    let load = workload("dumped", LOAD);
    let args = ["sim", object.as_str(), &load, "--cpus", "2", "--json"];
    let run = sextant(&args).expect(3);
    let doc = run.json();
    let dump = doc["exit"]["dump"].as_str().expect("a dump");
    assert!(dump.contains("CPU states") && dump.contains("triggered exit kind 1026"), "{dump}");
    assert!(run.stderr.contains("DEBUG DUMP at ") && run.stderr.contains(dump), "{}", run.stderr);

    let file = scratch("dump");
    let run = sextant(&[&args[..], &["--dump", &file, "--dump-at", "20ms"]].concat()).expect(3);
    assert!(!run.stderr.contains("DEBUG DUMP"), "it is in the file: {}", run.stderr);
    let text = std::fs::read_to_string(&file).expect("a file");
    std::fs::remove_file(&file).expect("it is there");
    assert_eq!(text.matches("DEBUG DUMP at ").count(), 2, "{text}");
    assert!(text.contains("DEBUG DUMP at 0.020000s (asked for)") && text.contains("SysRq-D"), "{text}");
    let dumps = run.json()["dumps"].clone();
    assert_eq!(dumps[0]["at_ns"], 20_000_000);
    assert!(text.contains(dumps[0]["text"].as_str().expect("text")));
}

#[test]
fn a_dump_that_nobody_could_make_is_refused() {
    for option in [["--dump", "x"], ["--dump-at", "1ms"]] {
        let run = sextant(&[&["sim", "fair", "mixed"], &option[..]].concat()).expect(2);
        assert!(run.stderr.contains(option[0]), "{}", run.stderr);
    }
    let late = sextant(&["sim", "simple", "--dump-at", "3s", "--duration", "1s"]).expect(2);
    assert!(late.stderr.contains("over by then"), "{}", late.stderr);
    let nowhere = sextant(&["sim", "simple", "--dump", "/nonexistent/d"]).expect(2);
    assert!(nowhere.stderr.contains("/nonexistent/d"), "{}", nowhere.stderr);
}

/// 0.4 s in one callback: Linux says nothing until its watchdogs bite, but who writes a scheduler wants to know.
#[test]
fn a_long_callback_is_reported() {
    let Some(load) = case("class/long_dispatch/w.json") else { return };
    let Some(object) = header_object("long_dispatch") else { return };
    let args = [object.as_str(), &load, "--cpus", "1", "--duration", "1s"];
    let run = sextant(&[&["sim"], &args[..]].concat()).expect(0);
    assert!(run.stderr.contains("WARN at ") && run.stderr.contains("ops.dispatch"), "{}", run.stderr);
    assert!(run.stdout.contains("LONG CALLS"), "{}", run.stdout);
    let long = &sim_json(&args)["long_calls"][0];
    assert_eq!(long["op"], "dispatch");
    assert!(
        long["longest_ns"].as_u64() > Some(300_000_000) && long["insns"].as_u64() > Some(8 << 20),
        "{long}"
    );
}

/// Longer than the watchdogs' patience: the scheduler is ended with the kernel's words, by which one depends on who can see it.
#[test]
fn a_call_that_does_not_come_back_is_a_lockup() {
    let Some(object) = header_object("long_dispatch") else { return };
    let load = workload("lockup", LOAD);
    let args = ["sim", object.as_str(), &load, "--set", "rounds=100", "--lockup", "500ms", "--json"];
    for (cpus, says) in [("1", "soft lockup - CPU 0 stuck for 0s"), ("2", "RCU CPU stall on CPUs (")] {
        for engine in ["interp", "jit"] {
            if engine == "jit" && !sextant_vm::Engine::Jit.is_available() {
                continue;
            }
            let run = sextant(&[&args[..], &["--cpus", cpus, "--engine", engine]].concat()).expect(3);
            let exit = &run.json()["exit"];
            assert!(exit["msg"].as_str().is_some_and(|msg| msg.starts_with(says)), "{exit}");
            let at = exit["at_ns"].as_u64().expect("a time");
            assert!((500_000_000..800_000_000).contains(&at), "{exit}");
            assert_eq!(
                (&exit["op"], &exit["source"]["program"]),
                (&"dispatch".into(), &"long_dispatch".into())
            );
        }
    }
}

/// Ctrl-C ends a call that would go on for minutes, and the result is there.
#[test]
fn a_long_call_can_be_interrupted() {
    use std::process::{Command, Stdio};
    let Some(object) = header_object("long_dispatch") else { return };
    let load = workload("interrupted-call", LOAD);
    let args = ["sim", object.as_str(), &load, "--set", "rounds=8000000", "--lockup", "100000s", "--json"];
    let child =
        support::command().args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    // It is loaded and in its first call by then; if not, the run is interrupted all the same.
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill").success());
    let output = child.wait_with_output().expect("ends");
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    let doc: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a document");
    assert_eq!(doc["run"]["interrupted"], true);
    assert_eq!(doc["exit"]["kind"], "UNREG", "{}", doc["exit"]);
}

#[test]
fn the_document_names_what_made_it() {
    let load = workload("made", LOAD);
    let args = [
        "rr",
        &load,
        "--machine",
        "nodes=2,cores=2",
        "--set",
        "slice_ns=1000000",
        "--duration",
        "10ms",
        "--engine",
        "interp",
    ];
    let doc = sim_json(&args);
    let made = &doc["made_by"];
    assert_eq!(made["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(made["kernel"], "7.3.4");
    assert_eq!(made["machine"], serde_json::json!({"nodes": 2, "llcs": 1, "cores": 2, "threads": 1}));
    let options = [
        "--machine=nodes=2,llcs=1,cores=2,threads=1",
        "--duration=10000000ns",
        "--seed=1",
        "--set=slice_ns=1000000",
    ];
    assert_eq!(made["options"], serde_json::json!(options));
    let sha = |bytes: &[u8]| {
        use sha2::{Digest, Sha256};
        Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect::<String>()
    };
    let object = std::fs::read(support::root().join("schedulers/built/rr.bpf.o")).expect("a committed file");
    assert_eq!(made["objects"], serde_json::json!([{ "name": "rr", "sha256": sha(&object) }]));
    assert_eq!(made["workload_sha256"], sha(LOAD.as_bytes()));
    assert_eq!(
        doc["run"],
        serde_json::json!({"duration_ns": 10_000_000, "ended": "duration", "interrupted": false})
    );
    assert_eq!(doc["groups"][0]["pids"].as_array().map(Vec::len), Some(4));
    let ideal: u64 =
        doc["tasks"].as_array().expect("tasks").iter().filter_map(|t| t["ideal_run_ns"].as_u64()).sum();
    assert_eq!(doc["groups"][0]["ideal_run_ns"].as_u64(), Some(ideal));
}

//! The second promise: the same bytes on every machine.

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use sha2::{Digest, Sha256};
use support::{command, sextant, sim_json, workload};

const ARGS: &[&str] = &["sim", "simple", "mixed", "--cpus", "4", "--duration", "300ms", "--json"];

fn hash_of(doc: &serde_json::Value) -> String {
    doc["trace_hash"].as_str().expect("trace_hash").to_owned()
}

fn run_hash(mut command: Command) -> String {
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    hash_of(&serde_json::from_slice(&output.stdout).expect("JSON"))
}

/// The hash as docs/formats.md defines it: over the lines of the trace that are no comments.
fn hash_of_lines<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let mut sha = Sha256::new();
    for line in lines.filter(|line| !line.starts_with('#')) {
        sha.update(line.as_bytes());
        sha.update(b"\n");
    }
    sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_host_does_not_show() {
    let plain = run_hash({
        let mut c = command();
        c.args(ARGS);
        c
    });
    let under = |tool: &[&str]| {
        let mut c = Command::new(tool[0]);
        c.args(&tool[1..]).arg(env!("CARGO_BIN_EXE_sextant")).args(ARGS);
        c
    };
    assert_eq!(run_hash(under(&["setarch", "--uname-2.6"])), plain, "another uname");
    assert_eq!(run_hash(under(&["taskset", "-c", "0"])), plain, "one CPU");
    let mut elsewhere = command();
    elsewhere
        .args(ARGS)
        .env("HOME", "/nowhere")
        .env("TZ", "Asia/Tokyo")
        .env("LANG", "tr_TR.UTF-8")
        .current_dir("/");
    assert_eq!(run_hash(elsewhere), plain, "another home, time zone, directory");
}

#[test]
fn the_hash_is_that_of_the_trace_file() {
    let trace = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hash.trace");
    let path = trace.display().to_string();
    let doc = sextant(&[ARGS, &["--trace", &path]].concat()).expect(0).json();
    let text = fs::read_to_string(&trace).expect("the trace is there");
    assert_eq!(hash_of_lines(text.lines()), hash_of(&doc));

    let mut lines: Vec<&str> = text.lines().collect();
    let middle = lines.len() / 2;
    lines.swap(middle, middle + 1);
    assert_ne!(lines[middle], lines[middle + 1], "two different events were swapped");
    assert_ne!(hash_of_lines(lines.into_iter()), hash_of(&doc));
    fs::remove_file(&trace).expect("it is ours");
}

#[test]
fn event_lines_hold_no_seed_name_or_path() {
    let trace = Path::new(env!("CARGO_TARGET_TMPDIR")).join("names.trace");
    let path = trace.display().to_string();
    let args = ["sim", "simple", "mixed", "--duration", "20ms", "--seed", "987654321", "--trace", &path];
    sextant(&args).expect(0);
    let text = fs::read_to_string(&trace).expect("the trace is there");
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        assert!(!line.contains("987654321") && !line.contains(".trace"), "{line}");
    }
    fs::remove_file(&trace).expect("it is ours");
}

#[test]
fn the_seed_decides_and_only_where_it_may() {
    let run =
        |more: &[&str]| hash_of(&sim_json(&[&["simple", "mixed", "--duration", "300ms"], more].concat()));
    assert_eq!(run(&["--seed", "7"]), run(&["--seed", "7"]));
    assert_ne!(run(&["--seed", "7"]), run(&["--seed", "8"]));

    let hogs = workload(
        "hash-hogs",
        r#"{ "tasks": { "hog": { "instance": 3, "loop": -1, "run": 5000, "sleep": 500 } } }"#,
    );
    let ideal =
        |seed| hash_of(&sim_json(&["simple", &hogs, "--duration", "300ms", "--ideal", "--seed", seed]));
    assert_eq!(ideal("7"), ideal("8"));
}

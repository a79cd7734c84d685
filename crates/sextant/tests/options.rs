//! What a run takes and where it writes: options that would do nothing, stdin and stdout, readers that go away, full disks, signals.

mod support;

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use support::{command, root, sextant, workload};

/// Refused with 2, without a result, and the option is named.
fn refused(args: &[&str], names: &[&str]) {
    let run = sextant(args).expect(2);
    assert!(run.stdout.is_empty(), "{args:?}: {}", run.stdout);
    for name in names {
        assert!(run.stderr.contains(name), "{args:?}: \"{name}\" is not in\n{}", run.stderr);
    }
}

#[test]
fn an_option_that_would_do_nothing_is_refused() {
    for scheduler in ["fair", "native:fifo"] {
        for (option, value) in [
            ("--set", Some("x=1")),
            ("--ops", Some("x")),
            ("--setup", Some("pair")),
            ("--sanitize", None),
            ("--unchecked", None),
            ("--engine", Some("jit")),
        ] {
            let args: Vec<&str> = ["sim", scheduler, "mixed", option].into_iter().chain(value).collect();
            refused(&args, &[option]);
        }
    }
    refused(&["sim", "simple", "--rollback"], &["--swap"]);
    refused(&["sim", "simple", "--swap", "fair@1s", "--rollback"], &["--rollback"]);
    refused(&["sim", "fair", "--swap", "simple@1s", "--set", "x=1"], &["--set x=1", "fair"]);
    refused(&["sim", "simple", "--swap", "fair@1s", "--set", "fair:x=1"], &["--set x=1", "fair"]);
    // An object that comes by a swap is one.
    sextant(&[
        "sim",
        "fair",
        "hogs",
        "--cpus",
        "2",
        "--duration",
        "4ms",
        "--swap",
        "simple@1ms",
        "--sanitize",
    ])
    .expect(0);
}

fn fed(args: &[&str], input: &[u8]) -> Output {
    let mut child = command()
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    child.stdin.take().expect("piped").write_all(input).expect("it reads");
    child.wait_with_output().expect("ends")
}

#[test]
fn a_dash_is_stdin_or_stdout() {
    let object = std::fs::read(root().join("schedulers/built/simple.bpf.o")).expect("a committed file");
    let output = fed(&["sim", "-", "mixed", "--duration", "10ms"], &object);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("- on mixed"));
    assert_eq!(fed(&["check", "-"], &object).status.code(), Some(0));
    assert_eq!(fed(&["inspect", "-"], &object).status.code(), Some(0));

    let load = br#"{"tasks": {"t": {"run": 1000, "sleep": 1000}}}"#;
    let output = fed(&["sim", "fair", "-", "--duration", "10ms", "--trace", "-"], load);
    assert_eq!(output.status.code(), Some(0));
    let (trace, table) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(trace.starts_with("# sextant trace, format 1\n") && trace.contains("switch"), "{trace}");
    assert!(!trace.contains("TASKS") && table.contains("TASKS"), "{table}");

    refused(&["sim", "-", "-"], &["stdin"]);
    refused(&["sim", "simple", "--trace", "-", "--json"], &["--trace", "--json", "stdout"]);
}

#[test]
fn a_trace_whose_reader_goes_away_does_not_cost_the_result() {
    let pipe = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fifo-{}", std::process::id()));
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let path = pipe.display().to_string();
    let child = command()
        .args(["sim", "simple", "mixed", "--duration", "200ms", "--json", "--trace", &path])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    std::fs::File::open(&pipe).expect("a reader").read_exact(&mut [0; 10]).expect("a first piece");
    let output = child.wait_with_output().expect("ends");
    std::fs::remove_file(&pipe).expect("it is there");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let doc: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a whole document");
    assert_eq!(
        doc["trace_hash"],
        support::sim_json(&["simple", "mixed", "--duration", "200ms"])["trace_hash"]
    );
}

#[test]
fn a_full_disk_costs_what_did_not_fit_and_nothing_else() {
    let run = sextant(&["sim", "fair", "mixed", "--duration", "100ms", "--trace", "/dev/full"]).expect(2);
    assert!(run.stdout.contains("TASKS"), "the result is there:\n{}", run.stdout);
    assert!(run.stderr.contains("the trace to /dev/full: No space left"), "{}", run.stderr);

    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("a Linux machine");
    let output = command()
        .args(["sim", "fair", "mixed", "--duration", "10ms"])
        .stdout(full)
        .stderr(Stdio::piped())
        .output()
        .expect("starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("stdout: No space left"), "{output:?}");
}

#[test]
fn sigterm_ends_a_run_in_good_order_as_ctrl_c_does() {
    for signal in ["-TERM", "-INT"] {
        let mut child = command()
            .args(["sim", "fair", "mixed", "--duration", "100000s", "--trace", "/dev/stderr"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        child.stderr.as_mut().expect("piped").read_exact(&mut [0; 10]).expect("a first piece");
        let kill = Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill");
        assert!(kill.success());
        let output = child.wait_with_output().expect("ends");
        assert_eq!(output.status.code(), Some(130), "{signal}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("TASKS"), "{signal}: no result");
    }
}

#[test]
fn the_fair_class_says_what_it_ignores() {
    let text = r#"{ "tasks": { "t": { "taskgroup": "/a", "run": 1000 } },
        "cgroups": { "/a": { "weight": 400, "max": "50000 100000" } } }"#;
    let load = workload("ignored-by-fair", text);
    let run = sextant(&["sim", "fair", &load, "--duration", "10ms"]).expect(0);
    assert!(run.stderr.contains("does not follow cpu.weight, cpu.max yet"), "{}", run.stderr);
    let run = sextant(&["sim", "simple", &load, "--duration", "10ms"]).expect(0);
    assert!(!run.stderr.contains("cpu.weight"), "{}", run.stderr);
}

/// Workloads that rt-app reads, or that people write by mistake.
#[test]
fn workloads_are_read_as_rt_app_reads_them() {
    if let Some(load) = support::case("workload/run_forever.json") {
        let doc = support::sim_json(&["simple", &load, "--duration", "1s"]);
        let spin = doc["tasks"].as_array().and_then(|t| t.iter().find(|t| t["name"] == "spin")).expect("it");
        assert!(spin["run_ns"].as_u64() > Some(900_000_000), "{spin}");
    }
    if let Some(load) = support::case("workload/unknown_global_key.json") {
        let run = sextant(&["sim", "fair", &load, "--duration", "10ms"]).expect(0);
        assert!(run.stderr.contains("\"logsize\" in global is ignored"), "{}", run.stderr);
    }
    if let Some(load) = support::case("workload/exec_time.json") {
        refused(&["sim", "fair", &load], &["exec_time", "did you mean \"run\""]);
    }
    if let Some(load) = support::case("workload/tenants.json") {
        let run = sextant(&["sim", "fair", &load, "--duration", "10ms"]).expect(0);
        assert!(run.stderr.contains("does not follow cpu.weight, cpu.max yet"), "{}", run.stderr);
    }
}

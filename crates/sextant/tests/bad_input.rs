//! Bad input on the real program: a clear message that names the thing, the right exit status, no panic.

mod support;

use std::path::Path;

use support::{Run, command, root, sextant, workload};

/// Runs, and asserts: refused with `status`, an `error:` line, nothing on stdout, no panic, and every word of `names` said.
fn refused(args: &[&str], status: i32, names: &[&str]) -> Run {
    let run = sextant(args).expect(status);
    let stderr = &run.stderr;
    assert!(stderr.contains("error:"), "{args:?}: no error line:\n{stderr}");
    assert!(!stderr.contains("panicked"), "{args:?}: {stderr}");
    assert!(run.stdout.is_empty(), "{args:?}: half a result on stdout:\n{}", run.stdout);
    for name in names {
        assert!(stderr.contains(name), "{args:?}: \"{name}\" is not named:\n{stderr}");
    }
    run
}

fn scratch(name: &str, content: &[u8]) -> String {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, content).expect("the scratch directory is writable");
    path.display().to_string()
}

fn simple() -> Vec<u8> {
    std::fs::read(root().join("schedulers/built/simple.bpf.o")).expect("a committed file")
}

#[test]
fn usage() {
    refused(&["sim", "--cpus", "0"], 2, &["--cpus", "0"]);
    refused(&["sim", "--cpus", "8193"], 2, &["--cpus", "8192"]);
    refused(&["sim", "--cpus", "-1"], 2, &["-1"]);
    refused(&["sim", "--duration", "2"], 2, &["--duration", "unit", "2s"]);
    refused(&["sim", "--duration", "0s"], 2, &["--duration", "zero"]);
    refused(&["sim", "--duration", "soon"], 2, &["--duration", "soon"]);
    refused(&["sim", "--seed", "x"], 2, &["--seed"]);
    refused(&["simm"], 2, &["simm", "sim"]);
    refused(&["sim", "--jsn"], 2, &["--jsn", "--json"]);
}

#[test]
fn unknown_names_and_missing_files() {
    refused(&["sim", "simpel"], 2, &["simpel", "\"simple\"", "sextant list"]);
    refused(&["sim", "simple", "mixd"], 2, &["mixd", "\"mixed\"", "sextant list"]);
    refused(&["sim", "load.json"], 2, &["load.json", "workload", "scheduler comes first"]);
    refused(&["sim", "/nonexistent/x.bpf.o"], 2, &["/nonexistent/x.bpf.o", "No such file"]);
    refused(&["sim", "fair", "/nonexistent/x.json"], 2, &["/nonexistent/x.json", "No such file"]);
    refused(&["sim", "./"], 2, &["./", "directory"]);
    refused(&["inspect", "simpel"], 2, &["simpel", "\"simple\""]);
    refused(&["sim", "native:zifo"], 2, &["zifo", "native:fifo"]);
    refused(&["sim", "fair", "--trace", "/nonexistent/t"], 2, &["/nonexistent/t", "No such file"]);
}

#[test]
fn workloads() {
    let check = |name: &str, text: &str, names: &[&str]| {
        let path = workload(name, text);
        let file = format!("{name}.json:");
        refused(&["sim", "fair", &path], 2, &[&[file.as_str()], names].concat());
    };
    check("typo", "{\"tasks\": {\"t\": {\n  \"slepe\": 1}}}", &["2:3", "slepe", "\"sleep\""]);
    check("syntax", "{\"tasks\": \n{\"t\" {}}}", &["2:6", "expected `:`"]);
    check("cpu", "{\"tasks\": {\"t\": {\"run\": 1, \"cpus\": [8]}}}", &["1:", "CPU 8", "--cpus"]);
    check("value", "{\"tasks\": {\"t\": {\"run\": \"long\"}}}", &["\"run\"", "whole number"]);
    check(
        "lock",
        "{\"tasks\": {\"t\": {\"run\": 1,\n\"lock\": \"m\"}}}",
        &["2:1", "\"lock\"", "--skip-unsupported"],
    );
    check("empty", "", &["1:1", "end of the file"]);
    check("forever", "{\"tasks\": {\"t\": {\"resume\": \"x\"}}}", &["\"t\"", "forever"]);
    let binary = scratch("binary.json", b"{\n\xff\xfe}");
    refused(&["sim", "fair", &binary], 2, &["binary.json:2", "UTF-8"]);
}

#[test]
fn skip_unsupported_goes_on_with_a_warning() {
    let path = workload(
        "skipped",
        "{\"tasks\": {\"t\": {\"run\": 1000,\n\"lock\": \"m\"}}, \"global\": {\"duration\": 1}}",
    );
    let run = sextant(&["sim", "fair", &path, "--skip-unsupported"]).expect(0);
    assert!(run.stderr.contains("WARN") && run.stderr.contains("2:1: action \"lock\""), "{}", run.stderr);
    assert!(run.stdout.contains("TASKS"));
}

#[test]
fn not_an_object() {
    for (name, content, why) in
        [("text.bpf.o", b"int main(void) { return 0; }" as &[u8], "ELF"), ("empty.bpf.o", b"", "empty")]
    {
        let path = scratch(name, content);
        refused(&["sim", &path], 2, &[name, why, "BPF object"]);
        refused(&["inspect", &path], 2, &[name, why, "BPF object"]);
    }
    let own = env!("CARGO_BIN_EXE_sextant");
    refused(&["sim", own], 2, &["BPF"]);
}

#[test]
fn wrong_byte_order() {
    let mut object = simple();
    object[5] = 2; // EI_DATA: big-endian
    let path = scratch("big.bpf.o", &object);
    refused(&["sim", &path], 2, &["big.bpf.o", "endian"]);
}

/// Ends of sections, of the section table and of the header: the places where a reader looks next.
fn boundaries(object: &[u8]) -> Vec<usize> {
    let u =
        |at: usize, len: usize| object[at..at + len].iter().rev().fold(0usize, |n, &b| n << 8 | b as usize);
    let (table, count) = (u(0x28, 8), u(0x3c, 2));
    let mut cuts = vec![0, 1, 4, 16, 63, 64, table, object.len() - 1];
    for i in 0..count {
        let header = table + i * 64;
        let (start, size) = (u(header + 24, 8), u(header + 32, 8));
        cuts.extend([start, start + size, header + 32, header + 64]);
    }
    cuts.retain(|&cut| cut < object.len());
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

#[test]
fn an_object_truncated_anywhere() {
    let object = simple();
    let cuts = boundaries(&object);
    assert!(cuts.len() > 30, "{cuts:?}");
    for cut in cuts {
        let path = scratch("truncated.bpf.o", &object[..cut]);
        refused(&["sim", &path], 2, &["truncated.bpf.o"]);
    }
}

#[test]
fn sets() {
    let set = |value: &str, names: &[&str]| {
        refused(&["sim", "rr", "--set", value], 2, &[&[value], names].concat());
    };
    set("slice_n=5", &["slice_n", "slice_ns"]);
    set("slice_ns=many", &["slice_ns", "many"]);
    set("slice_ns=99999999999999999999999", &["slice_ns"]);
    set("slice_ns[3]=1", &["slice_ns", "array"]);
    set("slice_ns", &["NAME=VALUE"]);
    set("map:nope.max_entries=3", &["nope"]);
    set("ops.timeout=3", &["timeout"]);
    refused(&["sim", "simple", "--set", "switch_partial=2"], 2, &["switch_partial"]);
    refused(&["sim", "simple", "--ops", "other"], 2, &["other", "simple"]);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    use std::io::Read;
    use std::process::Stdio;
    let args = ["sim", "fair", "hogs", "--cpus", "512", "--json", "--duration", "1ms"];
    let mut child =
        command().args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let mut stdout = child.stdout.take().expect("piped");
    stdout.read_exact(&mut [0; 10]).expect("a first piece");
    drop(stdout);
    let output = child.wait_with_output().expect("ends");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn interrupted_is_130() {
    use std::io::Read;
    use std::process::Stdio;
    let mut child = command()
        .args(["sim", "fair", "mixed", "--duration", "100000s", "--trace", "/dev/stderr"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    // It listens before it runs, and there is a trace when it runs.
    child.stderr.as_mut().expect("piped").read_exact(&mut [0; 10]).expect("a first piece");
    let kill =
        std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    assert!(kill.success());
    let output = child.wait_with_output().expect("ends");
    assert_eq!(output.status.code(), Some(130));
    assert!(String::from_utf8_lossy(&output.stdout).contains("TASKS"), "the result of the time until then");
}

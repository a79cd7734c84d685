//! How a run ends when the scheduler does not behave: thrown out with the kernel's words, and nothing lost.

mod support;

use support::{bpf_object, sextant, workload};

/// Finishes by itself after 200 ms of work each.
const FINITE: &str = r#"{
    "tasks": {
        "worker": { "instance": 4, "loop": 20, "run": 10000, "sleep": 1000 }
    },
    "global": { "duration": 30 }
}"#;

#[test]
fn the_watchdog_throws_out_a_scheduler_that_never_dispatches() {
    let Some(object) = bpf_object("stall") else { return };
    let load = workload("finite-stall", FINITE);
    let run = sextant(&["sim", &object, &load, "--cpus", "2", "--json"]).expect(3);
    let doc = run.json();
    assert_eq!(doc["exit"]["kind"], "ERROR_STALL");
    assert_eq!(doc["exit"]["reason"], "runnable task stall");
    let msg = doc["exit"]["msg"].as_str().expect("a message");
    assert!(msg.contains("failed to run for 0."), "{msg}");
    let after = doc["after"]["tasks"].as_array().expect("tasks");
    assert!(!after.is_empty(), "somebody was left to the fair class");
    for task in doc["tasks"].as_array().expect("tasks") {
        let rest = after.iter().find(|t| t["pid"] == task["pid"]).and_then(|t| t["run_ns"].as_u64());
        let own = task["run_ns"].as_u64().expect("run_ns");
        assert!(own + rest.unwrap_or(0) >= 200_000_000, "{task}, {rest:?}: work is lost");
    }
    assert_eq!(doc["duration_ns"], doc["exit"]["at_ns"]);
    let sum = doc["duration_ns"].as_u64().zip(doc["after"]["duration_ns"].as_u64()).map(|(a, b)| a + b);
    assert_eq!(sum, doc["run"]["duration_ns"].as_u64());
    // Nobody ran for all that time, and the open waits say so.
    assert!(doc["groups"][0]["max_wait_ns"].as_u64() > Some(100_000_000), "{}", doc["groups"][0]);
}

#[test]
fn a_trap_ends_the_scheduler_and_names_the_instruction() {
    let Some(object) = bpf_object("trap") else { return };
    let load = workload("finite-trap", FINITE);
    let run = sextant(&["sim", &object, &load, "--cpus", "1", "--json", "--unchecked"]).expect(3);
    let exit = &run.json()["exit"];
    assert_eq!(exit["kind"], "ERROR");
    let msg = exit["msg"].as_str().expect("a message");
    assert!(msg.starts_with("sextant: trap_enqueue: insn "), "{msg}");
    assert!(msg.contains("NULL pointer"), "{msg}");
    assert_eq!((&exit["op"], &exit["op_returned"]), (&"enqueue".into(), &false.into()));
    let source = &exit["source"];
    assert!(source["file"].as_str().is_some_and(|file| file.ends_with("trap.bpf.c")), "{source}");
    let line = source["line"].as_u64().expect("a line") as usize;
    let text =
        std::fs::read_to_string(support::root().join("crates/sextant/tests/bpf/trap.bpf.c")).expect("it");
    assert_eq!(source["text"].as_str(), text.lines().nth(line - 1).map(str::trim));
}

#[test]
fn an_endless_loop_is_a_lockup() {
    let Some(object) = bpf_object("endless") else { return };
    let load = workload("finite-endless", FINITE);
    for (cpus, says) in [("1", "soft lockup - CPU 0 stuck for "), ("8", "RCU CPU stall on CPUs (")] {
        let args = ["sim", &object, &load, "--json", "--unchecked", "--lockup", "100ms", "--cpus", cpus];
        let run = sextant(&args).expect(3);
        let exit = &run.json()["exit"];
        assert_eq!(exit["kind"], "ERROR");
        let msg = exit["msg"].as_str().expect("a message");
        assert!(msg.starts_with(says), "{msg}");
    }
}

/// What the tests above let run on purpose is not run without `--unchecked`; the words are those of `sextant check`.
#[test]
fn what_the_verifier_refuses_is_not_run() {
    for (name, code) in [("trap", "V0005"), ("endless", "V0031")] {
        let Some(object) = bpf_object(name) else { return };
        let run = sextant(&["sim", &object, "--json"]).expect(1);
        assert_eq!(run.stdout, "", "no result");
        assert!(run.stderr.contains("the verifier refuses 1 of 1 programs"), "{}", run.stderr);
        assert!(run.stderr.contains(code) && run.stderr.contains("--unchecked"), "{}", run.stderr);
        let check = sextant(&["check", &object]).expect(1);
        let words = &check.stdout[check.stdout.find("error[").expect("a message")..];
        assert!(run.stderr.contains(words), "{}\nis not in\n{}", words, run.stderr);
    }
}

/// The verifier leaves a note at such a load. Without it the vm stops the program.
#[test]
fn a_load_through_a_null_kernel_pointer_reads_0() {
    let Some(object) = bpf_object("probe") else { return };
    let load = workload("finite-probe", FINITE);
    for engine in ["interp", "jit"] {
        if engine == "jit" && !sextant_vm::Engine::Jit.is_available() {
            continue;
        }
        let run = sextant(&["sim", &object, &load, "--cpus", "1", "--json", "--engine", engine]).expect(0);
        assert_eq!(run.json()["exit"]["msg"], "read 10 zeros");
    }
    let run = sextant(&["sim", &object, &load, "--cpus", "1", "--json", "--unchecked"]).expect(3);
    let msg = run.json()["exit"]["msg"].to_string();
    assert!(msg.contains("sextant: probe_enqueue: insn "), "{msg}");
}

#[test]
fn a_scheduler_may_leave_by_itself() {
    let Some(object) = bpf_object("early_exit") else { return };
    let load = workload("finite-early", FINITE);
    let run = sextant(&["sim", &object, &load, "--cpus", "1", "--set", "after=10", "--json"]).expect(0);
    let exit = &run.json()["exit"];
    assert_eq!(exit["kind"], "UNREG_BPF");
    assert_eq!(exit["code"], 42);
    assert_eq!(exit["msg"], "leaving after 10 tasks");
}

#[test]
fn a_failing_init_is_an_attach_followed_by_an_exit() {
    let Some(object) = bpf_object("early_exit") else { return };
    let load = workload("finite-init", FINITE);
    let run = sextant(&["sim", &object, &load, "--set", "init_error=-12", "--json"]).expect(3);
    let exit = &run.json()["exit"];
    assert_eq!(exit["kind"], "ERROR");
    assert_eq!(exit["msg"], "ops.init() failed (-12)");
    assert_eq!((&exit["op"], &exit["op_returned"]), (&"init".into(), &true.into()));
    // It did nothing, and nothing is said to be its doing.
    let doc = run.json();
    assert_eq!(doc["tasks"], serde_json::json!([]));
    assert_eq!(doc["after"]["tasks"].as_array().map(Vec::len), Some(4));
    let table = sextant(&["sim", &object, &load, "--set", "init_error=-12"]).expect(3).stdout;
    assert!(!table.contains("CPU BUSY%") && table.contains("after ops.init on CPU 0"), "{table}");
    assert!(table.contains("never in charge") && table.contains("The fair class had the tasks"), "{table}");
}

#[test]
fn set_reaches_every_kind_of_global() {
    let Some(object) = bpf_object("globals") else { return };
    let set = [
        "number=0x10",
        "negative=-7",
        "flag=true",
        "colour=GREEN",
        "word=\"hi\"",
        "point.y=9",
        "arr[3]=44",
        "sized=[5;3]",
        "map:table.max_entries=7",
    ];
    let args: Vec<&str> = set.iter().flat_map(|set| ["--set", *set]).collect();
    let load = workload("finite-globals", FINITE);
    let run = sextant(&[&["sim", &*object, &*load, "--duration", "10ms"], &*args].concat()).expect(0);
    for line in
        ["number=16 negative=-7 flag=1", "colour=5 word=hi point.y=9", "arr[3]=44 sized[0]=5 table[6]=1"]
    {
        assert!(run.stderr.contains(line), "{line} not in:\n{}", run.stderr);
    }
}

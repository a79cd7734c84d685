//! Schedulers replaced while the machine runs. All checkers watch these runs (debug build): nothing is lost, none runs twice, time
//! adds up.

mod support;

use std::path::Path;

use serde_json::Value;
use support::{Run, bpf_object, sextant};

fn sim(args: &[&str]) -> Run {
    sextant(&[&["sim"], args].concat())
}

fn swaps(doc: &Value) -> &Vec<Value> {
    doc["swaps"].as_array().expect("swaps")
}

/// Time on a CPU of all tasks and all CPUs.
fn busy(doc: &Value) -> (u64, u64) {
    let sum = |rows: &Value, key: &str| -> u64 {
        rows.as_array().expect("rows").iter().map(|row| row[key].as_u64().expect(key)).sum()
    };
    (sum(&doc["tasks"], "run_ns") + sum(&doc["system_tasks"], "run_ns"), sum(&doc["cpus_stats"], "busy_ns"))
}

#[test]
fn each_takes_over_in_turn() {
    let args = ["simple", "mixed", "--duration", "900ms", "--swap", "vtime@200ms,rr@400ms", "--swap"];
    let doc = sim(&[&args[..], &["fair@600ms,native:fifo@700ms", "--json"]].concat()).expect(0).json();
    let took = |swap: &Value| format!("{} {} > {}", swap["at_ns"], swap["from"], swap["to"]).replace('"', "");
    let turns: Vec<String> = swaps(&doc).iter().map(took).collect();
    let want = [
        "200000000 simple > vtime",
        "400000000 vtime > rr",
        "600000000 rr > fair",
        "700000000 fair > native:fifo",
    ];
    assert_eq!(turns, want);
    for swap in swaps(&doc) {
        let ns = |key: &str| swap[key].as_u64();
        if swap["to"] != "fair" {
            let (first, decision) =
                (ns("first_op_ns").expect("called"), ns("first_decision_ns").expect("decides"));
            assert!(first <= decision && decision < 60_000_000, "{swap}");
            // The new one is asked when bypass ends, and not before.
            assert!(ns("bypass_ns").expect("bypass") <= decision, "{swap}");
        }
        let kind = &swap["from_exit"]["kind"];
        assert!(if swap["from"] == "fair" { kind.is_null() } else { kind == "UNREG" }, "{swap}");
        // Eight CPUs with 24 tasks: somebody waits at any time, but not for longer than a few slices.
        let wait = ns("max_wait_ns").expect("a wait");
        assert!((1_000_000..400_000_000).contains(&wait), "{swap}");
        assert!(swap["max_wait_task"].is_string(), "{swap}");
    }
    assert_eq!(doc["exit"]["kind"], "UNREG");
    let (tasks, cpus) = busy(&doc);
    assert_eq!(tasks, cpus);
    // The same again, to the byte.
    let again = sim(&[&args[..], &["fair@600ms,native:fifo@700ms", "--json"]].concat()).expect(0).json();
    assert_eq!(again, doc);
}

#[test]
fn a_thousand_swaps_among_four() {
    let names = ["vtime", "rr", "central", "simple"];
    let list: Vec<String> =
        (0..1000).map(|i| format!("{}@{}ms", names[i % names.len()], 80 * (i + 1))).collect();
    let args = ["simple", "mixed", "--cpus", "4", "--duration", "80.1s", "--json", "--swap", &list.join(",")];
    let doc = sim(&args).expect(0).json();
    assert_eq!(swaps(&doc).len(), 1000);
    for swap in swaps(&doc) {
        assert_eq!(swap["from_exit"]["kind"], "UNREG", "{swap}");
        assert!(swap["first_decision_ns"].is_u64() && swap["failed"].is_null(), "{swap}");
    }
    let (tasks, cpus) = busy(&doc);
    assert_eq!(tasks, cpus);
    assert!(cpus > 4 * 79_900_000_000, "hogs leave no CPU idle, a swap or not: {cpus}");
    let tasks = doc["tasks"].as_array().expect("tasks");
    assert_eq!(tasks.len(), 24);
    assert!(tasks.iter().all(|task| task["run_ns"].as_u64() > Some(100_000_000)), "somebody was left behind");
}

#[test]
fn nothing_of_the_old_one_is_called_again() {
    let Some(fickle) = bpf_object("fickle") else { return };
    let trace = Path::new(env!("CARGO_TARGET_TMPDIR")).join("swap.trace").display().to_string();
    let plan = format!("{fickle}@100ms,simple@200ms,{fickle}@300ms,simple@400ms");
    sim(&[&fickle, "hogs", "--duration", "500ms", "--swap", &plan, "--trace", &trace]).expect(0);
    let text = std::fs::read_to_string(&trace).expect("a trace");
    let timers = |from: f64, to: f64| {
        let at = |line: &str| line.split(' ').next().and_then(|t| t.parse::<f64>().ok());
        let timers = text.lines().filter(|line| line.contains("] timer"));
        timers.filter_map(at).filter(|at| (from..to).contains(at)).count()
    };
    // 100 us apart, from each load on, and only while it is there.
    // Disabling takes 32 ms, in which the old one's timer still fires; then the new one comes.
    for (from, to, want) in [(0.0, 0.100, 950), (0.133, 0.200, 640), (0.333, 0.400, 640)] {
        assert!(timers(from, to) >= want, "{from}..{to}: {}", timers(from, to));
    }
    assert_eq!((timers(0.233, 0.300), timers(0.433, 0.500)), (0, 0));
}

#[test]
fn a_new_one_that_fails_at_once_leaves_the_fair_class() {
    let Some(fickle) = bpf_object("fickle") else { return };
    let fails = format!("{fickle}:init_fails=true");
    let (plan, args) = (format!("{fickle}@100ms"), ["simple", "mixed", "--duration", "200ms", "--json"]);
    let doc = sim(&[&args[..], &["--swap", &plan, "--set", &fails]].concat()).expect(3).json();
    assert_eq!(swaps(&doc).len(), 1);
    assert_eq!(doc["exit"]["kind"], "ERROR");
    assert!(doc["exit"]["msg"].as_str().expect("a message").contains("ops.init() failed (-22)"), "{doc}");

    let doc = sim(&[&args[..], &["--swap", &plan, "--set", &fails, "--rollback"]].concat()).expect(3).json();
    let [out, back] = swaps(&doc).as_slice() else { panic!("{doc}") };
    assert_eq!((&out["to"], &back["from"]), (&back["from"], &out["to"]));
    assert_eq!((&back["to"], &back["rollback"]), (&"simple".into(), &true.into()));
    assert!(back["at_ns"].as_u64().expect("a time") < 133_000_000, "{back}");
    assert!(back["from_exit"]["msg"].as_str().expect("why").contains("ops.init() failed (-22)"));
    assert_eq!(doc["exit"]["kind"], "UNREG", "simple is in charge at the end");
}

#[test]
fn a_new_one_that_fails_later_is_rolled_back() {
    let Some(fickle) = bpf_object("fickle") else { return };
    let fails = format!("{fickle}:good_enqueues=50");
    let plan = format!("{fickle}@100ms,rr@400ms");
    let args = ["simple", "mixed", "--duration", "500ms", "--swap", &plan, "--set", &fails];
    let doc = sim(&[&args[..], &["--json", "--rollback"]].concat()).expect(3).json();
    let [_, back, rr] = swaps(&doc).as_slice() else { panic!("{doc}") };
    assert!((100_000_000..400_000_000).contains(&back["at_ns"].as_u64().expect("a time")));
    assert_eq!(back["from_exit"]["msg"], "fickle.bpf.c:49: enough after 50");
    assert!(back["first_decision_ns"].is_u64(), "{back}");
    assert_eq!((&rr["from"], &rr["from_exit"]["kind"]), (&"simple".into(), &"UNREG".into()));
    let table = sim(&[&args[..], &["--rollback"]].concat()).expect(3).stdout;
    assert!(table.contains("simple again"), "{table}");
    assert!(
        table.contains("fickle ended: ERROR_BPF (scx_bpf_error): fickle.bpf.c:49: enough after 50"),
        "{table}"
    );

    // Without --rollback the machine goes on with the fair class, until the next one comes.
    let doc = sim(&[&args[..], &["--json"]].concat()).expect(3).json();
    let [_, rr] = swaps(&doc).as_slice() else { panic!("{doc}") };
    assert_eq!(rr["from_exit"]["msg"], "fickle.bpf.c:49: enough after 50");
    let (tasks, cpus) = busy(&doc);
    assert_eq!(tasks, cpus);
}

#[test]
fn settings_are_for_whom_they_name() {
    let args = ["rr", "hogs", "--duration", "300ms", "--json", "--swap", "rr@100ms"];
    let hash = |set: &[&str]| sim(&[&args[..], set].concat()).expect(0).json()["trace_hash"].clone();
    let plain = hash(&[]);
    let first = hash(&["--set", "slice_ns=1000000"]);
    let second = hash(&["--set", "rr:slice_ns=1000000"]);
    assert!(plain != first && plain != second && first != second);
}

#[test]
fn bad_input() {
    let refused = |args: &[&str], status: i32, says: &[&str]| {
        let run = sim(args).expect(status);
        assert!(run.stdout.is_empty() && run.stderr.contains("error:"), "{}", run.stderr);
        for word in says {
            assert!(run.stderr.contains(word), "{args:?}: {word:?} is not said:\n{}", run.stderr);
        }
    };
    refused(&["--swap", "vtime"], 2, &["\"vtime\"", "SCHEDULER@TIME"]);
    refused(&["--swap", "vtime@soon"], 2, &["vtime@soon", "unknown unit"]);
    refused(&["--swap", "vtime@1s,,rr@2s"], 2, &["SCHEDULER@TIME"]);
    refused(&["--swap", "vtmie@1s"], 2, &["--swap vtmie@1s", "\"vtime\""]);
    refused(&["--swap", "vtime@1s,rr@1000ms"], 2, &["vtime@1s and rr@1000ms", "at one time"]);
    refused(&["--duration", "1s", "--swap", "rr@1s"], 2, &["--swap rr@1s", "the run is over", "--duration"]);
    refused(&["--swap", "/nonexistent.bpf.o@1s"], 2, &["/nonexistent.bpf.o", "No such file"]);
    refused(&["--swap", "rr@1s", "--set", "rr:slice=1"], 2, &["--swap rr@1s", "slice_ns"]);
    refused(&["--rollback"], 2, &["--rollback", "--swap"]);
    let Some(trap) = bpf_object("trap") else { return };
    refused(&["--swap", &format!("{trap}@1s")], 1, &["--swap", "verifier refuses"]);
    let Some(kfunc) = bpf_object("missing_kfunc") else { return };
    refused(&["--swap", &format!("{kfunc}@1s")], 2, &["--swap", "missing_kfunc"]);
}

/// Tasks are killed in every step of an unregistration and of the load that follows it.
#[test]
fn tasks_are_killed_while_schedulers_change() {
    let n = 60;
    let events: Vec<String> =
        (0..n).map(|i| format!("\"at {}us kill h-{i}\"", 100_000 + 2 * i as u64 - 20)).collect();
    let text = format!(
        "{{ \"tasks\": {{ \"h\": {{ \"instance\": {n}, \"loop\": -1, \"run\": 700, \"sleep\": 300 }}, \
         \"stays\": {{ \"instance\": 3, \"run\": 1000 }} }}, \"events\": [{}] }}",
        events.join(", ")
    );
    let workload = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kills.json");
    std::fs::write(&workload, text).expect("scratch");
    let workload = workload.to_str().expect("UTF-8");
    for chain in ["vtime@100ms", "fair@100ms,simple@101ms", "native:fifo@100ms"] {
        let args = [workload, "--cpus", "3", "--duration", "600ms", "--swap", chain, "--json"];
        let run = sim(&[&["simple"], &args[..]].concat()).expect(0);
        assert!(!run.stderr.contains("warning"), "{}", run.stderr);
        let doc = run.json();
        let exited = |name: &str| {
            let tasks = doc["tasks"].as_array().expect("tasks").iter();
            let of = tasks.filter(|t| t["name"].as_str().expect("a name").split('-').next() == Some(name));
            of.map(|t| t["exited"].as_bool().expect("exited")).collect::<Vec<_>>()
        };
        assert_eq!(exited("h"), vec![true; n], "{chain}");
        assert_eq!(exited("stays"), vec![false; 3], "{chain}");
        assert_eq!(doc["exit"]["kind"], "UNREG", "{chain}");
    }
}

//! Events of a workload (CPUs, cgroups, policies) and schedulers nobody here wrote: what their programs say about them.

mod support;

use std::path::PathBuf;

use serde_json::Value;
use support::{header_object, kernel_object, sextant};

/// Runs a selftest's object on a workload of those events for a second; the JSON document and the exit status.
fn with_events(object: &str, file: &str, more: &str, args: &[&str]) -> Option<(Value, i32)> {
    let object = kernel_object("selftests", object)?;
    let workload = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(file);
    let text = format!(
        "{{\"global\": {{\"duration\": 1}}, \"tasks\": {{\"hog\": {{\"instance\": 6, \"taskgroup\": \"/a\", \"run\": 5000}}, \
         \"sl\": {{\"instance\": 3, \"run\": 500, \"sleep\": 1000}}}}, {more}}}"
    );
    std::fs::write(&workload, text).expect("the target directory is writable");
    let workload = workload.to_str().expect("UTF-8");
    let run = sextant(&[&["sim", &object, workload, "--cpus", "4", "--json"], args].concat());
    Some((run.json(), run.status))
}

const RESTART: i64 = 1 << 48;
const RSN_HOTPLUG: i64 = 1 << 32;

/// The selftest's cases: with callbacks the scheduler's own code, without them the kernel's.
#[test]
fn selftest_hotplug() {
    let offline = "\"events\": [\"at 300ms cpu 1 offline\"]";
    for (ops, kind, code) in [
        ("hotplug_cb_ops", "UNREG_BPF", RESTART | 1),
        ("hotplug_nocb_ops", "UNREG_KERN", RESTART | RSN_HOTPLUG),
    ] {
        let file = format!("{ops}.json");
        let Some((doc, _)) = with_events("hotplug", &file, offline, &["--ops", ops]) else { return };
        assert_eq!(doc["exit"]["kind"], kind, "{ops}: {:#}", doc["exit"]);
        assert_eq!(doc["exit"]["code"].as_i64(), Some(code), "{ops}");
        assert!(doc["tasks"].as_array().expect("tasks").iter().all(|t| t["run_ns"].as_u64() > Some(0)));
    }
}

/// Picks stay in the task's node, the node's idle mask is right, each node has its own queue: the object checks itself. The two
/// names are what its own program takes from the kernel's BTF.
#[test]
fn selftest_numa() {
    let Some(object) = kernel_object("selftests", "numa") else { return };
    let args = ["mixed", "--duration", "5s", "--machine", "nodes=2,llcs=2,cores=2,threads=2"];
    let set =
        ["--set", "__COMPAT_SCX_PICK_IDLE_IN_NODE=2", "--set", "ops.flags=SCX_OPS_BUILTIN_IDLE_PER_NODE"];
    let run = sextant(&[&["sim", &object, "--json"], &args[..], &set[..]].concat()).expect(0);
    let doc = run.json();
    assert_eq!(doc["exit"]["kind"], "UNREG", "{:#}", doc["exit"]);
    assert_eq!(doc["cpus"], 16, "2 x 2 x 2 x 2");
    assert!(doc["tasks"].as_array().expect("tasks").iter().all(|t| t["run_ns"].as_u64() > Some(0)));
}

/// `maximal` has every cgroup op: each is called for what happens, as often as it happens.
#[test]
fn selftest_maximal_sees_cgroups() {
    let events = "\"cgroups\": {\"/a\": {\"weight\": 300}}, \"events\": [\
        \"at 100ms cgroup create /b\", \"at 200ms move hog /b\", \"at 250ms move hog /b\", \
        \"at 300ms cgroup set /b weight 70\", \"at 300ms cgroup set /b weight 70\", \
        \"at 350ms cgroup set /b idle 1 max 50000\", \"at 400ms cgroup remove /a\", \"at 450ms policy hog SCHED_FIFO 1\", \
        \"at 500ms policy hog SCHED_OTHER\", \"at 600ms cpu 3 offline\", \"at 700ms cpu 3 online\"]";
    let Some((doc, status)) = with_events("maximal", "maximal.json", events, &[]) else { return };
    assert_eq!((doc["exit"]["kind"].as_str(), status), (Some("UNREG"), 0), "{:#}", doc["exit"]);
    let calls = |op: &str| doc["ops"][op]["calls"].as_u64().unwrap_or(0);
    for (op, want) in [
        ("cgroup_init", 3),
        ("cgroup_exit", 3),
        ("cgroup_prep_move", 6),
        ("cgroup_move", 6),
        ("cgroup_cancel_move", 0),
        ("cgroup_set_weight", 1),
        ("cgroup_set_bandwidth", 1),
        ("cpu_offline", 1),
        ("cpu_online", 1),
    ] {
        assert_eq!(calls(op), want, "{op}: {:#}", doc["ops"]);
    }
    assert_eq!(calls("enable"), calls("disable"));
    assert_eq!(calls("init_task"), calls("exit_task"));
}

/// Kernel variables: `sd_llc_id` is there and follows the machine's shape; a weak one that is not is NULL.
#[test]
fn the_kernels_number_of_a_cpus_cache() {
    let Some(object) = header_object("llc") else { return };
    for (shape, llc) in [("llcs=4,cores=2", 2), ("nodes=2,llcs=2,cores=1,threads=2", 2), ("cores=8", 0)] {
        let args = ["sim", &object, "mixed", "--duration", "200ms", "--machine", shape, "--json"];
        let run = sextant(&args).expect(0);
        let line = format!("CPU 5 has LLC {llc}\n");
        assert!(run.stderr.contains(&line), "{shape}: {line} not in:\n{}", run.stderr);
    }
    sextant(&["check", &object]).expect(0);
}

/// One that is not there and must be is named, before libbpf stumbles over it.
#[test]
fn a_kernel_variable_that_is_not_there() {
    let Some(object) = header_object("missing_ksym") else { return };
    for args in [["check", &object], ["sim", &object]] {
        let run = sextant(&args).expect(2);
        let said = run.stdout + &run.stderr;
        assert!(said.contains("kernel variable kernel_cpustat") && said.contains("__weak"), "{said}");
    }
    let run = sextant(&["inspect", &object]).expect(0);
    assert!(run.stdout.contains("Sextant lacks kernel_cpustat."), "{}", run.stdout);
}

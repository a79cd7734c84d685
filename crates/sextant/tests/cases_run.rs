//! Schedulers and workloads on which Sextant was wrong at run time, with what is right (`../shared/data/cases/vm` and `class`).

mod support;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::{Run, root, sextant};

/// The file of a case, or None where the shared data is missing.
fn case(name: &str) -> Option<PathBuf> {
    let path = root().join("../shared/data/cases").join(name);
    match path.exists() {
        true => Some(path),
        false => {
            println!("SKIPPED {name}: no ../shared/data/cases");
            None
        }
    }
}

/// A case's object, compiled as the kernel compiles its own schedulers.
fn object(name: &str) -> Option<String> {
    let source = case(name)?;
    let examples = root().join("target/kernel-examples");
    if !examples.join("STAMP").exists() || Command::new("clang-19").arg("--version").output().is_err() {
        println!("SKIPPED {name}: needs `cargo xtask kernel-examples` and the package clang-19");
        return None;
    }
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("case-{}.o", name.replace('/', "-")));
    let flags = "-target bpf -g -D__TARGET_ARCH_x86 -mlittle-endian -I. -Iinclude -Isource/tools/include/uapi \
                 -Isource/tools/sched_ext/include -Isource/tools/sched_ext/include/bpf-compat -Isource/include \
                 -w -fms-extensions -O2 -mcpu=v3 -x c -";
    let mut clang = Command::new("clang-19");
    clang.current_dir(&examples).args(flags.split_whitespace()).arg("-c").arg("-o").arg(&out);
    // A function that nobody calls uses the types of the kptrs of k.h, which would else be declared only, and refused.
    let kptrs = "__attribute__((used)) static u64 types(struct n1 *n, struct bpf_cpumask *m)
                 { return n->z + m->usage.refs.counter; }";
    let kptrs = if name.starts_with("vm/") && !name.ends_with(".bpf.c") { kptrs } else { "" };
    let text = format!("#include \"{}\"\n{kptrs}\n", source.display());
    let mut clang = clang.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("clang-19 starts");
    let mut stdin = clang.stdin.take().expect("piped");
    stdin.write_all(text.as_bytes()).expect("clang reads");
    drop(stdin);
    let output = clang.wait_with_output().expect("clang ends");
    assert!(output.status.success(), "{name}:\n{}", String::from_utf8_lossy(&output.stderr));
    Some(out.to_str().expect("a path in UTF-8").to_owned())
}

/// Runs a case's object with these arguments; it is in charge to the end.
fn run_on(name: &str, args: &[&str]) -> Option<Run> {
    let object = object(name)?;
    let run = sextant(&[&["sim", object.as_str()], args, &["--json"]].concat()).expect(0);
    assert_eq!(run.json()["exit"]["kind"], "UNREG", "{name}: {}\n{}", run.json()["exit"], run.stderr);
    Some(run)
}

/// The lines that a run's programs printed.
fn printed(run: &Run) -> Vec<&str> {
    run.stderr.lines().filter_map(|line| line.split_once("bpf_printk: ").map(|(_, text)| text)).collect()
}

#[test]
fn a_cpumask_released_in_an_rcu_section_is_valid_until_its_end() {
    run_on("vm/cpumask_rcu_ops.c", &["mixed", "--duration", "200ms"]);
}

#[test]
fn strings_become_numbers() {
    run_on("vm/str_funcs.c", &["mixed", "--duration", "200ms"]);
}

#[test]
fn an_object_without_bytes_is_null() {
    run_on("vm/obj_new_empty.c", &["mixed", "--duration", "200ms"]);
}

#[test]
fn a_timer_is_not_cancelled_with_interrupts_off() {
    let Some(run) = run_on("vm/timer_cancel_irqs_off.bpf.c", &["mixed", "--duration", "100ms"]) else {
        return;
    };
    let lines = printed(&run);
    assert_eq!(lines[..3], ["cancel -95", "start without callback 0", "set 0 start 0"]);
    assert!(lines.contains(&"fired"), "{lines:?}");
}

#[test]
fn a_cancelled_timer_needs_a_new_callback() {
    let Some(run) = run_on("vm/timer_start_after_cancel.bpf.c", &["mixed", "--duration", "100ms"]) else {
        return;
    };
    let want =
        ["init 0", "start, no callback yet -22", "set 0", "start 0", "cancel 1", "start after cancel -22"];
    assert_eq!(printed(&run), want);
}

#[test]
fn a_cpu_knows_its_node() {
    let args = ["mixed", "--machine", "nodes=2,cores=4", "--duration", "100ms"];
    let Some(run) = run_on("class/numa_node_id.bpf.c", &args) else { return };
    assert_eq!(printed(&run), ["cpu 7 node 1 kfunc node 1"]);
}

/// A mask whose only CPU is offline is refused as by sched_setaffinity(2), and the run goes on.
#[test]
fn a_phase_on_an_offline_cpu_is_a_warning() {
    let Some(workload) = case("class/cpus_of_offline.json") else { return };
    let run = sextant(&["sim", "simple", workload.to_str().expect("UTF-8"), "--cpus", "4"]).expect(0);
    assert!(run.stderr.contains("task \"a\": affinity refused (errno 22)"), "{}", run.stderr);
}

/// A step of a walk over all tasks takes as long with many tasks as with few.
#[test]
fn a_task_iterator_is_linear() {
    let Some(object) = object("class/task_iterator.bpf.c") else { return };
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    // Nanoseconds of the host for each instruction of ops.dispatch, nearly all of which are steps.
    let per_insn = |tasks: u32| {
        let workload = dir.join(format!("sleepers-{tasks}.json"));
        let text = format!(
            "{{ \"tasks\": {{ \"s\": {{ \"instance\": {tasks}, \"sleep\": 1000000, \"run\": 10 }}, \
             \"h\": {{ \"run\": 1000 }} }}, \"global\": {{ \"duration\": 1 }} }}"
        );
        std::fs::write(&workload, text).expect("scratch");
        let start = std::time::Instant::now();
        let args = ["sim", &object, workload.to_str().expect("UTF-8"), "--cpus", "2", "--json"];
        let doc = sextant(&args).expect(0).json();
        let insns = doc["ops"]["dispatch"]["insns"].as_u64().expect("instructions");
        start.elapsed().as_nanos() as f64 / insns as f64
    };
    let (few, many) = (per_insn(300), per_insn(3000));
    assert!(many < 4.0 * few, "300 tasks {few:.1} ns, 3000 tasks {many:.1} ns");
}

//! The reader against small files; the public examples are in tests/rtapp_examples.rs.

use sextant_abi::{CpuId, Ns};
use sextant_sim::script::{CgroupSetting, Command, ScriptEvent};
use sextant_sim::workload::{Action, CgroupSpec, CondId, Policy, SemId, SpecId, TimerRef};

use super::*;

const PLAIN: Options = Options { nr_cpus: 4, skip_unsupported: false };
const SKIP: Options = Options { nr_cpus: 4, skip_unsupported: true };

fn ok(text: &str) -> Workload {
    read(text, "w", &PLAIN).unwrap_or_else(|e| panic!("{e}")).workload
}

fn err(text: &str) -> String {
    read(text, "w", &PLAIN).expect_err("the file was accepted").to_string()
}

#[test]
fn the_order_of_duplicate_keys_is_the_program() {
    let w = ok(
        r#"{"tasks": {"t": {"run": 1, "sleep": 2, "run": 3, "suspend", "resume": "x", "runtime1": 4, "yield": ""}}}"#,
    );
    let want = [
        Action::Run(Ns(1000)),
        Action::Sleep(Ns(2000)),
        Action::Run(Ns(3000)),
        Action::Suspend(CondId(0)),
        Action::Resume(CondId(1)),
        Action::RunTime(Ns(4000)),
        Action::Yield,
    ];
    assert_eq!(w.tasks[0].phases[0].actions, want);
    assert_eq!(w.conds, ["t", "x"]);
    assert_eq!((w.tasks[0].loops, w.duration), (None, None));
}

#[test]
fn task_properties() {
    let w = ok(r#"{
        "global": {"duration": 3, "default_policy": "SCHED_BATCH", "gnuplot": true},
        "tasks": {
            "a": {"instance": 3, "priority": -5, "cpus": [3, 1, 1], "delay": 7, "loop": 2, "run": 1},
            "b": {"policy": "SCHED_EXT", "nice": 19, "cpus": 2, "run": 1},
        }}"#);
    let (a, b) = (&w.tasks[0], &w.tasks[1]);
    assert_eq!(w.duration, Some(Ns::from_ms(3000)));
    assert_eq!(
        (a.instances, a.nice, a.delay, a.loops, a.policy),
        (3, -5, Ns::from_us(7), Some(2), Policy::Batch)
    );
    assert_eq!(a.cpus, Some(vec![CpuId(1), CpuId(3)]));
    assert_eq!((b.policy, b.nice, b.cpus.clone()), (Policy::Ext, 19, Some(vec![CpuId(2)])));
}

#[test]
fn a_phase_without_cpus_goes_back_to_the_tasks() {
    let w = ok(
        r#"{"tasks": {"t": {"phases": {"p": {"cpus": [1], "run": 1}, "q": {"run": 1, "loop": 5, "priority": 3}}}}}"#,
    );
    let [p, q] = &w.tasks[0].phases[..] else { panic!() };
    assert_eq!(p.cpus, Some(vec![CpuId(1)]));
    assert_eq!(q.cpus, Some((0..4).map(CpuId).collect()));
    assert_eq!((p.loops, q.loops, p.nice, q.nice), (Some(1), Some(5), None, Some(3)));
}

#[test]
fn timers_are_shared_by_name_or_unique_and_the_mode_is_the_timers() {
    let w = ok(r#"{"tasks": {
        "a": {"timer": {"ref": "tick", "period": 5}, "timer1": {"ref": "uniqueA", "period": 6}},
        "b": {"timer": {"ref": "tick", "period": 7, "mode": "absolute"}, "timer": {"ref": "uniqueA", "period": 8}}}}"#);
    let timers: Vec<_> = w.timers.iter().map(|t| (t.name.as_str(), t.unique)).collect();
    assert_eq!(timers, [("tick", false), ("uniqueA", true), ("uniqueA", true)]);
    let timer = |n, us, absolute| Action::Timer { timer: TimerRef(n), period: Ns::from_us(us), absolute };
    assert_eq!(w.tasks[0].phases[0].actions, [timer(0, 5, true), timer(1, 6, false)]);
    assert_eq!(w.tasks[1].phases[0].actions, [timer(0, 7, true), timer(2, 8, false)]);
}

#[test]
fn semaphores_are_the_files() {
    let w = ok(
        r#"{"tasks": {"a": {"run": 1, "sem_post": "x", "sem_wait": "y"}, "b": {"sem_wait1": "x", "sem_post1": "y"}}}"#,
    );
    assert_eq!(w.sems, ["x", "y"]);
    assert_eq!(w.tasks[0].phases[0].actions[1..], [Action::SemPost(SemId(0)), Action::SemWait(SemId(1))]);
    assert_eq!(w.tasks[1].phases[0].actions, [Action::SemWait(SemId(0)), Action::SemPost(SemId(1))]);
}

#[test]
fn fork_may_name_a_later_task() {
    let w = ok(r#"{"tasks": {"a": {"fork": "b", "sleep": 1}, "b": {"instance": 0, "loop": 1, "run": 1}}}"#);
    assert_eq!(w.tasks[0].phases[0].actions[0], Action::Fork(SpecId(1)));
    assert_eq!(w.tasks[1].instances, 0);
}

#[test]
fn bad_files_are_refused_by_place_and_name() {
    for (text, want) in [
        ("[]", "1:1: expected an object with \"tasks\", found an array"),
        ("{}", "1:1: the file has no \"tasks\" object, so there is nothing to run"),
        ("{\"tasks\": {}}", "1:2: \"tasks\" starts no task, so there is nothing to run"),
        ("{\"task\": {}}", "1:2: unknown key \"task\" in the file; did you mean \"tasks\"?"),
        (
            "{\"tasks\":\n {\"t\": {\"slepe\": 1}}}",
            "2:9: unknown key \"slepe\" in task \"t\"; did you mean \"sleep\"?",
        ),
        (
            "{\"tasks\": {\"t\": {\"runtme\": 1}}}",
            "1:18: unknown key \"runtme\" in task \"t\"; did you mean \"runtime\"?",
        ),
        (
            "{\"tasks\": {\"t\": {\"phases\": {\"p\": {\"run\": 1, \"lop\": 2}}}}}",
            "1:45: unknown key \"lop\" in phase \"p\" of task \"t\"; did you mean \"loop\"?",
        ),
        (
            "{\"tasks\": {\"t\": {\"phases\": {\"p\": {\"exec_time\": 2000}}}}}",
            "1:35: unknown key \"exec_time\" in phase \"p\" of task \"t\"; did you mean \"run\"?",
        ),
        (
            "{\"tasks\": {\"t\": {\"run\": 1, \"instances\": 2}}}",
            "1:28: unknown key \"instances\" in task \"t\"; did you mean \"instance\"?",
        ),
        ("{\"tasks\": {\"t\": {\"run\": \"1\"}}}", "1:25: \"run\" wants a whole number, found a string"),
        ("{\"tasks\": {\"t\": {\"run\"}}}", "1:18: \"run\" wants a whole number, found nothing"),
        ("{\"tasks\": {\"t\": {\"run\": -2}}}", "1:25: \"run\" is -2, but must be from 0 to 315360000000000"),
        (
            "{\"tasks\": {\"t\": {\"run\": 1, \"priority\": 20}}}",
            "1:40: \"priority\" is 20, but must be from -20 to 19",
        ),
        (
            "{\"tasks\": {\"t\": {\"run\": 1, \"cpus\": [4]}}}",
            "1:37: \"cpus\" names CPU 4, but the machine has 4 CPU(s) (--cpus)",
        ),
        (
            "{\"tasks\": {\"t\": {\"run\": 1, \"cpus\": []}}}",
            "1:36: \"cpus\" is empty: the task could run nowhere",
        ),
        (
            "{\"tasks\": {\"t\": {\"run\": 1, \"loop\": 1, \"loop\": 2}}}",
            "1:39: \"loop\" again; the first is at 1:28",
        ),
        (
            "{\"tasks\": {\"t\": {\"run\": 1, \"policy\": \"SCHED_EXTT\"}}}",
            "1:38: unknown policy \"SCHED_EXTT\"; did you mean \"SCHED_EXT\"?",
        ),
        (
            "{\"tasks\": {\"t\": {\"timer\": {\"ref\": \"a\"}}}}",
            "1:27: a timer wants a \"period\" in microseconds",
        ),
        (
            "{\"tasks\": {\"t\": {\"resume\": \"x\"}}}",
            "1:12: task \"t\" loops forever without run, sleep, timer, suspend or sem_wait",
        ),
        (
            "{\"tasks\": {\"tick\": {\"run\": 1, \"fork\": \"tock\"}}}",
            "1:39: \"fork\" names the task \"tock\", which the file does not have; did you mean \"tick\"?",
        ),
        (
            "{\"tasks\": {\"t\": {\"run\": 1, \"instance\": 65537}}}",
            "1:40: \"instance\" is 65537, but must be from 0 to 65536",
        ),
        ("{\"tasks\": {\"a\\u0000b\": {\"run\": 1}}}", "1:12: a task's name must be printable and not empty"),
    ] {
        assert_eq!(err(text), want, "{text}");
    }
}

/// rt-app takes -1 for the largest number there is: the task never comes to its next action.
#[test]
fn minus_one_is_forever() {
    let w = ok(r#"{"tasks": {"t": {"run": -1, "runtime": -1, "sleep": -1}}}"#);
    let forever = Ns::from_ms(10 * 365 * 86_400_000);
    let want = [Action::Run(forever), Action::RunTime(forever), Action::Sleep(forever)];
    assert_eq!(w.tasks[0].phases[0].actions, want);
    assert_eq!(crate::demand::alone_ns(&w.tasks[0], 5_000_000_000), Some(5_000_000_000));
}

#[test]
fn unknown_keys_of_global_are_ignored_aloud() {
    let text = r#"{"tasks": {"t": {"run": 1}}, "global": {"logsize": 4, "durration": 3, "gnuplot": false}}"#;
    let read = read(text, "w", &PLAIN).unwrap();
    let told: Vec<String> = read.unknown.iter().map(Unknown::to_string).collect();
    assert_eq!(
        told,
        [
            "1:41: unknown key \"logsize\" in global is ignored; did you mean \"log_size\"?",
            "1:55: unknown key \"durration\" in global is ignored; did you mean \"duration\"?"
        ]
    );
    assert_eq!(read.workload.duration, None);
}

#[test]
fn unknown_keys_are_left_out_where_everything_unsupported_is() {
    let text = r#"{"comment": 1, "tasks": {"t": {"slepe": 1, "run": 1, "timer": {"period": 5, "x": 1}}}}"#;
    let read = read(text, "w", &SKIP).unwrap();
    let told: Vec<&str> = read.skipped.iter().map(|u| u.what.as_str()).collect();
    assert_eq!(told, ["unknown key \"comment\"", "unknown key \"slepe\"", "unknown key \"x\""]);
    assert_eq!(read.workload.tasks[0].phases[0].actions.len(), 2);
}

#[test]
fn unsupported_actions_are_all_listed_or_all_skipped() {
    let text = "{\"tasks\": {\"t\": {\n\"lock\": \"m\",\n\"run\": 5,\n\"mem\": 10,\n\"policy\": \"SCHED_DEADLINE\", \"priority\": 50}}}";
    let e = err(text);
    let lines: Vec<&str> = e.lines().collect();
    assert_eq!(lines.len(), 4, "{e}");
    assert_eq!(lines[0], "not supported:");
    assert!(lines[1].starts_with("  2:1: action \"lock\" in task \"t\": "), "{e}");
    assert!(lines[2].starts_with("  4:1: action \"mem\" in task \"t\": "), "{e}");
    assert!(lines[3].starts_with("  5:1: SCHED_DEADLINE in task \"t\": "), "{e}");

    let read = read(text, "w", &SKIP).unwrap();
    assert_eq!(read.skipped.len(), 3);
    let t = &read.workload.tasks[0];
    assert_eq!(t.phases[0].actions, [Action::Run(Ns(5000))]);
    assert_eq!((t.policy, t.nice), (Policy::Normal, 0));
}

#[test]
fn real_time_policies_have_priorities() {
    let text = r#"{"tasks": {
        "f": {"policy": "SCHED_FIFO", "priority": 50, "run": 5, "sleep": 5},
        "d": {"policy": "SCHED_RR", "run": 5, "sleep": 5},
        "p": {"priority": 3, "phases": {
            "rt": {"policy": "SCHED_FIFO", "run": 5},
            "higher": {"policy": "SCHED_FIFO", "priority": 60, "run": 5},
            "back": {"run": 5}}}}}"#;
    let tasks = read(text, "w", &PLAIN).unwrap().workload.tasks;
    assert_eq!((tasks[0].policy, tasks[0].rt_priority, tasks[0].nice), (Policy::Fifo, 50, 0));
    assert_eq!((tasks[1].policy, tasks[1].rt_priority), (Policy::Rr, 10), "rt-app's default");
    let policies: Vec<_> = tasks[2].phases.iter().map(|p| p.policy).collect();
    assert_eq!(policies, [Some((Policy::Fifo, 10)), Some((Policy::Fifo, 60)), Some((Policy::Normal, 3))]);
    assert_eq!(
        err(r#"{"tasks": {"t": {"policy": "SCHED_RR", "priority": 0, "run": 1}}}"#),
        "1:52: \"priority\" is 0, but must be from 1 to 99"
    );
}

#[test]
fn cgroups_and_events_are_read() {
    let w = ok(r#"{"tasks": {"hog": {"instance": 2, "taskgroup": "/a/b/", "run": 5},
        "p": {"phases": {"in": {"taskgroup": "/a", "run": 1}, "out": {"run": 1}}}},
        "cgroups": {"/a": {"weight": 200, "max": "50000 200000", "burst": 10}, "/i": {"idle": 1}},
        "events": ["at 1s cgroup create /d weight 300 max max", "1.5s move hog-1 /d", "2ms nice hog -3",
                   "at 3us affinity hog 0-1,3", "at 4ns policy p SCHED_FIFO", "5s cpu 3 offline", "6s cpu 3 online", "9s cgroup remove /d"]}"#);
    assert_eq!(w.tasks[0].cgroup.as_deref(), Some("/a/b"));
    let groups: Vec<_> = w.tasks[1].phases.iter().map(|p| p.cgroup.as_deref()).collect();
    assert_eq!(groups, [Some("/a"), Some("/")]);
    let max = |quota_us, period_us, burst_us| CgroupSetting::Max { quota_us, period_us, burst_us };
    let spec = |path: &str, settings| CgroupSpec { path: path.into(), settings };
    assert_eq!(
        w.cgroups,
        [
            spec("/a", vec![CgroupSetting::Weight(200), max(Some(50_000), 200_000, 10)]),
            spec("/i", vec![CgroupSetting::Idle(true)])
        ]
    );
    let event = |at, command| ScriptEvent { at: Ns(at), command };
    let hog = || "hog".to_string();
    assert_eq!(
        w.events,
        [
            event(
                1_000_000_000,
                Command::CgroupCreate(spec("/d", vec![CgroupSetting::Weight(300), max(None, 100_000, 0)]))
            ),
            event(1_500_000_000, Command::Move { task: "hog-1".into(), cgroup: "/d".into() }),
            event(2_000_000, Command::Nice { task: hog(), nice: -3 }),
            event(3_000, Command::Affinity { task: hog(), cpus: [0, 1, 3].map(CpuId).to_vec() }),
            event(4, Command::Policy { task: "p".into(), policy: Policy::Fifo, value: Some(10) }),
            event(5_000_000_000, Command::Cpu { cpu: CpuId(3), online: false }),
            event(6_000_000_000, Command::Cpu { cpu: CpuId(3), online: true }),
            event(9_000_000_000, Command::CgroupRemove("/d".into())),
        ]
    );
}

#[test]
fn bad_cgroups_and_events_are_refused() {
    let event = |e: &str| err(&format!("{{\"tasks\": {{\"t\": {{\"run\": 1}}}}, \"events\": [\"{e}\"]}}"));
    for (e, want) in [
        ("", "an empty event"),
        ("soon nice t 1", "\"soon\" is no time: a number with s, ms, us or ns, as in 1.5s"),
        ("1h nice t 1", "\"1h\" is no time: a number with s, ms, us or ns, as in 1.5s"),
        ("1s nice t 20", "\"20\" must be a number from -20 to 19"),
        ("1s cpu 4 offline", "\"4\" must be a number from 0 to 3"),
        ("1s affinity t 0-9", "\"9\" must be a number from 0 to 3"),
        ("1s affinity t 3-1", "\"3-1\" names no CPU"),
        ("1s policy t SCHED_FIFOO", "unknown policy \"SCHED_FIFOO\"; did you mean \"SCHED_FIFO\"?"),
        ("1s policy t SCHED_RR 0", "\"0\" must be a number from 1 to 99"),
        ("1s cgroup create a", "\"a\" is no path of a cgroup: it must start with \"/\""),
        (
            "1s cgroup create /a wait 1",
            "\"wait\": expected weight N, idle 0|1, max QUOTA|max [PERIOD], burst N (times in us)",
        ),
        ("1s cgroup create /a weight 0", "\"0\" must be a number from 1 to 10000"),
        ("1s cgroup create /a burst 5", "burst needs a max"),
    ] {
        assert_eq!(event(e), format!("1:41: event \"{e}\": {want}"));
    }
    assert!(event("1s fly t").starts_with("1:41: event \"1s fly t\": expected a time and one of: cpu N"));
    assert_eq!(event("1s nice u 1"), "1:30: \"events\" names the task \"u\", which the file does not have");
    assert_eq!(
        err(r#"{"tasks": {"t": {"taskgroup": "a", "run": 1}}}"#),
        "1:31: \"a\" is no path of a cgroup: it must start with \"/\""
    );
}

#[test]
fn a_task_of_which_nothing_is_left_exits() {
    let read = read("{\"tasks\": {\"t\": {\"lock\": \"m\"}}}", "w", &SKIP).unwrap();
    assert_eq!(read.workload.tasks[0].loops, Some(1));
    assert!(read.workload.tasks[0].phases[0].actions.is_empty());
}

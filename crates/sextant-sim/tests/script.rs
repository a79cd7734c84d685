//! Cgroups and events of a workload, carried out by the machine.

mod support;

use std::rc::Rc;

use sextant_abi::{CpuId, Ns};
use sextant_sched::native::Fifo;
use sextant_sched::ops::{Op, OpsParams};
use sextant_sched::{CgroupId, Class, Ops, Sched, TaskId};
use sextant_sim::script::{CgroupSetting, Command, ScriptEvent};
use sextant_sim::workload::{Action, CgroupSpec, Phase, Policy, TaskSpec};
use sextant_sim::{NoSink, Outcome, SimError, Simulation, Workload};
use support::*;

fn events(list: Vec<(u64, Command)>) -> Vec<ScriptEvent> {
    list.into_iter().map(|(ms, command)| ScriptEvent { at: Ns::from_ms(ms), command }).collect()
}

fn simulate(w: &Workload, nr_cpus: u32) -> (Simulation, Outcome) {
    let mut sim = Simulation::new(config(nr_cpus, 1), w, mem()).unwrap();
    sim.attach(Rc::new(Fifo), &mut NoSink).unwrap();
    let out = sim.run(&mut NoSink).unwrap();
    (sim, out)
}

fn spec(path: &str, settings: Vec<CgroupSetting>) -> CgroupSpec {
    CgroupSpec { path: path.into(), settings }
}

#[test]
fn cgroups_are_made_and_tasks_live_in_them() {
    let mut w = workload(vec![TaskSpec { cgroup: Some("/x/y".into()), ..hog("in") }, hog("out")], 100);
    w.cgroups =
        vec![spec("/a", vec![CgroupSetting::Weight(200)]), spec("/a/b", vec![CgroupSetting::Idle(true)])];
    let mut phase = w.tasks[1].phases[0].clone();
    phase.cgroup = Some("/a/b".into());
    w.tasks[1].phases = vec![phase];
    w.events = events(vec![
        (10, Command::CgroupCreate(spec("/late", vec![CgroupSetting::Weight(50)]))),
        (20, Command::Move { task: "in".into(), cgroup: "/late".into() }),
        (30, Command::CgroupSet(spec("/late", vec![CgroupSetting::Weight(60)]))),
        (40, Command::CgroupRemove("/x/y".into())),
        (40, Command::CgroupRemove("/x".into())),
    ]);
    let (sim, out) = simulate(&w, 1);
    assert_eq!(out.failed_events, []);
    let s = &sim.sched;
    let place = |i: usize| s.cgroups[s.tasks[out.tasks[i].id].cgroup].path.clone();
    assert_eq!((place(0), place(1)), ("/late".into(), "/a/b".into()));
    let a = s.cgroup_lookup("/a").unwrap();
    let late = s.cgroup_lookup("/late").unwrap();
    assert_eq!((s.cgroups[a].knobs.weight, s.cgroups[late].knobs.weight), (200, 60));
    assert!(s.cgroup_lookup("/x").is_err());
    assert_eq!(s.cgroups[CgroupId::ROOT].nr_tasks as usize, s.tasks.len() - 2);
}

#[test]
fn a_cgroup_that_cannot_be_made_is_refused() {
    let mut w = workload(vec![hog("h")], 10);
    w.cgroups = vec![spec("/", vec![CgroupSetting::Weight(200)])];
    let err = Simulation::new(config(1, 1), &w, mem()).err().unwrap();
    assert!(matches!(err, SimError::Cgroup { .. }));
    assert_eq!(err.to_string(), "cgroup /: the root cgroup has no cpu.weight");
}

#[test]
fn what_fails_is_reported_and_the_run_goes_on() {
    let mut w = workload(vec![hog("h")], 100);
    w.events = events(vec![
        (30, Command::Nice { task: "nobody".into(), nice: 1 }),
        (10, Command::CgroupRemove("/no".into())),
        (20, Command::Move { task: "h".into(), cgroup: "/no".into() }),
        (40, Command::Nice { task: "h".into(), nice: 7 }),
    ]);
    let (_, out) = simulate(&w, 1);
    let failed: Vec<(u64, &str)> =
        out.failed_events.iter().map(|(t, e)| (t.0 / 1_000_000, e.as_str())).collect();
    assert_eq!(
        failed,
        [(10, "there is no cgroup /no"), (20, "there is no cgroup /no"), (30, "no task \"nobody\" is alive")]
    );
    assert_eq!(out.tasks[0].nice, 7);
}

#[test]
fn tasks_change_in_mid_run() {
    let mut w = workload(vec![TaskSpec { instances: 2, ..hog("h") }, hog("other")], 1000);
    w.events = events(vec![
        (100, Command::Affinity { task: "h-1".into(), cpus: vec![CpuId(1)] }),
        (100, Command::Affinity { task: "other".into(), cpus: vec![CpuId(0)] }),
        (100, Command::Affinity { task: "h-0".into(), cpus: vec![CpuId(0)] }),
        (500, Command::Policy { task: "h".into(), policy: Policy::Fifo, value: Some(3) }),
    ]);
    let (sim, out) = simulate(&w, 2);
    assert_eq!(out.failed_events, []);
    let [h0, h1, other] = [0, 1, 2].map(|i| &out.tasks[i]);
    assert!(h1.run_ns > 950_000_000 && h0.run_ns > 700_000_000, "{} {}", h0.run_ns, h1.run_ns);
    assert!(other.run_ns < 300_000_000, "{}", other.run_ns);
    assert_eq!(sim.sched.tasks[h0.id].class, Class::Rt);
}

#[test]
fn cpus_go_and_come_under_load() {
    let mut w = mixed();
    w.tasks.push(TaskSpec { cpus: Some(vec![CpuId(2)]), ..hog("bound") });
    let toggle = |ms, cpu, online| (ms, Command::Cpu { cpu: CpuId(cpu), online });
    w.events = events(vec![
        toggle(50, 1, false),
        toggle(100, 2, false),
        toggle(150, 1, true),
        toggle(150, 3, false),
        toggle(160, 3, false),
        toggle(200, 0, false),
        toggle(250, 2, true),
        toggle(300, 3, true),
    ]);
    for seed in 1..6 {
        for with_scheduler in [false, true] {
            let mut sim = Simulation::new(config(4, seed), &w, mem()).unwrap();
            let mut places = Places::default();
            if with_scheduler {
                sim.attach(Rc::new(Hotpluggable), &mut places).unwrap();
            }
            let out = sim.run(&mut places).unwrap();
            let failed: Vec<&str> = out.failed_events.iter().map(|(_, e)| e.as_str()).collect();
            assert_eq!(failed, ["CPU 3 is offline already", "CPU 0 cannot be taken offline on x86"]);
            assert!(out.tasks.iter().all(|t| t.run_ns > 0), "{:?}", out.tasks);
            // Nobody runs where nothing runs, once the CPU is vacated.
            for (cpu, from, to) in [(1, 51, 150), (2, 101, 250), (3, 151, 300)] {
                assert_eq!(places.switched_in(cpu, Ns::from_ms(from), Ns::from_ms(to)), 0, "CPU {cpu}");
            }
            assert!(places.switched_in(2, Ns::from_ms(250), Ns::MAX) > 0);
            if with_scheduler {
                assert_eq!(sim.sched.ext.exit_info().unwrap().kind.value(), 64, "UNREG");
            }
        }
    }
}

#[test]
fn a_scheduler_without_callbacks_ends_and_the_load_goes_on() {
    let mut w = mixed();
    w.events = events(vec![(100, Command::Cpu { cpu: CpuId(1), online: false })]);
    let (sim, out) = simulate(&w, 2);
    let info = sim.sched.ext.exit_info().unwrap();
    assert_eq!(info.msg, "cpu 1 going offline, exiting scheduler");
    assert_eq!(info.code, 1 << 48 | 1 << 32);
    assert!(out.tasks.iter().all(|t| t.run_ns > 0));
}

/// FIFO that takes part in hotplug.
struct Hotpluggable;

impl Ops for Hotpluggable {
    fn params(&self) -> OpsParams {
        Fifo.params()
    }
    fn has(&self, op: Op) -> bool {
        matches!(op, Op::CpuOnline | Op::CpuOffline) || Fifo.has(op)
    }
    fn select_cpu(&self, s: &mut Sched, p: TaskId, prev: CpuId, flags: u64) -> i32 {
        Fifo.select_cpu(s, p, prev, flags)
    }
    fn enqueue(&self, s: &mut Sched, p: TaskId, flags: u64) {
        Fifo.enqueue(s, p, flags);
    }
    fn dispatch(&self, s: &mut Sched, cpu: CpuId, prev: Option<TaskId>) {
        Fifo.dispatch(s, cpu, prev);
    }
    fn init(&self, s: &mut Sched) -> i32 {
        Fifo.init(s)
    }
}

#[test]
fn a_pinned_task_stays() {
    let migrations = |pin: bool| {
        let work = vec![Action::Run(Ns::from_ms(3)), Action::Sleep(Ns::from_us(300))];
        let mut task = forever("task", work);
        if pin {
            let actions = vec![Action::MigrateDisable];
            task.phases.insert(0, Phase { actions, ..Phase::default() });
            task.phases[1].loops = None;
        }
        let w = workload(vec![task, TaskSpec { instances: 5, ..hog("hog") }], 2000);
        let (sim, out) = simulate(&w, 3);
        assert_eq!(sim.sched.ext.exit_info().unwrap().kind.value(), 64, "UNREG");
        assert!(out.tasks[0].run_ns > 100_000_000);
        out.tasks[0].migrations
    };
    let pinned = migrations(true);
    assert!(pinned <= 1, "{pinned} of them before it first ran");
    assert!(migrations(false) > 3);
}

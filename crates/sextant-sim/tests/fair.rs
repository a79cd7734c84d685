//! The machine under the fair class.

mod support;

use sextant_abi::Ns;
use sextant_sim::workload::{Action, Phase, TaskSpec};
use sextant_sim::{Ended, Simulation, Workload};
use support::*;

fn nices(nices: &[i32]) -> Workload {
    let tasks = nices.iter().map(|&nice| TaskSpec { nice, ..hog(&format!("nice{nice}")) }).collect();
    workload(tasks, 4000)
}

/// Each task's share of a CPU when `cpus` CPUs are shared by weight, at most one CPU per task.
fn water_filling(weights: &[f64], cpus: f64) -> Vec<f64> {
    let mut share = vec![0.0; weights.len()];
    let (mut left, mut open) = (cpus, (0..weights.len()).collect::<Vec<_>>());
    loop {
        let sum: f64 = open.iter().map(|&i| weights[i]).sum();
        let (full, rest): (Vec<_>, Vec<_>) = open.iter().partition(|&&i| left * weights[i] / sum >= 1.0);
        if full.is_empty() {
            rest.iter().for_each(|&i: &usize| share[i] = left * weights[i] / sum);
            return share;
        }
        full.iter().for_each(|&i: &usize| share[i] = 1.0);
        left -= full.len() as f64;
        open = rest;
        if open.is_empty() || left <= 0.0 {
            return share;
        }
    }
}

fn check_shares(w: &Workload, cpus: u32, points: f64) {
    let out = run(w, config(cpus, 1));
    let weights: Vec<f64> = out.tasks.iter().map(|t| f64::from(t.weight)).collect();
    for (t, ideal) in out.tasks.iter().zip(water_filling(&weights, f64::from(cpus))) {
        let got = t.run_ns as f64 / out.now.0 as f64;
        assert!((got - ideal).abs() < points / 100.0, "{}: {got:.4}, not {ideal:.4}", t.name);
    }
}

#[test]
fn shares_follow_weights() {
    check_shares(&nices(&[0, 1, 5, 10]), 2, 2.0);
    check_shares(&nices(&[0, 5]), 1, 2.0);
}

#[test]
fn a_heavy_task_gets_a_cpu_and_no_more() {
    check_shares(&nices(&[-20, 0, 0, 0]), 2, 2.0);
}

#[test]
fn equal_hogs_rotate() {
    check_shares(&nices(&[0, 0, 0]), 2, 2.0);
    check_shares(&nices(&[0; 11]), 4, 2.0);
    check_shares(&nices(&[0; 16]), 8, 2.0);
}

#[test]
fn same_seed_same_events() {
    let w = mixed();
    let (a, b, c) = (trace(&w, config(4, 7)), trace(&w, config(4, 7)), trace(&w, config(4, 8)));
    assert!(a.len() > 10_000, "{} events", a.len());
    assert_eq!(a, b);
    assert_ne!(a, c);
}

#[test]
fn ideal_runs_do_not_depend_on_the_seed() {
    let w = mixed();
    let ideal = |seed| trace(&w, sextant_sim::SimConfig { ideal: true, ..config(4, seed) });
    assert_eq!(ideal(1), ideal(2));
}

#[test]
fn sleepers_wake_on_time() {
    let sleeper = forever("sleeper", vec![Action::Sleep(Ns::from_ms(2)), Action::Run(Ns::from_us(200))]);
    let mut ideal = config(2, 1);
    ideal.ideal = true;
    let out = run(&workload(vec![sleeper], 1100), ideal);
    let t = &out.tasks[0];
    assert_eq!(t.wakeups, 500);
    assert_eq!(t.latency.expect("it was woken").max, 0);
    assert_eq!(t.run_ns, 100_000_000, "500 times 200 us");
}

#[test]
fn sleepers_beat_hogs() {
    let sleeper = forever("sleeper", vec![Action::Sleep(Ns::from_ms(20)), Action::Run(Ns::from_us(200))]);
    let out = run(&workload(vec![hog("a"), hog("b"), sleeper], 2000), config(1, 1));
    let latency = out.tasks[2].latency.expect("it was woken");
    assert!(latency.p50 < 100_000, "median wakeup latency {} ns", latency.p50);
}

#[test]
fn timers_keep_their_grid() {
    let spec = |absolute| {
        let timer =
            Action::Timer { timer: sextant_sim::workload::TimerRef(0), period: Ns::from_ms(10), absolute };
        // The first round takes 35 ms, the others nothing to speak of.
        TaskSpec {
            phases: vec![
                Phase { actions: vec![Action::Run(Ns::from_ms(35)), timer], ..Phase::default() },
                Phase { loops: None, actions: vec![timer], ..Phase::default() },
            ],
            ..TaskSpec::default()
        }
    };
    for (absolute, wakeups) in [(true, 9), (false, 9)] {
        let mut w = workload(vec![spec(absolute)], 0);
        w.duration = Some(Ns(if absolute { 121_000_000 } else { 126_000_000 }));
        w.timers.push(sextant_sim::workload::TimerSpec { name: "t".into(), unique: true });
        let mut ideal = config(1, 1);
        ideal.ideal = true;
        let out = run(&w, ideal);
        // absolute: instants 10, 20, 30 have passed at 35, then 40, 50, … 120; relative: 45, 55, … 125.
        assert_eq!(out.tasks[0].wakeups, wakeups, "absolute: {absolute}");
    }
}

#[test]
fn ping_pong() {
    let out = run(&ping_pong_pair(Some(1000)), config(2, 1));
    assert_eq!(out.ended, Ended::AllExited);
    assert!(out.tasks.iter().all(|t| t.exited), "{:?}", out.tasks);
    let wakeups: u64 = out.tasks.iter().map(|t| t.wakeups).sum();
    assert!((1000..=2000).contains(&wakeups), "{wakeups} wakeups in 1000 rounds");
}

#[test]
fn every_resume_wakes_who_waits() {
    let out = run(&suspend_resume(300), config(2, 1));
    assert_eq!(
        (out.ended, out.tasks.iter().map(|t| t.wakeups).collect::<Vec<_>>()),
        (Ended::AllExited, vec![300, 301])
    );
}

#[test]
fn all_suspended_is_an_end() {
    let mut w = suspend_resume(3);
    w.tasks.truncate(1);
    assert_eq!(run(&w, config(1, 1)).ended, Ended::AllSuspended);
}

#[test]
fn a_duration_is_kept_when_nothing_happens_any_more() {
    let mut w = suspend_resume(3);
    w.tasks.truncate(1);
    w.duration = Some(Ns::from_ms(700));
    let out = run(&w, config(2, 1));
    assert_eq!((out.ended, out.now), (Ended::Duration, Ns::from_ms(700)));
    assert_eq!(run(&workload(vec![], 700), config(2, 1)).ended, Ended::AllExited);
}

#[test]
fn a_run_is_cpu_time_and_a_runtime_is_not() {
    let once = |name: &str, action| TaskSpec { loops: Some(1), ..forever(name, vec![action]) };
    let w = workload(
        vec![once("run", Action::Run(Ns::from_ms(100))), once("runtime", Action::RunTime(Ns::from_ms(100)))],
        0,
    );
    let w = Workload { duration: None, ..w };
    let mut ideal = config(1, 1);
    ideal.ideal = true;
    let out = run(&w, ideal);
    assert_eq!(out.ended, Ended::AllExited);
    assert_eq!(out.tasks[0].run_ns, 100_000_000);
    let busy = out.tasks[1].run_ns;
    assert!((40_000_000..=60_000_000).contains(&busy), "runtime 100 ms beside a hog used {busy}");
    assert_eq!(out.now, Ns(100_000_000 + busy));
}

#[test]
fn affinity_holds_and_changes() {
    let phase = |cpu| Phase {
        cpus: Some(vec![sextant_abi::CpuId(cpu)]),
        actions: vec![Action::Run(Ns::from_ms(30))],
        ..Phase::default()
    };
    let mover = TaskSpec { name: "mover".into(), phases: vec![phase(0), phase(2)], ..TaskSpec::default() };
    let mut where_ = Places::default();
    let mut sim =
        Simulation::new(config(4, 1), &workload(vec![mover, hog("a"), hog("b")], 600), mem()).unwrap();
    let out = sim.run(&mut where_).unwrap();
    let mover = out.tasks.iter().find(|t| t.name == "mover").unwrap();
    assert_eq!(where_.cpus_of(mover.id, 100_000_000), [0, 2]);
    assert!(mover.migrations >= 15, "{} migrations in 600 ms of 30 ms phases", mover.migrations);
    assert!(out.system_tasks.iter().any(|t| t.name == "migration/0" && t.wakeups > 0));
}

#[test]
fn forks_and_exits_return_their_memory() {
    let child =
        TaskSpec { instances: 0, loops: Some(1), ..forever("child", vec![Action::Run(Ns::from_us(50))]) };
    let parent = TaskSpec {
        loops: Some(500),
        ..forever(
            "parent",
            vec![Action::Fork(sextant_sim::workload::SpecId(1)), Action::Sleep(Ns::from_ms(1))],
        )
    };
    let mut sim = Simulation::new(
        config(2, 3),
        &Workload { duration: None, ..workload(vec![parent, child], 0) },
        mem(),
    )
    .unwrap();
    let out = sim.run(&mut sextant_sim::NoSink).unwrap();
    assert_eq!((out.ended, out.tasks.len()), (Ended::AllExited, 501));
    assert!(out.tasks.iter().all(|t| t.exited));
    let mut addrs: Vec<u64> = sim.sched.tasks.iter().map(|t| t.ts.addr()).collect();
    addrs.sort_unstable();
    addrs.dedup();
    assert!(addrs.len() < 20, "{} slots for 500 short lives", addrs.len());
}

#[test]
fn time_adds_up() {
    let mut sim = Simulation::new(config(4, 5), &mixed(), mem()).unwrap();
    let out = sim.run(&mut sextant_sim::NoSink).unwrap();
    let run: u64 = out.tasks.iter().chain(&out.system_tasks).map(|t| t.run_ns).sum();
    assert_eq!(run, out.cpus.iter().map(|c| c.busy_ns).sum::<u64>());
    for rq in &sim.sched.rqs {
        assert_eq!(
            rq.exec_ns + rq.idle_ns,
            rq.clock.since(sim.sched.cfg.uptime).0,
            "busy + idle = wall on {}",
            rq.cpu
        );
    }
}

#[test]
fn bad_workloads_are_refused() {
    let refused =
        |w: &Workload, cpus| Simulation::new(config(cpus, 1), w, mem()).err().map(|e| e.to_string());
    assert_eq!(refused(&mixed(), 0).as_deref(), Some("0 CPUs: a machine has 1 to 8192"));
    let pinned = TaskSpec { cpus: Some(vec![sextant_abi::CpuId(9)]), ..hog("pinned") };
    assert!(refused(&workload(vec![pinned], 1), 4).is_some_and(|m| m.contains("pinned")));
    let busy = forever("busy", vec![Action::Yield]);
    assert!(refused(&workload(vec![busy], 1), 4).is_some_and(|m| m.contains("without using time")));
}

#[test]
fn a_livelock_at_one_instant_is_reported() {
    let mut w = ping_pong_pair(None);
    w.tasks.iter_mut().for_each(|t| t.phases[0].actions.retain(|a| !matches!(a, Action::Run(_))));
    let mut ideal = config(1, 1);
    ideal.ideal = true;
    let err = Simulation::new(ideal, &w, mem()).unwrap().run(&mut sextant_sim::NoSink).unwrap_err();
    assert!(err.to_string().contains("since --ideal leaves all costs out"), "{err}");
}

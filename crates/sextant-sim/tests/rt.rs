//! Real-time tasks in the machine: who gets the CPU, and what sched_ext is told about it.

mod support;

use std::rc::Rc;

use sextant_abi::{CpuId, Ns};
use sextant_sched::Event;
use sextant_sched::native::Fifo;
use sextant_sim::workload::{Action, Policy, TaskSpec};
use sextant_sim::{NoSink, Outcome, Simulation, Workload};
use support::*;

fn rt(name: &str, policy: Policy, rt_priority: u32, run_us: u64, sleep_us: u64) -> TaskSpec {
    let actions = vec![Action::Run(Ns::from_us(run_us)), Action::Sleep(Ns::from_us(sleep_us))];
    TaskSpec { policy, rt_priority, ..forever(name, actions) }
}

fn rt_hog(name: &str, policy: Policy, rt_priority: u32) -> TaskSpec {
    TaskSpec { policy, rt_priority, ..hog(name) }
}

fn share(out: &Outcome, name: &str) -> f64 {
    let run: u64 = out.tasks.iter().filter(|t| t.name.starts_with(name)).map(|t| t.run_ns).sum();
    run as f64 / out.now.0 as f64
}

/// Under the fair class and under sched_ext alike.
fn both(w: &Workload, nr_cpus: u32) -> [Outcome; 2] {
    let fair = run(w, config(nr_cpus, 1));
    let mut sim = Simulation::new(config(nr_cpus, 1), w, mem()).unwrap();
    sim.attach(Rc::new(Fifo), &mut NoSink).unwrap();
    [fair, sim.run(&mut NoSink).unwrap()]
}

#[test]
fn a_fifo_task_gets_what_it_wants() {
    let w = workload(vec![rt("rt", Policy::Fifo, 10, 500, 500), hog("hog")], 1000);
    for out in both(&w, 1) {
        assert!((share(&out, "rt") - 0.5).abs() < 0.02, "{}", share(&out, "rt"));
        assert!((share(&out, "hog") - 0.5).abs() < 0.04, "{}", share(&out, "hog"));
        let rt = &out.tasks[0];
        let worst = rt.latency.as_ref().unwrap().max;
        assert!(worst < 50_000, "woke up {worst} ns late");
    }
}

#[test]
fn the_higher_priority_comes_first_and_equals_take_turns_only_under_rr() {
    let hogs = |policy| {
        let mut w = workload(vec![rt_hog("a", policy, 10), rt_hog("b", policy, 10)], 2000);
        w.tasks[1].delay = Ns::from_ms(10);
        run(&w, config(1, 1))
    };
    let fifo = hogs(Policy::Fifo);
    assert!(share(&fifo, "a") > 0.97 && share(&fifo, "b") < 0.01, "{fifo:?}");
    let rr = hogs(Policy::Rr);
    assert!((share(&rr, "a") - 0.5).abs() < 0.06 && (share(&rr, "b") - 0.5).abs() < 0.06, "{rr:?}");
    let mut w = workload(vec![rt_hog("low", Policy::Fifo, 10), rt("high", Policy::Fifo, 11, 400, 600)], 1000);
    w.tasks[1].delay = Ns::from_ms(10);
    let out = run(&w, config(1, 1));
    assert!((share(&out, "high") - 0.4).abs() < 0.02, "{}", share(&out, "high"));
}

#[test]
fn waiting_tasks_are_pushed_and_pulled() {
    // Three hogs of different priority on three CPUs, all born on one: each gets a CPU of its own.
    let tasks = [1, 2, 3].map(|prio| rt_hog(&format!("p{prio}"), Policy::Fifo, prio)).to_vec();
    let out = run(&workload(tasks, 1000), config(3, 1));
    for t in &out.tasks {
        assert!(t.run_ns > 980_000_000, "{}: {}", t.name, t.run_ns);
    }
    // Two CPUs: one CPU's task blocks now and then, and the third takes its place each time.
    let mut tasks = vec![rt("top", Policy::Fifo, 9, 5000, 5000), rt_hog("mid", Policy::Fifo, 8)];
    tasks.push(rt_hog("low", Policy::Fifo, 7));
    let out = run(&workload(tasks, 1000), config(2, 1));
    assert!((share(&out, "low") - 0.5).abs() < 0.03 && share(&out, "mid") > 0.98, "{out:?}");
}

#[test]
fn policies_change_between_phases() {
    let mut w = workload(vec![hog("x"), hog("y")], 1000);
    let mut phases = Vec::new();
    for policy in [(Policy::Fifo, 5), (Policy::Normal, 0)] {
        let mut p = w.tasks[0].phases[0].clone();
        p.policy = Some(policy);
        phases.push(p);
    }
    w.tasks[0].phases = phases;
    for out in both(&w, 1) {
        // All of every first 100 ms, half of what it needs 200 ms for.
        assert!((share(&out, "x") - 2.0 / 3.0).abs() < 0.05, "{}", share(&out, "x"));
    }
}

#[test]
fn an_ext_task_that_lost_its_cpu_goes_on_where_it_was() {
    let w = workload(vec![hog("hog"), rt("rt", Policy::Fifo, 10, 100, 1900)], 200);
    let mut sim = Simulation::new(config(1, 1), &w, mem()).unwrap();
    let mut events = Events::default();
    sim.attach(Rc::new(Fifo), &mut events).unwrap();
    let out = sim.run(&mut events).unwrap();
    let preempted = out.tasks[1].wakeups;
    assert!(preempted > 90);
    // The slice of 20 ms is seen through: one dispatch for ten preemptions, no more.
    let dispatches =
        events.0.iter().filter(|(_, e)| matches!(e, Event::OpCall { op, .. } if op.name() == "dispatch"));
    assert!(dispatches.count() < 30);
    assert!(events.0.iter().all(|(cpu, _)| *cpu == CpuId(0)));
}

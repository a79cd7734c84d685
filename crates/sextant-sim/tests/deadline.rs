//! What the deadline servers leave to ordinary tasks beside a real-time task that never sleeps: rt_stall of the kernel's selftests.

mod support;

use std::rc::Rc;

use sextant_abi::{CpuId, Ns};
use sextant_sched::native::Fifo;
use sextant_sim::workload::{Policy, TaskSpec};
use sextant_sim::{NoSink, Outcome, SimConfig, Simulation, Workload};
use support::*;

fn starved(cpus: &[u32]) -> Workload {
    let on = |spec: TaskSpec| TaskSpec { cpus: Some(cpus.iter().map(|&c| CpuId(c)).collect()), ..spec };
    let rt = TaskSpec { policy: Policy::Fifo, rt_priority: 50, ..hog("rt") };
    workload(vec![on(hog("victim")), on(rt)], 5000)
}

fn percent(out: &Outcome, name: &str) -> f64 {
    let run: u64 = out.tasks.iter().filter(|t| t.name == name).map(|t| t.run_ns).sum();
    run as f64 / out.now.0 as f64 * 100.0
}

fn with_fifo(w: &Workload, config: SimConfig) -> Outcome {
    let mut sim = Simulation::new(config, w, mem()).unwrap();
    sim.attach(Rc::new(Fifo), &mut NoSink).unwrap();
    sim.run(&mut NoSink).unwrap()
}

#[test]
fn a_starved_task_gets_five_percent() {
    for seed in 1..4 {
        let w = starved(&[0]);
        for (class, out) in [("fair", run(&w, config(2, seed))), ("ext", with_fifo(&w, config(2, seed)))] {
            let (victim, rt) = (percent(&out, "victim"), percent(&out, "rt"));
            assert!((4.0..6.0).contains(&victim), "{class}: {victim}%");
            assert!(rt > 93.0, "{class}: the rest is the real-time task's: {rt}%");
        }
    }
}

#[test]
fn who_can_go_elsewhere_does_not_need_it() {
    let w = starved(&[0, 1]);
    for out in [run(&w, config(2, 1)), with_fifo(&w, config(2, 1))] {
        assert!(percent(&out, "victim") > 90.0, "{out:?}");
        assert!(percent(&out, "rt") > 98.0, "{out:?}");
    }
}

#[test]
fn a_server_lets_a_cpu_rest() {
    // One short run, then nothing for a minute: the servers' timers stop by themselves.
    let mut short = hog("short");
    short.loops = Some(1);
    let w = Workload { duration: Some(Ns::from_ms(60_000)), ..workload(vec![short, blocked()], 60_000) };
    let out = with_fifo(&w, config(1, 1));
    assert!(out.cpus[0].switches < 20, "{out:?}");
    assert!(out.cpus[0].busy_ns < 110_000_000, "{out:?}");
}

/// Sleeps as long as anybody looks.
fn blocked() -> TaskSpec {
    forever("blocked", vec![sextant_sim::workload::Action::Sleep(Ns::from_ms(120_000))])
}

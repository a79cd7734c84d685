//! Machines of unusual size.

mod support;

use std::rc::Rc;

use sextant_abi::Ns;
use sextant_sched::native::Fifo;
use sextant_sim::{NoSink, SimConfig, Simulation};
use support::*;

#[test]
fn the_largest_machine_works() {
    let mut w = mixed();
    w.duration = Some(Ns::from_ms(20));
    let config = SimConfig { nr_cpus: 8192, check: false, ..config(8192, 1) };
    let mut sim = Simulation::new(config, &w, mem()).unwrap();
    sim.attach(Rc::new(Fifo), &mut NoSink).unwrap();
    let out = sim.run(&mut NoSink).unwrap();
    assert_eq!(out.tasks[0].pid, 25_000, "behind the pids of 3 kthreads for each CPU");
    assert!(out.tasks.iter().all(|t| t.run_ns > 0), "{:?}", out.tasks);
}

#[test]
fn many_tasks_on_one_cpu() {
    let mut hogs = hog("hog");
    hogs.instances = 1000;
    let config = SimConfig { check: false, ..config(1, 1) };
    let out = run(&workload(vec![hogs], 30_000), config);
    let (least, most) = out.tasks.iter().fold((u64::MAX, 0), |(a, b), t| (a.min(t.run_ns), b.max(t.run_ns)));
    assert!(least > 20_000_000 && most < 40_000_000, "{least} to {most} ns of 30 ms each");
}

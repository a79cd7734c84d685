//! The machine's clock does not begin with the run: programs see an uptime, people see the time of the run.

mod support;

use std::cell::Cell;
use std::rc::Rc;

use sextant_abi::{CpuId, Ns};
use sextant_sched::ops::{Op, OpsParams};
use sextant_sched::{Event, Ops, Sched};
use sextant_sim::workload::TaskSpec;
use sextant_sim::{EventSink, Simulation};
use support::{config, hog, mem, workload};

/// Notes the clock and the jiffies that ops.init sees.
#[derive(Default)]
struct Clock(Cell<(u64, u64)>);

impl Ops for Clock {
    fn params(&self) -> OpsParams {
        OpsParams { name: "clock".into(), ..OpsParams::default() }
    }

    fn has(&self, op: Op) -> bool {
        op == Op::Init
    }

    fn init(&self, s: &mut Sched) -> i32 {
        self.0.set((s.now.0, s.jiffies()));
        0
    }
}

/// The first and the last time it was given.
#[derive(Default)]
struct Times(Vec<Ns>);

impl EventSink for Times {
    fn event(&mut self, t: Ns, _cpu: CpuId, _ev: &Event, _s: &Sched) {
        self.0.push(t);
    }
}

#[test]
fn programs_see_an_uptime_people_the_time_of_the_run() {
    let late = TaskSpec { delay: Ns::from_ms(30), ..hog("late") };
    let config = sextant_sim::SimConfig { ideal: true, ..config(2, 1) };
    let mut sim = Simulation::new(config, &workload(vec![hog("hog"), late], 50), mem()).unwrap();
    let (clock, mut times) = (Rc::new(Clock::default()), Times::default());
    sim.attach(clock.clone(), &mut times).unwrap();
    let out = sim.run(&mut times).unwrap();
    assert_eq!(clock.0.get(), (100_000_000_000, 25_000), "100 s at 250 Hz");
    assert_eq!(times.0.first(), Some(&Ns::ZERO));
    assert_eq!(times.0.last(), Some(&Ns::from_ms(50)));
    assert_eq!(out.now, Ns::from_ms(50));
    assert!(out.tasks.iter().chain(&out.system_tasks).all(|t| t.alive_ns == 50_000_000));
    assert_eq!(out.tasks[1].run_ns, 20_000_000, "its delay is counted from its start");
}

//! How fast the machine is: host time per simulated switch, and how many times real time, with 16 hogs, 32 sleepers and 8
//! ping-pong pairs on 8 CPUs. `cargo run --release --example bench -p sextant-sim [virtual seconds]`

use std::rc::Rc;
use std::time::Instant;

use sextant_abi::Ns;
use sextant_sched::Ops;
use sextant_sched::native::Fifo;
use sextant_sched::sched::new_kmem;
use sextant_sim::workload::{Action, Phase, SemId, TaskSpec};
use sextant_sim::{NoSink, SimConfig, Simulation, Workload};

fn task(name: &str, instances: u32, actions: Vec<Action>) -> TaskSpec {
    let phases = vec![Phase { actions, ..Phase::default() }];
    TaskSpec { name: name.into(), instances, phases, ..TaskSpec::default() }
}

fn workload(seconds: u64) -> Workload {
    let run = |us| Action::Run(Ns::from_us(us));
    let mut w =
        Workload { name: "bench".into(), duration: Some(Ns::from_ms(seconds * 1000)), ..Workload::default() };
    w.tasks.push(task("hog", 16, vec![run(10_000)]));
    w.tasks.push(task("sleeper", 32, vec![Action::Sleep(Ns::from_ms(2)), run(200)]));
    for i in 0..8 {
        let (a, b) = (SemId(2 * i), SemId(2 * i + 1));
        w.sems.extend([format!("ping{i}"), format!("pong{i}")]);
        w.tasks.push(task("ping", 1, vec![run(20), Action::SemPost(b), Action::SemWait(a)]));
        w.tasks.push(task("pong", 1, vec![Action::SemWait(b), run(20), Action::SemPost(a)]));
    }
    w
}

fn measure(name: &str, seconds: u64, ops: Option<Rc<dyn Ops>>) {
    let mem = new_kmem().expect("the host has address space");
    let mut sim =
        Simulation::new(SimConfig::default(), &workload(seconds), mem).expect("the workload is fine");
    if let Some(ops) = ops {
        sim.attach(ops, &mut NoSink).expect("nothing is attached yet");
    }
    let begin = Instant::now();
    let out = sim.run(&mut NoSink).expect("time passes");
    let host = begin.elapsed();
    let switches: u64 = out.cpus.iter().map(|c| c.switches).sum();
    println!(
        "{name}: {switches} switches in {} virtual s, {:.0} ns of host time each, {:.1} times real time",
        out.now.0 as f64 / 1e9,
        host.as_nanos() as f64 / switches as f64,
        out.now.0 as f64 / host.as_nanos() as f64,
    );
}

fn main() {
    let seconds = std::env::args().nth(1).and_then(|s| s.parse().ok()).unwrap_or(10);
    measure("fair", seconds, None);
    measure("fifo", seconds, Some(Rc::new(Fifo)));
}

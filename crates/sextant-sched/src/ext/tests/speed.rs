//! What a context switch of the class costs the host. Not run by default:
//! `cargo test --release -p sextant-sched --no-default-features speed -- --ignored --nocapture`

use std::time::Instant;

use super::*;
use crate::native::{Fifo, VtimeFair};

/// Host ns per switch with `n` tasks on one CPU, each pick through the policy's shared DSQ.
fn ns_per_switch(ops: Rc<dyn Ops>, n: u32) -> u64 {
    const SWITCHES: u64 = 200_000;
    let mut m = Machine::new(1);
    m.s.scx_enable(ops).unwrap();
    m.settle();
    for i in 0..n {
        m.fork(&format!("t{i}"), 0);
    }
    let start = Instant::now();
    for _ in 0..SWITCHES {
        let now = m.s.now + Ns::from_ms(1);
        let p = m.curr(0);
        m.s.enter(CpuId(0), now);
        m.s.set_task_slice(p, 1_000_000 - 1);
        m.s.schedule(CpuId(0));
        m.s.requests.clear();
        m.s.events.clear();
    }
    (start.elapsed().as_nanos() as u64) / SWITCHES
}

#[test]
#[ignore = "a measurement"]
fn speed() {
    for n in [2, 64, 4096] {
        println!("fifo  {n:5} tasks: {} ns/switch", ns_per_switch(Rc::new(Fifo), n));
        println!("vtime {n:5} tasks: {} ns/switch", ns_per_switch(Rc::new(VtimeFair::default()), n));
    }
}

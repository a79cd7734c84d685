//! Nobody waits for ever.

use sextant_abi::types::*;
use sextant_sim::workload::{Action, Policy};

use crate::drive::*;

/// Three CPUs each kick the next and wait for it.
#[test]
fn cyclic_kick_wait() {
    let Some(object) = object("cyclic_kick_wait") else { return };
    let workers = (0..3).map(|cpu| {
        let worker = forever("worker", vec![run_us(50), Action::Yield]);
        times(4, pinned(&[cpu], worker))
    });
    let mut m = Machine::new(4, workers.collect());
    let object = object.set("test_cpu_a", 0).set("test_cpu_b", 1).set("test_cpu_c", 2);
    let kick_wait = m.load(&object);
    m.attach(&kick_wait);
    m.run(5 * SECOND);
    kick_wait.expect_kind(SCX_EXIT_NONE);
    assert!(kick_wait.get("nr_wait_kicks") > 1000);
    m.detach();
    kick_wait.expect_kind(SCX_EXIT_UNREG);
}

/// Beside a SCHED_FIFO task that never sleeps, a task of the fair class and one under a scheduler get their 5% (4% is enough),
/// without and with the scheduler in turns.
#[test]
fn rt_stall() {
    let Some(object) = object("rt_stall") else { return };
    for round in 0..4 {
        let hog = |name| pinned(&[0], forever(name, vec![run_us(10_000)]));
        let rt = sextant_sim::workload::TaskSpec { rt_priority: 50, ..policy(Policy::Fifo, hog("rt")) };
        let mut m = Machine::new(2, vec![hog("ext"), rt]);
        let stall = m.load(&object);
        // What the rounds before have left of their servers.
        for _ in 0..round / 2 {
            m.attach(&stall);
            m.run(100);
            m.detach();
        }
        stall.put("uei.kind", 0);
        if round % 2 == 1 {
            m.attach(&stall);
        }
        let before = (m.cpu_time("ext"), m.cpu_time("rt"));
        m.run(5 * SECOND);
        let (ext, rt) = (m.cpu_time("ext") - before.0, m.cpu_time("rt") - before.1);
        if round % 2 == 1 {
            stall.expect_kind(SCX_EXIT_NONE);
            m.detach();
        }
        assert!(ext * 100 >= (ext + rt) * 4, "round {round}: {ext} ns beside {rt} ns");
    }
}

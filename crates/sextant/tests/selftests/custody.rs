//! Custody: what goes through the BPF scheduler's hands comes out with one ops.dequeue, what does not without any.

use sextant_abi::types::*;
use sextant_abi::{CpuId, Ns};
use sextant_sim::NoSink;
use sextant_sim::script::Command;
use sextant_sim::workload::Action;

use crate::drive::*;

const NUM_WORKERS: u32 = 8;

/// Terminal DSQs (0, 1, 3, 4) never see ops.dequeue; a user DSQ (2, 5) and a queue of its own (6) see it once for each enqueue, with
/// affinities changing all the time.
fn dequeue_scenario(object: &Object, scenario: u64) {
    let mut tasks = in_use(4);
    let worker = |id| forever("", vec![run_us(30), sleep_us(1000 + id * 100)]);
    tasks.extend((0..NUM_WORKERS).map(|id| sextant_sim::workload::TaskSpec {
        name: format!("worker{id}"),
        loops: Some(1000),
        ..worker(u64::from(id))
    }));
    let mut m = Machine::new(4, tasks);
    let dequeue = m.load(object);
    dequeue.put("test_scenario", scenario);
    m.attach(&dequeue);
    // The hammer: half a second, as fast as system calls are.
    for i in 0..5000 {
        let cpu = CpuId(i / NUM_WORKERS % 4);
        m.try_perform(Command::Affinity { task: format!("worker{}", i % NUM_WORKERS), cpus: vec![cpu] });
        m.sim.run_for(Ns::from_us(100), &mut NoSink).expect("time passes");
    }
    for _ in 0..10 {
        m.run(SECOND);
        if (0..NUM_WORKERS).all(|id| m.alive(&format!("worker{id}")) == 0) {
            break;
        }
    }
    assert!(
        (0..NUM_WORKERS).all(|id| m.alive(&format!("worker{id}")) == 0),
        "a worker has not come to its end"
    );
    m.detach();
    dequeue.expect_kind(SCX_EXIT_UNREG);
    let get = |name: &str| dequeue.get(name);
    let (enq, deq) = (get("enqueue_cnt"), get("dequeue_cnt"));
    if matches!(scenario, 0 | 1 | 3 | 4) {
        let all = (enq, deq, get("dispatch_dequeue_cnt"), get("change_dequeue_cnt"));
        assert_eq!(all, (0, 0, 0, 0), "scenario {scenario}");
    } else {
        assert!(enq > 0 && deq > 0, "scenario {scenario}: nothing was in custody");
        assert_eq!(enq, deq, "scenario {scenario}");
        // Not in the kernel's test: the hammer hits.
        assert!(get("change_dequeue_cnt") > 0, "scenario {scenario}: no change hit a queued task");
    }
}

#[test]
fn dequeue() {
    let Some(object) = object("dequeue") else { return };
    for scenario in 0..7 {
        dequeue_scenario(&object, scenario);
    }
}

/// Tasks that SCX itself moves to another CPU leave custody once, on arrival: from a queue of the scheduler's to LOCAL_ON, and from a
/// user DSQ.
#[test]
fn dequeue_remote() {
    let Some(object) = object("dequeue_remote") else { return };
    for move_to_local in [false, true] {
        let worker = |loops, last| sextant_sim::workload::TaskSpec {
            loops: Some(loops),
            ..forever("worker", vec![run_us(40), last])
        };
        let mut m = Machine::new(
            4,
            vec![times(4, worker(30_000, Action::Yield)), times(4, worker(8_000, sleep_us(100)))],
        );
        let remote = m.load(&object);
        remote.put("test_use_move_to_local", move_to_local.into());
        m.attach(&remote);
        for _ in 0..10 {
            m.run(SECOND);
            if m.alive("worker") == 0 {
                break;
            }
        }
        assert_eq!(m.alive("worker"), 0, "a worker has not come to its end");
        m.detach();
        remote.expect_kind(SCX_EXIT_UNREG);
        assert!(remote.get("remote_running_cnt") > 0, "no task changed its CPU");
        assert!(remote.get("enqueue_cnt") > 0);
        assert_eq!(remote.get("enqueue_cnt"), remote.get("dequeue_cnt"));
    }
}

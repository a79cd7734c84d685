//! DSQs: made and destroyed, peeked into, walked, and local ones of other CPUs.

use sextant_abi::types::*;

use crate::drive::*;

/// 1024 in ops.init, then one for each task as long as it lives.
#[test]
fn create_dsq() {
    let Some(object) = object("create_dsq") else { return };
    let mut m = Machine::new(4, in_use(4));
    m.run(10);
    let create_dsq = m.load(&object);
    for _ in 0..2 {
        m.attach(&create_dsq);
        m.run(100);
        assert!(m.sim.sched.ext.exit_info().is_none(), "{:?}", m.sim.sched.ext.exit_info());
        m.detach();
    }
}

/// An empty DSQ shows nothing, one with a task that task; then eight of them under load.
#[test]
fn peek_dsq() {
    let Some(object) = object("peek_dsq") else { return };
    let mut tasks = in_use(4);
    tasks.push(times(4, forever("workload", vec![sleep_us(1000), sextant_sim::workload::Action::Yield])));
    let mut m = Machine::new(4, tasks);
    let peek = m.load(&object);
    m.attach(&peek);
    m.run(3 * SECOND);
    assert!(peek.get("enqueue_count") as i32 > 0);
    peek.expect_kind(SCX_EXIT_NONE);
    m.detach();
    assert_ne!(peek.get("insert_test_cpu") as i32, -1, "nothing was inserted");
    assert_eq!(peek.get("dsq_peek_result1"), 0, "a peek into an empty DSQ");
    assert_eq!(peek.get("dsq_peek_result2"), peek.get("dsq_peek_result2_expected"));
    assert_eq!(peek.get("debug_ksym_exists"), 1, "7.3 has scx_bpf_dsq_peek");
    let seen = (0..peek.get("max_samples") as u32).filter(|i| {
        let map = peek.loaded.maps["peek_results"];
        let pid = peek.loaded.vm.map_lookup(map, &i.to_le_bytes(), 0).expect("an element");
        i64::from_le_bytes(pid.try_into().expect("a long")) > 0
    });
    assert!(seen.count() > 0, "no task was peeked at");
}

/// From ops.dispatch to the local DSQs of random CPUs, those that a task may use.
#[test]
fn dsp_local_on() {
    let Some(object) = object("dsp_local_on") else { return };
    let mut m = Machine::new(4, in_use(4));
    let local_on = m.load(&object.set("nr_cpus", 4));
    m.attach(&local_on);
    m.run(SECOND);
    m.detach();
    local_on.expect_kind(SCX_EXIT_UNREG);
}

/// ops.dequeue walks the DSQ that its task is just leaving.
#[test]
fn dequeue_iter() {
    let Some(object) = object("dequeue_iter") else { return };
    let mut m = Machine::new(4, in_use(4));
    let iter = m.load(&object);
    m.attach(&iter);
    m.run_until(3 * SECOND, "10 times ops.dequeue", || {
        iter.get("dq_count") >= 10 || iter.get("uei.kind") != 0
    });
    m.detach();
    iter.expect_kind(SCX_EXIT_UNREG);
}

//! DSQs: order, mixing, moving, iterators, stale entries of the dispatch buffer.

use sextant_abi::types::*;
use sextant_abi::{CpuId, DsqId};

use super::*;

const V: DsqId = DsqId(8);

/// One CPU; `n` tasks held by the policy (enqueue does nothing), CPU idle.
fn held(n: u32) -> (Machine, Vec<TaskId>) {
    let mut probe = Probe::queueing();
    probe.enqueue = Box::new(|_, _, _| ());
    probe.dispatch = Box::new(|_, _, _| ());
    let mut m = Machine::with(2, probe);
    m.s.kf_scx_bpf_create_dsq(V, -1);
    let tasks = (0..n).map(|i| m.fork(&format!("t{i}"), 0)).collect();
    m.forget();
    (m, tasks)
}

/// Inserts as ops.dispatch of CPU 0 would.
fn insert(m: &mut Machine, p: TaskId, dsq: DsqId, vtime: Option<u64>, flags: u64) {
    m.s.enter(CpuId(0), m.s.now);
    match vtime {
        Some(v) => m.s.kf_scx_bpf_dsq_insert_vtime(Some(p), dsq, 1000, v, flags),
        None => m.s.kf_scx_bpf_dsq_insert(Some(p), dsq, 1000, flags),
    };
    m.s.flush_dispatch_buf(CpuId(0));
}

fn order(m: &mut Machine, dsq: DsqId, flags: u64) -> Vec<String> {
    let it = m.s.kf_bpf_iter_scx_dsq_new(dsq, flags).unwrap();
    let mut out = Vec::new();
    while let Some(p) = m.s.kf_bpf_iter_scx_dsq_next(it) {
        out.push(m.comm(p));
    }
    m.s.kf_bpf_iter_scx_dsq_destroy(it);
    out
}

#[test]
fn fifo_head_and_reverse() {
    let (mut m, t) = held(4);
    insert(&mut m, t[0], Q, None, 0);
    insert(&mut m, t[1], Q, None, 0);
    insert(&mut m, t[2], Q, None, SCX_ENQ_HEAD);
    assert_eq!(order(&mut m, Q, 0), ["t2", "t0", "t1"]);
    assert_eq!(order(&mut m, Q, SCX_DSQ_ITER_REV), ["t1", "t0", "t2"]);
    assert_eq!(m.s.kf_scx_bpf_dsq_nr_queued(Q), 3);
}

#[test]
fn vtime_order_wraps_and_equal_keys_keep_order() {
    let (mut m, t) = held(5);
    for (i, v) in [5, u64::MAX, 5, 0, u64::MAX - 1].into_iter().enumerate() {
        insert(&mut m, t[i], V, Some(v), 0);
    }
    assert_eq!(order(&mut m, V, 0), ["t4", "t1", "t3", "t0", "t2"]);
    assert!(m.s.ext.exit_info().is_none());
}

#[test]
fn fifo_and_vtime_do_not_mix_until_empty() {
    let (mut m, t) = held(3);
    insert(&mut m, t[0], Q, None, 0);
    insert(&mut m, t[1], Q, Some(3), 0);
    assert_eq!(m.s.ext.exit_info().unwrap().msg, "DSQ ID 0x0000000000000007 already had FIFO-enqueued tasks");
    let (mut m, t) = held(3);
    insert(&mut m, t[0], V, Some(3), 0);
    insert(&mut m, t[1], V, None, 0);
    assert_eq!(m.s.ext.exit_info().unwrap().msg, "DSQ ID 0x0000000000000008 already had PRIQ-enqueued tasks");
    // An emptied DSQ may change its kind.
    let (mut m, t) = held(2);
    insert(&mut m, t[0], V, Some(3), 0);
    m.s.kf_scx_bpf_dsq_move_to_local(V, 0);
    insert(&mut m, t[1], V, None, 0);
    assert!(m.s.ext.exit_info().is_none());
}

#[test]
fn an_entry_of_an_older_enqueue_is_dropped() {
    let (mut m, t) = held(1);
    m.s.enter(CpuId(0), m.s.now);
    m.s.kf_scx_bpf_dsq_insert(Some(t[0]), Q, 0, 0);
    // Meanwhile the task is dequeued and enqueued anew.
    m.s.set_user_nice(t[0], 3);
    m.s.flush_dispatch_buf(CpuId(0));
    assert_eq!(m.s.kf_scx_bpf_dsq_nr_queued(Q), 0);
    // The new generation is still the policy's.
    insert(&mut m, t[0], Q, None, 0);
    assert_eq!(m.s.kf_scx_bpf_dsq_nr_queued(Q), 1);
    // And once it is on a DSQ, another insert has no claim.
    insert(&mut m, t[0], V, None, 0);
    assert_eq!(m.s.kf_scx_bpf_dsq_nr_queued(V), 0);
}

#[test]
fn iterators_live_with_removals_and_ignore_newcomers() {
    let (mut m, t) = held(5);
    for &p in &t[..4] {
        insert(&mut m, p, Q, None, 0);
    }
    let it = m.s.kf_bpf_iter_scx_dsq_new(Q, 0).unwrap();
    assert_eq!(m.s.kf_bpf_iter_scx_dsq_next(it), Some(t[0]));
    // What was given leaves, and so does the next one; a newcomer arrives.
    assert!(m.s.kf_scx_bpf_dsq_move(it, t[0], V, 0));
    m.s.task_unlink_from_dsq(t[1]);
    insert(&mut m, t[4], Q, None, 0);
    assert_eq!(m.s.kf_bpf_iter_scx_dsq_next(it), Some(t[2]));
    assert_eq!(m.s.kf_bpf_iter_scx_dsq_next(it), Some(t[3]));
    assert_eq!(m.s.kf_bpf_iter_scx_dsq_next(it), None);
    // A task queued after the iterator was made cannot be moved through it, nor one that has left.
    assert!(!m.s.kf_scx_bpf_dsq_move(it, t[4], V, 0));
    assert!(!m.s.kf_scx_bpf_dsq_move(it, t[0], Q, 0));
    m.s.kf_bpf_iter_scx_dsq_destroy(it);
    assert_eq!(order(&mut m, Q, 0), ["t2", "t3", "t4"]);
}

#[test]
fn moves_take_overrides_once() {
    let (mut m, t) = held(2);
    insert(&mut m, t[0], Q, None, 0);
    insert(&mut m, t[1], Q, None, 0);
    let it = m.s.kf_bpf_iter_scx_dsq_new(Q, 0).unwrap();
    m.s.kf_scx_bpf_dsq_move_set_slice(it, 777);
    m.s.kf_scx_bpf_dsq_move_set_vtime(it, 99);
    assert!(m.s.kf_scx_bpf_dsq_move_vtime(it, t[1], V, 0));
    assert!(m.s.kf_scx_bpf_dsq_move_vtime(it, t[0], V, 0));
    m.s.kf_bpf_iter_scx_dsq_destroy(it);
    assert_eq!((m.s.slice(t[1]), m.s.slice(t[0])), (777, 1000));
    assert_eq!(m.s.tasks[t[1]].ts.scx().dsq_vtime().get(&*m.s.mem), 99);
    assert_eq!(order(&mut m, V, 0), ["t0", "t1"]);
}

#[test]
fn bad_iterators_and_dsqs() {
    let (mut m, _) = held(0);
    assert_eq!(m.s.kf_bpf_iter_scx_dsq_new(DsqId(99), 0), Err(-2));
    assert_eq!(m.s.kf_bpf_iter_scx_dsq_new(DsqId::GLOBAL, 0), Err(-2));
    assert_eq!(m.s.kf_bpf_iter_scx_dsq_new(Q, 1), Err(-22));
    assert_eq!(m.s.kf_scx_bpf_create_dsq(Q, -1), -17);
    assert_eq!(m.s.kf_scx_bpf_create_dsq(DsqId::LOCAL, -1), -22);
    assert_eq!(m.s.kf_scx_bpf_create_dsq(DsqId(9), 1), -22);
    assert_eq!(m.s.kf_scx_bpf_dsq_nr_queued(DsqId::GLOBAL), -2);
    m.s.kf_scx_bpf_destroy_dsq(DsqId(99));
    assert!(m.s.ext.exit_info().is_none());
}

#[test]
fn destroying_a_dsq() {
    let (mut m, t) = held(1);
    m.s.kf_scx_bpf_destroy_dsq(V);
    assert_eq!(m.s.kf_scx_bpf_dsq_nr_queued(V), -2);
    assert_eq!(m.s.kf_scx_bpf_create_dsq(V, 0), 0);
    insert(&mut m, t[0], V, None, 0);
    m.s.kf_scx_bpf_destroy_dsq(V);
    let msg = "attempting to destroy in-use dsq 0x0000000000000008 (nr=1)";
    assert_eq!(m.s.ext.exit_info().unwrap().msg, msg);
    assert_eq!(m.s.kf_scx_bpf_dsq_nr_queued(V), 1);
}

#[test]
fn many_tasks_stay_in_order() {
    let (mut m, t) = held(1000);
    for (i, &p) in t.iter().enumerate() {
        insert(&mut m, p, V, Some((i as u64 * 7919) % 1000), 0);
    }
    let it = m.s.kf_bpf_iter_scx_dsq_new(V, 0).unwrap();
    let mut last = 0;
    let mut n = 0;
    while let Some(p) = m.s.kf_bpf_iter_scx_dsq_next(it) {
        let v = m.s.tasks[p].ts.scx().dsq_vtime().get(&*m.s.mem);
        assert!(v >= last);
        (last, n) = (v, n + 1);
    }
    assert_eq!(n, 1000);
}

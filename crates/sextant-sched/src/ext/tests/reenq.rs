//! SCX_ENQ_IMMED and reenqueueing (semantics §4.20), and what recordings of a real 7.3.4 showed beside them.

use std::cell::Cell;

use sextant_abi::exit::ExitKind;

use super::*;

/// A probe that inserts into the local DSQ with `flags`; what comes back with REENQ goes to `Q`.
fn inserting(flags: u64, reasons: Rc<Cell<u32>>) -> Probe {
    let mut probe = Probe::queueing();
    probe.enqueue = Box::new(move |s, p, enq_flags| {
        if enq_flags & SCX_ENQ_REENQ != 0 {
            reasons.set(s.scx_flags(p) & SCX_TASK_REENQ_REASON_MASK);
            s.kf_scx_bpf_dsq_insert(Some(p), Q, SCX_SLICE_DFL, 0);
        } else {
            s.kf_scx_bpf_dsq_insert(Some(p), DsqId::LOCAL, SCX_SLICE_DFL, flags);
        }
    });
    probe
}

#[test]
fn immed_behind_a_running_task_comes_back() {
    let reason = Rc::new(Cell::new(0));
    let mut m = Machine::with(1, inserting(SCX_ENQ_IMMED, reason.clone()));
    let a = m.fork("a", 0);
    assert_eq!((m.curr(0), reason.get()), (a, 0), "an idle CPU is open");
    m.forget();
    let b = m.fork("b", 0);
    assert_eq!(reason.get(), SCX_TASK_REENQ_IMMED);
    assert_eq!(m.s.scx_flags(b) & (SCX_TASK_REENQ_REASON_MASK | SCX_TASK_IMMED), 0);
    assert_eq!(m.s.replay_dsq(crate::ext::replay::DsqName::User(Q.0)), Some(vec![b]));
    assert_eq!(m.s.ext.event(crate::ext::EventId::ReenqImmed), 1);
    let ops = m.ops();
    let enqueues: Vec<_> = ops.iter().filter(|op| op.starts_with("enqueue(b")).collect();
    assert_eq!(enqueues.len(), 2, "{ops:?}");
    assert_eq!(m.s.rqs[0].ext.nr_immed, 0);
}

#[test]
fn without_immed_it_waits() {
    let reason = Rc::new(Cell::new(0));
    let mut m = Machine::with(1, inserting(0, reason.clone()));
    m.fork("a", 0);
    let b = m.fork("b", 0);
    assert_eq!(m.s.replay_dsq(crate::ext::replay::DsqName::Local(CpuId(0))), Some(vec![b]));
    assert_eq!(reason.get(), 0);
}

#[test]
fn always_enq_immed_is_immed_on_every_local_insert() {
    let reason = Rc::new(Cell::new(0));
    let mut probe = inserting(0, reason.clone());
    probe.params.flags |= SCX_OPS_ALWAYS_ENQ_IMMED;
    let mut m = Machine::with(1, probe);
    m.fork("a", 0);
    m.fork("b", 0);
    assert_eq!(reason.get(), SCX_TASK_REENQ_IMMED);
}

#[test]
fn a_scheduler_that_insists_is_thrown_out() {
    let mut probe = Probe::queueing();
    probe.enqueue = Box::new(|s, p, _| {
        s.kf_scx_bpf_dsq_insert(Some(p), DsqId::LOCAL, SCX_SLICE_DFL, SCX_ENQ_IMMED);
    });
    let mut m = Machine::with(1, probe);
    m.fork("a", 0);
    let b = m.fork("b", 0);
    m.run_ms(8);
    let info = m.s.ext.exit_info().expect("it has exited");
    assert_eq!(info.kind, ExitKind::ErrorReenq);
    assert_eq!(info.msg, format!("{} reenqueued 257 times without running", m.s.task_name(b)));
    m.s.check_invariants();
}

#[test]
fn a_user_dsq_is_enqueued_again_without_leaving_custody() {
    let mut m = Machine::with(1, Probe::queueing());
    m.fork("a", 0);
    let b = m.fork("b", 0);
    let c = m.fork("c", 0);
    m.forget();
    m.s.enter(CpuId(0), m.s.now);
    m.s.kf_scx_bpf_dsq_reenq(Q, 0);
    m.settle();
    assert_eq!(m.s.replay_dsq(crate::ext::replay::DsqName::User(Q.0)), Some(vec![b, c]));
    let ops = m.ops();
    assert_eq!(ops.iter().filter(|op| op.starts_with("enqueue(")).count(), 2, "{ops:?}");
    assert!(!ops.iter().any(|op| op.starts_with("dequeue(")), "{ops:?}");
    m.s.kf_scx_bpf_dsq_reenq(DsqId::GLOBAL, 0);
    assert_eq!(
        m.s.ext.exit_info().map(|i| i.msg.clone()),
        Some("DSQ 0x8000000000000001 not allowed for reenq".into())
    );
}

#[test]
fn an_exiting_task_skips_ops_enqueue_with_rescue() {
    let mut m = Machine::with(1, Probe::queueing());
    let a = m.fork("a", 0);
    m.fork("b", 0);
    m.s.replay_set_exiting(a);
    m.forget();
    m.run_ms(24);
    let rescued = |ev: &Event| matches!(ev, Event::DsqInsert { p, enq_flags, .. } if *p == a && *enq_flags == SCX_ENQ_RESCUE);
    assert!(m.s.events.iter().any(|(_, _, ev)| rescued(ev)));
}

#[test]
fn a_carried_out_direct_dispatch_leaves_its_slice_where_programs_see_it() {
    let mut probe = Probe::queueing();
    probe.enqueue = Box::new(|s, p, flags| {
        s.kf_scx_bpf_dsq_insert_vtime(Some(p), Q, 5_000_000, 9, flags);
    });
    let mut m = Machine::with(1, probe);
    let a = m.fork("a", 0);
    let (dsq, slice, flags) = m.s.replay_ddsp(a);
    assert_eq!((dsq, slice, flags), (DsqId::INVALID, 5_000_000, 0));
    assert_eq!(m.s.scx(a).ddsp_vtime().get(&*m.s.mem), 9);
}

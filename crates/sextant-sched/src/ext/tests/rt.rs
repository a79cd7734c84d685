//! Real-time tasks above the class (semantics §4.24 "RT preempts p with slice left", §4.10).

use super::*;
use crate::task::Class;

fn probe() -> Probe {
    let mut probe = Probe::queueing();
    probe.without.retain(|&op| op != Op::CpuAcquire && op != Op::CpuRelease);
    probe
}

fn fifo(m: &mut Machine, comm: &str, rt_priority: u32) -> TaskId {
    let attr = TaskAttr { policy: SCHED_FIFO, rt_priority, ..Machine::attr(comm) };
    let p = m.fork_attr(&attr, 0);
    assert_eq!((m.s.tasks[p].class, m.curr(0)), (Class::Rt, p));
    m.block(0);
    p
}

#[test]
fn preempted_with_slice_left() {
    let mut m = Machine::with(1, probe());
    let r = fifo(&mut m, "r", 10);
    let (a, b) = (m.fork("a", 0), m.fork("b", 0));
    m.forget();
    m.advance_ms(4);
    m.wake(r, 0);
    assert_ops(&mut m, "stopping(a,true) cpu_release(0,0)");
    assert_eq!(m.curr(0), r);
    assert_eq!((m.s.slice(a), m.s.local_nr(CpuId(0))), (16_000_000, 1), "at the local DSQ with what is left");
    m.advance_ms(40);
    m.block(0);
    assert_ops(&mut m, "cpu_acquire(0) running(a)");
    assert_eq!((m.curr(0), m.s.slice(a)), (a, 16_000_000));
    assert_eq!(m.s.kf_scx_bpf_dsq_peek(Q), Some(b));
}

#[test]
fn preempted_without_slice() {
    let mut m = Machine::with(1, probe());
    let r = fifo(&mut m, "r", 10);
    let a = m.fork("a", 0);
    m.forget();
    m.advance_ms(24);
    m.wake(r, 0);
    assert_ops(&mut m, "stopping(a,true) enqueue(a,0x0) cpu_release(0,0)");
    m.block(0);
    assert_ops(&mut m, "cpu_acquire(0) dispatch(0,NULL) dequeue(a,0) running(a)");
    assert_eq!(m.curr(0), a);
}

#[test]
fn released_once_however_many_tasks_follow() {
    let mut m = Machine::with(1, probe());
    let (r, q) = (fifo(&mut m, "r", 10), fifo(&mut m, "q", 20));
    m.fork("a", 0);
    m.forget();
    m.wake(r, 0);
    m.wake(q, 0);
    m.block(0);
    assert_eq!(m.curr(0), r);
    m.block(0);
    assert_ops(&mut m, "stopping(a,true) cpu_release(0,0) cpu_acquire(0) running(a)");
}

#[test]
fn an_idle_cpu_is_not_released() {
    let mut m = Machine::with(1, probe().with_update_idle());
    let r = fifo(&mut m, "r", 10);
    m.forget();
    m.wake(r, 0);
    m.block(0);
    assert_ops(&mut m, "update_idle(0,false) dispatch(0,NULL) update_idle(0,true)");
}

#[test]
fn into_the_rt_class_and_back() {
    let mut m = Machine::with(1, probe());
    let (a, b) = (m.fork("a", 0), m.fork("b", 0));
    m.forget();
    // Queued: leaves the DSQ and the class, and preempts.
    m.s.sched_setscheduler(b, SCHED_FIFO, 1).unwrap();
    m.settle();
    assert_ops(
        &mut m,
        "dequeue(b,SAVE|MOVE|NOCLOCK|CLASS|SCHED_CHANGE) quiescent(b,SAVE|MOVE|NOCLOCK|CLASS|SCHED_CHANGE) disable(b) \
         stopping(a,true) cpu_release(0,0)",
    );
    assert_eq!(m.curr(0), b);
    // Running: joins the class, goes on until the pick.
    m.s.sched_setscheduler(b, SCHED_NORMAL, 0).unwrap();
    let got = m.ops();
    assert_eq!(
        got,
        [
            "enable(b)",
            "set_weight(b,100)",
            "set_cpumask(b)",
            "runnable(b,RESTORE|MOVE|NOCLOCK|CLASS|IGNORE_CAPS|0x10000)",
            "running(b)"
        ]
    );
    m.settle();
    assert_eq!(m.s.tasks[b].class, Class::Ext);
    // Running: leaves it.
    let cur = m.curr(0);
    m.forget();
    m.s.sched_setscheduler(cur, SCHED_RR, 1).unwrap();
    let name = m.comm(cur);
    let flags = "SAVE|MOVE|NOCLOCK|CLASS|SCHED_CHANGE";
    assert_ops(&mut m, &format!("stopping({name},false) quiescent({name},{flags}) disable({name})"));
    assert_eq!(m.s.sched_setscheduler(a, SCHED_FIFO, 0), Err(EINVAL));
    assert_eq!(m.s.sched_setscheduler(a, SCHED_FIFO, 100), Err(EINVAL));
    m.s.check_invariants();
}

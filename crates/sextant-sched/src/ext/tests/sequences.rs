//! The reference callback sequences (semantics §4.24 with §9.1), as far as the first stage has them.

use sextant_abi::types::*;
use sextant_abi::{CpuId, CpuMaskBits, DsqId};

use super::*;

/// One CPU, a probe with update_idle, `a` asleep.
fn one_sleeper() -> (Machine, TaskId) {
    let mut m = Machine::with(1, Probe::queueing().with_update_idle());
    let a = m.sleeper("a", 0);
    m.forget();
    (m, a)
}

/// One CPU; `a` runs, `b` waits in Q.
fn runner_and_waiter(probe: Probe) -> (Machine, TaskId, TaskId) {
    let mut m = Machine::with(1, probe);
    let a = m.fork("a", 0);
    let b = m.fork("b", 0);
    assert_eq!(m.curr(0), a);
    m.forget();
    (m, a, b)
}

#[test]
fn wakeup_into_a_user_dsq_of_an_idle_cpu() {
    let mut m = Machine::with(2, Probe::queueing().with_update_idle());
    let a = m.sleeper("a", 0);
    m.forget();
    m.wake(a, 1);
    assert_ops(
        &mut m,
        "select_cpu(a,0,TTWU) runnable(a,WAKEUP|NOCLOCK|CPU_SELECTED) enqueue(a,WAKEUP|NOCLOCK|CPU_SELECTED) \
         dispatch(0,NULL) dequeue(a,0) update_idle(0,false) running(a)",
    );
    assert_eq!(m.curr(0), a);
}

#[test]
fn a_task_with_one_cpu_is_not_asked_about() {
    let (mut m, a) = one_sleeper();
    m.wake(a, 0);
    assert_ops(
        &mut m,
        "runnable(a,WAKEUP|NOCLOCK) enqueue(a,WAKEUP|NOCLOCK) dispatch(0,NULL) dequeue(a,0) update_idle(0,false) running(a)",
    );
}

#[test]
fn wakeup_with_direct_dispatch_to_local() {
    let mut probe = Probe::queueing().with_update_idle();
    probe.select_cpu = Box::new(|s, p, prev, _| {
        s.kf_scx_bpf_dsq_insert(Some(p), DsqId::LOCAL, 1_000_000, 0);
        prev.0 as i32
    });
    let mut m = Machine::with(2, probe);
    let a = m.sleeper("a", 0);
    m.forget();
    m.wake(a, 1);
    assert_ops(
        &mut m,
        "select_cpu(a,0,TTWU) runnable(a,WAKEUP|NOCLOCK|CPU_SELECTED) update_idle(0,false) running(a)",
    );
    assert_eq!(m.s.slice(a), 1_000_000);
}

#[test]
fn blocking_while_others_wait() {
    let (mut m, _, b) = runner_and_waiter(Probe::queueing());
    m.block(0);
    assert_ops(&mut m, "stopping(a,false) quiescent(a,SLEEP|NOCLOCK) dispatch(0,a) dequeue(b,0) running(b)");
    assert_eq!(m.curr(0), b);
}

#[test]
fn blocking_with_nothing_else() {
    let (mut m, a) = one_sleeper();
    m.wake(a, 0);
    m.forget();
    m.block(0);
    assert_ops(&mut m, "stopping(a,false) quiescent(a,SLEEP|NOCLOCK) dispatch(0,a) update_idle(0,true)");
}

#[test]
fn slice_expiry_with_another_waiting() {
    let (mut m, a, b) = runner_and_waiter(Probe::queueing());
    m.advance_ms(20);
    m.tick(0);
    m.settle();
    assert_ops(&mut m, "tick(a) dispatch(0,a) dequeue(b,0) stopping(a,true) enqueue(a,0x0) running(b)");
    assert_eq!(m.curr(0), b);
    assert_eq!(m.s.kf_scx_bpf_dsq_peek(Q), Some(a));
}

#[test]
fn slice_expiry_with_nothing_else_keeps_the_task() {
    let (mut m, a) = one_sleeper();
    m.wake(a, 0);
    m.forget();
    m.advance_ms(24);
    m.tick(0);
    m.settle();
    assert_ops(&mut m, "tick(a) dispatch(0,a)");
    assert_eq!((m.curr(0), m.s.slice(a)), (a, SCX_SLICE_DFL));
    assert_eq!(m.s.ext.event(crate::ext::EventId::DispatchKeepLast), 1);
}

#[test]
fn slice_not_used_up_goes_on() {
    let (mut m, a, _) = runner_and_waiter(Probe::queueing());
    m.advance_ms(8);
    m.tick(0);
    m.settle();
    assert_ops(&mut m, "tick(a)");
    assert_eq!(m.s.slice(a), 12_000_000);
}

#[test]
fn enq_last_takes_the_only_task_to_enqueue() {
    let mut probe = Probe::queueing().with_update_idle();
    probe.params.flags |= SCX_OPS_ENQ_LAST;
    probe.enqueue = Box::new(|s, p, flags| {
        let dsq = if flags & SCX_ENQ_LAST != 0 { DsqId::LOCAL } else { Q };
        s.kf_scx_bpf_dsq_insert(Some(p), dsq, SCX_SLICE_DFL, flags);
    });
    let mut m = Machine::with(1, probe);
    let a = m.fork("a", 0);
    m.forget();
    m.advance_ms(20);
    m.tick(0);
    m.settle();
    assert_ops(
        &mut m,
        "tick(a) dispatch(0,a) stopping(a,true) enqueue(a,LAST) update_idle(0,true) update_idle(0,false) running(a)",
    );
    assert_eq!(m.curr(0), a);
}

#[test]
fn dispatch_may_refill_prev() {
    let mut probe = Probe::queueing();
    probe.dispatch = Box::new(|s, _, prev| {
        if let Some(p) = prev {
            s.kf_scx_bpf_task_set_slice(p, 3_000_000);
        } else {
            s.kf_scx_bpf_dsq_move_to_local(Q, 0);
        }
    });
    let (mut m, a, _) = runner_and_waiter(probe);
    m.advance_ms(20);
    m.tick(0);
    m.settle();
    assert_ops(&mut m, "tick(a) dispatch(0,a)");
    assert_eq!((m.curr(0), m.s.slice(a)), (a, 3_000_000));
}

#[test]
fn yield_gives_the_slice_up() {
    let (mut m, _, b) = runner_and_waiter(Probe::queueing());
    m.s.enter(CpuId(0), m.s.now);
    m.s.yield_current(CpuId(0));
    m.settle();
    assert_ops(&mut m, "dispatch(0,a) dequeue(b,0) stopping(a,true) enqueue(a,0x0) running(b)");
    assert_eq!(m.curr(0), b);
}

#[test]
fn affinity_change_of_a_queued_task() {
    let mut m = Machine::with(2, Probe::queueing());
    let (a, b) = (m.fork("a", 0), m.fork("b", 1));
    let c = m.fork("c", 0);
    assert_eq!((m.curr(0), m.curr(1)), (a, b));
    m.forget();
    m.s.enter(CpuId(0), m.s.now);
    m.s.set_cpus_allowed(c, &CpuMaskBits::one(CpuId(0))).unwrap();
    assert_ops(
        &mut m,
        "dequeue(c,SAVE|NOCLOCK|SCHED_CHANGE) quiescent(c,SAVE|NOCLOCK|SCHED_CHANGE) set_cpumask(c) \
         runnable(c,RESTORE|NOCLOCK) enqueue(c,RESTORE|NOCLOCK)",
    );
    // Its CPU is no longer allowed: the core takes it to another one, without quiescent and runnable.
    m.s.set_cpus_allowed(c, &CpuMaskBits::one(CpuId(1))).unwrap();
    let got = m.ops();
    let tail: Vec<&str> = got.iter().rev().take(2).rev().map(String::as_str).collect();
    assert_eq!(tail, ["dequeue(c,NOCLOCK|SCHED_CHANGE)", "enqueue(c,NOCLOCK|MIGRATED)"]);
    assert_eq!(m.s.tasks[c].cpu, CpuId(1));
}

#[test]
fn nice_and_affinity_change_of_the_running_task() {
    let (mut m, a, _) = runner_and_waiter(Probe::queueing());
    m.advance_ms(4);
    m.s.set_user_nice(a, 5);
    m.settle();
    assert_ops(
        &mut m,
        "stopping(a,false) quiescent(a,SAVE|NOCLOCK|SCHED_CHANGE) set_weight(a,33) \
         runnable(a,RESTORE|NOCLOCK|IGNORE_CAPS) running(a)",
    );
    assert_eq!((m.curr(0), m.s.slice(a)), (a, 16_000_000));
}

/// Semantics §9.1.1: at the top of `schedule()`, whatever it ends in.
#[test]
fn migrate_disable_narrows_at_the_next_schedule() {
    let mut m = Machine::with(2, Probe::queueing());
    let (a, b) = (m.fork("a", 0), m.fork("b", 1));
    assert_eq!((m.curr(0), m.curr(1)), (a, b));
    m.forget();
    m.s.enter(CpuId(0), m.s.now);
    m.s.migrate_disable(a);
    m.s.migrate_disable(a);
    assert_ops(&mut m, "");
    m.s.resched_curr(CpuId(0));
    m.settle();
    let narrow = "stopping(a,false) quiescent(a,SAVE|NOCLOCK|SCHED_CHANGE) set_cpumask(a) \
                  runnable(a,RESTORE|NOCLOCK|IGNORE_CAPS) running(a)";
    assert_ops(&mut m, narrow);
    let cpus = |m: &Machine| (m.s.cpus_allowed(a, CpuId(0)), m.s.cpus_allowed(a, CpuId(1)));
    assert_eq!((cpus(&m), m.s.t(a).nr_cpus_allowed().get(&*m.s.mem)), ((true, false), 2));
    m.s.resched_curr(CpuId(0));
    m.settle();
    assert_ops(&mut m, ""); // once
    // The configured mask changes behind it; the effective one does not.
    m.s.set_cpus_allowed(a, &CpuMaskBits::one(CpuId(1))).unwrap();
    m.settle();
    assert_ops(&mut m, narrow);
    assert_eq!((cpus(&m), m.s.tasks[a].cpu), ((true, false), CpuId(0)));
    m.s.migrate_enable(a);
    assert_ops(&mut m, "");
    m.s.set_cpus_allowed(a, &CpuMaskBits::first_n(2)).unwrap();
    m.forget();
    m.s.migrate_enable(a);
    m.settle();
    assert_ops(&mut m, narrow);
    assert_eq!(cpus(&m), (true, true));
}

#[test]
fn a_move_waits_for_migrate_enable() {
    let mut m = Machine::new(2);
    let attr = |cpu| TaskAttr { cpus: Some(vec![CpuId(cpu)]), ..Machine::attr("migration") };
    for c in 0..2 {
        m.s.boot_task(10 + c as i32, &attr(c), CpuId(c), true);
    }
    m.load(Probe::queueing());
    let a = m.fork("a", 0);
    m.s.enter(CpuId(0), m.s.now);
    m.s.migrate_disable(a);
    m.s.resched_curr(CpuId(0));
    m.settle();
    m.s.set_cpus_allowed(a, &CpuMaskBits::one(CpuId(1))).unwrap();
    m.settle();
    assert_eq!(m.curr(0), a);
    m.s.enter(CpuId(0), m.s.now);
    m.s.migrate_enable(a);
    m.settle();
    m.s.enter(CpuId(0), m.s.now);
    m.s.stopper_thread(CpuId(0));
    m.settle();
    assert_eq!(m.curr(1), a);
    m.s.check_invariants();
}

#[test]
fn the_class_moves_a_task_to_another_cpu() {
    let mut probe = Probe::queueing();
    probe.dispatch = Box::new(|s, cpu, _| {
        // Only CPU 1 takes from the queue.
        if cpu == CpuId(1) {
            s.kf_scx_bpf_dsq_move_to_local(Q, 0);
        }
    });
    let mut m = Machine::with(2, probe);
    let q = m.fork("q", 0);
    assert_eq!(m.curr(0), m.s.rqs[0].idle);
    m.forget();
    m.s.enter(CpuId(0), m.s.now);
    m.s.kf_scx_bpf_kick_cpu(1, 0);
    m.settle();
    assert_ops(&mut m, "dispatch(1,NULL) dequeue(q,0) running(q)");
    assert_eq!((m.curr(1), m.s.tasks[q].cpu), (q, CpuId(1)));
}

#[test]
fn fork_of_an_ext_task() {
    let mut m = Machine::with(2, Probe::queueing());
    m.forget();
    m.s.enter(CpuId(0), m.s.now);
    let p = m.s.sched_fork(&Machine::attr("p")).unwrap();
    m.s.wake_up_new_task(p);
    assert_ops(
        &mut m,
        "init_task(p,true) enable(p) set_weight(p,100) select_cpu(p,0,FORK) runnable(p,NOCLOCK|INITIAL) \
         enqueue(p,NOCLOCK|INITIAL)",
    );
}

#[test]
fn exit_moves_then_leaves() {
    let (mut m, a) = one_sleeper();
    m.wake(a, 0);
    m.forget();
    m.s.enter(CpuId(0), m.s.now);
    m.s.exit_current(CpuId(0));
    // Before the task's memory is given back, as its name is read from there.
    assert_ops(
        &mut m,
        "stopping(a,false) quiescent(a,SAVE|MOVE|NOCLOCK|SCHED_CHANGE) runnable(a,RESTORE|MOVE|NOCLOCK|IGNORE_CAPS) running(a) \
         stopping(a,false) quiescent(a,SLEEP|NOCLOCK|SPECIAL) dispatch(0,a) update_idle(0,true) disable(a) exit_task(a,false)",
    );
}

#[test]
fn an_exiting_task_is_not_enqueued() {
    let (mut m, a, _) = runner_and_waiter(Probe::queueing());
    let flags = m.s.tasks[a].ts.flags();
    flags.set(&*m.s.mem, flags.get(&*m.s.mem) | PF_EXITING);
    m.advance_ms(20);
    m.tick(0);
    m.settle();
    assert_ops(&mut m, "tick(a) dispatch(0,a) dequeue(b,0) stopping(a,true) running(b)");
    assert_eq!(m.s.local_nr(CpuId(0)), 1);
    assert_eq!(m.s.ext.event(crate::ext::EventId::EnqSkipExiting), 1);
}

#[test]
fn kicked_idle_cpu_looks_and_goes_back() {
    let mut m = Machine::with(2, Probe::queueing().with_update_idle());
    m.forget();
    m.s.kf_scx_bpf_kick_cpu(1, SCX_KICK_IDLE);
    m.settle();
    assert_ops(&mut m, "dispatch(1,NULL)");
}

#[test]
fn preempt_kick_ends_the_slice() {
    let (mut m, a, b) = runner_and_waiter(Probe::queueing());
    m.s.kf_scx_bpf_kick_cpu(0, SCX_KICK_PREEMPT);
    m.settle();
    assert_ops(&mut m, "dispatch(0,a) dequeue(b,0) stopping(a,true) enqueue(a,0x0) running(b)");
    assert_eq!(m.curr(0), b);
    // A plain kick does not: the task has slice left.
    m.s.kf_scx_bpf_kick_cpu(0, 0);
    m.settle();
    assert_ops(&mut m, "");
    assert_eq!(m.s.kf_scx_bpf_dsq_peek(Q), Some(a));
}

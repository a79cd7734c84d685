//! Direct dispatch to other CPUs, idle selection, slices and the rest of the kfuncs.

use sextant_abi::types::*;
use sextant_abi::{CpuId, CpuMaskBits, DsqId, Mem, ObjKind};

use super::*;
use crate::ext::EventId;

fn mask(m: &Machine, cpus: &[u32]) -> Cpumask {
    let mask = Cpumask::at(m.s.mem.alloc(ObjKind::Kernel, Cpumask::SIZE));
    mask.store(&*m.s.mem, &cpus.iter().map(|&c| CpuId(c)).collect::<CpuMaskBits>());
    mask
}

fn idle_cpus(m: &mut Machine) -> Vec<u32> {
    let mask = m.s.kf_scx_bpf_get_idle_cpumask();
    mask.load(&*m.s.mem, m.s.cfg.nr_cpus).iter().map(|c| c.0).collect()
}

#[test]
fn direct_dispatch_to_another_cpu_is_deferred_to_task_woken() {
    let mut probe = Probe::queueing();
    probe.enqueue = Box::new(|s, p, _| {
        s.kf_scx_bpf_dsq_insert(Some(p), DsqId(DsqId::LOCAL_ON.0 | 1), 5_000, 0);
    });
    let mut m = Machine::with(2, probe);
    m.forget();
    m.s.enter(CpuId(0), m.s.now);
    let p = m.s.sched_fork(&Machine::attr("p")).unwrap();
    m.s.wake_up_new_task(p);
    assert_eq!((m.s.tasks[p].cpu, m.s.local_nr(CpuId(1))), (CpuId(1), 1));
    m.settle();
    assert_eq!(m.curr(1), p);
    assert_eq!(m.s.slice(p), 5_000);
    let ops = m.ops();
    assert!(!ops.iter().any(|l| l.starts_with("dequeue")), "a terminal dispatch has no dequeue: {ops:?}");
    m.s.check_invariants();
}

#[test]
fn a_deferred_transfer_is_cancelled_by_dequeue() {
    let mut probe = Probe::queueing();
    probe.enqueue = Box::new(|s, p, flags| {
        let dsq = if flags & ENQUEUE_RESTORE != 0 { Q } else { DsqId(DsqId::LOCAL_ON.0 | 1) };
        s.kf_scx_bpf_dsq_insert(Some(p), dsq, 5_000, 0);
    });
    let mut m = Machine::with(2, probe);
    m.s.enter(CpuId(0), m.s.now);
    let p = m.s.sched_fork(&Machine::attr("p")).unwrap();
    let idle = m.s.rqs[0].idle;
    // By hand, so that task_woken does not run yet.
    m.s.tasks[p].ts.__state().set(&*m.s.mem, TASK_RUNNING);
    m.s.activate_task(CpuId(0), p, ENQUEUE_NOCLOCK);
    assert_eq!(m.s.rqs[0].ext.ddsp_deferred_locals, [p]);
    m.s.set_user_nice(p, 1);
    assert!(m.s.rqs[0].ext.ddsp_deferred_locals.is_empty());
    assert_eq!(m.s.kf_scx_bpf_dsq_peek(Q), Some(p));
    assert_eq!(m.curr(0), idle);
    m.settle();
    m.s.check_invariants();
}

#[test]
fn default_selection_claims_prev_then_rotates() {
    let mut probe = Probe::queueing();
    probe.without.push(Op::SelectCpu);
    let mut m = Machine::with(4, probe);
    assert_eq!(idle_cpus(&mut m), [0, 1, 2, 3]);
    let a = m.fork("a", 2);
    assert_eq!(m.curr(2), a);
    assert_eq!(idle_cpus(&mut m), [0, 1, 3]);
    // prev is busy: the next idle one behind what this CPU got last (0 at boot).
    let b = m.fork("b", 2);
    assert_eq!(m.curr(1), b);
    let c = m.fork("c", 2);
    assert_eq!(m.curr(3), c);
    let d = m.fork("d", 2);
    assert_eq!(m.curr(0), d);
    // None left: prev, and the task is enqueued.
    m.forget();
    m.fork("e", 2);
    assert!(m.ops().iter().any(|l| l.starts_with("enqueue(e")));
    assert_eq!(m.s.ext.event(EventId::RefillSliceDfl), 4);
}

#[test]
fn sync_wakeups_stay_with_the_waker() {
    let mut m = Machine::with(3, Probe::queueing());
    let waker = m.fork("waker", 0);
    let p = m.sleeper("p", 1);
    assert_eq!(m.curr(0), waker);
    m.s.enter(CpuId(0), m.s.now);
    // prev idle: prev. Then the waker's own CPU, though it is not idle.
    assert_eq!(m.s.kf_scx_bpf_select_cpu_dfl(p, 1, SCX_WAKE_SYNC), (1, true));
    assert_eq!(m.s.kf_scx_bpf_select_cpu_dfl(p, 1, SCX_WAKE_SYNC), (0, true));
    // Without SYNC the idle one, and when there is none, prev.
    assert_eq!(m.s.kf_scx_bpf_select_cpu_dfl(p, 1, 0), (2, true));
    assert_eq!(m.s.kf_scx_bpf_select_cpu_dfl(p, 1, SCX_WAKE_SYNC), (1, false));
}

#[test]
fn picks_and_claims() {
    let mut m = Machine::with(4, Probe::queueing());
    let only = mask(&m, &[1, 3]);
    assert!(m.s.kf_scx_bpf_test_and_clear_cpu_idle(1));
    assert!(!m.s.kf_scx_bpf_test_and_clear_cpu_idle(1));
    assert_eq!(m.s.kf_scx_bpf_pick_idle_cpu(only, 0), 3);
    assert_eq!(m.s.kf_scx_bpf_pick_idle_cpu(only, 0), -16);
    assert_eq!(m.s.kf_scx_bpf_pick_any_cpu(only, 0), 1);
    assert_eq!(m.s.kf_scx_bpf_pick_any_cpu(only, 0), 3);
    let none = mask(&m, &[]);
    assert_eq!(m.s.kf_scx_bpf_pick_any_cpu(none, 0), -16);
    assert_eq!(idle_cpus(&mut m), [0, 2]);
}

#[test]
fn select_cpu_and_narrows_the_affinity() {
    let mut m = Machine::with(4, Probe::queueing());
    let p = m.sleeper("p", 0);
    let allowed = mask(&m, &[2]);
    assert_eq!(m.s.kf_scx_bpf_select_cpu_and(p, 0, 0, allowed, 0), 2);
    assert_eq!(m.s.kf_scx_bpf_select_cpu_and(p, 0, 0, allowed, 0), -16);
    m.s.set_cpus_allowed(p, &CpuMaskBits::one(CpuId(3))).unwrap();
    assert_eq!(m.s.kf_scx_bpf_select_cpu_and(p, 0, 0, allowed, 0), -16);
    let both = mask(&m, &[2, 3]);
    assert_eq!(m.s.kf_scx_bpf_select_cpu_and(p, 0, 0, both, 0), 3);
}

#[test]
fn slices_from_outside_wait_for_the_next_run() {
    let mut m = Machine::with(1, Probe::queueing());
    let a = m.fork("a", 0);
    let b = m.fork("b", 0);
    assert!(m.s.kf_scx_bpf_task_set_slice(b, 123_456));
    assert_eq!(m.s.slice(b), SCX_SLICE_DFL);
    m.block(0);
    assert_eq!((m.curr(0), m.s.slice(b)), (b, 123_456));
    assert!(m.s.kf_scx_bpf_task_set_slice(a, 1 << 50));
    assert_eq!(m.s.ext.event(EventId::SliceClamped), 1);
}

#[test]
fn infinite_slices_do_not_run_down() {
    let mut probe = Probe::queueing();
    probe.enqueue = Box::new(|s, p, flags| {
        s.kf_scx_bpf_dsq_insert(Some(p), Q, SCX_SLICE_INF, flags);
    });
    let mut m = Machine::with(1, probe);
    let a = m.fork("a", 0);
    m.fork("b", 0);
    m.run_ms(400);
    assert_eq!((m.curr(0), m.s.slice(a)), (a, SCX_SLICE_INF));
}

#[test]
fn slice_zero_keeps_what_is_left() {
    let mut probe = Probe::queueing();
    probe.enqueue = Box::new(|s, p, flags| {
        s.kf_scx_bpf_dsq_insert(Some(p), Q, 0, flags);
    });
    let mut m = Machine::with(1, probe);
    let a = m.fork("a", 0);
    let b = m.fork("b", 0);
    assert_eq!(m.s.slice(a), SCX_SLICE_DFL);
    m.advance_ms(20);
    m.tick(0);
    m.settle();
    assert_eq!((m.curr(0), m.s.slice(a)), (b, 1));
}

#[test]
fn ops_nest_from_dispatch_to_dequeue() {
    let mut probe = Probe::queueing();
    probe.dequeue = Box::new(|s, _| {
        // The source DSQ may be looked at from here.
        let it = s.kf_bpf_iter_scx_dsq_new(Q, 0).unwrap();
        s.kf_bpf_iter_scx_dsq_next(it);
        s.kf_bpf_iter_scx_dsq_destroy(it);
    });
    let mut m = Machine::with(1, probe);
    for i in 0..3 {
        m.fork(&format!("t{i}"), 0);
    }
    m.run_ms(200);
    assert!(m.s.ext.exit_info().is_none());
    m.s.check_invariants();
}

#[test]
fn dispatching_to_other_cpus_from_dispatch() {
    let mut probe = Probe::queueing();
    probe.enqueue = Box::new(|_, _, _| ());
    let held = Rc::new(RefCell::new(Vec::new()));
    let take = held.clone();
    probe.dispatch = Box::new(move |s, cpu, _| {
        if cpu == CpuId(0) {
            for (i, p) in take.borrow_mut().drain(..).enumerate() {
                s.kf_scx_bpf_dsq_insert(Some(p), DsqId(DsqId::LOCAL_ON.0 | i as u64), SCX_SLICE_DFL, 0);
            }
        }
    });
    let mut m = Machine::with(3, probe);
    let t: Vec<TaskId> = (0..3).map(|i| m.fork(&format!("t{i}"), 0)).collect();
    held.borrow_mut().extend(&t);
    m.forget();
    m.s.kf_scx_bpf_kick_cpu(0, 0);
    m.settle();
    assert_eq!([m.curr(0), m.curr(1), m.curr(2)], [t[0], t[1], t[2]]);
    let ops = m.ops();
    assert_eq!(ops.iter().filter(|l| l.starts_with("dequeue")).count(), 3);
    assert!(!ops.iter().any(|l| l.starts_with("quiescent") || l.starts_with("runnable")), "{ops:?}");
    m.s.check_invariants();
}

#[test]
fn task_cgroup_needs_an_argument_task() {
    let mut probe = Probe::queueing();
    probe.tick = Box::new(|s, p| {
        assert_eq!(s.kf_scx_bpf_task_cgroup(p), s.root.cgrp.addr());
    });
    let mut m = Machine::with(1, probe);
    let a = m.fork("a", 0);
    m.run_ms(4);
    assert!(m.s.ext.exit_info().is_none());
    m.s.kf_scx_bpf_task_cgroup(a);
    assert_eq!(m.s.ext.exit_info().unwrap().msg, "called on a task not being operated on");
}

#[test]
fn a_pick_that_finds_nothing_ends_after_32_rounds() {
    let calls = Rc::new(RefCell::new(0));
    let n = calls.clone();
    let mut probe = Probe::queueing();
    probe.dispatch = Box::new(move |s, _, _| {
        *n.borrow_mut() += 1;
        // A task that runs elsewhere: attempts count, nothing comes of them.
        let p = s.rqs[0].curr;
        s.kf_scx_bpf_dsq_insert(Some(p), DsqId::LOCAL, 0, 0);
    });
    let mut m = Machine::new(2);
    let a = m.fork("a", 0);
    m.load(Probe::queueing());
    m.unload();
    assert_eq!(m.curr(0), a);
    m.s.scx_enable(Rc::new(probe)).unwrap();
    m.s.requests.clear();
    *calls.borrow_mut() = 0;
    m.s.enter(CpuId(1), m.s.now);
    m.s.schedule(CpuId(1));
    assert_eq!(*calls.borrow(), 32);
    // It asks to be called again instead, through an irq_work.
    assert_eq!(m.s.requests, [Request::IrqWork(CpuId(1))]);
    assert_eq!(m.curr(1), m.s.rqs[1].idle);
}

#[test]
fn kick_wait_sends_the_kicker_through_a_pick() {
    let mut m = Machine::with(2, Probe::queueing());
    let (a, b) = (m.fork("a", 0), m.fork("b", 1));
    assert_eq!((m.curr(0), m.curr(1)), (a, b));
    let sync = |m: &Machine, cpu: usize| m.s.rqs[cpu].ext.kick_sync;
    let before = (sync(&m, 0), sync(&m, 1));
    m.s.enter(CpuId(0), m.s.now);
    m.s.kf_scx_bpf_kick_cpu(1, SCX_KICK_WAIT);
    m.settle();
    assert!(sync(&m, 0) > before.0 && sync(&m, 1) > before.1);
    assert!(!m.s.rqs[0].ext.kick_sync_pending);
    assert_eq!((m.curr(0), m.curr(1)), (a, b), "slices are left");
}

#[test]
fn kicks_spare_busy_cpus_and_higher_classes() {
    let mut probe = Probe::queueing();
    probe.params.flags |= SCX_OPS_SWITCH_PARTIAL;
    let mut m = Machine::with(2, probe);
    let f = m.fork("f", 1);
    assert_eq!(m.curr(1), f);
    m.forget();
    m.s.enter(CpuId(0), m.s.now);
    m.s.kf_scx_bpf_kick_cpu(1, SCX_KICK_IDLE);
    assert!(m.s.requests.is_empty(), "busy: dropped early");
    m.s.kf_scx_bpf_kick_cpu(1, SCX_KICK_PREEMPT);
    m.settle();
    assert_ops(&mut m, "");
    assert_eq!(m.curr(1), f);
}

#[test]
fn preempting_insert_ends_the_running_slice() {
    let mut m = Machine::with(1, Probe::queueing());
    let a = m.fork("a", 0);
    let b = m.fork("b", 0);
    let it = m.s.kf_bpf_iter_scx_dsq_new(Q, 0).unwrap();
    assert!(m.s.kf_scx_bpf_dsq_move(it, b, DsqId::LOCAL, SCX_ENQ_PREEMPT));
    m.s.kf_bpf_iter_scx_dsq_destroy(it);
    assert_eq!(m.s.slice(a), 0);
    m.settle();
    assert_eq!(m.curr(0), b);
}

#[test]
fn migration_disabled_tasks_stay_and_skip_enqueue() {
    let mut m = Machine::with(2, Probe::queueing());
    let a = m.sleeper("a", 0);
    m.s.tasks[a].migration_disabled = 1;
    m.forget();
    m.wake(a, 1);
    assert_ops(&mut m, "runnable(a,WAKEUP|NOCLOCK) running(a)");
    assert_eq!(m.s.ext.event(EventId::EnqSkipMigrationDisabled), 1);
}

#[test]
fn bypass_asks_nobody() {
    let mut m = Machine::with(2, Probe::queueing());
    let a = m.sleeper("a", 0);
    let b = m.sleeper("b", 0);
    m.s.scx_bypass(true);
    m.settle();
    m.forget();
    m.wake(a, 1);
    m.wake(b, 1);
    assert_ops(
        &mut m,
        "runnable(a,WAKEUP|NOCLOCK|CPU_SELECTED) running(a) runnable(b,WAKEUP|NOCLOCK|CPU_SELECTED)",
    );
    // Each tick ends a slice; both run, first in first out, without ops.
    m.advance_ms(4);
    m.tick(0);
    m.settle();
    assert_ops(&mut m, "stopping(a,true) running(b)");
    m.s.scx_bypass(false);
    m.settle();
    assert_ops(
        &mut m,
        "quiescent(a,SAVE|MOVE|NOCLOCK|SCHED_CHANGE) runnable(a,RESTORE|MOVE|NOCLOCK) enqueue(a,RESTORE|MOVE|NOCLOCK) dispatch(1,NULL) dequeue(a,0) running(a)",
    );
    assert_eq!((m.curr(0), m.curr(1)), (b, a));
}

#[test]
fn per_node_variants_need_their_flag() {
    let mut probe = Probe::queueing();
    probe.params.flags |= SCX_OPS_BUILTIN_IDLE_PER_NODE;
    let mut m = Machine::with(2, probe);
    let all = mask(&m, &[0, 1]);
    assert_eq!(m.s.kf_scx_bpf_get_idle_cpumask_node(0).weight(&*m.s.mem, 2), 2);
    assert_eq!(m.s.kf_scx_bpf_get_idle_cpumask_node(-1).weight(&*m.s.mem, 2), 0);
    assert_eq!(m.s.kf_scx_bpf_pick_idle_cpu_node(all, 0, 0), 1);
    assert_eq!(m.s.kf_scx_bpf_pick_any_cpu_node(all, 0, 0), 0);
    assert_eq!(m.s.kf_scx_bpf_pick_idle_cpu_node(all, 0, 0), -16);
    assert_eq!(m.s.kf_scx_bpf_pick_any_cpu_node(all, 0, 0), 1);
    assert_eq!(m.s.kf_scx_bpf_pick_idle_cpu_node(all, -1, 0), -2);
    assert!(m.s.ext.exit_info().is_none());
    assert_eq!(m.s.kf_scx_bpf_pick_idle_cpu_node(all, 3, 0), -22);
    assert_eq!(m.s.ext.exit_info().unwrap().msg, "invalid node 3");
    let mut m = Machine::with(1, Probe::queueing());
    assert_eq!(m.s.kf_scx_bpf_pick_idle_cpu_node(all, 0, 0), -95);
    assert_eq!(m.s.ext.exit_info().unwrap().msg, "per-node idle tracking is disabled");
}

/// ops.enqueue of a task that leaves its CPU idle holds the CPU's rq, so an IDLE kick of it cannot be thought superfluous.
#[test]
fn an_idle_kick_from_enqueue_last_is_kept() {
    let queue: Rc<RefCell<Vec<TaskId>>> = Rc::default();
    let mut probe = Probe::queueing();
    probe.params.flags |= SCX_OPS_ENQ_LAST;
    let to = queue.clone();
    probe.enqueue = Box::new(move |s, p, _| {
        to.borrow_mut().push(p);
        let cpu = s.tasks[p].cpu.0 as i32;
        s.kf_scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
    });
    probe.dispatch = Box::new(move |s, _, _| {
        if let Some(p) = queue.borrow_mut().pop() {
            s.kf_scx_bpf_dsq_insert(Some(p), DsqId::LOCAL, SCX_SLICE_DFL, 0);
        }
    });
    let mut m = Machine::with(1, probe);
    let p = m.fork("p", 0);
    assert_eq!(m.curr(0), p);
    m.s.set_task_slice(p, 0);
    m.s.resched_curr(CpuId(0));
    m.settle();
    assert_eq!(m.curr(0), p, "it waits in a queue, and its CPU is idle");
}

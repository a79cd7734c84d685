//! Loading, unloading, partial switching, class changes.

use std::rc::Rc;

use sextant_abi::exit::ExitKind;
use sextant_abi::types::*;
use sextant_abi::{CpuId, CpuMaskBits};

use super::*;
use crate::ext::{EnableError, EnableState, EventId};
use crate::task::Class;

#[test]
fn load_sequence() {
    let mut m = Machine::new(1);
    m.s.boot_task(1, &Machine::attr("init"), CpuId(0), false);
    let a = m.fork("a", 0);
    let b = m.fork("b", 0);
    assert_eq!((m.curr(0), m.s.tasks[b].class), (a, Class::Fair));
    m.forget();
    m.s.scx_enable(Rc::new(Probe::queueing())).unwrap();
    assert_ops(
        &mut m,
        "init() cgroup_init(1) init_task(init,false) init_task(a,false) init_task(b,false) \
         enable(init) set_weight(init,100) set_cpumask(init) \
         enable(a) set_weight(a,100) set_cpumask(a) runnable(a,RESTORE|MOVE|NOCLOCK|CLASS|IGNORE_CAPS) running(a) \
         enable(b) set_weight(b,100) set_cpumask(b) runnable(b,RESTORE|MOVE|NOCLOCK|CLASS) \
         quiescent(b,SAVE|MOVE|NOCLOCK|SCHED_CHANGE) runnable(b,RESTORE|MOVE|NOCLOCK) enqueue(b,RESTORE|MOVE|NOCLOCK)",
    );
    assert_eq!(m.s.ext.state(), EnableState::Enabled);
    assert_eq!(m.s.slice(a), SCX_SLICE_BYPASS);
    assert_eq!(m.s.ext.event(EventId::BypassActivate), 1);
    m.settle();
    m.s.check_invariants();
}

#[test]
fn unload_sequence_and_everything_is_fair_again() {
    let mut m = Machine::new(1);
    let probe = m.load(Probe::queueing());
    let (a, b) = (m.fork("a", 0), m.fork("b", 0));
    m.forget();
    m.s.scx_disable(ExitKind::Unreg);
    m.s.scx_flush_disable_work();
    assert_ops(
        &mut m,
        "dequeue(b,SAVE|MOVE|NOCLOCK|SCHED_CHANGE) quiescent(b,SAVE|MOVE|NOCLOCK|SCHED_CHANGE) runnable(b,RESTORE|MOVE|NOCLOCK) \
         cgroup_exit(1) stopping(a,false) quiescent(a,SAVE|MOVE|NOCLOCK|CLASS|SCHED_CHANGE) disable(a) exit_task(a,false) \
         quiescent(b,SAVE|MOVE|NOCLOCK|CLASS|SCHED_CHANGE) disable(b) exit_task(b,false) exit()",
    );
    m.settle();
    m.s.check_invariants();
    assert_eq!(*probe.exits.borrow(), 1);
    assert_eq!(m.s.ext.state(), EnableState::Disabled);
    assert_eq!(m.s.ext.exit_info().unwrap().kind, ExitKind::Unreg);
    for p in [a, b] {
        assert_eq!(m.s.tasks[p].class, Class::Fair);
        assert_eq!(m.s.scx_task_state(p), SCX_TASK_NONE);
        assert_eq!(m.s.slice(p), 0);
    }
    // Both still get to run.
    m.s.rqs[0].ext.nr_running.checked_sub(0).unwrap();
    m.run_ms(200);
    let ran = |m: &Machine, p: TaskId| m.s.tasks[p].ts.se().sum_exec_runtime().get(&*m.s.mem);
    assert!(ran(&m, a) > 20_000_000 && ran(&m, b) > 20_000_000);
    assert_eq!(m.s.rqs[0].ext.nr_running, 0);
}

#[test]
fn loading_twice_works_and_kfuncs_need_a_scheduler() {
    let mut m = Machine::new(2);
    assert_eq!(m.s.kf_scx_bpf_create_dsq(Q, -1), -19);
    for _ in 0..2 {
        m.load(Probe::queueing());
        let p = m.fork("p", 0);
        assert_eq!(m.s.tasks[p].class, Class::Ext);
        m.unload();
    }
    assert_eq!(m.s.kf_scx_bpf_dsq_nr_queued(Q), -19);
    assert_eq!(m.s.ext.enable_seq(), 2);
    m.s.check_invariants();
}

#[test]
fn partial_switching_and_changes_of_class() {
    let mut probe = Probe::queueing();
    probe.params.flags |= SCX_OPS_SWITCH_PARTIAL;
    let mut m = Machine::with(1, probe);
    let f = m.fork("f", 0);
    assert_ops_of(&mut m, "f", &["init_task(f,true)"]);
    let e = m.fork_attr(&TaskAttr { policy: SCHED_EXT, ..Machine::attr("e") }, 0);
    assert_eq!((m.s.tasks[f].class, m.s.tasks[e].class), (Class::Fair, Class::Ext));
    // fair is above ext: e waits for f.
    assert_eq!(m.curr(0), f);
    m.block(0);
    assert_eq!(m.curr(0), e);
    m.forget();
    m.s.sched_setscheduler(e, SCHED_NORMAL, 0).unwrap();
    assert_ops_of(
        &mut m,
        "e",
        &["stopping(e,false)", "quiescent(e,SAVE|NOCLOCK|CLASS|SCHED_CHANGE)", "disable(e)"],
    );
    m.settle();
    m.s.sched_setscheduler(f, SCHED_EXT, 0).unwrap();
    assert_ops_of(&mut m, "f", &["enable(f)", "set_weight(f,100)", "set_cpumask(f)"]);
    assert_eq!(m.s.tasks[f].class, Class::Ext);
}

/// The nice value stays with a policy that is set without one; the place in the queue (MOVE) changes only with the priority; and a fair
/// policy that is set again is a change all the same, its slice being given anew.
#[test]
fn policies_keep_the_nice_value_and_the_place() {
    let mut probe = Probe::queueing();
    probe.params.flags |= SCX_OPS_SWITCH_PARTIAL;
    let mut m = Machine::with(1, probe);
    let e = m.fork_attr(&TaskAttr { policy: SCHED_EXT, ..Machine::attr("e") }, 0);
    m.s.set_user_nice(e, -5);
    assert_eq!(m.s.scx(e).weight().get(&*m.s.mem), 305);
    m.forget();
    m.s.sched_setscheduler(e, SCHED_NORMAL, None).unwrap();
    assert_ops_of(
        &mut m,
        "e",
        &["stopping(e,false)", "quiescent(e,SAVE|NOCLOCK|CLASS|SCHED_CHANGE)", "disable(e)"],
    );
    m.s.sched_setscheduler(e, SCHED_EXT, None).unwrap();
    assert_eq!(m.s.scx(e).weight().get(&*m.s.mem), 305);
    m.settle();
    m.forget();
    m.s.sched_setscheduler(e, SCHED_EXT, None).unwrap();
    let again = m.ops();
    assert!(again.iter().any(|l| l.starts_with("quiescent(e,SAVE|NOCLOCK")), "{again:?}");
    m.forget();
    m.s.sched_setscheduler(e, SCHED_EXT, 0).unwrap();
    let other = m.ops();
    assert!(other.iter().any(|l| l.starts_with("quiescent(e,SAVE|MOVE|NOCLOCK")), "{other:?}");
    // SCHED_IDLE has no nice value of its own: the same again is no change.
    m.s.sched_setscheduler(e, SCHED_IDLE, None).unwrap();
    m.forget();
    m.s.sched_setscheduler(e, SCHED_IDLE, 7).unwrap();
    assert_eq!(m.ops(), Vec::<String>::new());
    assert_eq!(m.s.t(e).static_prio().get(&*m.s.mem), 120);
}

#[track_caller]
fn assert_ops_of(m: &mut Machine, comm: &str, expected: &[&str]) {
    let got: Vec<String> = m.ops().into_iter().filter(|l| l.contains(&format!("({comm}"))).collect();
    assert_eq!(got, expected);
}

#[test]
fn the_old_switch_all_lifts_partial_mode() {
    let mut probe = Probe::queueing();
    probe.params.calls_switch_all = true;
    let mut m = Machine::with(1, probe);
    let p = m.fork("p", 0);
    assert_eq!(m.s.tasks[p].class, Class::Fair);
    m.unload();
    let mut probe = Probe::queueing();
    probe.params.calls_switch_all = true;
    probe.init = Box::new(|s| {
        s.kf_scx_bpf_switch_all();
        s.kf_scx_bpf_create_dsq(Q, -1)
    });
    m.load(probe);
    assert_eq!(m.s.tasks[p].class, Class::Ext);
}

#[test]
fn disallow_keeps_a_task_out() {
    let mut m = Machine::new(1);
    let p = m.fork_attr(&TaskAttr { policy: SCHED_EXT, ..Machine::attr("p") }, 0);
    let mut probe = Probe::queueing();
    probe.params.flags |= SCX_OPS_SWITCH_PARTIAL;
    probe.init_task = Box::new(|s, p, fork| {
        if !fork {
            s.scx(p).disallow().set(&*s.mem, true);
        }
        0
    });
    m.load(probe);
    assert_eq!(m.s.tasks[p].class, Class::Fair);
    assert_eq!(m.s.ext.nr_rejected(), 1);
    assert_eq!(m.s.sched_setscheduler(p, SCHED_EXT, 0), Err(-13));
}

#[test]
fn disallow_at_fork_is_an_error() {
    let mut probe = Probe::queueing();
    probe.init_task = Box::new(|s, p, fork| {
        s.scx(p).disallow().set(&*s.mem, fork);
        0
    });
    let mut m = Machine::with(1, probe);
    m.fork("p", 0);
    let info = m.s.ext.exit_info().unwrap();
    assert_eq!(info.msg, "ops.init_task() set task->scx.disallow for p[1000] during fork");
    assert_eq!(m.s.ext.state(), EnableState::Disabled);
}

#[test]
fn a_table_that_is_malformed_is_not_attached() {
    let mut m = Machine::new(1);
    let err = |m: &mut Machine, f: &dyn Fn(&mut OpsParams)| {
        let mut probe = Probe::queueing();
        f(&mut probe.params);
        m.s.scx_enable(Rc::new(probe)).unwrap_err()
    };
    assert_eq!(err(&mut m, &|p| p.flags = 1 << 16).errno(), 22);
    assert_eq!(err(&mut m, &|p| p.name = "a b".into()).errno(), 22);
    assert_eq!(err(&mut m, &|p| p.name.clear()).errno(), 22);
    assert_eq!(err(&mut m, &|p| p.timeout_ms = 30_001).errno(), 7);
    assert_eq!(err(&mut m, &|p| p.dispatch_max_batch = 1 << 31).errno(), 7);
    m.load(Probe::queueing());
    assert_eq!(err(&mut m, &|_| ()), EnableError::Busy);
}

#[test]
fn failing_init_is_an_attach_and_an_exit() {
    for (ret, errno, first) in
        [(-12, -12, "ops.init() failed (-12)"), (5, -71, "ops.init() returned an invalid errno 5")]
    {
        let mut probe = Probe::queueing();
        probe.init = Box::new(move |_| ret);
        let mut m = Machine::new(1);
        let p = m.fork("p", 0);
        let probe = m.load(probe);
        let info = m.s.ext.exit_info().unwrap();
        assert_eq!((info.kind, info.msg.as_str(), info.flags), (ExitKind::Error, first, 0), "{errno}");
        assert_eq!(*probe.exits.borrow(), 1);
        assert_eq!(m.s.tasks[p].class, Class::Fair);
        m.s.check_invariants();
    }
}

#[test]
fn failing_init_task_undoes_those_before() {
    let mut m = Machine::new(1);
    let (a, b) = (m.fork("a", 0), m.fork("b", 0));
    let mut probe = Probe::queueing();
    probe.init_task = Box::new(move |_, p, _| if p == b { -12 } else { 0 });
    m.forget();
    m.load(probe);
    let ops = m.ops();
    assert_eq!(m.s.ext.exit_info().unwrap().msg, "ops.init_task() failed (-12) for b[1001]");
    assert_eq!(ops.iter().filter(|l| l.starts_with("exit_task")).collect::<Vec<_>>(), ["exit_task(a,false)"]);
    assert_eq!(m.s.scx_task_state(a), SCX_TASK_NONE);
}

#[test]
fn enq_last_without_enqueue_is_ejected() {
    let mut probe = Probe::queueing();
    probe.params.flags |= SCX_OPS_ENQ_LAST;
    probe.without.push(Op::Enqueue);
    let mut m = Machine::new(1);
    m.load(probe);
    assert_eq!(m.s.ext.exit_info().unwrap().msg, "SCX_OPS_ENQ_LAST requires ops.enqueue() to be implemented");
}

#[test]
fn a_failed_fork_leaves_nothing() {
    let mut probe = Probe::queueing();
    probe.init_task = Box::new(|_, _, fork| if fork { -12 } else { 0 });
    let mut m = Machine::with(1, probe);
    m.forget();
    assert_eq!(m.s.sched_fork(&Machine::attr("p")), Err(-12));
    assert_ops(&mut m, "init_task(p,true)");
    assert!(m.s.ext.exit_info().is_none());
}

#[test]
fn native_policies_run() {
    for ops in [Rc::new(crate::native::Fifo) as Rc<dyn Ops>, Rc::new(crate::native::VtimeFair::default())] {
        let mut m = Machine::new(2);
        m.s.scx_enable(ops).unwrap();
        m.settle();
        let tasks: Vec<TaskId> = (0..6).map(|i| m.fork(&format!("t{i}"), 0)).collect();
        m.run_ms(1200);
        m.s.check_invariants();
        assert!(m.s.ext.exit_info().is_none());
        for &p in &tasks {
            let ran = m.s.tasks[p].ts.se().sum_exec_runtime().get(&*m.s.mem);
            assert!(ran.abs_diff(400_000_000) <= 60_000_000, "{} ran {ran} ns", m.comm(p));
        }
    }
}

#[test]
fn idle_cpus_are_announced_when_bypass_ends() {
    let mut m = Machine::new(2);
    let p = m.fork("p", 0);
    assert_eq!(m.curr(0), p);
    m.forget();
    m.load(Probe::queueing().with_update_idle());
    let ops = m.ops();
    let idle: Vec<&String> = ops.iter().filter(|l| l.starts_with("update_idle")).collect();
    assert_eq!(idle, ["update_idle(1,true)"]);
    let mask = m.s.kf_scx_bpf_get_idle_cpumask();
    assert_eq!(mask.load(&*m.s.mem, 2), CpuMaskBits::one(CpuId(1)));
}

#[test]
fn the_cpu_is_released_to_higher_classes_once_and_acquired_again() {
    let mut probe = Probe::queueing();
    probe.params.flags |= SCX_OPS_SWITCH_PARTIAL;
    probe.without.retain(|&op| op != Op::CpuAcquire && op != Op::CpuRelease);
    let mut m = Machine::with(1, probe);
    let e = m.fork_attr(&TaskAttr { policy: SCHED_EXT, ..Machine::attr("e") }, 0);
    assert_eq!(m.curr(0), e);
    m.forget();
    let f = m.fork("f", 0);
    assert_eq!(m.curr(0), f);
    assert_ops(&mut m, "init_task(f,true) stopping(e,true) cpu_release(0,3)");
    assert_eq!(m.s.local_nr(CpuId(0)), 1, "slice left: it waits at the head of the local DSQ");
    m.block(0);
    assert_ops(&mut m, "cpu_acquire(0) running(e)");
}

/// Shares (per mille of both CPUs) of hogs of those nice values under `vtime`, after 30 s.
fn vtime_shares(nice: &[i32]) -> Vec<u64> {
    let mut m = Machine::new(2);
    m.s.scx_enable(Rc::new(crate::native::VtimeFair::default())).unwrap();
    m.settle();
    let attr = |&nice: &i32| TaskAttr { nice, ..Machine::attr("hog") };
    let hogs: Vec<TaskId> = nice.iter().map(|n| m.fork_attr(&attr(n), 0)).collect();
    for _ in 0..300 {
        m.run_ms(100);
        m.forget();
    }
    let ran = |p: TaskId| m.s.tasks[p].ts.se().sum_exec_runtime().get(&*m.s.mem);
    hogs.into_iter().map(|p| ran(p) / 60_000_000).collect()
}

#[test]
fn vtime_shares_follow_the_weights() {
    let got = vtime_shares(&[0, 0, 0, 1, 1, 1, 5, 5, 5, 10, 10, 10]);
    let ideal = [100, 80, 33, 11].map(|w| w * 1000 / (3 * 224));
    for (i, got) in got.iter().enumerate() {
        assert!(got.abs_diff(ideal[i / 3]) <= 10, "{i}: {got} of {ideal:?}");
    }
}

/// Dispatch comes before the enqueue of the task whose slice is over, so no task runs twice in a row where another waits:
/// with two tasks more than CPUs, two thirds of a CPU is the most one can get, whatever its weight.
#[test]
fn few_hogs_cannot_follow_their_weights() {
    let got = vtime_shares(&[0, 1, 5, 10]);
    for (got, ideal) in got.iter().zip([333, 333, 250, 83]) {
        assert!(got.abs_diff(ideal) <= 20, "{got} of {ideal}");
    }
}

//! Errors in the kernel's words, the watchdog, the dump.

use sextant_abi::exit::ExitKind;
use sextant_abi::types::*;
use sextant_abi::{CpuId, CpuMaskBits, DsqId};

use super::*;
use crate::ext::{EnableState, EventId};
use crate::task::Class;

/// Loads, forks `a`, wakes it once; the message of the exit that follows.
#[track_caller]
fn exit_of(probe: Probe) -> (ExitKind, String) {
    let mut m = Machine::with(2, probe);
    let a = m.sleeper("a", 0);
    m.wake(a, 0);
    exit_msg(&mut m, a)
}

#[track_caller]
fn exit_msg(m: &mut Machine, survivor: TaskId) -> (ExitKind, String) {
    m.settle();
    m.s.check_invariants();
    assert_eq!(m.s.ext.state(), EnableState::Disabled);
    assert_eq!(m.s.tasks[survivor].class, Class::Fair);
    let info = m.s.ext.exit_info().expect("exited").clone();
    (info.kind, info.msg)
}

/// From the second select_cpu on (the first is the fork).
fn on_wakeup(f: impl Fn(&mut Sched, TaskId) + 'static) -> Probe {
    let mut probe = Probe::queueing();
    probe.select_cpu = Box::new(move |s, p, prev, flags| {
        if flags & SCX_WAKE_TTWU != 0 {
            f(s, p);
        }
        prev.0 as i32
    });
    probe
}

#[test]
fn double_direct_dispatch() {
    let probe = on_wakeup(|s, p| {
        s.kf_scx_bpf_dsq_insert(Some(p), DsqId::LOCAL, 0, 0);
        s.kf_scx_bpf_dsq_insert(Some(p), DsqId::LOCAL, 0, 0);
    });
    assert_eq!(exit_of(probe), (ExitKind::Error, "a[1000] already direct-dispatched".into()));
}

#[test]
fn direct_dispatch_of_another_task() {
    let mut m = Machine::new(1);
    let other = m.fork("other", 0);
    let mut probe = Probe::queueing();
    probe.enqueue = Box::new(move |s, p, _| {
        let victim = if p == other { p } else { other };
        s.kf_scx_bpf_dsq_insert(Some(victim), Q, 0, 0);
    });
    m.load(probe);
    let a = m.fork("a", 0);
    let msg = "scheduling for a[1001] but trying to direct-dispatch other[1000]";
    assert_eq!(exit_msg(&mut m, a), (ExitKind::Error, msg.into()));
}

#[test]
fn vtime_on_a_builtin_dsq() {
    let probe = on_wakeup(|s, p| {
        s.kf_scx_bpf_dsq_insert_vtime(Some(p), DsqId::LOCAL, 0, 1, 0);
    });
    assert_eq!(exit_of(probe), (ExitKind::Error, "cannot use vtime ordering for built-in DSQs".into()));
}

#[test]
fn unknown_dsq() {
    let probe = on_wakeup(|s, p| {
        s.kf_scx_bpf_dsq_insert(Some(p), DsqId(0xbeef), 0, 0);
    });
    assert_eq!(exit_of(probe), (ExitKind::Error, "non-existent DSQ 0xbeef".into()));
}

#[test]
fn bad_cpus() {
    let mut probe = Probe::queueing();
    probe.select_cpu =
        Box::new(|_, _, prev, flags| if flags & SCX_WAKE_TTWU != 0 { 64 } else { prev.0 as i32 });
    assert_eq!(exit_of(probe), (ExitKind::Error, "invalid CPU 64 from ops.select_cpu()".into()));
    let probe = on_wakeup(|s, p| {
        s.kf_scx_bpf_dsq_insert(Some(p), DsqId(DsqId::LOCAL_ON.0 | 9), 0, 0);
    });
    assert_eq!(exit_of(probe).1, "invalid CPU 9 in SCX_DSQ_LOCAL_ON dispatch verdict");
    assert_eq!(exit_of(on_wakeup(|s, _| s.kf_scx_bpf_kick_cpu(-1, 0))).1, "invalid CPU -1");
}

#[test]
fn kfunc_arguments() {
    type Case = (&'static str, fn(&mut Sched, TaskId));
    let cases: [Case; 7] = [
        ("called with NULL task", |s, _| {
            s.kf_scx_bpf_dsq_insert(None, DsqId::LOCAL, 0, 0);
        }),
        ("invalid enq_flags 0x8000000000000000", |s, p| {
            s.kf_scx_bpf_dsq_insert(Some(p), DsqId::LOCAL, 0, 1 << 63);
        }),
        ("SCX_ENQ_IMMED on a non-local DSQ 0x7", |s, p| {
            s.kf_scx_bpf_dsq_insert(Some(p), Q, 0, SCX_ENQ_IMMED);
        }),
        ("PREEMPT/WAIT cannot be used with SCX_KICK_IDLE", |s, _| {
            s.kf_scx_bpf_kick_cpu(0, SCX_KICK_IDLE | SCX_KICK_WAIT);
        }),
        ("Invalid cpuperf target 1025 for CPU 0", |s, _| s.kf_scx_bpf_cpuperf_set(0, 1025)),
        ("peek on non-existent DSQ 0x63", |s, _| {
            s.kf_scx_bpf_dsq_peek(DsqId(99));
        }),
        ("accessing rq without holding rq lock", |s, _| {
            s.kf_scx_bpf_locked_rq();
        }),
    ];
    for (msg, f) in cases {
        assert_eq!(exit_of(on_wakeup(f)).1, msg);
    }
}

#[test]
fn select_cpu_and_idle_kfuncs_without_builtin_tracking() {
    let mut probe = on_wakeup(|s, _| {
        s.kf_scx_bpf_test_and_clear_cpu_idle(0);
    });
    probe.without.retain(|&op| op != Op::UpdateIdle);
    assert_eq!(exit_of(probe).1, "built-in idle tracking is disabled");
}

#[test]
fn dispatch_buffer_limits() {
    let mut probe = Probe::queueing();
    probe.dispatch = Box::new(|s, _, _| s.kf_scx_bpf_dispatch_cancel());
    let mut m = Machine::new(1);
    m.load(probe);
    let a = m.fork("a", 0);
    assert_eq!(exit_msg(&mut m, a).1, "dispatch buffer underflow");
    let mut probe = Probe::queueing();
    probe.params.dispatch_max_batch = 2;
    probe.dispatch = Box::new(|s, _, _| {
        assert_eq!(s.kf_scx_bpf_dispatch_nr_slots(), 2);
        let Some(p) = s.kf_scx_bpf_dsq_peek(Q) else { return };
        for _ in 0..3 {
            s.kf_scx_bpf_dsq_insert(Some(p), DsqId::LOCAL, 0, 0);
        }
    });
    m.load(probe);
    m.fork("b", 0);
    m.s.kf_scx_bpf_kick_cpu(0, SCX_KICK_PREEMPT);
    assert_eq!(exit_msg(&mut m, a).1, "dispatch buffer overflow");
}

#[test]
fn local_on_a_cpu_that_is_not_allowed() {
    let mut probe = Probe::queueing();
    probe.enqueue = Box::new(|s, p, _| {
        s.kf_scx_bpf_dsq_insert(Some(p), DsqId(DsqId::LOCAL_ON.0 | 1), 0, 0);
    });
    let mut m = Machine::with(2, probe);
    let attr = TaskAttr { cpus: Some(vec![CpuId(0)]), ..Machine::attr("a") };
    let a = m.fork_attr(&attr, 0);
    let msg = "SCX_DSQ_LOCAL[_ON] target CPU 1 not allowed for a[1000]";
    assert_eq!(exit_msg(&mut m, a), (ExitKind::Error, msg.into()));
    assert_eq!(m.s.tasks[a].cpu, CpuId(0));
}

#[test]
fn only_the_first_claim_counts() {
    let probe = on_wakeup(|s, _| {
        s.kf_scx_bpf_exit(42, "bye".into());
        s.kf_scx_bpf_error("late".into());
    });
    let mut m = Machine::with(1, probe);
    let a = m.fork_attr(&TaskAttr { cpus: None, ..Machine::attr("a") }, 0);
    assert!(m.s.ext.exit_info().is_none(), "one CPU: select_cpu is not called");
    m.s.kf_scx_bpf_exit(42, "bye".into());
    m.s.kf_scx_bpf_error("late".into());
    assert_eq!(exit_msg(&mut m, a), (ExitKind::UnregBpf, "bye".into()));
    let info = m.s.ext.exit_info().unwrap();
    assert_eq!((info.code, info.reason, info.dump.as_str()), (42, "unregistered from BPF", ""));
    assert_eq!(info.flags, SCX_EFLAG_INITIALIZED);
}

#[test]
fn the_watchdog_throws_out_who_never_dispatches() {
    let mut probe = Probe::queueing();
    probe.params.timeout_ms = 1000;
    probe.dispatch = Box::new(|_, _, _| ());
    let mut m = Machine::with(1, probe);
    let a = m.fork("a", 0);
    m.run_ms(900);
    assert!(m.s.ext.exit_info().is_none());
    m.run_ms(700);
    let (kind, msg) = exit_msg(&mut m, a);
    assert_eq!(kind, ExitKind::ErrorStall);
    assert_eq!(msg, "a[1000] failed to run for 1.500s");
    let info = m.s.ext.exit_info().unwrap();
    assert_eq!((info.reason, info.exit_cpu), ("runnable task stall", 0));
    assert_eq!(m.curr(0), a);
}

#[test]
fn a_starved_watchdog_is_an_exit_too() {
    let mut probe = Probe::queueing();
    probe.params.timeout_ms = 100;
    let mut m = Machine::with(1, probe);
    let a = m.fork("a", 0);
    m.advance_ms(200);
    m.tick(0);
    let (kind, msg) = exit_msg(&mut m, a);
    assert_eq!((kind, msg.as_str()), (ExitKind::ErrorStall, "watchdog failed to check in for 0.200s"));
}

/// `vscnprintf` into 1024 bytes.
#[test]
fn a_long_message_is_cut() {
    let mut m = Machine::with(1, Probe::queueing());
    m.s.kf_scx_bpf_error("é".repeat(2000));
    m.settle();
    let info = m.s.ext.exit_info().unwrap();
    assert_eq!((info.msg.len(), info.msg.chars().next_back()), (1022, Some('é')));
}

/// What `scx_alloc_and_add_sched()` cannot allocate: -ENOMEM, and nothing is attached.
#[test]
fn a_table_that_is_too_large_is_not_attached() {
    let attach = |batch: u32, dump: u32| {
        let mut probe = Probe::queueing();
        (probe.params.dispatch_max_batch, probe.params.exit_dump_len) = (batch, dump);
        let mut m = Machine::new(1);
        let result = m.s.scx_enable(std::rc::Rc::new(probe)).map_err(|e| e.errno());
        assert_eq!(m.s.ext.state() == crate::ext::EnableState::Enabled, result.is_ok());
        result
    };
    let int_max = i32::MAX as u32;
    assert_eq!(attach(673, 1 << 20), Ok(()));
    assert_eq!([attach(674, 0), attach(int_max, 0), attach(0, int_max), attach(0, u32::MAX)], [Err(12); 4]);
}

#[test]
fn the_dump_names_cpus_tasks_and_counters() {
    let mut m = Machine::with(2, Probe::queueing());
    let a = m.fork("a", 0);
    m.fork("b", 0);
    m.s.enter(CpuId(0), m.s.now);
    m.s.kf_scx_bpf_error("broken".into());
    exit_msg(&mut m, a);
    let dump = &m.s.ext.exit_info().unwrap().dump;
    let head = "probe: root\na[1000] triggered exit kind 1025 on CPU 0:\n  scx_bpf_error (broken)\n\nBacktrace:\n\nCPU states\n----------\n\nCPU 0   : nr_run=2 ";
    assert!(dump.starts_with(head), "{dump}");
    let cpu = " cpu_rel=0 ksync=";
    let rescue =
        "\n          rescue=0 budget=0us rescuing=none[-1]\n          curr=a[1000] class=ext_sched_class\n";
    assert!(dump.contains(cpu) && dump.contains(rescue), "{dump}");
    assert!(dump.contains("\n *R a[1000] *root +0ms\n"), "{dump}");
    assert!(dump.contains("\n  R b[1001] *root +0ms\n"), "{dump}");
    assert!(dump.contains("dsq_id=0x7\n"), "{dump}");
    assert!(dump.contains("      cpus=3 no_mig=0\n"), "{dump}");
    assert!(dump.ends_with(&format!("{:>40}: {:16}\n", "SCX_EV_SUB_RESCUE", 0)), "{dump}");
}

#[test]
fn a_task_not_allowed_here_is_skipped_not_lost() {
    let mut m = Machine::with(2, Probe::queueing());
    let a = m.fork("a", 0);
    let pinned = m.fork("pinned", 0);
    m.s.set_cpus_allowed(pinned, &CpuMaskBits::one(CpuId(0))).unwrap();
    let c = m.fork("c", 0);
    m.s.kf_scx_bpf_kick_cpu(1, 0);
    m.settle();
    assert_eq!((m.curr(0), m.curr(1)), (a, c));
    assert_eq!(m.s.kf_scx_bpf_dsq_peek(Q), Some(pinned));
    assert_eq!(m.s.ext.event(EventId::DispatchLocalDsqOffline), 0);
}

//! CPUs that go and come (semantics §4.14, §4.24 last row).

use sextant_abi::exit::ExitKind;
use sextant_abi::types::*;
use sextant_abi::{CpuMaskBits, DsqId};

use super::*;
use crate::core::HotplugError;

const RESTART: i64 = (SCX_ECODE_ACT_RESTART | SCX_ECODE_RSN_HOTPLUG) as i64;

/// With migration/N, which pushes tasks away.
fn machine(nr_cpus: u32, probe: Probe) -> Machine {
    let mut m = Machine::new(nr_cpus);
    for cpu in 0..nr_cpus {
        let attr = TaskAttr {
            cpus: Some(vec![CpuId(cpu)]),
            flags: PF_KTHREAD | PF_NO_SETAFFINITY,
            ..Machine::attr(&format!("migration/{cpu}"))
        };
        m.s.boot_task(10 + cpu as i32, &attr, CpuId(cpu), true);
    }
    m.load(probe);
    m.forget();
    m
}

fn offline(m: &mut Machine, cpu: u32) {
    m.s.enter(CpuId(cpu), m.s.now);
    m.s.cpu_deactivate(CpuId(cpu)).unwrap();
}

fn online(m: &mut Machine, cpu: u32) {
    m.s.enter(CpuId(cpu), m.s.now);
    m.s.cpu_activate(CpuId(cpu)).unwrap();
    m.settle();
}

/// Serves what is asked for, and runs migration/N where it has something to do.
fn vacate(m: &mut Machine, cpu: u32) {
    for _ in 0..32 {
        m.settle();
        let stop = m.s.rqs[cpu as usize].stop.unwrap();
        if m.curr(cpu) == stop {
            m.s.enter(CpuId(cpu), m.s.now);
            m.s.stopper_thread(CpuId(cpu));
        }
    }
    m.s.check_invariants();
    assert!(m.s.cpu_is_vacated(CpuId(cpu)));
    m.s.cpu_dead(CpuId(cpu));
}

#[test]
fn tasks_are_requeued_and_pushed_away() {
    let mut probe = Probe::queueing();
    // Each CPU serves its own queue of tasks.
    probe.enqueue = Box::new(|s, p, flags| {
        s.kf_scx_bpf_dsq_insert(Some(p), Q, SCX_SLICE_DFL, flags);
    });
    probe.dispatch = Box::new(|s, cpu, _| {
        if cpu == CpuId(1) {
            s.kf_scx_bpf_dsq_move_to_local(Q, 0);
        }
    });
    let mut m = machine(2, probe);
    let r = m.fork("r", 1);
    let q = m.fork("q", 1);
    assert_eq!((m.curr(1), m.s.tasks[q].cpu), (r, CpuId(1)));
    m.forget();
    offline(&mut m, 1);
    let sc = "SAVE|MOVE|NOCLOCK|SCHED_CHANGE";
    assert_ops(
        &mut m,
        &format!("dequeue(q,{sc}) quiescent(q,{sc}) runnable(q,RESTORE|MOVE|NOCLOCK) cpu_offline(1)"),
    );
    assert_eq!((m.s.local_nr(CpuId(1)), m.s.ext.hotplug_seq()), (1, 1));
    vacate(&mut m, 1);
    // r has slice left and goes on to be pushed; then q has its turn and goes too. No dispatch of CPU 1 in between.
    assert_ops(
        &mut m,
        "stopping(r,true) enqueue(r,NOCLOCK|MIGRATED) running(q) dispatch(0,NULL) stopping(q,true) enqueue(q,NOCLOCK|MIGRATED) \
         dispatch(0,NULL)",
    );
    assert_eq!((m.s.tasks[r].cpu, m.s.tasks[q].cpu), (CpuId(0), CpuId(0)));
    assert!(!m.s.cpu_online(CpuId(1)) && m.s.cpu_online(CpuId(0)));
    assert!(!m.s.masks().online.test_cpu(&*m.s.mem, 1));
    m.forget();
    online(&mut m, 1);
    let ops = m.ops();
    assert_eq!(ops[..2], ["cpu_online(1)", "dispatch(1,NULL)"], "{ops:?}");
    assert_eq!(m.s.ext.hotplug_seq(), 2);
    assert!([r, q].contains(&m.curr(1)), "comes back to what waits");
    assert!(m.s.masks().online.test_cpu(&*m.s.mem, 1));
}

#[test]
fn without_ops_the_scheduler_ends_and_asks_for_a_restart() {
    for up in [false, true] {
        let mut probe = Probe::queueing();
        probe.without.push(if up { Op::CpuOnline } else { Op::CpuOffline });
        let mut m = machine(2, probe);
        let t = m.fork("t", 1);
        offline(&mut m, 1);
        vacate(&mut m, 1);
        if up {
            assert!(m.s.ext.exit_info().is_none());
            online(&mut m, 1);
        }
        let info = m.s.ext.exit_info().unwrap();
        let what = if up { "online" } else { "offline" };
        assert_eq!((info.kind, info.code), (ExitKind::UnregKern, RESTART));
        assert_eq!(info.msg, format!("cpu 1 going {what}, exiting scheduler"));
        assert_eq!((m.s.ext.state(), m.curr(0)), (crate::ext::EnableState::Disabled, t));
    }
}

#[test]
fn a_change_since_the_scheduler_was_opened_ends_it() {
    let mut m = machine(2, Probe::queueing());
    offline(&mut m, 1);
    vacate(&mut m, 1);
    online(&mut m, 1);
    m.unload();
    let mut probe = Probe::queueing();
    probe.params.hotplug_seq = 1;
    m.load(probe);
    let info = m.s.ext.exit_info().unwrap();
    assert_eq!((info.kind, info.code), (ExitKind::UnregKern, RESTART));
    assert_eq!(info.msg, "expected hotplug seq 1 did not match actual 2");
}

#[test]
fn an_offline_cpu_is_not_used() {
    let mut probe = Probe::queueing();
    probe.select_cpu = Box::new(|_, _, _, _| 1);
    probe.enqueue = Box::new(|s, p, flags| {
        s.kf_scx_bpf_dsq_insert(Some(p), DsqId(DsqId::LOCAL_ON.0 | 1), SCX_SLICE_DFL, flags);
    });
    let mut m = machine(2, probe);
    offline(&mut m, 1);
    vacate(&mut m, 1);
    let t = m.fork("t", 0);
    assert_eq!((m.s.tasks[t].cpu, m.curr(0)), (CpuId(0), t));
    assert_eq!(m.s.ext.event(crate::ext::EventId::DispatchLocalDsqOffline), 1);
    assert!(m.s.ext.exit_info().is_none());
    assert_eq!(m.s.set_cpus_allowed(t, &CpuMaskBits::one(CpuId(1))), Err(EINVAL));
}

#[test]
fn a_task_whose_only_cpu_is_gone_may_go_anywhere() {
    let mut m = machine(2, Probe::queueing());
    let bound = TaskAttr { cpus: Some(vec![CpuId(1)]), ..Machine::attr("bound") };
    let (a, b) = (m.fork_attr(&bound, 1), m.fork_attr(&bound, 1));
    m.block(1);
    assert_eq!(m.curr(1), b);
    m.forget();
    offline(&mut m, 1);
    vacate(&mut m, 1);
    assert_eq!((m.curr(0), m.s.t(b).nr_cpus_allowed().get(&*m.s.mem)), (b, 2));
    assert!(m.ops().contains(&"set_cpumask(bound)".to_string()));
    m.wake(a, 0);
    assert_eq!((m.s.tasks[a].cpu, m.s.t(a).nr_cpus_allowed().get(&*m.s.mem)), (CpuId(0), 2));
}

#[test]
fn what_cannot_be_is_refused() {
    let mut m = machine(2, Probe::queueing());
    m.s.enter(CpuId(0), m.s.now);
    assert_eq!(m.s.cpu_deactivate(CpuId(0)), Err(HotplugError::Boot));
    assert_eq!(m.s.cpu_activate(CpuId(0)), Err(HotplugError::Already(CpuId(0), "online")));
    offline(&mut m, 1);
    assert_eq!(m.s.cpu_deactivate(CpuId(1)), Err(HotplugError::Already(CpuId(1), "offline")));
    assert_eq!(m.s.ext.hotplug_seq(), 1);
}

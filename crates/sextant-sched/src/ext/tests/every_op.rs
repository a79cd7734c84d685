//! Every op is called (semantics §1.2), and every flag of an ops table is known (§1.5).

use std::collections::BTreeSet;

use super::*;
use crate::ext::EnableError;

/// Ops of sub-schedulers, and what is called in the cid form only.
const NOT_HERE: [Op; 5] =
    [Op::SubAttach, Op::SubDetach, Op::SubCapsUpdated, Op::SubEcapsUpdated, Op::InitCids];

/// Notes which ops were called since the last time.
fn note(m: &mut Machine, seen: &mut BTreeSet<Op>) {
    let events = std::mem::take(&mut m.s.events);
    seen.extend(events.iter().filter_map(|(_, _, ev)| match ev {
        Event::OpCall { op, .. } => Some(*op),
        _ => None,
    }));
}

#[test]
fn every_op_has_its_trigger() {
    let mut seen = BTreeSet::new();
    let mut probe = Probe::queueing();
    probe.without = NOT_HERE.to_vec();
    probe.params.flags = SCX_OPS_KEEP_BUILTIN_IDLE;
    let refused = Rc::new(std::cell::Cell::new(None));
    let who = refused.clone();
    probe.prep_move = Box::new(move |_, p| if who.get() == Some(p) { -1 } else { 0 });
    let mut m = Machine::with(2, probe);
    let expect = |m: &mut Machine, seen: &mut BTreeSet<Op>, ops: &[Op], what: &str| {
        m.settle();
        note(m, seen);
        for op in ops {
            assert!(seen.contains(op), "{what}: ops.{} was not called", op.name());
        }
    };
    expect(&mut m, &mut seen, &[Op::Init, Op::CgroupInit], "load");
    let (a, b) = (m.fork("a", 0), m.fork("b", 0));
    let forked =
        [Op::InitTask, Op::Enable, Op::SetWeight, Op::SelectCpu, Op::Runnable, Op::Enqueue, Op::UpdateIdle];
    expect(&mut m, &mut seen, &forked, "fork");
    expect(&mut m, &mut seen, &[Op::Dispatch, Op::Dequeue, Op::Running], "a pick");
    m.tick(0);
    expect(&mut m, &mut seen, &[Op::Tick], "tick");
    m.s.yield_current(CpuId(0));
    expect(&mut m, &mut seen, &[Op::Yield], "sched_yield");
    m.s.set_cpus_allowed(b, &sextant_abi::CpuMaskBits::one(CpuId(0))).unwrap();
    expect(&mut m, &mut seen, &[Op::SetCpumask, Op::Quiescent], "affinity");
    m.s.scx_prio_less(a, b);
    expect(&mut m, &mut seen, &[Op::CoreSchedBefore], "core scheduling");
    let g = m.s.cgroup_mkdir_all("/g").unwrap();
    m.s.cgroup_attach(&[a], g).unwrap();
    expect(&mut m, &mut seen, &[Op::CgroupPrepMove, Op::CgroupMove], "move");
    refused.set(Some(b));
    let root = m.s.cgroup_lookup("/").unwrap();
    let h = m.s.cgroup_mkdir_all("/h").unwrap();
    m.s.cgroup_attach(&[a, b], h).unwrap_err();
    expect(&mut m, &mut seen, &[Op::CgroupCancelMove], "a refused move");
    m.s.cgroup_set_weight(g, 200).unwrap();
    m.s.cgroup_set_bandwidth(g, 100_000, Some(50_000), 0).unwrap();
    m.s.cgroup_set_idle(g, true).unwrap();
    expect(&mut m, &mut seen, &[Op::CgroupSetWeight, Op::CgroupSetBandwidth, Op::CgroupSetIdle], "settings");
    m.s.cgroup_attach(&[a], root).unwrap();
    m.s.cgroup_rmdir(g).unwrap();
    expect(&mut m, &mut seen, &[Op::CgroupExit], "rmdir");
    let attr = TaskAttr { policy: SCHED_FIFO, rt_priority: 1, ..Machine::attr("rt") };
    m.fork_attr(&attr, 0);
    expect(&mut m, &mut seen, &[Op::Stopping, Op::CpuRelease], "a real-time task");
    m.block(0);
    expect(&mut m, &mut seen, &[Op::CpuAcquire], "its end");
    m.s.sched_setscheduler(b, SCHED_FIFO, 1).unwrap();
    expect(&mut m, &mut seen, &[Op::Disable], "another class");
    m.block(0);
    m.s.enter(CpuId(1), m.s.now);
    m.s.cpu_deactivate(CpuId(1)).unwrap();
    m.settle();
    m.s.cpu_dead(CpuId(1));
    m.s.enter(CpuId(1), m.s.now);
    m.s.cpu_activate(CpuId(1)).unwrap();
    expect(&mut m, &mut seen, &[Op::CpuOffline, Op::CpuOnline], "hotplug");
    m.s.enter(CpuId(0), m.s.now);
    m.s.kf_scx_bpf_error("the end".into());
    expect(&mut m, &mut seen, &[Op::Dump, Op::DumpCpu, Op::DumpTask, Op::ExitTask, Op::Exit], "an error");
    let missing: Vec<&str> = Op::ALL
        .iter()
        .filter(|op| !seen.contains(op) && !NOT_HERE.contains(op))
        .map(|op| op.name())
        .collect();
    assert!(missing.is_empty(), "never called: {missing:?}");
    m.s.check_invariants();
}

#[test]
fn init_cids_is_called_in_the_cid_form() {
    for cid_form in [false, true] {
        let mut probe = Probe::queueing();
        probe.params.cid_form = cid_form;
        let mut m = Machine::with(1, probe);
        assert_eq!(
            m.ops().first().map(String::as_str),
            Some(if cid_form { "init_cids()" } else { "init()" })
        );
    }
}

#[test]
fn every_ops_flag_is_known_and_no_other() {
    let known = [
        SCX_OPS_KEEP_BUILTIN_IDLE,
        SCX_OPS_ENQ_LAST,
        SCX_OPS_ENQ_EXITING,
        SCX_OPS_SWITCH_PARTIAL,
        SCX_OPS_ENQ_MIGRATION_DISABLED,
        SCX_OPS_ALLOW_QUEUED_WAKEUP,
        SCX_OPS_BUILTIN_IDLE_PER_NODE,
        SCX_OPS_ALWAYS_ENQ_IMMED,
        SCX_OPS_TID_TO_TASK,
    ];
    for (bit, flag) in known.into_iter().enumerate() {
        assert_eq!(flag, 1 << bit);
    }
    for bit in 0..64 {
        let mut probe = Probe::queueing();
        probe.params.flags = 1 << bit;
        let mut m = Machine::new(1);
        let result = m.s.scx_enable(Rc::new(probe));
        if bit < known.len() {
            assert_eq!(result, Ok(()), "bit {bit}");
            assert!(m.s.ext.exit_info().is_none(), "bit {bit}");
        } else {
            assert_eq!(result, Err(EnableError::Flags(1 << bit)));
        }
    }
}

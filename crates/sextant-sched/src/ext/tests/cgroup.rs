//! Cgroups (semantics §4.13, §4.24 "cgroup move"): what a scheduler is told, and the objects a program walks.

use sextant_abi::exit::ExitKind;
use sextant_abi::types::*;

use super::*;
use crate::cgroup::{CgroupError, CgroupId, RUNTIME_INF};

fn tree(m: &mut Machine) -> (CgroupId, CgroupId) {
    (m.s.cgroup_mkdir("/a").unwrap(), m.s.cgroup_mkdir_all("/a/b/c").unwrap())
}

#[test]
fn loaded_from_the_root_and_unloaded_from_the_leaves() {
    let mut m = Machine::new(1);
    let (_, c) = tree(&mut m);
    m.s.cgroup_mkdir("/z").unwrap();
    let attr = TaskAttr { cgroup: Some(c), ..Machine::attr("t") };
    let t = m.fork_attr(&attr, 0);
    m.block(0);
    m.load(Probe::queueing());
    assert_ops(
        &mut m,
        "init() cgroup_init(1) cgroup_init(2) cgroup_init(3) cgroup_init(4) cgroup_init(5) init_task(t,false) enable(t) \
         set_weight(t,100) set_cpumask(t) dispatch(0,NULL)",
    );
    m.unload();
    assert_ops(
        &mut m,
        "cgroup_exit(4) cgroup_exit(3) cgroup_exit(2) cgroup_exit(5) cgroup_exit(1) disable(t) exit_task(t,false) exit()",
    );
    assert_eq!(m.s.task_cgroup_addr(t), m.s.cgroups[c].cgrp.addr());
}

#[test]
fn a_refused_cgroup_ends_the_load_and_the_others_are_left() {
    let mut m = Machine::new(1);
    tree(&mut m);
    let mut probe = Probe::queueing();
    probe.cgroup_init = Box::new(|s, cgrp| if s.cgroup_id(cgrp) == 3 { -12 } else { 0 });
    m.load(probe);
    let info = m.s.ext.exit_info().unwrap();
    assert_eq!((info.kind, info.msg.as_str()), (ExitKind::Error, "ops.cgroup_init() failed (-12)"));
    assert_ops(
        &mut m,
        "init() cgroup_init(1) cgroup_init(2) cgroup_init(3) cgroup_exit(2) cgroup_exit(1) exit()",
    );
}

#[test]
fn made_and_removed_under_a_scheduler() {
    let mut m = Machine::with(1, Probe::queueing());
    m.forget();
    let a = m.s.cgroup_mkdir("/a").unwrap();
    let b = m.s.cgroup_mkdir("/a/b").unwrap();
    assert_ops(&mut m, "cgroup_init(2) cgroup_init(3)");
    assert_eq!(m.s.cgroup_rmdir(a), Err(CgroupError::Busy("/a".into())));
    let t = m.fork_attr(&TaskAttr { cgroup: Some(b), ..Machine::attr("t") }, 0);
    assert_eq!(m.s.cgroup_rmdir(b), Err(CgroupError::Busy("/a/b".into())));
    m.s.exit_current(CpuId(0));
    m.settle();
    m.forget();
    m.s.cgroup_rmdir(b).unwrap();
    m.s.cgroup_rmdir(a).unwrap();
    assert_ops(&mut m, "cgroup_exit(3) cgroup_exit(2)");
    assert!(m.s.tasks[t].dead);
    assert_eq!(m.s.cgroup_lookup("/a"), Err(CgroupError::NotFound("/a".into())));
    assert_eq!(m.s.cgroup_mkdir("/x/y"), Err(CgroupError::NotFound("/x".into())));
    assert_eq!(m.s.cgroup_mkdir("/a").unwrap(), CgroupId(3), "ids are not given out again");
    assert_eq!(m.s.cgroup_mkdir("/a"), Err(CgroupError::Exists("/a".into())));
    for bad in ["a", "/", "", "/a//b", "/a/../b"] {
        assert_eq!(m.s.cgroup_mkdir(bad), Err(CgroupError::Path(bad.into())));
    }
    assert_eq!(m.s.cgroup_rmdir(CgroupId::ROOT), Err(CgroupError::Root("parent")));
}

#[test]
fn a_refused_creation_is_no_exit() {
    let mut probe = Probe::queueing();
    probe.cgroup_init = Box::new(|s, cgrp| if s.cgroup_id(cgrp) == 2 { -28 } else { 0 });
    let mut m = Machine::with(1, probe);
    m.forget();
    assert_eq!(m.s.cgroup_mkdir("/a"), Err(CgroupError::Refused(-28)));
    m.settle();
    assert_ops(&mut m, "cgroup_init(2)");
    assert!(m.s.ext.exit_info().is_none());
    assert_eq!(m.s.cgroup_mkdir("/a").unwrap(), CgroupId(2));
}

#[test]
fn an_invalid_errno_is_an_exit() {
    let mut probe = Probe::queueing();
    probe.cgroup_init = Box::new(|s, cgrp| i32::from(s.cgroup_id(cgrp) != 1));
    let mut m = Machine::with(1, probe);
    assert_eq!(m.s.cgroup_mkdir("/a"), Err(CgroupError::Refused(-71)));
    m.settle();
    assert_eq!(m.s.ext.exit_info().unwrap().msg, "ops.cgroup_init() returned an invalid errno 1");
}

#[test]
fn changes_are_told_when_they_are_changes() {
    let mut m = Machine::new(1);
    let (a, _) = tree(&mut m);
    m.s.cgroup_set_weight(a, 300).unwrap();
    m.load(Probe::queueing());
    m.forget();
    m.s.cgroup_set_weight(a, 300).unwrap();
    m.s.cgroup_set_weight(a, 200).unwrap();
    m.s.cgroup_set_idle(a, false).unwrap();
    m.s.cgroup_set_idle(a, true).unwrap();
    m.s.cgroup_set_bandwidth(a, 100_000, None, 0).unwrap();
    m.s.cgroup_set_bandwidth(a, 100_000, Some(50_000), 0).unwrap();
    m.s.cgroup_set_bandwidth(a, 100_000, None, 0).unwrap();
    let max = RUNTIME_INF;
    assert_ops(
        &mut m,
        &format!(
            "cgroup_set_weight(2,200) cgroup_set_idle(2,1) cgroup_set_bandwidth(2,50000) cgroup_set_bandwidth(2,{max})"
        ),
    );
    assert!(m.s.cgroup_set_weight(a, 100).is_err(), "of an idle cgroup");
    assert!(m.s.cgroup_set_weight(a, 0).is_err() && m.s.cgroup_set_weight(a, 10_001).is_err());
    assert!(m.s.cgroup_set_bandwidth(a, 999, None, 0).is_err());
    assert!(m.s.cgroup_set_bandwidth(a, 100_000, Some(999), 0).is_err());
    assert!(m.s.cgroup_set_bandwidth(a, 100_000, Some(5000), 5001).is_err());
    assert_eq!(m.s.cgroup_set_weight(CgroupId::ROOT, 5), Err(CgroupError::Root("cpu.weight")));
}

#[test]
fn move_of_a_queued_task() {
    let mut m = Machine::with(1, Probe::queueing());
    let (a, c) = tree(&mut m);
    m.fork("r", 0);
    let q = m.fork("q", 0);
    m.forget();
    m.s.cgroup_attach(&[q], c).unwrap();
    let flags = "SAVE|MOVE|NOCLOCK|SCHED_CHANGE";
    assert_ops(
        &mut m,
        &format!(
            "cgroup_prep_move(q,1,4) dequeue(q,{flags}) quiescent(q,{flags}) cgroup_move(q,1,4) \
             runnable(q,RESTORE|MOVE|NOCLOCK) enqueue(q,RESTORE|MOVE|NOCLOCK)"
        ),
    );
    m.s.cgroup_attach(&[q], c).unwrap();
    assert_ops(&mut m, "");
    m.s.cgroup_attach(&[q], a).unwrap();
    assert_eq!(m.s.t(q).cgroups().deref(&*m.s.mem).dfl_cgrp().get(&*m.s.mem), m.s.cgroups[a].cgrp.addr());
    assert_eq!((m.s.cgroups[a].nr_tasks, m.s.cgroups[c].nr_tasks), (1, 0));
}

#[test]
fn move_of_the_running_and_of_a_sleeping_task() {
    let mut m = Machine::with(1, Probe::queueing());
    let (a, _) = tree(&mut m);
    let (s, r) = (m.sleeper("s", 0), m.fork("r", 0));
    m.forget();
    m.s.cgroup_attach(&[r, s], a).unwrap();
    m.settle();
    let flags = "SAVE|MOVE|NOCLOCK|SCHED_CHANGE";
    assert_ops(
        &mut m,
        &format!(
            "cgroup_prep_move(r,1,2) cgroup_prep_move(s,1,2) stopping(r,false) quiescent(r,{flags}) cgroup_move(r,1,2) \
             runnable(r,RESTORE|MOVE|NOCLOCK|IGNORE_CAPS) running(r) cgroup_move(s,1,2)"
        ),
    );
}

#[test]
fn a_refused_move_is_cancelled_for_those_before() {
    let mut probe = Probe::queueing();
    probe.prep_move = Box::new(|s, p| if s.t(p).comm().get_str(&*s.mem) == "no" { -16 } else { 0 });
    let mut m = Machine::with(1, probe);
    let (a, _) = tree(&mut m);
    let (yes, no) = (m.sleeper("yes", 0), m.sleeper("no", 0));
    m.forget();
    assert_eq!(m.s.cgroup_attach(&[yes, no], a), Err(CgroupError::Refused(-16)));
    assert_ops(&mut m, "cgroup_prep_move(yes,1,2) cgroup_prep_move(no,1,2) cgroup_cancel_move(yes,1,2)");
    assert_eq!(m.s.tasks[yes].cgroup, CgroupId::ROOT);
}

#[test]
fn objects_name_their_ancestors() {
    let mut m = Machine::new(1);
    let (a, c) = tree(&mut m);
    let mem = m.s.mem.clone();
    let cgrp = m.s.cgroups[c].cgrp;
    assert_eq!((cgrp.level().get(&*mem), cgrp.kn().deref(&*mem).id().get(&*mem)), (3, 4));
    assert_eq!(cgrp.ancestors().at(0).get(&*mem), m.s.root.cgrp.addr());
    assert_eq!(cgrp.ancestors().at(1).get(&*mem), m.s.cgroups[a].cgrp.addr());
    assert_eq!(cgrp.ancestors().at(3).get(&*mem), cgrp.addr());
    let name = cgrp.kn().deref(&*mem).name().get(&*mem);
    use sextant_abi::Mem;
    assert_eq!(mem.load(name, 2), u64::from(b'c'));
    // A reference keeps the object after its removal, but not in the tree.
    m.s.cgroup_get(c);
    m.s.cgroup_rmdir(c).unwrap();
    m.s.rcu_flush();
    assert_eq!((m.s.cgroups.from_addr(cgrp.addr()), m.s.cgroups.from_kn_id(4)), (Some(c), None));
    m.s.cgroup_put(c);
    m.s.rcu_flush();
    assert_eq!(m.s.cgroups.from_addr(cgrp.addr()), None);
    assert!(!m.s.cgroup_get(c));
}

#[test]
fn task_cgroup_is_the_tasks_own() {
    let mut probe = Probe::queueing();
    probe.enqueue = Box::new(|s, p, flags| {
        let cgrp = s.kf_scx_bpf_task_cgroup(p);
        assert_eq!(cgrp, s.task_cgroup_addr(p));
        let id = s.cgroups.from_addr(cgrp).unwrap();
        s.cgroup_put(id);
        s.kf_scx_bpf_dsq_insert(Some(p), Q, SCX_SLICE_DFL, flags);
    });
    let mut m = Machine::with(1, probe);
    let (a, _) = tree(&mut m);
    m.fork_attr(&TaskAttr { cgroup: Some(a), ..Machine::attr("t") }, 0);
    assert!(m.s.ext.exit_info().is_none());
}

//! What a task's life looks like from the ops.

use sextant_sim::workload::{Action, Phase, Policy, TaskSpec};

use crate::drive::*;

const NUM_CHILDREN: u64 = 5;
const NUM_PRE_FORKS: u32 = 1024;

fn child(phases: &[Policy]) -> TaskSpec {
    let phase =
        |&policy: &Policy| Phase { policy: Some((policy, 0)), actions: vec![run_us(20)], ..Phase::default() };
    TaskSpec {
        name: "child".into(),
        instances: 0,
        loops: Some(1),
        phases: phases.iter().map(phase).collect(),
        ..TaskSpec::default()
    }
}

fn init_enable(object: &Object, global: bool) {
    let mut m = Machine::new(
        4,
        vec![
            // i % 2 == 0 go back to SCHED_OTHER, and then come those that never change.
            forks(&[(NUM_CHILDREN.div_ceil(2), 1), (NUM_CHILDREN / 2, 2), (NUM_CHILDREN, 3)]),
            child(&[Policy::Ext, Policy::Normal]),
            child(&[Policy::Ext]),
            forked(once("child", vec![run_us(20)])),
            times(NUM_PRE_FORKS, once("pre", vec![Action::Suspend(GO)])),
        ],
    );
    m.run(100);
    assert_eq!(m.alive("pre"), NUM_PRE_FORKS as usize);
    let count = m.load(&if global {
        object.clone()
    } else {
        object.clone().set("ops.flags", "SCX_OPS_SWITCH_PARTIAL")
    });
    m.attach(&count);
    m.resume(GO);
    m.detach();
    let get = |name: &str| count.get(name);
    assert!(get("init_task_cnt") >= NUM_PRE_FORKS.into());
    assert!(get("exit_task_cnt") >= NUM_PRE_FORKS.into());
    m.attach(&count);
    m.resume(FORK);
    for _ in 0..100 {
        m.run(10);
        if m.alive("parent") == 0 && m.alive("child") == 0 {
            break;
        }
    }
    assert_eq!((m.alive("parent"), m.alive("child")), (0, 0));
    m.detach();
    assert!(get("init_task_cnt") >= 2 * NUM_CHILDREN);
    assert!(get("exit_task_cnt") >= 2 * NUM_CHILDREN);
    if global {
        assert!(get("enable_cnt") >= 2 * NUM_CHILDREN);
        assert!(get("disable_cnt") >= 2 * NUM_CHILDREN);
    } else {
        assert_eq!((get("enable_cnt"), get("disable_cnt")), (NUM_CHILDREN, NUM_CHILDREN));
    }
    assert!(get("init_transition_cnt") > get("init_fork_cnt"));
    assert!(get("init_fork_cnt") >= 2 * NUM_CHILDREN);
    // Not in the kernel's test, where other tasks come and go: the pairs are whole.
    assert_eq!(get("init_task_cnt"), get("exit_task_cnt"));
    assert_eq!(get("enable_cnt"), get("disable_cnt"));
}

/// init_task and exit_task for everybody, enable and disable for those in the class.
#[test]
fn init_enable_count() {
    let Some(object) = object("init_enable_count") else { return };
    init_enable(&object, true);
    init_enable(&object, false);
}

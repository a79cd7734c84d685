//! The cid form of the ops table.

use sextant_abi::CpuId;
use sextant_abi::types::*;
use sextant_sim::script::Command;
use sextant_sim::workload::{Action, Phase, Policy, SpecId, TaskSpec};

use crate::drive::*;

const NR_CHILDREN: u32 = 8;

/// Goes to one CPU after the other as a SCHED_EXT task, and forks a task that inherits all that.
fn child(i: u32, grandchild: SpecId) -> TaskSpec {
    let on = |cpu: u32, actions| Phase {
        loops: Some(1),
        cpus: Some(vec![CpuId(cpu % 4)]),
        actions,
        ..Phase::default()
    };
    let first = Phase {
        policy: Some((Policy::Ext, 0)),
        ..on(i, vec![Action::Suspend(GO), Action::Fork(grandchild)])
    };
    let spins = (1..=4).map(|k| on(i + k, vec![run_us(5_000)]));
    TaskSpec {
        name: format!("child{i}"),
        loops: Some(1),
        phases: std::iter::once(first).chain(spins).collect(),
        ..TaskSpec::default()
    }
}

/// The mask that ops.enable() gets is the affinity, the first ops.set_cmask() gets the same, and it comes before ops.set_weight(); the object
/// checks each call and ends with an error.
#[test]
fn enable_cmask() {
    let Some(object) = object("enable_cmask") else { return };
    let mut tasks: Vec<_> = (0..NR_CHILDREN).map(|i| child(i, SpecId(NR_CHILDREN + i))).collect();
    for i in 0..NR_CHILDREN {
        let spin = pinned(&[i % 4], once("grandchild", vec![run_us(20_000)]));
        tasks.push(forked(policy(Policy::Ext, spin)));
    }
    let mut m = Machine::new(4, tasks);
    let cmask = m.load(&object);
    m.attach(&cmask);
    m.run(10);
    m.resume(GO);
    // Changes from outside meet the children's own.
    for i in 0..NR_CHILDREN {
        m.run(1);
        let cpus = vec![CpuId((i + NR_CHILDREN) % 4)];
        m.perform(Command::Affinity { task: format!("child{i}"), cpus });
    }
    m.run(SECOND);
    assert_eq!(m.alive("grandchild"), 0);
    m.detach();
    cmask.expect_kind(SCX_EXIT_UNREG);
    let [enable, initial, set, weight] =
        ["nr_enable", "nr_initial_set_cmask", "nr_set_cmask", "nr_set_weight"].map(|v| cmask.get(v));
    assert!(enable >= 2 * u64::from(NR_CHILDREN), "{enable}");
    assert_eq!(initial, enable);
    assert!(set > initial, "{set}");
    assert!(weight >= enable, "{weight}");
}

//! The order of two tasks for core scheduling (semantics §1.2, core_sched_before).

use super::*;

/// `a` runs, `b` has waited since 4 ms, `c` since 8 ms.
fn three(probe: Probe) -> (Machine, [TaskId; 3]) {
    let mut m = Machine::with(1, probe);
    let a = m.fork("a", 0);
    m.advance_ms(4);
    let b = m.fork("b", 0);
    m.advance_ms(4);
    let c = m.fork("c", 0);
    m.forget();
    (m, [a, b, c])
}

#[test]
fn who_has_waited_longer_comes_first_and_who_runs_last() {
    let (mut m, [a, b, c]) = three(Probe::queueing());
    assert!(!m.s.scx_prio_less(b, c) && m.s.scx_prio_less(c, b));
    // Its stamp is the oldest, but it has the CPU.
    assert!(m.s.scx_prio_less(a, b) && !m.s.scx_prio_less(b, a));
    assert!(!m.s.scx_prio_less(b, b));
}

#[test]
fn the_scheduler_decides_with_its_arguments_swapped() {
    let mut probe = Probe::queueing();
    probe.without.retain(|&op| op != Op::CoreSchedBefore);
    // Later names first.
    probe.core_sched_before =
        Box::new(|s, x, y| s.tasks[x].ts.comm().get_str(&*s.mem) > s.tasks[y].ts.comm().get_str(&*s.mem));
    let (mut m, [_, b, c]) = three(probe);
    assert!(m.s.scx_prio_less(b, c), "b after c");
    assert!(!m.s.scx_prio_less(c, b));
    assert_ops(&mut m, "core_sched_before(c) core_sched_before(b)");
    m.s.scx_pm(true);
    assert!(m.s.scx_prio_less(c, b), "not asked in bypass");
}

//! The default selection on machines with SMT, several caches and nodes (semantics §4.12).

use sextant_abi::types::*;
use sextant_abi::{CpuMaskBits, DsqId};

use super::*;
use crate::topology::Shape;

const fn shape(nodes: u32, llcs: u32, cores: u32, threads: u32) -> Shape {
    Shape { nodes, llcs, cores, threads }
}

/// All CPUs idle, a sleeping task.
fn machine(shape: Shape, flags: u64) -> (Machine, TaskId) {
    let mut m = Machine::new(shape.nr_cpus().unwrap());
    m.s.set_topology(shape);
    let mut probe = Probe::queueing();
    probe.params.flags |= flags;
    m.load(probe);
    let p = m.sleeper("p", 0);
    (m, p)
}

/// Makes exactly these CPUs idle.
fn idle(m: &mut Machine, cpus: &[u32]) {
    for cpu in 0..m.s.cfg.nr_cpus {
        m.s.idle_test_and_clear_cpu(CpuId(cpu));
    }
    for &cpu in cpus {
        m.s.scx_update_idle(CpuId(cpu), true, false);
    }
}

fn pick(m: &mut Machine, p: TaskId, prev: u32, wake_flags: u64, flags: u64) -> i32 {
    m.s.enter(CpuId(0), m.s.now);
    m.s.select_cpu_dfl(p, CpuId(prev), wake_flags, None, flags)
}

fn set(mask: Cpumask, m: &Machine) -> Vec<u32> {
    mask.load(&*m.s.mem, m.s.cfg.nr_cpus).iter().map(|c| c.0).collect()
}

#[test]
fn numbers_go_from_the_inside_out() {
    let (m, _) = machine(shape(2, 2, 2, 2), 0);
    let t = &m.s.topology;
    assert_eq!(t.core_of(CpuId(5)).map(|c| c.0).collect::<Vec<_>>(), [4, 5]);
    assert_eq!(set(t.llc_span(CpuId(6)).unwrap(), &m), [4, 5, 6, 7]);
    assert_eq!((t.node_of(CpuId(7)), t.node_of(CpuId(8))), (0, 1));
    assert_eq!(set(t.node_span(1).unwrap(), &m), (8..16).collect::<Vec<_>>());
    assert!(t.share_cache(CpuId(8), CpuId(11)) && !t.share_cache(CpuId(8), CpuId(12)));
}

#[test]
fn the_smt_mask_has_cores_that_are_idle_as_a_whole() {
    let (mut m, _) = machine(shape(1, 1, 4, 2), 0);
    idle(&mut m, &[0, 1, 2, 5, 6, 7]);
    let smt = m.s.kf_scx_bpf_get_idle_smtmask();
    assert_eq!(set(smt, &m), [0, 1, 6, 7]);
    assert!(m.s.idle_test_and_clear_cpu(CpuId(7)));
    assert_eq!(set(smt, &m), [0, 1]);
    // A claim that fails breaks the core up all the same.
    m.s.scx_update_idle(CpuId(7), true, false);
    assert_eq!(set(smt, &m), [0, 1, 6, 7]);
    assert!(!m.s.idle_test_and_clear_cpu(CpuId(3)));
    assert_eq!(set(m.s.kf_scx_bpf_get_idle_cpumask(), &m), [0, 1, 2, 5, 6, 7]);
}

#[test]
fn whole_cores_first_then_prev_then_its_sibling() {
    let (mut m, p) = machine(shape(1, 1, 4, 2), 0);
    idle(&mut m, &[2, 3, 5]);
    assert_eq!(pick(&mut m, p, 3, 0, 0), 3, "prev, on an idle core");
    idle(&mut m, &[2, 4, 5]);
    assert!([4, 5].contains(&pick(&mut m, p, 2, 0, 0)), "an idle core rather than prev on half of one");
    idle(&mut m, &[2, 5, 6]);
    assert_eq!(pick(&mut m, p, 2, 0, 0), 2, "prev");
    idle(&mut m, &[2, 5, 6]);
    assert_eq!(pick(&mut m, p, 4, 0, 0), 5, "the sibling of prev");
    idle(&mut m, &[2, 5]);
    assert_eq!(pick(&mut m, p, 7, 0, SCX_PICK_IDLE_CORE), -16, "only whole cores are asked for");
    assert!([2, 5].contains(&pick(&mut m, p, 7, 0, 0)));
    idle(&mut m, &[]);
    assert_eq!(pick(&mut m, p, 7, 0, 0), -16);
}

#[test]
fn near_caches_and_nodes_first() {
    // Node 0: CPUs 0-3 in caches {0,1} {2,3}; node 1: 4-7.
    let (mut m, p) = machine(shape(2, 2, 2, 1), 0);
    assert_eq!((m.s.ext.selcpu.llc, m.s.ext.selcpu.numa), (true, true));
    for (idle_cpus, prev, want) in [
        (&[1, 2, 3, 4][..], 0, 1),
        (&[3, 4, 5, 6], 0, 3),
        (&[0, 1, 2, 7], 6, 7),
        (&[0, 1, 2, 5], 6, 5),
        (&[2], 6, 2),
        (&[6, 0], 6, 6),
    ] {
        idle(&mut m, idle_cpus);
        assert_eq!(pick(&mut m, p, prev, 0, 0), want, "idle {idle_cpus:?}, prev {prev}");
    }
    // Affinity goes before nearness.
    m.s.set_cpus_allowed(p, &CpuMaskBits::from_words([0b1110_0000])).unwrap();
    idle(&mut m, &[1, 4, 7]);
    assert_eq!(pick(&mut m, p, 0, 0, 0), 7);
}

#[test]
fn caches_that_are_nodes_are_looked_at_once() {
    for (s, llc, numa) in [
        (shape(1, 1, 8, 1), false, false),
        (shape(1, 2, 4, 1), true, false),
        (shape(2, 1, 4, 1), true, false),
        (shape(2, 2, 2, 1), true, true),
        (shape(4, 1, 1, 1), false, true),
    ] {
        let (m, _) = machine(s, 0);
        assert_eq!((m.s.ext.selcpu.llc, m.s.ext.selcpu.numa), (llc, numa), "{s:?}");
        let (m, _) = machine(s, SCX_OPS_BUILTIN_IDLE_PER_NODE);
        assert_eq!((m.s.ext.selcpu.llc, m.s.ext.selcpu.numa), (llc, false), "{s:?}");
    }
}

#[test]
fn a_synchronous_wakeup_stays_by_the_wakers_cache() {
    let (mut m, p) = machine(shape(1, 2, 2, 1), 0);
    idle(&mut m, &[0, 1, 2]);
    assert_eq!(pick(&mut m, p, 1, SCX_WAKE_SYNC, 0), 1, "prev shares the cache of CPU 0");
    idle(&mut m, &[1, 2]);
    assert_eq!(pick(&mut m, p, 2, SCX_WAKE_SYNC, 0), 0, "prev does not: the waker's CPU");
}

#[test]
fn every_node_has_its_own_masks() {
    let (mut m, p) = machine(shape(2, 1, 2, 2), SCX_OPS_BUILTIN_IDLE_PER_NODE);
    idle(&mut m, &[1, 2, 3, 4, 6, 7]);
    let per_node = |m: &mut Machine, node| {
        let (cpus, smt) =
            (m.s.kf_scx_bpf_get_idle_cpumask_node(node), m.s.kf_scx_bpf_get_idle_smtmask_node(node));
        (set(cpus, m), set(smt, m))
    };
    assert_eq!(per_node(&mut m, 0), (vec![1, 2, 3], vec![2, 3]));
    assert_eq!(per_node(&mut m, 1), (vec![4, 6, 7], vec![6, 7]));
    assert_eq!((m.s.kf_scx_bpf_cpu_node(5), m.s.kf_scx_bpf_nr_node_ids()), (1, 2));
    let all = m.s.kf_scx_bpf_get_possible_cpumask();
    // A core of the node, what is left of it, then the other node's.
    assert!([2, 3].contains(&m.s.kf_scx_bpf_pick_idle_cpu_node(all, 0, 0)));
    m.s.kf_scx_bpf_pick_idle_cpu_node(all, 0, 0);
    m.s.kf_scx_bpf_pick_idle_cpu_node(all, 0, 0);
    assert_eq!(m.s.kf_scx_bpf_pick_idle_cpu_node(all, 0, SCX_PICK_IDLE_IN_NODE), -16);
    assert!((0..4).contains(&m.s.kf_scx_bpf_pick_any_cpu_node(all, 0, SCX_PICK_IDLE_IN_NODE)));
    assert!([6, 7].contains(&m.s.kf_scx_bpf_pick_idle_cpu_node(all, 0, 0)));
    assert_eq!(pick(&mut m, p, 1, 0, SCX_PICK_IDLE_IN_NODE), -16);
    assert!([4, 6, 7].contains(&pick(&mut m, p, 1, 0, 0)));
    assert!(m.s.ext.exit_info().is_none());
    m.s.kf_scx_bpf_get_idle_cpumask();
    assert_eq!(m.s.ext.exit_info().unwrap().msg, "SCX_OPS_BUILTIN_IDLE_PER_NODE enabled");
}

#[test]
fn every_node_has_a_global_dsq() {
    let mut m = Machine::new(4);
    m.s.set_topology(shape(2, 1, 2, 1));
    let mut probe = Probe::queueing();
    probe.select_cpu = Box::new(|_, _, _, _| 1);
    probe.enqueue = Box::new(|s, p, flags| {
        s.kf_scx_bpf_dsq_insert(Some(p), DsqId::GLOBAL, SCX_SLICE_DFL, flags);
    });
    m.load(probe);
    let tasks: Vec<TaskId> = (0..3).map(|_| m.fork("t", 0)).collect();
    m.s.kf_scx_bpf_kick_cpu(0, 0);
    m.s.kf_scx_bpf_kick_cpu(2, 0);
    m.settle();
    let cpus: Vec<u32> = tasks.iter().map(|&p| m.s.tasks[p].cpu.0).collect();
    assert!(cpus.iter().all(|&c| c < 2), "nobody on node 1 takes them: {cpus:?}");
    assert_eq!(m.curr(2), m.s.rqs[2].idle);
    assert_eq!(m.s.kf_scx_bpf_create_dsq(DsqId(77), 1), 0);
    assert_eq!(m.s.kf_scx_bpf_create_dsq(DsqId(78), 2), -22);
    m.unload();
    m.s.check_invariants();
}

#[test]
fn spans_follow_hotplug() {
    let (mut m, _) = machine(shape(1, 2, 2, 2), 0);
    m.s.enter(CpuId(7), m.s.now);
    m.s.cpu_deactivate(CpuId(7)).unwrap();
    m.settle();
    m.s.cpu_dead(CpuId(7));
    assert_eq!(set(m.s.topology.llc_span(CpuId(6)).unwrap(), &m), [4, 5, 6]);
    // Alone in its core now: idle as a whole when it is idle.
    idle(&mut m, &[5, 6]);
    assert_eq!(set(m.s.masks().smt, &m), [6]);
}

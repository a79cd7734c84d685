//! Cids: their layout, and what is said of bad ones (semantics §2.5, §4.23).

use super::*;
use crate::ext::EnableError;
use crate::topology::Shape;

fn layout(m: &mut Machine) -> Vec<[i32; 8]> {
    (0..m.s.cfg.nr_cpus as i32).map(|cid| m.s.kf_scx_bpf_cid_topo(cid)).collect()
}

#[test]
fn cpus_are_numbered_by_topology() {
    let mut m = Machine::new(8);
    m.s.set_topology(Shape { nodes: 2, llcs: 1, cores: 2, threads: 2 });
    m.load(Probe::queueing());
    // core, cache, node, shard: the first cid of each, and its number.
    let expected = [
        [0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0],
        [2, 1, 0, 0, 0, 0, 0, 0],
        [2, 1, 0, 0, 0, 0, 0, 0],
        [4, 2, 4, 1, 4, 1, 4, 1],
        [4, 2, 4, 1, 4, 1, 4, 1],
        [6, 3, 4, 1, 4, 1, 4, 1],
        [6, 3, 4, 1, 4, 1, 4, 1],
    ];
    assert_eq!(layout(&mut m), expected);
    assert_eq!((m.s.kf_scx_bpf_nr_cids(), m.s.kf_scx_bpf_nr_online_cids()), (8, 8));
    assert!((0..8).all(|i| m.s.kf_scx_bpf_cid_to_cpu(i) == i && m.s.kf_scx_bpf_cpu_to_cid(i) == i));
}

#[test]
fn offline_cpus_come_last() {
    let mut m = Machine::new(4);
    m.s.enter(CpuId(1), m.s.now);
    m.s.cpu_deactivate(CpuId(1)).unwrap();
    m.settle();
    m.s.cpu_dead(CpuId(1));
    m.load(Probe::queueing());
    let cpus: Vec<i32> = (0..4).map(|cid| m.s.kf_scx_bpf_cid_to_cpu(cid)).collect();
    assert_eq!(cpus, [0, 2, 3, 1]);
    assert_eq!(m.s.kf_scx_bpf_cid_topo(3), [-1, -1, -1, -1, -1, -1, 3, 1]);
    assert_eq!((m.s.kf_scx_bpf_nr_cids(), m.s.kf_scx_bpf_nr_online_cids()), (4, 3));
    m.s.enter(CpuId(2), m.s.now);
    assert_eq!(m.s.kf_scx_bpf_this_cid(), 1);
}

#[test]
fn a_large_cache_is_several_shards() {
    let mut m = Machine::new(50);
    let mut probe = Probe::queueing();
    probe.params.cid_shard_size = 20;
    m.load(probe);
    // 50 cores in 3 shards: the first two have one more than the last.
    let firsts: Vec<i32> = layout(&mut m).iter().map(|t| t[6]).collect();
    let mut shards = firsts.clone();
    shards.dedup();
    assert_eq!(shards, [0, 17, 34]);
    assert_eq!(firsts.iter().filter(|&&f| f == 34).count(), 16);
}

#[test]
fn a_bad_cid_ends_the_scheduler() {
    for bad in [-1, 2] {
        let mut m = Machine::with(2, Probe::queueing());
        assert_eq!(m.s.kf_scx_bpf_cid_to_cpu(bad), -22);
        assert_eq!(m.s.ext.exit_info().expect("an error").msg, format!("invalid cid {bad}"));
    }
    let mut m = Machine::with(2, Probe::queueing());
    assert_eq!(m.s.kf_scx_bpf_cpu_to_cid(2), -22);
    assert_eq!(m.s.ext.exit_info().expect("an error").msg, "invalid CPU 2");
    // Without a scheduler nothing is an error.
    let mut m = Machine::new(2);
    assert_eq!((m.s.kf_scx_bpf_cid_to_cpu(0), m.s.kf_scx_bpf_this_cid()), (-22, -22));
    assert_eq!((m.s.kf_scx_bpf_cid_topo(0), m.s.kf_scx_bpf_cid_curr(0)), ([-1; 8], None));
    assert_eq!(m.s.kf_scx_bpf_cidperf_set(0, 5), -19);
}

#[test]
fn local_on_means_a_cid_in_the_cid_form() {
    let mut m = Machine::new(3);
    m.s.enter(CpuId(1), m.s.now);
    m.s.cpu_deactivate(CpuId(1)).unwrap();
    m.settle();
    m.s.cpu_dead(CpuId(1));
    let mut probe = Probe::queueing();
    probe.params.cid_form = true;
    probe.enqueue = Box::new(|s, p, flags| {
        s.kf_scx_bpf_dsq_insert(Some(p), DsqId(DsqId::LOCAL_ON.0 | 1), SCX_SLICE_DFL, flags);
    });
    m.load(probe);
    let p = m.fork("p", 0);
    assert_eq!(m.s.tasks[p].cpu, CpuId(2), "cid 1 is CPU 2: CPU 1 was offline at the load");
    assert_eq!(m.s.kf_scx_bpf_task_cid(p), 1);
}

/// set_cpumask comes between enable and set_weight, and for forks too.
#[test]
fn the_first_mask_comes_with_the_enabling() {
    let mut m = Machine::new(1);
    let mut probe = Probe::queueing();
    probe.params.cid_form = true;
    m.load(probe);
    m.forget();
    m.fork("p", 0);
    let got = m.ops();
    assert_eq!(
        got[..4],
        ["init_task(p,true)", "enable(p)", "set_cpumask(p)", "set_weight(p,100)"],
        "{got:?}"
    );
}

#[test]
fn sub_schedulers_are_refused() {
    let sub = || {
        let mut probe = Probe::queueing();
        probe.params.sub_cgroup_id = 5;
        Rc::new(probe)
    };
    let mut m = Machine::new(1);
    assert_eq!(m.s.scx_enable(sub()), Err(EnableError::NoParent(5)));
    m.load(Probe::queueing());
    let refused = m.s.scx_enable(sub()).unwrap_err();
    assert_eq!((refused.errno(), refused), (95, EnableError::Sub(5)));
    assert!(m.s.ext.exit_info().is_none(), "the one that is loaded goes on");
}

#[test]
fn tids_find_their_tasks() {
    let mut probe = Probe::queueing();
    probe.params.flags = SCX_OPS_TID_TO_TASK;
    let mut m = Machine::with(1, probe);
    let p = m.fork("p", 0);
    let tid = m.s.scx(p).tid().get(&*m.s.mem);
    assert_eq!(m.s.kf_scx_bpf_tid_to_task(tid), Some(p));
    assert_eq!(m.s.kf_scx_bpf_tid_to_task(0), None);
    m.s.enter(CpuId(0), m.s.now);
    m.s.exit_current(CpuId(0));
    m.settle();
    assert_eq!(m.s.kf_scx_bpf_tid_to_task(tid), None, "dead");
    m.unload();
    // A fork that was refused leaves nothing behind.
    let mut probe = Probe::queueing();
    probe.params.flags = SCX_OPS_TID_TO_TASK;
    probe.init_task = Box::new(|_, _, fork| if fork { -12 } else { 0 });
    m.load(probe);
    let known = m.s.ext.tid_to_task.len();
    m.s.enter(CpuId(0), m.s.now);
    m.s.sched_fork(&Machine::attr("refused")).unwrap_err();
    m.settle();
    assert_eq!(m.s.ext.tid_to_task.len(), known);
}

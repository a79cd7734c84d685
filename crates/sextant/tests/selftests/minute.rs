//! The kernel's examples (tools/sched_ext of 7.3), unmodified, for a minute each on 16 CPUs: tasks of all kinds, some in cgroups that change
//! their weights and between which tasks move, affinities and nice values that change, forks. No exit, every checker of the simulation
//! on; and each shows that its own mechanism did the work. None of them has hotplug callbacks, so that a CPU that goes ends them with
//! the code that has their own programs load them again.

use std::collections::BTreeMap;

use sextant_abi::types::*;
use sextant_abi::{CpuId, DsqId, Ns};
use sextant_sched::{Event, Sched};
use sextant_sim::EventSink;
use sextant_sim::script::{CgroupSetting, Command};
use sextant_sim::workload::{Action, CgroupSpec, Phase, SemId, SpecId, TaskSpec};

use crate::drive::*;

const NR_CPUS: u32 = 16;

fn within(cgroup: &str, spec: TaskSpec) -> TaskSpec {
    TaskSpec { cgroup: Some(cgroup.into()), ..spec }
}

/// So many hogs, and as many batch jobs of less weight; with 6 there is mostly more to run than CPUs to run it.
fn mixed(hogs: u32) -> Vec<TaskSpec> {
    let child = SpecId(0);
    let (ping, pong) = (SemId(0), SemId(1));
    let periodic = |name: &str, run, sleep| forever(name, vec![run_us(run), sleep_us(sleep)]);
    let batch = TaskSpec { nice: 5, ..periodic("batch", 12_000, 500) };
    vec![
        forked(once("child", vec![run_us(1000)])),
        within("/a", times(hogs, forever("hog", vec![run_us(10_000)]))),
        within("/b", times(hogs, batch)),
        within("/a/c", times(12, periodic("sleeper", 700, 5_000))),
        times(4, periodic("frame", 4_000, 12_000)),
        within("/b", forever("ping", vec![run_us(500), Action::SemPost(pong), Action::SemWait(ping)])),
        within("/b", forever("pong", vec![Action::SemWait(pong), run_us(500), Action::SemPost(ping)])),
        pinned(&[3, 4], periodic("bound", 2_000, 30_000)),
        forever("parent", vec![Action::Fork(child), run_us(100), sleep_us(20_000)]),
        TaskSpec {
            name: "cycler".into(),
            phases: ["/a", "/b", "/"]
                .map(|cgroup| Phase {
                    cgroup: Some(cgroup.into()),
                    actions: vec![run_us(30_000), sleep_us(300_000)],
                    ..Phase::default()
                })
                .to_vec(),
            ..TaskSpec::default()
        },
    ]
}

/// What an administrator does in every second second.
fn changes(second: u64) -> Option<Command> {
    let move_to = |cgroup: &str| Command::Move { task: "hog-1".into(), cgroup: cgroup.into() };
    let weight = |path: &str, weight| {
        Command::CgroupSet(CgroupSpec { path: path.into(), settings: vec![CgroupSetting::Weight(weight)] })
    };
    Some(match second % 16 {
        0 => move_to("/b"),
        2 => weight("/a", 300),
        4 => Command::Affinity { task: "sleeper-2".into(), cpus: vec![CpuId(5), CpuId(6)] },
        6 => Command::Nice { task: "hog-2".into(), nice: 10 },
        8 => move_to("/a"),
        10 => weight("/a", 100),
        12 => Command::Affinity { task: "sleeper-2".into(), cpus: (0..NR_CPUS).map(CpuId).collect() },
        14 => Command::Nice { task: "hog-2".into(), nice: 0 },
        _ => return None,
    })
}

/// Counts what went where.
#[derive(Default)]
struct Counts {
    inserts: BTreeMap<DsqId, u64>,
    switches: [u64; NR_CPUS as usize],
}

impl EventSink for Counts {
    fn event(&mut self, _t: Ns, cpu: CpuId, ev: &Event, _s: &Sched) {
        match ev {
            Event::DsqInsert { dsq, .. } => *self.inserts.entry(*dsq).or_default() += 1,
            Event::Switch { .. } => self.switches[cpu.idx()] += 1,
            _ => {}
        }
    }
}

/// A minute, then a CPU goes, then a second loaded anew. `each_ms` looks at the machine in between.
fn minute(object: &Object, hogs: u32, mut each_ms: impl FnMut(&Machine)) -> (Scheduler, Counts) {
    let mut m = Machine::with_sems(NR_CPUS, mixed(hogs), &["ping", "pong"]);
    let scheduler = m.load(object);
    m.attach(&scheduler);
    let mut counts = Counts::default();
    for ms in 0..60 * SECOND {
        if ms % SECOND == 0
            && ms > 0
            && let Some(command) = changes(ms / SECOND)
        {
            m.perform(command);
        }
        m.sim.run_for(Ns::from_ms(1), &mut counts).expect("time passes");
        each_ms(&m);
    }
    scheduler.expect_kind(SCX_EXIT_NONE);
    m.perform(Command::Cpu { cpu: CpuId(7), online: false });
    m.run_until(100, "the exit", || scheduler.get("uei.kind") != 0);
    scheduler.expect_kind(SCX_EXIT_UNREG_KERN);
    assert_eq!(scheduler.get("uei.exit_code"), SCX_ECODE_ACT_RESTART | SCX_ECODE_RSN_HOTPLUG);
    let again = m.load(object);
    m.attach(&again);
    m.run(SECOND);
    again.expect_kind(SCX_EXIT_NONE);
    m.detach();
    again.expect_kind(SCX_EXIT_UNREG);
    (scheduler, counts)
}

#[test]
fn simple() {
    let Some(object) = example("scx_simple") else { return };
    let (simple, counts) = minute(&object, 6, |_| ());
    let (local, global) = (simple.per_cpu_sum("stats", 0), simple.per_cpu_sum("stats", 1));
    assert!(local > 10_000 && global > 10_000, "{local} local, {global} global");
    assert!(counts.inserts[&DsqId(0)] > 10_000, "its shared queue");
}

/// Everybody but the pinned is on CPU 0.
#[test]
fn cpu0() {
    let Some(object) = example("scx_cpu0") else { return };
    let (cpu0, counts) = minute(&object, 6, |_| ());
    assert!(cpu0.per_cpu_sum("stats", 1) > 1000);
    let (first, others) = counts.switches.split_first().expect("CPUs");
    assert!(*first > 1000);
    // Tasks that are not allowed there run on 3 to 6.
    let far = others.iter().enumerate().filter(|(i, _)| !(2..6).contains(i)).map(|(_, n)| n).sum::<u64>();
    assert!(far < 100, "{:?}", counts.switches);
}

/// CPU 0 decides for the others, and its timer sees to it that their slices, infinite as they are, end.
#[test]
fn central() {
    let Some(object) = example("scx_central") else { return };
    let object = object.setup("central", NR_CPUS);
    let mut elsewhere = 0;
    let (central, counts) = minute(&object, 6, |m| {
        let rqs = &m.sim.sched.rqs;
        elsewhere += rqs[1..].iter().filter(|rq| rq.curr != rq.idle).count();
    });
    assert!(central.get("nr_timers") > 10_000, "{}", central.get("nr_timers"));
    assert!(central.get("nr_dispatches") > 10_000, "{}", central.get("nr_dispatches"));
    assert_eq!(central.get("nr_overflows"), 0);
    assert!(elsewhere as u64 > 60 * SECOND * 5, "tasks run on other CPUs: {elsewhere}");
    let remote = |dsq: &DsqId| dsq.local_on_cpu().is_some_and(|cpu| cpu != 0);
    let handed: u64 = counts.inserts.iter().filter(|(dsq, _)| remote(dsq)).map(|(_, n)| n).sum();
    assert!(handed > 10_000, "{handed} handed to other CPUs");
}

/// Cgroups wait in a tree by their virtual times; a CPU takes the first.
#[test]
fn flatcg() {
    const PNC_NEXT: u32 = 15;
    const GLOBAL: u32 = 3;
    let Some(object) = example("scx_flatcg") else { return };
    let (flatcg, counts) = minute(&object.setup("flatcg", NR_CPUS), 6, |_| ());
    let pops = flatcg.per_cpu_sum("stats", PNC_NEXT);
    assert!(pops > 10_000, "{pops} cgroups taken from the tree");
    let fallback = flatcg.per_cpu_sum("stats", GLOBAL);
    assert!(fallback > 0 && counts.inserts[&DsqId(0)] <= fallback, "{fallback}");
    // Cgroups' own queues have their ids, which are small.
    let queued: u64 = counts.inserts.iter().filter(|(dsq, _)| dsq.0 < 1 << 32).map(|(_, n)| n).sum();
    assert!(queued > 10_000 && fallback * 20 < queued, "{fallback} of {queued} by the fallback queue");
}

/// How often, of the times that both CPUs of a pair ran tasks of the workload, these were of one cgroup, and of two.
#[derive(Default, Debug)]
struct Pairs {
    same: u64,
    other: u64,
}

impl Pairs {
    fn look(&mut self, m: &Machine) {
        let s = &m.sim.sched;
        let half = NR_CPUS as usize / 2;
        for cpu in 0..half {
            let [a, b] = [cpu, cpu + half].map(|cpu| s.rqs[cpu].curr);
            if m.is_workload(a) && m.is_workload(b) {
                *(if s.tasks[a].cgroup == s.tasks[b].cgroup { &mut self.same } else { &mut self.other }) += 1;
            }
        }
    }
}

/// Both CPUs of a pair run tasks of one cgroup; under another scheduler it is one or the other. Not always, and only while there are tasks
/// enough: scx_pair does without SCX_OPS_ENQ_LAST, so a CPU for which it finds nothing keeps its task.
#[test]
fn pair() {
    let Some(object) = example("scx_pair") else { return };
    let mut pairs = Pairs::default();
    let (pair, _) = minute(&object.setup("pair", NR_CPUS), 24, |m| pairs.look(m));
    assert!(pairs.same > 60 * SECOND && pairs.other * 6 < pairs.same, "{pairs:?}");
    for count in ["nr_dispatched", "nr_exps", "nr_exp_waits", "nr_cgrp_next", "nr_kicks"] {
        assert!(pair.get(count) > 1000, "{count}: {}", pair.get(count));
    }
    let Some(object) = example("scx_simple") else { return };
    let mut pairs = Pairs::default();
    minute(&object, 24, |m| pairs.look(m));
    assert!(pairs.other * 2 > pairs.same, "{pairs:?}");
}

/// What it knows of each task is in an arena, allocated and freed by itself.
#[test]
fn sdt() {
    let Some(object) = example("scx_sdt") else { return };
    let (sdt, _) = minute(&object, 6, |_| ());
    // Two children a CPU-second have come and gone; their counts are added when they go.
    assert!(sdt.get("stat_init") > 2000 && sdt.get("stat_exit") > 2000, "{}", sdt.get("stat_exit"));
    assert!(sdt.get("stat_enqueue") > 1000 && sdt.get("alloc_stats.alloc_ops") > 2000);
}

/// Its tasks are scheduled by its own program, which is absent: it loads, and ends for want of that.
#[test]
fn userland_loads() {
    let Some(object) = example("scx_userland") else { return };
    assert_eq!(object.loads(), Ok(()));
}

/// Built with clang-19, which leaves out casts of arena pointers, it is refused by 7.3 too.
#[test]
fn qmap_is_refused() {
    let Some(object) = example("scx_qmap") else { return };
    let why = object.loads().expect_err("it loads");
    assert!(why.contains("invalid mem access 'scalar'"), "{why}");
}

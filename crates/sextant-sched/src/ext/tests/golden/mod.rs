//! Goldens: a readable trace for each row of the reference callback sequences (semantics §4.24 with §9), in a file named after the row.
//!
//! `cargo test -p sextant-sched --lib golden::bless -- --ignored` writes them anew; look at the difference before you commit it.

use std::fmt::Write as _;
use std::path::Path;

use sextant_abi::types::*;
use sextant_abi::{CpuId, CpuMaskBits, DsqId};

use super::*;
use crate::event::Event;

/// The file without its ending, the row, what is the case before, what happens.
struct Row {
    file: &'static str,
    row: &'static str,
    before: &'static str,
    play: fn() -> Machine,
}

/// The probe of the table: all ops, a user DSQ `Q`.
fn all_ops() -> Probe {
    let mut probe = Probe::queueing().with_update_idle();
    probe.without.retain(|&op| op != Op::CpuAcquire && op != Op::CpuRelease);
    probe
}

fn loaded(nr_cpus: u32) -> Machine {
    Machine::with(nr_cpus, all_ops())
}

/// `a` runs on CPU 0, `b` waits in Q.
fn a_runs_b_waits(probe: Probe) -> (Machine, TaskId, TaskId) {
    let mut m = Machine::with(1, probe);
    let (a, b) = (m.fork("a", 0), m.fork("b", 0));
    m.forget();
    (m, a, b)
}

/// A slice passes, and the tick sees it.
fn slice_passes(m: &mut Machine) {
    m.advance_ms(20);
    m.tick(0);
    m.settle();
}

fn fifo(m: &mut Machine, comm: &str) -> TaskId {
    let p = m.fork_attr(&TaskAttr { policy: SCHED_FIFO, rt_priority: 1, ..Machine::attr(comm) }, 0);
    m.block(0);
    p
}

/// migration/N of each CPU, which pushes tasks away.
fn with_stoppers(nr_cpus: u32) -> Machine {
    let mut m = Machine::new(nr_cpus);
    for cpu in 0..nr_cpus {
        let attr = TaskAttr {
            cpus: Some(vec![CpuId(cpu)]),
            flags: PF_KTHREAD | PF_NO_SETAFFINITY,
            ..Machine::attr(&format!("migration/{cpu}"))
        };
        m.s.boot_task(10 + cpu as i32, &attr, CpuId(cpu), true);
    }
    m
}

fn stoppers_work(m: &mut Machine) {
    for _ in 0..32 {
        m.settle();
        for cpu in (0..m.s.cfg.nr_cpus).map(CpuId) {
            if m.s.rqs[cpu.idx()].stop == Some(m.s.rqs[cpu.idx()].curr) {
                m.s.enter(cpu, m.s.now);
                m.s.stopper_thread(cpu);
            }
        }
    }
}

const ROWS: &[Row] = &[
    Row {
        file: "wakeup_user_dsq",
        row: "wakeup, enqueue to user DSQ, CPU idle",
        before: "2 CPUs; a sleeps, last on CPU 0; CPU 1 wakes it",
        play: || {
            let mut m = loaded(2);
            let a = m.sleeper("a", 0);
            m.forget();
            m.wake(a, 1);
            m
        },
    },
    Row {
        file: "wakeup_direct_dispatch",
        row: "wakeup, direct dispatch to LOCAL from select_cpu",
        before: "2 CPUs; a sleeps, last on CPU 0; CPU 1 wakes it",
        play: || {
            let mut probe = all_ops();
            probe.select_cpu = Box::new(|s, p, prev, _| {
                s.kf_scx_bpf_dsq_insert(Some(p), DsqId::LOCAL, SCX_SLICE_DFL, 0);
                prev.0 as i32
            });
            let mut m = Machine::with(2, probe);
            let a = m.sleeper("a", 0);
            m.forget();
            m.wake(a, 1);
            m
        },
    },
    Row {
        file: "blocks_others_wait",
        row: "p blocks, others wait",
        before: "a runs, b waits in Q; a blocks",
        play: || {
            let (mut m, ..) = a_runs_b_waits(all_ops());
            m.block(0);
            m
        },
    },
    Row {
        file: "blocks_nothing_else",
        row: "p blocks, nothing else",
        before: "a runs alone and blocks",
        play: || {
            let mut m = loaded(1);
            m.fork("a", 0);
            m.forget();
            m.block(0);
            m
        },
    },
    Row {
        file: "slice_expiry_others_wait",
        row: "slice expiry, q available",
        before: "a runs, b waits in Q; 20 ms pass, then a tick",
        play: || {
            let (mut m, ..) = a_runs_b_waits(all_ops());
            slice_passes(&mut m);
            m
        },
    },
    Row {
        file: "slice_expiry_nothing_else",
        row: "slice expiry, nothing else",
        before: "a runs alone; 20 ms pass, then a tick: it is kept, with a new slice",
        play: || {
            let mut m = loaded(1);
            m.fork("a", 0);
            m.forget();
            slice_passes(&mut m);
            m
        },
    },
    Row {
        file: "slice_expiry_enq_last",
        row: "same with ENQ_LAST",
        before: "a runs alone; 20 ms pass, then a tick; ops.enqueue puts a LAST task on the local DSQ",
        play: || {
            let mut probe = all_ops();
            probe.params.flags |= SCX_OPS_ENQ_LAST;
            probe.enqueue = Box::new(|s, p, flags| {
                let dsq = if flags & SCX_ENQ_LAST != 0 { DsqId::LOCAL } else { Q };
                s.kf_scx_bpf_dsq_insert(Some(p), dsq, SCX_SLICE_DFL, flags);
            });
            let mut m = Machine::with(1, probe);
            m.fork("a", 0);
            m.forget();
            slice_passes(&mut m);
            m
        },
    },
    Row {
        file: "dispatch_refills_prev",
        row: "dispatch refills prev (sets slice>0)",
        before: "a runs, b waits in Q; 20 ms pass, then a tick; ops.dispatch gives a 3 ms more",
        play: || {
            let mut probe = all_ops();
            probe.dispatch = Box::new(|s, _, prev| {
                match prev {
                    Some(p) => s.kf_scx_bpf_task_set_slice(p, 3_000_000),
                    None => s.kf_scx_bpf_dsq_move_to_local(Q, 0),
                };
            });
            let (mut m, ..) = a_runs_b_waits(probe);
            slice_passes(&mut m);
            m
        },
    },
    Row {
        file: "rt_preempts",
        row: "RT/DL preempts p with slice left",
        before: "a runs; 4 ms later a SCHED_FIFO task wakes up, and then blocks",
        play: || {
            let mut m = loaded(1);
            let rt = fifo(&mut m, "rt");
            m.fork("a", 0);
            m.forget();
            m.advance_ms(4);
            m.wake(rt, 0);
            m.block(0);
            m
        },
    },
    Row {
        file: "yield",
        row: "yield, default",
        before: "a runs, b waits in Q; a yields",
        play: || {
            let (mut m, ..) = a_runs_b_waits(all_ops());
            m.s.enter(CpuId(0), m.s.now);
            m.s.yield_current(CpuId(0));
            m.settle();
            m
        },
    },
    Row {
        file: "affinity_queued",
        row: "affinity change, p queued in user DSQ/BPF",
        before: "2 CPUs that run a and b; c waits in Q, from CPU 0, and may use only CPU 1 from now on",
        play: || {
            let mut m = loaded(2);
            m.fork("a", 0);
            m.fork("b", 1);
            let c = m.fork("c", 0);
            m.forget();
            m.s.enter(CpuId(0), m.s.now);
            m.s.set_cpus_allowed(c, &CpuMaskBits::one(CpuId(1))).expect("an online CPU");
            m.settle();
            m
        },
    },
    Row {
        file: "affinity_and_nice_running",
        row: "affinity/nice change, p running",
        before: "2 CPUs, a runs on CPU 0: nice 5, then CPU 0 only; it keeps its CPU and its slice",
        play: || {
            let mut m = loaded(2);
            let a = m.fork("a", 0);
            m.forget();
            m.s.enter(CpuId(0), m.s.now);
            m.s.set_user_nice(a, 5);
            m.s.set_cpus_allowed(a, &CpuMaskBits::one(CpuId(0))).expect("an online CPU");
            m.settle();
            m
        },
    },
    Row {
        file: "migration_disabled",
        row: "migration-disabled p switched out while runnable",
        before: "2 CPUs, a runs on CPU 0 in migrate_disable and is rescheduled, then migrate_enable (§9.1.1)",
        play: || {
            let mut m = loaded(2);
            let a = m.fork("a", 0);
            m.forget();
            m.s.enter(CpuId(0), m.s.now);
            m.s.migrate_disable(a);
            m.s.resched_curr(CpuId(0));
            m.settle();
            m.s.migrate_enable(a);
            m.settle();
            m
        },
    },
    Row {
        file: "moved_to_another_cpu",
        row: "SCX moves q to another CPU's local DSQ",
        before: "2 CPUs; q waits in Q, from CPU 0; CPU 1 is kicked and dispatches it",
        play: || {
            let mut probe = all_ops();
            probe.dispatch = Box::new(|s, cpu, _| {
                if cpu == CpuId(1) {
                    s.kf_scx_bpf_dsq_move_to_local(Q, 0);
                }
            });
            let mut m = Machine::with(2, probe);
            m.fork("q", 0);
            m.forget();
            m.s.enter(CpuId(0), m.s.now);
            m.s.kf_scx_bpf_kick_cpu(1, 0);
            m.settle();
            m
        },
    },
    Row {
        file: "fork",
        row: "fork of an ext task",
        before: "2 CPUs, both idle; p is forked on CPU 0",
        play: || {
            let mut m = loaded(2);
            m.forget();
            m.s.enter(CpuId(0), m.s.now);
            let p = m.s.sched_fork(&Machine::attr("p")).expect("ops.init_task lets it");
            m.s.wake_up_new_task(p);
            m.settle();
            m
        },
    },
    Row {
        file: "exit",
        row: "exit",
        before: "a runs alone and exits (§9.1.2: with autogroups it moves first)",
        play: || {
            let mut m = loaded(1);
            m.fork("a", 0);
            m.forget();
            m.s.enter(CpuId(0), m.s.now);
            m.s.exit_current(CpuId(0));
            m
        },
    },
    Row {
        file: "setscheduler_fair_to_ext",
        row: "sched_setscheduler fair→ext (partial mode)",
        before: "f runs, g waits, both fair; g becomes SCHED_EXT",
        play: || {
            let mut m = Machine::with(1, partial());
            m.fork("f", 0);
            let g = m.fork("g", 0);
            m.forget();
            m.s.enter(CpuId(0), m.s.now);
            m.s.sched_setscheduler(g, SCHED_EXT, 0).expect("allowed");
            m.settle();
            m
        },
    },
    Row {
        file: "setscheduler_ext_to_fair",
        row: "ext→fair",
        before: "partial mode; e runs, q waits in Q, both SCHED_EXT; q becomes fair and preempts e, then e does",
        play: || {
            let mut m = Machine::with(1, partial());
            let ext = |comm: &str| TaskAttr { policy: SCHED_EXT, ..Machine::attr(comm) };
            let e = m.fork_attr(&ext("e"), 0);
            let q = m.fork_attr(&ext("q"), 0);
            m.forget();
            m.s.enter(CpuId(0), m.s.now);
            m.s.sched_setscheduler(q, SCHED_NORMAL, 0).expect("allowed");
            m.settle();
            m.s.sched_setscheduler(e, SCHED_NORMAL, 0).expect("allowed");
            m.settle();
            m
        },
    },
    Row {
        file: "cgroup_move",
        row: "cgroup move",
        before: "r runs, q waits in Q; both are moved to /g",
        play: || {
            let mut m = loaded(1);
            let g = m.s.cgroup_mkdir_all("/g").expect("a new cgroup");
            let (r, q) = (m.fork("r", 0), m.fork("q", 0));
            m.forget();
            m.s.enter(CpuId(0), m.s.now);
            m.s.cgroup_attach(&[r, q], g).expect("ops.cgroup_prep_move lets them");
            m.settle();
            m
        },
    },
    Row {
        file: "load",
        row: "load",
        before: "/g exists; a runs, b waits, c sleeps, all fair",
        play: || {
            let mut m = Machine::new(1);
            m.s.cgroup_mkdir_all("/g").expect("a new cgroup");
            m.s.boot_task(1, &Machine::attr("c"), CpuId(0), false);
            m.fork("a", 0);
            m.fork("b", 0);
            m.forget();
            m.load(all_ops());
            m
        },
    },
    Row {
        file: "unload",
        row: "unload",
        before: "/g exists; a runs, b waits in Q; the link is dropped",
        play: || {
            let mut m = Machine::new(1);
            m.s.cgroup_mkdir_all("/g").expect("a new cgroup");
            m.load(all_ops());
            m.fork("a", 0);
            m.fork("b", 0);
            m.forget();
            m.unload();
            m
        },
    },
    Row {
        file: "hot_unplug",
        row: "CPU hot-unplug with cpu_offline",
        before: "2 CPUs; r runs on CPU 1, q waits in Q, from CPU 1; CPU 1 goes offline. Only CPU 1 takes from Q",
        play: || {
            let mut probe = all_ops();
            probe.dispatch = Box::new(|s, cpu, _| {
                if cpu == CpuId(1) {
                    s.kf_scx_bpf_dsq_move_to_local(Q, 0);
                }
            });
            let mut m = with_stoppers(2);
            m.load(probe);
            m.fork("r", 1);
            m.fork("q", 1);
            m.forget();
            m.s.enter(CpuId(1), m.s.now);
            m.s.cpu_deactivate(CpuId(1)).expect("it may go");
            stoppers_work(&mut m);
            m
        },
    },
];

fn partial() -> Probe {
    let mut probe = all_ops();
    probe.params.flags |= SCX_OPS_SWITCH_PARTIAL;
    probe
}

/// What happened, a line each: the CPU, then the op with its arguments or what the class did.
fn text(row: &Row) -> String {
    let mut m = (row.play)();
    m.s.check_invariants();
    let mut text = format!("# {}\n# {}\n\n", row.row, row.before);
    let events = std::mem::take(&mut m.s.events);
    for (_, cpu, event) in &events {
        if let Some(line) = line(&m, *cpu, event) {
            writeln!(text, "[{cpu}] {line}").expect("a string takes it");
        }
    }
    text
}

fn line(m: &Machine, cpu: CpuId, event: &Event) -> Option<String> {
    let name = |p: &TaskId| m.comm(*p);
    Some(match event {
        Event::OpCall { .. } => format!("ops.{}", m.op_line(cpu, event)?),
        Event::DsqInsert { p, dsq, .. } => format!("    {} -> {}", name(p), dsq_name(*dsq)),
        Event::DsqRemove { p, dsq } => format!("    {} <- {}", name(p), dsq_name(*dsq)),
        Event::Migrate { p, from, to } => format!("    {} goes from CPU {from} to CPU {to}", name(p)),
        Event::ClassChange { p, from, to } => format!("    {} goes from {from:?} to {to:?}", name(p)),
        Event::Switch { prev, next, .. } => format!("    {} ==> {}", name(prev), name(next)),
        Event::Kick { cpu, .. } => format!("    kicks CPU {cpu}"),
        Event::Idle { idle, .. } => format!("    idle mask: {}", if *idle { "in" } else { "out" }),
        Event::Bypass { on } => format!("    bypass {}", if *on { "on" } else { "off" }),
        _ => return None,
    })
}

fn dsq_name(dsq: DsqId) -> String {
    if dsq == Q { "Q".into() } else { format!("{dsq:?}") }
}

fn path(row: &Row) -> std::path::PathBuf {
    let file = format!("src/ext/tests/golden/{}.txt", row.file);
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

#[test]
fn every_row_has_its_trace() {
    for row in ROWS {
        let (file, got) = (path(row), text(row));
        let golden = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(golden == got, "{}: {} differs; now it is\n{got}", row.row, file.display());
    }
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ext/tests/golden");
    let files = std::fs::read_dir(dir).expect("the goldens are there");
    let texts = files.flatten().filter(|f| f.path().extension().is_some_and(|ext| ext == "txt"));
    assert_eq!(texts.count(), ROWS.len(), "a golden without a row");
}

#[test]
#[ignore = "writes the goldens"]
fn bless() {
    for row in ROWS {
        std::fs::write(path(row), text(row)).expect("the source tree is writable");
    }
}

//! The machine under sched_ext: the native `fifo` and `vtime` policies, and one that never dispatches.

mod support;

use std::cell::Cell;
use std::rc::Rc;

use sextant_abi::Ns;
use sextant_abi::exit::ExitKind;
use sextant_sched::native::{Fifo, VtimeFair};
use sextant_sched::ops::{Op, OpsParams};
use sextant_sched::{Class, Event, Ops, Sched, TaskId};
use sextant_sim::workload::{Action, Policy, TaskSpec};
use sextant_sim::{Ended, NoSink, Outcome, SimConfig, Simulation, Workload};
use support::*;

fn simulate(w: &Workload, config: SimConfig, ops: Rc<dyn Ops>) -> (Simulation, Outcome, Vec<String>) {
    let mut sim = Simulation::new(config, w, mem()).unwrap();
    let mut lines = Lines::default();
    sim.attach(ops, &mut lines).unwrap();
    let out = sim.run(&mut lines).unwrap();
    (sim, out, lines.0)
}

fn exit_kind(sim: &Simulation) -> Option<ExitKind> {
    sim.sched.ext.exit_info().map(|info| info.kind)
}

#[test]
fn fifo_runs_the_mixed_load() {
    let (sim, out, lines) = simulate(&mixed(), config(4, 1), Rc::new(Fifo));
    assert_eq!((out.ended, exit_kind(&sim)), (Ended::Duration, Some(ExitKind::Unreg)));
    assert!(out.tasks.iter().all(|t| t.run_ns > 0), "{:?}", out.tasks);
    assert!(lines.iter().any(|l| l.contains("Dispatch")));
    assert!(sim.sched.tasks.iter().all(|t| t.class != Class::Ext), "everything is back in the fair class");
}

#[test]
fn fifo_gives_equal_shares_whatever_the_weight() {
    let tasks = [0, 1, 5, 10].map(|nice| TaskSpec { nice, ..hog(&format!("nice{nice}")) });
    let (_, out, _) = simulate(&workload(tasks.to_vec(), 4000), config(2, 1), Rc::new(Fifo));
    for t in &out.tasks {
        let share = t.run_ns as f64 / out.now.0 as f64;
        assert!((share - 0.5).abs() < 0.02, "{}: {share:.4}", t.name);
    }
}

/// Several tasks of each weight: a CPU's dispatch cannot pick the task whose slice has just ended (it is enqueued after the
/// dispatch), so that a single task of a shared queue never runs twice in a row, whatever its weight.
#[test]
fn vtime_shares_follow_weights() {
    let tasks = [0, 1, 5, 10].map(|nice| TaskSpec { nice, instances: 4, ..hog(&format!("nice{nice}")) });
    let (_, out, _) =
        simulate(&workload(tasks.to_vec(), 16_000), config(2, 1), Rc::new(VtimeFair::default()));
    let sum: u32 = out.tasks.iter().map(|t| t.weight).sum();
    for group in out.tasks.chunks(4) {
        let share = group.iter().map(|t| t.run_ns).sum::<u64>() as f64 / out.now.0 as f64;
        let ideal = 2.0 * 4.0 * f64::from(group[0].weight) / f64::from(sum);
        assert!((share - ideal).abs() < 0.02, "{}: {share:.4}, not {ideal:.4}", group[0].name);
    }
}

/// The other side of it: one task of each weight on 2 CPUs alternate, two thirds of a CPU at most for each.
#[test]
fn a_shared_queue_never_runs_a_task_twice_in_a_row() {
    let tasks = [0, 10].map(|nice| TaskSpec { nice, ..hog(&format!("nice{nice}")) });
    let (_, out, _) = simulate(&workload(tasks.to_vec(), 4_000), config(1, 1), Rc::new(VtimeFair::default()));
    for t in &out.tasks {
        let share = t.run_ns as f64 / out.now.0 as f64;
        assert!((share - 0.5).abs() < 0.02, "{}: {share:.4}", t.name);
    }
}

#[test]
fn same_seed_same_events() {
    let trace = |seed, ideal| simulate(&mixed(), SimConfig { ideal, ..config(4, seed) }, Rc::new(Fifo)).2;
    assert_eq!(trace(7, false), trace(7, false));
    assert_ne!(trace(7, false), trace(8, false));
    assert_eq!(trace(1, true), trace(2, true));
}

#[test]
fn tasks_fork_exit_and_move_under_fifo() {
    let child =
        TaskSpec { instances: 0, loops: Some(1), ..forever("child", vec![Action::Run(Ns::from_us(50))]) };
    let parent = TaskSpec {
        loops: Some(300),
        ..forever(
            "parent",
            vec![Action::Fork(sextant_sim::workload::SpecId(1)), Action::Sleep(Ns::from_ms(1))],
        )
    };
    let phase = |cpu| sextant_sim::workload::Phase {
        cpus: Some(vec![sextant_abi::CpuId(cpu)]),
        actions: vec![Action::Run(Ns::from_ms(5))],
        ..Default::default()
    };
    let mover = TaskSpec {
        name: "mover".into(),
        loops: Some(30),
        phases: vec![phase(0), phase(1)],
        ..TaskSpec::default()
    };
    let w = Workload { duration: None, ..workload(vec![parent, child, mover], 0) };
    let (sim, out, _) = simulate(&w, config(2, 3), Rc::new(Fifo));
    assert_eq!((out.ended, exit_kind(&sim)), (Ended::AllExited, Some(ExitKind::Unreg)));
    assert!(out.tasks.iter().all(|t| t.exited) && out.tasks.len() == 302);
}

#[test]
fn partial_switching_leaves_the_others_fair() {
    struct Partial;
    impl Ops for Partial {
        fn params(&self) -> OpsParams {
            OpsParams {
                name: "partial".into(),
                flags: sextant_abi::types::SCX_OPS_SWITCH_PARTIAL,
                ..OpsParams::default()
            }
        }
        fn has(&self, _op: Op) -> bool {
            false
        }
    }
    let tasks = vec![TaskSpec { policy: Policy::Ext, ..hog("ext") }, hog("fair")];
    let mut sim = Simulation::new(config(2, 1), &workload(tasks, 300), mem()).unwrap();
    sim.attach(Rc::new(Partial), &mut NoSink).unwrap();
    let mut lines = ClassesAtFork::default();
    let out = sim.run(&mut lines).unwrap();
    assert_eq!(lines.0, [("ext".to_string(), Class::Ext), ("fair".to_string(), Class::Fair)]);
    assert!(out.tasks.iter().all(|t| t.run_ns > 280_000_000), "{:?}", out.tasks);
}

#[derive(Default)]
struct ClassesAtFork(Vec<(String, Class)>);

impl sextant_sim::EventSink for ClassesAtFork {
    fn event(&mut self, _t: Ns, _cpu: sextant_abi::CpuId, ev: &Event, s: &Sched) {
        if let Event::Fork { p, .. } = ev {
            self.0.push((s.t(*p).comm().get_str(&*s.mem), s.tasks[*p].class));
            self.0.sort_by(|a, b| a.0.cmp(&b.0));
        }
    }
}

/// Takes tasks and never gives one back.
#[derive(Default)]
struct Stall {
    enqueued: Cell<u32>,
}

impl Ops for Stall {
    fn params(&self) -> OpsParams {
        OpsParams { name: "stall".into(), timeout_ms: 1000, ..OpsParams::default() }
    }
    fn has(&self, op: Op) -> bool {
        op == Op::Enqueue
    }
    fn enqueue(&self, _s: &mut Sched, _p: TaskId, _enq_flags: u64) {
        self.enqueued.set(self.enqueued.get() + 1);
    }
}

#[test]
fn a_stalling_scheduler_is_thrown_out_and_nothing_is_lost() {
    let task = |name: &str| TaskSpec {
        loops: Some(10),
        ..forever(name, vec![Action::Run(Ns::from_ms(5)), Action::Sleep(Ns::from_ms(1))])
    };
    let w = Workload { duration: None, ..workload(vec![task("a"), task("b"), task("c")], 0) };
    let stall = Rc::new(Stall::default());
    let (sim, out, lines) = simulate(&w, config(2, 1), stall.clone());
    assert!(stall.enqueued.get() >= 1, "the third task finds no idle CPU");
    assert_eq!(exit_kind(&sim), Some(ExitKind::ErrorStall));
    assert_eq!(out.ended, Ended::AllExited);
    // Its own time and what came afterwards are the whole run, task by task.
    let after = out.after.as_ref().expect("it ended by itself");
    assert_eq!(out.own + after.duration, out.now);
    for own in &out.tasks {
        let rest = after.tasks.iter().find(|t| t.pid == own.pid);
        assert_ne!(own.exited, rest.is_some_and(|t| t.exited), "{own:?} {rest:?}");
        let all = own.run_ns + rest.map_or(0, |t| t.run_ns);
        assert!((50_000_000..51_000_000).contains(&all), "{own:?} {rest:?}");
    }
    assert_eq!(after.tasks.len(), 1, "one task found no idle CPU: {:?}", after.tasks);
    let waited = out.tasks.iter().map(|t| t.max_wait_ns).max();
    assert!(waited > Some(900_000_000), "a wait that is open when the scheduler ends counts: {waited:?}");
    assert!(
        out.now > Ns::from_ms(1000) && out.now < Ns::from_ms(2600),
        "stalled until the watchdog came: {:?}",
        out.now
    );
    assert!(lines.iter().any(|l| l.contains("Disabled")));
}

/// Finds nothing in ops.dispatch and kicks the CPU that asked.
struct KicksItself;

impl Ops for KicksItself {
    fn params(&self) -> OpsParams {
        OpsParams { name: "kicks_itself".into(), timeout_ms: 100, ..OpsParams::default() }
    }
    fn has(&self, op: Op) -> bool {
        matches!(op, Op::Dispatch | Op::Enqueue)
    }
    fn dispatch(&self, s: &mut Sched, cpu: sextant_abi::CpuId, _prev: Option<TaskId>) {
        s.kf_scx_bpf_kick_cpu(cpu.0 as i32, sextant_abi::types::SCX_KICK_IDLE);
    }
}

#[test]
fn a_cpu_that_kicks_itself_does_not_stop_the_clock() {
    for ideal in [false, true] {
        let pinned = TaskSpec { cpus: Some(vec![sextant_abi::CpuId(0)]), ..hog("never_dispatched") };
        let config = SimConfig { ideal, ..config(2, 1) };
        let (sim, out, _) = simulate(&workload(vec![pinned], 400), config, Rc::new(KicksItself));
        assert_eq!((out.ended, exit_kind(&sim)), (Ended::Duration, Some(ExitKind::ErrorStall)));
        let after = &out.after.expect("it ended by itself").tasks[0];
        assert!(after.run_ns > 150_000_000, "{after:?}");
    }
}

/// Order of what happens to one task, flags included, against semantics §4.24 and §9.1.2.
#[test]
fn exit_is_a_group_move_and_a_sleep() {
    struct All;
    impl Ops for All {
        fn params(&self) -> OpsParams {
            OpsParams { name: "all".into(), ..OpsParams::default() }
        }
        fn has(&self, op: Op) -> bool {
            use Op::*;
            matches!(
                op,
                Runnable
                    | Running
                    | Stopping
                    | Quiescent
                    | Disable
                    | ExitTask
                    | Enable
                    | SetWeight
                    | InitTask
            )
        }
    }
    let once = TaskSpec { loops: Some(1), ..forever("once", vec![Action::Run(Ns::from_ms(1))]) };
    let w = Workload { duration: None, ..workload(vec![once], 0) };
    let mut sim = Simulation::new(SimConfig { ideal: true, ..config(1, 1) }, &w, mem()).unwrap();
    let mut calls = Calls::default();
    sim.attach(Rc::new(All), &mut NoSink).unwrap();
    sim.run(&mut calls).unwrap();
    let expect = [
        (Op::InitTask, None),
        (Op::Enable, None),
        (Op::SetWeight, None),
        (Op::Runnable, Some(0x80008)),
        (Op::Running, None),
        (Op::Stopping, None),
        (Op::Quiescent, Some(0x2_0000_000e)),
        (Op::Runnable, Some(0x1000_0000_0000_000e)),
        (Op::Running, None),
        (Op::Stopping, None),
        (Op::Quiescent, Some(0x10009)),
        (Op::Disable, None),
        (Op::ExitTask, None),
    ];
    let got: Vec<(Op, Option<u64>)> = calls
        .0
        .iter()
        .map(|&(op, flags)| (op, matches!(op, Op::Runnable | Op::Quiescent).then_some(flags)))
        .collect();
    assert_eq!(got, expect);
}

/// Op calls for the task of pid 1000.
#[derive(Default)]
struct Calls(Vec<(Op, u64)>);

impl sextant_sim::EventSink for Calls {
    fn event(&mut self, _t: Ns, _cpu: sextant_abi::CpuId, ev: &Event, s: &Sched) {
        if let Event::OpCall { op, p: Some(p), args } = ev
            && s.tasks[*p].id == s.tasks.from_pid(1000).unwrap_or(*p)
            && s.tasks[*p].id.0 > 6
        {
            self.0.push((*op, args[0]));
        }
    }
}

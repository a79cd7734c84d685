//! `kill TASK`: a task that is killed exits when it next has the CPU, wherever it was: running, queued, in the scheduler's hands, asleep.

mod support;

use std::cell::RefCell;
use std::rc::Rc;

use sextant_abi::{CpuId, DsqId, Ns};
use sextant_sched::native::Fifo;
use sextant_sched::ops::{Op, Ops, OpsParams};
use sextant_sched::{Sched, TaskId};
use sextant_sim::script::{Command, ScriptEvent};
use sextant_sim::workload::{Action, CondId, SemId, TaskSpec};
use sextant_sim::{NoSink, Outcome, Simulation, Workload};
use support::{config, forever, hog, mem, workload};

fn kill(ms: u64, task: &str) -> ScriptEvent {
    ScriptEvent { at: Ns::from_ms(ms), command: Command::Kill { task: task.into() } }
}

fn simulate(mut w: Workload, cpus: u32, events: Vec<ScriptEvent>, ops: Rc<dyn Ops>) -> (Simulation, Outcome) {
    w.events = events;
    let mut sim = Simulation::new(config(cpus, 1), &w, mem()).unwrap();
    sim.attach(ops, &mut NoSink).unwrap();
    let out = sim.run(&mut NoSink).unwrap();
    assert_eq!(out.failed_events, []);
    assert_eq!(sim.sched.ext.exit_info().unwrap().kind.value(), 64, "UNREG");
    (sim, out)
}

/// Whether a task of the outcome exited, and how long it lived, ms.
fn life(out: &Outcome, name: &str) -> (bool, u64) {
    let task = out.tasks.iter().find(|t| t.name == name).expect("the task ran");
    (task.exited, task.alive_ns / 1_000_000)
}

#[test]
fn a_running_task_leaves_the_cpu_at_once() {
    let w = workload(vec![hog("h"), hog("other")], 300);
    let (_, out) = simulate(w, 4, vec![kill(100, "h")], Rc::new(Fifo));
    let (exited, ms) = life(&out, "h");
    assert!(exited && (99..=100).contains(&ms), "{ms} ms");
    assert!(!life(&out, "other").0);
}

#[test]
fn queued_tasks_exit_when_their_turn_comes() {
    let w = workload(vec![TaskSpec { instances: 4, ..hog("h") }], 400);
    let (_, out) = simulate(w, 1, vec![kill(100, "h")], Rc::new(Fifo));
    for i in 0..4 {
        let (exited, ms) = life(&out, &format!("h-{i}"));
        assert!(exited && (90..=105).contains(&ms), "h-{i}: {ms} ms");
    }
    assert!(out.now < Ns::from_ms(110), "nobody is left: {:?}", out.now);
}

#[test]
fn sleepers_and_waiters_wake_and_exit() {
    let mut w = workload(
        vec![
            forever("sleeper", vec![Action::Sleep(Ns::from_ms(10_000))]),
            forever("suspended", vec![Action::Suspend(CondId(0))]),
            forever("waiter", vec![Action::SemWait(SemId(0))]),
            forever(
                "second",
                vec![Action::Sleep(Ns::from_ms(50)), Action::SemWait(SemId(0)), Action::Run(Ns::from_ms(1))],
            ),
            // Its post is for the second one: the first in line is dead by then.
            TaskSpec {
                loops: Some(1),
                ..forever("poster", vec![Action::Sleep(Ns::from_ms(200)), Action::SemPost(SemId(0))])
            },
        ],
        400,
    );
    (w.sems, w.conds) = (vec!["s".into()], vec!["c".into()]);
    w.tasks[4].phases[0].loops = Some(1);
    let events = vec![kill(100, "sleeper"), kill(100, "suspended"), kill(100, "waiter"), kill(100, "waiter")];
    let (_, out) = simulate(w, 2, events, Rc::new(Fifo));
    for name in ["sleeper", "suspended", "waiter"] {
        let (exited, ms) = life(&out, name);
        assert!(exited && (90..=101).contains(&ms), "{name}: {ms} ms");
    }
    let second = out.tasks.iter().find(|t| t.name == "second").unwrap();
    assert!(!second.exited && second.run_ns >= 1_000_000, "{second:?}");
}

/// Keeps tasks named "held" in its hands from 50 to 200 ms, and writes down what it is called for them.
#[derive(Default)]
struct Keeper {
    held: RefCell<Vec<TaskId>>,
    calls: RefCell<Vec<(u64, &'static str)>>,
}

/// Since the machine's boot; the run begins at 100 s.
fn ms(s: &Sched) -> u64 {
    s.now.0 / 1_000_000 - 100_000
}

impl Keeper {
    fn note(&self, s: &Sched, p: TaskId, what: &'static str) {
        if s.t(p).comm().get_str(&*s.mem) == "held" && ms(s) >= 50 {
            self.calls.borrow_mut().push((ms(s), what));
        }
    }
}

impl Ops for Keeper {
    fn params(&self) -> OpsParams {
        OpsParams { name: "keeper".into(), ..OpsParams::default() }
    }
    fn has(&self, op: Op) -> bool {
        use Op::*;
        matches!(op, Enqueue | Dequeue | Dispatch | Runnable | Running | Stopping | Quiescent | ExitTask)
    }
    fn enqueue(&self, s: &mut Sched, p: TaskId, flags: u64) {
        self.note(s, p, "enqueue");
        let is_held = s.t(p).comm().get_str(&*s.mem) == "held";
        if is_held && (50..200).contains(&ms(s)) {
            self.held.borrow_mut().push(p);
        } else {
            s.kf_scx_bpf_dsq_insert(Some(p), DsqId::GLOBAL, 5_000_000, flags);
        }
    }
    fn dequeue(&self, s: &mut Sched, p: TaskId, _: u64) {
        self.note(s, p, "dequeue");
    }
    fn dispatch(&self, s: &mut Sched, _: CpuId, _: Option<TaskId>) {
        if ms(s) >= 200 {
            for p in self.held.take() {
                s.kf_scx_bpf_dsq_insert(Some(p), DsqId::GLOBAL, 5_000_000, 0);
            }
        }
    }
    fn runnable(&self, s: &mut Sched, p: TaskId, _: u64) {
        self.note(s, p, "runnable");
    }
    fn running(&self, s: &mut Sched, p: TaskId) {
        self.note(s, p, "running");
    }
    fn stopping(&self, s: &mut Sched, p: TaskId, _: bool) {
        self.note(s, p, "stopping");
    }
    fn quiescent(&self, s: &mut Sched, p: TaskId, _: u64) {
        self.note(s, p, "quiescent");
    }
    fn exit_task(&self, s: &mut Sched, p: TaskId, _: bool) {
        self.note(s, p, "exit_task");
    }
}

/// The kill takes nothing out of the scheduler's hands: the task exits when it is let run.
#[test]
fn a_task_in_custody_stays_there_until_it_is_dispatched() {
    let w = workload(vec![hog("held"), hog("other")], 400);
    let keeper = Rc::new(Keeper::default());
    let (_, out) = simulate(w, 1, vec![kill(100, "held")], keeper.clone());
    let (exited, alive) = life(&out, "held");
    assert!(exited && alive >= 190, "{alive} ms");
    let calls = keeper.calls.take();
    let from = calls.iter().position(|c| c.1 == "enqueue").expect("it was enqueued");
    let (held, rest) = (&calls[from], &calls[from + 1..]);
    assert!(held.0 < 100, "{calls:?}");
    assert!(rest.iter().all(|c| c.0 >= 200), "nothing happens to it while it is held: {rest:?}");
    // do_exit() moves it out of its autogroup, a change of a running task: stopping and running around it.
    let names: Vec<&str> = rest.iter().map(|c| c.1).collect();
    assert_eq!(names[..2], ["dequeue", "running"], "custody ends with the dispatch");
    assert_eq!(names[names.len() - 3..], ["stopping", "quiescent", "exit_task"]);
}

#[test]
fn a_pinned_task_comes_to_the_end_of_the_kernel_code_that_pins_it() {
    let mut task = forever("pinned", vec![Action::MigrateDisable, Action::Run(Ns::from_ms(1000))]);
    task.phases[0].loops = Some(1);
    let w = workload(vec![task, hog("h")], 300);
    let (_, out) = simulate(w, 2, vec![kill(100, "pinned")], Rc::new(Fifo));
    let (exited, ms) = life(&out, "pinned");
    assert!(exited && (99..=101).contains(&ms), "{ms} ms");
}

//! Workloads and sinks for the tests.
#![allow(dead_code)]

use std::rc::Rc;

use sextant_abi::{CpuId, Ns};
use sextant_sched::sched::{KMem, new_kmem};
use sextant_sched::{Class, Event, Sched, TaskId};
use sextant_sim::workload::{Action, CondId, Phase, SemId, TaskSpec};
use sextant_sim::{EventSink, NoSink, Outcome, SimConfig, Simulation, Workload};

pub fn mem() -> Rc<KMem> {
    new_kmem().expect("the host has address space")
}

pub fn config(nr_cpus: u32, seed: u64) -> SimConfig {
    SimConfig { nr_cpus, seed, check: true, ..SimConfig::default() }
}

pub fn workload(tasks: Vec<TaskSpec>, ms: u64) -> Workload {
    Workload { name: "test".into(), duration: Some(Ns::from_ms(ms)), tasks, ..Workload::default() }
}

pub fn forever(name: &str, actions: Vec<Action>) -> TaskSpec {
    TaskSpec { name: name.into(), phases: vec![Phase { actions, ..Phase::default() }], ..TaskSpec::default() }
}

pub fn hog(name: &str) -> TaskSpec {
    forever(name, vec![Action::Run(Ns::from_ms(100))])
}

/// Two tasks that wake each other through semaphores.
pub fn ping_pong_pair(loops: Option<u64>) -> Workload {
    let side = |name: &str, actions| TaskSpec { loops, ..forever(name, actions) };
    let (a, b) = (SemId(0), SemId(1));
    let run = Action::Run(Ns::from_us(50));
    let ping = vec![run, Action::SemPost(b), Action::SemWait(a)];
    let pong = vec![Action::SemWait(b), run, Action::SemPost(a)];
    Workload {
        sems: vec!["a".into(), "b".into()],
        tasks: vec![side("ping", ping), side("pong", pong)],
        duration: loops.is_none().then_some(Ns::from_ms(500)),
        name: "ping-pong".into(),
        ..Workload::default()
    }
}

/// `waker` resumes `waiter` every millisecond, which then runs 50 us and suspends itself again.
pub fn suspend_resume(loops: u64) -> Workload {
    let side = |name: &str, actions| TaskSpec { loops: Some(loops), ..forever(name, actions) };
    let cond = CondId(0);
    let waiter = vec![Action::Suspend(cond), Action::Run(Ns::from_us(50))];
    let waker = vec![Action::Sleep(Ns::from_ms(1)), Action::Run(Ns::from_us(10)), Action::Resume(cond)];
    Workload {
        conds: vec!["cond".into()],
        tasks: vec![side("waiter", waiter), TaskSpec { delay: Ns::from_ms(2), ..side("waker", waker) }],
        name: "suspend-resume".into(),
        ..Workload::default()
    }
}

/// Hogs, sleepers and a ping-pong pair for half a second.
pub fn mixed() -> Workload {
    let sleeper = forever("sleeper", vec![Action::Sleep(Ns::from_ms(2)), Action::Run(Ns::from_us(200))]);
    let mut w = ping_pong_pair(None);
    w.tasks.push(TaskSpec { instances: 3, ..hog("hog") });
    w.tasks.push(TaskSpec { instances: 4, nice: 5, ..sleeper });
    w
}

pub fn run(w: &Workload, config: SimConfig) -> Outcome {
    Simulation::new(config, w, mem()).unwrap().run(&mut NoSink).unwrap()
}

/// Every event as text.
#[derive(Default)]
pub struct Lines(pub Vec<String>);

impl EventSink for Lines {
    fn event(&mut self, t: Ns, cpu: CpuId, ev: &Event, _s: &Sched) {
        self.0.push(format!("{} {cpu} {ev:?}", t.0));
    }
}

pub fn trace(w: &Workload, config: SimConfig) -> Vec<String> {
    let mut lines = Lines::default();
    Simulation::new(config, w, mem()).unwrap().run(&mut lines).unwrap();
    lines.0
}

/// Where each task was switched in, and when.
#[derive(Default)]
pub struct Places(Vec<(Ns, TaskId, u32, bool)>);

impl Places {
    /// The CPUs a task ran on after `from`.
    pub fn cpus_of(&self, p: TaskId, from: u64) -> Vec<u32> {
        let mut cpus: Vec<u32> = self.0.iter().filter(|e| e.1 == p && e.0.0 > from).map(|e| e.2).collect();
        cpus.sort_unstable();
        cpus.dedup();
        cpus
    }
}

impl Places {
    /// How often a CPU switched to anybody but swapper and migration/N in that time.
    pub fn switched_in(&self, cpu: u32, from: Ns, to: Ns) -> usize {
        self.0.iter().filter(|e| e.2 == cpu && e.0 >= from && e.0 < to && e.3).count()
    }
}

impl EventSink for Places {
    fn event(&mut self, t: Ns, cpu: CpuId, ev: &Event, s: &Sched) {
        if let Event::Switch { next, .. } = ev {
            let user = !matches!(s.tasks[*next].class, Class::Stop | Class::Idle);
            self.0.push((t, *next, cpu.0, user));
        }
    }
}

/// Every event with its CPU.
#[derive(Default)]
pub struct Events(pub Vec<(CpuId, Event)>);

impl EventSink for Events {
    fn event(&mut self, _t: Ns, cpu: CpuId, ev: &Event, _s: &Sched) {
        self.0.push((cpu, ev.clone()));
    }
}

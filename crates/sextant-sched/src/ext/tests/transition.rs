//! Enabling and disabling in steps: what happens in between.

use std::rc::Rc;

use super::*;
use crate::ext::{EnableState, Step};
use crate::task::Class;

impl Machine {
    /// One step, and what it asks for.
    fn step(&mut self) -> Step {
        self.s.enter(CpuId(0), self.s.now);
        let step = self.s.scx_step();
        self.settle();
        step
    }

    /// So many tasks, over all CPUs.
    fn fork_many(&mut self, nr: u32) {
        for i in 0..nr {
            self.fork(&format!("t{i}"), i % self.s.cfg.nr_cpus);
        }
    }

    fn begin(&mut self, probe: Probe) -> Rc<Probe> {
        let probe = Rc::new(probe);
        self.s.enter(CpuId(0), self.s.now);
        self.s.scx_enable_begin(probe.clone()).expect("the table is well-formed");
        self.settle();
        probe
    }

    fn begin_unload(&mut self) {
        self.s.enter(CpuId(0), self.s.now);
        self.s.scx_unregister_begin();
        self.settle();
    }

    /// Steps until `stop` says so or all is done.
    fn steps(&mut self, mut stop: impl FnMut(&Machine) -> bool) -> usize {
        for n in 0..1000 {
            if stop(self) || self.step() == Step::Done {
                return n;
            }
            self.s.check_invariants();
        }
        panic!("it never ends");
    }
}

fn on_fair_and_ext(m: &Machine) -> (usize, usize) {
    let of = |class| m.s.tasks.iter().filter(|t| !t.dead && t.class == class).count();
    (of(Class::Fair), of(Class::Ext))
}

#[test]
fn the_same_ops_as_in_one_go() {
    let ops = |stepped: bool| {
        let mut m = Machine::new(1);
        m.fork_many(40);
        m.forget();
        if stepped {
            m.begin(Probe::queueing());
            m.steps(|_| false);
            m.begin_unload();
            m.steps(|_| false);
        } else {
            m.load(Probe::queueing());
            m.unload();
        }
        let calls = m.s.events.iter().filter_map(|(_, _, ev)| match ev {
            Event::OpCall { op, p, .. } => Some((*op, *p)),
            _ => None,
        });
        // Who is picked in between is not the transition's.
        let told = |op: &Op| {
            matches!(op, Op::Init | Op::InitTask | Op::Enable | Op::Disable | Op::ExitTask | Op::Exit)
        };
        calls.filter(|(op, _)| told(op)).collect::<Vec<_>>()
    };
    let in_one_go = ops(false);
    assert_eq!(in_one_go.len(), 2 + 4 * 40);
    assert_eq!(ops(true), in_one_go);
}

#[test]
fn grace_periods_and_batches() {
    let mut m = Machine::new(2);
    m.fork_many(40);
    m.begin(Probe::queueing());
    assert!(m.s.scx_in_transition() && m.s.ext.state() == EnableState::Enabling);
    let mut steps = Vec::new();
    while m.s.scx_in_transition() {
        steps.push(m.step());
    }
    let again = |tasks| Step::Again { tasks };
    let waits = [Step::GracePeriod, Step::GracePeriod, again(0)];
    let tasks = [again(32), again(8), again(0), again(32), again(8), again(0), Step::Done];
    assert_eq!(steps, [&waits[..], &tasks].concat());
    assert_eq!((m.s.ext.state(), on_fair_and_ext(&m)), (EnableState::Enabled, (0, 40)));
    m.begin_unload();
    assert_eq!(m.s.ext.state(), EnableState::Disabling);
    let mut waits = 0;
    m.steps(|_| false);
    m.load(Probe::queueing());
    m.begin_unload();
    while m.s.scx_in_transition() {
        waits += u32::from(m.step() == Step::GracePeriod);
    }
    assert_eq!((waits, on_fair_and_ext(&m)), (4, (40, 0)));
}

/// Between any two steps a task is made and another one exits: each is told once of what it lives through.
#[test]
fn forks_and_exits_in_between() {
    let mut m = Machine::new(2);
    m.fork_many(70);
    m.forget();
    let mut made = 0;
    for unload in [false, true] {
        match unload {
            false => drop(m.begin(Probe::queueing())),
            true => m.begin_unload(),
        }
        while m.step() != Step::Done {
            m.fork(&format!("new{made}"), made % 2);
            made += 1;
            if made % 2 == 0 {
                // Whoever has CPU 1.
                m.s.enter(CpuId(1), m.s.now);
                m.s.exit_current(CpuId(1));
                m.settle();
            }
            m.s.check_invariants();
        }
    }
    assert!(made > 10, "{made}");
    for t in m.s.tasks.iter().filter(|t| t.class != Class::Idle && !t.dead) {
        assert_eq!((t.class, m.s.scx_task_state(t.id)), (Class::Fair, SCX_TASK_NONE), "{:?}", t.id);
    }
    let count = |wanted: Op, p: TaskId| {
        let is = |ev: &Event| matches!(ev, Event::OpCall { op, p: Some(q), .. } if *op == wanted && *q == p);
        m.s.events.iter().filter(|(_, _, ev)| is(ev)).count()
    };
    for t in m.s.tasks.iter() {
        let (init, exit) = (count(Op::InitTask, t.id), count(Op::ExitTask, t.id));
        let (enable, disable) = (count(Op::Enable, t.id), count(Op::Disable, t.id));
        assert!(init <= 1 && init == exit && enable <= init && enable == disable, "{:?}", t.id);
    }
}

/// An error while a scheduler comes takes effect when it is there.
#[test]
fn an_exit_in_between_waits_for_the_last_step() {
    let mut m = Machine::new(1);
    m.fork_many(40);
    let probe = m.begin(Probe::queueing());
    m.steps(|m| on_fair_and_ext(m).1 > 0);
    m.s.scx_error("enough".into());
    m.settle();
    assert_eq!((m.s.ext.state(), *probe.exits.borrow()), (EnableState::Enabling, 0));
    m.steps(|_| false);
    assert_eq!((m.s.ext.state(), *probe.exits.borrow()), (EnableState::Disabled, 1));
    assert_eq!(m.s.ext.exit_info().expect("an exit").msg, "enough");
    assert_eq!(on_fair_and_ext(&m), (40, 0));
}

/// The depth of bypass is the scheduler's: one that failed to come leaves none behind for the next.
#[test]
fn a_failed_enable_leaves_no_bypass() {
    let mut m = Machine::new(1);
    let (a, _) = (m.fork("a", 0), m.fork("b", 0));
    let mut probe = Probe::queueing();
    probe.init_task = Box::new(|_, _, _| -12);
    m.load(probe);
    assert_eq!((m.s.ext.state(), m.s.ext.bypass_depth), (EnableState::Disabled, 0));
    m.load(Probe::queueing());
    assert_eq!((m.s.ext.state(), m.s.scx_bypassing(CpuId(0))), (EnableState::Enabled, false));
    assert_eq!(m.s.tasks[a].class, Class::Ext);
}

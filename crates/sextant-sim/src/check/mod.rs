//! Checkers: each watches the events of a simulation for one thing that must always hold, one file each, without a look at how the
//! class does it. Debug builds of a simulation have them all, so every simulation in a test is watched.
//!
//! What breaks a rule is a bug of ours, never of the scheduler that runs: it is a panic, with the seed and the command
//! that shows it again.

mod accounting;
mod affinity;
mod lost;
mod one_cpu;
mod order;
mod stall;
mod vtime;

use sextant_abi::{CpuId, Ns};
use sextant_sched::{Event, Sched};

/// What a checker finds wrong.
type Found = Result<(), String>;

/// Something happened; `s` is in the state after the entry that it belongs to.
struct Seen<'a> {
    t: Ns,
    cpu: CpuId,
    ev: &'a Event,
    s: &'a Sched,
}

trait Checker {
    /// One event.
    fn event(&mut self, seen: &Seen) -> Found;

    /// An entry is over.
    fn settled(&mut self, _now: Ns, _s: &Sched) -> Found {
        Ok(())
    }

    /// The run is over and everybody's time charged.
    fn finished(&mut self, _now: Ns, _s: &Sched) -> Found {
        Ok(())
    }
}

type Begin = fn() -> Box<dyn Checker>;

/// The names, and how each begins.
const ALL: [(&str, Begin); 7] = [
    ("lost", || Box::<lost::Lost>::default()),
    ("one-cpu", || Box::<one_cpu::OneCpu>::default()),
    ("affinity", || Box::<affinity::Affinity>::default()),
    ("stall", || Box::<stall::Stall>::default()),
    ("order", || Box::<order::Order>::default()),
    ("vtime", || Box::<vtime::VtimeOrder>::default()),
    ("accounting", || Box::<accounting::Accounting>::default()),
];

/// The checkers of one simulation.
pub struct Checkers {
    list: Vec<(&'static str, Box<dyn Checker>)>,
    /// What the run is and how it is repeated.
    run: String,
}

impl Checkers {
    /// All of them, or the one of that name. `run` says in a failure what was run and how to run it again.
    ///
    /// # Panics
    /// When there is none of that name.
    pub fn new(only: Option<&str>, run: String) -> Self {
        let wanted = |name: &str| only.is_none_or(|only| only == name);
        let list: Vec<_> =
            ALL.iter().filter(|(name, _)| wanted(name)).map(|(name, make)| (*name, make())).collect();
        assert!(!list.is_empty(), "no checker is called {only:?}");
        Self { list, run }
    }

    /// Their names.
    pub fn names() -> impl Iterator<Item = &'static str> {
        ALL.iter().map(|(name, _)| *name)
    }

    fn all(&mut self, t: Ns, s: &Sched, mut f: impl FnMut(&mut dyn Checker) -> Found) {
        for (name, checker) in &mut self.list {
            if let Err(what) = f(&mut **checker) {
                let scheduler = s.ext.name();
                panic!("checker {name}: {what}\nat {} ns under {scheduler:?}: {}", t.0, self.run);
            }
        }
    }

    pub(crate) fn event(&mut self, t: Ns, cpu: CpuId, ev: &Event, s: &Sched) {
        self.all(t, s, |checker| checker.event(&Seen { t, cpu, ev, s }));
    }

    pub(crate) fn settled(&mut self, now: Ns, s: &Sched) {
        self.all(now, s, |checker| checker.settled(now, s));
    }

    pub(crate) fn finished(&mut self, now: Ns, s: &Sched) {
        self.all(now, s, |checker| checker.finished(now, s));
    }
}

/// The element of a table by task or CPU, which grows.
fn entry<T: Default>(table: &mut Vec<T>, i: usize) -> &mut T {
    if i >= table.len() {
        table.resize_with(i + 1, T::default);
    }
    &mut table[i]
}

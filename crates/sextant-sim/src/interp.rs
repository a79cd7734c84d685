//! Where each workload task is in its program. The machine asks for the next step and carries it out.

use sextant_abi::Ns;

use crate::queue::Slot;
use crate::workload::{Action, SpecId, TaskSpec, TimerRef, Workload};

/// What a task does when it next has the CPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Doing {
    /// Takes the next step.
    Next,
    /// Computes for that much more CPU time.
    Run(Ns),
    /// Computes until that instant.
    Until(Ns),
    /// Waits on a condition until resumed (then `Next`).
    Suspended,
}

/// A step of a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// Perform this.
    Do(Action),
    /// A phase with settings begins: its index.
    EnterPhase(usize),
    /// The program is over.
    Exit,
}

/// A task's program counter.
#[derive(Debug)]
pub(crate) struct Program {
    pub spec: SpecId,
    pub doing: Doing,
    /// Its wakeup in the event queue.
    pub slot: Slot,
    /// When it began; the base of its timers.
    pub started: Ns,
    /// SIGKILL is pending: it exits when it next has the CPU.
    pub killed: bool,
    /// Start delay still to be slept.
    pub delay: Ns,
    /// Next instants of timers of its own.
    pub timers: Vec<(TimerRef, Ns)>,
    loops: u64,
    phase: usize,
    phase_loops: u64,
    action: usize,
    entered: bool,
}

impl Program {
    pub fn new(spec: SpecId, slot: Slot, started: Ns) -> Self {
        Self {
            spec,
            doing: Doing::Next,
            slot,
            started,
            killed: false,
            delay: Ns::ZERO,
            timers: Vec::new(),
            loops: 0,
            phase: 0,
            phase_loops: 0,
            action: 0,
            entered: false,
        }
    }

    /// Advances to the next step of `spec`.
    pub fn next(&mut self, spec: &TaskSpec) -> Step {
        if self.killed {
            return Step::Exit;
        }
        let delay = std::mem::take(&mut self.delay);
        if delay > Ns::ZERO {
            return Step::Do(Action::Sleep(delay));
        }
        loop {
            if spec.loops.is_some_and(|n| self.loops >= n) || spec.phases.is_empty() {
                return Step::Exit;
            }
            let Some(phase) = spec.phases.get(self.phase) else {
                self.phase = 0;
                self.loops += 1;
                continue;
            };
            if phase.loops.is_some_and(|n| self.phase_loops >= n) {
                self.leave_phase();
                continue;
            }
            if !self.entered {
                self.entered = true;
                if phase.has_settings() {
                    return Step::EnterPhase(self.phase);
                }
            }
            if let Some(&action) = phase.actions.get(self.action) {
                self.action += 1;
                return Step::Do(action);
            }
            self.action = 0;
            self.phase_loops += 1;
            if phase.actions.is_empty() {
                self.leave_phase();
            }
        }
    }

    fn leave_phase(&mut self) {
        self.phase += 1;
        (self.phase_loops, self.action, self.entered) = (0, 0, false);
    }
}

/// The name of the first task that would loop forever without time passing.
pub(crate) fn find_busy_loop(workload: &Workload) -> Option<&TaskSpec> {
    workload.tasks.iter().find(|spec| {
        let takes_time =
            |p: &crate::workload::Phase| p.loops != Some(0) && p.actions.iter().any(Action::takes_time);
        let stuck_phase =
            spec.phases.iter().any(|p| p.loops.is_none() && !p.actions.is_empty() && !takes_time(p));
        stuck_phase
            || (spec.loops.is_none() && !spec.phases.is_empty() && !spec.phases.iter().any(takes_time))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::EventQueue;
    use crate::workload::Phase;

    #[test]
    fn loops_nest() {
        let run = |n| Action::Run(Ns(n));
        let phase = |loops, actions| Phase { loops, actions, ..Phase::default() };
        let spec = TaskSpec {
            loops: Some(2),
            phases: vec![
                phase(Some(2), vec![run(1)]),
                phase(Some(1), vec![run(2), run(3)]),
                phase(Some(0), vec![run(9)]),
            ],
            ..TaskSpec::default()
        };
        let mut p = Program::new(SpecId(0), EventQueue::new().add(()), Ns::ZERO);
        let mut got = Vec::new();
        while let Step::Do(Action::Run(n)) = p.next(&spec) {
            got.push(n.0);
        }
        assert_eq!(got, [1, 1, 2, 3, 1, 1, 2, 3]);
    }

    #[test]
    fn a_loop_without_time_is_found() {
        let spec =
            |actions| TaskSpec { phases: vec![Phase { actions, ..Phase::default() }], ..TaskSpec::default() };
        let workload = |s| Workload { tasks: vec![s], ..Workload::default() };
        assert!(find_busy_loop(&workload(spec(vec![Action::Yield]))).is_some());
        assert!(find_busy_loop(&workload(spec(vec![Action::Run(Ns(0))]))).is_some());
        assert!(find_busy_loop(&workload(spec(vec![Action::Yield, Action::Run(Ns(1))]))).is_none());
        assert!(find_busy_loop(&workload(TaskSpec::default())).is_none());
    }
}

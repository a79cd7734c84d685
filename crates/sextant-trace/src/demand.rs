//! How much CPU time a task would use if it never waited for a CPU, from its description.
//!
//! What must hold: the actions mean here what they mean to the machine (`sextant_sim::workload`). A task that waits for
//! others has no demand of its own: None, and the caller estimates from what was seen.
//! Left out: the kernel's costs, and other users of a shared timer.

use sextant_sim::workload::{Action, Phase, TaskSpec, TimerRef};

/// After so many actions the rest is taken to be like what came before.
const MAX_ACTIONS: u32 = 200_000;

/// CPU time that a task of this description uses in the first `span_ns` of its life on a CPU of its own; None if it waits
/// for other tasks.
pub fn alone_ns(spec: &TaskSpec, span_ns: u64) -> Option<u64> {
    if waits_for_others(spec) {
        return None;
    }
    let mut life = Life { span: span_ns, now: 0, ran: 0, timers: Vec::new(), left: MAX_ACTIONS };
    life.sleep(spec.delay.0);
    let mut loops = 0;
    while life.goes_on() && spec.loops.is_none_or(|n| loops < n) {
        let before = life.left;
        spec.phases.iter().for_each(|p| life.phase(p));
        if life.left == before {
            break;
        }
        loops += 1;
    }
    Some(life.total())
}

/// Whether how fast the task goes on depends on other tasks.
pub fn waits_for_others(spec: &TaskSpec) -> bool {
    let waits = |a: &Action| matches!(a, Action::Suspend(_) | Action::SemWait(_));
    spec.phases.iter().flat_map(|p| &p.actions).any(waits)
}

/// A task alone on its CPU.
struct Life {
    span: u64,
    now: u64,
    ran: u64,
    timers: Vec<(TimerRef, u64)>,
    left: u32,
}

impl Life {
    fn goes_on(&self) -> bool {
        self.now < self.span && self.left > 0
    }

    fn phase(&mut self, phase: &Phase) {
        let mut loops = 0;
        while self.goes_on() && phase.loops.is_none_or(|n| loops < n) && !phase.actions.is_empty() {
            phase.actions.iter().for_each(|a| self.action(*a));
            loops += 1;
        }
    }

    fn action(&mut self, action: Action) {
        if !self.goes_on() {
            return;
        }
        self.left -= 1;
        match action {
            Action::Run(d) | Action::RunTime(d) => {
                let d = d.0.min(self.span - self.now);
                self.ran += d;
                self.now += d;
            }
            Action::Sleep(d) => self.sleep(d.0),
            Action::Timer { timer, period, absolute } => self.timer(timer, period.0, absolute),
            _ => {}
        }
    }

    fn sleep(&mut self, ns: u64) {
        self.now = self.now.saturating_add(ns);
    }

    fn timer(&mut self, timer: TimerRef, period: u64, absolute: bool) {
        let last = self.timers.iter().find(|t| t.0 == timer).map_or(0, |t| t.1);
        let next = last.saturating_add(period);
        let late = next <= self.now;
        let base = if late && !absolute { self.now } else { next };
        match self.timers.iter_mut().find(|t| t.0 == timer) {
            Some(t) => t.1 = base,
            None => self.timers.push((timer, base)),
        }
        self.now = self.now.max(next);
    }

    /// All of it, extrapolated if the actions ran out before the span.
    fn total(&self) -> u64 {
        if self.left > 0 || self.now == 0 || self.now >= self.span {
            return self.ran.min(self.span);
        }
        (u128::from(self.ran) * u128::from(self.span) / u128::from(self.now)) as u64
    }
}

#[cfg(test)]
mod tests {
    use crate::rtapp::{Options, read};

    use super::*;

    fn alone(task: &str, span_us: u64) -> Option<u64> {
        let text = format!("{{\"tasks\": {{\"t\": {{{task}}}}}}}");
        let options = Options { nr_cpus: 1, skip_unsupported: false };
        let workload = read(&text, "t", &options).unwrap().workload;
        alone_ns(&workload.tasks[0], span_us * 1000).map(|ns| ns / 1000)
    }

    #[test]
    fn the_description_says_the_demand() {
        for (task, want) in [
            ("'run': 10000", Some(100_000)),
            ("'run': 300, 'sleep': 700", Some(30_000)),
            ("'run': 4000, 'timer': {'ref': 'unique', 'period': 10000}", Some(40_000)),
            // Too long for its period: a hog.
            ("'run': 12000, 'timer': {'ref': 'unique', 'period': 10000}", Some(100_000)),
            ("'loop': 3, 'run': 1000, 'sleep': 1", Some(3_000)),
            ("'loop': 1, 'delay': 99000, 'run': 5000", Some(1_000)),
            ("'phases': {'a': {'loop': 3, 'run': 1000}, 'b': {'sleep': 7000}}", Some(30_000)),
            ("'loop': 0, 'run': 1", Some(0)),
            ("'run': 1, 'suspend'", None),
            ("'run': 1, 'sem_wait': 'x'", None),
            ("'runtime': 2500, 'sleep': 7500", Some(25_000)),
        ] {
            assert_eq!(alone(task, 100_000), want, "{task}");
        }
    }

    #[test]
    fn a_long_life_is_extrapolated() {
        let got = alone("'run': 1, 'sleep': 3", 100_000_000).unwrap();
        assert!(got.abs_diff(25_000_000) < 10, "{got}");
    }
}

//! No ext task waits longer than the watchdog allows without the watchdog having noticed.

use sextant_abi::Ns;
use sextant_sched::{Class, Event, Sched, TaskId};

use super::{Checker, Found, Seen, entry};

/// Between two looks, ns.
const EVERY: u64 = 20_000_000;
/// The watchdog counts in jiffies, and its work takes time to start, ns.
const SLACK: u64 = 20_000_000;

#[derive(Default)]
pub(super) struct Stall {
    /// Since when each task waits.
    since: Vec<Option<Ns>>,
    /// A scheduler is on its way out.
    exiting: bool,
    next: u64,
}

impl Stall {
    fn at(&mut self, p: TaskId) -> &mut Option<Ns> {
        entry(&mut self.since, p.0 as usize)
    }
}

impl Checker for Stall {
    fn event(&mut self, seen: &Seen) -> Found {
        match *seen.ev {
            Event::Wakeup { p, .. } | Event::Fork { p, .. } | Event::ClassChange { p, .. } => {
                *self.at(p) = Some(seen.t);
            }
            Event::Switch { prev, prev_runnable, next } => {
                *self.at(prev) = prev_runnable.then_some(seen.t);
                *self.at(next) = None;
            }
            Event::Exit { p } => *self.at(p) = None,
            Event::ExitClaimed { .. } => self.exiting = true,
            Event::Enabled { .. } | Event::Disabled => {
                self.exiting = false;
                // A new scheduler's watchdog counts from its own beginning.
                self.since.iter_mut().flatten().for_each(|since| *since = seen.t);
            }
            _ => {}
        }
        Ok(())
    }

    fn settled(&mut self, now: Ns, s: &Sched) -> Found {
        let timeout = s.ext.watchdog_timeout(s.cfg.hz).0;
        if now.0 < self.next || self.exiting || timeout == 0 {
            return Ok(());
        }
        self.next = now.0 + EVERY;
        // It looks twice per timeout.
        let limit = timeout + timeout / 2 + SLACK;
        for (i, since) in self.since.iter().enumerate() {
            let p = TaskId(i as u32);
            if let Some(since) = since
                && now.0 > since.0 + limit
                && s.tasks[p].class == Class::Ext
                && !s.tasks[p].dead
                && s.task_on_rq_queued(p)
                && !s.task_current(p)
            {
                return Err(format!("{p:?} waits since {} ns; the watchdog allows {timeout} ns", since.0));
            }
        }
        Ok(())
    }
}

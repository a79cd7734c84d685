//! Time adds up: what a CPU was busy and idle is its wall time, what the tasks ran is what the CPUs were busy, and on a machine
//! without costs each task ran exactly as long as it had a CPU.

use sextant_abi::{CpuId, Ns};
use sextant_sched::{Class, Event, Sched, TaskId};

use super::{Checker, Found, Seen, entry};

#[derive(Clone, Copy, Default)]
struct Track {
    /// Has a CPU since.
    on_since: Option<Ns>,
    had_ns: u64,
    /// What it was charged in all, when it exited.
    ran_ns: Option<u64>,
}

#[derive(Default)]
pub(super) struct Accounting {
    tracks: Vec<Track>,
}

impl Accounting {
    fn track(&mut self, p: TaskId) -> &mut Track {
        entry(&mut self.tracks, p.0 as usize)
    }
}

fn charged(s: &Sched, p: TaskId) -> u64 {
    s.t(p).se().sum_exec_runtime().get(&*s.mem)
}

impl Checker for Accounting {
    fn event(&mut self, seen: &Seen) -> Found {
        match *seen.ev {
            Event::Switch { prev, next, .. } => {
                let track = self.track(prev);
                if let Some(since) = track.on_since.take() {
                    track.had_ns += seen.t.since(since).0;
                }
                self.track(next).on_since = Some(seen.t);
            }
            Event::Exit { p } => {
                let ran = charged(seen.s, p);
                self.track(p).ran_ns = Some(ran);
            }
            _ => {}
        }
        Ok(())
    }

    fn finished(&mut self, now: Ns, s: &Sched) -> Found {
        let exact = s.cfg.costs.switch_ns == 0 && s.cfg.costs.op_ns == 0;
        for rq in &s.rqs {
            let (wall, sum) = (rq.clock.since(s.cfg.uptime).0, rq.exec_ns + rq.idle_ns);
            if sum != wall {
                return Err(format!(
                    "{}: busy {} + idle {} is not {wall} ns",
                    rq.cpu, rq.exec_ns, rq.idle_ns
                ));
            }
        }
        let mut all = 0;
        for t in s.tasks.iter().filter(|t| t.class != Class::Idle) {
            let track = *self.track(t.id);
            let refused = t.dead && track.ran_ns.is_none();
            let ran = track.ran_ns.unwrap_or_else(|| if refused { 0 } else { charged(s, t.id) });
            all += ran;
            let had = track.had_ns + track.on_since.map_or(0, |since| now.since(since).0);
            if exact && !refused && ran != had {
                return Err(format!("{:?} had a CPU for {had} ns and was charged {ran} ns", t.id));
            }
        }
        let busy: u64 = (0..s.cfg.nr_cpus).map(|c| s.rqs[CpuId(c).idx()].exec_ns).sum();
        if all != busy {
            return Err(format!("all tasks ran {all} ns, all CPUs were busy {busy} ns"));
        }
        Ok(())
    }
}

//! A task runs and waits on CPUs it may use. One whose CPU was forbidden while it ran stays there until migration/N comes.

use sextant_abi::{CpuId, Ns};
use sextant_sched::rq::StopWork;
use sextant_sched::{Class, Event, Sched, TaskId};

use super::{Checker, Found, Seen};

#[derive(Default)]
pub(super) struct Affinity {
    /// What this entry did: who was switched in or put on a local DSQ, where.
    placed: Vec<(TaskId, CpuId, &'static str)>,
}

impl Checker for Affinity {
    fn event(&mut self, seen: &Seen) -> Found {
        match *seen.ev {
            Event::Switch { next, .. } => self.placed.push((next, seen.cpu, "runs on")),
            Event::DsqInsert { p, dsq, .. } => {
                if let Some(cpu) = dsq.local_on_cpu() {
                    self.placed.push((p, CpuId(cpu), "waits for"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn settled(&mut self, _now: Ns, s: &Sched) -> Found {
        for (p, cpu, does) in self.placed.drain(..) {
            let t = &s.tasks[p];
            let rq = &s.rqs[cpu.idx()];
            // What has left again, went to sleep, or belongs to the machine is no matter.
            if t.dead
                || t.class == Class::Idle
                || t.cpu != cpu
                || !s.task_on_rq_queued(p)
                || !s.cpu_online(cpu)
            {
                continue;
            }
            let leaves = rq
                .stop_works
                .iter()
                .any(|w| matches!(w, StopWork::Migrate(q) | StopWork::Push(q) if *q == p));
            if !s.cpus_allowed(p, cpu) && !leaves {
                return Err(format!("{p:?} {does} CPU {}, which it may not use", cpu.0));
            }
        }
        Ok(())
    }
}

//! A task runs on one CPU at a time, a CPU runs one task, and who runs does not wait anywhere.

use std::collections::BTreeMap;

use sextant_abi::{DsqId, Ns};
use sextant_sched::{Event, Sched, TaskId};

use super::{Checker, Found, Seen};

#[derive(Default)]
pub(super) struct OneCpu {
    /// By CPU, from its first switch on.
    curr: BTreeMap<u32, TaskId>,
    queued: BTreeMap<TaskId, DsqId>,
    /// CPUs with a switch in this entry.
    switched: Vec<u32>,
}

impl Checker for OneCpu {
    fn event(&mut self, seen: &Seen) -> Found {
        match *seen.ev {
            Event::Switch { prev, next, .. } => {
                let cpu = seen.cpu.0;
                if let Some(&curr) = self.curr.get(&cpu)
                    && curr != prev
                {
                    return Err(format!("CPU {cpu} switches from {prev:?} and runs {curr:?}"));
                }
                let elsewhere = self.curr.iter().find(|&(&other, &curr)| other != cpu && curr == next);
                if let Some((other, _)) = elsewhere {
                    return Err(format!("{next:?} starts on CPU {cpu} and runs on CPU {other}"));
                }
                self.curr.insert(cpu, next);
                self.switched.push(cpu);
            }
            Event::DsqInsert { p, dsq, .. } => {
                self.queued.insert(p, dsq);
            }
            Event::DsqRemove { p, .. } => {
                self.queued.remove(&p);
            }
            _ => {}
        }
        Ok(())
    }

    fn settled(&mut self, _now: Ns, s: &Sched) -> Found {
        for cpu in self.switched.drain(..) {
            let curr = s.rqs[cpu as usize].curr;
            if self.curr.get(&cpu) != Some(&curr) {
                return Err(format!("CPU {cpu} runs {curr:?}, to which it never switched"));
            }
            if s.tasks[curr].cpu.0 != cpu {
                return Err(format!("CPU {cpu} runs {curr:?}, whose CPU is {}", s.tasks[curr].cpu.0));
            }
            if let Some(dsq) = self.queued.get(&curr) {
                return Err(format!("{curr:?} runs on CPU {cpu} and waits on {dsq:?}"));
            }
        }
        Ok(())
    }
}

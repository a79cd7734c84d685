//! The kernel's DSQs and idle mask, followed through the recorded events: what the class's state is held against whenever no
//! entry is under way.

use std::collections::{BTreeMap, BTreeSet};

use sextant_abi::types::{SCX_ENQ_APPLY_SLICE, SCX_ENQ_DSQ_PRIQ, SCX_ENQ_HEAD, SCX_ENQ_PREEMPT};
use sextant_abi::{CpuId, Vtime};
use sextant_sched::ext::replay::DsqName;

use crate::recording::Event;

/// A task on a DSQ, with its key in a priority queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Queued {
    /// Who.
    pub pid: i32,
    /// Its key, in a priority queue.
    pub vtime: Option<u64>,
}

/// What is where.
#[derive(Default, Debug)]
pub struct Model {
    /// DSQs by name, first to run first.
    pub dsqs: BTreeMap<DsqName, Vec<Queued>>,
    /// Where a task is.
    on: BTreeMap<i32, DsqName>,
    /// CPUs in the built-in idle mask.
    pub idle: BTreeSet<u32>,
}

impl Model {
    /// Follows one event.
    pub fn apply(&mut self, e: &Event) {
        match e.name.as_str() {
            "ins" => {
                if let (Some(pid), Some(dsq)) = (e.pid(), e.dsq("dsq")) {
                    // A verdict brings its key, a move between DSQs takes the task's.
                    let key = if e.num("fl") & SCX_ENQ_APPLY_SLICE != 0 { "vtime" } else { "cvt" };
                    self.insert(pid, dsq, e.num("fl"), e.num(key));
                }
            }
            "l2l" => {
                if let Some(pid) = e.pid() {
                    self.insert(
                        pid,
                        DsqName::Local(CpuId(e.num("cpu") as u32)),
                        e.num("fl") & !SCX_ENQ_DSQ_PRIQ,
                        0,
                    );
                }
            }
            "rm" => {
                if let Some(pid) = e.pid() {
                    self.remove(pid);
                }
            }
            "idle" if e.is("idle") => {
                self.idle.insert(e.num("cpu") as u32);
            }
            "idle" | "idle_tac" => {
                self.idle.remove(&(e.num("cpu") as u32));
            }
            _ => {}
        }
    }

    fn insert(&mut self, pid: i32, dsq: DsqName, flags: u64, vtime: u64) {
        self.remove(pid);
        self.on.insert(pid, dsq);
        let list = self.dsqs.entry(dsq).or_default();
        if flags & SCX_ENQ_DSQ_PRIQ != 0 && matches!(dsq, DsqName::User(_)) {
            let behind = |q: &Queued| q.vtime.is_none_or(|v| !Vtime(vtime).before(Vtime(v)));
            let at = list.iter().rposition(behind).map_or(0, |i| i + 1);
            list.insert(at, Queued { pid, vtime: Some(vtime) });
        } else if flags & (SCX_ENQ_HEAD | SCX_ENQ_PREEMPT) != 0 {
            list.insert(0, Queued { pid, vtime: None });
        } else {
            list.push(Queued { pid, vtime: None });
        }
    }

    fn remove(&mut self, pid: i32) {
        if let Some(dsq) = self.on.remove(&pid) {
            self.dsqs.entry(dsq).or_default().retain(|q| q.pid != pid);
        }
    }
}

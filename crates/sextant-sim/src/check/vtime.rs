//! DSQs in vtime order are in that order: who comes first has the smaller vtime (the shorter way round the circle is forward), and among
//! equals the one that came first.

use std::collections::{BTreeMap, BTreeSet};

use sextant_abi::types::SCX_ENQ_DSQ_PRIQ;
use sextant_abi::{DsqId, Ns};
use sextant_sched::{Event, Sched, TaskId};

use super::{Checker, Found, Seen};

/// Longer ones are only looked at now and then.
const SHORT: usize = 64;

#[derive(Default)]
pub(super) struct VtimeOrder {
    /// What is on each user DSQ: vtime and number of the insertion; None if it was not in vtime order.
    queues: BTreeMap<DsqId, BTreeMap<TaskId, Option<(u64, u64)>>>,
    inserted: u64,
    changed: BTreeSet<DsqId>,
}

fn before(a: (u64, u64), b: (u64, u64)) -> bool {
    let forward = b.0.wrapping_sub(a.0);
    if forward == 0 { a.1 < b.1 } else { forward < 1 << 63 }
}

impl Checker for VtimeOrder {
    fn event(&mut self, seen: &Seen) -> Found {
        match *seen.ev {
            Event::DsqInsert { p, dsq, vtime, enq_flags, .. } if !dsq.is_builtin() => {
                self.inserted += 1;
                let key = (enq_flags & SCX_ENQ_DSQ_PRIQ != 0).then_some((vtime, self.inserted));
                self.queues.entry(dsq).or_default().insert(p, key);
                if key.is_some() {
                    self.changed.insert(dsq);
                }
            }
            Event::DsqRemove { p, dsq } if !dsq.is_builtin() => {
                self.queues.entry(dsq).or_default().remove(&p);
            }
            Event::Disabled => self.queues.clear(),
            _ => {}
        }
        Ok(())
    }

    fn settled(&mut self, _now: Ns, s: &Sched) -> Found {
        for dsq in std::mem::take(&mut self.changed) {
            let queue = self.queues.entry(dsq).or_default();
            if queue.len() > SHORT && !self.inserted.is_multiple_of(queue.len() as u64) {
                continue;
            }
            if queue.values().any(Option::is_none) {
                continue; // mixed with others: the scheduler's mistake, on its way out
            }
            let order = s.dsq_order(dsq);
            if order.len() != queue.len() {
                return Err(format!("{dsq:?} has {} tasks; {} were put there", order.len(), queue.len()));
            }
            let keys: Vec<_> = order.iter().map(|p| (*p, queue.get(p).copied().flatten())).collect();
            for pair in keys.windows(2) {
                let ((a, Some(first)), (b, Some(second))) = (pair[0], pair[1]) else {
                    return Err(format!("{dsq:?} has somebody who was not put there: {pair:?}"));
                };
                if !before(first, second) {
                    return Err(format!(
                        "{a:?} is before {b:?} on {dsq:?}: vtimes {} and {}",
                        first.0, second.0
                    ));
                }
            }
        }
        Ok(())
    }
}

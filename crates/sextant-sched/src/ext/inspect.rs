//! What a machine's checkers ask the class about its scheduler; nothing here changes anything.

use sextant_abi::{DsqId, Ns};

use super::Ext;
use crate::ops::Op;
use crate::sched::Sched;
use crate::task::TaskId;

impl Ext {
    /// How long the watchdog lets a task wait, to a jiffy; 0 while there is none.
    pub fn watchdog_timeout(&self, hz: u64) -> Ns {
        Ns(self.watchdog.timeout * (1_000_000_000 / hz))
    }

    /// Whether any task has been in the class since the last scheduler was attached.
    pub fn had_tasks(&self) -> bool {
        self.had_tasks
    }

    /// Whether the current scheduler has this op.
    pub fn implements(&self, op: Op) -> bool {
        self.has(op)
    }
}

impl Sched {
    /// The tasks of a user DSQ, first to be served first; none if it does not exist.
    pub fn dsq_order(&self, dsq: DsqId) -> Vec<TaskId> {
        let first = self.ext.dsqs.find_user(dsq).and_then(|idx| self.dsq_first(idx));
        std::iter::successors(first, |&p| self.dsq_next(p)).collect()
    }
}

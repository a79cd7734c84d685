//! Calls into schedulers that took long, summed up by op.

use sextant_abi::Ns;
use sextant_sched::ext::LongCall;

/// The long calls of one op.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LongOp {
    /// How many there were.
    pub count: u64,
    /// What they took together.
    pub total: Ns,
    /// The longest, its time counted from the start of the run.
    pub longest: LongCall,
}

/// All long calls of a run, by op in the order in which the ops had their first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LongCalls(pub Vec<LongOp>);

impl LongCalls {
    /// One more.
    pub(crate) fn add(&mut self, call: LongCall) {
        match self.0.iter_mut().find(|op| op.longest.op == call.op) {
            Some(op) => {
                op.count += 1;
                op.total += call.took;
                if call.took > op.longest.took {
                    op.longest = call;
                }
            }
            None => self.0.push(LongOp { count: 1, total: call.took, longest: call }),
        }
    }
}

//! Calls into a scheduler that take long: a CPU that does nothing else for that time. The kernel says nothing until a watchdog bites; a
//! developer wants to know it earlier.

use sextant_abi::{CpuId, Ns};

use crate::ops::Ops;
use crate::sched::Sched;
use crate::task::TaskId;

/// From here on a call is reported: two and a half ticks, half a default slice.
pub const LONG_CALL: Ns = Ns::from_ms(10);

/// A call into the scheduler that took [`LONG_CALL`] or more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LongCall {
    /// When it began, on the machine's clock.
    pub at: Ns,
    /// The CPU that was busy with it.
    pub cpu: CpuId,
    /// The op, or `timer` for the callback of a timer.
    pub op: &'static str,
    /// The task that the op was about, `comm[pid]`.
    pub task: Option<String>,
    /// How long it took, calls inside it included.
    pub took: Ns,
    /// BPF instructions executed meanwhile.
    pub insns: u64,
}

/// A call under way: its beginning, and the instructions executed before.
pub(crate) struct CallStart {
    at: Ns,
    insns: u64,
}

impl Sched {
    pub(crate) fn begin_call(&self, ops: &dyn Ops) -> CallStart {
        CallStart { at: self.now, insns: ops.insns() }
    }

    /// A call is over. Those that took long are kept for [`Sched::take_long_calls`].
    pub(crate) fn end_call(
        &mut self,
        ops: &dyn Ops,
        start: CallStart,
        op: &'static str,
        subject: Option<TaskId>,
    ) {
        let took = self.now.since(start.at);
        if took < LONG_CALL {
            return;
        }
        let task = subject.map(|p| self.task_name(p));
        let insns = ops.insns() - start.insns;
        let call = LongCall { at: start.at, cpu: self.this_cpu, op, task, took, insns };
        self.ext.long_calls.push(call);
    }

    /// The long calls since this was asked last, in the order of their ends.
    pub fn take_long_calls(&mut self) -> Vec<LongCall> {
        std::mem::take(&mut self.ext.long_calls)
    }
}

//! Probes: what the class does between ops, as a recording of the real kernel shows it (function entries and results).
//!
//! Off unless somebody sets `Sched::probes`; then each entry carries the number of events emitted before it, which orders
//! probes and events among each other. `sextant-replay` compares them with recorded decisions.

use std::rc::Rc;

use sextant_abi::CpuId;

use crate::sched::Sched;
use crate::task::TaskId;

/// One step inside the class. Flags as the kernel function gets them, internal bits included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Probe {
    /// `scx_do_enqueue_task`
    DoEnqueue {
        /// Who.
        p: TaskId,
        /// Enqueue flags.
        flags: u64,
        /// The CPU whose local DSQ it must go to, if any.
        sticky: Option<CpuId>,
    },
    /// `scx_consume_dispatch_q` of a non-local DSQ begins.
    Consume {
        /// The raw id of the DSQ.
        dsq: u64,
    },
    /// It ends; whether a task was taken.
    ConsumeRet(bool),
    /// A task goes to the local DSQ of the runqueue it is on.
    LocalToLocal {
        /// Who.
        p: TaskId,
        /// Where.
        cpu: CpuId,
        /// Enqueue flags.
        flags: u64,
    },
    /// A task migrates to another runqueue's local DSQ.
    RemoteToLocal {
        /// Who.
        p: TaskId,
        /// From.
        src: CpuId,
        /// To.
        dst: CpuId,
        /// Enqueue flags.
        flags: u64,
    },
    /// `dispatch_to_local_dsq`
    ToLocal {
        /// Who.
        p: TaskId,
        /// Whose local DSQ.
        dst: CpuId,
        /// Slice of the verdict, ns.
        slice: u64,
        /// Flags of the verdict.
        flags: u64,
    },
    /// `update_curr_scx` has charged; the slice that is left, ns.
    Charge {
        /// Who.
        p: TaskId,
        /// After charging.
        slice: u64,
    },
    /// `resched_curr`, whether it was needed or not.
    Resched(CpuId),
    /// An attempt to claim an idle CPU; whether it was idle.
    IdleClaim(CpuId, bool),
    /// The search for any idle CPU; the CPU or -errno.
    IdlePick(i32),
    /// The default selection; the CPU or -errno.
    SelectDfl(TaskId, i32),
    /// `scx_kick_cpu`
    Kick(CpuId, u64),
    /// `schedule_dsq_reenq` of a local (by CPU) or user DSQ's raw id; SCX_REENQ_*.
    Reenq(u64, u64),
}

/// A point inside an entry where the kernel has let go of its runqueue's lock, so that entries of other CPUs come in between.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pause {
    /// Before a task that was inserted by ops.dispatch, or whose direct dispatch was deferred, goes to its DSQ.
    Transfer(TaskId),
    /// Before a DSQ is looked through for a task to run.
    Consume,
}

/// Who lets the other CPUs go on at such a point.
pub type PauseFn = Rc<dyn Fn(&mut Sched, Pause)>;

impl Sched {
    /// Lets the other CPUs go on, in a replay. Elsewhere an entry is atomic.
    #[inline]
    pub(crate) fn pause(&mut self, at: Pause) {
        if let Some(f) = self.replay_pause.clone() {
            f(self, at);
        }
    }

    /// Records a probe if probing.
    #[inline]
    pub(crate) fn probe(&mut self, probe: Probe) {
        if let Some(list) = &mut self.probes {
            list.push((self.events.len(), probe));
        }
    }
}

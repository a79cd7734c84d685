//! `struct scx_rq`: what the class keeps per runqueue. Its local DSQ is in the table of DSQs.
//!
//! Mirrors kernel/sched/sched.h (7.3). Left out: rescue, caps.

use bitflags::bitflags;
use sextant_abi::{CpuMaskBits, DsqId};

use super::entity::Verdict;
use super::list::Ends;
use crate::task::TaskId;

bitflags! {
    /// `enum scx_rq_flags`; BYPASSING is the kernel's per-CPU flag of the scheduler.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct RqFlags: u32 {
        /// In the scheduling domains.
        const ONLINE = 1;
        /// The running task has an infinite slice.
        const CAN_STOP_TICK = 2;
        /// The cached clock may be read.
        const CLK_VALID = 0x20;
        /// Deferred work waits for the balance callback.
        const BAL_CB_PENDING = 0x40;
        /// ops.update_idle is owed after bypass.
        const ROOT_IDLE_RENOTIFY = 0x100;
        /// An enqueue of a wakeup: `task_woken` follows.
        const IN_WAKEUP = 0x1_0000;
        /// In `dispatch_one`.
        const IN_DISPATCH = 0x2_0000;
        /// The task picked is to reschedule at once: ENQ_LAST left something on the local DSQ.
        const RESCHED_NEXT = 0x200_0000;
        /// The scheduler is bypassed on this CPU.
        const BYPASSING = 0x100_0000;
    }
}

/// An entry of the dispatch buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DspEntry {
    pub task: TaskId,
    /// Generation of the enqueue it answers, 0 if the task was not queued then.
    pub qseq: u32,
    pub verdict: Verdict,
}

/// `struct scx_dsp_ctx`: the dispatch buffer of a CPU.
#[derive(Default, Debug)]
pub(crate) struct DspCtx {
    pub buf: Vec<DspEntry>,
    /// What the current round has done: flushed entries and moves.
    pub nr_tasks: u32,
}

/// Whose direct dispatch this CPU may record (`direct_dispatch_task`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum DdspSubject {
    /// Not inside select_cpu or enqueue: inserts go to the dispatch buffer.
    #[default]
    Off,
    /// This task, once.
    Task(TaskId),
    /// It has been dispatched already.
    Done,
}

/// Kicks asked for on this CPU, not yet sent.
#[derive(Default, Debug)]
pub(crate) struct Kicks {
    pub kick: CpuMaskBits,
    pub idle: CpuMaskBits,
    pub preempt: CpuMaskBits,
    pub wait: CpuMaskBits,
    /// Sent with SCX_KICK_WAIT; the next pick here waits for them.
    pub sync: CpuMaskBits,
}

/// `struct scx_rq`.
#[derive(Default, Debug)]
pub struct ExtRq {
    pub(crate) flags: RqFlags,
    /// Runnable ext tasks, longest waiting first.
    pub(crate) runnable: Ends,
    pub(crate) nr_running: u32,
    /// ops.cpu_release is out, ops.cpu_acquire owed.
    pub(crate) cpu_released: bool,
    /// Counts put_prev and picks; KICK_WAIT waits for it to move.
    pub(crate) kick_sync: u64,
    /// A KICK_WAIT was sent from here: its wait belongs to the next pick.
    pub(crate) kick_sync_pending: bool,
    pub(crate) cpuperf_target: u32,
    pub(crate) kicks: Kicks,
    pub(crate) dsp: DspCtx,
    pub(crate) ddsp_subject: DdspSubject,
    /// Direct dispatches to another CPU's local DSQ, transferred later.
    pub(crate) ddsp_deferred_locals: Vec<TaskId>,
    /// IMMED tasks on the local DSQ.
    pub(crate) nr_immed: u32,
    /// A reenqueue of the local DSQ is asked for: SCX_REENQ_* of all requests.
    pub(crate) reenq_local: Option<u64>,
    /// User DSQs to reenqueue from here, with SCX_REENQ_*.
    pub(crate) reenq_users: Vec<(DsqId, u64)>,
    /// Flags that the next activation here adds (`extra_enq_flags`).
    pub(crate) extra_enq_flags: u64,
    /// An irq_work was requested and has not run.
    pub(crate) irq_work_pending: bool,
}

impl RqFlags {
    /// The bits that are the kernel's (`SCX_RQ_*`).
    pub(crate) fn kernel_bits(self) -> u32 {
        self.bits() & 0xff_ffff
    }
}

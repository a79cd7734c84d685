//! What happened, as typed events: the raw material of `--trace`, of the statistics and of the checkers.

use sextant_abi::tables::Op;
use sextant_abi::{CpuId, DsqId};

use crate::task::{Class, TaskId};

/// One event. Its time and CPU travel beside it (`Sched::events`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A context switch on this CPU; `prev_runnable` is whether prev stays runnable.
    Switch {
        /// Task switched out.
        prev: TaskId,
        /// It remains on the runqueue.
        prev_runnable: bool,
        /// Task switched in.
        next: TaskId,
    },
    /// A sleeping task was made runnable; `cpu` is where it was queued.
    Wakeup {
        /// Who.
        p: TaskId,
        /// Target CPU.
        cpu: CpuId,
    },
    /// A new task was made.
    Fork {
        /// Who.
        p: TaskId,
        /// Its CPU at birth.
        cpu: CpuId,
    },
    /// A task has left for good.
    Exit {
        /// Who.
        p: TaskId,
    },
    /// A task changed its runqueue.
    Migrate {
        /// Who.
        p: TaskId,
        /// From.
        from: CpuId,
        /// To.
        to: CpuId,
    },
    /// A task changed its class.
    ClassChange {
        /// Who.
        p: TaskId,
        /// From.
        from: Class,
        /// To.
        to: Class,
    },
    /// An op is called. Arguments as the kernel passes them, tasks as themselves.
    OpCall {
        /// Which.
        op: Op,
        /// Subject task, if any.
        p: Option<TaskId>,
        /// Further integer arguments in order (flags, CPU, booleans), unused ones 0.
        args: [u64; 2],
    },
    /// A task was put on a DSQ.
    DsqInsert {
        /// Who.
        p: TaskId,
        /// Where; a local DSQ is `LOCAL_ON | cpu`.
        dsq: DsqId,
        /// Slice after the insertion, ns.
        slice: u64,
        /// vtime after the insertion (meaningful in priority order).
        vtime: u64,
        /// Flags that took effect.
        enq_flags: u64,
    },
    /// A task was taken off a DSQ.
    DsqRemove {
        /// Who.
        p: TaskId,
        /// From where.
        dsq: DsqId,
    },
    /// A kick was requested.
    Kick {
        /// Target.
        cpu: CpuId,
        /// SCX_KICK_*.
        flags: u64,
    },
    /// A timer callback of the scheduler runs.
    Timer,
    /// This CPU's built-in idle state changed.
    Idle {
        /// Which CPU.
        cpu: CpuId,
        /// Idle now.
        idle: bool,
    },
    /// A scheduler was enabled.
    Enabled {
        /// `ops.name`.
        name: String,
        /// Only SCHED_EXT tasks.
        partial: bool,
    },
    /// The bypass mode was turned on or off.
    Bypass {
        /// On.
        on: bool,
    },
    /// A scheduler's exit was claimed: kind value and message.
    ExitClaimed {
        /// `enum scx_exit_kind`.
        kind: u32,
        /// Message.
        msg: String,
    },
    /// The scheduler is gone; everything is back in the fair class.
    Disabled,
    /// `bpf_printk` output.
    Printk {
        /// One line, without newline.
        text: String,
    },
}

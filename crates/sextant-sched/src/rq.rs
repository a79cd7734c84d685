//! A CPU's runqueue.

use sextant_abi::{CpuId, Ns};

use crate::ext::rq::ExtRq;
use crate::fair::FairRq;
use crate::task::{Class, TaskId};

/// `struct rq`: what runs on one CPU and what waits there.
pub struct Rq {
    /// Whose.
    pub cpu: CpuId,
    /// `struct rq` in BPF-visible memory.
    pub addr: u64,
    /// Running task.
    pub curr: TaskId,
    /// swapper/N.
    pub idle: TaskId,
    /// migration/N (stop class); queued when woken.
    pub stop_queued: Vec<TaskId>,
    /// Class of the task that runs or has been picked to run next (`rq->next_class`).
    pub next_class: Class,
    /// `TIF_NEED_RESCHED` of the running task.
    pub need_resched: bool,
    /// `rq_clock_task`: when the clock was last updated.
    pub clock: Ns,
    /// Runnable tasks of all classes.
    pub nr_running: u32,
    /// Online (CPU active and in the scheduling domains).
    pub online: bool,
    /// Fair class.
    pub fair: FairRq,
    /// sched_ext.
    pub ext: ExtRq,
}

//! A CPU's runqueue.

use sextant_abi::types::Cpumask;
use sextant_abi::{CpuId, Ns};

use crate::deadline::DlRq;
use crate::ext::rq::ExtRq;
use crate::fair::FairRq;
use crate::rt::RtRq;
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
    /// migration/N, once it exists.
    pub stop: Option<TaskId>,
    /// migration/N has been woken and is queued or runs.
    pub stop_queued: bool,
    /// What migration/N is to do.
    pub stop_works: Vec<StopWork>,
    /// Class of the task that runs or has been picked to run next (`rq->next_class`).
    pub next_class: Class,
    /// `TIF_NEED_RESCHED` of the running task.
    pub need_resched: bool,
    /// `rq_clock_task`: when the clock was last updated.
    pub clock: Ns,
    /// Runnable tasks of all classes but idle; kept by `enqueue_task` and `dequeue_task` of the core.
    pub nr_running: u32,
    /// Context switches.
    pub nr_switches: u64,
    /// Time charged to tasks here, ns of rq clock.
    pub exec_ns: u64,
    /// Time charged to swapper here, ns of rq clock.
    pub idle_ns: u64,
    /// A balance callback is queued.
    pub balance_pending: bool,
    /// `rq->online`: in the scheduling domains.
    pub online: bool,
    /// In `cpu_active_mask`: tasks may come.
    pub active: bool,
    /// In `cpu_online_mask`: it executes something.
    pub cpu_online: bool,
    /// Deadline servers.
    pub dl: DlRq,
    /// Real-time class.
    pub rt: RtRq,
    /// `cpumask_of(cpu)`, once it was needed.
    pub(crate) cpumask_of: Option<Cpumask>,
    /// Fair class.
    pub fair: FairRq,
    /// sched_ext.
    pub ext: ExtRq,
}

/// Work for migration/N.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StopWork {
    /// `migration_cpu_stop`: this task may no longer be here.
    Migrate(TaskId),
    /// `__balance_push_cpu_stop`: the CPU goes offline.
    Push(TaskId),
}

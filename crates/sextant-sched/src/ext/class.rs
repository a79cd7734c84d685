//! The class's functions as the scheduler core calls them (`DEFINE_SCHED_CLASS(ext)` and the `scx_*` hooks).

use sextant_abi::CpuId;

use super::entity::ExtEntity;
use crate::sched::{Sched, Work};
use crate::task::TaskId;

#[allow(unused_variables)]
impl Sched {
    /// What a new task's entity starts as (call before `scx_fork`, memory zeroed).
    pub fn init_scx_entity(&mut self, p: TaskId) {
        self.tasks[p].ext = ExtEntity::default();
    }
    /// Whether a task of that policy belongs to the ext class now.
    pub fn task_should_scx(&self, policy: u32) -> bool {
        false
    }
    /// Every task is in the ext class: the fair class is skipped by the pick.
    pub fn scx_switched_all(&self) -> bool {
        false
    }
    /// `sched_fork` has set class and CPU: ops.init_task. Errno (negative) if refused.
    pub fn scx_fork(&mut self, p: TaskId) -> Result<(), i32> {
        Ok(())
    }
    /// The fork has succeeded: enabled if of the ext class.
    pub fn scx_post_fork(&mut self, p: TaskId) {}
    /// The fork has failed after `scx_fork`.
    pub fn scx_cancel_fork(&mut self, p: TaskId) {}
    /// After the last context switch of a dead task.
    pub fn sched_ext_dead(&mut self, p: TaskId) {}
    /// `sched_setscheduler` may go on; errno (negative) if not.
    pub fn scx_check_setscheduler(&self, p: TaskId, policy: u32) -> Result<(), i32> {
        Ok(())
    }
    /// Whether a wakeup may be queued to the task's CPU without select_cpu.
    pub fn scx_allow_ttwu_queue(&self, p: TaskId) -> bool {
        true
    }
    /// Chooses a CPU; the core checks it against the affinity.
    pub fn select_task_rq_scx(&mut self, p: TaskId, prev_cpu: CpuId, wake_flags: u64) -> CpuId {
        prev_cpu
    }
    /// Puts a task on `cpu`'s runqueue.
    pub fn enqueue_task_scx(&mut self, cpu: CpuId, p: TaskId, flags: u64) {}
    /// Takes a task off `cpu`'s runqueue.
    pub fn dequeue_task_scx(&mut self, cpu: CpuId, p: TaskId, flags: u64) {}
    /// Dispatches and picks. May return `prev` itself.
    pub fn pick_task_scx(&mut self, cpu: CpuId, prev: TaskId) -> Option<TaskId> {
        None
    }
    /// `p` was running and is to be replaced by `next`.
    pub fn put_prev_task_scx(&mut self, cpu: CpuId, p: TaskId, next: Option<TaskId>) {}
    /// `p` is to run now.
    pub fn set_next_task_scx(&mut self, cpu: CpuId, p: TaskId, first: bool) {}
    /// The tick while `p` runs.
    pub fn task_tick_scx(&mut self, cpu: CpuId, p: TaskId) {}
    /// `sched_yield` by the running task.
    pub fn yield_task_scx(&mut self, cpu: CpuId) {}
    /// `sched_yield_to`; whether it was honoured.
    pub fn yield_to_task_scx(&mut self, cpu: CpuId, to: TaskId) -> bool {
        false
    }
    /// A task of the ext class or above became runnable while an ext task (or something below) runs.
    pub fn wakeup_preempt_scx(&mut self, cpu: CpuId, p: TaskId, wake_flags: u64) {}
    /// The task is about to enter the class (dequeued).
    pub fn switching_to_scx(&mut self, p: TaskId) {}
    /// The task has left the class (dequeued).
    pub fn switched_from_scx(&mut self, p: TaskId) {}
    /// `static_prio` or policy changed: weight.
    pub fn reweight_task_scx(&mut self, p: TaskId) {}
    /// `cpus_ptr` has changed.
    pub fn set_cpus_allowed_scx(&mut self, p: TaskId) {}
    /// After the enqueue of a wakeup or of a new task.
    pub fn task_woken_scx(&mut self, cpu: CpuId) {}
    /// Every tick, whatever runs: the watchdog's own watchdog.
    pub fn scx_tick(&mut self, cpu: CpuId) {}
    /// The CPU goes idle, leaves idle (`do_notify`), or picked idle again (`!do_notify`).
    pub fn scx_update_idle(&mut self, cpu: CpuId, idle: bool, do_notify: bool) {}
    /// The irq_work asked for on this CPU.
    pub fn scx_irq_work(&mut self, cpu: CpuId) {}
    /// The balance callback asked for on this CPU: before the runqueue's lock is dropped after a pick.
    pub fn scx_balance_callback(&mut self, cpu: CpuId) {}
    /// A kthread's work.
    pub fn scx_work(&mut self, work: Work) {}
    /// The cached clock of this CPU is valid from now on (update_rq_clock).
    pub fn scx_rq_clock_update(&mut self, cpu: CpuId) {}
    /// The runqueue is unpinned: the cached clock is no longer valid.
    pub fn scx_rq_clock_invalidate(&mut self, cpu: CpuId) {}
}

//! Flag and state constants of the scheduler core, 7.3 values. Mirrors kernel/sched/sched.h and include/linux/sched.h.

use sextant_abi::tables::flags::{DeqFlags, EnqFlags, WakeFlags};
pub use sextant_abi::tables::task::{
    NICE_TO_LOAD_WEIGHT, PF_EXITING, PF_FORKNOEXEC, PF_IDLE, PF_KTHREAD, PF_NO_SETAFFINITY, SCHED_BATCH,
    SCHED_EXT, SCHED_FIFO, SCHED_IDLE, SCHED_NORMAL, SCHED_RR, TASK_DEAD, TASK_INTERRUPTIBLE, TASK_NEW,
    TASK_RUNNING, WEIGHT_IDLEPRIO, nice_to_prio,
};

/// The enqueue is a wakeup.
pub const ENQUEUE_WAKEUP: u64 = EnqFlags::WAKEUP.bits();
/// Restores what `DEQUEUE_SAVE` took.
pub const ENQUEUE_RESTORE: u64 = EnqFlags::RESTORE.bits();
/// May change its place in the queue.
pub const ENQUEUE_MOVE: u64 = EnqFlags::MOVE.bits();
/// The rq clock is up to date.
pub const ENQUEUE_NOCLOCK: u64 = EnqFlags::NOCLOCK.bits();
/// Between two runqueues.
pub const ENQUEUE_MIGRATING: u64 = EnqFlags::MIGRATING.bits();
/// The class changes in between.
pub const ENQUEUE_CLASS: u64 = EnqFlags::CLASS.bits();
/// At the head.
pub const ENQUEUE_HEAD: u64 = EnqFlags::HEAD.bits();
/// The task came from another CPU.
pub const ENQUEUE_MIGRATED: u64 = EnqFlags::MIGRATED.bits();
/// The first enqueue after fork.
pub const ENQUEUE_INITIAL: u64 = EnqFlags::INITIAL.bits();
/// `select_task_rq` of the class was asked.
pub const ENQUEUE_RQ_SELECTED: u64 = EnqFlags::CPU_SELECTED.bits();

/// The task goes to sleep.
pub const DEQUEUE_SLEEP: u64 = DeqFlags::SLEEP.bits();
/// A property changes; `ENQUEUE_RESTORE` follows.
pub const DEQUEUE_SAVE: u64 = DeqFlags::SAVE.bits();
/// May change its place in the queue.
pub const DEQUEUE_MOVE: u64 = DeqFlags::MOVE.bits();
/// The rq clock is up to date.
pub const DEQUEUE_NOCLOCK: u64 = DeqFlags::NOCLOCK.bits();
/// Between two runqueues.
pub const DEQUEUE_MIGRATING: u64 = DeqFlags::MIGRATING.bits();
/// The class changes in between.
pub const DEQUEUE_CLASS: u64 = DeqFlags::CLASS.bits();
/// The state is one that no wakeup may match half-way (TASK_DEAD, …).
pub const DEQUEUE_SPECIAL: u64 = DeqFlags::SPECIAL.bits();

/// Wakeup after exec.
pub const WF_EXEC: u64 = WakeFlags::EXEC.bits();
/// Wakeup after fork.
pub const WF_FORK: u64 = WakeFlags::FORK.bits();
/// Wakeup by `try_to_wake_up`.
pub const WF_TTWU: u64 = WakeFlags::TTWU.bits();
/// The waker goes to sleep soon.
pub const WF_SYNC: u64 = WakeFlags::SYNC.bits();
/// The task has changed CPUs.
pub const WF_MIGRATED: u64 = WakeFlags::MIGRATED.bits();
/// The class's `select_task_rq` was asked.
pub const WF_RQ_SELECTED: u64 = WakeFlags::RQ_SELECTED.bits();

/// `exit_state` of a task nobody waits for.
pub const EXIT_DEAD: i32 = 0x10;

/// EINVAL, as a return value.
pub const EINVAL: i32 = -22;

/// Whether a policy is fair's or ext's: one with a nice value and a slice (SCHED_IDLE has neither).
pub const fn fair_policy(policy: u32) -> bool {
    matches!(policy, SCHED_NORMAL | SCHED_BATCH | SCHED_EXT)
}

/// Whether a policy is real-time.
pub const fn rt_policy(policy: u32) -> bool {
    policy == SCHED_FIFO || policy == SCHED_RR
}

/// `prio` of a real-time priority 1..=99: smaller is better.
pub const fn rt_to_prio(rt_priority: u32) -> i32 {
    99 - rt_priority as i32
}

/// `PRIO_TO_NICE`
pub const fn prio_to_nice(prio: i32) -> i32 {
    prio - 120
}

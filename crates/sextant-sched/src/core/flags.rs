//! Flag and state constants of the scheduler core, 7.3 values. Mirrors kernel/sched/sched.h and include/linux/sched.h.

/// The enqueue is a wakeup.
pub const ENQUEUE_WAKEUP: u64 = 0x1;
/// Restores what `DEQUEUE_SAVE` took.
pub const ENQUEUE_RESTORE: u64 = 0x2;
/// May change its place in the queue.
pub const ENQUEUE_MOVE: u64 = 0x4;
/// The rq clock is up to date.
pub const ENQUEUE_NOCLOCK: u64 = 0x8;
/// Between two runqueues.
pub const ENQUEUE_MIGRATING: u64 = 0x10;
/// The class changes in between.
pub const ENQUEUE_CLASS: u64 = 0x40;
/// At the head.
pub const ENQUEUE_HEAD: u64 = 0x1_0000;
/// The task came from another CPU.
pub const ENQUEUE_MIGRATED: u64 = 0x4_0000;
/// The first enqueue after fork.
pub const ENQUEUE_INITIAL: u64 = 0x8_0000;
/// `select_task_rq` of the class was asked.
pub const ENQUEUE_RQ_SELECTED: u64 = 0x10_0000;

/// The task goes to sleep.
pub const DEQUEUE_SLEEP: u64 = 0x1;
/// A property changes; `ENQUEUE_RESTORE` follows.
pub const DEQUEUE_SAVE: u64 = 0x2;
/// May change its place in the queue.
pub const DEQUEUE_MOVE: u64 = 0x4;
/// The rq clock is up to date.
pub const DEQUEUE_NOCLOCK: u64 = 0x8;
/// Between two runqueues.
pub const DEQUEUE_MIGRATING: u64 = 0x10;
/// The class changes in between.
pub const DEQUEUE_CLASS: u64 = 0x40;
/// The state is one that no wakeup may match half-way (TASK_DEAD, …).
pub const DEQUEUE_SPECIAL: u64 = 0x1_0000;

/// Wakeup after exec.
pub const WF_EXEC: u64 = 0x2;
/// Wakeup after fork.
pub const WF_FORK: u64 = 0x4;
/// Wakeup by `try_to_wake_up`.
pub const WF_TTWU: u64 = 0x8;
/// The waker goes to sleep soon.
pub const WF_SYNC: u64 = 0x10;
/// The task has changed CPUs.
pub const WF_MIGRATED: u64 = 0x20;
/// The class's `select_task_rq` was asked.
pub const WF_RQ_SELECTED: u64 = 0x80;

/// Runnable.
pub const TASK_RUNNING: u32 = 0;
/// Asleep, signals wake it.
pub const TASK_INTERRUPTIBLE: u32 = 0x1;
/// Gone after its last switch.
pub const TASK_DEAD: u32 = 0x80;
/// Forked, not yet awake.
pub const TASK_NEW: u32 = 0x800;
/// `exit_state` of a task nobody waits for.
pub const EXIT_DEAD: i32 = 0x10;

/// swapper/N.
pub const PF_IDLE: u32 = 0x2;
/// In do_exit.
pub const PF_EXITING: u32 = 0x4;
/// Forked but not exec'ed.
pub const PF_FORKNOEXEC: u32 = 0x40;
/// Kernel thread.
pub const PF_KTHREAD: u32 = 0x20_0000;
/// User space may not change its affinity.
pub const PF_NO_SETAFFINITY: u32 = 0x400_0000;

/// SCHED_NORMAL
pub const SCHED_NORMAL: u32 = 0;
/// SCHED_FIFO
pub const SCHED_FIFO: u32 = 1;
/// SCHED_RR
pub const SCHED_RR: u32 = 2;
/// SCHED_BATCH
pub const SCHED_BATCH: u32 = 3;
/// SCHED_IDLE
pub const SCHED_IDLE: u32 = 5;
/// SCHED_EXT
pub const SCHED_EXT: u32 = 7;

/// EINVAL, as a return value.
pub const EINVAL: i32 = -22;

/// `NICE_TO_PRIO`
pub const fn nice_to_prio(nice: i32) -> i32 {
    nice + 120
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

/// `sched_prio_to_weight`: nice -20..=19; each step is about 1.25.
pub const SCHED_PRIO_TO_WEIGHT: [u32; 40] = [
    88761, 71755, 56483, 46273, 36291, 29154, 23254, 18705, 14949, 11916, 9548, 7620, 6100, 4904, 3906, 3121,
    2501, 1991, 1586, 1277, 1024, 820, 655, 526, 423, 335, 272, 215, 172, 137, 110, 87, 70, 56, 45, 36, 29,
    23, 18, 15,
];

/// Weight of SCHED_IDLE tasks.
pub const WEIGHT_IDLEPRIO: u32 = 3;

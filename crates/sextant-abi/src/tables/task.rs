//! Constants of tasks that the scheduler core and programs share: `PF_*`, states, policies, priorities, weights.
//! Mirrors include/linux/sched.h, include/uapi/linux/sched.h and kernel/sched/core.c, 7.3.

macro_rules! consts {
    ($($(#[$m:meta])* $name:ident = $value:expr;)*) => {
        $($(#[$m])* pub const $name: u32 = $value;)*
    };
}

consts! {
    /// `p->flags`: an idle thread.
    PF_IDLE = 0x2;
    /// Getting shut down.
    PF_EXITING = 0x4;
    /// An io_uring worker.
    PF_IO_WORKER = 0x10;
    /// A workqueue worker.
    PF_WQ_WORKER = 0x20;
    /// Forked, not yet exec'ed.
    PF_FORKNOEXEC = 0x40;
    /// A kernel thread cloned from user space.
    PF_USER_WORKER = 0x4000;
    /// kcompactd
    PF_KCOMPACTD = 0x1_0000;
    /// kswapd
    PF_KSWAPD = 0x2_0000;
    /// A kernel thread.
    PF_KTHREAD = 0x20_0000;
    /// Addresses are randomized.
    PF_RANDOMIZE = 0x40_0000;
    /// User space may not change its CPUs.
    PF_NO_SETAFFINITY = 0x400_0000;

    /// `p->__state`: running or waiting to run.
    TASK_RUNNING = 0x0;
    /// Asleep, woken by signals too.
    TASK_INTERRUPTIBLE = 0x1;
    /// Asleep.
    TASK_UNINTERRUPTIBLE = 0x2;
    /// A parked kernel thread.
    TASK_PARKED = 0x40;
    /// Dead, after its last switch.
    TASK_DEAD = 0x80;
    /// Being woken.
    TASK_WAKING = 0x200;
    /// Asleep without counting as load.
    TASK_NOLOAD = 0x400;
    /// Forked, not yet woken.
    TASK_NEW = 0x800;
    /// An idle kernel thread's sleep.
    TASK_IDLE = TASK_UNINTERRUPTIBLE | TASK_NOLOAD;
    /// `p->exit_state`: gone.
    EXIT_DEAD = 0x10;
    /// A zombie.
    EXIT_ZOMBIE = 0x20;

    /// `p->policy`: the fair class's.
    SCHED_NORMAL = 0;
    /// RT, first in first out.
    SCHED_FIFO = 1;
    /// RT, round robin.
    SCHED_RR = 2;
    /// Fair, batch.
    SCHED_BATCH = 3;
    /// Fair, lowest weight.
    SCHED_IDLE = 5;
    /// Deadline.
    SCHED_DEADLINE = 6;
    /// Ext.
    SCHED_EXT = 7;
}

/// `p->on_rq`: not on a run queue.
pub const TASK_ON_RQ_NONE: u8 = 0;
/// On a run queue.
pub const TASK_ON_RQ_QUEUED: u8 = 1;
/// Between two run queues.
pub const TASK_ON_RQ_MIGRATING: u8 = 2;

/// First priority that is not RT.
pub const MAX_RT_PRIO: i32 = 100;
/// Priority of nice 0.
pub const DEFAULT_PRIO: i32 = 120;
/// One above the lowest priority (that of idle tasks).
pub const MAX_PRIO: i32 = 140;
/// `TASK_COMM_LEN`
pub const TASK_COMM_LEN: usize = 16;
/// `NUMA_NO_NODE`
pub const NUMA_NO_NODE: i32 = -1;

/// Load weight of nice -20..=19, `sched_prio_to_weight`.
pub const NICE_TO_LOAD_WEIGHT: [u32; 40] = [
    88761, 71755, 56483, 46273, 36291, 29154, 23254, 18705, 14949, 11916, 9548, 7620, 6100, 4904, 3906, 3121,
    2501, 1991, 1586, 1277, 1024, 820, 655, 526, 423, 335, 272, 215, 172, 137, 110, 87, 70, 56, 45, 36, 29,
    23, 18, 15,
];
/// Load weight under SCHED_IDLE.
pub const WEIGHT_IDLEPRIO: u32 = 3;

/// `static_prio` of a nice value, -20..=19.
pub const fn nice_to_prio(nice: i32) -> i32 {
    DEFAULT_PRIO + nice
}

/// Load weight of a nice value; values outside -20..=19 count as the nearest.
pub fn nice_to_load_weight(nice: i32) -> u32 {
    NICE_TO_LOAD_WEIGHT[(nice.clamp(-20, 19) + 20) as usize]
}

/// `p->scx.weight` of a load weight: scaled so that nice 0 has 100, rounded to nearest, 1..=10000.
pub const fn load_weight_to_scx(weight: u32) -> u32 {
    let scaled = (weight as u64 * 100 + 512) / 1024;
    if scaled < 1 {
        1
    } else if scaled > 10_000 {
        10_000
    } else {
        scaled as u32
    }
}

/// `p->scx.weight` of a nice value.
pub fn nice_to_scx_weight(nice: i32) -> u32 {
    load_weight_to_scx(nice_to_load_weight(nice))
}

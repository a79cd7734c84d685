//! Flag words of ops and kfuncs as sets that print by name. The bits are 7.3's; the `SCX_` ones come from
//! [`types::enums`](crate::types::enums), the others from kernel/sched/sched.h.

use bitflags::bitflags;

use crate::types::enums::*;

bitflags! {
    /// `ops.flags`, `SCX_OPS_*`.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct OpsFlags: u64 {
        /// Keep the built-in idle masks although ops.update_idle exists.
        const KEEP_BUILTIN_IDLE = SCX_OPS_KEEP_BUILTIN_IDLE;
        /// Enqueue the last runnable task instead of running on.
        const ENQ_LAST = SCX_OPS_ENQ_LAST;
        /// Exiting tasks go through ops.enqueue.
        const ENQ_EXITING = SCX_OPS_ENQ_EXITING;
        /// Only SCHED_EXT tasks are switched.
        const SWITCH_PARTIAL = SCX_OPS_SWITCH_PARTIAL;
        /// Migration-disabled tasks go through ops.enqueue.
        const ENQ_MIGRATION_DISABLED = SCX_OPS_ENQ_MIGRATION_DISABLED;
        /// Queued wakeups may skip ops.select_cpu.
        const ALLOW_QUEUED_WAKEUP = SCX_OPS_ALLOW_QUEUED_WAKEUP;
        /// Idle masks per NUMA node.
        const BUILTIN_IDLE_PER_NODE = SCX_OPS_BUILTIN_IDLE_PER_NODE;
        /// SCX_ENQ_IMMED on every insert into a local DSQ.
        const ALWAYS_ENQ_IMMED = SCX_OPS_ALWAYS_ENQ_IMMED;
        /// Keep the table behind scx_bpf_tid_to_task.
        const TID_TO_TASK = SCX_OPS_TID_TO_TASK;
        /// Internal: ops.cpu_acquire or ops.cpu_release is set.
        const HAS_CPU_PREEMPT = SCX_OPS_HAS_CPU_PREEMPT;
    }
}

/// `SCX_OPS_HAS_CGROUP_WEIGHT` of 6.12, which 7.3 refuses: a loader drops it with a warning.
pub const SCX_OPS_HAS_CGROUP_WEIGHT: u64 = 1 << 16;

bitflags! {
    /// Enqueue flags: `SCX_ENQ_*` and the core's `ENQUEUE_*` that ops see.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct EnqFlags: u64 {
        /// The task wakes up.
        const WAKEUP = SCX_ENQ_WAKEUP;
        /// Put back after a property change.
        const RESTORE = 0x2;
        /// The change may move it.
        const MOVE = 0x4;
        /// The rq clock is up to date.
        const NOCLOCK = 0x8;
        /// The core migrates it.
        const MIGRATING = 0x10;
        /// A delayed dequeue is undone.
        const DELAYED = 0x20;
        /// It changes class.
        const CLASS = 0x40;
        /// To the head.
        const HEAD = SCX_ENQ_HEAD;
        /// Bandwidth was replenished.
        const REPLENISH = 0x2_0000;
        /// It wakes on another CPU than it slept on.
        const MIGRATED = 0x4_0000;
        /// Right after fork.
        const INITIAL = 0x8_0000;
        /// ops.select_cpu was called.
        const CPU_SELECTED = SCX_ENQ_CPU_SELECTED;
        /// It is queued already.
        const QUEUED = 0x20_0000;
        /// Take the CPU from the running task.
        const PREEMPT = SCX_ENQ_PREEMPT;
        /// Run at once or be enqueued again.
        const IMMED = SCX_ENQ_IMMED;
        /// Use rescue bandwidth.
        const RESCUE = SCX_ENQ_RESCUE;
        /// It is enqueued again.
        const REENQ = SCX_ENQ_REENQ;
        /// It is the last runnable task.
        const LAST = SCX_ENQ_LAST;
        /// Internal.
        const CLEAR_OPSS = SCX_ENQ_CLEAR_OPSS;
        /// Internal: vtime order.
        const DSQ_PRIQ = SCX_ENQ_DSQ_PRIQ;
        /// Internal.
        const NESTED = SCX_ENQ_NESTED;
        /// Internal.
        const GDSQ_FALLBACK = SCX_ENQ_GDSQ_FALLBACK;
        /// Internal, though ops.runnable shows it.
        const IGNORE_CAPS = SCX_ENQ_IGNORE_CAPS;
        /// Internal.
        const APPLY_SLICE = SCX_ENQ_APPLY_SLICE;
        /// Internal.
        const SLICE_DFL = SCX_ENQ_SLICE_DFL;
    }
}

impl EnqFlags {
    /// Bits that a program may not pass.
    pub const INTERNAL_MASK: u64 = __SCX_ENQ_INTERNAL_MASK;
}

bitflags! {
    /// Dequeue flags: `SCX_DEQ_*` and the core's `DEQUEUE_*` that ops see.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct DeqFlags: u64 {
        /// The task blocks.
        const SLEEP = SCX_DEQ_SLEEP;
        /// It will be put back after a property change.
        const SAVE = 0x2;
        /// The change may move it.
        const MOVE = 0x4;
        /// The rq clock is up to date.
        const NOCLOCK = 0x8;
        /// The core migrates it.
        const MIGRATING = 0x10;
        /// A delayed dequeue.
        const DELAYED = 0x20;
        /// It changes class.
        const CLASS = 0x40;
        /// It blocks for a special reason, such as its death.
        const SPECIAL = 0x1_0000;
        /// Bandwidth throttling.
        const THROTTLE = 0x2_0000;
        /// Core scheduling runs it out of order.
        const CORE_SCHED_EXEC = SCX_DEQ_CORE_SCHED_EXEC;
        /// A property change, not a sleep.
        const SCHED_CHANGE = SCX_DEQ_SCHED_CHANGE;
    }
}

bitflags! {
    /// Flags of scx_bpf_kick_cpu, `SCX_KICK_*`.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct KickFlags: u64 {
        /// Only if the CPU is idle.
        const IDLE = SCX_KICK_IDLE;
        /// End the running task's slice.
        const PREEMPT = SCX_KICK_PREEMPT;
        /// Wait until the CPU rescheduled.
        const WAIT = SCX_KICK_WAIT;
    }
}

bitflags! {
    /// Wake flags of ops.select_cpu: `SCX_WAKE_*` and the core's `WF_*`.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct WakeFlags: u64 {
        /// exec(2)
        const EXEC = 0x2;
        /// fork(2)
        const FORK = SCX_WAKE_FORK;
        /// An ordinary wakeup.
        const TTWU = SCX_WAKE_TTWU;
        /// The waker is about to sleep.
        const SYNC = SCX_WAKE_SYNC;
        /// The wakee changed CPU.
        const MIGRATED = 0x20;
        /// Prefer the waker's CPU.
        const CURRENT_CPU = 0x40;
        /// The class's select_task_rq was called.
        const RQ_SELECTED = 0x80;
    }
}

bitflags! {
    /// Flags of the idle CPU pickers, `SCX_PICK_IDLE_*`.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct PickIdleFlags: u64 {
        /// Only whole idle cores.
        const CORE = SCX_PICK_IDLE_CORE;
        /// Only in the given node.
        const IN_NODE = SCX_PICK_IDLE_IN_NODE;
    }
}

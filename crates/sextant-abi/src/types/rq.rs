//! `struct rq`, of which programs read a few members. Mirrors kernel/sched/sched.h, 7.3.

use super::ctype::*;
use super::declare::kernel_types;
use super::task::TaskStruct;

kernel_types! {
    /// A run queue.
    pub struct Rq = "rq" {
        nr_running: UInt,
        (anon) running: RqCurr,
        idle: Ptr<TaskStruct>,
        nr_switches: U64,
        scx: ScxRq,
        stop: Ptr<TaskStruct>,
        /// ns
        clock_task: U64,
        /// ns
        clock_pelt: U64,
        /// ns
        clock: U64,
        /// 0: load tracking does not lose idle time here.
        lost_idle_time: ULong,
        cpu: Int,
        online: Int,
    }

    /// The running task under its two names (they differ only under proxy execution).
    pub union RqCurr = "" {
        donor: Ptr<Rcu<TaskStruct>>,
        curr: Ptr<Rcu<TaskStruct>>,
    }

    /// The ext class's part: of it only this member is kept.
    pub struct ScxRq = "scx_rq" {
        /// 0..=1024
        cpuperf_target: U32,
    }
}

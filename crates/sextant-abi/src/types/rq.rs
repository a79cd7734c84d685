//! `struct rq`, of which programs read a few members. Mirrors kernel/sched/sched.h, 7.3.

use super::ctype::*;
use super::declare::kernel_types;
use super::scx::ScxDispatchQ;
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

    /// The ext class's part.
    pub struct ScxRq = "scx_rq" {
        local_dsq: ScxDispatchQ,
        nr_running: U32,
        /// 0..=1024
        cpuperf_target: U32,
        cpu_released: Bool,
        /// `SCX_RQ_*`
        flags: U32,
        nr_immed: U32,
        /// ns
        clock: U64,
    }
}

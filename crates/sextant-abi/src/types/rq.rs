//! `struct rq`, of which programs read a few members, and what else is kept of a CPU. Mirrors kernel/sched/sched.h,
//! include/linux/sched/ext.h and include/linux/cpufreq.h, 7.3.

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

    /// The ext class's part: the members that the class keeps.
    pub struct ScxRq = "scx_rq" {
        local_dsq: ScxDispatchQ,
        /// Runnable tasks of the class.
        nr_running: U32,
        /// 0..=1024
        cpuperf_target: U32,
    }

    /// A dispatch queue; its list and tree are ordinary Rust and not here.
    pub struct ScxDispatchQ = "scx_dispatch_q" {
        /// The task that would be taken first, NULL for none; of DSQs that the scheduler made.
        first_task: Ptr<TaskStruct>,
        /// Tasks on it.
        nr: U32,
        /// Insertions so far.
        seq: U32,
        /// `SCX_DSQ_INVALID` (0) once destroyed.
        id: U64,
    }

    /// A CPU's frequency. It is fixed: what a scheduler asks for changes `cpuperf_target`, not the speed.
    pub struct CpufreqPolicy = "cpufreq_policy" {
        /// Which CPUs it is of: this one alone.
        cpu: UInt,
        cpuinfo: CpufreqCpuinfo,
        /// kHz
        min: UInt,
        /// kHz
        max: UInt,
        /// kHz
        cur: UInt,
    }

    /// What the hardware can.
    pub struct CpufreqCpuinfo = "cpufreq_cpuinfo" {
        /// kHz
        max_freq: UInt,
        /// kHz
        min_freq: UInt,
    }
}

//! Sched_ext's structs beside the task's: the arguments of ops and kfuncs.
//! Mirrors include/linux/sched/ext.h and kernel/sched/ext/{internal,types}.h, 7.3.

use super::cgroup::Cgroup;
use super::ctype::*;
use super::declare::kernel_types;
use super::enums::{ScxCpuPreemptReason, ScxExitKind};
use super::ops::SchedExtOps;
use super::task::TaskStruct;

kernel_types! {
    /// Argument of ops.exit.
    pub struct ScxExitInfo = "scx_exit_info" {
        kind: ScxExitKind,
        /// -1 when unknown.
        exit_cpu: S32,
        exit_code: S64,
        /// `SCX_EFLAG_*`
        flags: U64,
        reason: Ptr<Const<Char>>,
        bt: Ptr<ULong>,
        bt_len: U32,
        msg: Ptr<Char>,
        dump: Ptr<Char>,
    }

    /// Argument of ops.init_task.
    pub struct ScxInitTaskArgs = "scx_init_task_args" {
        fork: Bool,
        cgroup: Ptr<Cgroup>,
    }

    /// Argument of ops.exit_task.
    pub struct ScxExitTaskArgs = "scx_exit_task_args" {
        /// Exited before it ever was READY.
        cancelled: Bool,
    }

    /// Argument of ops.enable, cid form.
    pub struct ScxEnableArgs = "scx_enable_args" {
        cmask_arena_addr: U64,
    }

    /// Argument of ops.cgroup_init.
    pub struct ScxCgroupInitArgs = "scx_cgroup_init_args" {
        /// 1..=10000
        weight: U32,
        bw_period_us: U64,
        bw_quota_us: U64,
        bw_burst_us: U64,
        sched_idle: Bool,
    }

    /// Argument of ops.cpu_acquire: nothing, the pointer passed is NULL.
    pub struct ScxCpuAcquireArgs = "scx_cpu_acquire_args" {}

    /// Argument of ops.cpu_release.
    pub struct ScxCpuReleaseArgs = "scx_cpu_release_args" {
        reason: ScxCpuPreemptReason,
        /// The one that takes the CPU.
        task: Ptr<TaskStruct>,
    }

    /// Argument of ops.dump and its kin.
    pub struct ScxDumpCtx = "scx_dump_ctx" {
        kind: ScxExitKind,
        exit_code: S64,
        reason: Ptr<Const<Char>>,
        at_ns: U64,
        at_jiffies: U64,
    }

    /// Argument of ops.sub_attach.
    pub struct ScxSubAttachArgs = "scx_sub_attach_args" {
        ops: Ptr<SchedExtOps>,
        cgroup_path: Ptr<Char>,
    }

    /// Argument of ops.sub_detach.
    pub struct ScxSubDetachArgs = "scx_sub_detach_args" {
        ops: Ptr<SchedExtOps>,
        cgroup_path: Ptr<Char>,
    }

    /// Where a cid is; -1 when unknown.
    pub struct ScxCidTopo = "scx_cid_topo" {
        core_cid: S32,
        core_idx: S32,
        llc_cid: S32,
        llc_idx: S32,
        node_cid: S32,
        node_idx: S32,
        shard_cid: S32,
        shard_idx: S32,
    }

    /// A set of cids.
    pub struct ScxCmask = "scx_cmask" {
        base: U32,
        nr_cids: U32,
        alloc_words: U32,
        bits: Array<U64, 0>,
    }

    /// Arguments of `__scx_bpf_dsq_insert_vtime`.
    pub struct ScxBpfDsqInsertVtimeArgs = "scx_bpf_dsq_insert_vtime_args" {
        dsq_id: U64,
        slice: U64,
        vtime: U64,
        enq_flags: U64,
    }

    /// Arguments of `__scx_bpf_select_cpu_and`.
    pub struct ScxBpfSelectCpuAndArgs = "scx_bpf_select_cpu_and_args" {
        prev_cpu: S32,
        wake_flags: U64,
        flags: U64,
    }

    /// Event counters, in the order of [`EVENTS`](crate::tables::events::EVENTS).
    pub struct ScxEventStats = "scx_event_stats" {
        SCX_EV_SELECT_CPU_FALLBACK: S64,
        SCX_EV_DISPATCH_LOCAL_DSQ_OFFLINE: S64,
        SCX_EV_DISPATCH_KEEP_LAST: S64,
        SCX_EV_ENQ_SKIP_EXITING: S64,
        SCX_EV_ENQ_SKIP_MIGRATION_DISABLED: S64,
        SCX_EV_REENQ_IMMED: S64,
        SCX_EV_REENQ_REPEAT: S64,
        SCX_EV_REFILL_SLICE_DFL: S64,
        SCX_EV_SLICE_CLAMPED: S64,
        SCX_EV_SLICE_DENIED: S64,
        /// ns
        SCX_EV_BYPASS_DURATION: S64,
        SCX_EV_BYPASS_DISPATCH: S64,
        SCX_EV_BYPASS_ACTIVATE: S64,
        SCX_EV_INSERT_NOT_OWNED: S64,
        SCX_EV_SUB_BYPASS_DISPATCH: S64,
        SCX_EV_SUB_FORCED_ADMIT: S64,
        SCX_EV_SUB_PREEMPT_DENIED: S64,
        SCX_EV_SUB_KICK_DENIED: S64,
        SCX_EV_SUB_REENQ_DENIED: S64,
        SCX_EV_SUB_CIDPERF_DENIED: S64,
        SCX_EV_SUB_RESCUE: S64,
    }

    /// A DSQ iterator on a program's stack.
    pub struct BpfIterScxDsq = "bpf_iter_scx_dsq" {
        __opaque: Array<U64, 6>,
    }
}

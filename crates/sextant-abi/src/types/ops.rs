//! `struct sched_ext_ops`, its cid form, and the struct_ops values that user space writes. Mirrors
//! kernel/sched/ext/internal.h, 7.3. What each op means is in [`tables::ops`](crate::tables::ops).

use super::cgroup::{CgroupPtr, TaskPtr};
use super::cpumask::Cpumask;
use super::ctype::*;
use super::declare::kernel_types;
use super::enums::BpfStructOpsState;
use super::scx::*;
use super::task::RefcountT;

kernel_types! {
    /// The ops table, cpu form.
    pub struct SchedExtOps = "sched_ext_ops" {
        select_cpu: Ptr<fn(TaskPtr, S32, U64) -> S32>,
        enqueue: Ptr<fn(TaskPtr, U64) -> Void>,
        dequeue: Ptr<fn(TaskPtr, U64) -> Void>,
        dispatch: Ptr<fn(S32, TaskPtr) -> Void>,
        tick: Ptr<fn(TaskPtr) -> Void>,
        runnable: Ptr<fn(TaskPtr, U64) -> Void>,
        running: Ptr<fn(TaskPtr) -> Void>,
        stopping: Ptr<fn(TaskPtr, Bool) -> Void>,
        quiescent: Ptr<fn(TaskPtr, U64) -> Void>,
        yield_: Ptr<fn(TaskPtr, TaskPtr) -> Bool>,
        core_sched_before: Ptr<fn(TaskPtr, TaskPtr) -> Bool>,
        set_weight: Ptr<fn(TaskPtr, U32) -> Void>,
        set_cpumask: Ptr<fn(TaskPtr, Ptr<Const<Cpumask>>) -> Void>,
        update_idle: Ptr<fn(S32, Bool) -> Void>,
        init_task: Ptr<fn(TaskPtr, Ptr<ScxInitTaskArgs>) -> S32>,
        exit_task: Ptr<fn(TaskPtr, Ptr<ScxExitTaskArgs>) -> Void>,
        enable: Ptr<fn(TaskPtr) -> Void>,
        disable: Ptr<fn(TaskPtr) -> Void>,
        dump: Ptr<fn(Ptr<ScxDumpCtx>) -> Void>,
        dump_cpu: Ptr<fn(Ptr<ScxDumpCtx>, S32, Bool) -> Void>,
        dump_task: Ptr<fn(Ptr<ScxDumpCtx>, TaskPtr) -> Void>,
        cgroup_init: Ptr<fn(CgroupPtr, Ptr<ScxCgroupInitArgs>) -> S32>,
        cgroup_exit: Ptr<fn(CgroupPtr) -> Void>,
        cgroup_prep_move: Ptr<fn(TaskPtr, CgroupPtr, CgroupPtr) -> S32>,
        cgroup_move: Ptr<fn(TaskPtr, CgroupPtr, CgroupPtr) -> Void>,
        cgroup_cancel_move: Ptr<fn(TaskPtr, CgroupPtr, CgroupPtr) -> Void>,
        cgroup_set_weight: Ptr<fn(CgroupPtr, U32) -> Void>,
        cgroup_set_bandwidth: Ptr<fn(CgroupPtr, U64, U64, U64) -> Void>,
        cgroup_set_idle: Ptr<fn(CgroupPtr, Bool) -> Void>,
        sub_attach: Ptr<fn(Ptr<ScxSubAttachArgs>) -> S32>,
        sub_detach: Ptr<fn(Ptr<ScxSubDetachArgs>) -> Void>,
        sub_caps_updated: Ptr<fn(Ptr<Const<ScxCmask>>, U64) -> Void>,
        sub_ecaps_updated: Ptr<fn(S32, U64, U64) -> Void>,
        cpu_online: Ptr<fn(S32) -> Void>,
        cpu_offline: Ptr<fn(S32) -> Void>,
        init_cids: Ptr<fn() -> S32>,
        init: Ptr<fn() -> S32>,
        exit: Ptr<fn(Ptr<ScxExitInfo>) -> Void>,
        dispatch_max_batch: U32,
        flags: U64,
        timeout_ms: U32,
        exit_dump_len: U32,
        hotplug_seq: U64,
        cid_shard_size: U32,
        rescue_bandwidth_ppt: U32,
        rescue_quantum_us: U32,
        sub_cgroup_id: U64,
        name: Array<Char, 128>,
        priv_: Ptr<Void>,
        cpu_acquire: Ptr<fn(S32, Ptr<ScxCpuAcquireArgs>) -> Void>,
        cpu_release: Ptr<fn(S32, Ptr<ScxCpuReleaseArgs>) -> Void>,
    }

    /// The ops table, cid form.
    pub struct SchedExtOpsCid = "sched_ext_ops_cid" {
        select_cid: Ptr<fn(TaskPtr, S32, U64) -> S32>,
        enqueue: Ptr<fn(TaskPtr, U64) -> Void>,
        dequeue: Ptr<fn(TaskPtr, U64) -> Void>,
        dispatch: Ptr<fn(S32, TaskPtr) -> Void>,
        tick: Ptr<fn(TaskPtr) -> Void>,
        runnable: Ptr<fn(TaskPtr, U64) -> Void>,
        running: Ptr<fn(TaskPtr) -> Void>,
        stopping: Ptr<fn(TaskPtr, Bool) -> Void>,
        quiescent: Ptr<fn(TaskPtr, U64) -> Void>,
        yield_: Ptr<fn(TaskPtr, TaskPtr) -> Bool>,
        core_sched_before: Ptr<fn(TaskPtr, TaskPtr) -> Bool>,
        set_weight: Ptr<fn(TaskPtr, U32) -> Void>,
        set_cmask: Ptr<fn(TaskPtr, Ptr<Const<ScxCmask>>) -> Void>,
        update_idle: Ptr<fn(S32, Bool) -> Void>,
        init_task: Ptr<fn(TaskPtr, Ptr<ScxInitTaskArgs>) -> S32>,
        exit_task: Ptr<fn(TaskPtr, Ptr<ScxExitTaskArgs>) -> Void>,
        enable: Ptr<fn(TaskPtr, Ptr<ScxEnableArgs>) -> Void>,
        disable: Ptr<fn(TaskPtr) -> Void>,
        dump: Ptr<fn(Ptr<ScxDumpCtx>) -> Void>,
        dump_cid: Ptr<fn(Ptr<ScxDumpCtx>, S32, Bool) -> Void>,
        dump_task: Ptr<fn(Ptr<ScxDumpCtx>, TaskPtr) -> Void>,
        cpuctl_init: Ptr<fn(CgroupPtr, Ptr<ScxCgroupInitArgs>) -> S32>,
        cpuctl_exit: Ptr<fn(CgroupPtr) -> Void>,
        cpuctl_prep_move: Ptr<fn(TaskPtr, CgroupPtr, CgroupPtr) -> S32>,
        cpuctl_move: Ptr<fn(TaskPtr, CgroupPtr, CgroupPtr) -> Void>,
        cpuctl_cancel_move: Ptr<fn(TaskPtr, CgroupPtr, CgroupPtr) -> Void>,
        cpuctl_set_weight: Ptr<fn(CgroupPtr, U32) -> Void>,
        cpuctl_set_bandwidth: Ptr<fn(CgroupPtr, U64, U64, U64) -> Void>,
        cpuctl_set_idle: Ptr<fn(CgroupPtr, Bool) -> Void>,
        sub_attach: Ptr<fn(Ptr<ScxSubAttachArgs>) -> S32>,
        sub_detach: Ptr<fn(Ptr<ScxSubDetachArgs>) -> Void>,
        sub_caps_updated: Ptr<fn(Ptr<Const<ScxCmask>>, U64) -> Void>,
        sub_ecaps_updated: Ptr<fn(S32, U64, U64) -> Void>,
        cid_online: Ptr<fn(S32) -> Void>,
        cid_offline: Ptr<fn(S32) -> Void>,
        init_cids: Ptr<fn() -> S32>,
        init: Ptr<fn() -> S32>,
        exit: Ptr<fn(Ptr<ScxExitInfo>) -> Void>,
        dispatch_max_batch: U32,
        flags: U64,
        timeout_ms: U32,
        exit_dump_len: U32,
        hotplug_seq: U64,
        cid_shard_size: U32,
        rescue_bandwidth_ppt: U32,
        rescue_quantum_us: U32,
        sub_cgroup_id: U64,
        name: Array<Char, 128>,
        priv_: Ptr<Void>,
        __end: Array<Char, 0>,
    }

    /// What every struct_ops value starts with.
    pub struct BpfStructOpsCommonValue = "bpf_struct_ops_common_value" {
        refcnt: RefcountT,
        state: BpfStructOpsState,
    }

    /// The value of a struct_ops map; `data` is at +64.
    pub struct BpfStructOpsSchedExtOps = "bpf_struct_ops_sched_ext_ops" {
        common: BpfStructOpsCommonValue,
        data: CachelineAligned<SchedExtOps>,
    }

    /// The value of a struct_ops map of the cid form; `data` is at +64.
    pub struct BpfStructOpsSchedExtOpsCid = "bpf_struct_ops_sched_ext_ops_cid" {
        common: BpfStructOpsCommonValue,
        data: CachelineAligned<SchedExtOpsCid>,
    }
}

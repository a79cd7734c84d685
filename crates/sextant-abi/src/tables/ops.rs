//! The ops of a scheduler: arguments, result, what they may do. Mirrors kernel/sched/ext/internal.h and the load-time checks
//! of ext.c, 7.3. The C prototypes are the members of [`SchedExtOps`](crate::types::SchedExtOps).

use super::kfuncs::KfuncGroups;

/// An argument of an op, as it arrives in a register of the context.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpArg {
    /// `s32`
    S32,
    /// `u32`
    U32,
    /// `u64`
    U64,
    /// `bool`
    Bool,
    /// Trusted pointer to a struct of that C name, never NULL (but cpu_acquire's, which is always NULL and has no fields).
    Ptr(&'static str),
    /// Trusted pointer that may be NULL and must be tested.
    PtrOrNull(&'static str),
}

/// What an op returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpRet {
    /// Nothing.
    Void,
    /// A CPU number, not binding.
    Cpu,
    /// 0 or -errno.
    Errno,
    /// `bool`
    Bool,
}

/// What is known of an op.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpDesc {
    /// Which.
    pub op: Op,
    /// Member of `struct sched_ext_ops`.
    pub name: &'static str,
    /// Member of `struct sched_ext_ops_cid`; empty if the cid form lacks it.
    pub cid_name: &'static str,
    /// Arguments, cpu form.
    pub args: &'static [OpArg],
    /// Result.
    pub ret: OpRet,
    /// Whether the program may be sleepable.
    pub sleepable: bool,
    /// Which kfuncs the program may call.
    pub groups: KfuncGroups,
    /// The kernel that first had it ("6.12": or before).
    pub since: &'static str,
}

macro_rules! ops {
    ($($(#[$m:meta])* $op:ident $name:literal $cid:literal ($($arg:expr),*) -> $ret:ident, $sleep:literal, [$($group:ident),*] $since:literal;)*) => {
        /// An op, in the order of the 7.3 struct.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum Op {
            $(#[doc = concat!("`ops.", $name, "`")] $(#[$m])* $op),*
        }

        impl Op {
            /// Every op, by index.
            pub const ALL: &[Op] = &[$(Op::$op),*];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();
        }

        /// The table, indexed by [`Op`].
        pub static OPS: [OpDesc; Op::COUNT] = [$(OpDesc {
            op: Op::$op,
            name: $name,
            cid_name: $cid,
            args: &[$($arg),*],
            ret: OpRet::$ret,
            sleepable: $sleep,
            groups: KfuncGroups::ALWAYS$(.union(KfuncGroups::$group))*,
            since: $since,
        }),*];
    };
}

impl Op {
    /// Its row.
    pub fn desc(self) -> &'static OpDesc {
        &OPS[self as usize]
    }

    /// Its member name in `struct sched_ext_ops`.
    pub fn name(self) -> &'static str {
        self.desc().name
    }

    /// The op of that member name, either form.
    pub fn from_name(name: &str) -> Option<Op> {
        OPS.iter().find(|desc| desc.name == name || desc.cid_name == name).map(|desc| desc.op)
    }

    /// Its index in [`OPS`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

const TASK: OpArg = OpArg::Ptr("task_struct");
const TASK_OR_NULL: OpArg = OpArg::PtrOrNull("task_struct");
const CGROUP: OpArg = OpArg::Ptr("cgroup");
const DUMP: OpArg = OpArg::Ptr("scx_dump_ctx");
const S32: OpArg = OpArg::S32;
const U32: OpArg = OpArg::U32;
const U64: OpArg = OpArg::U64;
const BOOL: OpArg = OpArg::Bool;

ops! {
    SelectCpu "select_cpu" "select_cid" (TASK, S32, U64) -> Cpu, false, [SELECT_CPU, ENQUEUE_DISPATCH] "6.12";
    Enqueue "enqueue" "enqueue" (TASK, U64) -> Void, false, [SELECT_CPU, ENQUEUE_DISPATCH] "6.12";
    Dequeue "dequeue" "dequeue" (TASK, U64) -> Void, false, [] "6.12";
    Dispatch "dispatch" "dispatch" (S32, TASK_OR_NULL) -> Void, false, [ENQUEUE_DISPATCH, DISPATCH] "6.12";
    Tick "tick" "tick" (TASK) -> Void, false, [] "6.12";
    Runnable "runnable" "runnable" (TASK, U64) -> Void, false, [] "6.12";
    Running "running" "running" (TASK) -> Void, false, [] "6.12";
    Stopping "stopping" "stopping" (TASK, BOOL) -> Void, false, [] "6.12";
    Quiescent "quiescent" "quiescent" (TASK, U64) -> Void, false, [] "6.12";
    Yield "yield" "yield" (TASK, TASK_OR_NULL) -> Bool, false, [] "6.12";
    CoreSchedBefore "core_sched_before" "core_sched_before" (TASK, TASK) -> Bool, false, [] "6.12";
    SetWeight "set_weight" "set_weight" (TASK, U32) -> Void, false, [] "6.12";
    /// The cid form has a `scx_cmask`.
    SetCpumask "set_cpumask" "set_cmask" (TASK, OpArg::Ptr("cpumask")) -> Void, false, [] "6.12";
    UpdateIdle "update_idle" "update_idle" (S32, BOOL) -> Void, false, [] "6.12";
    InitTask "init_task" "init_task" (TASK, OpArg::Ptr("scx_init_task_args")) -> Errno, true, [UNLOCKED, SELECT_CPU] "6.12";
    ExitTask "exit_task" "exit_task" (TASK, OpArg::Ptr("scx_exit_task_args")) -> Void, false, [] "6.12";
    /// The cid form has a second argument, `scx_enable_args`.
    Enable "enable" "enable" (TASK) -> Void, false, [] "6.12";
    Disable "disable" "disable" (TASK) -> Void, false, [] "6.12";
    Dump "dump" "dump" (DUMP) -> Void, false, [UNLOCKED, SELECT_CPU] "6.12";
    DumpCpu "dump_cpu" "dump_cid" (DUMP, S32, BOOL) -> Void, false, [] "6.12";
    DumpTask "dump_task" "dump_task" (DUMP, TASK) -> Void, false, [] "6.12";
    CgroupInit "cgroup_init" "cpuctl_init" (CGROUP, OpArg::Ptr("scx_cgroup_init_args")) -> Errno, true, [UNLOCKED, SELECT_CPU] "6.12";
    CgroupExit "cgroup_exit" "cpuctl_exit" (CGROUP) -> Void, true, [UNLOCKED, SELECT_CPU] "6.12";
    CgroupPrepMove "cgroup_prep_move" "cpuctl_prep_move" (TASK, CGROUP, CGROUP) -> Errno, true, [UNLOCKED, SELECT_CPU] "6.12";
    CgroupMove "cgroup_move" "cpuctl_move" (TASK, CGROUP, CGROUP) -> Void, false, [] "6.12";
    CgroupCancelMove "cgroup_cancel_move" "cpuctl_cancel_move" (TASK, CGROUP, CGROUP) -> Void, false, [UNLOCKED, SELECT_CPU] "6.12";
    CgroupSetWeight "cgroup_set_weight" "cpuctl_set_weight" (CGROUP, U32) -> Void, false, [UNLOCKED, SELECT_CPU] "6.12";
    CgroupSetBandwidth "cgroup_set_bandwidth" "cpuctl_set_bandwidth" (CGROUP, U64, U64, U64) -> Void, true, [UNLOCKED, SELECT_CPU] "v6.17";
    CgroupSetIdle "cgroup_set_idle" "cpuctl_set_idle" (CGROUP, BOOL) -> Void, false, [UNLOCKED, SELECT_CPU] "v6.19";
    SubAttach "sub_attach" "sub_attach" (OpArg::Ptr("scx_sub_attach_args")) -> Errno, true, [UNLOCKED, SELECT_CPU] "v7.1";
    SubDetach "sub_detach" "sub_detach" (OpArg::Ptr("scx_sub_detach_args")) -> Void, true, [UNLOCKED, SELECT_CPU] "v7.1";
    SubCapsUpdated "sub_caps_updated" "sub_caps_updated" (OpArg::Ptr("scx_cmask"), U64) -> Void, false, [] "≤7.3";
    SubEcapsUpdated "sub_ecaps_updated" "sub_ecaps_updated" (S32, U64, U64) -> Void, false, [ENQUEUE_DISPATCH, DISPATCH] "≤7.3";
    CpuOnline "cpu_online" "cid_online" (S32) -> Void, true, [UNLOCKED, SELECT_CPU] "6.12";
    CpuOffline "cpu_offline" "cid_offline" (S32) -> Void, true, [UNLOCKED, SELECT_CPU] "6.12";
    InitCids "init_cids" "init_cids" () -> Errno, true, [UNLOCKED, SELECT_CPU, INIT_CIDS] "≤7.3";
    Init "init" "init" () -> Errno, true, [UNLOCKED, SELECT_CPU] "6.12";
    Exit "exit" "exit" (OpArg::Ptr("scx_exit_info")) -> Void, true, [UNLOCKED, SELECT_CPU] "6.12";
    CpuAcquire "cpu_acquire" "" (S32, OpArg::Ptr("scx_cpu_acquire_args")) -> Void, false, [] "6.12";
    CpuRelease "cpu_release" "" (S32, OpArg::Ptr("scx_cpu_release_args")) -> Void, false, [CPU_RELEASE] "6.12";
}

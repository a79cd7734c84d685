//! Every kfunc a scheduler may import: prototype, flags, where it may be called. Names and prototypes as 7.3's BTF has them,
//! after the implicit arguments are taken off; the older names objects still import are at the end (of these the two `_impl` ones
//! exist in 7.3 too, behind their short names).
//!
//! Being here does not say that the vm implements it: the binding decides, and only what is bound goes into our BTF.
//! A table, hence its length.

use bitflags::bitflags;

use crate::types::*;

bitflags! {
    /// `KF_*`; implicit arguments are taken off already, and trusted arguments are 7.3's default.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct KfuncFlags: u32 {
        /// The result carries a reference.
        const ACQUIRE = 1 << 0;
        /// Takes the reference of its pointer argument.
        const RELEASE = 1 << 1;
        /// The result may be NULL (or, for locks, nonzero).
        const RET_NULL = 1 << 2;
        /// Only sleepable programs may call it.
        const SLEEPABLE = 1 << 3;
        /// Pointer arguments may be RCU-protected instead of trusted.
        const RCU = 1 << 4;
        /// Only inside an RCU read side, and the result lives as long.
        const RCU_PROTECTED = 1 << 5;
        /// Constructor of an iterator.
        const ITER_NEW = 1 << 6;
        /// Step of an iterator.
        const ITER_NEXT = 1 << 7;
        /// Destructor of an iterator.
        const ITER_DESTROY = 1 << 8;
        /// Allowed while a bpf_spin_lock is held.
        const SPINLOCK_SAFE = 1 << 9;
        /// The result is an arena pointer.
        const ARENA_RET = 1 << 10;
        /// The second argument is an arena pointer.
        const ARENA_ARG2 = 1 << 11;
        /// Needs CAP_PERFMON.
        const PERFMON = 1 << 12;
        /// Keeps the caller's scratch registers.
        const FASTCALL = 1 << 13;
    }
}

bitflags! {
    /// Sets of kfuncs; a program may call a kfunc that shares a set with what its op allows
    /// ([`OpDesc::groups`](super::ops::OpDesc)).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct KfuncGroups: u32 {
        /// The BPF core's: any program.
        const CORE = 1 << 0;
        /// Any SCX op, SYSCALL and tracing programs.
        const ANY = 1 << 1;
        /// The same, idle CPU tracking.
        const IDLE = 1 << 2;
        /// The same, cids.
        const CID = 1 << 3;
        /// select_cpu, enqueue and what UNLOCKED has.
        const SELECT_CPU = 1 << 4;
        /// select_cpu, enqueue, dispatch, sub_ecaps_updated.
        const ENQUEUE_DISPATCH = 1 << 5;
        /// dispatch, sub_ecaps_updated.
        const DISPATCH = 1 << 6;
        /// cpu_release.
        const CPU_RELEASE = 1 << 7;
        /// Ops that run without an rq lock, SYSCALL programs.
        const UNLOCKED = 1 << 8;
        /// init_cids.
        const INIT_CIDS = 1 << 9;
        /// Not a place: programs of the cid form may not call it.
        const CPU_FORM = 1 << 10;
        /// What every SCX op may call.
        const ALWAYS = Self::CORE.bits() | Self::ANY.bits() | Self::IDLE.bits() | Self::CID.bits();
        /// What a tracing program may call.
        const TRACING = Self::ALWAYS.bits();
        /// What a SYSCALL program may call.
        const SYSCALL = Self::ALWAYS.bits() | Self::SELECT_CPU.bits() | Self::UNLOCKED.bits();
    }
}

/// A kfunc.
#[derive(Clone, Copy, Debug)]
pub struct Kfunc {
    /// Its symbol, with the kernel's own `___v2`.
    pub name: &'static str,
    /// Prototype.
    pub proto: FuncProto,
    /// What the verifier must know.
    pub flags: KfuncFlags,
    /// Where it may be called.
    pub groups: KfuncGroups,
    /// The kernel that first had it ("6.12": or before; "≤6.18": found there, not in 6.12's sources).
    pub since: &'static str,
}

impl Kfunc {
    /// Whether a place that allows `groups` may call it.
    pub const fn allowed_in(&self, groups: KfuncGroups) -> bool {
        self.groups.difference(KfuncGroups::CPU_FORM).intersects(groups)
    }
}

macro_rules! kfuncs {
    ($(fn $name:ident($($arg:ident: $ty:ty),*) -> $ret:ty; [$($flag:ident),*] [$($group:ident),*] $since:literal;)*) => {
        /// A kfunc, by its kernel name; the number is its index in [`KFUNCS`].
        #[allow(non_camel_case_types)]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u32)]
        pub enum KfuncId {
            $(#[doc = concat!("`", stringify!($name), "()`")] $name),*
        }

        impl KfuncId {
            /// Every kfunc, by index.
            pub const ALL: &[KfuncId] = &[$(KfuncId::$name),*];
        }

        /// The table, indexed by [`KfuncId`].
        pub static KFUNCS: &[Kfunc] = &[$(Kfunc {
            name: stringify!($name),
            proto: FuncProto {
                ret: <$ret as CType>::REF,
                params: &[$(Param { name: stringify!($arg), ty: <$ty as CType>::REF }),*],
            },
            flags: KfuncFlags::empty()$(.union(KfuncFlags::$flag))*,
            groups: KfuncGroups::empty()$(.union(KfuncGroups::$group))*,
            since: $since,
        }),*];
    };
}

impl KfuncId {
    /// The kfunc of that index.
    pub fn from_index(index: u32) -> Option<KfuncId> {
        Self::ALL.get(index as usize).copied()
    }

    /// The kfunc of that symbol.
    pub fn from_name(name: &str) -> Option<KfuncId> {
        Self::ALL.iter().copied().find(|id| id.info().name == name)
    }

    /// Its index in [`KFUNCS`].
    pub const fn index(self) -> u32 {
        self as u32
    }

    /// Its row.
    pub fn info(self) -> &'static Kfunc {
        &KFUNCS[self as usize]
    }

    /// The current name of an old one, with the same arguments; itself if it is current.
    pub fn canonical(self) -> KfuncId {
        OLD_NAMES.iter().find(|(old, _)| *old == self).map_or(self, |(_, new)| *new)
    }

    /// Whether 7.3 has it; the others are offered for older objects.
    pub fn is_current(self) -> bool {
        self.index() < KfuncId::scx_bpf_switch_all.index()
    }
}

/// Names of 6.12 and the current ones with the same arguments and meaning.
pub const OLD_NAMES: &[(KfuncId, KfuncId)] = &[
    (KfuncId::scx_bpf_dispatch, KfuncId::scx_bpf_dsq_insert),
    (KfuncId::scx_bpf_dispatch_vtime, KfuncId::scx_bpf_dsq_insert_vtime),
    (KfuncId::scx_bpf_consume, KfuncId::scx_bpf_dsq_move_to_local),
    (KfuncId::scx_bpf_dispatch_from_dsq, KfuncId::scx_bpf_dsq_move),
    (KfuncId::scx_bpf_dispatch_vtime_from_dsq, KfuncId::scx_bpf_dsq_move_vtime),
    (KfuncId::scx_bpf_dispatch_from_dsq_set_slice, KfuncId::scx_bpf_dsq_move_set_slice),
    (KfuncId::scx_bpf_dispatch_from_dsq_set_vtime, KfuncId::scx_bpf_dsq_move_set_vtime),
];

/// Functions of the kernel's BTF that are no kfuncs: only their existence is asked (`bpf_ksym_exists`). `void ()`.
pub const COMPAT_MARKERS: &[&str] = &["scx_compat_marker_cgroup_set_bandwidth_may_sleep"];

kfuncs! {
    // DSQs, dispatch, idle CPUs: scx_*.
    fn __scx_bpf_dsq_insert_vtime(p: Ptr<TaskStruct>, args: Ptr<ScxBpfDsqInsertVtimeArgs>) -> Bool; [RCU] [ENQUEUE_DISPATCH] "v6.19";
    fn __scx_bpf_select_cpu_and(p: Ptr<TaskStruct>, cpus_allowed: Ptr<Const<Cpumask>>, args: Ptr<ScxBpfSelectCpuAndArgs>) -> S32; [RCU] [UNLOCKED, CPU_FORM, SELECT_CPU] "v6.19";
    fn bpf_iter_scx_dsq_destroy(it: Ptr<BpfIterScxDsq>) -> Void; [ITER_DESTROY] [ANY] "6.12";
    fn bpf_iter_scx_dsq_new(it: Ptr<BpfIterScxDsq>, dsq_id: U64, flags: U64) -> Int; [ITER_NEW, RCU_PROTECTED] [ANY] "6.12";
    fn bpf_iter_scx_dsq_next(it: Ptr<BpfIterScxDsq>) -> Ptr<TaskStruct>; [ITER_NEXT, RET_NULL] [ANY] "6.12";
    fn scx_bpf_cid_curr(cid: S32) -> Ptr<TaskStruct>; [RCU_PROTECTED, RET_NULL] [ANY] "≤7.3";
    fn scx_bpf_cid_override(cpu_to_cid__arena: Ptr<Arena<Const<S32>>>, cpu_to_cid_cnt: U32, shard_start__arena: Ptr<Arena<Const<S32>>>, shard_start_cnt: U32) -> Void; [SLEEPABLE] [INIT_CIDS] "v7.3";
    fn scx_bpf_cid_to_cpu(cid: S32) -> S32; [] [CID] "≤7.3";
    fn scx_bpf_cid_topo(cid: S32, out: Ptr<ScxCidTopo>, out__sz: SizeT) -> Void; [] [CID] "≤7.3";
    fn scx_bpf_cidperf_cap(cid: S32) -> U32; [] [ANY] "≤7.3";
    fn scx_bpf_cidperf_cur(cid: S32) -> U32; [] [ANY] "≤7.3";
    fn scx_bpf_cidperf_set(cid: S32, perf: U32) -> S32; [] [ANY] "≤7.3";
    fn scx_bpf_cpu_curr(cpu: S32) -> Ptr<TaskStruct>; [RCU_PROTECTED, RET_NULL] [ANY, CPU_FORM] "v6.18";
    fn scx_bpf_cpu_node(cpu: S32) -> S32; [] [CPU_FORM, IDLE] "v6.15";
    fn scx_bpf_cpu_to_cid(cpu: S32) -> S32; [] [CID] "≤7.3";
    fn scx_bpf_cpuperf_cap(cpu: S32) -> U32; [] [ANY, CPU_FORM] "6.12";
    fn scx_bpf_cpuperf_cur(cpu: S32) -> U32; [] [ANY, CPU_FORM] "6.12";
    fn scx_bpf_cpuperf_set(cpu: S32, perf: U32) -> Void; [] [ANY, CPU_FORM] "6.12";
    fn scx_bpf_create_dsq(dsq_id: U64, node: S32) -> S32; [SLEEPABLE] [UNLOCKED] "6.12";
    fn scx_bpf_destroy_dsq(dsq_id: U64) -> Void; [] [ANY] "6.12";
    fn scx_bpf_dispatch_cancel() -> Void; [] [DISPATCH] "6.12";
    fn scx_bpf_dispatch_nr_slots() -> U32; [] [DISPATCH] "6.12";
    fn scx_bpf_dsq_insert(p: Ptr<TaskStruct>, dsq_id: U64, slice: U64, enq_flags: U64) -> Void; [RCU] [ENQUEUE_DISPATCH] "v6.13";
    fn scx_bpf_dsq_insert___v2(p: Ptr<TaskStruct>, dsq_id: U64, slice: U64, enq_flags: U64) -> Bool; [RCU] [ENQUEUE_DISPATCH] "v6.19";
    fn scx_bpf_dsq_insert_vtime(p: Ptr<TaskStruct>, dsq_id: U64, slice: U64, vtime: U64, enq_flags: U64) -> Void; [RCU] [ENQUEUE_DISPATCH] "v6.13";
    fn scx_bpf_dsq_move(it__iter: Ptr<BpfIterScxDsq>, p: Ptr<TaskStruct>, dsq_id: U64, enq_flags: U64) -> Bool; [RCU] [DISPATCH, UNLOCKED] "v6.13";
    fn scx_bpf_dsq_move_set_slice(it__iter: Ptr<BpfIterScxDsq>, slice: U64) -> Void; [RCU] [DISPATCH, UNLOCKED] "v6.13";
    fn scx_bpf_dsq_move_set_vtime(it__iter: Ptr<BpfIterScxDsq>, vtime: U64) -> Void; [RCU] [DISPATCH, UNLOCKED] "v6.13";
    fn scx_bpf_dsq_move_to_local(dsq_id: U64) -> Bool; [] [DISPATCH] "v6.13";
    fn scx_bpf_dsq_move_to_local___v2(dsq_id: U64, enq_flags: U64) -> Bool; [] [DISPATCH] "v7.1";
    fn scx_bpf_dsq_move_vtime(it__iter: Ptr<BpfIterScxDsq>, p: Ptr<TaskStruct>, dsq_id: U64, enq_flags: U64) -> Bool; [RCU] [DISPATCH, UNLOCKED] "v6.13";
    fn scx_bpf_dsq_nr_queued(dsq_id: U64) -> S32; [] [ANY] "6.12";
    fn scx_bpf_dsq_peek(dsq_id: U64) -> Ptr<TaskStruct>; [RCU_PROTECTED, RET_NULL] [ANY] "v6.19";
    fn scx_bpf_dsq_reenq(dsq_id: U64, reenq_flags: U64) -> Void; [] [ANY] "v7.1";
    fn scx_bpf_dump_bstr(fmt: Ptr<Char>, data: Ptr<ULongLong>, data__sz: U32) -> Void; [] [ANY] "6.12";
    fn scx_bpf_error_bstr(fmt: Ptr<Char>, data: Ptr<ULongLong>, data__sz: U32) -> Void; [] [ANY] "6.12";
    fn scx_bpf_events(events: Ptr<ScxEventStats>, events__sz: SizeT) -> Void; [] [ANY] "v6.15";
    fn scx_bpf_exit_bstr(exit_code: S64, fmt: Ptr<Char>, data: Ptr<ULongLong>, data__sz: U32) -> Void; [] [ANY] "6.12";
    fn scx_bpf_get_idle_cpumask() -> Ptr<Const<Cpumask>>; [ACQUIRE] [CPU_FORM, IDLE] "6.12";
    fn scx_bpf_get_idle_cpumask_node(node: S32) -> Ptr<Const<Cpumask>>; [ACQUIRE] [CPU_FORM, IDLE] "v6.15";
    fn scx_bpf_get_idle_smtmask() -> Ptr<Const<Cpumask>>; [ACQUIRE] [CPU_FORM, IDLE] "6.12";
    fn scx_bpf_get_idle_smtmask_node(node: S32) -> Ptr<Const<Cpumask>>; [ACQUIRE] [CPU_FORM, IDLE] "v6.15";
    fn scx_bpf_get_online_cpumask() -> Ptr<Const<Cpumask>>; [ACQUIRE] [ANY, CPU_FORM] "6.12";
    fn scx_bpf_get_possible_cpumask() -> Ptr<Const<Cpumask>>; [ACQUIRE] [ANY, CPU_FORM] "6.12";
    fn scx_bpf_kick_cid(cid: S32, flags: U64) -> Void; [] [ANY] "≤7.3";
    fn scx_bpf_kick_cpu(cpu: S32, flags: U64) -> Void; [] [ANY, CPU_FORM] "6.12";
    fn scx_bpf_locked_rq() -> Ptr<Rq>; [RET_NULL] [ANY] "≤6.18";
    fn scx_bpf_now() -> U64; [] [ANY] "≤6.18";
    fn scx_bpf_nr_cids() -> U32; [] [ANY] "≤7.3";
    fn scx_bpf_nr_cpu_ids() -> U32; [] [ANY] "6.12";
    fn scx_bpf_nr_node_ids() -> U32; [] [ANY] "v6.15";
    fn scx_bpf_nr_online_cids() -> U32; [] [ANY] "≤7.3";
    fn scx_bpf_online_cmask() -> Ptr<Arena<Const<Void>>>; [ARENA_RET] [ANY] "≤7.3";
    fn scx_bpf_pick_any_cpu(cpus_allowed: Ptr<Const<Cpumask>>, flags: U64) -> S32; [RCU] [CPU_FORM, IDLE] "6.12";
    fn scx_bpf_pick_any_cpu_node(cpus_allowed: Ptr<Const<Cpumask>>, node: S32, flags: U64) -> S32; [RCU] [CPU_FORM, IDLE] "v6.15";
    fn scx_bpf_pick_idle_cpu(cpus_allowed: Ptr<Const<Cpumask>>, flags: U64) -> S32; [RCU] [CPU_FORM, IDLE] "6.12";
    fn scx_bpf_pick_idle_cpu_node(cpus_allowed: Ptr<Const<Cpumask>>, node: S32, flags: U64) -> S32; [RCU] [CPU_FORM, IDLE] "v6.15";
    fn scx_bpf_put_cpumask(cpumask: Ptr<Const<Cpumask>>) -> Void; [RELEASE] [ANY, CPU_FORM] "6.12";
    fn scx_bpf_put_idle_cpumask(idle_mask: Ptr<Const<Cpumask>>) -> Void; [RELEASE] [CPU_FORM, IDLE] "6.12";
    fn scx_bpf_reenqueue_local() -> U32; [] [CPU_RELEASE] "6.12";
    fn scx_bpf_reenqueue_local___v2() -> Void; [] [ANY] "v6.19";
    fn scx_bpf_select_cpu_and(p: Ptr<TaskStruct>, prev_cpu: S32, wake_flags: U64, cpus_allowed: Ptr<Const<Cpumask>>, flags: U64) -> S32; [RCU] [UNLOCKED, CPU_FORM, SELECT_CPU] "≤6.18";
    fn scx_bpf_select_cpu_dfl(p: Ptr<TaskStruct>, prev_cpu: S32, wake_flags: U64, is_idle: Ptr<Bool>) -> S32; [RCU] [UNLOCKED, CPU_FORM, SELECT_CPU] "6.12";
    fn scx_bpf_sub_caps(cgroup_id: U64, caps: U64, out__arena: Ptr<Arena<ScxCmask>>) -> S32; [] [ANY] "≤7.3";
    fn scx_bpf_sub_dispatch(cgroup_id: U64) -> Bool; [] [DISPATCH] "v7.1";
    fn scx_bpf_sub_grant(cgroup_id: U64, caps: U64, cmask__arena: Ptr<Arena<Const<ScxCmask>>>, denied_out__arena__nullable: Ptr<Arena<ScxCmask>>) -> S32; [] [ANY] "≤7.3";
    fn scx_bpf_sub_kill_bstr(cgroup_id: U64, fmt: Ptr<Char>, data: Ptr<ULongLong>, data__sz: U32) -> S32; [] [ANY] "≤7.3";
    fn scx_bpf_sub_revoke(cgroup_id: U64, caps: U64, cmask__arena: Ptr<Arena<Const<ScxCmask>>>) -> Void; [] [ANY] "≤7.3";
    fn scx_bpf_task_cgroup(p: Ptr<TaskStruct>) -> Ptr<Cgroup>; [ACQUIRE, RCU] [ANY] "6.12";
    fn scx_bpf_task_cid(p: Ptr<Const<TaskStruct>>) -> S32; [RCU] [ANY] "≤7.3";
    fn scx_bpf_task_cpu(p: Ptr<Const<TaskStruct>>) -> S32; [RCU] [ANY, CPU_FORM] "6.12";
    fn scx_bpf_task_running(p: Ptr<Const<TaskStruct>>) -> Bool; [RCU] [ANY] "6.12";
    fn scx_bpf_task_set_dsq_vtime(p: Ptr<TaskStruct>, vtime: U64) -> Bool; [RCU] [ANY] "v6.19";
    fn scx_bpf_task_set_slice(p: Ptr<TaskStruct>, slice: U64) -> Bool; [RCU] [ANY] "v6.19";
    fn scx_bpf_test_and_clear_cpu_idle(cpu: S32) -> Bool; [] [CPU_FORM, IDLE] "6.12";
    fn scx_bpf_this_cid() -> S32; [] [ANY] "≤7.3";
    fn scx_bpf_tid_to_task(tid: U64) -> Ptr<TaskStruct>; [RCU_PROTECTED, RET_NULL] [ANY] "≤7.3";
    // Tasks and cgroups.
    fn bpf_cgroup_acquire(cgrp: Ptr<Cgroup>) -> Ptr<Cgroup>; [ACQUIRE, RCU, RET_NULL] [CORE] "≤6.18";
    fn bpf_cgroup_ancestor(cgrp: Ptr<Cgroup>, level: Int) -> Ptr<Cgroup>; [ACQUIRE, RCU, RET_NULL] [CORE] "≤6.18";
    fn bpf_cgroup_from_id(cgid: U64) -> Ptr<Cgroup>; [ACQUIRE, RET_NULL] [CORE] "≤6.18";
    fn bpf_cgroup_release(cgrp: Ptr<Cgroup>) -> Void; [RELEASE] [CORE] "≤6.18";
    fn bpf_iter_css_destroy(it: Ptr<BpfIterCss>) -> Void; [ITER_DESTROY] [CORE] "≤6.18";
    fn bpf_iter_css_new(it: Ptr<BpfIterCss>, start: Ptr<CgroupSubsysState>, flags: UInt) -> Int; [ITER_NEW, RCU_PROTECTED] [CORE] "≤6.18";
    fn bpf_iter_css_next(it: Ptr<BpfIterCss>) -> Ptr<CgroupSubsysState>; [ITER_NEXT, RET_NULL] [CORE] "≤6.18";
    fn bpf_iter_css_task_destroy(it: Ptr<BpfIterCssTask>) -> Void; [ITER_DESTROY] [CORE] "≤6.18";
    fn bpf_iter_css_task_new(it: Ptr<BpfIterCssTask>, css: Ptr<CgroupSubsysState>, flags: UInt) -> Int; [ITER_NEW] [CORE] "≤6.18";
    fn bpf_iter_css_task_next(it: Ptr<BpfIterCssTask>) -> Ptr<TaskStruct>; [ITER_NEXT, RET_NULL] [CORE] "≤6.18";
    fn bpf_iter_task_destroy(it: Ptr<BpfIterTask>) -> Void; [ITER_DESTROY] [CORE] "≤6.18";
    fn bpf_iter_task_new(it: Ptr<BpfIterTask>, task__nullable: Ptr<TaskStruct>, flags: UInt) -> Int; [ITER_NEW, RCU_PROTECTED] [CORE] "≤6.18";
    fn bpf_iter_task_next(it: Ptr<BpfIterTask>) -> Ptr<TaskStruct>; [ITER_NEXT, RET_NULL] [CORE] "≤6.18";
    fn bpf_task_acquire(p: Ptr<TaskStruct>) -> Ptr<TaskStruct>; [ACQUIRE, RCU, RET_NULL] [CORE] "≤6.18";
    fn bpf_task_from_pid(pid: S32) -> Ptr<TaskStruct>; [ACQUIRE, RET_NULL] [CORE] "≤6.18";
    fn bpf_task_from_vpid(vpid: S32) -> Ptr<TaskStruct>; [ACQUIRE, RET_NULL] [CORE] "≤6.18";
    fn bpf_task_get_cgroup1(task: Ptr<TaskStruct>, hierarchy_id: Int) -> Ptr<Cgroup>; [ACQUIRE, RCU, RET_NULL] [CORE] "≤6.18";
    fn bpf_task_release(p: Ptr<TaskStruct>) -> Void; [RELEASE] [CORE] "≤6.18";
    fn bpf_task_under_cgroup(task: Ptr<TaskStruct>, ancestor: Ptr<Cgroup>) -> Long; [RCU] [CORE] "≤6.18";
    // CPU masks.
    fn bpf_cpumask_acquire(cpumask: Ptr<BpfCpumask>) -> Ptr<BpfCpumask>; [ACQUIRE] [CORE] "≤6.18";
    fn bpf_cpumask_and(dst: Ptr<BpfCpumask>, src1: Ptr<Const<Cpumask>>, src2: Ptr<Const<Cpumask>>) -> Bool; [RCU] [CORE] "≤6.18";
    fn bpf_cpumask_any_and_distribute(src1: Ptr<Const<Cpumask>>, src2: Ptr<Const<Cpumask>>) -> U32; [RCU] [CORE] "≤6.18";
    fn bpf_cpumask_any_distribute(cpumask: Ptr<Const<Cpumask>>) -> U32; [RCU] [CORE] "≤6.18";
    fn bpf_cpumask_clear(cpumask: Ptr<BpfCpumask>) -> Void; [RCU] [CORE] "≤6.18";
    fn bpf_cpumask_clear_cpu(cpu: U32, cpumask: Ptr<BpfCpumask>) -> Void; [RCU] [CORE] "≤6.18";
    fn bpf_cpumask_copy(dst: Ptr<BpfCpumask>, src: Ptr<Const<Cpumask>>) -> Void; [RCU] [CORE] "≤6.18";
    fn bpf_cpumask_create() -> Ptr<BpfCpumask>; [ACQUIRE, RET_NULL] [CORE] "≤6.18";
    fn bpf_cpumask_empty(cpumask: Ptr<Const<Cpumask>>) -> Bool; [RCU] [CORE] "≤6.18";
    fn bpf_cpumask_equal(src1: Ptr<Const<Cpumask>>, src2: Ptr<Const<Cpumask>>) -> Bool; [RCU] [CORE] "≤6.18";
    fn bpf_cpumask_first(cpumask: Ptr<Const<Cpumask>>) -> U32; [RCU] [CORE] "≤6.18";
    fn bpf_cpumask_first_and(src1: Ptr<Const<Cpumask>>, src2: Ptr<Const<Cpumask>>) -> U32; [RCU] [CORE] "≤6.18";
    fn bpf_cpumask_first_zero(cpumask: Ptr<Const<Cpumask>>) -> U32; [RCU] [CORE] "≤6.18";
    fn bpf_cpumask_full(cpumask: Ptr<Const<Cpumask>>) -> Bool; [RCU] [CORE] "≤6.18";
    fn bpf_cpumask_intersects(src1: Ptr<Const<Cpumask>>, src2: Ptr<Const<Cpumask>>) -> Bool; [RCU] [CORE] "≤6.18";
    fn bpf_cpumask_or(dst: Ptr<BpfCpumask>, src1: Ptr<Const<Cpumask>>, src2: Ptr<Const<Cpumask>>) -> Void; [RCU] [CORE] "≤6.18";
    fn bpf_cpumask_populate(cpumask: Ptr<BpfCpumask>, src: Ptr<Void>, src__sz: SizeT) -> Int; [RCU] [CORE] "≤6.18";
    fn bpf_cpumask_release(cpumask: Ptr<BpfCpumask>) -> Void; [RELEASE] [CORE] "≤6.18";
    fn bpf_cpumask_set_cpu(cpu: U32, cpumask: Ptr<BpfCpumask>) -> Void; [RCU] [CORE] "≤6.18";
    fn bpf_cpumask_setall(cpumask: Ptr<BpfCpumask>) -> Void; [RCU] [CORE] "≤6.18";
    fn bpf_cpumask_subset(src1: Ptr<Const<Cpumask>>, src2: Ptr<Const<Cpumask>>) -> Bool; [RCU] [CORE] "≤6.18";
    fn bpf_cpumask_test_and_clear_cpu(cpu: U32, cpumask: Ptr<BpfCpumask>) -> Bool; [RCU] [CORE] "≤6.18";
    fn bpf_cpumask_test_and_set_cpu(cpu: U32, cpumask: Ptr<BpfCpumask>) -> Bool; [RCU] [CORE] "≤6.18";
    fn bpf_cpumask_test_cpu(cpu: U32, cpumask: Ptr<Const<Cpumask>>) -> Bool; [RCU] [CORE] "≤6.18";
    fn bpf_cpumask_weight(cpumask: Ptr<Const<Cpumask>>) -> U32; [RCU] [CORE] "≤6.18";
    fn bpf_cpumask_xor(dst: Ptr<BpfCpumask>, src1: Ptr<Const<Cpumask>>, src2: Ptr<Const<Cpumask>>) -> Void; [RCU] [CORE] "≤6.18";
    // Critical sections.
    fn bpf_local_irq_restore(flags__irq_flag: Ptr<ULong>) -> Void; [] [CORE] "≤6.18";
    fn bpf_local_irq_save(flags__irq_flag: Ptr<ULong>) -> Void; [] [CORE] "≤6.18";
    fn bpf_preempt_disable() -> Void; [] [CORE] "≤6.18";
    fn bpf_preempt_enable() -> Void; [] [CORE] "≤6.18";
    fn bpf_rcu_read_lock() -> Void; [] [CORE] "≤6.18";
    fn bpf_rcu_read_unlock() -> Void; [] [CORE] "≤6.18";
    fn bpf_res_spin_lock(lock: Ptr<BpfResSpinLock>) -> Int; [RET_NULL, SPINLOCK_SAFE] [CORE] "≤6.18";
    fn bpf_res_spin_lock_irqsave(lock: Ptr<BpfResSpinLock>, flags__irq_flag: Ptr<ULong>) -> Int; [RET_NULL, SPINLOCK_SAFE] [CORE] "≤6.18";
    fn bpf_res_spin_unlock(lock: Ptr<BpfResSpinLock>) -> Void; [SPINLOCK_SAFE] [CORE] "≤6.18";
    fn bpf_res_spin_unlock_irqrestore(lock: Ptr<BpfResSpinLock>, flags__irq_flag: Ptr<ULong>) -> Void; [SPINLOCK_SAFE] [CORE] "≤6.18";
    // Owned objects, lists, trees.
    fn bpf_list_add(head: Ptr<BpfListHead>, new: Ptr<BpfListNode>, prev__nonown_allowed: Ptr<BpfListNode>) -> Int; [SPINLOCK_SAFE] [CORE] "≤7.3";
    fn bpf_list_back(head: Ptr<BpfListHead>) -> Ptr<BpfListNode>; [RET_NULL, SPINLOCK_SAFE] [CORE] "≤6.18";
    fn bpf_list_del(head: Ptr<BpfListHead>, node__nonown_allowed: Ptr<BpfListNode>) -> Ptr<BpfListNode>; [ACQUIRE, RET_NULL, SPINLOCK_SAFE] [CORE] "≤7.3";
    fn bpf_list_empty(head: Ptr<BpfListHead>) -> Bool; [SPINLOCK_SAFE] [CORE] "≤7.3";
    fn bpf_list_front(head: Ptr<BpfListHead>) -> Ptr<BpfListNode>; [RET_NULL, SPINLOCK_SAFE] [CORE] "≤6.18";
    fn bpf_list_is_first(head: Ptr<BpfListHead>, node__nonown_allowed: Ptr<BpfListNode>) -> Bool; [SPINLOCK_SAFE] [CORE] "≤7.3";
    fn bpf_list_is_last(head: Ptr<BpfListHead>, node__nonown_allowed: Ptr<BpfListNode>) -> Bool; [SPINLOCK_SAFE] [CORE] "≤7.3";
    fn bpf_list_pop_back(head: Ptr<BpfListHead>) -> Ptr<BpfListNode>; [ACQUIRE, RET_NULL, SPINLOCK_SAFE] [CORE] "≤6.18";
    fn bpf_list_pop_front(head: Ptr<BpfListHead>) -> Ptr<BpfListNode>; [ACQUIRE, RET_NULL, SPINLOCK_SAFE] [CORE] "≤6.18";
    fn bpf_list_push_back(head: Ptr<BpfListHead>, node: Ptr<BpfListNode>) -> Int; [SPINLOCK_SAFE] [CORE] "≤7.3";
    fn bpf_list_push_back_impl(head: Ptr<BpfListHead>, node: Ptr<BpfListNode>, meta__ign: Ptr<Void>, off: U64) -> Int; [SPINLOCK_SAFE] [CORE] "≤6.18";
    fn bpf_list_push_front(head: Ptr<BpfListHead>, node: Ptr<BpfListNode>) -> Int; [SPINLOCK_SAFE] [CORE] "≤7.3";
    fn bpf_list_push_front_impl(head: Ptr<BpfListHead>, node: Ptr<BpfListNode>, meta__ign: Ptr<Void>, off: U64) -> Int; [SPINLOCK_SAFE] [CORE] "≤6.18";
    fn bpf_obj_drop(p__alloc: Ptr<Void>) -> Void; [RELEASE] [CORE] "≤7.3";
    fn bpf_obj_drop_impl(p__alloc: Ptr<Void>, meta__ign: Ptr<Void>) -> Void; [RELEASE] [CORE] "≤6.18";
    fn bpf_obj_new(local_type_id__k: U64) -> Ptr<Void>; [ACQUIRE, RET_NULL] [CORE] "≤7.3";
    fn bpf_obj_new_impl(local_type_id__k: U64, meta__ign: Ptr<Void>) -> Ptr<Void>; [ACQUIRE, RET_NULL] [CORE] "≤6.18";
    fn bpf_percpu_obj_drop(p__alloc: Ptr<Void>) -> Void; [RELEASE] [CORE] "≤7.3";
    fn bpf_percpu_obj_drop_impl(p__alloc: Ptr<Void>, meta__ign: Ptr<Void>) -> Void; [RELEASE] [CORE] "≤6.18";
    fn bpf_percpu_obj_new(local_type_id__k: U64) -> Ptr<Void>; [ACQUIRE, RET_NULL] [CORE] "≤7.3";
    fn bpf_percpu_obj_new_impl(local_type_id__k: U64, meta__ign: Ptr<Void>) -> Ptr<Void>; [ACQUIRE, RET_NULL] [CORE] "≤6.18";
    fn bpf_rbtree_add(root: Ptr<BpfRbRoot>, node: Ptr<BpfRbNode>, less: Ptr<fn(Ptr<BpfRbNode>, Ptr<Const<BpfRbNode>>) -> Bool>) -> Int; [SPINLOCK_SAFE] [CORE] "≤7.3";
    fn bpf_rbtree_add_impl(root: Ptr<BpfRbRoot>, node: Ptr<BpfRbNode>, less: Ptr<fn(Ptr<BpfRbNode>, Ptr<Const<BpfRbNode>>) -> Bool>, meta__ign: Ptr<Void>, off: U64) -> Int; [SPINLOCK_SAFE] [CORE] "≤6.18";
    fn bpf_rbtree_first(root: Ptr<BpfRbRoot>) -> Ptr<BpfRbNode>; [RET_NULL, SPINLOCK_SAFE] [CORE] "≤6.18";
    fn bpf_rbtree_left(root: Ptr<BpfRbRoot>, node: Ptr<BpfRbNode>) -> Ptr<BpfRbNode>; [RET_NULL, SPINLOCK_SAFE] [CORE] "≤6.18";
    fn bpf_rbtree_remove(root: Ptr<BpfRbRoot>, node: Ptr<BpfRbNode>) -> Ptr<BpfRbNode>; [ACQUIRE, RET_NULL, SPINLOCK_SAFE] [CORE] "≤6.18";
    fn bpf_rbtree_right(root: Ptr<BpfRbRoot>, node: Ptr<BpfRbNode>) -> Ptr<BpfRbNode>; [RET_NULL, SPINLOCK_SAFE] [CORE] "≤6.18";
    fn bpf_rbtree_root(root: Ptr<BpfRbRoot>) -> Ptr<BpfRbNode>; [RET_NULL, SPINLOCK_SAFE] [CORE] "≤6.18";
    fn bpf_refcount_acquire(p__refcounted_kptr: Ptr<Void>) -> Ptr<Void>; [ACQUIRE, RCU, RET_NULL, SPINLOCK_SAFE] [CORE] "≤7.3";
    fn bpf_refcount_acquire_impl(p__refcounted_kptr: Ptr<Void>, meta__ign: Ptr<Void>) -> Ptr<Void>; [ACQUIRE, RCU, RET_NULL, SPINLOCK_SAFE] [CORE] "≤6.18";
    // Loops over numbers and bits.
    fn bpf_iter_bits_destroy(it: Ptr<BpfIterBits>) -> Void; [ITER_DESTROY] [CORE] "≤6.18";
    fn bpf_iter_bits_new(it: Ptr<BpfIterBits>, unsafe_ptr__ign: Ptr<Const<U64>>, nr_words: U32) -> Int; [ITER_NEW, PERFMON] [CORE] "≤6.18";
    fn bpf_iter_bits_next(it: Ptr<BpfIterBits>) -> Ptr<Int>; [ITER_NEXT, RET_NULL] [CORE] "≤6.18";
    fn bpf_iter_num_destroy(it: Ptr<BpfIterNum>) -> Void; [ITER_DESTROY, SPINLOCK_SAFE] [CORE] "≤6.18";
    fn bpf_iter_num_new(it: Ptr<BpfIterNum>, start: Int, end: Int) -> Int; [ITER_NEW, SPINLOCK_SAFE] [CORE] "≤6.18";
    fn bpf_iter_num_next(it: Ptr<BpfIterNum>) -> Ptr<Int>; [ITER_NEXT, RET_NULL, SPINLOCK_SAFE] [CORE] "≤6.18";
    // Arena.
    fn bpf_arena_alloc_pages(p__map: Ptr<Void>, addr__ign: Ptr<Arena<Void>>, page_cnt: U32, node_id: Int, flags: U64) -> Ptr<Arena<Void>>; [ARENA_ARG2, ARENA_RET, SPINLOCK_SAFE] [CORE] "≤6.18";
    fn bpf_arena_free_pages(p__map: Ptr<Void>, ptr__ign: Ptr<Arena<Void>>, page_cnt: U32) -> Void; [ARENA_ARG2, SPINLOCK_SAFE] [CORE] "≤6.18";
    fn bpf_arena_reserve_pages(p__map: Ptr<Void>, ptr__ign: Ptr<Arena<Void>>, page_cnt: U32) -> Int; [ARENA_ARG2, SPINLOCK_SAFE] [CORE] "≤6.18";
    // The rest of the BPF core.
    fn bpf_cast_to_kern_ctx(obj: Ptr<Void>) -> Ptr<Void>; [FASTCALL] [CORE] "≤6.18";
    fn bpf_dynptr_adjust(p: Ptr<BpfDynptr>, start: U64, end: U64) -> Int; [] [CORE] "≤6.18";
    fn bpf_dynptr_clone(p: Ptr<Const<BpfDynptr>>, clone__uninit: Ptr<BpfDynptr>) -> Int; [] [CORE] "≤6.18";
    fn bpf_dynptr_copy(dst_ptr: Ptr<Const<BpfDynptr>>, dst_off: U64, src_ptr: Ptr<Const<BpfDynptr>>, src_off: U64, size: U64) -> Int; [] [CORE] "≤6.18";
    fn bpf_dynptr_is_null(p: Ptr<Const<BpfDynptr>>) -> Bool; [] [CORE] "≤6.18";
    fn bpf_dynptr_is_rdonly(p: Ptr<Const<BpfDynptr>>) -> Bool; [] [CORE] "≤6.18";
    fn bpf_dynptr_memset(p: Ptr<Const<BpfDynptr>>, offset: U64, size: U64, val: U8) -> Int; [] [CORE] "≤6.18";
    fn bpf_dynptr_size(p: Ptr<Const<BpfDynptr>>) -> U64; [] [CORE] "≤6.18";
    fn bpf_dynptr_slice(p: Ptr<Const<BpfDynptr>>, offset: U64, buffer__nullable: Ptr<Void>, buffer__szk: U64) -> Ptr<Void>; [RET_NULL] [CORE] "≤6.18";
    fn bpf_dynptr_slice_rdwr(p: Ptr<Const<BpfDynptr>>, offset: U64, buffer__nullable: Ptr<Void>, buffer__szk: U64) -> Ptr<Void>; [RET_NULL] [CORE] "≤6.18";
    fn bpf_map_sum_elem_count(map: Ptr<Const<BpfMap>>) -> S64; [] [CORE] "≤6.18";
    fn bpf_probe_read_kernel_dynptr(dptr: Ptr<Const<BpfDynptr>>, off: U64, size: U64, unsafe_ptr__ign: Ptr<Const<Void>>) -> Int; [PERFMON] [CORE] "≤6.18";
    fn bpf_probe_read_kernel_str_dynptr(dptr: Ptr<Const<BpfDynptr>>, off: U64, size: U64, unsafe_ptr__ign: Ptr<Const<Void>>) -> Int; [PERFMON] [CORE] "≤6.18";
    fn bpf_rdonly_cast(obj__ign: Ptr<Const<Void>>, btf_id__k: U32) -> Ptr<Void>; [FASTCALL, PERFMON] [CORE] "≤6.18";
    fn bpf_strcasecmp(s1__ign: Ptr<Const<Char>>, s2__ign: Ptr<Const<Char>>) -> Int; [PERFMON] [CORE] "≤6.18";
    fn bpf_strcasestr(s1__ign: Ptr<Const<Char>>, s2__ign: Ptr<Const<Char>>) -> Int; [PERFMON] [CORE] "≤7.3";
    fn bpf_strchr(s__ign: Ptr<Const<Char>>, c: Char) -> Int; [PERFMON] [CORE] "≤6.18";
    fn bpf_strchrnul(s__ign: Ptr<Const<Char>>, c: Char) -> Int; [PERFMON] [CORE] "≤6.18";
    fn bpf_strcmp(s1__ign: Ptr<Const<Char>>, s2__ign: Ptr<Const<Char>>) -> Int; [PERFMON] [CORE] "≤6.18";
    fn bpf_strcspn(s__ign: Ptr<Const<Char>>, reject__ign: Ptr<Const<Char>>) -> Int; [PERFMON] [CORE] "≤6.18";
    fn bpf_stream_vprintk(stream_id: Int, fmt__str: Ptr<Const<Char>>, args: Ptr<Const<Void>>, len__sz: U32) -> Int; [PERFMON, SPINLOCK_SAFE] [CORE] "≤7.3";
    fn bpf_strlen(s__ign: Ptr<Const<Char>>) -> Int; [PERFMON] [CORE] "≤6.18";
    fn bpf_strncasecmp(s1__ign: Ptr<Const<Char>>, s2__ign: Ptr<Const<Char>>, len: SizeT) -> Int; [PERFMON] [CORE] "≤7.3";
    fn bpf_strncasestr(s1__ign: Ptr<Const<Char>>, s2__ign: Ptr<Const<Char>>, len: SizeT) -> Int; [PERFMON] [CORE] "≤7.3";
    fn bpf_strnchr(s__ign: Ptr<Const<Char>>, count: SizeT, c: Char) -> Int; [PERFMON] [CORE] "≤6.18";
    fn bpf_strnlen(s__ign: Ptr<Const<Char>>, count: SizeT) -> Int; [PERFMON] [CORE] "≤6.18";
    fn bpf_strnstr(s1__ign: Ptr<Const<Char>>, s2__ign: Ptr<Const<Char>>, len: SizeT) -> Int; [PERFMON] [CORE] "≤6.18";
    fn bpf_strrchr(s__ign: Ptr<Const<Char>>, c: Int) -> Int; [PERFMON] [CORE] "≤6.18";
    fn bpf_strspn(s__ign: Ptr<Const<Char>>, accept__ign: Ptr<Const<Char>>) -> Int; [PERFMON] [CORE] "≤6.18";
    fn bpf_strstr(s1__ign: Ptr<Const<Char>>, s2__ign: Ptr<Const<Char>>) -> Int; [PERFMON] [CORE] "≤6.18";
    fn bpf_throw(cookie: U64) -> Void; [] [CORE] "≤6.18";
    fn bpf_timer_cancel_async(timer: Ptr<BpfTimer>) -> Int; [] [CORE] "≤7.3";
    fn bpf_wq_init(wq: Ptr<BpfWq>, p__const_map: Ptr<Void>, flags: UInt) -> Int; [] [CORE] "≤6.18";
    fn bpf_wq_set_callback(wq: Ptr<BpfWq>, callback_fn: Ptr<fn(Ptr<Void>, Ptr<Int>, Ptr<Void>) -> Int>, flags: UInt) -> Int; [] [CORE] "≤7.3";
    fn bpf_wq_start(wq: Ptr<BpfWq>, flags: UInt) -> Int; [] [CORE] "≤6.18";
    // Names that 7.3 no longer has, see OLD_NAMES.
    fn scx_bpf_switch_all() -> Void; [] [UNLOCKED] "before 6.12";
    fn scx_bpf_dispatch(p: Ptr<TaskStruct>, dsq_id: U64, slice: U64, enq_flags: U64) -> Void; [RCU] [ENQUEUE_DISPATCH] "6.12";
    fn scx_bpf_dispatch_vtime(p: Ptr<TaskStruct>, dsq_id: U64, slice: U64, vtime: U64, enq_flags: U64) -> Void; [RCU] [ENQUEUE_DISPATCH] "6.12";
    fn scx_bpf_consume(dsq_id: U64) -> Bool; [] [DISPATCH] "6.12";
    fn scx_bpf_dispatch_from_dsq(it__iter: Ptr<BpfIterScxDsq>, p: Ptr<TaskStruct>, dsq_id: U64, enq_flags: U64) -> Bool; [RCU] [DISPATCH, UNLOCKED] "6.12";
    fn scx_bpf_dispatch_vtime_from_dsq(it__iter: Ptr<BpfIterScxDsq>, p: Ptr<TaskStruct>, dsq_id: U64, enq_flags: U64) -> Bool; [RCU] [DISPATCH, UNLOCKED] "6.12";
    fn scx_bpf_dispatch_from_dsq_set_slice(it__iter: Ptr<BpfIterScxDsq>, slice: U64) -> Void; [RCU] [DISPATCH, UNLOCKED] "6.12";
    fn scx_bpf_dispatch_from_dsq_set_vtime(it__iter: Ptr<BpfIterScxDsq>, vtime: U64) -> Void; [RCU] [DISPATCH, UNLOCKED] "6.12";
    fn scx_bpf_cpu_rq(cpu: S32) -> Ptr<Rq>; [] [ANY, CPU_FORM] "6.12";
    fn bpf_stream_vprintk_impl(stream_id: Int, fmt__str: Ptr<Const<Char>>, args: Ptr<Const<Void>>, len__sz: U32, aux__prog: Ptr<Void>) -> Int; [] [CORE] "≤6.18";
    fn bpf_wq_set_callback_impl(wq: Ptr<BpfWq>, callback_fn: Ptr<fn(Ptr<Void>, Ptr<Int>, Ptr<Void>) -> Int>, flags: UInt, aux__prog: Ptr<Void>) -> Int; [] [CORE] "≤6.18";
}

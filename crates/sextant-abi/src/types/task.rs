//! `struct task_struct` and what hangs off it. Mirrors include/linux/sched.h, 7.3.
//!
//! A scheduler may store only to `scx.slice`, `scx.dsq_vtime` and `scx.disallow`.

use super::cgroup::CssSet;
use super::cpumask::{Cpumask, CpumaskT};
use super::ctype::*;
use super::declare::{kernel_opaque, kernel_typedefs, kernel_types};
use super::rq::ScxDispatchQ;

kernel_types! {
    /// A task.
    pub struct TaskStruct = "task_struct" {
        thread_info: ThreadInfo,
        /// `TASK_*`
        __state: UInt,
        /// `PF_*`
        flags: UInt,
        on_cpu: U8,
        on_rq: U8,
        /// Kernel priority: 0..=99 RT, 100..=139 nice -20..=19.
        prio: Int,
        static_prio: Int,
        normal_prio: Int,
        rt_priority: UInt,
        se: SchedEntity,
        scx: SchedExtEntity,
        /// One object for each class; what is in it is not modelled.
        sched_class: Ptr<Const<SchedClass>>,
        /// All zero: schedstats are off by default.
        stats: SchedStatistics,
        /// `SCHED_*`
        policy: UInt,
        nr_cpus_allowed: Int,
        /// `cpus_mask`, or one CPU while migration is disabled.
        cpus_ptr: Ptr<Const<CpumaskT>>,
        cpus_mask: CpumaskT,
        migration_disabled: UShort,
        /// NULL for a kernel thread; what it points to is not modelled.
        mm: Ptr<MmStruct>,
        exit_state: Int,
        in_iowait: UInt : 1,
        pid: PidT,
        tgid: PidT,
        real_parent: Ptr<Rcu<TaskStruct>>,
        parent: Ptr<Rcu<TaskStruct>>,
        group_leader: Ptr<TaskStruct>,
        thread_pid: Ptr<Pid>,
        /// In the list of its process's threads, `signal->thread_head`.
        thread_node: ListHead,
        /// ns of user time, a tick at a time: no CPU here accounts it exactly (nohz_full).
        utime: U64,
        /// ns of system time, likewise: that of kernel threads, as all others only run in user mode.
        stime: U64,
        /// Voluntary switches.
        nvcsw: ULong,
        /// Involuntary switches.
        nivcsw: ULong,
        /// ns since boot
        start_time: U64,
        /// ns since boot
        start_boottime: U64,
        real_cred: Ptr<Rcu<Const<Cred>>>,
        cred: Ptr<Rcu<Const<Cred>>>,
        comm: Array<Char, 16>,
        signal: Ptr<SignalStruct>,
        cgroups: Ptr<Rcu<CssSet>>,
        /// NULL: the default policy.
        mempolicy: Ptr<Mempolicy>,
        /// NUMA_NO_NODE (-1): no NUMA balancing.
        numa_preferred_nid: Int,
        rcu_read_lock_nesting: Int,
    }

    /// What the entry code looks at. Tasks here get no signals and no other work: all zero. Whether a CPU must reschedule is kept in
    /// the class.
    pub struct ThreadInfo = "thread_info" {
        /// `TIF_*`
        flags: ULong,
        syscall_work: ULong,
    }

    /// `p->scx`: the members that the class keeps up to date. Its list links, states and counters are ordinary Rust and not here.
    pub struct SchedExtEntity = "sched_ext_entity" {
        /// The DSQ it is on, NULL for none.
        dsq: Ptr<ScxDispatchQ>,
        ddsp_dsq_id: U64,
        ddsp_enq_flags: U64,
        ddsp_slice: U64,
        ddsp_vtime: U64,
        /// `SCX_TASK_*`
        flags: U32,
        /// 1..=10000, 100 at nice 0.
        weight: U32,
        sticky_cpu: S32,
        holding_cpu: S32,
        selected_cpu: S32,
        runnable_cpu: S32,
        /// jiffies
        runnable_at: ULong,
        tid: U64,
        /// ns left; a scheduler may store here.
        slice: U64,
        /// A scheduler may store here.
        dsq_vtime: U64,
        /// A scheduler may store here (ops.init_task while it loads).
        disallow: Bool,
    }

    /// The fair class's part, of which ext uses the run time.
    pub struct SchedEntity = "sched_entity" {
        on_rq: UChar,
        /// ns, instant
        exec_start: U64,
        /// ns on a CPU so far, any class
        sum_exec_runtime: U64,
        prev_sum_exec_runtime: U64,
        vruntime: U64,
        nr_migrations: U64,
        avg: SchedAvg,
    }

    /// Load tracking. Ext tasks' is not updated by the kernel: constant.
    pub struct SchedAvg = "sched_avg" {
        load_avg: ULong,
        runnable_avg: ULong,
        util_avg: ULong,
    }

    /// Schedstats.
    pub struct SchedStatistics = "sched_statistics" {
        nr_wakeups: U64,
        nr_wakeups_sync: U64,
    }

    /// What the threads of a process share.
    pub struct SignalStruct = "signal_struct" {
        nr_threads: Int,
        /// Its threads, by `thread_node`, the leader first.
        thread_head: ListHead,
        /// By `enum pid_type`. A process leads a group and a session of its own.
        pids: Array<Ptr<Pid>, PIDTYPE_MAX>,
        /// 0: no process here dies by a signal.
        group_exit_code: Int,
    }

    /// A process id and its number in each namespace; only the initial one is modelled.
    pub struct Pid = "pid" {
        count: RefcountT,
        /// 0
        level: UInt,
        numbers: Array<Upid, 1>,
    }

    /// A number in a pid namespace.
    pub struct Upid = "upid" {
        nr: Int,
        ns: Ptr<PidNamespace>,
    }

    /// A pid namespace: the initial one.
    pub struct PidNamespace = "pid_namespace" {
        /// 0
        level: UInt,
        /// NULL
        parent: Ptr<PidNamespace>,
        ns: NsCommon,
    }

    /// What all kinds of namespaces have.
    pub struct NsCommon = "ns_common" {
        /// `PROC_PID_INIT_INO`, 0xeffffffc
        inum: UInt,
    }

    /// Credentials; every task is root.
    pub struct Cred = "cred" {
        uid: KuidT,
        gid: KgidT,
        suid: KuidT,
        sgid: KgidT,
        euid: KuidT,
        egid: KgidT,
        fsuid: KuidT,
        fsgid: KgidT,
    }

    /// A NUMA memory policy.
    pub struct Mempolicy = "mempolicy" {
        refcnt: AtomicT,
        mode: UShort,
        flags: UShort,
        nodes: NodemaskT,
        home_node: Int,
    }

    /// `atomic_t`
    pub struct AtomicStruct = "" {
        counter: Int,
    }

    /// `atomic64_t`
    pub struct Atomic64Struct = "" {
        counter: S64,
    }

    /// `refcount_t`
    pub struct RefcountStruct = "refcount_struct" {
        refs: AtomicT,
    }

    /// `kuid_t`
    pub struct KuidStruct = "" {
        val: UInt,
    }

    /// `kgid_t`
    pub struct KgidStruct = "" {
        val: UInt,
    }

    /// `nodemask_t`, CONFIG_NODES_SHIFT=10
    pub struct NodemaskStruct = "" {
        bits: Array<ULong, 16>,
    }

    /// A doubly linked list's link or head.
    pub struct ListHead = "list_head" {
        next: Ptr<ListHead>,
        prev: Ptr<ListHead>,
    }

    /// A red-black tree's link.
    pub struct RbNode = "rb_node" {
        __rb_parent_color: ULong,
        rb_right: Ptr<RbNode>,
        rb_left: Ptr<RbNode>,
    }

    /// A red-black tree.
    pub struct RbRoot = "rb_root" {
        rb_node: Ptr<RbNode>,
    }
}

kernel_typedefs! {
    /// `atomic_t`
    AtomicT = "atomic_t": AtomicStruct;
    /// `atomic64_t`
    Atomic64T = "atomic64_t": Atomic64Struct;
    /// `atomic_long_t`
    AtomicLongT = "atomic_long_t": Atomic64T;
    /// `refcount_t`
    RefcountT = "refcount_t": RefcountStruct;
    /// `kuid_t`
    KuidT = "kuid_t": KuidStruct;
    /// `kgid_t`
    KgidT = "kgid_t": KgidStruct;
    /// `nodemask_t`
    NodemaskT = "nodemask_t": NodemaskStruct;
}

kernel_opaque! {
    /// An address space; only whether there is one is modelled.
    MmStruct = "mm_struct";
    /// A scheduling class.
    SchedClass = "sched_class";
    /// A loaded scheduler.
    ScxSched = "scx_sched";
}

/// Entries of `signal_struct.pids`: `PIDTYPE_PID`, `PIDTYPE_TGID`, `PIDTYPE_PGID`, `PIDTYPE_SID`.
pub const PIDTYPE_MAX: usize = 4;
/// The number of the initial pid namespace (`PROC_PID_INIT_INO`).
pub const PROC_PID_INIT_INO: u32 = 0xeffffffc;

impl TaskStruct {
    /// The mask that counts now, `*cpus_ptr`.
    #[inline]
    pub fn cpus<M: crate::mem::Mem + ?Sized>(self, mem: &M) -> Cpumask {
        Cpumask::at(self.cpus_ptr().get(mem))
    }
}

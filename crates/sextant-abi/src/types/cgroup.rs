//! Cgroups as a program walks them: id, name, level, ancestors. Mirrors include/linux/cgroup-defs.h and kernfs.h, 7.3.

use super::cpumask::CpumaskVarT;
use super::ctype::*;
use super::declare::kernel_types;
use super::task::TaskStruct;

kernel_types! {
    /// A cgroup. Allocate [`Cgroup::size_at_level`] bytes: `ancestors` has `level + 1` entries.
    pub struct Cgroup = "cgroup" {
        self_: CgroupSubsysState,
        flags: ULong,
        /// 0 for the root.
        level: Int,
        max_depth: Int,
        kn: Ptr<KernfsNode>,
        /// By `enum cgroup_subsys_id`. Every cgroup has the cpu controller; cpuset is there in the root alone, as no cgroup here
        /// turns it on; the others are NULL.
        subsys: Array<Ptr<CgroupSubsysState>, CGROUP_SUBSYS_COUNT>,
        /// The nearest domain cgroup: itself, as threaded ones are not modelled.
        dom_cgrp: Ptr<Cgroup>,
        /// From the root (index 0) to itself (index `level`).
        ancestors: Array<Ptr<Cgroup>, 0>,
    }

    /// A cgroup's state in one controller.
    pub struct CgroupSubsysState = "cgroup_subsys_state" {
        cgroup: Ptr<Cgroup>,
        refcnt: PercpuRef,
        id: Int,
        flags: UInt,
        serial_nr: U64,
        parent: Ptr<CgroupSubsysState>,
    }

    /// A reference count that is per CPU until it is killed.
    pub struct PercpuRef = "percpu_ref" {
        /// An address, and in its low bits [`PERCPU_REF_ATOMIC`] and [`PERCPU_REF_DEAD`] once a cgroup is removed.
        percpu_count_ptr: ULong,
    }

    /// The cpuset controller's part.
    pub struct Cpuset = "cpuset" {
        css: CgroupSubsysState,
        /// All CPUs: the root's cannot be set.
        cpus_allowed: CpumaskVarT,
        /// Of those, the ones that are online.
        effective_cpus: CpumaskVarT,
    }

    /// The cgroups of a task.
    pub struct CssSet = "css_set" {
        /// In the cgroup v2 hierarchy.
        dfl_cgrp: Ptr<Cgroup>,
        nr_tasks: Int,
    }

    /// A node of cgroupfs.
    pub struct KernfsNode = "kernfs_node" {
        __parent: Ptr<Rcu<KernfsNode>>,
        /// Empty for the root.
        name: Ptr<Rcu<Const<Char>>>,
        /// The cgroup's id.
        id: U64,
    }

    /// The CPU controller's part.
    pub struct TaskGroup = "task_group" {
        css: CgroupSubsysState,
        scx: ScxTaskGroup,
    }

    /// What ext keeps of a cgroup.
    pub struct ScxTaskGroup = "scx_task_group" {
        /// 1..=10000
        weight: U32,
        bw_period_us: U64,
        bw_quota_us: U64,
        bw_burst_us: U64,
        idle: Bool,
    }
}

/// Entries of `cgroup.subsys`.
pub const CGROUP_SUBSYS_COUNT: usize = 14;
/// Index of the cpuset controller in `cgroup.subsys`.
pub const CPUSET_CGRP_ID: usize = 0;
/// Index of the cpu controller in `cgroup.subsys`.
pub const CPU_CGRP_ID: usize = 1;
/// `__PERCPU_REF_ATOMIC`
pub const PERCPU_REF_ATOMIC: u64 = 1;
/// `__PERCPU_REF_DEAD`
pub const PERCPU_REF_DEAD: u64 = 2;

impl Cgroup {
    /// Bytes of a cgroup at `level`.
    pub const fn size_at_level(level: u32) -> u32 {
        Self::SIZE + (level + 1) * 8
    }
}

/// A task pointer as ops and kfuncs pass it.
pub type TaskPtr = Ptr<TaskStruct>;
/// A cgroup pointer as ops and kfuncs pass it.
pub type CgroupPtr = Ptr<Cgroup>;

//! Types of the BPF core that objects keep in maps and on stacks; opaque, only their size matters.
//! Mirrors include/uapi/linux/bpf.h and kernel/bpf/helpers.c, 7.3.

use super::ctype::*;
use super::declare::{kernel_opaque, kernel_typedefs, kernel_types};

kernel_types! {
    /// A timer in a map value.
    pub struct BpfTimer = "bpf_timer" {
        __opaque: Array<UserU64, 2>,
    }

    /// A work item in a map value.
    pub struct BpfWq = "bpf_wq" {
        __opaque: Array<UserU64, 2>,
    }

    /// A spin lock in a map value.
    pub struct BpfSpinLock = "bpf_spin_lock" {
        val: UserU32,
    }

    /// A resilient spin lock.
    pub struct BpfResSpinLock = "bpf_res_spin_lock" {
        val: U32,
    }

    /// A red-black tree of owned objects.
    pub struct BpfRbRoot = "bpf_rb_root" {
        __opaque: Array<UserU64, 2>,
    }

    /// A link in such a tree.
    pub struct BpfRbNode = "bpf_rb_node" {
        __opaque: Array<UserU64, 4>,
    }

    /// A list of owned objects.
    pub struct BpfListHead = "bpf_list_head" {
        __opaque: Array<UserU64, 2>,
    }

    /// A link in such a list.
    pub struct BpfListNode = "bpf_list_node" {
        __opaque: Array<UserU64, 3>,
    }

    /// A reference count in an owned object.
    pub struct BpfRefcount = "bpf_refcount" {
        __opaque: Array<UserU32, 1>,
    }

    /// A dynamic pointer on a stack.
    pub struct BpfDynptr = "bpf_dynptr" {
        __opaque: Array<UserU64, 2>,
    }

    /// What bpf_perf_event_read_value writes.
    pub struct BpfPerfEventValue = "bpf_perf_event_value" {
        counter: UserU64,
        enabled: UserU64,
        running: UserU64,
    }

    /// An iterator over numbers.
    pub struct BpfIterNum = "bpf_iter_num" {
        __opaque: Array<UserU64, 1>,
    }

    /// An iterator over bits.
    pub struct BpfIterBits = "bpf_iter_bits" {
        __opaque: Array<UserU64, 2>,
    }

    /// An iterator over tasks.
    pub struct BpfIterTask = "bpf_iter_task" {
        __opaque: Array<UserU64, 3>,
    }

    /// An iterator over a cgroup's descendants.
    pub struct BpfIterCss = "bpf_iter_css" {
        __opaque: Array<UserU64, 3>,
    }

    /// An iterator over a cgroup's tasks.
    pub struct BpfIterCssTask = "bpf_iter_css_task" {
        __opaque: Array<UserU64, 1>,
    }

    /// `class_rcu_t`
    pub struct ClassRcuStruct = "" {
        lock: Ptr<Void>,
    }
}

kernel_typedefs! {
    /// What an RCU guard leaves on a program's stack.
    ClassRcuT = "class_rcu_t": ClassRcuStruct;
}

kernel_opaque! {
    /// A map.
    BpfMap = "bpf_map";
}

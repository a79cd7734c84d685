//! Types of the BPF core that objects keep in maps and on stacks; opaque, only their size matters.
//! Mirrors include/uapi/linux/bpf.h and kernel/bpf/helpers.c, 7.3.

use super::ctype::*;
use super::declare::{kernel_opaque, kernel_typedefs, kernel_types};
use super::desc::TypeRef;
use super::task::{AtomicT, TaskStruct};

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

    /// Context of a program on the iterator over all tasks.
    pub struct BpfIterTaskCtx = "bpf_iter__task" {
        meta: Ptr<BpfIterMeta>,
        /// NULL at the end.
        task: Ptr<TaskStruct>,
    }

    /// What every iterator program gets.
    pub struct BpfIterMeta = "bpf_iter_meta" {
        seq: Ptr<SeqFile>,
        session_id: U64,
        seq_num: U64,
    }

    /// A lock in four bytes; programs have locks of this shape in arenas.
    pub struct Qspinlock = "qspinlock" {
        (anon) parts: QspinlockParts,
    }

    /// The ways to look at it.
    pub union QspinlockParts = "" {
        val: AtomicT,
        (anon) bytes: QspinlockBytes,
        (anon) halves: QspinlockHalves,
    }

    /// The owner's byte and the next one's.
    pub struct QspinlockBytes = "" {
        locked: U8,
        pending: U8,
    }

    /// Both, and the queue.
    pub struct QspinlockHalves = "" {
        locked_pending: U16,
        tail: U16,
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

/// Typedefs that programs use and no declared type does: they are in the BTF for their own sake.
pub const FREE_TYPEDEFS: &[TypeRef] = &[<ClassRcuT as CType>::REF];

kernel_opaque! {
    /// A map.
    BpfMap = "bpf_map";
    /// What an iterator writes to.
    SeqFile = "seq_file";
}

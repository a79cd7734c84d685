//! Kernel functions and tracepoints that programs beside struct_ops attach to, with their prototypes (7.3).

use crate::types::{FuncProto, IntEncoding, Param, TypeRef};

/// A place of the kernel's at which programs run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum TracePoint {
    /// Tracepoint: a CPU is about to leave one task for another.
    SchedSwitch,
    /// Tracepoint: a task gets another name. No task here does.
    TaskRename,
    /// Tracepoint: a cgroup was made.
    CgroupMkdir,
    /// Tracepoint: a cgroup was removed.
    CgroupRmdir,
    /// Tracepoint: tasks have moved to a cgroup.
    CgroupAttachTask,
    /// Function: an ops table is registered.
    BpfScxReg,
    /// Function: the tick of a busy CPU.
    SchedTick,
    /// Function: the ext class's part of the tick.
    ScxTick,
    /// Function: somebody writes to a cpuset's cpus or mems. Nobody here does.
    CpusetWriteResmask,
    /// Iterator over all tasks: its programs run when somebody reads from it. Nobody here does.
    IterTask,
}

/// What a [`TracePoint`] is called, and with which arguments.
#[derive(Clone, Copy, Debug)]
pub struct TraceTarget {
    /// The point that this row describes.
    pub point: TracePoint,
    /// Name in the BTF: of a FUNC, or of the typedef of a tracepoint's function.
    pub name: &'static str,
    /// Its prototype; a tracepoint's has the kernel's own parameter in front.
    pub proto: FuncProto,
}

impl TraceTarget {
    /// Whether it is a tracepoint.
    pub fn is_tracepoint(&self) -> bool {
        self.name.starts_with("btf_trace_")
    }
}

/// The table.
pub static TRACE_TARGETS: &[TraceTarget] = &[
    target(TracePoint::SchedSwitch, "btf_trace_sched_switch", VOID, SCHED_SWITCH),
    target(TracePoint::TaskRename, "btf_trace_task_rename", VOID, TASK_RENAME),
    target(TracePoint::CgroupMkdir, "btf_trace_cgroup_mkdir", VOID, CGROUP),
    target(TracePoint::CgroupRmdir, "btf_trace_cgroup_rmdir", VOID, CGROUP),
    target(TracePoint::CgroupAttachTask, "btf_trace_cgroup_attach_task", VOID, CGROUP_ATTACH_TASK),
    target(TracePoint::BpfScxReg, "bpf_scx_reg", INT, BPF_SCX_REG),
    target(TracePoint::SchedTick, "sched_tick", VOID, &[]),
    target(TracePoint::ScxTick, "scx_tick", VOID, SCX_TICK),
    target(TracePoint::CpusetWriteResmask, "cpuset_write_resmask", SSIZE, CPUSET_WRITE_RESMASK),
    target(TracePoint::IterTask, "bpf_iter_task", INT, BPF_ITER_TASK),
];

const fn target(
    point: TracePoint,
    name: &'static str,
    ret: TypeRef,
    params: &'static [Param],
) -> TraceTarget {
    TraceTarget { point, name, proto: FuncProto { ret, params } }
}

const VOID: TypeRef = TypeRef::Void;
const INT: TypeRef = TypeRef::Int("int", 4, IntEncoding::Signed);
const LONG: TypeRef = TypeRef::Int("long", 8, IntEncoding::Signed);
const LLONG: TypeRef = TypeRef::Int("long long", 8, IntEncoding::Signed);
const ULONG: TypeRef = TypeRef::Int("unsigned long", 8, IntEncoding::Unsigned);
const SSIZE: TypeRef = TypeRef::Typedef("ssize_t", &TypeRef::Typedef("__kernel_ssize_t", &LONG));
const BOOL: TypeRef = TypeRef::Int("_Bool", 1, IntEncoding::Bool);
const UINT: TypeRef = TypeRef::Int("unsigned int", 4, IntEncoding::Unsigned);
const CHAR: TypeRef = TypeRef::Int("char", 1, IntEncoding::Signed);
const TEXT: TypeRef = TypeRef::Ptr(&TypeRef::Const(&CHAR));
const TASK: TypeRef = TypeRef::Ptr(&TypeRef::Struct("task_struct"));
const CGRP: TypeRef = TypeRef::Ptr(&TypeRef::Struct("cgroup"));
/// What the kernel calls a tracepoint's functions with before its arguments.
const DATA: Param = param("__data", TypeRef::Ptr(&TypeRef::Void));

const fn param(name: &'static str, ty: TypeRef) -> Param {
    Param { name, ty }
}

const SCHED_SWITCH: &[Param] =
    &[DATA, param("preempt", BOOL), param("prev", TASK), param("next", TASK), param("prev_state", UINT)];
const TASK_RENAME: &[Param] = &[DATA, param("task", TASK), param("comm", TEXT)];
const CGROUP: &[Param] = &[DATA, param("cgrp", CGRP), param("path", TEXT)];
const CGROUP_ATTACH_TASK: &[Param] =
    &[DATA, param("dst_cgrp", CGRP), param("path", TEXT), param("task", TASK), param("threadgroup", BOOL)];
const BPF_SCX_REG: &[Param] =
    &[param("kdata", TypeRef::Ptr(&VOID)), param("link", TypeRef::Ptr(&TypeRef::Struct("bpf_link")))];
const SCX_TICK: &[Param] = &[param("rq", TypeRef::Ptr(&TypeRef::Struct("rq")))];
const CPUSET_WRITE_RESMASK: &[Param] = &[
    param("of", TypeRef::Ptr(&TypeRef::Struct("kernfs_open_file"))),
    param("buf", TypeRef::Ptr(&CHAR)),
    param(
        "nbytes",
        TypeRef::Typedef(
            "size_t",
            &TypeRef::Typedef("__kernel_size_t", &TypeRef::Typedef("__kernel_ulong_t", &ULONG)),
        ),
    ),
    param("off", TypeRef::Typedef("loff_t", &TypeRef::Typedef("__kernel_loff_t", &LLONG))),
];
const BPF_ITER_TASK: &[Param] =
    &[param("meta", TypeRef::Ptr(&TypeRef::Struct("bpf_iter_meta"))), param("task", TASK)];

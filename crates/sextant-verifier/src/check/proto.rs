//! Prototypes of the helpers: a table. Mirrors the `bpf_func_proto`s of kernel/bpf/helpers.c, kernel/trace/bpf_trace.c and the
//! map and storage files, 7.3.

use sextant_abi::tables::HelperId;

/// What an argument must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Arg {
    /// Anything that is initialised.
    Any,
    /// A number.
    Num,
    /// A map.
    Map,
    /// A key of the map in r1.
    Key,
    /// A value of the map in r1, read.
    Value,
    /// A value of the map in r1, written.
    OutValue,
    /// Memory that is read, its size in the next argument; `Z` takes 0, `N` takes NULL.
    In,
    /// The same, size may be 0.
    InZ,
    /// The same, may be NULL with size 0.
    InZN,
    /// Memory that is written, its size in the next argument.
    Out,
    /// The same, size may be 0.
    OutZ,
    /// The same, may be NULL.
    OutZN,
    /// Memory that is read and written, its size in the next argument.
    InOut,
    /// Memory of that many bytes, read and written.
    InOutFixed(u32),
    /// The size of the argument before: checked with it.
    Size,
    /// Memory of that many bytes, written.
    OutFixed(u32),
    /// A function.
    Func,
    /// A callback's argument: on the stack, or NULL.
    CbCtx,
    /// The context.
    Ctx,
    /// The context, or NULL.
    CtxOrNull,
    /// A constant string.
    Str,
    /// A constant.
    Const,
    /// A trusted pointer to that kernel struct; NULL where the second says so.
    Obj(&'static str, bool),
    /// A per-CPU object.
    Percpu,
    /// A ring buffer record.
    Record,
    /// An initialised dynptr.
    Dynptr,
    /// Checked by the helper's own code.
    Own,
}

/// What r0 is afterwards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ret {
    /// A number.
    Num,
    /// 0, or a negative error.
    Errno,
    /// Nothing.
    Void,
    /// A value of the map in r1, or NULL.
    ValueOrNull,
    /// Memory of so many bytes as the constant size argument says, acquired, or NULL.
    RecordOrNull,
    /// The current task, trusted.
    Task,
    /// Made by the helper's own code.
    Own,
}

/// A prototype.
#[derive(Clone, Copy, Debug)]
pub(super) struct Proto {
    pub(super) args: &'static [Arg],
    pub(super) ret: Ret,
    pub(super) sleeps: bool,
    /// May be called while a `bpf_spin_lock` is held.
    pub(super) in_lock: bool,
}

/// The prototype of a helper, if programs known here may use it.
pub(super) fn proto(helper: HelperId) -> Option<Proto> {
    use Arg::*;
    use HelperId as H;
    let p = |args: &'static [Arg], ret: Ret| Some(Proto { args, ret, sleeps: false, in_lock: false });
    match helper {
        H::map_lookup_elem => p(&[Map, Key], Ret::ValueOrNull),
        H::map_update_elem => p(&[Map, Key, Value, Any], Ret::Errno),
        H::map_delete_elem => p(&[Map, Key], Ret::Errno),
        H::map_push_elem => p(&[Map, Value, Any], Ret::Errno),
        H::map_pop_elem | H::map_peek_elem => p(&[Map, OutValue], Ret::Errno),
        H::map_lookup_percpu_elem => p(&[Map, Key, Any], Ret::ValueOrNull),
        H::probe_read | H::probe_read_kernel | H::probe_read_user => p(&[OutZ, Size, Any], Ret::Errno),
        H::probe_read_str | H::probe_read_kernel_str | H::probe_read_user_str => {
            p(&[OutZ, Size, Any], Ret::Own)
        }
        H::ktime_get_ns
        | H::ktime_get_boot_ns
        | H::ktime_get_coarse_ns
        | H::ktime_get_tai_ns
        | H::get_prandom_u32
        | H::get_numa_node_id
        | H::get_current_pid_tgid
        | H::get_current_uid_gid
        | H::get_current_task
        | H::get_current_cgroup_id
        | H::jiffies64 => p(&[], Ret::Num),
        H::get_current_ancestor_cgroup_id => p(&[Any], Ret::Num),
        H::get_smp_processor_id => p(&[], Ret::Own),
        H::trace_printk => p(&[In, Size], Ret::Num),
        H::trace_vprintk => p(&[In, Size, InZN, Size], Ret::Num),
        H::snprintf => p(&[OutZN, Size, Str, InZN, Size], Ret::Num),
        H::seq_printf => p(&[Any, In, Size, InZN, Size], Ret::Num),
        H::seq_write => p(&[Any, InZ, Size], Ret::Num),
        H::get_current_comm => p(&[Out, Size], Ret::Errno),
        H::get_current_task_btf => p(&[], Ret::Task),
        H::spin_lock | H::spin_unlock => p(&[Own], Ret::Void),
        H::strncmp => p(&[In, Size, Str], Ret::Num),
        H::strtol | H::strtoul => p(&[In, Size, Any, OutFixed(8)], Ret::Num),
        H::ringbuf_output => p(&[Map, InZ, Size, Any], Ret::Num),
        H::ringbuf_reserve => p(&[Map, Const, Any], Ret::RecordOrNull),
        H::ringbuf_submit | H::ringbuf_discard => p(&[Record, Any], Ret::Void),
        H::ringbuf_query => p(&[Map, Any], Ret::Num),
        H::ringbuf_reserve_dynptr => p(&[Map, Num, Any, Own], Ret::Errno),
        H::ringbuf_submit_dynptr | H::ringbuf_discard_dynptr => p(&[Own, Any], Ret::Void),
        H::dynptr_from_mem => p(&[Own, Own, Any, Own], Ret::Errno),
        H::dynptr_read => p(&[OutZ, Size, Dynptr, Any, Any], Ret::Errno),
        H::dynptr_write => p(&[Dynptr, Any, InZ, Size, Any], Ret::Errno),
        H::dynptr_data => p(&[Dynptr, Any, Const], Ret::Own),
        H::task_storage_get => p(&[Map, Obj("task_struct", true), Own, Any], Ret::ValueOrNull),
        H::task_storage_delete => p(&[Map, Obj("task_struct", true)], Ret::Errno),
        H::cgrp_storage_get => p(&[Map, Obj("cgroup", true), Own, Any], Ret::ValueOrNull),
        H::cgrp_storage_delete => p(&[Map, Obj("cgroup", true)], Ret::Errno),
        H::timer_init => p(&[Own, Map, Any], Ret::Errno),
        H::timer_set_callback => p(&[Own, Func], Ret::Errno),
        H::timer_start => p(&[Own, Any, Any], Ret::Errno),
        H::timer_cancel => p(&[Own], Ret::Errno),
        H::kptr_xchg => p(&[Own, Own], Ret::Own),
        H::per_cpu_ptr => p(&[Percpu, Any], Ret::Own),
        H::this_cpu_ptr => p(&[Percpu], Ret::Own),
        H::loop_ => p(&[Num, Func, CbCtx, Any], Ret::Num),
        H::for_each_map_elem => p(&[Map, Func, CbCtx, Any], Ret::Num),
        H::user_ringbuf_drain => p(&[Map, Func, CbCtx, Any], Ret::Num),
        H::find_vma => p(&[Obj("task_struct", false), Any, Func, CbCtx, Any], Ret::Num),
        H::perf_event_read => p(&[Map, Any], Ret::Num),
        H::perf_event_read_value => p(&[Map, Any, Out, Size], Ret::Errno),
        H::perf_event_output => p(&[Ctx, Map, Any, InZ, Size], Ret::Errno),
        H::get_stackid => p(&[Ctx, Map, Any], Ret::Num),
        H::get_stack => p(&[Ctx, OutZ, Size, Any], Ret::Own),
        H::get_task_stack => p(&[Obj("task_struct", false), OutZ, Size, Any], Ret::Own),
        H::get_func_ip | H::get_attach_cookie | H::get_func_arg_cnt => p(&[Ctx], Ret::Num),
        H::get_func_arg => p(&[Ctx, Any, OutFixed(8)], Ret::Errno),
        H::get_func_ret => p(&[Ctx, OutFixed(8)], Ret::Errno),
        H::get_ns_current_pid_tgid => p(&[Any, Any, Out, Size], Ret::Errno),
        H::current_task_under_cgroup => p(&[Map, Any], Ret::Num),
        H::send_signal | H::send_signal_thread => p(&[Any], Ret::Errno),
        H::tail_call => p(&[Ctx, Map, Any], Ret::Num),
        H::get_cgroup_classid => p(&[], Ret::Num),
        H::get_branch_snapshot => p(&[OutZ, Size, Any], Ret::Num),
        H::snprintf_btf => p(&[Out, Size, In, Size, Any], Ret::Num),
        H::task_pt_regs => p(&[Obj("task_struct", false)], Ret::Own),
        H::kallsyms_lookup_name => p(&[InZ, Size, Any, OutFixed(8)], Ret::Num),
        H::btf_find_by_name_kind => sleeping(&[In, Size, Any, Any]),
        H::sys_bpf => sleeping(&[Any, In, Size]),
        H::sys_close => sleeping(&[Any]),
        H::copy_from_user => sleeping(&[OutZ, Size, Any]),
        H::copy_from_user_task => sleeping(&[OutZ, Size, Any, Obj("task_struct", false), Any]),
        _ => None,
    }
    .map(|mut proto| {
        proto.in_lock = matches!(helper, H::spin_lock | H::spin_unlock | H::kptr_xchg);
        proto
    })
}

fn sleeping(args: &'static [Arg]) -> Option<Proto> {
    Some(Proto { args, ret: Ret::Errno, sleeps: true, in_lock: false })
}

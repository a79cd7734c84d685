//! Helpers: which are implemented, and the calls.
//!
//! A helper gets r1..r5 and gives r0. An `Err` ends the program: it is for what a verifier would have refused. Names and
//! numbers are `sextant-abi`'s table. Mirrors kernel/bpf/helpers.c and kernel/trace/bpf_trace.c, 7.3.

mod bprintf;
mod callback;
pub(crate) mod dynptr;
mod kernel;
mod map;
mod perf;
pub mod print;
mod probe;
mod ringbuf;
mod storage;
mod strto;
mod timer;

pub(crate) use kernel::PercpuCopies;

use sextant_abi::tables::HelperId;

use crate::error::TrapKind;
use crate::exec::Exec;

/// What a helper's function looks like.
type HelperFn = fn(&mut Exec<'_>, [u64; 5]) -> Result<u64, TrapKind>;

/// The implemented ones.
#[rustfmt::skip]
static IMPLEMENTED: &[(HelperId, HelperFn)] = &[
    (HelperId::map_lookup_elem, map::lookup),
    (HelperId::map_update_elem, map::update),
    (HelperId::map_delete_elem, map::delete),
    (HelperId::map_push_elem, map::push),
    (HelperId::map_pop_elem, map::pop),
    (HelperId::map_peek_elem, map::peek),
    (HelperId::map_lookup_percpu_elem, map::lookup_percpu),
    (HelperId::for_each_map_elem, callback::for_each_map_elem),
    (HelperId::loop_, callback::bpf_loop),
    (HelperId::trace_printk, print::trace_printk),
    (HelperId::trace_vprintk, print::trace_vprintk),
    (HelperId::snprintf, print::snprintf),
    (HelperId::ktime_get_ns, kernel::ktime),
    (HelperId::ktime_get_boot_ns, kernel::ktime),
    (HelperId::ktime_get_coarse_ns, kernel::ktime),
    (HelperId::jiffies64, kernel::jiffies64),
    (HelperId::get_prandom_u32, kernel::prandom),
    (HelperId::get_smp_processor_id, kernel::cpu),
    (HelperId::get_numa_node_id, kernel::numa_node),
    (HelperId::get_current_task, kernel::current_task),
    (HelperId::get_current_task_btf, kernel::current_task),
    (HelperId::get_current_pid_tgid, kernel::current_pid_tgid),
    (HelperId::get_current_comm, kernel::current_comm),
    (HelperId::get_cgroup_classid, kernel::cgroup_classid),
    (HelperId::get_branch_snapshot, kernel::branch_snapshot),
    (HelperId::spin_lock, kernel::spin_lock),
    (HelperId::spin_unlock, kernel::spin_unlock),
    (HelperId::kptr_xchg, kernel::kptr_xchg),
    (HelperId::per_cpu_ptr, kernel::per_cpu_ptr),
    (HelperId::this_cpu_ptr, kernel::this_cpu_ptr),
    (HelperId::strncmp, kernel::strncmp),
    (HelperId::strtol, strto::strtol),
    (HelperId::strtoul, strto::strtoul),
    (HelperId::get_current_uid_gid, kernel::current_uid_gid),
    (HelperId::get_ns_current_pid_tgid, kernel::ns_pid_tgid),
    (HelperId::get_current_cgroup_id, kernel::current_cgroup_id),
    (HelperId::get_current_ancestor_cgroup_id, kernel::current_ancestor_cgroup_id),
    (HelperId::get_task_stack, kernel::task_stack),
    (HelperId::find_vma, kernel::find_vma),
    (HelperId::copy_from_user, probe::no_user),
    (HelperId::copy_from_user_task, probe::copy_from_user_task),
    (HelperId::probe_read, probe::read),
    (HelperId::probe_read_kernel, probe::read),
    (HelperId::probe_read_str, probe::read_str),
    (HelperId::probe_read_kernel_str, probe::read_str),
    (HelperId::probe_read_user, probe::no_user),
    (HelperId::probe_read_user_str, probe::no_user),
    (HelperId::task_storage_get, storage::task_get),
    (HelperId::task_storage_delete, storage::delete),
    (HelperId::cgrp_storage_get, storage::cgrp_get),
    (HelperId::cgrp_storage_delete, storage::delete),
    (HelperId::ringbuf_output, ringbuf::output),
    (HelperId::ringbuf_reserve, ringbuf::reserve),
    (HelperId::ringbuf_submit, ringbuf::submit),
    (HelperId::ringbuf_discard, ringbuf::discard),
    (HelperId::ringbuf_query, ringbuf::query),
    (HelperId::ringbuf_reserve_dynptr, ringbuf::reserve_dynptr),
    (HelperId::ringbuf_submit_dynptr, ringbuf::submit_dynptr),
    (HelperId::ringbuf_discard_dynptr, ringbuf::discard_dynptr),
    (HelperId::user_ringbuf_drain, ringbuf::user_drain),
    (HelperId::dynptr_from_mem, dynptr::from_mem),
    (HelperId::dynptr_read, dynptr::read),
    (HelperId::dynptr_write, dynptr::write),
    (HelperId::dynptr_data, dynptr::data),
    (HelperId::perf_event_read, perf::read),
    (HelperId::perf_event_read_value, perf::read_value),
    (HelperId::perf_event_output, perf::output),
    (HelperId::ktime_get_tai_ns, kernel::ktime),
    (HelperId::timer_init, timer::init),
    (HelperId::timer_set_callback, timer::set_callback),
    (HelperId::timer_start, timer::start),
    (HelperId::timer_cancel, timer::cancel),
];

/// Where a helper is in the table of implemented ones.
pub(crate) fn index(number: u32) -> Option<usize> {
    let id = HelperId::from_number(number)?;
    IMPLEMENTED.iter().position(|(have, _)| *have == id)
}

/// Whether the vm implements a helper.
pub fn is_implemented(number: u32) -> bool {
    index(number).is_some()
}

/// Calls one.
#[inline(always)]
pub(crate) fn call(exec: &mut Exec<'_>, index: usize, args: [u64; 5]) -> Result<u64, TrapKind> {
    IMPLEMENTED[index].1(exec, args)
}

/// A helper that is not there.
#[cold]
pub(crate) fn unknown(number: u32) -> TrapKind {
    TrapKind::UnknownHelper(number, HelperId::from_number(number).map_or("unknown", HelperId::name))
}

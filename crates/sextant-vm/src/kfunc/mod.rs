//! Kfuncs of the BPF core that need no scheduler: they are called like helpers, without the host.
//!
//! Everything else goes to [`Host::kfunc`](crate::Host::kfunc). Names and numbers are `sextant-abi`'s table. An `Err` ends the
//! program: it is for what a verifier would have refused. Mirrors kernel/bpf/{helpers,arena,rqspinlock,map_iter}.c, 7.3.

mod arena;
mod bits;
mod dynptr;
mod lock;
mod object;
mod string;
mod timer;

use sextant_abi::tables::KfuncId;

use crate::error::TrapKind;
use crate::exec::Exec;

/// What a kfunc's function looks like.
type KfuncFn = fn(&mut Exec<'_>, [u64; 5]) -> Result<u64, TrapKind>;

/// The implemented ones; the `_impl` forms take the kernel's hidden arguments, which the vm does not need.
#[rustfmt::skip]
static IMPLEMENTED: &[(KfuncId, KfuncFn)] = &[
    (KfuncId::bpf_obj_new, object::new),
    (KfuncId::bpf_obj_new_impl, object::new),
    (KfuncId::bpf_obj_drop, object::drop),
    (KfuncId::bpf_obj_drop_impl, object::drop),
    (KfuncId::bpf_percpu_obj_new, object::percpu_new),
    (KfuncId::bpf_percpu_obj_new_impl, object::percpu_new),
    (KfuncId::bpf_percpu_obj_drop, object::percpu_drop),
    (KfuncId::bpf_percpu_obj_drop_impl, object::percpu_drop),
    (KfuncId::bpf_refcount_acquire, object::acquire),
    (KfuncId::bpf_refcount_acquire_impl, object::acquire),
    (KfuncId::bpf_list_push_front, object::push_front),
    (KfuncId::bpf_list_push_front_impl, object::push_front),
    (KfuncId::bpf_list_push_back, object::push_back),
    (KfuncId::bpf_list_push_back_impl, object::push_back),
    (KfuncId::bpf_list_add, object::list_add),
    (KfuncId::bpf_list_pop_front, object::pop_front),
    (KfuncId::bpf_list_pop_back, object::pop_back),
    (KfuncId::bpf_list_del, object::list_del),
    (KfuncId::bpf_list_front, object::front),
    (KfuncId::bpf_list_back, object::back),
    (KfuncId::bpf_list_is_first, object::is_first),
    (KfuncId::bpf_list_is_last, object::is_last),
    (KfuncId::bpf_list_empty, object::list_empty),
    (KfuncId::bpf_rbtree_add, object::rbtree_add),
    (KfuncId::bpf_rbtree_add_impl, object::rbtree_add),
    (KfuncId::bpf_rbtree_remove, object::rbtree_remove),
    (KfuncId::bpf_rbtree_first, object::rbtree_first),
    (KfuncId::bpf_rbtree_root, object::rbtree_root),
    (KfuncId::bpf_rbtree_left, object::rbtree_left),
    (KfuncId::bpf_rbtree_right, object::rbtree_right),
    (KfuncId::bpf_res_spin_lock, lock::res_lock),
    (KfuncId::bpf_res_spin_lock_irqsave, lock::res_lock_irqsave),
    (KfuncId::bpf_res_spin_unlock, lock::res_unlock),
    (KfuncId::bpf_res_spin_unlock_irqrestore, lock::res_unlock_irqrestore),
    (KfuncId::bpf_local_irq_save, lock::irq_save),
    (KfuncId::bpf_local_irq_restore, lock::irq_restore),
    (KfuncId::bpf_iter_bits_new, bits::new),
    (KfuncId::bpf_iter_bits_next, bits::next),
    (KfuncId::bpf_iter_bits_destroy, bits::destroy),
    (KfuncId::bpf_strcmp, string::strcmp),
    (KfuncId::bpf_strcasecmp, string::strcasecmp),
    (KfuncId::bpf_strncasecmp, string::strncasecmp),
    (KfuncId::bpf_strchr, string::strchr),
    (KfuncId::bpf_strnchr, string::strnchr),
    (KfuncId::bpf_strchrnul, string::strchrnul),
    (KfuncId::bpf_strrchr, string::strrchr),
    (KfuncId::bpf_strlen, string::strlen),
    (KfuncId::bpf_strnlen, string::strnlen),
    (KfuncId::bpf_strspn, string::strspn),
    (KfuncId::bpf_strcspn, string::strcspn),
    (KfuncId::bpf_strstr, string::strstr),
    (KfuncId::bpf_strcasestr, string::strcasestr),
    (KfuncId::bpf_strnstr, string::strnstr),
    (KfuncId::bpf_strncasestr, string::strncasestr),
    (KfuncId::bpf_map_sum_elem_count, object::sum_elem_count),
    (KfuncId::bpf_throw, object::throw),
    (KfuncId::bpf_rdonly_cast, object::cast),
    (KfuncId::bpf_cast_to_kern_ctx, object::cast),
    (KfuncId::bpf_arena_alloc_pages, arena::alloc_pages),
    (KfuncId::bpf_arena_free_pages, arena::free_pages),
    (KfuncId::bpf_arena_reserve_pages, arena::reserve_pages),
    (KfuncId::bpf_dynptr_adjust, dynptr::adjust),
    (KfuncId::bpf_dynptr_is_null, dynptr::is_null),
    (KfuncId::bpf_dynptr_is_rdonly, dynptr::is_rdonly),
    (KfuncId::bpf_dynptr_size, dynptr::size),
    (KfuncId::bpf_dynptr_clone, dynptr::clone),
    (KfuncId::bpf_dynptr_slice, dynptr::slice),
    (KfuncId::bpf_dynptr_slice_rdwr, dynptr::slice_rdwr),
    (KfuncId::bpf_dynptr_copy, dynptr::copy_between),
    (KfuncId::bpf_dynptr_memset, dynptr::memset),
    (KfuncId::bpf_probe_read_kernel_dynptr, dynptr::probe_read),
    (KfuncId::bpf_probe_read_kernel_str_dynptr, dynptr::probe_read_str),
    (KfuncId::bpf_stream_vprintk, dynptr::stream_vprintk),
    (KfuncId::bpf_stream_vprintk_impl, dynptr::stream_vprintk),
    (KfuncId::bpf_timer_cancel_async, timer::cancel_async),
    (KfuncId::bpf_wq_init, timer::wq_init),
    (KfuncId::bpf_wq_set_callback, timer::wq_set_callback),
    (KfuncId::bpf_wq_set_callback_impl, timer::wq_set_callback),
    (KfuncId::bpf_wq_start, timer::wq_start),
];

/// Where a kfunc is in the table of implemented ones.
pub(crate) fn index(number: u32) -> Option<usize> {
    let id = KfuncId::from_index(number)?;
    IMPLEMENTED.iter().position(|(have, _)| *have == id)
}

/// Whether the vm itself implements a kfunc, so that no host is asked.
pub fn is_core_kfunc(id: KfuncId) -> bool {
    index(id.index()).is_some()
}

/// Calls one.
pub(crate) fn call(exec: &mut Exec<'_>, index: usize, args: [u64; 5]) -> Result<u64, TrapKind> {
    exec.host.core_kfunc(exec.vm.insns());
    IMPLEMENTED[index].1(exec, args)
}

/// r0 of a kfunc that gives an int: 0 or a negated errno.
fn status(result: Result<(), crate::Errno>) -> Result<u64, TrapKind> {
    Ok(result.map_or_else(crate::Errno::ret, |()| 0))
}

//! C prototypes of the helpers that schedulers, tracing and syscall programs may call, for headers. Mirrors the documentation of
//! `enum bpf_func_id` in include/uapi/linux/bpf.h, 7.3. Helpers of networking programs are left out. A table, hence its length.

use super::HelperId::{self, *};

/// A helper's prototype in C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HelperProto {
    /// The helper.
    pub id: HelperId,
    /// Type of the result.
    pub ret: &'static str,
    /// Parameters, separated by commas; `void` for none.
    pub params: &'static str,
}

const fn proto(id: HelperId, ret: &'static str, params: &'static str) -> HelperProto {
    HelperProto { id, ret, params }
}

/// The prototypes, by number.
pub const HELPER_PROTOS: &[HelperProto] = &[
    proto(map_lookup_elem, "void *", "void *map, const void *key"),
    proto(map_update_elem, "long", "void *map, const void *key, const void *value, __u64 flags"),
    proto(map_delete_elem, "long", "void *map, const void *key"),
    proto(probe_read, "long", "void *dst, __u32 size, const void *unsafe_ptr"),
    proto(ktime_get_ns, "__u64", "void"),
    proto(trace_printk, "long", "const char *fmt, __u32 fmt_size, ..."),
    proto(get_prandom_u32, "__u32", "void"),
    proto(get_smp_processor_id, "__u32", "void"),
    proto(tail_call, "long", "void *ctx, void *prog_array_map, __u32 index"),
    proto(get_current_pid_tgid, "__u64", "void"),
    proto(get_current_uid_gid, "__u64", "void"),
    proto(get_current_comm, "long", "void *buf, __u32 size_of_buf"),
    proto(get_cgroup_classid, "__u32", "struct __sk_buff *skb"),
    proto(perf_event_read, "__u64", "void *map, __u64 flags"),
    proto(perf_event_output, "long", "void *ctx, void *map, __u64 flags, void *data, __u64 size"),
    proto(get_stackid, "long", "void *ctx, void *map, __u64 flags"),
    proto(get_current_task, "__u64", "void"),
    proto(probe_write_user, "long", "void *dst, const void *src, __u32 len"),
    proto(current_task_under_cgroup, "long", "void *map, __u32 index"),
    proto(get_numa_node_id, "long", "void"),
    proto(probe_read_str, "long", "void *dst, __u32 size, const void *unsafe_ptr"),
    proto(
        perf_event_read_value,
        "long",
        "void *map, __u64 flags, struct bpf_perf_event_value *buf, __u32 buf_size",
    ),
    proto(override_return, "long", "struct pt_regs *regs, __u64 rc"),
    proto(get_stack, "long", "void *ctx, void *buf, __u32 size, __u64 flags"),
    proto(get_current_cgroup_id, "__u64", "void"),
    proto(map_push_elem, "long", "void *map, const void *value, __u64 flags"),
    proto(map_pop_elem, "long", "void *map, void *value"),
    proto(map_peek_elem, "long", "void *map, void *value"),
    proto(spin_lock, "long", "struct bpf_spin_lock *lock"),
    proto(spin_unlock, "long", "struct bpf_spin_lock *lock"),
    proto(strtol, "long", "const char *buf, unsigned long buf_len, __u64 flags, long *res"),
    proto(strtoul, "long", "const char *buf, unsigned long buf_len, __u64 flags, unsigned long *res"),
    proto(send_signal, "long", "__u32 sig"),
    proto(probe_read_user, "long", "void *dst, __u32 size, const void *unsafe_ptr"),
    proto(probe_read_kernel, "long", "void *dst, __u32 size, const void *unsafe_ptr"),
    proto(probe_read_user_str, "long", "void *dst, __u32 size, const void *unsafe_ptr"),
    proto(probe_read_kernel_str, "long", "void *dst, __u32 size, const void *unsafe_ptr"),
    proto(send_signal_thread, "long", "__u32 sig"),
    proto(jiffies64, "__u64", "void"),
    proto(get_ns_current_pid_tgid, "long", "__u64 dev, __u64 ino, struct bpf_pidns_info *nsdata, __u32 size"),
    proto(get_current_ancestor_cgroup_id, "__u64", "int ancestor_level"),
    proto(ktime_get_boot_ns, "__u64", "void"),
    proto(
        seq_printf,
        "long",
        "struct seq_file *m, const char *fmt, __u32 fmt_size, const void *data, __u32 data_len",
    ),
    proto(seq_write, "long", "struct seq_file *m, const void *data, __u32 len"),
    proto(ringbuf_output, "long", "void *ringbuf, void *data, __u64 size, __u64 flags"),
    proto(ringbuf_reserve, "void *", "void *ringbuf, __u64 size, __u64 flags"),
    proto(ringbuf_submit, "void", "void *data, __u64 flags"),
    proto(ringbuf_discard, "void", "void *data, __u64 flags"),
    proto(ringbuf_query, "__u64", "void *ringbuf, __u64 flags"),
    proto(get_task_stack, "long", "struct task_struct *task, void *buf, __u32 size, __u64 flags"),
    proto(d_path, "long", "const struct path *path, char *buf, __u32 sz"),
    proto(copy_from_user, "long", "void *dst, __u32 size, const void *user_ptr"),
    proto(
        snprintf_btf,
        "long",
        "char *str, __u32 str_size, struct btf_ptr *ptr, __u32 btf_ptr_size, __u64 flags",
    ),
    proto(seq_printf_btf, "long", "struct seq_file *m, struct btf_ptr *ptr, __u32 ptr_size, __u64 flags"),
    proto(per_cpu_ptr, "void *", "const void *percpu_ptr, __u32 cpu"),
    proto(this_cpu_ptr, "void *", "const void *percpu_ptr"),
    proto(task_storage_get, "void *", "void *map, struct task_struct *task, void *value, __u64 flags"),
    proto(task_storage_delete, "long", "void *map, struct task_struct *task"),
    proto(get_current_task_btf, "struct task_struct *", "void"),
    proto(ktime_get_coarse_ns, "__u64", "void"),
    proto(for_each_map_elem, "long", "void *map, void *callback_fn, void *callback_ctx, __u64 flags"),
    proto(snprintf, "long", "char *str, __u32 str_size, const char *fmt, __u64 *data, __u32 data_len"),
    proto(sys_bpf, "long", "__u32 cmd, void *attr, __u32 attr_size"),
    proto(btf_find_by_name_kind, "long", "char *name, int name_sz, __u32 kind, int flags"),
    proto(sys_close, "long", "__u32 fd"),
    proto(timer_init, "long", "struct bpf_timer *timer, void *map, __u64 flags"),
    proto(timer_set_callback, "long", "struct bpf_timer *timer, void *callback_fn"),
    proto(timer_start, "long", "struct bpf_timer *timer, __u64 nsecs, __u64 flags"),
    proto(timer_cancel, "long", "struct bpf_timer *timer"),
    proto(get_func_ip, "__u64", "void *ctx"),
    proto(get_attach_cookie, "__u64", "void *ctx"),
    proto(task_pt_regs, "long", "struct task_struct *task"),
    proto(get_branch_snapshot, "long", "void *entries, __u32 size, __u64 flags"),
    proto(trace_vprintk, "long", "const char *fmt, __u32 fmt_size, const void *data, __u32 data_len"),
    proto(kallsyms_lookup_name, "long", "const char *name, int name_sz, int flags, __u64 *res"),
    proto(
        find_vma,
        "long",
        "struct task_struct *task, __u64 addr, void *callback_fn, void *callback_ctx, __u64 flags",
    ),
    proto(loop_, "long", "__u32 nr_loops, void *callback_fn, void *callback_ctx, __u64 flags"),
    proto(strncmp, "long", "const char *s1, __u32 s1_sz, const char *s2"),
    proto(get_func_arg, "long", "void *ctx, __u32 n, __u64 *value"),
    proto(get_func_ret, "long", "void *ctx, __u64 *value"),
    proto(get_func_arg_cnt, "long", "void *ctx"),
    proto(get_retval, "int", "void"),
    proto(set_retval, "int", "int retval"),
    proto(
        copy_from_user_task,
        "long",
        "void *dst, __u32 size, const void *user_ptr, struct task_struct *tsk, __u64 flags",
    ),
    proto(kptr_xchg, "void *", "void *dst, void *ptr"),
    proto(map_lookup_percpu_elem, "void *", "void *map, const void *key, __u32 cpu"),
    proto(dynptr_from_mem, "long", "void *data, __u64 size, __u64 flags, struct bpf_dynptr *ptr"),
    proto(ringbuf_reserve_dynptr, "long", "void *ringbuf, __u32 size, __u64 flags, struct bpf_dynptr *ptr"),
    proto(ringbuf_submit_dynptr, "void", "struct bpf_dynptr *ptr, __u64 flags"),
    proto(ringbuf_discard_dynptr, "void", "struct bpf_dynptr *ptr, __u64 flags"),
    proto(
        dynptr_read,
        "long",
        "void *dst, __u64 len, const struct bpf_dynptr *src, __u64 offset, __u64 flags",
    ),
    proto(
        dynptr_write,
        "long",
        "const struct bpf_dynptr *dst, __u64 offset, void *src, __u64 len, __u64 flags",
    ),
    proto(dynptr_data, "void *", "const struct bpf_dynptr *ptr, __u64 offset, __u64 len"),
    proto(ktime_get_tai_ns, "__u64", "void"),
    proto(user_ringbuf_drain, "long", "void *map, void *callback_fn, void *ctx, __u64 flags"),
    proto(cgrp_storage_get, "void *", "void *map, struct cgroup *cgroup, void *value, __u64 flags"),
    proto(cgrp_storage_delete, "long", "void *map, struct cgroup *cgroup"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::HELPERS;

    #[test]
    fn parameters_are_as_many_as_the_table_of_helpers_says() {
        for proto in HELPER_PROTOS {
            let params = if proto.params == "void" { 0 } else { proto.params.split(',').count() };
            let want = usize::from(HELPERS[proto.id as usize].args);
            assert!(params == want || proto.params.ends_with("..."), "{:?}: {params}, not {want}", proto.id);
        }
    }

    #[test]
    fn each_helper_is_there_once_and_in_order() {
        assert!(HELPER_PROTOS.windows(2).all(|pair| pair[0].id < pair[1].id));
    }
}

//! Arguments of tracepoints that may be NULL or an error. Mirrors `raw_tp_null_args` of kernel/bpf/btf.c, 7.3, as far as
//! schedulers can have to do with the tracepoint.

/// What a tracepoint's pointer argument may be beside a pointer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RawTpArg {
    /// Nothing else.
    Sure,
    /// NULL.
    OrNull,
    /// An error number: it is no pointer for a program.
    OrError,
}

/// Tracepoint, index of the argument (the kernel's own first parameter not counted), what it may be.
const UNSURE: &[(&str, usize, RawTpArg)] = &[
    ("sched_pi_setprio", 1, RawTpArg::OrNull),
    ("sched_process_wait", 0, RawTpArg::OrNull),
    ("sched_stick_numa", 2, RawTpArg::OrNull),
    ("sched_swap_numa", 2, RawTpArg::OrNull),
    ("signal_generate", 1, RawTpArg::OrError),
    ("signal_deliver", 1, RawTpArg::OrError),
    ("mm_page_alloc", 0, RawTpArg::OrNull),
    ("mm_page_pcpu_drain", 0, RawTpArg::OrNull),
    ("mm_page_alloc_zone_locked", 0, RawTpArg::OrNull),
    ("mm_khugepaged_scan_pmd", 1, RawTpArg::OrNull),
    ("mm_collapse_huge_page_isolate", 0, RawTpArg::OrNull),
    ("mm_khugepaged_scan_file", 1, RawTpArg::OrNull),
    ("mm_khugepaged_collapse_file", 1, RawTpArg::OrNull),
    ("device_pm_callback_start", 1, RawTpArg::OrNull),
    ("tmigr_update_events", 0, RawTpArg::OrNull),
    ("writeback_dirty_folio", 1, RawTpArg::OrNull),
    ("folio_wait_writeback", 1, RawTpArg::OrNull),
    ("break_lease_noblock", 1, RawTpArg::OrNull),
    ("break_lease_block", 1, RawTpArg::OrNull),
    ("break_lease_unblock", 1, RawTpArg::OrNull),
    ("posix_lock_inode", 1, RawTpArg::OrNull),
    ("flock_lock_inode", 1, RawTpArg::OrNull),
    ("fcntl_setlk", 1, RawTpArg::OrNull),
    ("locks_remove_posix", 1, RawTpArg::OrNull),
    ("kfree_skb", 3, RawTpArg::OrNull),
    ("tcp_send_reset", 0, RawTpArg::OrNull),
    ("tcp_send_reset", 1, RawTpArg::OrNull),
    ("tcp_sendmsg_locked", 2, RawTpArg::OrNull),
    ("binder_transaction", 2, RawTpArg::OrNull),
];

/// What argument `index` of the tracepoint `name` (without `btf_trace_`) may be.
pub fn raw_tp_arg(name: &str, index: usize) -> RawTpArg {
    UNSURE.iter().find(|(tp, arg, _)| (*tp, *arg) == (name, index)).map_or(RawTpArg::Sure, |row| row.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_donor_of_a_priority_may_be_missing() {
        assert_eq!(raw_tp_arg("sched_pi_setprio", 0), RawTpArg::Sure);
        assert_eq!(raw_tp_arg("sched_pi_setprio", 1), RawTpArg::OrNull);
        assert_eq!(raw_tp_arg("signal_generate", 1), RawTpArg::OrError);
        assert_eq!(raw_tp_arg("sched_switch", 1), RawTpArg::Sure);
    }
}

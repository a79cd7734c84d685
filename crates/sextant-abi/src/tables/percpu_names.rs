//! Names of the per-CPU variables that Linux 7.3 (Debian, x86-64) has in its BTF, sorted: so that a program that asks for one which is not
//! modelled is told that it is Sextant that lacks it.

/// The names.
#[rustfmt::skip]
static PERCPU_NAMES: &[&str] = &[
    "__bpf_map_cookie", "__irq_regs", "__percpu_rwsem_rc_bp_cpuinfo_sem",
    "__percpu_rwsem_rc_cgroup_threadgroup_rwsem", "__percpu_rwsem_rc_cpu_hotplug_lock",
    "__percpu_rwsem_rc_dup_mmap_sem", "__percpu_rwsem_rc_file_rwsem",
    "__percpu_rwsem_rc_global_ctx_data_rwsem", "__percpu_rwsem_rc_kclist_lock",
    "__percpu_rwsem_rc_mem_hotplug_lock", "__percpu_rwsem_rc_scx_cgroup_ops_rwsem",
    "__percpu_rwsem_rc_scx_fork_rwsem", "__perf_regs", "__pidfs_ino_cookie", "__preempt_count",
    "__pv_cpu_mask", "__sock_cookie", "__softirq_pending", "__stack_chk_guard", "__tmp_mask",
    "__tss_limit_invalid", "__x86_call_depth", "_cea_offset", "aa_local_buffers", "acpi_cpuidle_device",
    "acpi_cstate", "amd_dr_addr_mask", "apf_reason", "arch_freq_scale", "async_cb_running",
    "async_pf_enabled", "audit_cache", "avc_cache_stats", "backlog_napi", "bank_map", "batched_entropy_u16",
    "batched_entropy_u32", "batched_entropy_u64", "batched_entropy_u8", "bdp_ratelimits", "bh_accounting",
    "bh_lrus", "bh_pool_irq_works", "bh_worker_pools", "bio_complete_batch", "blk_cpu_csd", "blk_cpu_done",
    "blk_cpu_iopoll", "boot_nodestats", "boot_pageset", "boot_zonestats", "bp_cpuinfo", "bp_per_reg",
    "bpf_bprintf_bufs", "bpf_bprintf_nest_level", "bpf_event_output_nest_level", "bpf_misc_sds",
    "bpf_prog_active", "bpf_pt_regs", "bpf_raw_tp_nest_level", "bpf_raw_tp_regs", "bpf_trace_nest_level",
    "bpf_trace_sds", "bpf_user_rnd_state", "cache_state_incoherent", "cached_stacks", "call_single_queue",
    "callchain_recursion", "cea_exception_stacks", "cfd_data", "ci_cache_dev", "ci_cpu_cacheinfo",
    "ci_index_dev", "cluster_masks", "console_srcu_srcu_data", "context_tracking", "cpc_desc_ptr",
    "cpu_access_lock", "cpu_control_block", "cpu_core_map", "cpu_current_top_of_stack", "cpu_dbs",
    "cpu_debug_store", "cpu_debugreg", "cpu_devices", "cpu_die_map", "cpu_dr7", "cpu_evtchn_mask",
    "cpu_fbatches", "cpu_hpet_channel", "cpu_hw_events", "cpu_info", "cpu_l2c_shared_map",
    "cpu_llc_shared_map", "cpu_loops_per_jiffy", "cpu_number", "cpu_pcc_subspace_idx", "cpu_queue",
    "cpu_samples", "cpu_scale", "cpu_sibling_map", "cpu_stopper", "cpu_sys_devices", "cpu_tlbstate",
    "cpu_tlbstate_shared", "cpu_trace", "cpu_tss_rw", "cpu_worker_pools", "cpufreq_cpu_data",
    "cpufreq_pressure", "cpufreq_thermal_reduction_step", "cpufreq_transition_notifier_list_head_srcu_data",
    "cpufreq_update_util_data", "cpuhp_state", "cpuidle_dev", "cpuidle_devices", "crngs", "csd_data",
    "current_bit_idx", "current_kprobe", "current_task", "current_word_idx", "cyc2ns", "dax_srcu_srcu_data",
    "deferred_percpu_work", "device_links_srcu_srcu_data", "direct_dispatch_task", "dirty_throttle_leaks",
    "disable_stack_tracer", "discard_pa_seq", "distribute_cpu_mask_prev", "dl_pull_head", "dl_push_head",
    "dquot_srcu_srcu_data", "entry_stack_storage", "eventfs_srcu_srcu_data", "exception_stacks",
    "file_lock_list", "fpu_fpregs_owner_ctx", "fred_rsp0", "ftrace_stack_reserve", "ftrace_stacks",
    "gdt_page", "guest_ctx_loaded", "guest_lvtpc_loaded", "hardirq_stack_inuse", "hardirq_stack_ptr",
    "hfi_cpu_info", "hist_pad_cnt", "hmac_storage", "hrtimer_bases", "hrtimer_interrupts",
    "hrtimer_interrupts_missed", "hrtimer_interrupts_saved", "hrtimer_running", "hv_clock_per_cpu",
    "hv_sev_vmsa", "hw_errs_seen", "idle_inject_device", "idle_inject_thread", "idle_ret_stack",
    "idle_threads", "idt_desc", "injectm", "insn_buffer", "int_active_memcg", "ipi_mask", "ipi_to_evtchn",
    "ipi_to_irq", "ipv4_icmp_sk", "ipv4_tcp_sk", "ipv6_icmp_sk", "irq_epoch", "irq_name", "irq_randomness",
    "irq_stack_backing_store", "irq_stat", "irq_work_NMI_resume", "irqsave_flags", "kernel_cpustat",
    "kernel_fpu_allowed", "klp_stack_entries", "kmmio_ctx", "kprobe_ctlblk", "krc", "ksoftirqd",
    "kstack_rnd_state", "kstat", "ktimerd", "kvm_apic_eoi", "ladder_devices", "lapic_events", "last_ino",
    "last_nmi_rip", "last_timestamp", "lateeoi", "lazy_list", "listener_array", "load_balance_mask",
    "local_cpu_mask", "local_cpu_mask_dl", "local_event", "local_idle_cpumask",
    "local_interrupt_disable_state", "local_llc_idle_cpumask", "local_numa_idle_cpumask", "lock_kicker_irq",
    "lru_add_drain_work", "mc_buffer", "mce_amd_data", "mce_banks_array", "mce_banks_owned", "mce_device",
    "mce_next_interval", "mce_num_banks", "mce_poll_banks", "mce_timer", "membarrier_cpu_mutexes",
    "memcg_stock", "memory_failure_cpu", "menu_devices", "mg_ctime_swaps", "mg_ctime_updates",
    "mg_fine_stamps", "mlock_fbatch", "mmap_unlock_work", "mptcp_delegated_actions",
    "msr_misc_features_shadow", "mthp_stats", "mwait_cpu_dead", "napi_alloc_cache", "nat_keepalive_sk_ipv4",
    "nat_keepalive_sk_ipv6", "nbcon_pcpu_emergency_nesting", "ne_fit_preload_node", "netdev_alloc_cache",
    "nmi_cr2", "nmi_dr7", "nmi_rearmed", "nmi_state", "nmi_stats", "nmi_user_regs", "nohz_full_kick_work",
    "nop_txn_flags", "nr_dentry", "nr_dentry_negative", "nr_dentry_unused", "nr_inodes", "nr_unused",
    "numa_node", "obj_stock", "old_runstate_time", "osq_node", "p4_running", "pending_timer_softirq",
    "per_cpu_unvisited", "percpu_swap_cluster", "perf_cpu_context", "perf_nmi_tstamp",
    "perf_sched_cb_usages", "perf_throttled_count", "perf_throttled_seq", "pf_reason", "pmc_prev_left",
    "pmu_sb_events", "pp_system_recycle_stats", "pqr_state", "printk_context", "printk_count",
    "printk_count_nmi", "printk_pending", "process_counts", "processor_device_array", "processors",
    "psi_seq", "pt_ctx", "push_work", "qnodes", "radix_tree_preloads", "raised_list", "rcu_data",
    "rcu_tasks__percpu", "rcu_tasks_rude__percpu", "rcu_tasks_trace_srcu_struct_srcu_data",
    "return_notifier_list", "root_cpuacct_cpuusage", "root_rstat_base_cpu", "root_rstat_cpu", "root_vmcs",
    "rqnodes", "rqspinlock_held_locks", "rstat_backlog_list", "rt6_uncached_list", "rt_cache_stat",
    "rt_pull_head", "rt_push_head", "rt_uncached_list", "running_sample_length", "runqueues",
    "runtime_data", "saved_epb", "sch_frag_data_storage", "sched_cb_list", "sched_change_ctx",
    "sched_clock_data", "sched_core_priority", "sched_rnd_state", "scomp_scratch", "scx_kick_syncs",
    "scx_locked_rq_state", "scx_tid_alloc", "sd_asym_cpucapacity", "sd_asym_packing", "sd_balance_shared",
    "sd_llc", "sd_llc_id", "sd_llc_shared", "sd_llc_size", "sd_numa", "sd_share_id", "seg6_bpf_srh_states",
    "select_rq_mask", "send_signal_work", "sev_vmsa", "shadow_tls_desc", "should_we_balance_tmpmask",
    "sl_reenable", "slab_rnd_state", "slub_flush", "smca_bank_counts", "smca_banks",
    "softlockup_completion", "softlockup_stop_work", "softlockup_touch_sync", "softnet_data", "spec_ctrl",
    "srcu_srcu_data", "ssb_state", "steal_time", "stimer0_evt", "storm_desc", "sugov_cpu", "svsm_caa",
    "svsm_caa_pa", "swallow_nmi", "swevent_htable", "system_group_pcpu", "system_page_pool",
    "tasklet_hi_vec", "tasklet_vec", "taskstats_seqnum", "tcp_memory_per_cpu_fw_alloc", "tcp_orphan_count",
    "text_poke_array_refs", "thermal_state", "this_cpu_off", "threshold_banks", "tick_cpu_device",
    "tick_cpu_sched", "tick_oneshot_wakeup_device", "tick_percpu_dev", "timekeeping_mg_floor_swaps",
    "timer_bases", "tmigr_cpu", "tomoyo_ss_srcu_data", "trace_buffered_event", "trace_buffered_event_cnt",
    "trace_taskinfo_save", "tracepoint_srcu_srcu_data", "trigger_backtrace", "tsc_adjust", "tsq_work",
    "udp_memory_per_cpu_fw_alloc", "unwind_ctx_ctr", "unwind_srcu_srcu_data", "uretprobes_srcu_srcu_data",
    "user_stack_count", "vclock_srcu_srcu_data", "vector_cleanup", "vector_irq", "vfree_deferred",
    "virq_to_irq", "virtualization_nr_users", "vm_event_states", "vmap_block_queue", "vmbus_evt",
    "vmcore_cb_srcu_srcu_data", "vmstat_work", "vmw_steal_time", "wake_up_klogd_work",
    "wakeup_srcu_srcu_data", "watchdog_cpu_data", "watchdog_ev", "watchdog_hardlockup_touched",
    "watchdog_hardlockup_warned", "watchdog_hrtimer", "watchdog_report_ts", "watchdog_touch_ts",
    "wq_rr_cpu_last", "x86_cpu_to_acpiid", "x86_cpu_to_apicid", "x86_cpu_to_node_map",
    "x86_ibpb_exit_to_user", "x86_spec_ctrl_current", "xen_callfunc_irq", "xen_callfuncsingle_irq",
    "xen_clock_events", "xen_cpu_lazy_mode", "xen_cr0_value", "xen_cr3", "xen_current_cr3", "xen_debug_irq",
    "xen_irq_work", "xen_mc_irq_flags", "xen_pmu_irq", "xen_qlock_wait_nest", "xen_resched_irq",
    "xen_runstate", "xen_vcpu", "xen_vcpu_id", "xen_vcpu_info", "xenpmu_shared", "xfd_state",
    "xfrm_trans_tasklet",
];

/// Whether Linux 7.3 has a per-CPU variable of that name that programs may refer to.
pub fn linux_has_percpu_var(name: &str) -> bool {
    PERCPU_NAMES.binary_search(&name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::PERCPU_VARS;

    #[test]
    fn names_are_sorted_and_ours_are_among_them() {
        assert!(PERCPU_NAMES.is_sorted());
        assert!(PERCPU_VARS.iter().all(|var| linux_has_percpu_var(var.name)));
        assert!(!linux_has_percpu_var("hw_pressure"));
    }
}

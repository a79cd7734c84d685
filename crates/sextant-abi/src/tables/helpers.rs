//! The BPF helpers by number, so that an unknown one can be named. Mirrors `enum bpf_func_id` of include/uapi/linux/bpf.h, 7.3.
//!
//! Being here does not say that the vm implements it. A table, hence its length.

use crate::types::declare::c_name;

macro_rules! helpers {
    ($($name:ident = $id:literal, $args:literal;)*) => {
        /// A helper, by its kernel name without `bpf_`; the value is the number in the call instruction.
        #[allow(non_camel_case_types)]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u32)]
        pub enum HelperId {
            $(#[doc = concat!("`bpf_", stringify!($name), "()`")] $name = $id),*
        }

        /// The table, indexed by number; 0 is no helper.
        pub static HELPERS: &[Helper] = &[
            $(Helper { id: HelperId::$name, name: c_name(concat!("bpf_", stringify!($name))), args: $args }),*
        ];
    };
}

/// A helper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Helper {
    /// Its number.
    pub id: HelperId,
    /// Its name as the kernel's log prints it.
    pub name: &'static str,
    /// Arguments in r1..; 5 for one that takes a varying number.
    pub args: u8,
}

impl HelperId {
    /// The helper of that number.
    pub fn from_number(number: u32) -> Option<HelperId> {
        if number == 0 { None } else { HELPERS.get(number as usize).map(|helper| helper.id) }
    }

    /// Its name, with `bpf_`.
    pub fn name(self) -> &'static str {
        HELPERS[self as usize].name
    }
}

helpers! {
    unspec = 0, 0;
    map_lookup_elem = 1, 2;
    map_update_elem = 2, 4;
    map_delete_elem = 3, 2;
    probe_read = 4, 3;
    ktime_get_ns = 5, 0;
    trace_printk = 6, 5;
    get_prandom_u32 = 7, 0;
    get_smp_processor_id = 8, 0;
    skb_store_bytes = 9, 5;
    l3_csum_replace = 10, 5;
    l4_csum_replace = 11, 5;
    tail_call = 12, 3;
    clone_redirect = 13, 3;
    get_current_pid_tgid = 14, 0;
    get_current_uid_gid = 15, 0;
    get_current_comm = 16, 2;
    get_cgroup_classid = 17, 1;
    skb_vlan_push = 18, 3;
    skb_vlan_pop = 19, 1;
    skb_get_tunnel_key = 20, 4;
    skb_set_tunnel_key = 21, 4;
    perf_event_read = 22, 2;
    redirect = 23, 2;
    get_route_realm = 24, 1;
    perf_event_output = 25, 5;
    skb_load_bytes = 26, 4;
    get_stackid = 27, 3;
    csum_diff = 28, 5;
    skb_get_tunnel_opt = 29, 3;
    skb_set_tunnel_opt = 30, 3;
    skb_change_proto = 31, 3;
    skb_change_type = 32, 2;
    skb_under_cgroup = 33, 3;
    get_hash_recalc = 34, 1;
    get_current_task = 35, 0;
    probe_write_user = 36, 3;
    current_task_under_cgroup = 37, 2;
    skb_change_tail = 38, 3;
    skb_pull_data = 39, 2;
    csum_update = 40, 2;
    set_hash_invalid = 41, 1;
    get_numa_node_id = 42, 0;
    skb_change_head = 43, 3;
    xdp_adjust_head = 44, 2;
    probe_read_str = 45, 3;
    get_socket_cookie = 46, 1;
    get_socket_uid = 47, 1;
    set_hash = 48, 2;
    setsockopt = 49, 5;
    skb_adjust_room = 50, 4;
    redirect_map = 51, 3;
    sk_redirect_map = 52, 4;
    sock_map_update = 53, 4;
    xdp_adjust_meta = 54, 2;
    perf_event_read_value = 55, 4;
    perf_prog_read_value = 56, 3;
    getsockopt = 57, 5;
    override_return = 58, 2;
    sock_ops_cb_flags_set = 59, 2;
    msg_redirect_map = 60, 4;
    msg_apply_bytes = 61, 2;
    msg_cork_bytes = 62, 2;
    msg_pull_data = 63, 4;
    bind = 64, 3;
    xdp_adjust_tail = 65, 2;
    skb_get_xfrm_state = 66, 5;
    get_stack = 67, 4;
    skb_load_bytes_relative = 68, 5;
    fib_lookup = 69, 4;
    sock_hash_update = 70, 4;
    msg_redirect_hash = 71, 4;
    sk_redirect_hash = 72, 4;
    lwt_push_encap = 73, 4;
    lwt_seg6_store_bytes = 74, 4;
    lwt_seg6_adjust_srh = 75, 3;
    lwt_seg6_action = 76, 4;
    rc_repeat = 77, 1;
    rc_keydown = 78, 4;
    skb_cgroup_id = 79, 1;
    get_current_cgroup_id = 80, 0;
    get_local_storage = 81, 2;
    sk_select_reuseport = 82, 4;
    skb_ancestor_cgroup_id = 83, 2;
    sk_lookup_tcp = 84, 5;
    sk_lookup_udp = 85, 5;
    sk_release = 86, 1;
    map_push_elem = 87, 3;
    map_pop_elem = 88, 2;
    map_peek_elem = 89, 2;
    msg_push_data = 90, 4;
    msg_pop_data = 91, 4;
    rc_pointer_rel = 92, 3;
    spin_lock = 93, 1;
    spin_unlock = 94, 1;
    sk_fullsock = 95, 1;
    tcp_sock = 96, 1;
    skb_ecn_set_ce = 97, 1;
    get_listener_sock = 98, 1;
    skc_lookup_tcp = 99, 5;
    tcp_check_syncookie = 100, 5;
    sysctl_get_name = 101, 4;
    sysctl_get_current_value = 102, 3;
    sysctl_get_new_value = 103, 3;
    sysctl_set_new_value = 104, 3;
    strtol = 105, 4;
    strtoul = 106, 4;
    sk_storage_get = 107, 4;
    sk_storage_delete = 108, 2;
    send_signal = 109, 1;
    tcp_gen_syncookie = 110, 5;
    skb_output = 111, 5;
    probe_read_user = 112, 3;
    probe_read_kernel = 113, 3;
    probe_read_user_str = 114, 3;
    probe_read_kernel_str = 115, 3;
    tcp_send_ack = 116, 2;
    send_signal_thread = 117, 1;
    jiffies64 = 118, 0;
    read_branch_records = 119, 4;
    get_ns_current_pid_tgid = 120, 4;
    xdp_output = 121, 5;
    get_netns_cookie = 122, 1;
    get_current_ancestor_cgroup_id = 123, 1;
    sk_assign = 124, 3;
    ktime_get_boot_ns = 125, 0;
    seq_printf = 126, 5;
    seq_write = 127, 3;
    sk_cgroup_id = 128, 1;
    sk_ancestor_cgroup_id = 129, 2;
    ringbuf_output = 130, 4;
    ringbuf_reserve = 131, 3;
    ringbuf_submit = 132, 2;
    ringbuf_discard = 133, 2;
    ringbuf_query = 134, 2;
    csum_level = 135, 2;
    skc_to_tcp6_sock = 136, 1;
    skc_to_tcp_sock = 137, 1;
    skc_to_tcp_timewait_sock = 138, 1;
    skc_to_tcp_request_sock = 139, 1;
    skc_to_udp6_sock = 140, 1;
    get_task_stack = 141, 4;
    load_hdr_opt = 142, 4;
    store_hdr_opt = 143, 4;
    reserve_hdr_opt = 144, 3;
    inode_storage_get = 145, 4;
    inode_storage_delete = 146, 2;
    d_path = 147, 3;
    copy_from_user = 148, 3;
    snprintf_btf = 149, 5;
    seq_printf_btf = 150, 4;
    skb_cgroup_classid = 151, 1;
    redirect_neigh = 152, 4;
    per_cpu_ptr = 153, 2;
    this_cpu_ptr = 154, 1;
    redirect_peer = 155, 2;
    task_storage_get = 156, 4;
    task_storage_delete = 157, 2;
    get_current_task_btf = 158, 0;
    bprm_opts_set = 159, 2;
    ktime_get_coarse_ns = 160, 0;
    ima_inode_hash = 161, 3;
    sock_from_file = 162, 1;
    check_mtu = 163, 5;
    for_each_map_elem = 164, 4;
    snprintf = 165, 5;
    sys_bpf = 166, 3;
    btf_find_by_name_kind = 167, 4;
    sys_close = 168, 1;
    timer_init = 169, 3;
    timer_set_callback = 170, 2;
    timer_start = 171, 3;
    timer_cancel = 172, 1;
    get_func_ip = 173, 1;
    get_attach_cookie = 174, 1;
    task_pt_regs = 175, 1;
    get_branch_snapshot = 176, 3;
    trace_vprintk = 177, 4;
    skc_to_unix_sock = 178, 1;
    kallsyms_lookup_name = 179, 4;
    find_vma = 180, 5;
    loop_ = 181, 4;
    strncmp = 182, 3;
    get_func_arg = 183, 3;
    get_func_ret = 184, 2;
    get_func_arg_cnt = 185, 1;
    get_retval = 186, 0;
    set_retval = 187, 1;
    xdp_get_buff_len = 188, 1;
    xdp_load_bytes = 189, 4;
    xdp_store_bytes = 190, 4;
    copy_from_user_task = 191, 5;
    skb_set_tstamp = 192, 3;
    ima_file_hash = 193, 3;
    kptr_xchg = 194, 2;
    map_lookup_percpu_elem = 195, 3;
    skc_to_mptcp_sock = 196, 1;
    dynptr_from_mem = 197, 4;
    ringbuf_reserve_dynptr = 198, 4;
    ringbuf_submit_dynptr = 199, 2;
    ringbuf_discard_dynptr = 200, 2;
    dynptr_read = 201, 5;
    dynptr_write = 202, 5;
    dynptr_data = 203, 3;
    tcp_raw_gen_syncookie_ipv4 = 204, 3;
    tcp_raw_gen_syncookie_ipv6 = 205, 3;
    tcp_raw_check_syncookie_ipv4 = 206, 2;
    tcp_raw_check_syncookie_ipv6 = 207, 2;
    ktime_get_tai_ns = 208, 0;
    user_ringbuf_drain = 209, 4;
    cgrp_storage_get = 210, 4;
    cgrp_storage_delete = 211, 2;
}

//! Which helpers a program type may call. Mirrors the `get_func_proto` callbacks of 7.3: what every type has
//! (`bpf_base_func_proto()`), then what the type adds.

use sextant_abi::tables::HelperId as H;
use sextant_abi::tables::bpf::*;

use super::Hook;
use crate::program::ProgKind;

/// Whether programs of this kind may call a helper.
pub(crate) fn may_call(kind: &ProgKind<'_>, helper: H) -> bool {
    if for_all(helper) {
        return true;
    }
    match kind {
        ProgKind::StructOps { .. } => false,
        ProgKind::ForeignStructOps => true,
        ProgKind::Syscall | ProgKind::Tracing { .. } => traces(helper) || of_tracing(helper),
        ProgKind::Other(hook) => hook.adds(helper),
    }
}

/// Every program type has it.
fn for_all(helper: H) -> bool {
    matches!(
        helper,
        H::map_lookup_elem
            | H::map_update_elem
            | H::map_delete_elem
            | H::map_push_elem
            | H::map_pop_elem
            | H::map_peek_elem
            | H::map_lookup_percpu_elem
            | H::get_prandom_u32
            | H::get_smp_processor_id
            | H::get_numa_node_id
            | H::tail_call
            | H::ktime_get_ns
            | H::ktime_get_boot_ns
            | H::ktime_get_tai_ns
            | H::ringbuf_output
            | H::ringbuf_reserve
            | H::ringbuf_submit
            | H::ringbuf_discard
            | H::ringbuf_query
            | H::strncmp
            | H::strtol
            | H::strtoul
            | H::get_current_pid_tgid
            | H::get_ns_current_pid_tgid
            | H::get_current_uid_gid
    ) || for_all_capable(helper)
}

/// Every program type has it when the loader has CAP_BPF and CAP_PERFMON.
fn for_all_capable(helper: H) -> bool {
    matches!(
        helper,
        H::spin_lock
            | H::spin_unlock
            | H::jiffies64
            | H::per_cpu_ptr
            | H::this_cpu_ptr
            | H::timer_init
            | H::timer_set_callback
            | H::timer_start
            | H::timer_cancel
            | H::kptr_xchg
            | H::for_each_map_elem
            | H::loop_
            | H::user_ringbuf_drain
            | H::ringbuf_reserve_dynptr
            | H::ringbuf_submit_dynptr
            | H::ringbuf_discard_dynptr
            | H::dynptr_from_mem
            | H::dynptr_read
            | H::dynptr_write
            | H::dynptr_data
            | H::cgrp_storage_get
            | H::cgrp_storage_delete
            | H::get_current_cgroup_id
            | H::get_current_ancestor_cgroup_id
            | H::current_task_under_cgroup
            | H::task_storage_get
            | H::task_storage_delete
            | H::trace_printk
            | H::get_current_task
            | H::get_current_task_btf
            | H::get_current_comm
            | H::probe_read_user
            | H::probe_read_kernel
            | H::probe_read_user_str
            | H::probe_read_kernel_str
            | H::copy_from_user
            | H::copy_from_user_task
            | H::snprintf
            | H::trace_vprintk
            | H::perf_event_read_value
            | H::perf_event_read
            | H::send_signal
            | H::send_signal_thread
            | H::get_task_stack
            | H::find_vma
    )
}

/// Probes and tracing programs have it.
fn traces(helper: H) -> bool {
    matches!(
        helper,
        H::probe_read
            | H::probe_read_str
            | H::perf_event_output
            | H::get_stackid
            | H::get_stack
            | H::get_attach_cookie
            | H::get_func_ip
    )
}

/// Tracing programs on functions have it.
fn of_tracing(helper: H) -> bool {
    matches!(
        helper,
        H::get_func_arg | H::get_func_ret | H::get_func_arg_cnt | H::seq_printf | H::seq_write | H::d_path
    )
}

impl Hook<'_> {
    /// What this type has that others have not.
    fn adds(&self, helper: H) -> bool {
        if self.is_probe() {
            return traces(helper);
        }
        match self.prog_type {
            BPF_PROG_TYPE_LSM if matches!(helper, H::get_retval | H::set_retval | H::get_local_storage) => {
                self.is_lsm_cgroup()
            }
            BPF_PROG_TYPE_TRACING | BPF_PROG_TYPE_LSM => traces(helper) || of_tracing(helper),
            BPF_PROG_TYPE_SOCKET_FILTER => reads_bytes(helper) || common_net(helper),
            BPF_PROG_TYPE_SCHED_CLS | BPF_PROG_TYPE_SCHED_ACT => {
                reads_bytes(helper) || changes_packet(helper) || sockets(helper) || common_net(helper)
            }
            BPF_PROG_TYPE_CGROUP_SKB => {
                reads_bytes(helper) || sockets(helper) || common_net(helper) || helper == H::get_local_storage
            }
            BPF_PROG_TYPE_SOCK_OPS => {
                sockets(helper)
                    || common_net(helper)
                    || matches!(helper, H::sock_map_update | H::sock_hash_update | H::get_local_storage)
            }
            BPF_PROG_TYPE_LWT_XMIT => reads_bytes(helper) || changes_packet(helper) || common_net(helper),
            BPF_PROG_TYPE_LWT_IN | BPF_PROG_TYPE_LWT_OUT | BPF_PROG_TYPE_LWT_SEG6LOCAL => {
                reads_bytes(helper)
                    || common_net(helper)
                    || matches!(helper, H::skb_pull_data | H::csum_diff | H::get_hash_recalc)
            }
            BPF_PROG_TYPE_SK_SKB => {
                reads_bytes(helper) || common_net(helper) || sockets(helper) || moves_packet(helper)
            }
            BPF_PROG_TYPE_FLOW_DISSECTOR => helper == H::skb_load_bytes || common_net(helper),
            BPF_PROG_TYPE_XDP => xdp(helper) || common_net(helper),
            BPF_PROG_TYPE_SK_REUSEPORT => {
                reads_bytes(helper) || common_net(helper) || helper == H::sk_select_reuseport
            }
            _ if self.is_cgroup() => self.cgroup(helper) || common_net(helper) || sockets(helper),
            _ => common_net(helper) || sockets(helper),
        }
    }

    fn is_cgroup(&self) -> bool {
        matches!(
            self.prog_type,
            BPF_PROG_TYPE_CGROUP_SOCK
                | BPF_PROG_TYPE_CGROUP_DEVICE
                | BPF_PROG_TYPE_CGROUP_SOCK_ADDR
                | BPF_PROG_TYPE_CGROUP_SYSCTL
                | BPF_PROG_TYPE_CGROUP_SOCKOPT
        )
    }

    /// Hooks whose errno is nobody's business have no result of their own.
    fn cgroup(&self, helper: H) -> bool {
        let fixed = matches!(
            self.attach_type,
            BPF_CGROUP_INET_INGRESS
                | BPF_CGROUP_INET_EGRESS
                | BPF_CGROUP_SOCK_OPS
                | BPF_CGROUP_UDP4_RECVMSG
                | BPF_CGROUP_UDP6_RECVMSG
                | BPF_CGROUP_UNIX_RECVMSG
                | BPF_CGROUP_INET4_GETPEERNAME
                | BPF_CGROUP_INET6_GETPEERNAME
                | BPF_CGROUP_UNIX_GETPEERNAME
                | BPF_CGROUP_INET4_GETSOCKNAME
                | BPF_CGROUP_INET6_GETSOCKNAME
                | BPF_CGROUP_UNIX_GETSOCKNAME
        );
        match helper {
            H::get_retval | H::set_retval => !fixed,
            H::get_local_storage => true,
            _ => false,
        }
    }
}

/// Every network type has it.
fn common_net(helper: H) -> bool {
    matches!(
        helper,
        H::perf_event_output
            | H::ktime_get_coarse_ns
            | H::get_socket_cookie
            | H::get_netns_cookie
            | H::skc_to_tcp_sock
            | H::skc_to_tcp6_sock
            | H::skc_to_tcp_request_sock
            | H::skc_to_tcp_timewait_sock
            | H::skc_to_udp6_sock
    )
}

fn reads_bytes(helper: H) -> bool {
    matches!(helper, H::skb_load_bytes | H::skb_load_bytes_relative)
}

/// Helpers after which pointers into the packet are of no use, of skbs.
fn moves_packet(helper: H) -> bool {
    matches!(
        helper,
        H::skb_store_bytes | H::skb_pull_data | H::skb_change_head | H::skb_change_tail | H::skb_adjust_room
    )
}

fn changes_packet(helper: H) -> bool {
    let checksums = matches!(
        helper,
        H::csum_diff
            | H::csum_update
            | H::l3_csum_replace
            | H::l4_csum_replace
            | H::get_hash_recalc
            | H::set_hash_invalid
            | H::check_mtu
            | H::fib_lookup
            | H::skb_vlan_push
            | H::skb_vlan_pop
            | H::skb_change_proto
    );
    checksums || moves_packet(helper)
}

fn xdp(helper: H) -> bool {
    let sockets = matches!(
        helper,
        H::sk_lookup_tcp
            | H::sk_lookup_udp
            | H::skc_lookup_tcp
            | H::sk_release
            | H::check_mtu
            | H::fib_lookup
    );
    let packet = matches!(
        helper,
        H::csum_diff
            | H::xdp_adjust_head
            | H::xdp_adjust_meta
            | H::xdp_adjust_tail
            | H::xdp_load_bytes
            | H::xdp_store_bytes
    );
    sockets || packet
}

fn sockets(helper: H) -> bool {
    matches!(
        helper,
        H::sk_lookup_tcp
            | H::sk_lookup_udp
            | H::skc_lookup_tcp
            | H::sk_release
            | H::sk_fullsock
            | H::tcp_sock
            | H::get_listener_sock
            | H::sk_storage_get
            | H::sk_storage_delete
    )
}

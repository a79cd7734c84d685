//! Prototypes of the network helpers: a table. Mirrors the `bpf_func_proto`s of net/core/filter.c and kernel/bpf/cgroup.c, 7.3.

use sextant_abi::tables::HelperId;

use super::proto::{Arg, Proto, Ret};

/// The prototype of a helper that only network programs have.
pub(super) fn proto(helper: HelperId) -> Option<Proto> {
    use Arg::*;
    use HelperId as H;
    let args: &'static [Arg] = match helper {
        H::csum_diff => &[InZN, Size, InZN, Size, Any],
        H::skb_load_bytes | H::xdp_load_bytes => &[Ctx, Any, Out, Size],
        H::skb_load_bytes_relative => &[Ctx, Any, Out, Size, Any],
        H::skb_store_bytes => &[Ctx, Any, In, Size, Any],
        H::xdp_store_bytes => &[Ctx, Any, In, Size],
        H::skb_change_head | H::skb_change_tail | H::skb_change_proto => &[Ctx, Any, Any],
        H::skb_adjust_room => &[Ctx, Any, Any, Any],
        H::skb_vlan_push => &[Ctx, Any, Any],
        H::skb_pull_data | H::csum_update => &[Ctx, Any],
        H::xdp_adjust_head | H::xdp_adjust_meta | H::xdp_adjust_tail => &[Ctx, Any],
        H::skb_vlan_pop | H::get_hash_recalc | H::set_hash_invalid => &[Ctx],
        H::l3_csum_replace | H::l4_csum_replace => &[Ctx, Any, Any, Any, Any],
        H::check_mtu => &[Ctx, Any, InOutFixed(4), Any, Any],
        H::fib_lookup => &[Ctx, InOut, Size, Any],
        H::get_retval => &[],
        H::set_retval => &[Num],
        H::get_local_storage => {
            return Some(Proto { args: &[Map, Any], ret: Ret::Own, sleeps: false, in_lock: false });
        }
        H::sock_map_update | H::sock_hash_update => &[Ctx, Map, Key, Any],
        H::sk_lookup_tcp | H::sk_lookup_udp | H::skc_lookup_tcp => &[Ctx, In, Size, Any, Any],
        H::sk_release
        | H::sk_fullsock
        | H::tcp_sock
        | H::get_listener_sock
        | H::skc_to_tcp_sock
        | H::skc_to_tcp6_sock
        | H::skc_to_tcp_request_sock
        | H::skc_to_tcp_timewait_sock
        | H::skc_to_udp6_sock => &[Own],
        H::sk_select_reuseport => &[Ctx, Map, Key, Any],
        H::sk_storage_get => {
            return Some(Proto {
                args: &[Map, Own, Own, Any],
                ret: Ret::ValueOrNull,
                sleeps: false,
                in_lock: false,
            });
        }
        H::sk_storage_delete => &[Map, Own],
        H::get_socket_cookie => &[Ctx],
        H::get_netns_cookie => &[CtxOrNull],
        _ => return None,
    };
    Some(Proto { args, ret: Ret::Num, sleeps: false, in_lock: false })
}

/// Whether a call may move the packet.
pub(super) fn moves_packet(helper: HelperId) -> bool {
    use HelperId as H;
    matches!(
        helper,
        H::skb_store_bytes
            | H::skb_change_head
            | H::skb_change_tail
            | H::skb_change_proto
            | H::skb_adjust_room
            | H::skb_vlan_push
            | H::skb_vlan_pop
            | H::skb_pull_data
            | H::l3_csum_replace
            | H::l4_csum_replace
            | H::xdp_adjust_head
            | H::xdp_adjust_meta
            | H::xdp_adjust_tail
            | H::clone_redirect
            | H::tail_call
    )
}

/// Whether a helper takes pointers into the packet as memory.
pub(super) fn takes_packet(helper: HelperId) -> bool {
    use HelperId as H;
    matches!(
        helper,
        H::map_lookup_elem
            | H::map_update_elem
            | H::map_delete_elem
            | H::map_push_elem
            | H::map_pop_elem
            | H::map_peek_elem
            | H::map_lookup_percpu_elem
            | H::csum_diff
            | H::sk_lookup_tcp
            | H::sk_lookup_udp
            | H::skc_lookup_tcp
    )
}

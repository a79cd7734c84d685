//! Which helpers a program type may call. Mirrors the `get_func_proto` callbacks of 7.3; the sets are in [`super::helper_sets`].

use sextant_abi::tables::HelperId as H;
use sextant_abi::tables::bpf::*;

use super::Hook;
use super::helper_sets as sets;
use crate::program::ProgKind;

/// Whether programs of this kind may call a helper.
pub(crate) fn may_call(kind: &ProgKind<'_>, helper: H) -> bool {
    let base = sets::BASE.contains(&helper);
    match kind {
        ProgKind::StructOps { .. } => base,
        // bpf_tcp_ca_get_func_proto() has the most of them.
        ProgKind::ForeignStructOps => {
            let tcp = [
                H::tcp_send_ack,
                H::sk_storage_get,
                H::sk_storage_delete,
                H::setsockopt,
                H::getsockopt,
                H::ktime_get_coarse_ns,
            ];
            base || tcp.contains(&helper)
        }
        ProgKind::Syscall => {
            let own = [H::sys_bpf, H::btf_find_by_name_kind, H::sys_close, H::kallsyms_lookup_name];
            own.contains(&helper) || traces(BPF_PROG_TYPE_SYSCALL, 0, helper)
        }
        ProgKind::Tracing { attach_type, .. } => traces(BPF_PROG_TYPE_TRACING, *attach_type, helper),
        ProgKind::Other(hook) => hook.may_call(helper),
    }
}

/// Whether only programs under the GPL may call it.
pub(crate) fn gpl_only(kind: &ProgKind<'_>, helper: H) -> bool {
    let free = match kind {
        ProgKind::Other(hook) => match helper {
            H::get_func_ip => hook.is_multi(),
            H::get_stackid => hook.prog_type == BPF_PROG_TYPE_PERF_EVENT,
            _ => false,
        },
        _ => false,
    };
    sets::GPL_ONLY.contains(&helper) && !free
}

/// `tracing_prog_func_proto()`, which LSM and syscall programs fall back on too.
fn traces(prog_type: u32, attach_type: u32, helper: H) -> bool {
    let trampoline = match prog_type {
        BPF_PROG_TYPE_TRACING => matches!(
            attach_type,
            BPF_TRACE_FENTRY
                | BPF_TRACE_FEXIT
                | BPF_MODIFY_RETURN
                | BPF_TRACE_FSESSION
                | BPF_TRACE_FENTRY_MULTI
                | BPF_TRACE_FEXIT_MULTI
                | BPF_TRACE_FSESSION_MULTI
        ),
        BPF_PROG_TYPE_LSM => attach_type == BPF_LSM_MAC,
        _ => false,
    };
    let raw = attach_type == BPF_TRACE_RAW_TP;
    match helper {
        H::seq_printf | H::seq_write | H::seq_printf_btf => attach_type == BPF_TRACE_ITER,
        H::get_func_arg | H::get_func_arg_cnt => trampoline || raw,
        H::get_func_ret => trampoline,
        H::get_attach_cookie => trampoline || prog_type == BPF_PROG_TYPE_TRACING && raw,
        _ => [sets::BASE, sets::TRACED, sets::TRACING].iter().any(|set| set.contains(&helper)),
    }
}

impl Hook<'_> {
    fn may_call(&self, helper: H) -> bool {
        let base = sets::BASE.contains(&helper);
        let sk_base = base || sets::SK_BASE.contains(&helper);
        let has = |set: &[H]| set.contains(&helper);
        match self.prog_type {
            _ if self.is_probe() => base || self.probe(helper),
            BPF_PROG_TYPE_TRACING => traces(self.prog_type, self.attach_type, helper),
            BPF_PROG_TYPE_LSM => {
                let cgroup = self.is_lsm_cgroup() && self.cgroup(helper);
                cgroup || has(sets::LSM) || traces(self.prog_type, self.attach_type, helper)
            }
            BPF_PROG_TYPE_SOCKET_FILTER => sk_base || has(sets::SOCKET_FILTER),
            BPF_PROG_TYPE_SCHED_CLS | BPF_PROG_TYPE_SCHED_ACT => sk_base || has(sets::SCHED_CLS),
            BPF_PROG_TYPE_XDP => sk_base || has(sets::XDP),
            BPF_PROG_TYPE_CGROUP_SKB => {
                sk_base || has(sets::SOCKET_FILTER) || has(sets::CGROUP_SKB) || self.cgroup(helper)
            }
            BPF_PROG_TYPE_SOCK_OPS => sk_base || has(sets::SOCK_OPS) || self.cgroup(helper),
            BPF_PROG_TYPE_SK_SKB => sk_base || has(sets::SK_SKB),
            BPF_PROG_TYPE_SK_MSG => sk_base || has(sets::SK_MSG),
            BPF_PROG_TYPE_FLOW_DISSECTOR => sk_base || helper == H::skb_load_bytes,
            BPF_PROG_TYPE_SK_LOOKUP => {
                sk_base || matches!(helper, H::perf_event_output | H::sk_assign | H::sk_release)
            }
            BPF_PROG_TYPE_SK_REUSEPORT => base || has(sets::SK_REUSEPORT),
            BPF_PROG_TYPE_LWT_OUT => sk_base || has(sets::LWT_OUT),
            BPF_PROG_TYPE_LWT_IN => sk_base || has(sets::LWT_OUT) || helper == H::lwt_push_encap,
            BPF_PROG_TYPE_LWT_XMIT => sk_base || has(sets::LWT_OUT) || has(sets::LWT_XMIT),
            BPF_PROG_TYPE_LWT_SEG6LOCAL => {
                let out = has(sets::LWT_OUT) && helper != H::skb_pull_data;
                sk_base || out || has(sets::LWT_SEG6LOCAL)
            }
            BPF_PROG_TYPE_LIRC_MODE2 => has(sets::LIRC_MODE2),
            BPF_PROG_TYPE_CGROUP_SOCK_ADDR => {
                let connects =
                    matches!(self.attach_type, BPF_CGROUP_INET4_CONNECT | BPF_CGROUP_INET6_CONNECT);
                let bind = helper == H::bind && connects;
                sk_base || bind || has(sets::SOCK_ADDR) || self.cgroup(helper)
            }
            _ if self.is_cgroup() => base || self.cgroup(helper) || self.cgroup_own(helper),
            // Netfilter and extensions.
            _ => base,
        }
    }

    /// What probes, tracepoints and perf events have beside the base.
    fn probe(&self, helper: H) -> bool {
        match helper {
            H::override_return => self.prog_type == BPF_PROG_TYPE_KPROBE,
            H::perf_prog_read_value | H::read_branch_records => self.prog_type == BPF_PROG_TYPE_PERF_EVENT,
            H::get_attach_cookie => true,
            _ => sets::TRACED.contains(&helper),
        }
    }

    /// A kprobe or uprobe on many places.
    fn is_multi(&self) -> bool {
        self.prog_type == BPF_PROG_TYPE_KPROBE
            && matches!(
                self.attach_type,
                BPF_TRACE_KPROBE_MULTI
                    | BPF_TRACE_KPROBE_SESSION
                    | BPF_TRACE_UPROBE_MULTI
                    | BPF_TRACE_UPROBE_SESSION
            )
    }

    fn is_cgroup(&self) -> bool {
        matches!(
            self.prog_type,
            BPF_PROG_TYPE_CGROUP_SOCK
                | BPF_PROG_TYPE_CGROUP_DEVICE
                | BPF_PROG_TYPE_CGROUP_SYSCTL
                | BPF_PROG_TYPE_CGROUP_SOCKOPT
        )
    }

    /// What one type of cgroup program has and the others have not.
    fn cgroup_own(&self, helper: H) -> bool {
        match (self.prog_type, helper) {
            (BPF_PROG_TYPE_CGROUP_SYSCTL, _) => sets::SYSCTL.contains(&helper),
            (_, H::perf_event_output) => true,
            (BPF_PROG_TYPE_CGROUP_SOCK, H::setsockopt | H::getsockopt) => {
                self.attach_type == BPF_CGROUP_INET_SOCK_CREATE
            }
            (BPF_PROG_TYPE_CGROUP_SOCK, _) => matches!(
                helper,
                H::get_socket_cookie | H::get_netns_cookie | H::sk_storage_get | H::ktime_get_coarse_ns
            ),
            (BPF_PROG_TYPE_CGROUP_SOCKOPT, H::setsockopt | H::getsockopt) => {
                self.attach_type == BPF_CGROUP_SETSOCKOPT
            }
            (BPF_PROG_TYPE_CGROUP_SOCKOPT, _) => {
                matches!(helper, H::get_netns_cookie | H::sk_storage_get | H::sk_storage_delete | H::tcp_sock)
            }
            _ => false,
        }
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

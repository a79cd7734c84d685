//! Program types that are verified here and never run: what they may return, which of them read a packet, which map contents and
//! helpers they cannot have. [`context`] says what lies in their contexts.
//!
//! Mirrors `return_retval_range()`, `may_access_direct_pkt_data()`, `may_access_skb()`, `is_tracing_prog_type()` of
//! kernel/bpf/verifier.c and the `is_valid_access` and `get_func_proto` callbacks of net/core/filter.c, kernel/trace/bpf_trace.c and
//! kernel/bpf/cgroup.c, 7.3. Left out: fields that only hold a kernel struct (sockets of sock_ops, sk_lookup), offloaded programs.

mod context;
mod helper_sets;
mod helpers;
mod lsm;
mod raw_tp;
#[cfg(test)]
mod tests;

pub(crate) use context::Field;
pub(crate) use helpers::{gpl_only, may_call};
pub use raw_tp::{RawTpArg, raw_tp_arg};
use sextant_abi::tables::bpf::*;

/// A program type, and what it attaches to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hook<'a> {
    /// `BPF_PROG_TYPE_*`
    pub prog_type: u32,
    /// `expected_attach_type` of BPF_PROG_LOAD.
    pub attach_type: u32,
    /// The kernel function it attaches to (LSM hooks); empty: none.
    pub target: &'a str,
}

impl Hook<'static> {
    /// A type without anything that it attaches to.
    pub const fn of(prog_type: u32) -> Hook<'static> {
        Hook { prog_type, attach_type: 0, target: "" }
    }
}

impl Hook<'_> {
    /// The results it may have; `None`: any number.
    pub(crate) fn result(&self) -> Option<(i64, i64)> {
        match self.prog_type {
            BPF_PROG_TYPE_CGROUP_SOCK_ADDR => match self.attach_type {
                BPF_CGROUP_UDP4_RECVMSG
                | BPF_CGROUP_UDP6_RECVMSG
                | BPF_CGROUP_UNIX_RECVMSG
                | BPF_CGROUP_INET4_GETPEERNAME
                | BPF_CGROUP_INET6_GETPEERNAME
                | BPF_CGROUP_UNIX_GETPEERNAME
                | BPF_CGROUP_INET4_GETSOCKNAME
                | BPF_CGROUP_INET6_GETSOCKNAME
                | BPF_CGROUP_UNIX_GETSOCKNAME => Some((1, 1)),
                BPF_CGROUP_INET4_BIND | BPF_CGROUP_INET6_BIND => Some((0, 3)),
                _ => Some((0, 1)),
            },
            BPF_PROG_TYPE_CGROUP_SKB if self.attach_type == BPF_CGROUP_INET_EGRESS => Some((0, 3)),
            BPF_PROG_TYPE_CGROUP_SKB
            | BPF_PROG_TYPE_CGROUP_SOCK
            | BPF_PROG_TYPE_SOCK_OPS
            | BPF_PROG_TYPE_CGROUP_DEVICE
            | BPF_PROG_TYPE_CGROUP_SYSCTL
            | BPF_PROG_TYPE_CGROUP_SOCKOPT
            | BPF_PROG_TYPE_SK_LOOKUP
            | BPF_PROG_TYPE_NETFILTER => Some((0, 1)),
            BPF_PROG_TYPE_KPROBE
                if matches!(self.attach_type, BPF_TRACE_KPROBE_SESSION | BPF_TRACE_UPROBE_SESSION) =>
            {
                Some((0, 1))
            }
            _ => None,
        }
    }

    /// Whether its programs may be sleepable.
    pub(crate) fn can_sleep(&self) -> bool {
        match self.prog_type {
            BPF_PROG_TYPE_LSM => !self.is_lsm_cgroup(),
            BPF_PROG_TYPE_KPROBE
            | BPF_PROG_TYPE_RAW_TRACEPOINT
            | BPF_PROG_TYPE_TRACEPOINT
            | BPF_PROG_TYPE_EXT => true,
            _ => false,
        }
    }

    /// Runs where anything can be interrupted: neither locks nor graphs in maps.
    pub(crate) fn is_probe(&self) -> bool {
        matches!(
            self.prog_type,
            BPF_PROG_TYPE_KPROBE
                | BPF_PROG_TYPE_TRACEPOINT
                | BPF_PROG_TYPE_PERF_EVENT
                | BPF_PROG_TYPE_RAW_TRACEPOINT
                | BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE
        )
    }

    /// Its context is an skb that LD_ABS and LD_IND read from.
    pub(crate) fn reads_skb(&self) -> bool {
        matches!(
            self.prog_type,
            BPF_PROG_TYPE_SOCKET_FILTER | BPF_PROG_TYPE_SCHED_CLS | BPF_PROG_TYPE_SCHED_ACT
        )
    }

    /// The packet may be read, or written, through pointers from the context.
    pub(crate) fn packet_access(&self, write: bool) -> bool {
        match self.prog_type {
            BPF_PROG_TYPE_LWT_IN
            | BPF_PROG_TYPE_LWT_OUT
            | BPF_PROG_TYPE_LWT_SEG6LOCAL
            | BPF_PROG_TYPE_SK_REUSEPORT
            | BPF_PROG_TYPE_FLOW_DISSECTOR
            | BPF_PROG_TYPE_CGROUP_SKB => !write,
            BPF_PROG_TYPE_SCHED_CLS
            | BPF_PROG_TYPE_SCHED_ACT
            | BPF_PROG_TYPE_XDP
            | BPF_PROG_TYPE_LWT_XMIT
            | BPF_PROG_TYPE_SK_SKB
            | BPF_PROG_TYPE_SK_MSG
            | BPF_PROG_TYPE_CGROUP_SOCKOPT => true,
            _ => false,
        }
    }
}

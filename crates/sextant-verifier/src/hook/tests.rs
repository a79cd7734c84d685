//! Every helper for every program type, against the kernel's sets (`helpers_7_3.txt`).

use std::collections::BTreeSet;

use sextant_abi::tables::bpf::*;
use sextant_abi::tables::{HELPERS, Op};

use super::helpers::{gpl_only, may_call};
use super::*;
use crate::program::ProgKind;

const FACTS: &str = include_str!("helpers_7_3.txt");

fn kind(name: &str) -> ProgKind<'static> {
    let hook = |prog_type, attach_type| ProgKind::Other(Hook { prog_type, attach_type, target: "" });
    let tracing = |attach_type| ProgKind::Tracing { args: &[], returns_zero: false, attach_type };
    match name {
        "struct_ops (sched_ext)" => ProgKind::StructOps { op: Op::Enqueue, cid_form: false },
        "syscall" => ProgKind::Syscall,
        "tracing raw_tp" => tracing(BPF_TRACE_RAW_TP),
        "tracing fentry" => tracing(BPF_TRACE_FENTRY),
        "tracing fexit" => tracing(BPF_TRACE_FEXIT),
        "tracing modify_return" => tracing(BPF_MODIFY_RETURN),
        "tracing iter" => tracing(BPF_TRACE_ITER),
        "kprobe" => hook(BPF_PROG_TYPE_KPROBE, 0),
        "tracepoint" => hook(BPF_PROG_TYPE_TRACEPOINT, 0),
        "raw_tracepoint" => hook(BPF_PROG_TYPE_RAW_TRACEPOINT, 0),
        "perf_event" => hook(BPF_PROG_TYPE_PERF_EVENT, 0),
        "lsm mac" => hook(BPF_PROG_TYPE_LSM, BPF_LSM_MAC),
        "lsm cgroup" => hook(BPF_PROG_TYPE_LSM, BPF_LSM_CGROUP),
        "socket_filter" => hook(BPF_PROG_TYPE_SOCKET_FILTER, 0),
        "cgroup_skb ingress" => hook(BPF_PROG_TYPE_CGROUP_SKB, BPF_CGROUP_INET_INGRESS),
        "sched_cls" => hook(BPF_PROG_TYPE_SCHED_CLS, 0),
        "xdp" => hook(BPF_PROG_TYPE_XDP, 0),
        "sock_ops" => hook(BPF_PROG_TYPE_SOCK_OPS, BPF_CGROUP_SOCK_OPS),
        "sk_skb" => hook(BPF_PROG_TYPE_SK_SKB, 0),
        "sk_msg" => hook(BPF_PROG_TYPE_SK_MSG, 0),
        "flow_dissector" => hook(BPF_PROG_TYPE_FLOW_DISSECTOR, 0),
        "sk_lookup" => hook(BPF_PROG_TYPE_SK_LOOKUP, 0),
        "sk_reuseport" => hook(BPF_PROG_TYPE_SK_REUSEPORT, 0),
        "lwt_out" => hook(BPF_PROG_TYPE_LWT_OUT, 0),
        "lwt_in" => hook(BPF_PROG_TYPE_LWT_IN, 0),
        "lwt_xmit" => hook(BPF_PROG_TYPE_LWT_XMIT, 0),
        "lwt_seg6local" => hook(BPF_PROG_TYPE_LWT_SEG6LOCAL, 0),
        "lirc_mode2" => hook(BPF_PROG_TYPE_LIRC_MODE2, 0),
        "cgroup_device" => hook(BPF_PROG_TYPE_CGROUP_DEVICE, BPF_CGROUP_DEVICE),
        "cgroup_sysctl" => hook(BPF_PROG_TYPE_CGROUP_SYSCTL, BPF_CGROUP_SYSCTL),
        "cgroup_sockopt set" => hook(BPF_PROG_TYPE_CGROUP_SOCKOPT, BPF_CGROUP_SETSOCKOPT),
        "cgroup_sockopt get" => hook(BPF_PROG_TYPE_CGROUP_SOCKOPT, BPF_CGROUP_GETSOCKOPT),
        "cgroup_sock create" => hook(BPF_PROG_TYPE_CGROUP_SOCK, BPF_CGROUP_INET_SOCK_CREATE),
        "cgroup_sock_addr connect4" => hook(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_CONNECT),
        "cgroup_sock_addr bind4" => hook(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_BIND),
        "netfilter" => hook(BPF_PROG_TYPE_NETFILTER, 0),
        other => panic!("no program type {other}"),
    }
}

/// Program types and their helpers, as the kernel has them.
fn facts() -> Vec<(&'static str, BTreeSet<&'static str>)> {
    let mut out = Vec::new();
    for line in FACTS.lines().filter(|line| !line.starts_with('#')) {
        match line.strip_suffix(':') {
            Some(name) => out.push((name, BTreeSet::new())),
            None => out.last_mut().expect("a type first").1.extend(line.split_whitespace()),
        }
    }
    out
}

#[test]
fn every_helper_for_every_program_type() {
    let facts = facts();
    assert_eq!(facts.len(), 36);
    let mut wrong = Vec::new();
    for (name, allowed) in &facts {
        for helper in &HELPERS[1..] {
            let known = allowed.contains(helper.name.trim_start_matches("bpf_"));
            if may_call(&kind(name), helper.id) != known {
                let says = if known { "refused, Linux allows it" } else { "allowed, Linux refuses it" };
                wrong.push(format!("{name}: {} is {says}", helper.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn names_are_those_of_helpers() {
    for (name, allowed) in facts() {
        for helper in allowed {
            let known = HELPERS.iter().any(|h| h.name.strip_prefix("bpf_") == Some(helper));
            assert!(known, "{name}: {helper}");
        }
    }
}

#[test]
fn helpers_for_the_gpl_only() {
    let enqueue = kind("struct_ops (sched_ext)");
    let only: Vec<&str> = HELPERS[1..]
        .iter()
        .filter(|helper| may_call(&enqueue, helper.id) && gpl_only(&enqueue, helper.id))
        .map(|helper| helper.name.trim_start_matches("bpf_"))
        .collect();
    assert_eq!(
        only.join(" "),
        "trace_printk perf_event_read get_current_task perf_event_read_value probe_read_user probe_read_kernel \
         probe_read_user_str probe_read_kernel_str get_current_task_btf snprintf timer_init timer_set_callback \
         timer_start timer_cancel task_pt_regs get_branch_snapshot trace_vprintk copy_from_user_task"
    );
    let perf = kind("perf_event");
    assert!(!gpl_only(&perf, sextant_abi::tables::HelperId::get_stackid));
}

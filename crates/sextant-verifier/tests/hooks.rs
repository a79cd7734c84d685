//! Accept and reject pairs of program types that are verified and never run: results, contexts, packets, helpers.

mod common;

use common::program;
use sextant_abi::tables::bpf::*;
use sextant_verifier::{Code, Hook, MapDesc, ProgKind};

const fn hook(prog_type: u32) -> ProgKind<'static> {
    ProgKind::Other(Hook::of(prog_type))
}

fn attached(prog_type: u32, attach_type: u32) -> ProgKind<'static> {
    ProgKind::Other(Hook { attach_type, ..Hook::of(prog_type) })
}

#[test]
fn results_have_a_range() {
    let addr = BPF_PROG_TYPE_CGROUP_SOCK_ADDR;
    for (kind, good, bad) in [
        (hook(BPF_PROG_TYPE_CGROUP_SOCK), 1, 2),
        (attached(BPF_PROG_TYPE_CGROUP_SKB, BPF_CGROUP_INET_EGRESS), 3, 4),
        (attached(addr, BPF_CGROUP_INET4_BIND), 3, 4),
        (attached(addr, BPF_CGROUP_UDP6_RECVMSG), 1, 0),
        (attached(addr, BPF_CGROUP_INET4_CONNECT), 1, 2),
        (hook(BPF_PROG_TYPE_NETFILTER), 1, 2),
        (hook(BPF_PROG_TYPE_SK_LOOKUP), 0, -1),
    ] {
        program(&format!("mov %r0, {good}\nexit")).kind(kind).accepted();
        program(&format!("mov %r0, {bad}\nexit")).kind(kind).refused(Code::Return, "should have been in");
        program("mov %r0, %r1\nexit").kind(kind).refused(Code::Return, "not a known value (ctx)");
    }
    program("mov %r0, 77\nexit").kind(hook(BPF_PROG_TYPE_KPROBE)).accepted();
}

#[test]
fn contexts_have_fields() {
    let tc = hook(BPF_PROG_TYPE_SCHED_CLS);
    program("ldxw %r0, [%r1+8]\nstw [%r1+8], 1\nexit").kind(tc).accepted();
    program("ldxdw %r0, [%r1+8]\nexit").kind(tc).refused(Code::CtxAccess, "off=8 size=8");
    program("ldxw %r0, [%r1+192]\nexit").kind(tc).refused(Code::CtxAccess, "off=192 size=4");
    program("ldxw %r0, [%r1+88]\nexit").kind(tc).refused(Code::CtxAccess, "off=88 size=4");
    program("stw [%r1+0], 1\nmov %r0, 0\nexit").kind(tc).refused(Code::CtxAccess, "off=0 size=4");
    let class = "ldxw %r0, [%r1+72]\nmov %r0, 0\nexit";
    program(class).kind(tc).accepted();
    program(class).kind(hook(BPF_PROG_TYPE_LWT_IN)).refused(Code::CtxAccess, "off=72");
    program(class).kind(hook(BPF_PROG_TYPE_CGROUP_SKB)).refused(Code::CtxAccess, "off=72");
    program("ldxdw %r0, [%r1+160]\nexit").kind(hook(BPF_PROG_TYPE_KPROBE)).accepted();
    program("ldxdw %r0, [%r1+168]\nexit")
        .kind(hook(BPF_PROG_TYPE_KPROBE))
        .refused(Code::CtxAccess, "off=168 size=8");
}

/// r2: the packet, r3: its end; r4 is r2 + 8.
const PACKET: &str = "ldxw %r2, [%r1+76]\nldxw %r3, [%r1+80]\nmov %r4, %r2\nadd %r4, 8\nmov %r0, 0\n";

#[test]
fn packets_are_read_up_to_what_was_compared() {
    let tc = hook(BPF_PROG_TYPE_SCHED_CLS);
    let after = |code: &str| program(&format!("{PACKET}{code}\nexit")).kind(tc);
    after("jgt %r4, %r3, +1\nldxdw %r0, [%r2+0]").accepted();
    after("jgt %r4, %r3, +1\nldxdw %r0, [%r2+1]").refused(Code::MemBounds, "invalid access to packet, off=1");
    after("jgt %r4, %r3, +1\nldxdw %r0, [%r2-1]").refused(Code::MemBounds, "min value is negative");
    after("jgt %r4, %r3, +1\nstxdw [%r4-8], %r0").accepted();
    after("jge %r3, %r4, +1\nldxdw %r0, [%r2+0]").refused(Code::MemBounds, "invalid access to packet");
    after("jge %r3, %r4, +1\nldxdw %r0, [%r4-8]").refused(Code::MemBounds, "outside of the packet");
    after("ldxb %r0, [%r2+0]").refused(Code::MemBounds, "invalid access to packet");
    after("jge %r4, %r3, +1\nldxb %r0, [%r4+0]").accepted();
    // The end itself is no place to read from.
    after("ldxb %r0, [%r3+0]").refused(Code::NotAPointer, "pkt_end");
    after("add %r3, 8").refused(Code::BadPointerMath, "pkt_end prohibited");
}

#[test]
fn what_is_not_known_of_an_offset_is_the_same_for_its_copies_only() {
    let tc = hook(BPF_PROG_TYPE_SCHED_CLS);
    // r5 = packet + (0..=255, a multiple of 4) + 1; r6 = the same + 8.
    let moved =
        "ldxw %r7, [%r1+0]\nand %r7, 252\nadd %r2, %r7\nmov %r5, %r2\nadd %r5, 1\nmov %r6, %r5\nadd %r6, 8\n";
    let after = |code: &str| program(&format!("{PACKET}{moved}{code}\nexit")).kind(tc);
    after("jgt %r6, %r3, +1\nldxdw %r0, [%r5+0]").accepted();
    after("jgt %r6, %r3, +1\nldxdw %r0, [%r5+1]").refused(Code::MemBounds, "invalid access to packet");
    after("jgt %r6, %r3, +1\nldxdw %r0, [%r2+2]").refused(Code::MemBounds, "invalid access to packet");
    // A pointer that was moved otherwise was not compared.
    after("jgt %r6, %r3, +2\nadd %r5, %r7\nldxb %r0, [%r5+0]")
        .refused(Code::MemBounds, "invalid access to packet");
}

#[test]
fn packets_move() {
    let tc = hook(BPF_PROG_TYPE_SCHED_CLS);
    let pull = |call: &str| {
        let text = format!(
            "mov %r6, %r1\n{PACKET}jgt %r4, %r3, +5\nmov %r7, %r2\nmov %r1, %r6\nmov %r2, 0\n{call}\nldxb %r0, [%r7+0]\nexit"
        );
        program(&text).kind(tc)
    };
    pull("call @get_hash_recalc").accepted();
    pull("call @skb_pull_data").refused(Code::NotAPointer, "R7 invalid mem access 'scalar'");
}

#[test]
fn only_some_types_write_packets() {
    let text = format!("{PACKET}jgt %r4, %r3, +1\nstxdw [%r2+0], %r0\nexit");
    program(&text).kind(hook(BPF_PROG_TYPE_LWT_XMIT)).accepted();
    program(&text).kind(hook(BPF_PROG_TYPE_LWT_IN)).refused(Code::Readonly, "cannot write into packet");
}

#[test]
fn helpers_write_packets_only_where_the_program_may() {
    let text = format!("{PACKET}jgt %r4, %r3, +4\nlddw %r1, @map 8\ncall @map_peek_elem\nmov %r0, 0\nexit");
    let peek = |kind| {
        let mut test = program(&text).kind(kind);
        let map = MapDesc { value_size: 8, ..test.maps[0].clone() };
        test.maps.push(MapDesc { id: 8, name: "queue", map_type: BPF_MAP_TYPE_QUEUE, ..map });
        test
    };
    peek(hook(BPF_PROG_TYPE_SCHED_CLS)).accepted();
    peek(hook(BPF_PROG_TYPE_CGROUP_SKB)).refused(Code::Readonly, "cannot write into packet");
}

#[test]
fn skb_loads_clobber_and_may_leave() {
    let filter = hook(BPF_PROG_TYPE_SOCKET_FILTER);
    let load = "ldabsw 0";
    program(&format!("mov %r6, %r1\n{load}\nexit")).kind(filter).accepted();
    program(&format!("{load}\nexit")).kind(filter).refused(Code::Uninit, "R6 !read_ok");
    program(&format!("mov %r6, %r1\n{load}\nmov %r0, %r1\nexit"))
        .kind(filter)
        .refused(Code::Uninit, "R1 !read_ok");
    program(&format!("mov %r6, %r1\n{load}\nexit"))
        .kind(hook(BPF_PROG_TYPE_XDP))
        .refused(Code::Unsupported, "not allowed for this program type");
    // In a function the hidden exit returns 0, the function itself 8.
    let caller = "call local f\nmov %r1, %r10\nadd %r1, %r0\nldxdw %r0, [%r1-520]\nexit";
    program(&format!("{caller}\nf:\nmov %r0, 8\nexit")).kind(filter).accepted();
    let text = format!("{caller}\nf:\nmov %r6, %r1\n{load}\nmov %r0, 8\nexit");
    program(&text).kind(filter).refused(Code::StackBounds, "invalid read from stack R1 off=-520");
}

#[test]
fn helpers_by_type() {
    let coarse = "call @ktime_get_coarse_ns\nmov %r0, 0\nexit";
    for probe in [
        BPF_PROG_TYPE_KPROBE,
        BPF_PROG_TYPE_TRACEPOINT,
        BPF_PROG_TYPE_PERF_EVENT,
        BPF_PROG_TYPE_RAW_TRACEPOINT,
    ] {
        program(coarse)
            .kind(hook(probe))
            .refused(Code::HelperDenied, "cannot use helper bpf_ktime_get_coarse_ns");
        let locked = "lddw %r1, @map 6\nmov %r0, 0\nexit";
        program(locked).kind(hook(probe)).refused(Code::MapUse, "tracing progs cannot use bpf_spin_lock yet");
    }
    program(coarse).kind(hook(BPF_PROG_TYPE_XDP)).accepted();
    // A scheduler has what every type has, no more.
    program(coarse).refused(Code::HelperDenied, "cannot use helper bpf_ktime_get_coarse_ns");
    let errno = |value| format!("mov %r1, {value}\ncall @set_retval\nmov %r0, 1\nexit");
    let device = attached(BPF_PROG_TYPE_CGROUP_DEVICE, BPF_CGROUP_DEVICE);
    program(&errno(-4095)).kind(device).accepted();
    program(&errno(1)).kind(device).refused(Code::ArgType, "should have been in [-4095, 0]");
    program(&errno(-4096)).kind(device).refused(Code::ArgType, "should have been in [-4095, 0]");
}

fn security(target: &'static str, attach_type: u32) -> ProgKind<'static> {
    ProgKind::Other(Hook { prog_type: BPF_PROG_TYPE_LSM, attach_type, target })
}

#[test]
fn security_hooks_answer_with_an_errno() {
    let answers = |value: i64, kind| program(&format!("mov %r0, {value}\nexit")).kind(kind);
    let hook = security("bpf_lsm_file_open", BPF_LSM_MAC);
    answers(-4095, hook).accepted();
    answers(-4096, hook).refused(Code::Return, "should have been in [-4095, 0]");
    answers(1, hook).refused(Code::Return, "should have been in [-4095, 0]");
    answers(1, security("bpf_lsm_audit_rule_known", BPF_LSM_MAC)).accepted();
    answers(-1, security("bpf_lsm_audit_rule_known", BPF_LSM_MAC)).refused(Code::Return, "in [0, 1]");
    answers(0, security("bpf_lsm_getprocattr", BPF_LSM_MAC)).refused(Code::HelperDenied, "disabled hook");
    let cgroup = security("bpf_lsm_socket_create", BPF_LSM_CGROUP);
    answers(1, cgroup).accepted();
    answers(1, cgroup).sleepable().refused(Code::Sleepable, "cannot be sleepable");
}

#[test]
fn tail_calls_leave_functions() {
    let tc = hook(BPF_PROG_TYPE_SCHED_CLS);
    let call = "lddw %r2, @map 8\nmov %r3, 0\ncall @tail_call\n";
    let with_array = |text: &str| {
        let mut test = program(text).kind(tc);
        test.maps.push(MapDesc {
            id: 8,
            name: "progs",
            map_type: BPF_MAP_TYPE_PROG_ARRAY,
            ..test.maps[0].clone()
        });
        test
    };
    with_array(&format!("{call}mov %r0, 0\nexit")).accepted();
    // Where it succeeds the function has returned, with any result.
    let caller = "call local f\nmov %r1, %r10\nadd %r1, %r0\nldxb %r0, [%r1-520]\nexit\nf:\n";
    with_array(&format!("{caller}mov %r0, 8\nexit")).accepted();
    with_array(&format!("{caller}{call}mov %r0, 8\nexit"))
        .refused(Code::BadPointerMath, "unbounded min value");
    // The callers' stack stays where it is.
    let deep = format!("mov %r0, 0\nstxdw [%r10-256], %r0\ncall local f\nexit\nf:\n{call}mov %r0, 0\nexit");
    with_array(&deep).refused(Code::StackDepth, "tail_calls are not allowed when call stack");
}

#[test]
fn what_probes_put_on_the_stack_does_not_add_up() {
    let text =
        "mov %r0, 0\nstxdw [%r10-512], %r0\ncall local f\nexit\nf:\nmov %r0, 0\nstxdw [%r10-128], %r0\nexit";
    program(text).kind(hook(BPF_PROG_TYPE_KPROBE)).accepted();
    program(text)
        .kind(hook(BPF_PROG_TYPE_XDP))
        .refused(Code::StackDepth, "combined stack size of 2 calls is 640");
}

#[test]
fn throwing_ends_the_program() {
    let tc = hook(BPF_PROG_TYPE_SCHED_CLS);
    program("mov %r1, 7\ncall @bpf_throw\nexit").kind(tc).accepted();
    let cgroup = attached(BPF_PROG_TYPE_CGROUP_DEVICE, BPF_CGROUP_DEVICE);
    program("mov %r1, 7\ncall @bpf_throw\nexit").kind(cgroup).refused(Code::Return, "register R1 has smin=7");
    program("call @bpf_rcu_read_lock\nmov %r1, 7\ncall @bpf_throw\nexit")
        .kind(tc)
        .refused(Code::LockBalance, "bpf_throw cannot be used inside bpf_rcu_read_lock-ed region");
}

#[test]
fn no_memory_is_null_only_when_it_has_no_size() {
    let sum = |size: u32| {
        let text =
            format!("mov %r1, 0\nmov %r2, {size}\nmov %r3, 0\nmov %r4, 0\nmov %r5, 0\ncall @csum_diff\nexit");
        program(&text).kind(hook(BPF_PROG_TYPE_SCHED_CLS))
    };
    sum(0).accepted();
    sum(4).refused(Code::ArgType, "R1 type=scalar expected=fp");
}

#[test]
fn the_context_is_passed_on_as_it_came() {
    let probe = hook(BPF_PROG_TYPE_KPROBE);
    program("call @get_func_ip\nexit").kind(probe).accepted();
    program("add %r1, 8\ncall @get_func_ip\nexit")
        .kind(probe)
        .refused(Code::CtxAccess, "modified ctx ptr R1 off=8");
}

/// r0: a value of map 2 or NULL.
const LOOKUP: &str = "stw [%r10-4], 9\nmov %r2, %r10\nadd %r2, -4\nlddw %r1, @map 2\ncall @map_lookup_elem\n";

#[test]
fn a_zero_that_tells_not_null_matters() {
    // r6 is 0 on the path that is followed first, 1 on the other.
    let text = format!(
        "call @get_prandom_u32\nmov %r6, 1\njeq %r0, 0, +1\nmov %r6, 0\n{LOOKUP}jeq %r0, %r6, +1\nldxb %r0, [%r0+0]\nmov %r0, 0\nexit"
    );
    let mut test = program(&text).kind(hook(BPF_PROG_TYPE_SOCKET_FILTER));
    test.state_freq = true;
    test.refused(Code::NullDeref, "map_value_or_null");
}

#[test]
fn an_offset_without_bounds_may_wrap_to_null() {
    let text = |bound: &str| {
        let found = format!("{LOOKUP}jeq %r0, 0, +1\nja +2\nmov %r0, 0\nexit\nmov %r6, %r0\n");
        program(&format!(
            "{found}{LOOKUP}mov %r7, %r0\nmov %r8, %r7\nsub %r8, %r6\n{bound}add %r6, %r8\njne %r7, %r6, +1\nldxb %r0, [%r7+0]\nmov %r0, 0\nexit"
        ))
        .kind(hook(BPF_PROG_TYPE_SOCKET_FILTER))
    };
    text("and %r8, 4095\n").accepted();
    text("lsh %r8, 1\nrsh %r8, 1\n").refused(Code::NullDeref, "map_value_or_null");
}

/// r0: a socket or NULL, held.
const SOCK: &str = "mov %r2, 0\nstxdw [%r10-48], %r2\nstxdw [%r10-40], %r2\nmov %r2, %r10\nadd %r2, -48\nmov %r3, 12\nmov %r4, 0\nmov %r5, 0\ncall @sk_lookup_tcp\n";

#[test]
fn sockets_are_given_back() {
    let after = |code: &str| program(&format!("{SOCK}{code}")).kind(hook(BPF_PROG_TYPE_SCHED_CLS));
    after("jeq %r0, 0, +2\nmov %r1, %r0\ncall @sk_release\nmov %r0, 0\nexit").accepted();
    after("mov %r0, 0\nexit").refused(Code::RefLeak, "Unreleased reference");
    after("mov %r1, %r0\ncall @sk_release\nexit").refused(Code::ArgNull, "type=sock_or_null expected=");
    let found = "jne %r0, 0, +1\nexit\nmov %r6, %r0\nmov %r1, %r0\n";
    after(&format!("{found}add %r1, 8\nexit")).refused(Code::BadPointerMath, "arithmetic on sock prohibited");
    // Either pointer gives it back; both are gone then.
    let cast = |rest: &str| {
        after(&format!(
            "{found}call @tcp_sock\njne %r0, 0, +3\nmov %r1, %r6\ncall @sk_release\nexit\nmov %r7, %r0\n{rest}"
        ))
    };
    cast("mov %r1, %r7\ncall @sk_release\nmov %r0, 0\nexit").accepted();
    cast("mov %r1, %r7\ncall @sk_release\nldxw %r0, [%r6+4]\nexit").refused(Code::NotAPointer, "R6");
    cast("mov %r1, %r6\ncall @sk_release\nldxw %r0, [%r7+0]\nexit").refused(Code::NotAPointer, "R7");
    // A listener is not held.
    let beside = format!(
        "{found}call @get_listener_sock\njne %r0, 0, +3\nmov %r1, %r6\ncall @sk_release\nexit\nmov %r1, %r0\ncall @sk_release\nexit"
    );
    after(&beside).refused(Code::RefRelease, "expects referenced");
}

#[test]
fn sockets_are_read_by_member() {
    let of = |code: &str| {
        let text =
            format!("ldxdw %r1, [%r1+168]\njne %r1, 0, +2\nmov %r0, 0\nexit\n{code}\nmov %r0, 0\nexit");
        program(&text).kind(hook(BPF_PROG_TYPE_CGROUP_SKB))
    };
    of("ldxw %r0, [%r1+4]").accepted();
    of("ldxw %r0, [%r1+8]").refused(Code::ObjAccess, "invalid sock_common access off=8 size=4");
    of("ldxdw %r0, [%r1+0]").refused(Code::ObjAccess, "invalid sock_common access off=0 size=8");
    of("stw [%r1+0], 0").refused(Code::Readonly, "cannot write into sock_common");
    program("ldxdw %r1, [%r1+168]\nldxw %r0, [%r1+4]\nexit")
        .kind(hook(BPF_PROG_TYPE_CGROUP_SKB))
        .refused(Code::NullDeref, "sock_common_or_null");
}

#[test]
fn going_back_in_a_packet_keeps_what_was_there() {
    // r5 was compared, then goes back by 8 to 39 bytes.
    let back = |size: &str| {
        let text = format!(
            "ldxw %r2, [%r1+76]\nldxw %r3, [%r1+80]\nldxw %r4, [%r1+8]\nand %r4, 31\nadd %r4, 8\nmov %r5, %r2\nadd %r5, 40\nmov %r0, 0\njgt %r5, %r3, +2\nsub %r5, %r4\n{size}\nexit"
        );
        program(&text).kind(hook(BPF_PROG_TYPE_SCHED_CLS))
    };
    back("ldxdw %r0, [%r5+0]").accepted();
    back("ldxdw %r0, [%r5+1]").refused(Code::MemBounds, "invalid access to packet");
    back("ldxb %r0, [%r5-2]").refused(Code::MemBounds, "min value is negative");
}

#[test]
fn local_storage_is_a_value() {
    let storage = |flags: u32, off: i32| {
        let text = format!(
            "mov %r2, {flags}\nlddw %r1, @map 8\ncall @get_local_storage\nldxw %r1, [%r0+{off}]\nmov %r0, 1\nexit"
        );
        let mut test = program(&text).kind(hook(BPF_PROG_TYPE_CGROUP_SKB));
        let map = test.maps[0].clone();
        test.maps.push(MapDesc { id: 8, name: "storage", map_type: BPF_MAP_TYPE_CGROUP_STORAGE, ..map });
        test
    };
    storage(0, 12).accepted();
    storage(0, 16).refused(Code::MapBounds, "value_size=16 off=16 size=4");
    storage(1, 0).refused(Code::ArgConst, "doesn't support non-zero flags");
}

#[test]
fn buffers_of_tracepoints() {
    let writable = hook(BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE);
    program("ldxdw %r6, [%r1+0]\nstdw [%r6+8], 1\nmov %r0, 0\nexit").kind(writable).accepted();
    program("ldxdw %r6, [%r1+0]\nadd %r6, -8\nldxdw %r0, [%r6+0]\nexit")
        .kind(writable)
        .refused(Code::MemBounds, "invalid negative tracepoint buffer offset");
    program("ldxdw %r6, [%r1+0]\nldxw %r2, [%r6+0]\nadd %r6, %r2\nldxdw %r0, [%r6+0]\nexit")
        .kind(writable)
        .refused(Code::MemBounds, "invalid variable buffer offset");
}

#[test]
fn strict_alignment_is_of_everything() {
    let tc = hook(BPF_PROG_TYPE_SCHED_CLS);
    // The packet itself begins 2 bytes behind a multiple of 4.
    let packet = |at: i32| {
        let text = format!(
            "ldxw %r2, [%r1+76]\nldxw %r3, [%r1+80]\nmov %r4, %r2\nadd %r4, 16\njgt %r4, %r3, +1
            ldxw %r0, [%r2+{at}]\nmov %r0, 0\nexit"
        );
        let mut test = program(&text).kind(tc);
        test.strict_alignment = true;
        test
    };
    packet(2).accepted();
    packet(4).refused(Code::Misaligned, "misaligned packet access off 2+0+4 size 4");
    let mut value = program("lddw %r1, @value 7\nldxw %r0, [%r1+2]\nexit");
    value.accepted();
    value.strict_alignment = true;
    value.refused(Code::Misaligned, "misaligned value access");
}

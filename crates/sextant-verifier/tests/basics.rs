//! Accept and reject pairs: registers, stack, maps, branches, loops.

mod common;

use common::program;
use sextant_abi::tables::{Op, bpf};
use sextant_verifier::diag::Way;
use sextant_verifier::{Code, Hook, ProgKind};

#[test]
fn nothing_at_all() {
    let accepted = program("mov %r0, 0\nexit").accepted();
    assert_eq!((accepted.insns_processed, accepted.dead), (2, vec![false, false]));
}

#[test]
fn registers_must_be_set() {
    program("mov %r0, %r3\nexit").refused(Code::Uninit, "R3 !read_ok");
    program("jeq %r1, 0, +1\nmov %r2, 0\nmov %r0, %r2\nexit").refused(Code::Uninit, "R2 !read_ok");
    program("lddw %r3, @value 7\njeq %r3, 0, +1\nmov %r2, 0\nmov %r0, %r2\nexit").accepted();
    program("exit").op(Op::Enqueue).accepted();
    program("exit").op(Op::Init).refused(Code::Uninit, "R0 !read_ok");
    // Nobody asks what a struct_ops program returns.
    program("mov %r0, %r1\nexit").op(Op::Init).accepted();
}

#[test]
fn unreachable_code() {
    program("mov %r0, 0\nja +1\nmov %r0, 1\nexit").refused(Code::Unreachable, "unreachable insn 2");
}

#[test]
fn stack_bounds() {
    program("mov %r0, 0\nstxdw [%r10-8], %r0\nldxdw %r0, [%r10-8]\nexit").accepted();
    program("mov %r0, 0\nstxdw [%r10-512], %r0\nexit").accepted();
    program("mov %r0, 0\nstxdw [%r10-520], %r0\nexit")
        .refused(Code::StackBounds, "invalid write to stack R10 off=-520 size=8");
    program("mov %r0, 0\nstxdw [%r10+0], %r0\nexit").refused(Code::StackBounds, "invalid write to stack");
    program("mov %r0, 0\nstxdw [%r10-4], %r0\nexit")
        .refused(Code::Misaligned, "misaligned stack access off 0+-4 size 8");
}

#[test]
fn spills_keep_types_and_ranges() {
    // The pointer survives on the stack.
    program("stxdw [%r10-8], %r1\nldxdw %r2, [%r10-8]\nldxdw %r0, [%r2+8]\nexit").accepted();
    // Half of it does not.
    program("stxdw [%r10-8], %r1\nldxw %r2, [%r10-8]\nmov %r0, 0\nexit")
        .refused(Code::Spill, "invalid size of register fill");
    // A bounded index survives too.
    let text = "ldxdw %r6, [%r1+8]
        jgt %r6, 7, +6
        stxdw [%r10-8], %r6
        ldxdw %r7, [%r10-8]
        lddw %r2, @value 7
        add %r2, %r7
        ldxb %r0, [%r2+0]
        exit";
    program(text).accepted();
}

const LOOKUP: &str = "stw [%r10-4], 9
    mov %r2, %r10
    add %r2, -4
    lddw %r1, @map 0
    call @map_lookup_elem
";

#[test]
fn map_values_are_null_checked() {
    program(&format!("{LOOKUP}ldxdw %r0, [%r0+0]\nexit"))
        .refused(Code::NullDeref, "R0 invalid mem access 'map_value_or_null'");
    program(&format!("{LOOKUP}jeq %r0, 0, +1\nldxdw %r0, [%r0+8]\nmov %r0, 0\nexit")).accepted();
    program(&format!("{LOOKUP}jeq %r0, 0, +1\nldxdw %r0, [%r0+12]\nmov %r0, 0\nexit"))
        .refused(Code::MapBounds, "invalid access to map value, value_size=16 off=12 size=8");
    program(&format!("{LOOKUP}add %r0, 8\nexit")).refused(
        Code::BadPointerMath,
        "pointer arithmetic on map_value_or_null prohibited, null-check it first",
    );
}

#[test]
fn a_constant_index_of_an_array_needs_no_check() {
    let text = "stw [%r10-8], 3\nmov %r2, %r10\nadd %r2, -8\nlddw %r1, @map 0\ncall @map_lookup_elem\nldxdw %r0, [%r0+0]\nexit";
    program(text).accepted();
    program(&text.replace("-8], 3", "-8], 4")).refused(Code::NullDeref, "invalid mem access");
}

#[test]
fn a_copy_of_a_checked_pointer_is_checked() {
    program(&format!("{LOOKUP}mov %r6, %r0\njeq %r0, 0, +1\nldxdw %r0, [%r6+0]\nmov %r0, 0\nexit"))
        .accepted();
}

#[test]
fn indices_are_bounded() {
    let text = |check: &str| {
        format!(
            "ldxdw %r6, [%r1+8]\n{check}\nlddw %r2, @value 7\nadd %r2, %r6\nldxdw %r0, [%r2+0]\nmov %r0, 0\nexit"
        )
    };
    program(&text("jgt %r6, 56, +5")).accepted();
    program(&text("jgt %r6, 57, +5"))
        .refused(Code::MapBounds, "invalid access to map value, value_size=64 off=57");
    program(&text("mov %r7, 0")).refused(Code::BadPointerMath, "register with unbounded min value");
    program(&text("jsgt %r6, 10, +6\njslt %r6, -5, +5")).refused(Code::MapBounds, "min value is negative");
    program(&text("jsgt %r6, 10, +5")).refused(Code::BadPointerMath, "register with unbounded min value");
    program(&text("and %r6, 31")).accepted();
    program(&text("mod %r6, 57")).accepted();
}

#[test]
fn a_check_on_a_copy_counts() {
    let text = "ldxdw %r6, [%r1+8]
        mov %r7, %r6
        jgt %r7, 56, +5
        lddw %r2, @value 7
        add %r2, %r6
        ldxdw %r0, [%r2+0]
        mov %r0, 0
        exit";
    program(text).accepted();
}

#[test]
fn frozen_data_is_constant() {
    // rodata holds 7: the branch with the bad access is dead.
    let text = |expect| {
        format!(
            "lddw %r2, @value 1\nldxw %r3, [%r2+0]\njeq %r3, {expect}, +1\nldxdw %r0, [%r3+0]\nmov %r0, 0\nexit"
        )
    };
    let accepted = program(&text(7)).accepted();
    assert_eq!(accepted.dead, [false, false, false, false, true, false, false]);
    program(&text(8)).refused(Code::NotAPointer, "R3 invalid mem access 'scalar'");
    program("lddw %r2, @value 1\nmov %r0, 0\nstxdw [%r2+0], %r0\nexit")
        .refused(Code::Readonly, "write into map forbidden");
}

#[test]
fn loops() {
    // Bounded, and the bound is needed.
    let bounded = "mov %r6, 0\nagain:\nadd %r6, 1\njlt %r6, 100, again\nmov %r0, 0\nexit";
    assert!(program(bounded).accepted().insns_processed > 200);
    let forever = "mov %r6, 0\nagain:\nmov %r6, 0\nja again\n";
    program(forever).refused(Code::InfiniteLoop, "infinite loop detected");
    let unbounded = "ldxdw %r6, [%r1+8]\nagain:\ncall @get_prandom_u32\njne %r0, 0, again\nexit";
    program(unbounded).refused(Code::InfiniteLoop, "infinite loop detected at insn");
    let long = "mov %r6, 0\nagain:\nadd %r6, 1\njlt %r6, 900000, again\nmov %r0, 0\nexit";
    program(long).refused(Code::TooComplex, "BPF program is too large. Processed 1000001 insn");
}

#[test]
fn may_goto_bounds_a_loop() {
    program("mov %r6, 0\nagain:\nmay_goto +2\nadd %r6, 1\nja again\nmov %r0, 0\nexit").accepted();
}

#[test]
fn iterators() {
    let text = "mov %r1, %r10
        add %r1, -8
        mov %r2, 0
        mov %r3, 1000000
        call @bpf_iter_num_new
        mov %r6, 0
        again:
        mov %r1, %r10
        add %r1, -8
        call @bpf_iter_num_next
        jeq %r0, 0, +3
        ldxw %r1, [%r0+0]
        add %r6, %r1
        ja again
        mov %r1, %r10
        add %r1, -8
        call @bpf_iter_num_destroy
        mov %r0, 0
        exit";
    let accepted = program(text).accepted();
    assert!(accepted.insns_processed < 200, "{}", accepted.insns_processed);
    program(&text.replace("call @bpf_iter_num_destroy", "mov %r0, 0"))
        .refused(Code::RefLeak, "Unreleased reference");
    program("mov %r1, %r10\nadd %r1, -8\ncall @bpf_iter_num_next\nexit")
        .refused(Code::Iterator, "expected an initialized bpf_iter_num as arg #0");
}

/// The sum indexes memory: it must not converge to anything smaller than unbounded.
#[test]
fn an_iterator_loop_does_not_hide_a_growing_index() {
    let text = "mov %r1, %r10
        add %r1, -8
        mov %r2, 0
        mov %r3, 100
        call @bpf_iter_num_new
        mov %r6, 0
        again:
        mov %r1, %r10
        add %r1, -8
        call @bpf_iter_num_next
        jeq %r0, 0, +4
        lddw %r2, @value 7
        add %r2, %r6
        ldxb %r3, [%r2+0]
        add %r6, 1
        ja again
        mov %r1, %r10
        add %r1, -8
        call @bpf_iter_num_destroy
        mov %r0, 0
        exit";
    let text = text.replace("jeq %r0, 0, +4", "jeq %r0, 0, +6");
    assert!(matches!(program(&text).verify(), Err(r) if r.code == Code::MapBounds));
    let bounded = text.replace("add %r6, 1\n", "add %r6, 1\nand %r6, 63\n").replace("+6", "+7");
    program(&bounded).accepted();
}

#[test]
fn calls_of_functions() {
    let text =
        "mov %r1, 5\ncall local f\nmov %r1, %r0\nlddw %r2, @value 7\nadd %r2, %r1\nldxb %r0, [%r2+0]\nexit
        f:\nmov %r0, %r1\nadd %r0, 3\nexit";
    program(text).accepted();
    program(&text.replace("mov %r1, 5", "mov %r1, 61")).refused(Code::MapBounds, "off=64 size=1");
    // r6-r9 are the caller's, r1-r5 are gone.
    program("mov %r6, 1\nmov %r1, 1\ncall local f\nmov %r0, %r6\nexit\nf:\nmov %r6, 2\nmov %r0, 0\nexit")
        .accepted();
    program("mov %r1, 1\ncall local f\nmov %r0, %r1\nexit\nf:\nmov %r0, 0\nexit")
        .refused(Code::Uninit, "R1 !read_ok");
    program("call local f\nexit\nf:\nmov %r0, %r10\nexit")
        .refused(Code::Return, "cannot return stack pointer");
}

#[test]
fn a_callee_writes_the_callers_stack() {
    let text = "stdw [%r10-8], 100\nmov %r1, %r10\nadd %r1, -8\ncall local f\nldxdw %r3, [%r10-8]
        lddw %r2, @value 7\nadd %r2, %r3\nldxb %r0, [%r2+0]\nmov %r0, 0\nexit
        f:\nmov %r2, 3\nstxdw [%r1+0], %r2\nmov %r0, 0\nexit";
    program(text).accepted();
    program(&text.replace("mov %r2, 3", "mov %r2, 64")).refused(Code::MapBounds, "off=64");
}

#[test]
fn stack_depth_and_recursion() {
    let deep =
        "mov %r0, 0\nstxdw [%r10-400], %r0\ncall local f\nexit\nf:\nmov %r0, 0\nstxdw [%r10-400], %r0\nexit";
    program(deep).refused(Code::StackDepth, "combined stack size of 2 calls is 800. Too large");
    program("call local f\nexit\nf:\ncall local f\nexit").refused(Code::StackDepth, "recursive call from");
}

#[test]
fn pointers_are_not_numbers() {
    program("mul %r1, 2\nmov %r0, 0\nexit")
        .refused(Code::BadPointerMath, "R1 pointer arithmetic with *= operator prohibited");
    // Half of an address is a number, and so is its negation: a loader with CAP_PERFMON may have them.
    for made in ["mov32 %r2, %r1", "mov %r2, %r1\nneg %r2", "mov %r2, %r10\nsub32 %r2, 8"] {
        program(&format!("{made}\nmov %r0, 0\nexit")).accepted();
        program(&format!("{made}\nldxdw %r0, [%r2+0]\nexit"))
            .refused(Code::NotAPointer, "R2 invalid mem access 'scalar'");
    }
    program("ldxdw %r2, [%r1+8]\nldxdw %r0, [%r2+0]\nexit")
        .refused(Code::NotAPointer, "R2 invalid mem access 'scalar'");
}

#[test]
fn global_sections_can_be_written() {
    program("lddw %r2, @value 7+8\nmov %r0, 1\nstxdw [%r2+0], %r0\nlock fetch add [%r2+8], %r0\nexit")
        .accepted();
    program("lddw %r2, @value 7+60\nmov %r0, 1\nstxdw [%r2+0], %r0\nexit")
        .refused(Code::MapBounds, "off=60 size=8");
}

#[test]
fn a_foreign_context_is_opaque() {
    program("ldxw %r0, [%r1+16]\nexit")
        .kind(ProgKind::Other(Hook::of(bpf::BPF_PROG_TYPE_SCHED_CLS)))
        .accepted();
    program("mov %r0, 0\nstxdw [%r1+0], %r0\nexit")
        .kind(ProgKind::Other(Hook::of(bpf::BPF_PROG_TYPE_SCHED_CLS)))
        .refused(Code::CtxAccess, "invalid bpf_context access");
    program("mov %r0, 0\nstxdw [%r1+0], %r0\nexit").kind(ProgKind::Syscall).accepted();
}

/// A number bounded by another one: what the other one was matters where the ways to it meet.
#[test]
fn a_bound_that_differs_by_way_is_not_pruned() {
    let text = |other| {
        format!(
            "ldxdw %r6, [%r1+8]
            call @get_prandom_u32
            mov %r7, {other}
            jgt %r0, 5, join
            mov %r7, 8
            join:
            jgt %r6, %r7, out
            lddw %r2, @value 7
            add %r2, %r6
            ldxb %r0, [%r2+0]
            out:
            mov %r0, 0
            exit"
        )
    };
    for state_freq in [false, true] {
        let mut bad = program(&text(100));
        bad.state_freq = state_freq;
        bad.refused(Code::MapBounds, "off=100 size=1");
        let mut good = program(&text(63));
        good.state_freq = state_freq;
        good.accepted();
    }
}

#[test]
fn pointers_stay_near_their_object() {
    program("mov %r2, %r10\nmov %r3, 8\nsub %r2, %r3\nmov %r0, 0\nexit")
        .refused(Code::BadPointerMath, "R2 subtraction from stack pointer prohibited");
    let far = "lddw %r2, @value 7\nldxdw %r3, [%r1+8]\nor %r3, 0x40000000\nand %r3, 0x4000000f\nadd %r2, %r3\nmov %r0, 0\nexit";
    program(far).refused(Code::BadPointerMath, "value 1073741824 makes map_value pointer be out of bounds");
}

#[test]
fn write_only_maps_are_not_read() {
    let mut test = program("lddw %r2, @value 7\nldxdw %r0, [%r2+0]\nexit");
    test.maps[7].flags = sextant_abi::tables::bpf::BPF_F_WRONLY_PROG;
    test.refused(Code::MapUse, "read from map forbidden");
}

/// A number and its copy on the stack are one number: what is told of one holds for the other.
#[test]
fn a_check_on_a_fill_counts_for_what_was_spilled() {
    let text = "ldxdw %r6, [%r1+8]
        stxdw [%r10-8], %r6
        ldxdw %r7, [%r10-8]
        jgt %r7, 56, +5
        lddw %r2, @value 7
        add %r2, %r6
        ldxdw %r0, [%r2+0]
        mov %r0, 0
        exit";
    program(text).accepted();
}

/// A sign mask ANDed with a constant is one of two numbers, not a range.
#[test]
fn a_mask_gives_two_paths() {
    let text = "ldxdw %r6, [%r1+8]
        arsh %r6, 63
        and %r6, 56
        jeq %r6, 0, +2
        jeq %r6, 56, +1
        ldxdw %r0, [%r6+0]
        lddw %r2, @value 7
        add %r2, %r6
        ldxdw %r0, [%r2+0]
        exit";
    program(text).accepted();
    program(&text.replace("56", "57")).refused(Code::MapBounds, "off=57 size=8");
}

/// The way is told where it is the reason: one arm leaves r0 unset.
#[test]
fn the_way_to_a_refusal_is_told() {
    let test = program(
        "ldxdw %r2, [%r1]
         jeq %r2, 7, +1
         mov %r0, 0
         exit",
    );
    let rejection = test.op(Op::SelectCpu).refused(Code::Uninit, "R0 !read_ok");
    let turns: Vec<_> = rejection.path.iter().map(|(at, way)| (at.insn, *way)).collect();
    assert_eq!(turns, [(1, Way::Taken)]);
    let text = rejection.to_string();
    assert!(text.contains("1: if r2 == 0x7 goto pc+1\n  |          - this jump is taken"), "{text}");
    assert!(text.contains("r0 was not written on this way"), "{text}");
}

#[test]
fn the_log_follows_every_path() {
    let test = program(
        "ldxdw %r2, [%r1]
         mov %r0, 0
         jeq %r2, 7, +1
         mov %r0, 1
         exit",
    );
    let log = test.log();
    let lines: Vec<&str> = log.lines().map(str::trim_end).collect();
    assert_eq!(lines[1], "0: R1=ctx R10=fp0");
    assert_eq!(lines[3].split_whitespace().collect::<Vec<_>>().join(" "), "1: (b7) r0 = 0 ; R0=0");
    assert!(lines.iter().any(|line| line.starts_with("from 2 to 4: R0=0")), "{log}");
    assert_eq!(lines.last().map(|line| &line[..20]), Some("processed 6 insns (l"), "{log}");
    let refused = program("mov %r1, %r2\nexit").log();
    assert!(refused.contains("\nR2 !read_ok\n\nVerification failed: "), "{refused}");
    assert!(refused.lines().last().is_some_and(|l| l.starts_with("processed 1 insns")), "{refused}");
}

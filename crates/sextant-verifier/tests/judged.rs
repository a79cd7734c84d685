//! What was wrongly accepted or refused until the kernel's own verifier tests were asked (`cargo xtask verifier-tests`).

mod common;

use common::program;
use sextant_abi::tables::bpf;
use sextant_verifier::{Code, ProgKind};

const LOOKUP: &str = "stw [%r10-8], 0\nmov %r2, %r10\nadd %r2, -8\nlddw %r1, @map 2\ncall @map_lookup_elem\n";

#[test]
fn a_number_that_told_of_a_pointer_matters() {
    let text = format!(
        "call @get_prandom_u32\nmov %r6, 1\njeq %r0, 0, one\nmov %r6, 0\none:\n{LOOKUP}jeq %r0, %r6, out\nldxb %r0, [%r0+0]\nout:\nmov %r0, 0\nexit"
    );
    let mut test = program(&text);
    test.state_freq = true;
    test.refused(Code::NullDeref, "R0 invalid mem access 'map_value_or_null'");
}

#[test]
fn a_sum_that_may_wrap_says_nothing_of_null() {
    let with = |bound: &str| {
        format!(
            "{LOOKUP}jeq %r0, 0, out\nmov %r6, %r0\n{LOOKUP}mov %r7, %r0\ncall @get_prandom_u32\n{bound}add %r6, %r0\njne %r7, %r6, out\nldxb %r0, [%r7+0]\nout:\nmov %r0, 0\nexit"
        )
    };
    program(&with("rsh %r0, 1\n")).refused(Code::NullDeref, "R7 invalid mem access 'map_value_or_null'");
    program(&with("and %r0, 7\n")).accepted();
}

#[test]
fn an_instruction_goes_through_one_kind_of_pointer() {
    let text = "lddw %r9, @map 5\nmov %r6, %r10\nadd %r6, -8\nmov %r9, 0\nstxdw [%r6+0], %r9\nmov %r7, 8192\naddr_space_cast %r7, %r7, 1\ncall @get_prandom_u32\nmov %r8, %r7\njne %r0, 0, go\nmov %r8, %r6\ngo:\nstxdw [%r8+0], %r9\nmov %r0, 0\nexit";
    program(text).refused(Code::NotAPointer, "same insn cannot be used with different pointers");
}

#[test]
fn arithmetic_is_on_arena_pointers_or_not() {
    let text = "lddw %r9, @map 5\nmov %r7, 8192\naddr_space_cast %r7, %r7, 1\ncall @get_prandom_u32\njne %r0, 0, go\nmov %r7, 3\ngo:\nadd %r7, 1\nmov %r0, 0\nexit";
    program(text).refused(Code::BadPointerMath, "same insn cannot be used with and without arena pointer");
}

#[test]
fn a_helper_does_not_read_a_map_that_cannot_be_read() {
    let text = format!(
        "{LOOKUP}jeq %r0, 0, out\nmov %r3, %r0\nlddw %r1, @map 2\nmov %r2, %r10\nadd %r2, -8\nmov %r4, 0\ncall @map_update_elem\nout:\nmov %r0, 0\nexit"
    );
    let mut test = program(&text);
    test.accepted();
    test.maps[2].flags |= bpf::BPF_F_WRONLY_PROG;
    test.refused(Code::MapUse, "read from map forbidden");
}

#[test]
fn the_context_of_a_syscall_program_is_memory_of_64_kib() {
    let at = |off: u32, how: &str| {
        let text = format!(
            "mov %r6, %r1\ncall @get_prandom_u32\nand %r0, 252\n{how}ldxw %r0, [%r6+{off}]\nmov %r0, 0\nexit"
        );
        program(&text).kind(ProgKind::Syscall)
    };
    at(0, "add %r6, %r0\n").accepted();
    at(4, "add %r6, 65527\n").accepted();
    at(0, "add %r6, %r0\nadd %r6, 65300\n").refused(Code::MemBounds, "invalid access to mem");
}

#[test]
fn division_by_0_and_by_negative_numbers_is_known() {
    let result = |what: &str, is: &str| {
        let text = format!(
            "call @get_prandom_u32\nand %r0, 7\nadd %r0, 1\nmov %r2, 0\n{what}\n{is}, ok\nldxdw %r0, [%r0+0]\nok:\nmov %r0, 0\nexit"
        );
        program(&text).accepted();
    };
    result("div %r0, %r2", "jeq %r0, 0");
    result("mod %r0, %r2", "jle %r0, 8");
    result("sdiv %r0, -3", "jsge %r0, -2");
    result("smod %r0, -3", "jle %r0, 2");
}

#[test]
fn only_what_is_executed_may_not_write_r10() {
    program("mov %r0, 0\njeq %r0, 0, out\nmov %r10, 0\nout:\nexit").accepted();
    program("mov %r0, 0\nmov %r10, 0\nexit").refused(Code::Structure, "frame pointer is read only");
}

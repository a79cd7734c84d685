//! Loops converge, calls go as deep, and pointers move as far as in Linux 7.3.

mod common;

use common::program;
use sextant_abi::tables::Op;
use sextant_verifier::Code;

/// A loop over 0..1000 with this body.
fn numbers(before: &str, body: &str) -> String {
    format!(
        "{before}mov %r1, %r10\nadd %r1, -8\nmov %r2, 0\nmov %r3, 1000\ncall @bpf_iter_num_new\nagain:\n\
         mov %r1, %r10\nadd %r1, -8\ncall @bpf_iter_num_next\njeq %r0, 0, end\n{body}ja again\nend:\n\
         mov %r1, %r10\nadd %r1, -8\ncall @bpf_iter_num_destroy\nmov %r0, 0\nexit"
    )
}

/// A counter that nothing depends on may be anything, whether it lies in a register or in half of a slot.
#[test]
fn counters_converge() {
    let reg = numbers("mov %r6, 0\n", "add %r6, 1\n");
    let half = numbers("stw [%r10-16], 0\n", "ldxw %r1, [%r10-16]\nadd32 %r1, 1\nstxw [%r10-16], %r1\n");
    let whole = numbers("stdw [%r10-16], 0\n", "ldxdw %r1, [%r10-16]\nadd %r1, 1\nstxdw [%r10-16], %r1\n");
    for text in [reg, half, whole] {
        let accepted = program(&text).accepted();
        assert!(accepted.insns_processed < 100, "{}:\n{text}", accepted.insns_processed);
    }
}

/// What was written to the stack and is not read tells no states apart.
#[test]
fn dead_slots_tell_nothing_apart() {
    let way = "call @get_prandom_u32\njgt %r0, 5, +1\nstdw [%r10-8], 7\n";
    let dead = format!("stdw [%r10-8], 1\n{}mov %r0, 0\nexit", way.repeat(25));
    assert!(program(&dead).accepted().insns_processed < 500);
    // A callee reads it: the ways are two until there.
    let text = format!(
        "stdw [%r10-8], 1\n{way}mov %r1, %r10\nadd %r1, -8\ncall local f\nexit\nf:\n\
         ldxdw %r2, [%r1+0]\nlddw %r1, @value 7\nadd %r1, %r2\nldxb %r0, [%r1+0]\nexit"
    );
    program(&text).accepted();
    program(&text.replace("stdw [%r10-8], 7", "stdw [%r10-8], 64")).refused(Code::MapBounds, "off=64");
}

/// A callback that runs by itself has nothing to do with the path that set it.
#[test]
fn a_timer_callback_may_set_itself() {
    let set = "mov %r1, %r6\nadd %r1, 8\nlddw func %r2, cb\ncall @timer_set_callback\n";
    let text = format!(
        "stw [%r10-8], 0\nmov %r2, %r10\nadd %r2, -8\nlddw %r1, @map 6\ncall @map_lookup_elem\nmov %r6, %r0\n\
         {set}mov %r0, 0\nexit\ncb:\nmov %r6, %r3\n{set}mov %r0, 0\nexit"
    );
    assert!(program(&text).accepted().insns_processed < 100);
}

/// `n` frames, each with `bytes` of stack.
fn chain(n: usize, bytes: u32) -> String {
    let mut text = String::new();
    for i in 1..=n {
        let call = if i < n { format!("call local f{i}\n") } else { String::new() };
        let stack = if bytes > 0 { format!("stdw [%r10-{bytes}], 0\n") } else { String::new() };
        text += &format!("mov %r0, 0\n{stack}{call}exit\n");
        text += &if i < n { format!("f{i}:\n") } else { String::new() };
    }
    text
}

#[test]
fn sixteen_frames_and_no_more() {
    program(&chain(16, 0)).accepted();
    program(&chain(16, 32)).accepted();
    program(&chain(17, 0)).refused(Code::StackDepth, "the call stack of 17 frames is too deep");
}

/// Ops that schedulers below this one may run again have a stack of their own for every large frame.
#[test]
fn ops_that_nest_have_private_stacks() {
    program(&chain(3, 400)).op(Op::Dispatch).accepted();
    program(&chain(3, 400))
        .op(Op::Enqueue)
        .refused(Code::StackDepth, "combined stack size of 2 calls is 800");
    // Small ones add up.
    program(&chain(9, 56)).op(Op::Dispatch).accepted();
    program(&chain(16, 48)).op(Op::Dispatch).refused(Code::StackDepth, "combined stack size");
}

/// A pointer that was moved before its object is not in it, even if the offset in the instruction leads back.
#[test]
fn pointers_before_their_object_are_lost() {
    let base = "lddw %r2, @value 7\nadd %r2, -8\n";
    program(&format!("{base}ldxdw %r0, [%r2+8]\nexit"))
        .refused(Code::MapBounds, "R2 unbounded memory access");
    program(&format!("{base}add %r2, 8\nldxdw %r0, [%r2+0]\nexit")).accepted();
    let index = "ldxdw %r1, [%r1+8]\nand %r1, 15\nadd %r1, -8\nlddw %r2, @value 7\nadd %r2, %r1\n";
    program(&format!("{index}ldxdw %r0, [%r2+8]\nexit")).refused(Code::MapBounds, "unbounded memory access");
    program(&format!("{index}add %r2, 8\nldxdw %r0, [%r2+0]\nexit")).accepted();
}

/// An atomic exchange takes a pointer off the stack as it was spilled there.
#[test]
fn a_spilled_pointer_is_exchanged() {
    let text = "lddw %r2, @value 7\nstxdw [%r10-8], %r2\nmov %r3, 0\nmov %r4, %r10\n\
                lock xchg [%r4-8], %r3\nldxdw %r0, [%r3+0]\nexit";
    program(text).accepted();
    program(&text.replace("[%r10-8], %r2", "[%r10-8], %r10")).refused(Code::StackBounds, "stack");
}

/// The CPU's number is below the machine's number of CPUs.
#[test]
fn the_cpu_is_one_of_the_machine() {
    let text = |scale: u32| {
        format!(
            "call @get_smp_processor_id\nlsh %r0, {scale}\nlddw %r1, @value 7\nadd %r1, %r0\nldxdw %r0, [%r1+0]\nexit"
        )
    };
    program(&text(3)).accepted();
    program(&text(4)).refused(Code::MapBounds, "max value is outside of the allowed memory range");
}

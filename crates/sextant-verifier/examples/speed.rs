//! How fast the verifier follows a program that reaches its limit: a counting loop, and one that reads and writes memory.
//!
//! `cargo run --release -p sextant-verifier --example speed`

use std::time::Instant;

use sextant_bpf::asm::assemble;
use sextant_verifier::{MAX_PROCESSED, ProgKind, Program, verify};

/// Registers only.
const COUNT: &str = "mov %r1, 0
mov %r2, 0
loop:
add %r2, 3
xor %r2, %r1
add %r1, 1
jlt %r1, 4000000, loop
mov %r0, 0
exit";

/// A spilled counter, and a slot that is written at a variable offset.
const STACK: &str = "mov %r1, 0
stxdw [%r10-8], %r1
stxdw [%r10-16], %r1
loop:
ldxdw %r1, [%r10-8]
mov %r2, %r1
and %r2, 7
mov %r3, %r10
add %r3, %r2
stxb [%r3-16], %r2
add %r1, 1
stxdw [%r10-8], %r1
jlt %r1, 4000000, loop
mov %r0, 0
exit";

fn main() {
    for (name, text) in [("registers", COUNT), ("stack", STACK)] {
        let insns = assemble(text).unwrap_or_else(|e| panic!("{e}"));
        let program = Program {
            name,
            insns: &insns,
            relocs: &[],
            kind: ProgKind::Syscall,
            sleepable: false,
            gpl: true,
            has_helper: None,
            state_freq: false,
            strict_alignment: false,
            nr_cpus: 8,
            maps: &[],
            read_only: &|_, _, _| None,
            btf: None,
            kernel_btf: None,
            func_info: &[],
            line_info: &[],
        };
        let begin = Instant::now();
        let Err(refused) = verify(&program) else { panic!("{name}: the limit was not reached") };
        let seconds = begin.elapsed().as_secs_f64();
        assert!(u64::from(refused.insns_processed) > MAX_PROCESSED, "{refused}");
        println!("{name}: {:.1} M insns/s", f64::from(refused.insns_processed) / seconds / 1e6);
    }
}

//! Any program gets a verdict: no panic, no endless work. Deterministic random instructions, mutated sound programs.

mod common;

use common::{Test, program};
use sextant_abi::image::Insn;
use sextant_abi::tables::{KFUNCS, Op};
use sextant_bpf::opcode::{DST, IMM, OFF, SRC, TABLE};

struct Rng(u64);

impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }

    fn pick(&mut self, from: &[i64]) -> i64 {
        from[self.below(from.len() as u64) as usize]
    }
}

const OFFS: [i64; 12] = [-8, -16, -4, -512, 0, 1, 2, 3, 8, -1, 16, 60];
const IMMS: [i64; 14] = [0, 1, -1, 3, 7, 8, 16, 31, 63, 64, 255, 0x7fff_ffff, -0x8000_0000, 4096];

/// An instruction of the table with operands that are often meaningful.
fn insn(rng: &mut Rng) -> Insn {
    let row = &TABLE[rng.below(TABLE.len() as u64) as usize];
    let mut insn = row.template();
    if row.fields & DST != 0 {
        insn.dst = rng.below(11) as u8;
    }
    if row.fields & SRC != 0 {
        insn.src = rng.below(11) as u8;
    }
    if row.fields & OFF != 0 {
        insn.off = rng.pick(&OFFS) as i16;
    }
    if row.fields & IMM != 0 {
        insn.imm = rng.pick(&IMMS) as i32;
        if insn.code == 0x85 && insn.src == 0 {
            insn.imm = rng.below(212) as i32;
        }
    }
    insn
}

fn kfunc_relocs(test: &mut Test, rng: &mut Rng) {
    use sextant_abi::image::Reloc;
    for (pc, insn) in test.insns.iter().enumerate() {
        if insn.code == 0x85 && insn.src == 2 && !test.relocs.iter().any(|(at, _)| *at as usize == pc) {
            test.relocs.push((pc as u32, Reloc::Kfunc(rng.below(KFUNCS.len() as u64) as u32)));
        }
    }
    test.relocs.sort_by_key(|(at, _)| *at);
}

#[test]
fn random_programs_get_a_verdict() {
    let mut rng = Rng(0x5eed);
    let mut refused = 0;
    for round in 0..20_000 {
        let mut test = program("mov %r0, 0\nexit");
        let len = 3 + rng.below(20) as usize;
        test.insns = (0..len).map(|_| insn(&mut rng)).collect();
        let mut init: Vec<Insn> =
            program("ldxdw %r6, [%r1+0]\nldxdw %r7, [%r1+8]\nmov %r8, 3\nmov %r9, %r10\nmov %r0, 0").insns;
        init.append(&mut test.insns);
        init.extend(program("mov %r0, 0\nexit").insns);
        test.insns = init;
        kfunc_relocs(&mut test, &mut rng);
        test = test.op(Op::ALL[round % Op::COUNT]);
        test.sleepable = round % 3 == 0;
        let verdict = test.verify();
        if round % 10 == 0 {
            let (logged, log) = test.verify_with_log();
            assert_eq!(verdict, logged, "a log changes nothing");
            assert!(log.is_empty() || log.contains("\nprocessed "), "{log}");
        }
        if let Err(rejection) = verdict {
            assert!(rejection.to_string().starts_with(&format!("error[{}]: ", rejection.code)));
            refused += 1;
        }
    }
    assert!(refused > 10_000 && refused < 20_000, "{refused}");
}

/// One field of one instruction of a sound program changed.
#[test]
fn mutated_programs_get_a_verdict() {
    let sound = "ldxdw %r6, [%r1+0]
        stw [%r10-12], 0
        mov %r2, %r10
        add %r2, -12
        lddw %r1, @map 0
        call @map_lookup_elem
        jeq %r0, 0, +2
        ldxdw %r1, [%r0+8]
        stxdw [%r0+0], %r1
        mov %r1, %r10
        add %r1, -8
        mov %r2, 0
        mov %r3, 10
        call @bpf_iter_num_new
        again:
        mov %r1, %r10
        add %r1, -8
        call @bpf_iter_num_next
        jeq %r0, 0, +5
        ldxw %r2, [%r0+0]
        mov %r1, %r6
        call @scx_bpf_task_cpu
        mov %r1, %r0
        ja again
        mov %r1, %r10
        add %r1, -8
        call @bpf_iter_num_destroy
        mov %r1, 4
        call local f
        exit
        f:
        may_goto +2
        add %r1, 1
        ja -3
        mov %r0, %r1
        exit";
    program(sound).accepted();
    let mut rng = Rng(0xabcd);
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let mut test = program(sound);
        let at = rng.below(test.insns.len() as u64) as usize;
        let old = &mut test.insns[at];
        match rng.below(5) {
            0 => old.dst = rng.below(11) as u8,
            1 => old.src = rng.below(11) as u8,
            2 => old.off = rng.pick(&OFFS) as i16,
            3 => old.imm = rng.pick(&IMMS) as i32,
            _ => *old = insn(&mut rng),
        }
        match test.verify() {
            Ok(_) => accepted += 1,
            Err(rejection) => {
                assert!(!rejection.to_string().is_empty());
                refused += 1;
            }
        }
    }
    assert!(accepted > 500 && refused > 5_000, "{accepted} {refused}");
}

use super::*;
use sextant_bpf::asm::assemble;

/// Map 7: byte i of its value is i; only the first 16 exist.
fn rodata(map: u32, off: u32, size: u32) -> Option<u64> {
    (map == 7 && off + size <= 16).then(|| (off..off + size).rev().fold(0, |v, b| v << 8 | u64::from(b)))
}

fn run(asm: &str, relocs: &[(u32, Reloc)]) -> Reach {
    let insns = assemble(asm).unwrap();
    crate::structure::check(&insns).unwrap();
    reach(&insns, relocs, &rodata)
}

/// The slots that are dead.
fn dead(asm: &str, relocs: &[(u32, Reloc)]) -> Vec<usize> {
    run(asm, relocs).dead.iter().enumerate().filter(|(_, d)| **d).map(|(pc, _)| pc).collect()
}

#[test]
fn an_unresolved_weak_symbol_is_zero() {
    let asm = "lddw %r1, 0\njeq %r1, 0, old\ncall 2002000001\nexit\nold:\nmov %r0, 0\nexit";
    assert_eq!(run(asm, &[]).unknown_func, None);
    assert_eq!(dead(asm, &[]), [3, 4]);
    let found = run(asm, &[(0, Reloc::Addr(0x1000))]).unknown_func.unwrap();
    assert_eq!(found.to_string(), "3: (85) call unknown#2002000001\ninvalid func unknown#2002000001");
    assert_eq!(run("call 195896080\nexit", &[]).unknown_func, Some(UnknownFunc { pc: 0, imm: 195896080 }));
}

#[test]
fn read_only_data_is_folded_and_other_data_is_not() {
    let asm = "lddw %r1, 0\nldxh %r2, [%r1+2]\njne32 %r2, 0x0504, +1\ncall 195896080\nmov %r0, 0\nexit";
    let value = |map| [(0u32, Reloc::MapValue(map, 2))];
    assert!(run(asm, &value(7)).unknown_func.is_some());
    assert_eq!(dead(&asm.replace("0x0504", "0x0505"), &value(7)), [4]);
    assert_eq!(dead(&asm.replace("jne32", "jeq32"), &value(7)), [4]);
    assert_eq!(dead(&asm.replace("jne32", "jeq32"), &value(8)), Vec::<usize>::new());
}

#[test]
fn a_spilled_constant_survives_and_an_overwritten_one_does_not() {
    let asm = "mov %r6, 0\nstxdw [%r10-16], %r6\nmov %r2, %r10\nadd %r2, OFF\ncall 1\n\
               ldxdw %r3, [%r10-16]\njeq %r3, 0, +1\ncall 195896080\nmov %r0, 0\nexit";
    assert_eq!(dead(&asm.replace("OFF", "-8"), &[]), [7]);
    assert_eq!(dead(&asm.replace("OFF", "-16"), &[]), Vec::<usize>::new());
}

#[test]
fn ways_join_and_loops_end() {
    let joined = "call 5\nmov %r1, 1\njeq %r0, 0, +1\nmov %r1, 2\njne %r1, 0, +1\ncall 195896080\nexit";
    assert_eq!(dead(joined, &[]), [5]);
    let counted =
        "mov %r1, 0\nloop:\nadd %r1, 1\njne %r1, 10, loop\njeq %r1, 11, +1\nexit\ncall 195896080\nexit";
    assert_eq!(dead(counted, &[]), [5, 6]);
    // The frame is written through a pointer that walks down: what was stored below its start is gone.
    let walking = "stdw [%r10-24], 0\nmov %r1, %r10\nloop:\nadd %r1, -8\nstxdw [%r1], %r1\ncall 5\n\
                   jne %r0, 0, loop\nldxdw %r2, [%r10-24]\njeq %r2, 0, +1\ncall 195896080\nexit";
    assert_eq!(dead(&walking.replace("call 5", "mov %r3, 0\nldxdw %r0, [%r6]"), &[]), Vec::<usize>::new());
}

#[test]
fn functions_get_the_arguments_of_their_calls() {
    let asm = "mov %r1, 3\ncall local f\njeq %r0, 1, +1\ncall 195896080\nexit\n\
               f:\nmov %r0, 1\njeq %r1, 3, +1\nmov %r0, 2\nexit\ng:\nexit";
    assert_eq!(dead(asm, &[]), [3, 7, 9]);
    let twice = asm.replace("mov %r1, 3\n", "mov %r1, 4\ncall local f\nmov %r1, 3\n");
    assert_eq!(dead(&twice, &[]), [11]);
    let callback = "lddw func %r2, f\ncall 181\nexit\nf:\njeq %r1, 3, +1\nmov %r0, 2\nexit";
    assert_eq!(dead(callback, &[]), Vec::<usize>::new());
    let never = "call local f\ncall 195896080\nexit\nf:\nja f";
    assert_eq!(dead(never, &[]), [1, 2]);
}

#[test]
fn a_callee_can_write_its_callers_frame() {
    let asm = "stdw [%r10-8], 0\nmov %r1, %r10\nadd %r1, -8\ncall local f\nldxdw %r1, [%r10-8]\n\
               jeq %r1, 0, +1\ncall 5\nexit\nf:\nstdw [%r1], 1\nmov %r0, 0\nexit";
    assert_eq!(dead(asm, &[]), Vec::<usize>::new());
}

#[test]
fn comparisons_teach() {
    let asm = "call 5\njne %r0, 5, out\njeq %r0, 5, out\ncall 195896080\nout:\nexit";
    assert_eq!(dead(asm, &[]), [3]);
    let null = "call 5\njeq %r0, 0, out\njne %r0, 0, out\ncall 195896080\nout:\nexit";
    assert_eq!(dead(null, &[]), [3]);
}

#[test]
fn any_instructions_are_survived() {
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for _ in 0..3000 {
        let insns: Vec<Insn> = (0..40)
            .map(|_| {
                let row = &sextant_bpf::opcode::TABLE[next() as usize % sextant_bpf::opcode::TABLE.len()];
                let t = row.template();
                let regs = next() as u8;
                Insn {
                    dst: regs & 15,
                    src: t.src | (regs >> 4),
                    off: t.off | (next() as i16 % 20),
                    imm: t.imm | (next() as i32 % 20),
                    ..t
                }
            })
            .collect();
        let result = reach(&insns, &[(3, Reloc::MapValue(7, 0)), (9, Reloc::Func(99))], &rodata);
        assert_eq!(result.dead.len(), 40);
    }
}

#[test]
fn a_long_program_takes_linear_time() {
    let mut asm = String::new();
    for i in 0..4000 {
        asm +=
            &format!("lddw %r1, {i}\ncall 5\nstxdw [%r10-8], %r0\njeq %r0, {i}, l{i}\nmov %r6, {i}\nl{i}:\n");
    }
    asm += "mov %r0, 0\nexit";
    let insns = assemble(&asm).unwrap();
    let start = std::time::Instant::now();
    let result = reach(&insns, &[], &rodata);
    let took = start.elapsed();
    println!("{} slots in {took:?}", insns.len());
    assert!(result.dead.iter().all(|d| !d));
    assert!(took.as_millis() < 2000, "{took:?}");
}

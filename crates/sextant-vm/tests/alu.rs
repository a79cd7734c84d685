//! Arithmetic and jumps against an independent statement of RFC 9669, with random and extreme operands.

mod host;

use host::{TestHost, vm};
use sextant_abi::{Insn, ProgramImage};

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let word = self.0 ^ self.0 >> 29;
        const EDGES: [u64; 12] = [
            0,
            1,
            u64::MAX,
            1 << 63,
            (1 << 63) - 1,
            1 << 31,
            (1 << 31) - 1,
            0xffff_ffff,
            1 << 32,
            31,
            63,
            0xffff_ffff_8000_0000,
        ];
        if word >> 62 == 0 { EDGES[(word >> 8) as usize % EDGES.len()] } else { word.rotate_left(17) }
    }
}

/// The operation of code bits `op` and offset `off` on `bits`-bit words, in wide signed arithmetic; shifts are masked, division
/// by zero gives 0, modulo by zero the dividend.
fn model(op: u8, off: i16, bits: u32, a: u64, b: u64) -> u64 {
    let mask = u64::MAX >> (64 - bits);
    let (ua, ub) = (u128::from(a & mask), u128::from(b & mask));
    let signed =
        |v: u128| -> i128 { if v >> (bits - 1) & 1 == 1 { v as i128 - (1i128 << bits) } else { v as i128 } };
    let (sa, sb) = (signed(ua), signed(ub));
    let shift = (ub as u32) & (bits - 1);
    let result: i128 = match (op, off) {
        (0x00, _) => sa + sb,
        (0x10, _) => sa - sb,
        (0x20, _) => sa.wrapping_mul(sb),
        (0x30 | 0x90, _) if ub == 0 => {
            if op == 0x30 {
                0
            } else {
                sa
            }
        }
        (0x30, 0) => (ua / ub) as i128,
        (0x30, _) => sa / sb,
        (0x40, _) => (ua | ub) as i128,
        (0x50, _) => (ua & ub) as i128,
        (0x60, _) => (ua << shift) as i128,
        (0x70, _) => (ua >> shift) as i128,
        (0x90, 0) => (ua % ub) as i128,
        (0x90, _) => sa % sb,
        (0xa0, _) => (ua ^ ub) as i128,
        (0xb0, 0) => sb,
        (0xb0, n) => {
            let narrow = u128::from(b) & ((1 << n) - 1);
            if narrow >> (n - 1) & 1 == 1 { narrow as i128 - (1 << n) } else { narrow as i128 }
        }
        (0xc0, _) => sa >> shift,
        _ => unreachable!("{op:#x}"),
    };
    result as u64 & mask
}

fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
    Insn { code, dst, src, off, imm }
}

/// `r1 = a; r2 = b` come as arguments; `tail` leaves the result in r0.
fn eval(insns: Vec<Insn>, a: u64, b: u64) -> u64 {
    thread_local!(static VM: sextant_vm::Vm = vm(false));
    VM.with(|vm| {
        let prog = vm.prog_add(ProgramImage { insns, ..ProgramImage::default() });
        let run =
            vm.call_function(prog, 0, [a, b, 0, 0, 0], &mut TestHost::default()).expect("only arithmetic");
        vm.prog_free(prog);
        run.r0
    })
}

const MOV_R0_R1: Insn = Insn { code: 0xbf, dst: 0, src: 1, off: 0, imm: 0 };
const EXIT: Insn = Insn { code: 0x95, dst: 0, src: 0, off: 0, imm: 0 };

#[test]
fn arithmetic_agrees_with_the_rfc() {
    let mut random = Random(42);
    let plain =
        [0x00u8, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x90, 0xa0, 0xb0, 0xc0].map(|op| (op, 0i16));
    let signed = [(0x30, 1), (0x90, 1)];
    for (op, off) in plain.into_iter().chain(signed) {
        for (class, bits) in [(0x04u8, 32), (0x07, 64)] {
            for _ in 0..300 {
                let (a, b) = (random.next(), random.next());
                let reg = eval(vec![MOV_R0_R1, insn(class | op | 8, 0, 2, off, 0), EXIT], a, b);
                assert_eq!(
                    reg,
                    model(op, off, bits, a, b),
                    "op {op:#x} off {off} bits {bits}: {a:#x}, {b:#x}"
                );
                let imm = b as i32;
                let by_imm = eval(vec![MOV_R0_R1, insn(class | op, 0, 0, off, imm), EXIT], a, 0);
                let want = model(op, off, bits, a, imm as i64 as u64);
                assert_eq!(by_imm, want, "op {op:#x} off {off} bits {bits}: {a:#x}, imm {imm:#x}");
            }
        }
    }
}

#[test]
fn sign_extending_moves_agree_with_the_rfc() {
    let mut random = Random(43);
    for (class, bits, off) in
        [(0x04u8, 32, 8i16), (0x04, 32, 16), (0x07, 64, 8), (0x07, 64, 16), (0x07, 64, 32)]
    {
        for _ in 0..300 {
            let (a, b) = (random.next(), random.next());
            let got = eval(vec![MOV_R0_R1, insn(class | 0xb8, 0, 2, off, 0), EXIT], a, b);
            assert_eq!(got, model(0xb0, off, bits, a, b), "bits {bits} from {off}: {b:#x}");
        }
    }
}

#[test]
fn jumps_agree_with_the_rfc() {
    let mut random = Random(44);
    let taken = |op: u8, bits: u32, a: u64, b: u64| {
        let shift = 64 - bits;
        let (ua, ub, sa, sb) = (a << shift, b << shift, (a << shift) as i64, (b << shift) as i64);
        match op {
            0x10 => ua == ub,
            0x20 => ua > ub,
            0x30 => ua >= ub,
            0x40 => ua & ub != 0,
            0x50 => ua != ub,
            0x60 => sa > sb,
            0x70 => sa >= sb,
            0xa0 => ua < ub,
            0xb0 => ua <= ub,
            0xc0 => sa < sb,
            _ => sa <= sb,
        }
    };
    for op in [0x10u8, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xa0, 0xb0, 0xc0, 0xd0] {
        for (class, bits) in [(0x06u8, 32), (0x05, 64)] {
            for round in 0..300 {
                let a = random.next();
                let b = if round % 5 == 0 { a } else { random.next() };
                let code = |jump| vec![insn(0xb7, 0, 0, 0, 1), jump, insn(0xb7, 0, 0, 0, 0), EXIT];
                let reg = eval(code(insn(class | op | 8, 1, 2, 1, 0)), a, b);
                assert_eq!(reg == 1, taken(op, bits, a, b), "op {op:#x} bits {bits}: {a:#x}, {b:#x}");
                let imm = b as i32;
                let by_imm = eval(code(insn(class | op, 1, 0, 1, imm)), a, 0);
                assert_eq!(
                    by_imm == 1,
                    taken(op, bits, a, imm as i64 as u64),
                    "op {op:#x}: {a:#x}, imm {imm:#x}"
                );
            }
        }
    }
}

host::compiled_too! {
    arithmetic_agrees_with_the_rfc
    sign_extending_moves_agree_with_the_rfc
    jumps_agree_with_the_rfc
}

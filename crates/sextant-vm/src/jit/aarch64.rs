//! Code for aarch64. Generated and checked in its form; it has not been run, so [`super::Engine`] does not offer it.
//!
//! ```text
//!  r0 x5   r1..r5 x0..x4   r6..r9 x19..x22   r10 x23
//!  state x24   instructions left x25   scratch x9 x10 x11, x16 for calls
//! ```
//!
//! Must hold: whoever calls saves x30 first. Division by zero and of the least number by -1 are the machine's as they are BPF's.
//! Manual: Arm ARM, C6.

use sextant_bpf::opcode::{Alu, AtomicOp, Cond};

use super::code::{Backend, Code, Fixup, Label, Place, Runtime, Src};
use super::run::{LEFT, RETURNED, Saved, TRAPPED, at};
use crate::exec::FRAME;
use crate::region::{Walls, ZONE_BITS};

type Reg = u32;

const REGS: [Reg; 11] = [5, 0, 1, 2, 3, 4, 19, 20, 21, 22, 23];
const STATE: Reg = 24;
const COUNT: Reg = 25;
const A: Reg = 9;
const B: Reg = 10;
const C: Reg = 11;
const CALLEE: Reg = 16;
const LR: Reg = 30;
const SP: Reg = 31;
const ZR: Reg = 31;
const WIDE: u32 = 1 << 31;

const EQ: u32 = 0;
const NE: u32 = 1;
const HS: u32 = 2;
const LO: u32 = 3;
const HI: u32 = 8;
const LS: u32 = 9;
const GE: u32 = 10;
const LT: u32 = 11;
const GT: u32 = 12;
const LE: u32 = 13;

const AND: u32 = 0x0a00_0000;
const ADD: u32 = 0x0b00_0000;
const ORR: u32 = 0x2a00_0000;
const EOR: u32 = 0x4a00_0000;
const SUB: u32 = 0x4b00_0000;
const ANDS: u32 = 0x6a00_0000;
const SUBS: u32 = 0x6b00_0000;
const UDIV: u32 = 0x1ac0_0800;
const SDIV: u32 = 0x1ac0_0c00;
const LSLV: u32 = 0x1ac0_2000;
const LSRV: u32 = 0x1ac0_2400;
const ASRV: u32 = 0x1ac0_2800;
const MUL: u32 = 0x1b00_7c00;
const MSUB: u32 = 0x1b00_8000;

/// The back end.
pub(super) struct Aarch64 {
    code: Code,
    leave: Label,
    call_out: Label,
    slow: Label,
}

fn reg(bpf: u8) -> Reg {
    REGS[bpf as usize]
}

impl Backend for Aarch64 {
    fn new(runtime: &Runtime) -> Aarch64 {
        let mut code = Code::default();
        let (leave, call_out, slow) = (code.label(), code.label(), code.label());
        let mut back = Aarch64 { code, leave, call_out, slow };
        let end = back.entry();
        back.leave_code(end);
        back.call_out_code(runtime.call_out, end);
        back.slow_code(runtime.slow_access);
        back
    }

    fn code(&mut self) -> &mut Code {
        &mut self.code
    }

    fn finish(self) -> Vec<u8> {
        self.code.resolve(|bytes: &mut [u8], fixup: &Fixup, target| {
            let rel = (target as i64 - fixup.at as i64) / 4;
            let place = &mut bytes[fixup.at..fixup.at + 4];
            let insn = u32::from_le_bytes(place.try_into().expect("four bytes"));
            place.copy_from_slice(&(insn | rel as u32 & 0x3ff_ffff).to_le_bytes());
        })
    }

    fn charge(&mut self, insns: u32, empty: Label) {
        self.imm(A, insns.into());
        self.three(SUBS | WIDE, COUNT, COUNT, A);
        self.branch_if(LO, empty);
    }

    fn leave(&mut self, pc: u32, insns: u32) {
        self.add_imm(COUNT, COUNT, insns as i32);
        self.imm(A, pc.into());
        self.jump(self.leave);
    }

    fn alu(&mut self, op: Alu, wide: bool, dst: u8, src: Src) {
        let sf = if wide { WIDE } else { 0 };
        let d = reg(dst);
        let s = match src {
            Src::Reg(src) => reg(src),
            Src::Imm(imm) => {
                self.imm(A, if wide { imm } else { imm as u32 as u64 });
                A
            }
        };
        let three = match op {
            Alu::Add => ADD,
            Alu::Sub => SUB,
            Alu::Mul => MUL,
            Alu::Div => UDIV,
            Alu::Sdiv => SDIV,
            Alu::Or => ORR,
            Alu::And => AND,
            Alu::Xor => EOR,
            Alu::Lsh => LSLV,
            Alu::Rsh => LSRV,
            Alu::Arsh => ASRV,
            Alu::Mov => return self.three(ORR | sf, d, ZR, s),
            Alu::Mod | Alu::Smod => {
                self.three(if op == Alu::Mod { UDIV } else { SDIV } | sf, B, d, s);
                return self.word(MSUB | sf | s << 16 | d << 10 | B << 5 | d);
            }
        };
        self.three(three | sf, d, d, s);
    }

    fn neg(&mut self, wide: bool, dst: u8) {
        self.three(SUB | if wide { WIDE } else { 0 }, reg(dst), ZR, reg(dst));
    }

    fn sign_extend(&mut self, bits: u32, wide: bool, dst: u8, src: u8) {
        let sbfm = if wide { 0x9340_0000 } else { 0x1300_0000 };
        self.word(sbfm | (bits - 1) << 10 | reg(src) << 5 | reg(dst));
    }

    fn byte_order(&mut self, imm: u64, dst: u8) {
        let d = reg(dst);
        let both = d << 5 | d;
        match imm {
            16 => self.word(0x5300_3c00 | both),
            32 => self.three(ORR, d, ZR, d),
            17 => {
                self.word(0x5ac0_0400 | both);
                self.word(0x5300_3c00 | both);
            }
            33 => self.word(0x5ac0_0800 | both),
            65 => self.word(0xdac0_0c00 | both),
            _ => {}
        }
    }

    fn cast(&mut self, high: u64, dst: u8, src: u8) {
        let d = reg(dst);
        self.three(ORR, d, ZR, reg(src));
        self.imm(A, high);
        self.three(ORR | WIDE, A, A, d);
        self.three(SUBS | WIDE, ZR, d, ZR);
        // csel d, d, A, eq: d is 0 then.
        self.word(0x9a80_0000 | A << 16 | EQ << 12 | d << 5 | d);
    }

    fn imm64(&mut self, dst: u8, val: u64) {
        self.imm(reg(dst), val);
    }

    fn wall(&mut self, place: Place, write: bool, slow: Label) {
        self.address(A, place);
        let bits = Walls::ZONE_MASK.count_ones();
        self.word(0xd340_0000 | ZONE_BITS << 16 | (ZONE_BITS + bits - 1) << 10 | A << 5 | B);
        self.word(0x8b00_0c00 | B << 16 | STATE << 5 | B); // add B, STATE, B lsl 3
        self.ldr(C, B, at::START);
        self.three(SUB | WIDE, C, A, C);
        self.ldr(B, B, at::allowed(place.size, write));
        self.three(SUBS | WIDE, ZR, C, B);
        self.branch_if(HS, slow);
    }

    fn load(&mut self, dst: u8, place: Place, signed: bool) {
        self.host(place);
        let op = if signed { 0x38a0_6800 } else { 0x3860_6800 };
        self.word(op | place.size.trailing_zeros() << 30 | B << 16 | A << 5 | reg(dst));
    }

    fn store(&mut self, place: Place, src: Src) {
        self.host(place);
        let src = match src {
            Src::Reg(src) => reg(src),
            Src::Imm(imm) => {
                self.imm(C, imm);
                C
            }
        };
        self.word(0x3820_6800 | place.size.trailing_zeros() << 30 | B << 16 | A << 5 | src);
    }

    /// Plain instructions: programs run one at a time.
    fn atomic(&mut self, op: AtomicOp, fetch: bool, place: Place, src: u8) {
        let sf = if place.size == 8 { WIDE } else { 0 };
        let size = place.size.trailing_zeros() << 30;
        self.host(place);
        self.three(ADD | WIDE, A, A, B);
        self.word(0x3940_0000 | size | A << 5 | B);
        let store = 0x3900_0000 | size | A << 5;
        let three = match op {
            AtomicOp::Add => ADD,
            AtomicOp::Or => ORR,
            AtomicOp::And => AND,
            AtomicOp::Xor => EOR,
            AtomicOp::Xchg => {
                self.word(store | reg(src));
                return self.three(ORR | WIDE, reg(src), ZR, B);
            }
            AtomicOp::Cmpxchg => {
                self.three(SUBS | sf, ZR, B, reg(0));
                self.word(0x5400_0000 | 2 << 5 | NE); // over the store
                self.word(store | reg(src));
                return self.three(ORR | WIDE, reg(0), ZR, B);
            }
        };
        self.three(three | sf, C, B, reg(src));
        self.word(store | C);
        if fetch {
            self.three(ORR | WIDE, reg(src), ZR, B);
        }
    }

    fn slow(&mut self, pc: u32, place: Place, val: Option<Src>, dst: Option<u8>, fail: Label) {
        match val {
            Some(Src::Reg(src)) => self.three(ORR | WIDE, B, ZR, reg(src)),
            Some(Src::Imm(imm)) => self.imm(B, imm),
            None => {}
        }
        self.imm(C, pc.into());
        self.str(C, STATE, at::PC);
        self.str(reg(0), STATE, at::REGS);
        self.word(0xaa00_03e0 | B << 16 | C); // mov C, B: `address` may use B
        self.address(A, place);
        self.call(self.slow);
        self.three(SUBS | WIDE, ZR, B, ZR);
        self.branch_if(NE, fail);
        if let Some(dst) = dst {
            self.three(ORR | WIDE, reg(dst), ZR, A);
        }
    }

    fn jump(&mut self, to: Label) {
        self.to(0x1400_0000, to);
    }

    fn branch(&mut self, cond: Cond, wide: bool, dst: u8, src: Src, to: Label) {
        let sf = if wide { WIDE } else { 0 };
        let s = match src {
            Src::Reg(src) => reg(src),
            Src::Imm(imm) => {
                self.imm(A, imm);
                A
            }
        };
        self.three(if cond == Cond::Set { ANDS } else { SUBS } | sf, ZR, reg(dst), s);
        let cond = match cond {
            Cond::Eq => EQ,
            Cond::Gt => HI,
            Cond::Ge => HS,
            Cond::Set | Cond::Ne => NE,
            Cond::Sgt => GT,
            Cond::Sge => GE,
            Cond::Lt => LO,
            Cond::Le => LS,
            Cond::Slt => LT,
            Cond::Sle => LE,
        };
        self.branch_if(cond, to);
    }

    fn may_goto(&mut self, to: Label) {
        self.ldr(A, STATE, at::MAY_GOTO);
        self.word(0xb940_0000 | A << 5 | B);
        self.imm(C, 1);
        self.three(SUBS, B, B, C);
        self.branch_if(LO, to);
        self.word(0xb900_0000 | A << 5 | B);
    }

    fn call_out(&mut self, pc: u32) {
        self.imm(A, pc.into());
        self.call(self.call_out);
    }

    fn call_local(&mut self, ret: u32, to: Label, deep: Label) {
        self.ldr(A, STATE, at::CURSOR);
        self.ldr(B, STATE, at::CURSOR_END);
        self.three(SUBS | WIDE, ZR, A, B);
        self.branch_if(HS, deep);
        self.imm(B, ret.into());
        self.str(B, A, 0);
        for (i, bpf) in (6..10).enumerate() {
            self.str(reg(bpf), A, 8 + 8 * i);
        }
        self.add_imm(A, A, size_of::<Saved>() as i32);
        self.str(A, STATE, at::CURSOR);
        self.add_imm(reg(10), reg(10), FRAME as i32);
        self.call(to);
    }

    fn exit(&mut self, frames: bool) {
        if frames {
            self.ldr(A, STATE, at::CURSOR);
            self.add_imm(A, A, -(size_of::<Saved>() as i32));
            self.str(A, STATE, at::CURSOR);
            for (i, bpf) in (6..10).enumerate() {
                self.ldr(reg(bpf), A, 8 + 8 * i);
            }
            self.add_imm(reg(10), reg(10), -(FRAME as i32));
        }
        self.word(0xd65f_03c0);
    }
}

impl Aarch64 {
    fn word(&mut self, word: u32) {
        self.code.bytes.extend(word.to_le_bytes());
    }

    fn three(&mut self, op: u32, dst: Reg, a: Reg, b: Reg) {
        self.word(op | b << 16 | a << 5 | dst);
    }

    /// movz or movn, and a movk for every part that still differs.
    fn imm(&mut self, dst: Reg, val: u64) {
        let part = |val: u64, i: u32| (val >> (16 * i)) as u32 & 0xffff;
        let ones = (0..4).filter(|&i| part(val, i) == 0xffff).count();
        let zeros = (0..4).filter(|&i| part(val, i) == 0).count();
        let (first, rest) = if ones > zeros { (0x9280_0000, 0xffff) } else { (0xd280_0000, 0) };
        let at = (0..4).find(|&i| part(val, i) != rest).unwrap_or(0);
        self.word(first | at << 21 | (part(val, at) ^ rest) << 5 | dst);
        for i in (at + 1..4).filter(|&i| part(val, i) != rest) {
            self.word(0xf280_0000 | i << 21 | part(val, i) << 5 | dst);
        }
    }

    /// `dst = a + imm`; uses the second scratch register when `imm` is long.
    fn add_imm(&mut self, dst: Reg, a: Reg, imm: i32) {
        match imm {
            0..=4095 => self.word(0x9100_0000 | (imm as u32) << 10 | a << 5 | dst),
            -4095..0 => self.word(0xd100_0000 | imm.unsigned_abs() << 10 | a << 5 | dst),
            _ => {
                self.imm(B, i64::from(imm) as u64);
                self.three(ADD | WIDE, dst, a, B);
            }
        }
    }

    fn address(&mut self, dst: Reg, place: Place) {
        self.add_imm(dst, reg(place.base), place.off);
    }

    /// A place that has passed the wall: A + B.
    fn host(&mut self, place: Place) {
        self.address(A, place);
        self.ldr(B, STATE, at::DELTA);
    }

    fn ldr(&mut self, dst: Reg, base: Reg, off: usize) {
        self.word(0xf940_0000 | (off as u32 / 8) << 10 | base << 5 | dst);
    }

    fn str(&mut self, src: Reg, base: Reg, off: usize) {
        self.word(0xf900_0000 | (off as u32 / 8) << 10 | base << 5 | src);
    }

    fn push(&mut self, a: Reg, b: Reg) {
        self.word(0xa9bf_0000 | b << 10 | SP << 5 | a);
    }

    fn pop(&mut self, a: Reg, b: Reg) {
        self.word(0xa8c1_0000 | b << 10 | SP << 5 | a);
    }

    /// b or bl.
    fn to(&mut self, op: u32, to: Label) {
        let at = self.code.bytes.len();
        self.code.fixup(at, to);
        self.word(op);
    }

    fn call(&mut self, to: Label) {
        self.push(LR, ZR);
        self.to(0x9400_0000, to);
        self.pop(LR, ZR);
    }

    /// The opposite condition over a far jump: programs may be longer than b.cond reaches.
    fn branch_if(&mut self, cond: u32, to: Label) {
        self.word(0x5400_0000 | 2 << 5 | (cond ^ 1));
        self.jump(to);
    }

    fn blr(&mut self, function: u64) {
        self.imm(CALLEE, function);
        self.word(0xd63f_0000 | CALLEE << 5);
    }

    /// `entry(state: x0, target: x1, words: x2) -> status`; the place that ends it, status in x0.
    fn entry(&mut self) -> Label {
        const KEPT: [(Reg, Reg); 5] = [(29, LR), (19, 20), (21, 22), (23, 24), (25, 26)];
        let end = self.code.label();
        for (a, b) in KEPT {
            self.push(a, b);
        }
        self.three(ORR | WIDE, STATE, ZR, 0);
        self.three(ORR | WIDE, A, ZR, 1);
        self.add_imm(B, SP, 0);
        self.str(B, STATE, at::SP);
        self.ldr(COUNT, STATE, at::LEFT);
        for zeroed in [0, 6, 7, 8, 9] {
            self.imm(reg(zeroed), 0);
        }
        // r3 is in x2, so it comes last.
        for (bpf, word) in [(10, 5), (1, 0), (2, 1), (4, 3), (5, 4), (3, 2)] {
            self.ldr(reg(bpf), 2, word * 8);
        }
        self.word(0xd63f_0000 | A << 5);
        self.str(reg(0), STATE, at::REGS);
        self.imm(0, RETURNED.into());
        self.code.bind(end);
        self.str(COUNT, STATE, at::LEFT);
        self.ldr(A, STATE, at::SP);
        self.add_imm(SP, A, 0);
        for (a, b) in KEPT.into_iter().rev() {
            self.pop(a, b);
        }
        self.word(0xd65f_03c0);
        end
    }

    /// Slot in A: all registers into the state.
    fn leave_code(&mut self, end: Label) {
        self.code.bind(self.leave);
        for (bpf, host) in REGS.into_iter().enumerate() {
            self.str(host, STATE, at::REGS + 8 * bpf);
        }
        self.word(0xd340_0000 | 32 << 16 | 31 << 10 | A << 5); // lsl x0, A, 32
        self.add_imm(0, 0, LEFT as i32);
        self.jump(end);
    }

    /// Called with the slot in A; r1..r5 are kept, as in the interpreter.
    fn call_out_code(&mut self, function: u64, end: Label) {
        let failed = self.code.label();
        self.code.bind(self.call_out);
        self.str(COUNT, STATE, at::LEFT);
        for (a, b) in [(4, LR), (2, 3), (0, 1)] {
            self.push(a, b);
        }
        self.three(ORR | WIDE, 0, ZR, STATE);
        self.add_imm(1, SP, 0);
        self.three(ORR | WIDE, 2, ZR, A);
        self.blr(function);
        self.three(ORR | WIDE, A, ZR, 0);
        self.three(SUBS | WIDE, ZR, 1, ZR);
        for (a, b) in [(0, 1), (2, 3), (4, LR)] {
            self.pop(a, b);
        }
        self.ldr(COUNT, STATE, at::LEFT);
        self.branch_if(NE, failed);
        self.three(ORR | WIDE, reg(0), ZR, A);
        self.word(0xd65f_03c0);
        self.code.bind(failed);
        self.imm(0, TRAPPED.into());
        self.jump(end);
    }

    /// Called with the address in A, the value in C; result in A, failure in B.
    fn slow_code(&mut self, function: u64) {
        const LOST: [(Reg, Reg); 4] = [(0, 1), (2, 3), (4, 5), (LR, ZR)];
        self.code.bind(self.slow);
        for (a, b) in LOST {
            self.push(a, b);
        }
        self.three(ORR | WIDE, 0, ZR, STATE);
        self.three(ORR | WIDE, 1, ZR, A);
        self.three(ORR | WIDE, 2, ZR, C);
        self.blr(function);
        self.three(ORR | WIDE, A, ZR, 0);
        self.three(ORR | WIDE, B, ZR, 1);
        for (a, b) in LOST.into_iter().rev() {
            self.pop(a, b);
        }
        self.word(0xd65f_03c0);
    }
}

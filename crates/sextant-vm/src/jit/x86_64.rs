//! Code for x86-64.
//!
//! ```text
//!  r0 r10   r1 rdi   r2 rsi   r3 rdx   r4 r9   r5 r8   r6 rbx   r7 r13   r8 r14   r9 r15   r10 rbp
//!  state r12   instructions left r11   scratch rax rcx
//! ```
//!
//! Must hold: the stack pointer is a multiple of 16 inside a function; nothing but rsp, r12 and r11 has to be what it was
//! when a block begins.

use sextant_bpf::opcode::{Alu, AtomicOp, Cond};

use super::code::{Backend, Code, Fixup, Label, Place, Runtime, Src};
use super::run::{LEFT, RETURNED, Saved, TRAPPED, at};
use super::x86_encode::*;
use crate::exec::FRAME;
use crate::region::{Walls, ZONE_BITS};

/// Host registers of r0..r10.
const REGS: [Reg; 11] = [R10, RDI, RSI, RDX, R9, R8, RBX, R13, R14, R15, RBP];
const STATE: Reg = R12;
const COUNT: Reg = R11;
const SCRATCH: Reg = RAX;
/// Shift counts are in cl, so this is one.
const SCRATCH2: Reg = RCX;
/// What the host's functions keep.
const KEPT: [Reg; 6] = [RBX, RBP, R12, R13, R14, R15];
/// BPF registers, and the count, that they do not keep.
const LOST: [Reg; 7] = [RDI, RSI, RDX, R8, R9, R10, R11];

/// The back end.
pub(super) struct X86 {
    asm: Asm,
    leave: Label,
    call_out: Label,
    slow: Label,
}

fn reg(bpf: u8) -> Reg {
    REGS[bpf as usize]
}

fn state(offset: usize) -> Mem {
    Mem::at(STATE, offset as i32)
}

impl Backend for X86 {
    fn new(runtime: &Runtime) -> X86 {
        let mut asm = Asm::default();
        let (leave, call_out, slow) = (asm.code.label(), asm.code.label(), asm.code.label());
        let mut x86 = X86 { asm, leave, call_out, slow };
        let end = x86.entry();
        x86.leave_code(end);
        x86.call_out_code(runtime.call_out, end);
        x86.slow_code(runtime.slow_access);
        x86
    }

    fn code(&mut self) -> &mut Code {
        &mut self.asm.code
    }

    fn finish(self) -> Vec<u8> {
        self.asm.code.resolve(|bytes: &mut [u8], fixup: &Fixup, target| {
            let rel = target as i64 - (fixup.at as i64 + 4);
            bytes[fixup.at..fixup.at + 4].copy_from_slice(&(rel as i32).to_le_bytes());
        })
    }

    fn charge(&mut self, insns: u32, empty: Label) {
        self.asm.op_imm(true, Op2::Sub, COUNT, insns as i32);
        self.asm.jcc(CC_B, empty);
    }

    fn leave(&mut self, pc: u32, insns: u32) {
        if insns > 0 {
            self.asm.op_imm(true, Op2::Add, COUNT, insns as i32);
        }
        self.asm.mov_imm(SCRATCH, pc.into());
        self.asm.jmp(self.leave);
    }

    fn alu(&mut self, op: Alu, wide: bool, dst: u8, src: Src) {
        let d = reg(dst);
        let asm = &mut self.asm;
        let two = |op| match op {
            Alu::Add => Some(Op2::Add),
            Alu::Sub => Some(Op2::Sub),
            Alu::Or => Some(Op2::Or),
            Alu::And => Some(Op2::And),
            Alu::Xor => Some(Op2::Xor),
            _ => None,
        };
        match (op, src) {
            (Alu::Mov, Src::Imm(imm)) if wide => asm.mov_imm(d, imm),
            (Alu::Mov, Src::Imm(imm)) => asm.mov_imm(d, imm as u32 as u64),
            (Alu::Mov, Src::Reg(src)) => asm.mov(wide, d, reg(src)),
            (Alu::Mul, Src::Imm(imm)) => asm.imul_imm(wide, d, imm as i32),
            (Alu::Mul, Src::Reg(src)) => asm.imul(wide, d, reg(src)),
            (Alu::Lsh, src) => self.shift(Shift::Shl, wide, d, src),
            (Alu::Rsh, src) => self.shift(Shift::Shr, wide, d, src),
            (Alu::Arsh, src) => self.shift(Shift::Sar, wide, d, src),
            (Alu::Div | Alu::Mod | Alu::Sdiv | Alu::Smod, src) => self.divide(op, wide, d, src),
            (op, Src::Imm(imm)) => asm.op_imm(wide, two(op).expect("the others are above"), d, imm as i32),
            (op, Src::Reg(src)) => asm.op(wide, two(op).expect("the others are above"), d, reg(src)),
        }
    }

    fn neg(&mut self, wide: bool, dst: u8) {
        self.asm.neg(wide, reg(dst));
    }

    fn sign_extend(&mut self, bits: u32, wide: bool, dst: u8, src: u8) {
        self.asm.movsx(bits, wide, reg(dst), reg(src));
    }

    fn byte_order(&mut self, imm: u64, dst: u8) {
        let d = reg(dst);
        match imm {
            16 => self.asm.movzx16(d, d),
            32 => self.asm.mov(false, d, d),
            17 => {
                self.asm.swap16(d);
                self.asm.movzx16(d, d);
            }
            33 => self.asm.bswap(false, d),
            65 => self.asm.bswap(true, d),
            _ => {}
        }
    }

    fn cast(&mut self, high: u64, dst: u8, src: u8) {
        let done = self.asm.code.label();
        let d = reg(dst);
        self.asm.mov(false, d, reg(src));
        self.asm.test(true, d, d);
        self.asm.jcc(CC_E, done);
        self.asm.mov_imm(SCRATCH, high);
        self.asm.op(true, Op2::Or, d, SCRATCH);
        self.asm.code.bind(done);
    }

    fn imm64(&mut self, dst: u8, val: u64) {
        self.asm.mov_imm(reg(dst), val);
    }

    fn wall(&mut self, place: Place, write: bool, slow: Label) {
        let asm = &mut self.asm;
        asm.lea(SCRATCH, Mem::at(reg(place.base), place.off));
        asm.mov(true, SCRATCH2, SCRATCH);
        asm.shift_imm(true, Shift::Shr, SCRATCH2, ZONE_BITS as u8);
        asm.op_imm(false, Op2::And, SCRATCH2, Walls::ZONE_MASK as i32);
        asm.op_from(true, Op2::Sub, SCRATCH, Mem::indexed(STATE, SCRATCH2, 8, at::START as i32));
        let allowed = at::allowed(place.size, write) as i32;
        asm.op_from(true, Op2::Cmp, SCRATCH, Mem::indexed(STATE, SCRATCH2, 8, allowed));
        asm.jcc(CC_AE, slow);
    }

    fn load(&mut self, dst: u8, place: Place, signed: bool) {
        let mem = self.host(place);
        self.asm.load(place.size, signed, reg(dst), mem);
    }

    fn store(&mut self, place: Place, src: Src) {
        let mem = self.host(place);
        match src {
            Src::Reg(src) => self.asm.store(place.size, mem, reg(src)),
            Src::Imm(imm) => self.asm.store_imm(place.size, mem, imm as i32),
        }
    }

    /// Plain instructions: programs run one at a time.
    fn atomic(&mut self, op: AtomicOp, fetch: bool, place: Place, src: u8) {
        let (wide, src) = (place.size == 8, reg(src));
        let mem = self.host(place);
        let asm = &mut self.asm;
        asm.lea(SCRATCH2, mem);
        let mem = Mem::at(SCRATCH2, 0);
        let two = match op {
            AtomicOp::Add => Op2::Add,
            AtomicOp::Or => Op2::Or,
            AtomicOp::And => Op2::And,
            AtomicOp::Xor => Op2::Xor,
            AtomicOp::Xchg => {
                asm.load(place.size, false, SCRATCH, mem);
                asm.store(place.size, mem, src);
                return asm.mov(true, src, SCRATCH);
            }
            AtomicOp::Cmpxchg => {
                asm.mov(wide, SCRATCH, reg(0));
                asm.cmpxchg(wide, mem, src);
                return asm.mov(true, reg(0), SCRATCH);
            }
        };
        if fetch {
            asm.load(place.size, false, SCRATCH, mem);
        }
        asm.op_to(wide, two, mem, src);
        if fetch {
            asm.mov(true, src, SCRATCH);
        }
    }

    fn slow(&mut self, pc: u32, place: Place, val: Option<Src>, dst: Option<u8>, fail: Label) {
        let asm = &mut self.asm;
        match val {
            Some(Src::Reg(src)) => asm.mov(true, SCRATCH2, reg(src)),
            Some(Src::Imm(imm)) => asm.mov_imm(SCRATCH2, imm),
            None => {}
        }
        asm.lea(SCRATCH, Mem::at(reg(place.base), place.off));
        asm.store_imm(8, state(at::PC), pc as i32);
        asm.store(8, state(at::REGS), reg(0));
        asm.call(self.slow);
        asm.test(true, SCRATCH2, SCRATCH2);
        asm.jcc(CC_NE, fail);
        if let Some(dst) = dst {
            asm.mov(true, reg(dst), SCRATCH);
        }
    }

    fn jump(&mut self, to: Label) {
        self.asm.jmp(to);
    }

    fn branch(&mut self, cond: Cond, wide: bool, dst: u8, src: Src, to: Label) {
        let d = reg(dst);
        match (cond, src) {
            (Cond::Set, Src::Reg(src)) => self.asm.test(wide, d, reg(src)),
            (Cond::Set, Src::Imm(imm)) => self.asm.test_imm(wide, d, imm as i32),
            (_, Src::Imm(0)) => self.asm.test(wide, d, d),
            (_, Src::Imm(imm)) => self.asm.op_imm(wide, Op2::Cmp, d, imm as i32),
            (_, Src::Reg(src)) => self.asm.op(wide, Op2::Cmp, d, reg(src)),
        }
        let cc = match cond {
            Cond::Eq => CC_E,
            Cond::Gt => CC_A,
            Cond::Ge => CC_AE,
            Cond::Set | Cond::Ne => CC_NE,
            Cond::Sgt => CC_G,
            Cond::Sge => CC_GE,
            Cond::Lt => CC_B,
            Cond::Le => CC_BE,
            Cond::Slt => CC_L,
            Cond::Sle => CC_LE,
        };
        self.asm.jcc(cc, to);
    }

    fn may_goto(&mut self, to: Label) {
        let asm = &mut self.asm;
        asm.load(8, false, SCRATCH, state(at::MAY_GOTO));
        asm.load(4, false, SCRATCH2, Mem::at(SCRATCH, 0));
        asm.op_imm(false, Op2::Sub, SCRATCH2, 1);
        asm.jcc(CC_B, to);
        asm.store(4, Mem::at(SCRATCH, 0), SCRATCH2);
    }

    fn call_out(&mut self, pc: u32) {
        self.asm.mov_imm(SCRATCH, pc.into());
        self.asm.call(self.call_out);
    }

    fn call_local(&mut self, ret: u32, to: Label, deep: Label) {
        let asm = &mut self.asm;
        asm.load(8, false, SCRATCH, state(at::CURSOR));
        asm.op_from(true, Op2::Cmp, SCRATCH, state(at::CURSOR_END));
        asm.jcc(CC_AE, deep);
        asm.store_imm(8, Mem::at(SCRATCH, 0), ret as i32);
        for (i, bpf) in (6..10).enumerate() {
            asm.store(8, Mem::at(SCRATCH, 8 + 8 * i as i32), reg(bpf));
        }
        asm.op_imm(true, Op2::Add, SCRATCH, size_of::<Saved>() as i32);
        asm.store(8, state(at::CURSOR), SCRATCH);
        asm.op_imm(true, Op2::Add, reg(10), FRAME as i32);
        asm.op_imm(true, Op2::Sub, RSP, 8);
        asm.call(to);
        asm.op_imm(true, Op2::Add, RSP, 8);
    }

    fn exit(&mut self, frames: bool) {
        let asm = &mut self.asm;
        if frames {
            asm.load(8, false, SCRATCH, state(at::CURSOR));
            asm.op_imm(true, Op2::Sub, SCRATCH, size_of::<Saved>() as i32);
            asm.store(8, state(at::CURSOR), SCRATCH);
            for (i, bpf) in (6..10).enumerate() {
                asm.load(8, false, reg(bpf), Mem::at(SCRATCH, 8 + 8 * i as i32));
            }
            asm.op_imm(true, Op2::Sub, reg(10), FRAME as i32);
        }
        asm.ret();
    }
}

impl X86 {
    /// A place that has passed the wall; uses the second scratch register.
    fn host(&mut self, place: Place) -> Mem {
        self.asm.load(8, false, SCRATCH2, state(at::DELTA));
        Mem::indexed(reg(place.base), SCRATCH2, 1, place.off)
    }

    fn shift(&mut self, op: Shift, wide: bool, dst: Reg, src: Src) {
        match src {
            Src::Imm(imm) => {
                let count = imm as u8 & if wide { 63 } else { 31 };
                match (count, wide) {
                    (0, true) => {}
                    (0, false) => self.asm.mov(false, dst, dst),
                    _ => self.asm.shift_imm(wide, op, dst, count),
                }
            }
            Src::Reg(src) => {
                self.asm.mov(false, SCRATCH2, reg(src));
                self.asm.shift_cl(wide, op, dst);
            }
        }
    }

    /// Division has no traps in BPF: by 0 it gives 0 and the remainder is the dividend; the least number by -1 wraps.
    fn divide(&mut self, op: Alu, wide: bool, dst: Reg, src: Src) {
        let signed = matches!(op, Alu::Sdiv | Alu::Smod);
        let rest = matches!(op, Alu::Mod | Alu::Smod);
        match src {
            Src::Imm(imm) => {
                let imm = if wide { imm } else { u64::from(imm as u32) };
                let minus_one = if wide { u64::MAX } else { u32::MAX.into() };
                match imm {
                    0 => self.by_zero(rest, wide, dst),
                    imm if signed && imm == minus_one => self.by_minus_one(rest, wide, dst),
                    imm if !signed && imm.is_power_of_two() && imm < 1 << 31 => {
                        if rest {
                            self.asm.op_imm(wide, Op2::And, dst, (imm - 1) as i32);
                        } else {
                            self.shift(Shift::Shr, wide, dst, Src::Imm(imm.trailing_zeros().into()));
                        }
                    }
                    imm => {
                        self.asm.mov_imm(SCRATCH2, imm);
                        self.divide_core(signed, rest, wide, dst);
                    }
                }
            }
            Src::Reg(src) => {
                let (zero, minus_one) = (self.asm.code.label(), self.asm.code.label());
                let done = self.asm.code.label();
                self.asm.mov(wide, SCRATCH2, reg(src));
                self.asm.test(wide, SCRATCH2, SCRATCH2);
                self.asm.jcc(CC_E, zero);
                if signed {
                    self.asm.op_imm(wide, Op2::Cmp, SCRATCH2, -1);
                    self.asm.jcc(CC_E, minus_one);
                }
                self.divide_core(signed, rest, wide, dst);
                self.asm.jmp(done);
                self.asm.code.bind(minus_one);
                if signed {
                    self.by_minus_one(rest, wide, dst);
                    self.asm.jmp(done);
                }
                self.asm.code.bind(zero);
                self.by_zero(rest, wide, dst);
                self.asm.code.bind(done);
            }
        }
    }

    fn by_zero(&mut self, rest: bool, wide: bool, dst: Reg) {
        match (rest, wide) {
            (true, true) => {}
            (true, false) => self.asm.mov(false, dst, dst),
            (false, _) => self.asm.mov_imm(dst, 0),
        }
    }

    fn by_minus_one(&mut self, rest: bool, wide: bool, dst: Reg) {
        if rest { self.asm.mov_imm(dst, 0) } else { self.asm.neg(wide, dst) }
    }

    /// Divides by the second scratch register. rdx holds r3.
    fn divide_core(&mut self, signed: bool, rest: bool, wide: bool, dst: Reg) {
        let asm = &mut self.asm;
        asm.mov(wide, SCRATCH, dst);
        asm.store(8, state(at::SPILL), RDX);
        if signed {
            asm.sign_to_rdx(wide);
        } else {
            asm.mov_imm(RDX, 0);
        }
        asm.divide(signed, wide, SCRATCH2);
        if rest {
            asm.mov(wide, SCRATCH, RDX);
        }
        asm.load(8, false, RDX, state(at::SPILL));
        asm.mov(wide, dst, SCRATCH);
    }

    /// `entry(state: rdi, target: rsi, words: rdx) -> status`; the place that ends it, status in rax.
    fn entry(&mut self) -> Label {
        let end = self.asm.code.label();
        let asm = &mut self.asm;
        for kept in KEPT {
            asm.push(kept);
        }
        asm.op_imm(true, Op2::Sub, RSP, 8);
        asm.mov(true, STATE, RDI);
        asm.mov(true, SCRATCH, RSI);
        asm.store(8, state(at::SP), RSP);
        asm.load(8, false, COUNT, state(at::LEFT));
        for zeroed in [0, 6, 7, 8, 9] {
            asm.mov_imm(reg(zeroed), 0);
        }
        // r3 is in rdx, so it comes last.
        for (bpf, word) in [(10, 5), (1, 0), (2, 1), (4, 3), (5, 4), (3, 2)] {
            asm.load(8, false, reg(bpf), Mem::at(RDX, word * 8));
        }
        asm.op_imm(true, Op2::Sub, RSP, 8);
        asm.call_reg(SCRATCH);
        asm.store(8, state(at::REGS), reg(0));
        asm.mov_imm(SCRATCH, RETURNED.into());
        asm.code.bind(end);
        asm.store(8, state(at::LEFT), COUNT);
        asm.load(8, false, RSP, state(at::SP));
        asm.op_imm(true, Op2::Add, RSP, 8);
        for kept in KEPT.into_iter().rev() {
            asm.pop(kept);
        }
        asm.ret();
        end
    }

    /// Slot in eax: all registers into the state.
    fn leave_code(&mut self, end: Label) {
        let asm = &mut self.asm;
        asm.code.bind(self.leave);
        for (bpf, host) in REGS.into_iter().enumerate() {
            asm.store(8, state(at::REGS + 8 * bpf), host);
        }
        asm.shift_imm(true, Shift::Shl, SCRATCH, 32);
        asm.op_imm(true, Op2::Or, SCRATCH, LEFT as i32);
        asm.jmp(end);
    }

    /// Called with the slot in eax; r1..r5 are kept, as in the interpreter.
    fn call_out_code(&mut self, function: u64, end: Label) {
        let failed = self.asm.code.label();
        let asm = &mut self.asm;
        asm.code.bind(self.call_out);
        asm.store(8, state(at::LEFT), COUNT);
        for bpf in (1..6).rev() {
            asm.push(reg(bpf));
        }
        asm.mov(true, RDI, STATE);
        asm.mov(true, RSI, RSP);
        asm.mov(true, RDX, SCRATCH);
        asm.mov_imm(SCRATCH, function);
        asm.call_reg(SCRATCH);
        asm.mov(true, SCRATCH2, RDX);
        for bpf in 1..6 {
            asm.pop(reg(bpf));
        }
        asm.load(8, false, COUNT, state(at::LEFT));
        asm.test(true, SCRATCH2, SCRATCH2);
        asm.jcc(CC_NE, failed);
        asm.mov(true, reg(0), SCRATCH);
        asm.ret();
        asm.code.bind(failed);
        asm.mov_imm(SCRATCH, TRAPPED.into());
        asm.jmp(end);
    }

    /// Called with the address in rax, the value in rcx; result in rax, failure in rcx.
    fn slow_code(&mut self, function: u64) {
        let asm = &mut self.asm;
        asm.code.bind(self.slow);
        for lost in LOST {
            asm.push(lost);
        }
        asm.mov(true, RDI, STATE);
        asm.mov(true, RSI, SCRATCH);
        asm.mov(true, RDX, SCRATCH2);
        asm.mov_imm(SCRATCH, function);
        asm.call_reg(SCRATCH);
        asm.mov(true, SCRATCH2, RDX);
        for lost in LOST.into_iter().rev() {
            asm.pop(lost);
        }
        asm.ret();
    }
}

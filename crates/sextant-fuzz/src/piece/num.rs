//! Numbers: arithmetic, branches on them, loops.

use sextant_bpf::opcode::{Alu, Cond, Order, Size};

use super::Gen;
use crate::asm::Src;

const ALUS: [Alu; 14] = [
    Alu::Add,
    Alu::Sub,
    Alu::Mul,
    Alu::Div,
    Alu::Or,
    Alu::And,
    Alu::Lsh,
    Alu::Rsh,
    Alu::Mod,
    Alu::Xor,
    Alu::Mov,
    Alu::Arsh,
    Alu::Sdiv,
    Alu::Smod,
];

pub(super) const CONDS: [Cond; 11] = [
    Cond::Eq,
    Cond::Gt,
    Cond::Ge,
    Cond::Set,
    Cond::Ne,
    Cond::Sgt,
    Cond::Sge,
    Cond::Lt,
    Cond::Le,
    Cond::Slt,
    Cond::Sle,
];

impl Gen<'_> {
    /// A few operations on the numbers.
    pub(super) fn math(&mut self) {
        for _ in 0..1 + self.rng.below(5) {
            self.operation();
        }
    }

    fn operation(&mut self) {
        let (x, y) = (self.num(), self.num());
        match self.rng.below(20) {
            0 => {
                let wide = self.rng.coin();
                self.asm.neg(wide, x);
            }
            1..=3 => {
                let (bits, wide) = self.rng.of(&[(8, true), (16, true), (32, true), (8, false), (16, false)]);
                self.asm.movsx(bits, wide, x, y);
            }
            4..=5 => {
                let order = self.rng.of(&[Order::Le, Order::Be, Order::Bswap]);
                let bits = self.rng.of(&[16, 32, 64]);
                self.asm.end(order, bits, x);
            }
            6 => {
                let val = self.rng.number();
                self.asm.constant(x, val);
            }
            7..=8 => self.fresh(x),
            9..=10 => {
                // Few bits known.
                let mask = self.rng.of(&[1, 3, 7, 0xf, 0x3f, 0xf0, 0xff, 0x55, 0x7fff]);
                self.asm.alu(Alu::And, true, x, Src::Imm(mask));
            }
            _ => self.alu(x, y),
        }
    }

    fn alu(&mut self, x: u8, y: u8) {
        let (op, wide) = (self.rng.of(&ALUS), self.rng.coin());
        let bits = if wide { 64 } else { 32 };
        let src = match op {
            Alu::Lsh | Alu::Rsh | Alu::Arsh => {
                if self.rng.below(3) == 0 {
                    let mask = self.rng.of(&[7, 15, 31, bits - 1]);
                    self.asm.alu(Alu::And, true, y, Src::Imm(mask));
                    Src::Reg(y)
                } else {
                    Src::Imm(self.rng.below(bits as u64) as i32)
                }
            }
            _ if self.rng.coin() => Src::Reg(y),
            Alu::Div | Alu::Mod | Alu::Sdiv | Alu::Smod => {
                // Zero and minus one are for registers, and now and then for the verifier.
                let imm = self.rng.imm();
                Src::Imm(if imm == 0 && !self.slip() { -1 } else { imm })
            }
            _ => Src::Imm(self.rng.imm()),
        };
        self.asm.alu(op, wide, x, src);
    }

    /// A number from memory: unknown, or of few bits.
    pub(super) fn fresh(&mut self, x: u8) {
        self.value_addr(1, super::Of::Bss, 0);
        let (size, signed) = (self.size(), self.rng.below(3) == 0);
        let at = self.rng.below(248) as i16;
        self.asm.load(size, signed, x, 1, at);
    }

    /// Branches that tell what the verifier believes: the slots beside them are only ever executed if it may be so.
    pub(super) fn probe(&mut self) {
        if self.rng.coin() {
            let x = self.partly_known();
            (0..1 + self.rng.below(3)).for_each(|_| self.question_about(x));
            return;
        }
        if self.rng.coin() {
            self.operation();
        }
        for _ in 0..1 + self.rng.below(3) {
            self.operation();
            self.question();
        }
    }

    /// Numbers of which some bits are known, put together.
    fn partly_known(&mut self) -> u8 {
        let (x, y) = (self.num(), self.num());
        for num in [x, y] {
            if self.rng.below(3) == 0 {
                self.fresh(num);
            }
            let mask = match self.rng.below(3) {
                0 => 1 << self.rng.below(12),
                1 => (1 << self.rng.below(12)) - 1,
                _ => self.rng.below(4096) as i32,
            };
            self.asm.alu(Alu::And, true, num, Src::Imm(mask));
            if self.rng.coin() {
                let op = self.rng.of(&[Alu::Or, Alu::Xor, Alu::Add, Alu::Sub]);
                let imm = self.rng.below(64) as i32 - 16;
                self.asm.alu(op, true, num, Src::Imm(imm));
            }
        }
        let op = self.rng.of(&[
            Alu::Mul,
            Alu::Mul,
            Alu::Add,
            Alu::Sub,
            Alu::And,
            Alu::Or,
            Alu::Xor,
            Alu::Mod,
            Alu::Div,
        ]);
        let src = if self.rng.coin() { Src::Reg(y) } else { Src::Imm(1 + self.rng.below(40) as i32) };
        let wide = self.rng.below(3) != 0;
        self.asm.alu(op, wide, x, src);
        if self.rng.below(3) == 0 {
            let op = self.rng.of(&[Alu::Lsh, Alu::Rsh, Alu::Arsh]);
            let by = self.rng.below(if wide { 64 } else { 32 }) as i32;
            self.asm.alu(op, wide, x, Src::Imm(by));
        }
        x
    }

    fn question(&mut self) {
        let x = self.num();
        self.question_about(x);
    }

    /// Both ways of a branch have an instruction of their own, on a number that is not asked about.
    fn question_about(&mut self, x: u8) {
        let y = if x == 6 { self.rng.of(&[7, 8]) } else { 6 };
        let (cond, wide) = (self.rng.of(&CONDS), self.rng.below(3) != 0);
        let src = match self.rng.below(9) {
            0 => Src::Reg(y),
            1 => Src::Imm(1 << self.rng.below(31)),
            2 => Src::Imm(self.rng.below(64) as i32),
            8 => Src::Imm(0),
            3 => Src::Imm(self.rng.below(300) as i32 - 150),
            4 => Src::Imm((1 << self.rng.below(17)) - 1),
            _ => Src::Imm(self.rng.imm()),
        };
        let (yes, end, long) = (self.asm.label(), self.asm.label(), self.rng.below(4) == 0);
        self.asm.jump(cond, wide, x, src, yes);
        self.asm.alu(Alu::Xor, true, y, Src::Imm(1));
        self.asm.ja(long, end);
        self.asm.bind(yes);
        self.asm.alu(Alu::Add, true, y, Src::Imm(2));
        self.asm.bind(end);
    }

    /// A condition around something.
    pub(super) fn branch(&mut self) {
        let (x, y, skip) = (self.num(), self.num(), self.asm.label());
        let (cond, wide) = (self.rng.of(&CONDS), self.rng.coin());
        let src = if self.rng.coin() { Src::Reg(y) } else { Src::Imm(self.rng.imm()) };
        self.asm.jump(cond, wide, x, src, skip);
        self.inner(true, true);
        if self.rng.coin() {
            let (end, long) = (self.asm.label(), self.rng.coin());
            self.asm.ja(long, end);
            self.asm.bind(skip);
            self.inner(true, true);
            self.asm.bind(end);
        } else {
            self.asm.bind(skip);
        }
    }

    /// A check that leaves when it fails: the numbers are bounded from here on.
    pub(super) fn early_out(&mut self) {
        if !self.here.leave {
            return self.math();
        }
        let num = self.num();
        let cond = self.rng.of(&[Cond::Gt, Cond::Ge, Cond::Sgt, Cond::Slt, Cond::Eq]);
        let bound = self.rng.of(&[0, 7, 63, 64, 1000, -1, 0x7fff_ffff]);
        self.leave_if(num, cond, bound);
        self.question();
    }

    /// A loop of a few rounds, counted on the stack.
    pub(super) fn repeat(&mut self) {
        let (again, done) = (self.asm.label(), self.asm.label());
        let at = super::SPILL - 8 * self.here.depth as i16;
        let rounds = 2 + self.rng.below(4) as i32;
        let budget = self.rng.below(3) == 0;
        self.asm.store(Size::Dw, 10, at, Src::Imm(0));
        self.asm.bind(again);
        if budget {
            self.asm.may_goto(done);
        }
        self.inner(true, true);
        self.asm.ldx(1, 10, at);
        self.asm.add(1, 1);
        self.asm.store(Size::Dw, 10, at, Src::Reg(1));
        match budget && self.rng.coin() {
            // A bound that the verifier does not know.
            true => {
                let num = self.num();
                self.asm.mov(2, num);
                self.asm.alu(Alu::And, true, 2, Src::Imm(7));
                self.asm.jump(Cond::Lt, true, 1, Src::Reg(2), again);
            }
            false => self.asm.jump(Cond::Lt, true, 1, Src::Imm(rounds), again),
        }
        self.asm.bind(done);
    }
}

//! Calls of the program's own functions, by itself and by helpers; open-coded iterators.

use sextant_abi::tables::{HelperId as H, KfuncId as K};
use sextant_bpf::opcode::{Alu, Cond, Size};

use super::mem::Span;
use super::{BITS, BUF, Gen, ITER};
use crate::asm::{Form, Src};
use crate::world::Of;

impl Gen<'_> {
    pub(super) fn callback(&mut self) {
        match self.rng.below(10) {
            0..=2 => self.local(),
            3 | 4 => self.bpf_loop(),
            5 | 6 => self.for_each(),
            7 | 8 => self.numbers(),
            _ => self.bits(),
        }
    }

    /// r6-r8 from the arguments; r1 may point to the caller's stack.
    fn local(&mut self) {
        let with_stack = self.rng.coin();
        let func = self.function(
            None,
            |g| {
                g.asm.mov(6, 1);
                g.asm.mov(7, 2);
                g.asm.mov(8, 1);
                g.asm.mov(9, 3);
            },
            |g| {
                if with_stack {
                    let span = Span { aligned: true, ..Span::of(0, 16) };
                    g.asm.mov(2, 9);
                    g.access(2, span);
                }
                (0..1 + g.rng.below(2)).for_each(|_| g.inner(true, true));
            },
            |g| {
                let num = g.num();
                g.asm.mov(0, num);
                if g.rng.coin() {
                    g.asm.alu(Alu::And, true, 0, Src::Imm(31));
                }
            },
        );
        let (x, y) = (self.num(), self.num());
        self.asm.mov(1, x);
        self.asm.mov(2, y);
        match with_stack {
            true => self.asm.fp(3, BUF.into()),
            false => self.asm.mov(3, x),
        }
        self.asm.call(func);
        self.result();
    }

    fn bpf_loop(&mut self) {
        let func = self.function(
            Some(Form::Loop),
            |g| {
                g.asm.mov(6, 1);
                g.asm.mov(9, 2);
                g.asm.ldx(7, 9, 0);
                g.asm.mov(8, 1);
            },
            |g| {
                g.inner(true, true);
                let num = g.num();
                g.asm.store(Size::Dw, 9, 8, Src::Reg(num));
            },
            |g| g.verdict(),
        );
        self.put(BUF, Size::Dw);
        self.put(BUF + 8, Size::Dw);
        if self.rng.coin() {
            let rounds = self.rng.below(5) as i32;
            self.asm.imm(1, rounds);
        } else {
            let num = self.num();
            self.asm.mov(1, num);
            self.asm.alu(Alu::And, true, 1, Src::Imm(7));
        }
        self.asm.func(2, func);
        self.asm.fp(3, BUF.into());
        self.asm.imm(4, 0);
        self.helper(H::loop_);
        self.result();
        let num = self.num();
        self.asm.ldx(num, 10, BUF + 8);
    }

    fn for_each(&mut self) {
        let of = self.rng.of(&[
            Of::Array,
            Of::Hash,
            Of::LruHash,
            Of::PercpuArray,
            Of::PercpuHash,
            Of::LruPercpuHash,
        ]);
        let deletes = matches!(of, Of::Hash | Of::LruHash) && self.rng.coin();
        let func = self.function(
            Some(Form::ForEach),
            |g| {
                g.asm.mov(9, 3);
                let size = if of.key() == 8 { Size::Dw } else { Size::W };
                g.asm.load(size, false, 6, 2, 0);
                g.asm.ldx(7, 3, 0);
                g.asm.mov(8, 6);
                if deletes {
                    g.helper(H::map_delete_elem);
                }
            },
            |g| {
                g.asm.mov(2, 9);
                let len = of.value();
                (0..1 + g.rng.below(2)).for_each(|_| g.access(2, Span::of(0, len)));
                g.math();
            },
            |g| g.verdict(),
        );
        self.asm.func(2, func);
        self.asm.imm(3, 0);
        self.asm.imm(4, 0);
        self.map(1, of);
        self.helper(H::for_each_map_elem);
        self.result();
    }

    fn numbers(&mut self) {
        let (start, rounds) = (self.rng.below(3) as i32, self.rng.below(5) as i32);
        self.asm.fp(1, ITER.into());
        self.asm.imm(2, start);
        if self.rng.coin() {
            let num = self.num();
            self.asm.mov(3, num);
            self.asm.alu(Alu::And, true, 3, Src::Imm(7));
        } else {
            self.asm.imm(3, start + rounds);
        }
        self.kfunc(K::bpf_iter_num_new);
        self.walk(ITER, K::bpf_iter_num_next, K::bpf_iter_num_destroy);
    }

    fn bits(&mut self) {
        let words = 1 + self.rng.below(3) as i32;
        for at in 0..words as i16 {
            self.put(BUF + 8 * at, Size::Dw);
        }
        self.asm.fp(1, BITS.into());
        self.asm.fp(2, BUF.into());
        self.asm.imm(3, words);
        self.kfunc(K::bpf_iter_bits_new);
        self.walk(BITS, K::bpf_iter_bits_next, K::bpf_iter_bits_destroy);
    }

    /// `while ((p = next())) …; destroy()`
    fn walk(&mut self, at: i16, next: K, destroy: K) {
        let (again, done) = (self.asm.label(), self.asm.label());
        self.asm.bind(again);
        self.asm.fp(1, at.into());
        self.kfunc(next);
        self.asm.jump(Cond::Eq, true, 0, Src::Imm(0), done);
        let num = self.num();
        let signed = self.rng.coin();
        self.asm.load(Size::W, signed, num, 0, 0);
        self.inner(false, true);
        let long = self.rng.coin();
        self.asm.ja(long, again);
        self.asm.bind(done);
        self.asm.fp(1, at.into());
        if !self.slip() {
            self.kfunc(destroy);
        }
    }
}

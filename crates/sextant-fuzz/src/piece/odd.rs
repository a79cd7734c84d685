//! Arenas; and instructions that no accepted program has: their engines must still agree on what they do.

use sextant_abi::tables::KfuncId as K;
use sextant_bpf::insn::{BPF_CALL, BPF_JMP, BPF_X, Insn};
use sextant_bpf::opcode::{Alu, DST, IMM, Kind, OFF, SRC, Size, TABLE};

use super::Gen;
use super::mem::Span;
use crate::asm::{Src, template};
use crate::world::{ARENA_PAGES, ARENA_USER, Of};

impl Gen<'_> {
    /// Pages are allocated, touched through either kind of pointer, and freed.
    pub(super) fn arena(&mut self) {
        let pages = 1 + self.rng.below(2) as i32;
        if self.rng.below(6) == 0 {
            let at = self.rng.below(ARENA_PAGES.into()) << 12;
            self.asm.constant(2, ARENA_USER + at);
            self.asm.imm(3, pages);
            self.map(1, Of::Arena);
            self.kfunc(K::bpf_arena_reserve_pages);
            return self.result();
        }
        self.asm.imm(2, 0);
        self.asm.imm(3, pages);
        self.asm.imm(4, -1);
        self.asm.imm(5, 0);
        self.map(1, Of::Arena);
        self.kfunc(K::bpf_arena_alloc_pages);
        let none = self.asm.label();
        self.asm.jump_null(0, none);
        self.asm.store(Size::Dw, 10, super::HELD, Src::Reg(0));
        self.asm.mov(2, 0);
        if self.rng.coin() {
            self.asm.cast(2, 2, 1);
        }
        let span = Span::of(0, 4096);
        (0..1 + self.rng.below(3)).for_each(|_| self.access(2, span));
        if self.rng.below(3) == 0 {
            // Anywhere in the arena or past its end: faults read 0.
            let x = self.num();
            match self.rng.coin() {
                true => {
                    self.asm.mov(2, x);
                    self.asm.cast(2, 2, 1);
                }
                false => self.asm.alu(Alu::Add, true, 2, Src::Reg(x)),
            }
            self.access(2, span);
        }
        if self.rng.below(3) == 0 {
            self.asm.ldx(2, 10, super::HELD);
            self.asm.cast(2, 2, 0x1_0000);
            let x = self.num();
            self.asm.mov(x, 2);
        }
        if self.rng.coin() {
            self.asm.ldx(2, 10, super::HELD);
            self.asm.imm(3, pages);
            self.map(1, Of::Arena);
            self.kfunc(K::bpf_arena_free_pages);
        }
        self.asm.bind(none);
    }

    /// Before the end of some programs: what the verifier refuses and the vm runs all the same.
    pub(super) fn odd_end(&mut self) {
        match self.rng.below(100) {
            // Packet loads: not here.
            0..=19 => {
                let rows = || TABLE.iter().filter(|row| matches!(row.kind, Kind::LdSkb { .. }));
                let nth = self.rng.below(rows().count() as u64) as usize;
                if let Some(row) = rows().nth(nth) {
                    let insn = row.template();
                    let src = if row.fields & SRC != 0 { 6 } else { 0 };
                    self.asm.push(Insn { src, imm: 4, ..insn });
                }
            }
            // A function called by its address.
            20..=23 => {
                let func = self.function(None, |_| {}, |_| {}, |g| g.asm.imm(0, 5));
                self.asm.func(2, func);
                self.asm.push(Insn { code: BPF_JMP | BPF_CALL | BPF_X, dst: 2, ..Insn::default() });
                let x = self.num();
                self.asm.mov(x, 0);
            }
            // Anything.
            24..=30 => (0..1 + self.rng.below(3)).for_each(|_| self.anything()),
            // Numbers as pointers, and pointers as numbers.
            31..=34 => {
                let x = self.num();
                let ptr = self.rng.of(&[9, 10, x]);
                let off = 8 * (self.rng.below(9) as i16 - 4);
                self.asm.ldx(x, ptr, off);
                self.asm.store(Size::W, ptr, off, Src::Reg(x));
            }
            // The end, from here or from a function.
            35..=37 => {
                let throw = |g: &mut Self| {
                    g.asm.imm(1, 0);
                    g.kfunc(K::bpf_throw);
                };
                if self.rng.coin() {
                    return throw(self);
                }
                let func = self.function(None, |g| g.asm.mov(6, 1), throw, |g| g.asm.imm(0, 0));
                let x = self.num();
                self.asm.mov(1, x);
                self.asm.call(func);
            }
            _ => {}
        }
    }

    fn anything(&mut self) {
        let row = &TABLE[self.rng.below(TABLE.len() as u64) as usize];
        if matches!(row.kind, Kind::LdImm64(_) | Kind::LdSkb { .. } | Kind::Exit) {
            return;
        }
        let mut insn = row.template();
        if row.fields & DST != 0 {
            insn.dst = self.rng.below(11) as u8;
        }
        if row.fields & SRC != 0 {
            insn.src = self.rng.below(11) as u8;
        }
        if row.fields & OFF != 0 {
            insn.off = self.rng.of(&[0, 0, 1, 2, -1, -8, 8, -16, 64]);
        }
        if row.fields & IMM != 0 {
            insn.imm = self.rng.imm();
        }
        // A jump in the last function could lead anywhere; not too far.
        if row.kind == (Kind::Ja { long: true }) {
            insn = Insn { imm: self.rng.below(4) as i32, ..template(row.kind) };
        }
        self.asm.push(insn);
    }
}

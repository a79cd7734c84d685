//! Ring buffers and dynptrs.

use sextant_abi::tables::{HelperId as H, KfuncId as K};
use sextant_bpf::opcode::{Alu, Size};

use super::mem::Span;
use super::{BUF, BUF_LEN, DYNPTR, Gen, HELD, OTHER_DYNPTR};
use crate::asm::{Form, Src};
use crate::world::Of;

impl Gen<'_> {
    pub(super) fn ring(&mut self) {
        match self.rng.below(8) {
            0..=2 => self.record(),
            3 => self.output(),
            4 => self.record_dynptr(),
            5 => self.drain(),
            _ => self.memory_dynptr(),
        }
    }

    fn record(&mut self) {
        let size = 8 * (1 + self.rng.below(6) as i32);
        self.asm.imm(2, size);
        self.asm.imm(3, 0);
        self.map(1, Of::Ringbuf);
        self.helper(H::ringbuf_reserve);
        let none = self.asm.label();
        self.asm.jump_null(0, none);
        self.asm.store(Size::Dw, 10, HELD, Src::Reg(0));
        self.asm.mov(2, 0);
        self.access(2, Span::of(0, size));
        if self.rng.below(3) == 0 {
            self.inner(false, true);
        }
        self.asm.ldx(1, 10, HELD);
        self.asm.imm(2, 0);
        let end = self.rng.of(&[H::ringbuf_submit, H::ringbuf_discard]);
        if !self.slip() {
            self.helper(end);
        }
        self.asm.bind(none);
    }

    fn output(&mut self) {
        if self.rng.coin() {
            self.put(BUF, Size::Dw);
            self.put(BUF + 8, Size::Dw);
            self.asm.fp(2, BUF.into());
            let over = if self.slip() { 240 } else { 0 };
            let len = self.rng.below(17) as i32 + over;
            self.asm.imm(3, len);
            self.asm.imm(4, 0);
            self.map(1, Of::Ringbuf);
            self.helper(H::ringbuf_output);
        } else {
            let flags = self.rng.below(5) as i32;
            self.asm.imm(2, flags);
            self.map(1, Of::Ringbuf);
            self.helper(H::ringbuf_query);
        }
        self.result();
    }

    /// Submitted or discarded on every path, whether there was room or not.
    fn record_dynptr(&mut self) {
        let num = self.num();
        self.asm.mov(2, num);
        self.asm.alu(Alu::And, true, 2, Src::Imm(63));
        self.asm.imm(3, 0);
        self.asm.fp(4, DYNPTR.into());
        self.map(1, Of::Ringbuf);
        self.helper(H::ringbuf_reserve_dynptr);
        self.use_dynptr(DYNPTR);
        self.asm.fp(1, DYNPTR.into());
        self.asm.imm(2, 0);
        let end = self.rng.of(&[H::ringbuf_submit_dynptr, H::ringbuf_discard_dynptr]);
        if !self.slip() {
            self.helper(end);
        }
    }

    fn memory_dynptr(&mut self) {
        let at = 8 * self.rng.below(8) as u32;
        self.value_addr(1, Of::Bss, at);
        let over = if self.slip() { 200 } else { 0 };
        let len = 1 + self.rng.below(180) as i32 + over;
        self.asm.imm(2, len);
        self.asm.imm(3, 0);
        self.asm.fp(4, DYNPTR.into());
        self.helper(H::dynptr_from_mem);
        (0..1 + self.rng.below(3)).for_each(|_| self.use_dynptr(DYNPTR));
    }

    /// Something with a dynptr on the stack.
    fn use_dynptr(&mut self, at: i16) {
        let ptr = i32::from(at);
        match self.rng.below(14) {
            0 => {
                self.asm.fp(1, BUF.into());
                let len = self.rng.below(BUF_LEN as u64) as i32;
                self.asm.imm(2, len);
                self.asm.fp(3, ptr);
                self.offset(4);
                self.asm.imm(5, 0);
                self.helper(H::dynptr_read);
            }
            1 => {
                self.put(BUF, Size::Dw);
                self.asm.fp(1, ptr);
                self.offset(2);
                self.asm.fp(3, BUF.into());
                self.asm.imm(4, 8);
                self.asm.imm(5, 0);
                self.helper(H::dynptr_write);
            }
            2 | 3 => {
                let size = 8 * (1 + self.rng.below(3) as i32);
                self.asm.fp(1, ptr);
                self.offset(2);
                self.asm.imm(3, size);
                self.helper(H::dynptr_data);
                return self.slice(size, true);
            }
            4 | 5 => {
                let size = 8 * (1 + self.rng.below(3) as i32);
                self.asm.fp(1, ptr);
                self.offset(2);
                self.asm.fp(3, BUF.into());
                self.asm.imm(4, size);
                let rw = self.rng.coin();
                self.kfunc(if rw { K::bpf_dynptr_slice_rdwr } else { K::bpf_dynptr_slice });
                return self.slice(size, rw);
            }
            6 => {
                self.asm.fp(1, ptr);
                self.offset(2);
                self.offset(3);
                self.kfunc(K::bpf_dynptr_adjust);
            }
            7 => {
                self.asm.fp(1, ptr);
                let ask = self.rng.of(&[K::bpf_dynptr_is_null, K::bpf_dynptr_is_rdonly, K::bpf_dynptr_size]);
                self.kfunc(ask);
            }
            8 | 9 => {
                self.asm.fp(1, ptr);
                self.asm.fp(2, OTHER_DYNPTR.into());
                self.kfunc(K::bpf_dynptr_clone);
                self.asm.fp(1, ptr);
                self.offset(2);
                self.asm.fp(3, OTHER_DYNPTR.into());
                self.offset(4);
                self.offset(5);
                self.kfunc(K::bpf_dynptr_copy);
            }
            10 => {
                let byte = self.rng.below(256) as i32;
                self.asm.fp(1, ptr);
                self.offset(2);
                self.offset(3);
                self.asm.imm(4, byte);
                self.kfunc(K::bpf_dynptr_memset);
            }
            11 | 12 => {
                let kfunc =
                    self.rng.of(&[K::bpf_probe_read_kernel_dynptr, K::bpf_probe_read_kernel_str_dynptr]);
                self.value_addr(4, Of::Rodata, 0);
                self.asm.fp(1, ptr);
                self.offset(2);
                self.asm.imm(3, 12);
                self.kfunc(kfunc);
            }
            _ => {
                // A slice is gone with its dynptr; a write to the dynptr's words ends it.
                if self.slip() {
                    self.asm.store(Size::Dw, 10, at, Src::Imm(1));
                }
                return;
            }
        }
        self.result();
    }

    /// A small number.
    fn offset(&mut self, reg: u8) {
        if self.rng.coin() {
            let num = self.num();
            self.asm.mov(reg, num);
            self.asm.alu(Alu::And, true, reg, Src::Imm(31));
        } else {
            let off = self.rng.below(20) as i32;
            self.asm.imm(reg, off);
        }
    }

    /// r0 is memory of a dynptr, or NULL.
    fn slice(&mut self, len: i32, writable: bool) {
        let skip = self.unless_null(0);
        self.asm.mov(2, 0);
        self.access(2, Span { writable, ..Span::of(0, len) });
        self.asm.bind(skip);
    }

    fn drain(&mut self) {
        let func = self.function(
            Some(Form::Drain),
            |g| {
                g.asm.mov(9, 1);
                (6..9).for_each(|n| g.fresh(n));
            },
            |g| {
                g.asm.mov(3, 9);
                g.asm.fp(1, BUF.into());
                g.asm.imm(2, 8);
                g.asm.imm(4, 0);
                g.asm.imm(5, 0);
                g.helper(H::dynptr_read);
                g.math();
            },
            |g| g.verdict(),
        );
        self.asm.func(2, func);
        self.asm.imm(3, 0);
        let flags = self.rng.below(3) as i32;
        self.asm.imm(4, flags);
        self.map(1, Of::UserRingbuf);
        self.helper(H::user_ringbuf_drain);
        self.result();
    }
}

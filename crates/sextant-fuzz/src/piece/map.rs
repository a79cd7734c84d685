//! Elements of maps, by the helpers.

use sextant_abi::tables::{HelperId as H, KfuncId as K};
use sextant_bpf::opcode::{Alu, Size};

use super::mem::Span;
use super::{BUF, Gen, HELD, KEY};
use crate::asm::Src;
use crate::world::Of;

/// Maps whose elements have keys, with the ordinary bytes of a value.
const KEYED: [Of; 7] =
    [Of::Array, Of::Hash, Of::LruHash, Of::PercpuArray, Of::PercpuHash, Of::LruPercpuHash, Of::Array];

impl Gen<'_> {
    pub(super) fn map_call(&mut self) {
        match self.rng.below(16) {
            0..=4 => self.lookup(),
            5 | 6 => self.update(),
            7 => self.delete(),
            8 => self.percpu_elem(),
            9 | 10 => self.queue(),
            11 => self.storage(),
            12 => self.cgroup_storage(),
            13 | 14 => self.of_maps(),
            _ => self.perf(),
        }
    }

    /// A key on the stack, r2 = its address.
    pub(super) fn key(&mut self, of: Of) {
        let size = if of.key() == 8 { Size::Dw } else { Size::W };
        match self.rng.below(3) {
            0 => {
                let num = self.num();
                self.asm.mov(1, num);
                self.asm.alu(Alu::And, true, 1, Src::Imm(3));
                self.asm.store(size, 10, KEY, Src::Reg(1));
            }
            _ => {
                let key = self.rng.below(6) as i32;
                self.asm.store(size, 10, KEY, Src::Imm(key));
            }
        }
        let slip = if self.slip() { 182 } else { 0 };
        self.asm.fp(2, i32::from(KEY) + slip);
    }

    fn lookup(&mut self) {
        let of = self.rng.of(&KEYED);
        self.key(of);
        self.map(1, of);
        self.helper(H::map_lookup_elem);
        let skip = self.unless_null(0);
        let span = Span::of(0, of.value());
        self.asm.mov(2, 0);
        (0..1 + self.rng.below(3)).for_each(|_| self.access(2, span));
        self.asm.bind(skip);
    }

    fn update(&mut self) {
        let of = self.rng.of(&KEYED);
        for at in 0..of.value() as i16 / 8 {
            self.put(BUF + 8 * at, Size::Dw);
        }
        self.key(of);
        self.asm.fp(3, BUF.into());
        let flags = self.rng.of(&[0, 0, 1, 2, 3]);
        self.asm.imm(4, flags);
        self.map(1, of);
        self.helper(H::map_update_elem);
        self.result();
    }

    /// Takes r0, a number, into one of the numbers.
    pub(super) fn result(&mut self) {
        if self.rng.coin() {
            let num = self.num();
            self.asm.mov(num, 0);
        }
    }

    fn delete(&mut self) {
        let of = self.rng.of(&[Of::Hash, Of::LruHash, Of::PercpuHash, Of::LruPercpuHash, Of::Array]);
        // What was looked up before is still there in this RCU section.
        let held = of == Of::Hash && self.rng.coin();
        if held {
            self.key(of);
            self.map(1, of);
            self.helper(H::map_lookup_elem);
            self.asm.store(Size::Dw, 10, HELD, Src::Reg(0));
        }
        self.key(of);
        self.map(1, of);
        self.helper(H::map_delete_elem);
        self.result();
        if held {
            self.asm.ldx(2, 10, HELD);
            let skip = self.unless_null(2);
            self.access(2, Span::of(0, of.value()));
            self.asm.bind(skip);
        }
        if self.rng.below(3) == 0 {
            self.map(1, of);
            self.kfunc(K::bpf_map_sum_elem_count);
            self.result();
        }
    }

    fn percpu_elem(&mut self) {
        let of = self.rng.of(&[Of::PercpuArray, Of::PercpuHash, Of::LruPercpuHash]);
        self.key(of);
        let cpu = self.rng.below(4) as i32;
        self.asm.imm(3, cpu);
        self.map(1, of);
        self.helper(H::map_lookup_percpu_elem);
        let skip = self.unless_null(0);
        self.asm.mov(2, 0);
        self.access(2, Span::of(0, of.value()));
        self.asm.bind(skip);
    }

    fn queue(&mut self) {
        let of = self.rng.of(&[Of::Queue, Of::Stack]);
        if self.rng.coin() {
            self.put(BUF, Size::Dw);
            self.put(BUF + 8, Size::Dw);
            self.asm.fp(2, BUF.into());
            let flags = self.rng.of(&[0, 2, 1]);
            self.asm.imm(3, flags);
            self.map(1, of);
            self.helper(H::map_push_elem);
        } else {
            let slip = if self.slip() { 236 } else { 0 };
            self.asm.fp(2, i32::from(BUF) + slip);
            self.map(1, of);
            let helper = self.rng.of(&[H::map_pop_elem, H::map_peek_elem]);
            self.helper(helper);
            let x = self.num();
            self.asm.ldx(x, 10, BUF);
        }
        self.result();
    }

    fn storage(&mut self) {
        if self.syscall || !self.here.main {
            self.helper(H::get_current_task_btf);
            self.asm.mov(2, 0);
        } else {
            self.asm.mov(2, 9);
        }
        if self.rng.below(4) == 0 {
            self.map(1, Of::TaskStorage);
            self.helper(H::task_storage_delete);
            return self.result();
        }
        self.asm.imm(3, 0);
        let create = self.rng.of(&[1, 1, 0]);
        self.asm.imm(4, create);
        self.map(1, Of::TaskStorage);
        self.helper(H::task_storage_get);
        let skip = self.unless_null(0);
        self.asm.mov(2, 0);
        self.access(2, Span::of(0, Of::TaskStorage.value()));
        self.asm.bind(skip);
    }

    fn cgroup_storage(&mut self) {
        if self.syscall || !self.here.main {
            return self.storage();
        }
        self.asm.mov(1, 9);
        self.kfunc(K::scx_bpf_task_cgroup);
        self.asm.store(Size::Dw, 10, HELD, Src::Reg(0));
        self.asm.mov(2, 0);
        if self.rng.coin() {
            self.map(1, Of::CgrpStorage);
            self.helper(H::cgrp_storage_delete);
        } else {
            self.asm.imm(3, 0);
            self.asm.imm(4, 1);
            self.map(1, Of::CgrpStorage);
            self.helper(H::cgrp_storage_get);
            let skip = self.unless_null(0);
            self.asm.mov(2, 0);
            self.access(2, Span::of(0, Of::CgrpStorage.value()));
            self.asm.bind(skip);
        }
        if !self.slip() {
            self.asm.ldx(1, 10, HELD);
            self.kfunc(K::bpf_cgroup_release);
        }
    }

    fn of_maps(&mut self) {
        let of = self.rng.of(&[Of::ArrayOfMaps, Of::HashOfMaps]);
        let key = self.rng.below(4) as i32;
        self.asm.store(Size::W, 10, KEY, Src::Imm(key));
        self.asm.fp(2, KEY.into());
        self.map(1, of);
        self.helper(H::map_lookup_elem);
        let none = self.unless_null(0);
        let key = self.rng.below(3) as i32;
        self.asm.store(Size::W, 10, KEY, Src::Imm(key));
        self.asm.mov(1, 0);
        self.asm.fp(2, KEY.into());
        self.helper(H::map_lookup_elem);
        let skip = self.unless_null(0);
        self.asm.mov(2, 0);
        self.access(2, Span::of(0, Of::Inner.value()));
        self.asm.bind(skip);
        self.asm.bind(none);
    }

    /// No event is ever there.
    fn perf(&mut self) {
        let which = self.rng.below(3);
        match which {
            0 => {
                self.asm.imm(2, 0);
                self.map(1, Of::Perf);
                self.helper(H::perf_event_read);
            }
            1 => {
                self.asm.imm(2, 1);
                self.asm.fp(3, BUF.into());
                self.asm.imm(4, 24);
                self.map(1, Of::Perf);
                self.helper(H::perf_event_read_value);
            }
            _ if self.here.main => {
                self.put(BUF, Size::Dw);
                self.asm.ldx(1, 10, super::CTX);
                self.asm.imm(3, 0);
                self.asm.fp(4, BUF.into());
                self.asm.imm(5, 8);
                self.map(2, Of::Perf);
                self.helper(H::perf_event_output);
            }
            _ => return self.lookup(),
        }
        self.result();
    }
}

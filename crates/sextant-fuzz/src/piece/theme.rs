//! What was wrong once: each theme is a kind of program on which verifiers disagreed. A theme has sound forms and, more often than other
//! pieces, forms that Linux refuses.

use sextant_abi::tables::{HelperId as H, KfuncId as K};
use sextant_abi::types::TaskStruct;
use sextant_bpf::opcode::{Alu, Cond, Size};

use super::mem::Span;
use super::{BUF, DYNPTR, Gen, HELD, IRQ, KEY, OTHER_DYNPTR, OTHER_HELD, OTHER_IRQ, SPILL};
use crate::asm::{Form, FuncId, FuncKind, Note, Src, Theme};
use crate::world::{KPTR_AT, Of, RODATA, TIMER_AT, TIMERS_DATA, WQ_AT};

impl Gen<'_> {
    pub(super) fn theme(&mut self) {
        let theme = self.rng.of(&Theme::ALL);
        self.asm.note(Note::Theme(theme));
        // The note is on an instruction that every form has.
        self.asm.imm(0, 0);
        match theme {
            Theme::DynptrClone => self.dynptr_clone(),
            Theme::OddKey => self.odd_key(),
            Theme::ArenaArgument => self.arena_argument(),
            Theme::CallbackSetsCallback => self.callback_sets_callback(),
            Theme::GlobalArgument => self.global_argument(),
            Theme::ObjectOffset => self.object_offset(),
            Theme::UnknownRight => self.unknown_right(),
            Theme::NegativeBase => self.negative_base(),
            Theme::SpillLoop => self.spill_loop(),
            Theme::Format => self.format(),
            Theme::Sections => self.sections(),
            Theme::ResLocks => self.res_locks(),
        }
    }

    /// Wrong more often than elsewhere.
    fn twist(&mut self) -> bool {
        self.slips > 0 && self.rng.below(3) == 0
    }

    /// A record, its dynptr, a clone; a slice of either. Both end with the record.
    fn dynptr_clone(&mut self) {
        self.asm.imm(2, 64);
        self.asm.imm(3, 0);
        self.asm.fp(4, DYNPTR.into());
        self.map(1, Of::Ringbuf);
        self.helper(H::ringbuf_reserve_dynptr);
        self.asm.fp(1, DYNPTR.into());
        self.asm.fp(2, OTHER_DYNPTR.into());
        self.kfunc(K::bpf_dynptr_clone);
        let of = self.rng.of(&[DYNPTR, OTHER_DYNPTR]);
        self.asm.fp(1, of.into());
        self.asm.imm(2, 0);
        self.asm.imm(3, 16);
        self.helper(H::dynptr_data);
        self.asm.store(Size::Dw, 10, HELD, Src::Reg(0));
        let (late, ended) = (self.twist(), self.rng.coin());
        if !late {
            self.held_slice();
        }
        let of = if self.twist() { OTHER_DYNPTR } else { DYNPTR };
        self.asm.fp(1, of.into());
        self.asm.imm(2, 0);
        let end = self.rng.of(&[H::ringbuf_submit_dynptr, H::ringbuf_discard_dynptr]);
        self.helper(end);
        if late && ended {
            self.held_slice();
        } else if late {
            self.asm.fp(1, BUF.into());
            self.asm.imm(2, 8);
            self.asm.fp(3, OTHER_DYNPTR.into());
            self.asm.imm(4, 0);
            self.asm.imm(5, 0);
            self.helper(H::dynptr_read);
        }
    }

    /// 16 bytes that the held pointer leads to.
    fn held_slice(&mut self) {
        self.asm.ldx(2, 10, HELD);
        let skip = self.asm.label();
        self.asm.jump_null(2, skip);
        self.access(2, Span::of(0, 16));
        self.asm.bind(skip);
    }

    /// A constant key, which saves the test for NULL in some forms: in one slot or across two, of several stores, zero or not.
    fn odd_key(&mut self) {
        let of = self.rng.of(&[Of::Array, Of::PercpuArray, Of::Timers]);
        let at = self.rng.of(&[0, 4, 2, 6, 1]);
        let key = self.rng.of(&[0, 0, 1, 7]);
        self.asm.store(Size::Dw, 10, KEY, Src::Imm(0));
        self.asm.store(Size::Dw, 10, KEY + 8, Src::Imm(0));
        match self.rng.below(4) {
            0 => self.asm.store(Size::B, 10, KEY + at, Src::Imm(key)),
            1 if at & 1 == 0 => {
                self.asm.store(Size::H, 10, KEY + at, Src::Imm(key));
                self.asm.store(Size::H, 10, KEY + at + 2, Src::Imm(0));
            }
            2 => {
                self.asm.imm(1, key);
                self.asm.store(Size::Dw, 10, KEY, Src::Reg(1));
            }
            _ if at & 3 == 0 => self.asm.store(Size::W, 10, KEY + at, Src::Imm(key)),
            _ => {}
        }
        self.asm.fp(2, i32::from(KEY + at));
        self.map(1, of);
        self.helper(H::map_lookup_elem);
        let (x, skip) = (self.num(), self.asm.label());
        if !self.twist() {
            self.asm.jump_null(0, skip);
        }
        let at = if of == Of::Timers { TIMERS_DATA as i16 } else { 8 };
        self.asm.ldx(x, 0, at);
        self.asm.bind(skip);
    }

    /// An arena pointer where memory, a number, or a string is wanted.
    fn arena_argument(&mut self) {
        self.asm.imm(2, 0);
        self.asm.imm(3, 1);
        self.asm.imm(4, -1);
        self.asm.imm(5, 0);
        self.map(1, Of::Arena);
        self.kfunc(K::bpf_arena_alloc_pages);
        let none = self.asm.label();
        self.asm.jump_null(0, none);
        if self.rng.coin() {
            self.asm.cast(0, 0, 1);
        }
        let wrong = self.twist();
        match self.rng.below(4) {
            0 => {
                self.asm.mov(3, 0);
                self.asm.fp(1, BUF.into());
                self.asm.imm(2, 8);
                self.helper(H::probe_read_kernel);
            }
            1 if wrong => {
                self.asm.mov(1, 0);
                self.asm.imm(2, 8);
                self.asm.mov(3, 0);
                self.helper(H::probe_read_kernel);
            }
            2 if wrong => {
                self.asm.mov(2, 0);
                self.map(1, Of::Array);
                self.helper(H::map_lookup_elem);
                self.asm.imm(0, 0);
            }
            _ => {
                let (x, size) = (self.num(), self.rng.of(&[Size::W, Size::Dw]));
                self.asm.mov(2, 0);
                let op = self.rng.of(&[
                    sextant_bpf::opcode::AtomicOp::Add,
                    sextant_bpf::opcode::AtomicOp::And,
                    sextant_bpf::opcode::AtomicOp::Xchg,
                ]);
                let fetch = self.twist();
                self.asm.atomic(op, size, fetch, 2, 8, x);
            }
        }
        self.result();
        self.asm.bind(none);
    }

    /// A callback that sets itself, or another, and starts it again.
    fn callback_sets_callback(&mut self) {
        let (wq, both) = (self.rng.coin(), self.rng.coin());
        let other = both.then(|| self.again(wq, None));
        let func = self.again(wq, other);
        self.element(Of::Timers);
        let none = self.asm.label();
        self.asm.jump_null(0, none);
        self.field(if wq { WQ_AT } else { TIMER_AT });
        self.map(2, Of::Timers);
        self.asm.imm(3, if wq { 0 } else { 1 });
        if wq {
            self.kfunc(K::bpf_wq_init)
        } else {
            self.helper(H::timer_init)
        }
        self.set_and_start(wq, func);
        self.asm.bind(none);
    }

    /// A callback that sets `other`, or itself.
    fn again(&mut self, wq: bool, other: Option<FuncId>) -> FuncId {
        let itself = FuncId(self.funcs.len());
        let form = if wq { Form::Wq } else { Form::Timer };
        self.function(
            Some(form),
            |g| {
                g.asm.mov(9, 3);
                g.asm.load(Size::W, false, 6, 2, 0);
                g.asm.mov(7, 6);
                g.asm.mov(8, 6);
            },
            |g| {
                g.asm.store(Size::Dw, 10, HELD, Src::Reg(9));
                g.set_and_start(wq, other.unwrap_or(itself));
            },
            |g| g.asm.imm(0, 0),
        )
    }

    fn set_and_start(&mut self, wq: bool, func: FuncId) {
        let at = if wq { WQ_AT } else { TIMER_AT };
        self.field(at);
        self.asm.func(2, func);
        self.asm.imm(3, 0);
        if wq {
            self.kfunc(K::bpf_wq_set_callback)
        } else {
            self.helper(H::timer_set_callback)
        }
        self.field(at);
        self.asm.imm(2, 50);
        self.asm.imm(3, 0);
        if wq {
            self.asm.imm(2, 0);
            self.kfunc(K::bpf_wq_start);
        } else {
            self.helper(H::timer_start);
        }
    }

    /// A global function of a struct, which may be NULL unless its parameter says otherwise.
    fn global_argument(&mut self) {
        let nonnull = self.rng.coin();
        let tested = !self.twist();
        let func = self.function(
            None,
            |g| {
                g.asm.kind = if nonnull { FuncKind::GlobalNonNull } else { FuncKind::Global };
                g.asm.mov(9, 1);
                (6..9).for_each(|n| g.asm.mov(n, 2));
            },
            |g| {
                let skip = g.asm.label();
                g.asm.mov(2, 9);
                if tested {
                    g.asm.jump_null(2, skip);
                }
                g.access(2, Span::of(0, 16));
                g.asm.bind(skip);
                g.math();
            },
            |g| {
                let num = g.num();
                g.asm.mov(0, num);
            },
        );
        self.key(Of::Hash);
        self.map(1, Of::Hash);
        self.helper(H::map_lookup_elem);
        self.asm.mov(1, 0);
        let skip = self.asm.label();
        match self.rng.below(4) {
            0 => {
                self.put(BUF, Size::Dw);
                self.put(BUF + 8, Size::Dw);
                self.asm.fp(1, BUF.into());
            }
            1 if !nonnull || self.twist() => self.asm.imm(1, 0),
            2 if self.twist() => {
                let num = self.num();
                self.asm.mov(1, num);
            }
            _ if nonnull && !self.twist() => self.asm.jump_null(1, skip),
            _ => {}
        }
        let num = self.num();
        self.asm.mov(2, num);
        self.asm.call(func);
        self.result();
        self.asm.bind(skip);
    }

    /// An object of the kernel's or of the program's own, with an offset added, as an argument.
    fn object_offset(&mut self) {
        let off = if self.twist() { self.rng.of(&[8, 16, -8]) } else { 0 };
        if self.syscall || !self.here.main || self.rng.coin() {
            let none = self.asm.label();
            let ty = self.world.node.0;
            self.asm.imm(1, ty as i32);
            self.kfunc(K::bpf_obj_new);
            self.asm.jump_null(0, none);
            self.asm.store(Size::Dw, 10, HELD, Src::Reg(0));
            let same = self.asm.label();
            self.asm.mov(1, 0);
            self.asm.add(1, off);
            self.kfunc(K::bpf_refcount_acquire);
            self.asm.jump_null(0, same);
            self.asm.mov(1, 0);
            self.kfunc(K::bpf_obj_drop);
            self.asm.bind(same);
            self.asm.ldx(1, 10, HELD);
            self.kfunc(K::bpf_obj_drop);
            return self.asm.bind(none);
        }
        self.asm.mov(2, 9);
        self.asm.add(2, off);
        if self.rng.coin() {
            self.asm.imm(3, 0);
            self.asm.imm(4, 1);
            self.map(1, Of::TaskStorage);
            self.helper(H::task_storage_get);
        } else {
            self.map(1, Of::TaskStorage);
            self.helper(H::task_storage_delete);
        }
    }

    /// A division, remainder or shift by a register, and its result as an index.
    fn unknown_right(&mut self) {
        let (x, y, skip) = (self.num(), self.num(), self.asm.label());
        self.asm.mov(3, x);
        self.asm.mov(4, y);
        let mask = self.rng.of(&[7, 15, 31]);
        self.asm.alu(Alu::And, true, 4, Src::Imm(mask));
        if self.rng.coin() {
            self.asm.alu(Alu::Or, true, 4, Src::Imm(1));
        }
        let op = self.rng.of(&[Alu::Mod, Alu::Div, Alu::Lsh, Alu::Rsh]);
        if op == Alu::Lsh {
            self.asm.imm(3, 1);
        } else if op == Alu::Div || self.rng.coin() {
            self.asm.alu(Alu::And, true, 3, Src::Imm(63));
        }
        let wide = self.rng.coin();
        self.asm.alu(op, wide, 3, Src::Reg(4));
        if !self.twist() {
            self.asm.jump(Cond::Gt, true, 3, Src::Imm(128), skip);
        }
        self.value_addr(2, Of::Bss, 0);
        self.asm.alu(Alu::Add, true, 2, Src::Reg(3));
        self.asm.load(Size::B, false, x, 2, 16);
        self.asm.bind(skip);
    }

    /// A pointer that goes before its object and comes back, by constants or by a number.
    fn negative_base(&mut self) {
        let (x, back) = (self.num(), 8 * (1 + self.rng.below(3) as i32));
        match self.rng.coin() {
            true => self.value_addr(2, Of::Bss, 0),
            false => self.asm.fp(2, BUF.into()),
        }
        (0..4).for_each(|n| self.put(BUF + 8 * n, Size::Dw));
        self.asm.mov(3, x);
        self.asm.alu(Alu::And, true, 3, Src::Imm(8));
        match self.rng.below(4) {
            0 if self.twist() => {
                self.asm.add(2, -back);
                self.asm.alu(Alu::Add, true, 2, Src::Reg(3));
                self.asm.ldx(x, 2, back as i16);
            }
            1 if self.twist() => {
                self.asm.add(3, back);
                self.asm.add(2, -back);
                self.asm.alu(Alu::Add, true, 2, Src::Reg(3));
                self.asm.ldx(x, 2, 0);
            }
            2 => {
                self.asm.add(2, -back);
                self.asm.add(2, back);
                self.asm.ldx(x, 2, 0);
            }
            _ => {
                self.asm.alu(Alu::Add, true, 2, Src::Reg(3));
                self.asm.ldx(x, 2, 8);
            }
        }
    }

    /// A counter of four bytes on the stack, in a loop of an iterator.
    fn spill_loop(&mut self) {
        let (again, done) = (self.asm.label(), self.asm.label());
        let (size, wide) = self.rng.of(&[(Size::W, false), (Size::Dw, true)]);
        let start = self.rng.below(2) as i32;
        self.asm.store(size, 10, SPILL, Src::Imm(start));
        self.asm.fp(1, super::ITER.into());
        self.asm.imm(2, 0);
        let rounds = self.rng.of(&[3, 40, 1000]);
        self.asm.imm(3, rounds);
        self.kfunc(K::bpf_iter_num_new);
        self.asm.bind(again);
        self.asm.fp(1, super::ITER.into());
        self.kfunc(K::bpf_iter_num_next);
        self.asm.jump_null(0, done);
        self.asm.load(size, false, 1, 10, SPILL);
        self.asm.alu(Alu::Add, wide, 1, Src::Imm(1));
        self.asm.store(size, 10, SPILL, Src::Reg(1));
        if self.rng.coin() {
            let stop = self.rng.of(&[5, 100]);
            self.asm.jump(Cond::Gt, wide, 1, Src::Imm(stop), done);
        }
        self.asm.ja(false, again);
        self.asm.bind(done);
        self.asm.fp(1, super::ITER.into());
        self.kfunc(K::bpf_iter_num_destroy);
        let x = self.num();
        self.asm.load(size, false, x, 10, SPILL);
    }

    /// A constant format with more or fewer arguments than it wants.
    fn format(&mut self) {
        let wrong = self.twist();
        let (at, text) = if wrong { self.rng.of(&RODATA) } else { RODATA[0] };
        let bytes = if wrong { self.rng.of(&[0, 8, 12, 16, 24]) } else { 24 };
        (0..3).for_each(|n| self.put(BUF + 8 * n, Size::Dw));
        if self.rng.coin() {
            self.asm.fp(1, i32::from(BUF) + 24);
            self.asm.imm(2, 16);
            self.value_addr(3, Of::Rodata, at);
            self.asm.fp(4, BUF.into());
            self.asm.imm(5, bytes);
            self.helper(H::snprintf);
        } else {
            let len = text.len() as i32 + 1;
            self.value_addr(1, Of::Rodata, at);
            self.asm.imm(2, len);
            self.asm.fp(3, BUF.into());
            self.asm.imm(4, bytes);
            self.helper(H::trace_vprintk);
        }
        self.result();
    }

    /// RCU and preemption sections in each other, with what is read in them used within or behind.
    fn sections(&mut self) {
        let rcu = (K::bpf_rcu_read_lock, K::bpf_rcu_read_unlock);
        let preempt = (K::bpf_preempt_disable, K::bpf_preempt_enable);
        let (outer, within) = self.rng.of(&[(rcu, preempt), (preempt, rcu), (rcu, rcu), (preempt, preempt)]);
        self.kfunc(outer.0);
        let held = self.here.main && !self.syscall;
        if held {
            self.asm.note(Note::Field("task_struct.real_parent"));
            self.asm.ldx(1, 9, TaskStruct::offset_of("real_parent") as i16);
            self.asm.store(Size::Dw, 10, OTHER_HELD, Src::Reg(1));
        }
        self.kfunc(within.0);
        self.inner(false, false);
        if !self.twist() {
            self.kfunc(within.1);
        }
        let late = self.twist();
        if !late && held {
            self.parent_pid();
        }
        if !self.twist() {
            self.kfunc(outer.1);
        }
        if late && held {
            self.parent_pid();
        }
        if self.rng.below(3) == 0 {
            self.asm.imm(1, 0);
            self.value_addr(1, Of::Roots, KPTR_AT as u32);
            self.asm.ldx(1, 1, 0);
            let x = self.num();
            let skip = self.asm.label();
            self.asm.jump_null(1, skip);
            self.asm.ldx(x, 1, 8);
            self.asm.bind(skip);
        }
    }

    /// The pid of the task read before.
    fn parent_pid(&mut self) {
        let (x, skip) = (self.num(), self.asm.label());
        self.asm.ldx(1, 10, OTHER_HELD);
        if !self.twist() {
            self.asm.jump_null(1, skip);
        }
        self.asm.note(Note::Field("task_struct.pid"));
        self.asm.load(Size::W, false, x, 1, TaskStruct::offset_of("pid") as i16);
        self.asm.bind(skip);
    }

    /// Two resilient locks in each other, with and without interrupts; let go in the reverse order, or not.
    fn res_locks(&mut self) {
        let (outer_irqs, inner_irqs) = (self.rng.coin(), self.rng.coin());
        let (none, first_only, failed) = (self.asm.label(), self.asm.label(), self.asm.label());
        self.element(Of::ResLock);
        self.asm.jump_null(0, none);
        self.asm.store(Size::Dw, 10, OTHER_HELD, Src::Reg(0));
        if !self.twist() {
            self.element(Of::ResLock);
            self.asm.jump_null(0, none);
        }
        self.res(OTHER_HELD, outer_irqs.then_some(OTHER_IRQ), true);
        self.asm.jump(Cond::Ne, true, 0, Src::Imm(0), failed);
        self.res(HELD, inner_irqs.then_some(IRQ), true);
        self.asm.jump(Cond::Ne, true, 0, Src::Imm(0), first_only);
        self.math();
        let ends = match self.twist() {
            true => [(OTHER_HELD, outer_irqs, OTHER_IRQ), (HELD, inner_irqs, IRQ)],
            false => [(HELD, inner_irqs, IRQ), (OTHER_HELD, outer_irqs, OTHER_IRQ)],
        };
        for (held, irqs, flags) in ends {
            let irqs = irqs != self.twist();
            self.res(held, irqs.then_some(flags), false);
        }
        self.asm.ja(false, none);
        self.asm.bind(first_only);
        self.res(OTHER_HELD, outer_irqs.then_some(OTHER_IRQ), false);
        self.asm.bind(failed);
        self.asm.bind(none);
    }

    /// Takes or lets go of the lock that a place on the stack points to.
    fn res(&mut self, held: i16, flags: Option<i16>, take: bool) {
        self.asm.ldx(1, 10, held);
        if let Some(flags) = flags {
            self.asm.fp(2, flags.into());
        }
        self.kfunc(match (take, flags.is_some()) {
            (true, false) => K::bpf_res_spin_lock,
            (true, true) => K::bpf_res_spin_lock_irqsave,
            (false, false) => K::bpf_res_spin_unlock,
            (false, true) => K::bpf_res_spin_unlock_irqrestore,
        });
    }
}

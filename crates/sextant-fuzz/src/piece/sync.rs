//! Locks, interrupts, RCU and preemption; timers and work items.

use sextant_abi::tables::{HelperId as H, KfuncId as K};
use sextant_bpf::opcode::{Cond, Size};

use super::mem::Span;
use super::{Gen, HELD, IRQ, KEY};
use crate::asm::{Form, FuncId, Src};
use crate::world::{Of, RES_DATA, TIMER_AT, TIMERS_DATA, WQ_AT};

impl Gen<'_> {
    pub(super) fn sync(&mut self) {
        match self.rng.below(10) {
            0 | 1 => self.spin_lock(),
            2 => self.res_lock(),
            3 => self.region(K::bpf_rcu_read_lock, K::bpf_rcu_read_unlock),
            4 => self.region(K::bpf_preempt_disable, K::bpf_preempt_enable),
            5 => self.irq(),
            6 | 7 => self.timer(),
            _ => self.work(),
        }
    }

    /// `HELD` = an element of an array of one or two, which is always there.
    pub(super) fn element(&mut self, of: Of) {
        let key = self.rng.below(of.entries() as u64) as i32;
        self.asm.store(Size::W, 10, KEY, Src::Imm(key));
        self.asm.fp(2, KEY.into());
        self.map(1, of);
        self.helper(H::map_lookup_elem);
        self.asm.store(Size::Dw, 10, HELD, Src::Reg(0));
    }

    fn spin_lock(&mut self) {
        self.element(Of::Timers);
        let none = self.asm.label();
        self.asm.jump_null(0, none);
        self.asm.mov(1, 0);
        self.helper(H::spin_lock);
        self.asm.ldx(2, 10, HELD);
        let span = Span::of(TIMERS_DATA, Of::Timers.value() - TIMERS_DATA);
        (0..1 + self.rng.below(3)).for_each(|_| self.access(2, span));
        self.inner(false, false);
        if !self.slip() {
            self.asm.ldx(1, 10, HELD);
            self.helper(H::spin_unlock);
        }
        self.asm.bind(none);
    }

    fn res_lock(&mut self) {
        let irqs = self.rng.coin();
        let (failed, none) = (self.asm.label(), self.asm.label());
        self.element(Of::ResLock);
        self.asm.jump_null(0, none);
        self.asm.mov(1, 0);
        if irqs {
            self.asm.fp(2, IRQ.into());
        }
        self.kfunc(if irqs { K::bpf_res_spin_lock_irqsave } else { K::bpf_res_spin_lock });
        self.asm.jump(Cond::Ne, true, 0, Src::Imm(0), failed);
        self.asm.ldx(2, 10, HELD);
        let span = Span::of(RES_DATA, Of::ResLock.value() - RES_DATA);
        self.access(2, span);
        self.inner(false, false);
        if !self.slip() {
            self.asm.ldx(1, 10, HELD);
            if irqs {
                self.asm.fp(2, IRQ.into());
            }
            self.kfunc(if irqs { K::bpf_res_spin_unlock_irqrestore } else { K::bpf_res_spin_unlock });
        }
        self.asm.bind(failed);
        self.asm.bind(none);
    }

    fn region(&mut self, enter: K, leave: K) {
        self.kfunc(enter);
        self.inner(false, true);
        if !self.slip() {
            self.kfunc(leave);
        }
    }

    fn irq(&mut self) {
        self.asm.fp(1, IRQ.into());
        self.kfunc(K::bpf_local_irq_save);
        self.inner(false, false);
        self.asm.fp(1, IRQ.into());
        if !self.slip() {
            self.kfunc(K::bpf_local_irq_restore);
        }
    }

    /// A callback of a timer or work item: map, key, value.
    fn later(&mut self, form: Form) -> FuncId {
        self.function(
            Some(form),
            |g| {
                g.asm.load(Size::W, false, 6, 2, 0);
                g.asm.mov(9, 3);
                g.asm.ldx(7, 3, TIMERS_DATA as i16);
                g.asm.mov(8, 6);
            },
            |g| {
                g.asm.mov(2, 9);
                let span = Span::of(TIMERS_DATA, Of::Timers.value() - TIMERS_DATA);
                g.access(2, span);
                g.inner(true, true);
            },
            |g| g.asm.imm(0, 0),
        )
    }

    fn timer(&mut self) {
        let func = self.later(Form::Timer);
        self.element(Of::Timers);
        let none = self.asm.label();
        self.asm.jump_null(0, none);
        self.field(TIMER_AT);
        self.map(2, Of::Timers);
        let clock = self.rng.of(&[1, 1, 7, 0]);
        self.asm.imm(3, clock);
        self.helper(H::timer_init);
        self.field(TIMER_AT);
        self.asm.func(2, func);
        self.helper(H::timer_set_callback);
        self.field(TIMER_AT);
        let (delay, flags) = (self.rng.below(100) as i32, self.rng.of(&[0, 0, 1, 2, 8]));
        self.asm.imm(2, delay);
        self.asm.imm(3, flags);
        self.helper(H::timer_start);
        self.result();
        if self.rng.below(3) == 0 {
            self.field(TIMER_AT);
            match self.rng.coin() {
                true => self.helper(H::timer_cancel),
                false => self.kfunc(K::bpf_timer_cancel_async),
            }
            self.result();
        }
        self.asm.bind(none);
    }

    /// r1 = that place in the element.
    pub(super) fn field(&mut self, at: i32) {
        let slip = if self.slip() { 8 } else { 0 };
        self.asm.ldx(1, 10, HELD);
        self.asm.add(1, at + slip);
    }

    fn work(&mut self) {
        let func = self.later(Form::Wq);
        self.element(Of::Timers);
        let none = self.asm.label();
        self.asm.jump_null(0, none);
        self.field(WQ_AT);
        self.map(2, Of::Timers);
        self.asm.imm(3, 0);
        self.kfunc(K::bpf_wq_init);
        self.field(WQ_AT);
        self.asm.func(2, func);
        self.asm.imm(3, 0);
        self.kfunc(K::bpf_wq_set_callback);
        self.field(WQ_AT);
        self.asm.imm(2, 0);
        self.kfunc(K::bpf_wq_start);
        self.result();
        self.asm.bind(none);
    }
}

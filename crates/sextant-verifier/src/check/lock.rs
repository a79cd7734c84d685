//! Spin locks, RCU read sides, preemption, interrupts: entered and left in order, and what may be called meanwhile. Mirrors
//! `process_spin_lock()`, `process_irq_flag()` and the region checks of kernel/bpf/verifier.c, 7.3.

use sextant_abi::tables::KfuncId;

use super::reg::{Reg, Ty, What};
use super::state::{Byte, LockId, RefKind, Special, slot_byte};
use super::*;
use crate::fields::{FieldKind, SpecialFields};

impl Env<'_> {
    /// A pointer to a special field in a map value or an allocated object.
    pub(super) fn field_arg(
        &mut self,
        n: u8,
        what: &str,
        is: impl Fn(FieldKind) -> bool,
    ) -> Res<(Reg, FieldKind)> {
        let reg = self.read(n)?;
        let fields = match reg.what {
            What::MapValue(map) => self.map(map).fields.clone(),
            What::Obj(Ty::Local(id)) => {
                self.prog.btf.map(|b| SpecialFields::of_object(b, id)).unwrap_or_default()
            }
            _ => {
                let text = format!("R{n} type={} expected={what} in a map value", reg.type_name());
                return refuse_reg(Code::ArgType, n, text);
            }
        };
        if reg.has(reg::OR_NULL) {
            return self.null_arg(n, &reg);
        }
        let Some(off) = reg.offset() else {
            return refuse_reg(
                Code::ArgType,
                n,
                format!("R{n} doesn't have constant offset. {what} has to be at the constant offset"),
            );
        };
        match fields.at(off).filter(|k| is(*k)) {
            Some(kind) => Ok((reg, kind)),
            None => refuse_reg(Code::ArgType, n, format!("off {off} doesn't point to 'struct {what}'")),
        }
    }

    pub(super) fn null_arg<T>(&self, n: u8, reg: &Reg) -> Res<T> {
        let text = format!("R{n} type={} expected a pointer that is not NULL", reg.type_name());
        refuse_reg(Code::ArgNull, n, text)
    }

    fn lock_id(reg: &Reg) -> LockId {
        LockId { what: reg.what, id: if reg.ref_id != 0 { reg.ref_id } else { reg.id } }
    }

    /// bpf_spin_lock(), bpf_spin_unlock()
    pub(super) fn spin_lock(&mut self, lock: bool) -> Res {
        let (reg, _) = self.field_arg(1, "bpf_spin_lock", |k| k == FieldKind::SpinLock)?;
        let id = Self::lock_id(&reg);
        if lock {
            if self.st.lock().is_some() {
                return refuse(Code::LockBalance, "Locking two bpf_spin_locks are not allowed");
            }
            self.acquire(RefKind::Lock(id));
            self.bounds_region(true);
            return Ok(());
        }
        let held = self.st.refs.iter().rposition(|r| matches!(r.kind, RefKind::Lock(_)));
        let Some(at) = held else {
            return refuse(Code::LockBalance, "bpf_spin_unlock without taking a lock");
        };
        if self.st.refs[at].kind != RefKind::Lock(id) {
            return refuse(Code::LockBalance, "bpf_spin_unlock of different lock");
        }
        self.st.refs.remove(at);
        self.bounds_region(false);
        self.forget_non_owning();
        Ok(())
    }

    /// bpf_res_spin_lock() and its kin; the result is 0 on the path that holds the lock.
    pub(super) fn res_lock(&mut self, kfunc: KfuncId) -> Res {
        let (reg, _) = match self.read(1)?.what {
            What::Arena => (self.read(1)?, FieldKind::ResSpinLock),
            _ => self.field_arg(1, "bpf_res_spin_lock", |k| k == FieldKind::ResSpinLock)?,
        };
        let id = Self::lock_id(&reg);
        let irq =
            matches!(kfunc, KfuncId::bpf_res_spin_lock_irqsave | KfuncId::bpf_res_spin_unlock_irqrestore);
        if matches!(kfunc, KfuncId::bpf_res_spin_lock | KfuncId::bpf_res_spin_lock_irqsave) {
            // The path on which the lock was not got.
            let mut failed = self.st.clone();
            (0..=5).for_each(|n| *failed.reg_mut(n) = Reg::UNINIT);
            *failed.reg_mut(0) =
                Reg { node: self.node([0, 0], 0), ..Reg::scalar(crate::range::Scalar::signed(-4095, -1)) };
            let pc = self.st.pc + 1;
            self.push(failed, pc)?;
            if irq {
                self.irq_save(2)?;
            }
            self.acquire(RefKind::ResLock(id));
            return Ok(());
        }
        match self.st.refs.iter().rposition(|r| r.kind == RefKind::ResLock(id)) {
            Some(at) => self.st.refs.remove(at),
            None => return refuse(Code::LockBalance, "bpf_res_spin_unlock without taking a lock"),
        };
        self.forget_non_owning();
        if irq { self.irq_restore(2) } else { Ok(()) }
    }

    /// bpf_local_irq_save(&flags)
    pub(super) fn irq_save(&mut self, n: u8) -> Res {
        let (frame, off) = self.stack_place(n, 8, "expected uninitialized irq flag")?;
        self.stack_clobber(frame, off, off + 8)?;
        let ref_id = self.acquire(RefKind::Irq);
        let slot = self.st.frames[frame as usize].slot_mut(off);
        slot.special = Special::Irq { ref_id };
        slot.bytes = [Byte::Special; 8];
        Ok(())
    }

    /// bpf_local_irq_restore(&flags), innermost first
    pub(super) fn irq_restore(&mut self, n: u8) -> Res {
        let (frame, off) = self.stack_place(n, 8, "expected an initialized irq flag")?;
        let slot = self.st.frames[frame as usize].slot_mut(off);
        let Special::Irq { ref_id } = slot.special else {
            return refuse_reg(
                Code::LockBalance,
                n,
                format!("arg#{} expected an initialized irq flag", n - 1),
            );
        };
        slot.special = Special::None;
        slot.bytes = [Byte::Misc; 8];
        let last = self.st.refs.iter().rev().find(|r| r.kind == RefKind::Irq).map(|r| r.id);
        if last != Some(ref_id) {
            return refuse(Code::LockBalance, "cannot restore irq state out of order");
        }
        self.forget_ref(ref_id)
    }

    /// A constant place on the stack, on a slot's start.
    pub(super) fn stack_place(&mut self, n: u8, size: i64, why: &str) -> Res<(u8, i64)> {
        let reg = self.read(n)?;
        let place = match (reg.what, reg.offset()) {
            (What::Stack(frame), Some(off))
                if slot_byte(off) == 0 && off >= -state::MAX_STACK && off + size <= 0 =>
            {
                Some((frame, off))
            }
            _ => None,
        };
        match place {
            Some(place) => Ok(place),
            None => refuse_reg(Code::ArgType, n, format!("arg#{} {why} on the stack", n - 1)),
        }
    }

    /// Calls that only count regions; true when `kfunc` was one.
    pub(super) fn region(&mut self, kfunc: KfuncId) -> Res<bool> {
        use KfuncId::*;
        if matches!(kfunc, bpf_rcu_read_lock | bpf_preempt_disable | bpf_local_irq_save) {
            self.bounds_region(true);
        } else if matches!(kfunc, bpf_rcu_read_unlock | bpf_preempt_enable | bpf_local_irq_restore) {
            self.bounds_region(false);
        }
        match kfunc {
            KfuncId::bpf_rcu_read_lock => self.st.rcu += 1,
            KfuncId::bpf_rcu_read_unlock => match self.st.rcu {
                0 => {
                    return refuse(
                        Code::LockBalance,
                        "unmatched rcu read unlock (kernel function bpf_rcu_read_unlock)",
                    );
                }
                1 => {
                    self.st.rcu = 0;
                    self.leave_rcu();
                }
                _ => self.st.rcu -= 1,
            },
            KfuncId::bpf_preempt_disable => self.st.preempt += 1,
            KfuncId::bpf_preempt_enable => match self.st.preempt.checked_sub(1) {
                Some(left) => self.st.preempt = left,
                None => {
                    return refuse(
                        Code::LockBalance,
                        "unmatched attempt to enable preemption (kernel function bpf_preempt_enable)",
                    );
                }
            },
            KfuncId::bpf_local_irq_save => self.irq_save(1)?,
            KfuncId::bpf_local_irq_restore => self.irq_restore(1)?,
            KfuncId::bpf_res_spin_lock
            | KfuncId::bpf_res_spin_unlock
            | KfuncId::bpf_res_spin_lock_irqsave
            | KfuncId::bpf_res_spin_unlock_irqrestore => {
                self.res_lock(kfunc)?;
                let took = matches!(kfunc, KfuncId::bpf_res_spin_lock | KfuncId::bpf_res_spin_lock_irqsave);
                self.clobber();
                if took {
                    let zero = self.number(crate::range::Scalar::constant(0));
                    self.set(0, zero);
                }
                return Ok(true);
            }
            _ => return Ok(false),
        }
        self.clobber();
        Ok(true)
    }

    /// Whether a call that may sleep is allowed here.
    pub(super) fn check_sleep(&self, what: &str, kind: &str) -> Res {
        let region = if self.st.rcu > 0 {
            "rcu_read_lock region"
        } else if self.st.preempt > 0 {
            "non-preemptible region"
        } else if self.st.irqs_off() {
            "IRQ-disabled region"
        } else if self.st.lock().is_some() {
            "bpf_spin_lock-ed region"
        } else {
            return Ok(());
        };
        refuse(Code::Sleepable, format!("{kind} {what} is sleepable within {region}"))
    }
}

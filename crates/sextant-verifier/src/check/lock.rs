//! Spin locks, RCU read sides, preemption, interrupts: entered and left in order, and what may be called meanwhile. Mirrors
//! `process_spin_lock()`, `process_irq_flag()` and the region checks of kernel/bpf/verifier.c, 7.3.

use sextant_abi::tables::KfuncId;

use super::reg::{ALLOC, NON_OWN, RCU, Reg, Ty, What};
use super::state::{Byte, LockId, RefKind, Special, slot_byte};
use super::*;
use crate::fields::{FieldKind, SpecialFields};

/// Where a special field may be that an argument points to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Holder {
    /// In a map's value only.
    MapValue,
    /// In an object that the program owns, too.
    Owner,
    /// In an object that a list or tree owns, too.
    AnyOwner,
}

/// Of an object that a list or tree owns.
const SHARED: u16 = ALLOC | NON_OWN;
/// Of one with a reference count of its own.
const SHARED_RCU: u16 = SHARED | RCU;

impl Env<'_> {
    /// A pointer to a special field in a map value or an allocated object.
    pub(super) fn field_arg(
        &mut self,
        n: u8,
        what: &str,
        holder: Holder,
        is: impl Fn(FieldKind) -> bool,
    ) -> Res<(Reg, FieldKind)> {
        let reg = self.read(n)?;
        if reg.has(reg::OR_NULL) {
            return self.null_arg(n, &reg);
        }
        let flags = reg.type_flags();
        let owned = flags == ALLOC;
        let shared = matches!(flags, SHARED | SHARED_RCU);
        let fields = match (reg.what, holder) {
            (What::MapValue(map), _) if flags == 0 => self.map(map).fields.clone(),
            (What::Obj(Ty::Local(id)), Holder::Owner) if owned => self.fields_of(id),
            (What::Obj(Ty::Local(id)), Holder::AnyOwner) if owned || shared => self.fields_of(id),
            _ => {
                let text = format!("R{n} type={} expected={what} in a map value", reg.type_name());
                return refuse_reg(Code::ArgType, n, text);
            }
        };
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

    pub(super) fn fields_of(&self, id: sextant_bpf::btf::TypeId) -> SpecialFields {
        self.prog.btf.map(|b| SpecialFields::of_object(b, id)).unwrap_or_default()
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
        let is = |k| k == FieldKind::SpinLock;
        let (reg, _) = self.field_arg(1, "bpf_spin_lock", Holder::Owner, is)?;
        if self.in_less() {
            return refuse(Code::LockedCall, "can't spin_{lock,unlock} in rbtree cb");
        }
        let id = Self::lock_id(&reg);
        if lock {
            if self.st.lock().is_some() {
                return refuse(Code::LockBalance, "Locking two bpf_spin_locks are not allowed");
            }
            self.acquire(RefKind::Lock(id));
            self.bounds_region(true);
            return Ok(());
        }
        self.unlock(RefKind::Lock(id), "bpf_spin")?;
        self.bounds_region(false);
        Ok(())
    }

    /// Releases the lock that was taken last, which must be that one.
    fn unlock(&mut self, kind: RefKind, name: &str) -> Res {
        let Some(last) = self.st.refs.iter().rposition(|r| r.kind.lock().is_some()) else {
            return refuse(Code::LockBalance, format!("{name}_unlock without taking a lock"));
        };
        if !self.st.refs.iter().any(|r| r.kind == kind) {
            let made = self.st.refs[last].pc;
            return refuse_made(Code::LockBalance, made, format!("{name}_unlock of different lock"));
        }
        if self.st.refs[last].kind.lock() != kind.lock() {
            let made = self.st.refs[last].pc;
            return refuse_made(Code::LockBalance, made, format!("{name}_unlock cannot be out of order"));
        }
        if let Some(at) = self.st.refs.iter().position(|r| r.kind == kind) {
            self.st.refs.remove(at);
        }
        self.forget_non_owning();
        self.maybe_leave_rcu();
        Ok(())
    }

    /// Whether a callback that compares tree nodes is running.
    pub(super) fn in_less(&self) -> bool {
        self.st.frames.iter().any(|f| f.callback.is_some_and(|c| c.is_less))
    }

    /// bpf_res_spin_lock() and its kin; the result is 0 on the path that holds the lock.
    pub(super) fn res_lock(&mut self, kfunc: KfuncId) -> Res {
        use KfuncId as K;
        let irq = matches!(kfunc, K::bpf_res_spin_lock_irqsave | K::bpf_res_spin_unlock_irqrestore);
        let locks = matches!(kfunc, K::bpf_res_spin_lock | K::bpf_res_spin_lock_irqsave);
        // The path on which the lock was not got.
        let mut failed = self.st.clone();
        let is = |k| k == FieldKind::ResSpinLock;
        let (reg, _) = self.field_arg(1, "bpf_res_spin_lock", Holder::Owner, is)?;
        if self.in_less() {
            return refuse(Code::LockedCall, "can't res_spin_{lock,unlock} in rbtree cb");
        }
        let id = Self::lock_id(&reg);
        let kind = if irq { RefKind::ResLockIrq(id) } else { RefKind::ResLock(id) };
        if !locks {
            self.unlock(kind, "bpf_res_spin")?;
            return if irq { self.irq_restore(2, true) } else { Ok(()) };
        }
        let resilient = |k: RefKind| matches!(k, RefKind::ResLock(_) | RefKind::ResLockIrq(_));
        if let Some(held) = self.st.refs.iter().find(|r| resilient(r.kind) && r.kind.lock() == Some(id)) {
            let text = "Acquiring the same lock again, AA deadlock detected";
            return refuse_made(Code::LockBalance, held.pc, text);
        }
        (0..=5).for_each(|n| *failed.reg_mut(n) = Reg::UNINIT);
        *failed.reg_mut(0) =
            Reg { node: self.node([0, 0], 0), ..Reg::scalar(crate::range::Scalar::signed(-4095, -1)) };
        let pc = self.st.pc + 1;
        self.push(failed, pc)?;
        self.acquire(kind);
        if irq { self.irq_save(2, true) } else { Ok(()) }
    }

    /// Saves the interrupt flags, for bpf_local_irq_save() or with a lock.
    pub(super) fn irq_save(&mut self, n: u8, with_lock: bool) -> Res {
        let (frame, off) = self.stack_place(n, 8, "expected uninitialized irq flag")?;
        if matches!(self.st.frames[frame as usize].slot(off).special, Special::Irq { .. }) {
            return refuse_reg(Code::LockBalance, n, format!("expected uninitialized irq flag as R{n}"));
        }
        self.stack_clobber(frame, off, off + 8)?;
        let ref_id = self.acquire(RefKind::Irq);
        let slot = self.st.frames[frame as usize].slot_mut(off);
        slot.special = Special::Irq { ref_id, with_lock };
        slot.bytes = [Byte::Special; 8];
        Ok(())
    }

    /// Restores them: innermost first, and by the kin of what saved them.
    pub(super) fn irq_restore(&mut self, n: u8, with_lock: bool) -> Res {
        let (frame, off) = self.stack_place(n, 8, "expected an initialized irq flag")?;
        let slot = self.st.frames[frame as usize].slot_mut(off);
        let Special::Irq { ref_id, with_lock: saved } = slot.special else {
            return refuse_reg(Code::LockBalance, n, format!("expected an initialized irq flag as R{n}"));
        };
        if saved != with_lock {
            let kin = |lock: bool| if lock { "lock" } else { "native" };
            let text = format!(
                "irq flag acquired by {} kfuncs cannot be restored with {} kfuncs",
                kin(saved),
                kin(with_lock)
            );
            return refuse_reg(Code::LockBalance, n, text);
        }
        slot.special = Special::None;
        slot.bytes = [Byte::Misc; 8];
        let last = self.st.refs.iter().rev().find(|r| r.kind == RefKind::Irq).map(|r| r.id);
        if last != Some(ref_id) {
            return refuse(Code::LockBalance, "cannot restore irq state out of order");
        }
        self.forget_ref(ref_id)?;
        self.maybe_leave_rcu();
        Ok(())
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
        if matches!(kfunc, bpf_rcu_read_lock | bpf_rcu_read_unlock) && self.in_less() {
            let text = "Calling bpf_rcu_read_{lock,unlock} in unnecessary rbtree callback";
            return refuse(Code::LockedCall, text);
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
                _ => {
                    self.st.rcu -= 1;
                    self.maybe_leave_rcu();
                }
            },
            KfuncId::bpf_preempt_disable => self.st.preempt += 1,
            KfuncId::bpf_preempt_enable => match self.st.preempt.checked_sub(1) {
                Some(left) => {
                    self.st.preempt = left;
                    self.maybe_leave_rcu();
                }
                None => {
                    return refuse(
                        Code::LockBalance,
                        "unmatched attempt to enable preemption (kernel function bpf_preempt_enable)",
                    );
                }
            },
            KfuncId::bpf_local_irq_save => self.irq_save(1, false)?,
            KfuncId::bpf_local_irq_restore => self.irq_restore(1, false)?,
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

    /// Why a call that may sleep is not allowed here; `None`: it is.
    pub(super) fn no_sleep_place(&self) -> Option<&'static str> {
        if self.st.rcu > 0 {
            Some("rcu_read_lock region")
        } else if self.st.preempt > 0 {
            Some("non-preemptible region")
        } else if self.st.irqs_off() {
            Some("IRQ-disabled region")
        } else if self.st.lock().is_some() {
            Some("lock region")
        } else if !self.st.sleepable {
            Some("non-sleepable prog")
        } else {
            None
        }
    }
}

//! Open-coded iterators: new, next until NULL, destroy; loops over them converge. Mirrors `process_iter_arg()`,
//! `process_iter_next_call()` of kernel/bpf/verifier.c, 7.3.

use sextant_abi::tables::{Kfunc, KfuncFlags};
use sextant_abi::types::{TypeRef, find_type};

use super::reg::{OR_NULL, RCU, RDONLY, Reg, TRUSTED, Ty, UNTRUSTED, What};
use super::state::{Byte, RefKind, Special};
use super::*;

impl Env<'_> {
    /// bpf_iter_*_new(it, ...)
    pub(super) fn iter_new(&mut self, n: u8, ty: &'static str, kfunc: &Kfunc) -> Res {
        let size = i64::from(find_type(ty).map_or(8, |d| d.size).next_multiple_of(8));
        let (frame, off) = self.stack_place(n, size, &format!("expected uninitialized {ty}"))?;
        let slots = (0..size / 8).map(|i| off + i * 8);
        if slots.clone().any(|at| self.st.frames[frame as usize].slot(at).special != Special::None) {
            return refuse_reg(Code::Iterator, n, format!("expected uninitialized {ty} as arg #{}", n - 1));
        }
        self.stack_clobber(frame, off, off + size)?;
        let flags = match (kfunc.flags.contains(KfuncFlags::RCU_PROTECTED), self.st.in_rcu()) {
            (true, true) => RCU,
            (true, false) => UNTRUSTED,
            (false, _) => TRUSTED,
        };
        let ref_id = self.acquire(RefKind::Iter);
        for at in slots {
            let slot = self.st.frames[frame as usize].slot_mut(at);
            slot.bytes = [Byte::Special; 8];
            slot.special = Special::Iter { ty, first: at == off, ref_id, drained: false, depth: 0, flags };
        }
        Ok(())
    }

    /// An iterator that exists, in argument `n`: its place.
    pub(super) fn iter_arg(&mut self, n: u8, ty: &str, kfunc: &str) -> Res<(u8, i64)> {
        let (frame, off) = self.stack_place(n, 8, &format!("expected an initialized {ty}"))?;
        match self.st.frames[frame as usize].slot(off).special {
            Special::Iter { flags, .. } if flags & UNTRUSTED != 0 => {
                let text = format!("expected an RCU CS when using {kfunc}");
                return refuse_reg(Code::ArgTrust, n, text);
            }
            Special::Iter { ty: own, first: true, .. } if own == ty => {}
            _ => {
                let text = format!("expected an initialized {ty} as arg #{}", n - 1);
                return refuse_reg(Code::Iterator, n, text);
            }
        }
        Ok((frame, off))
    }

    /// bpf_iter_*_destroy(it)
    pub(super) fn iter_destroy(&mut self, n: u8, ty: &str, kfunc: &str) -> Res {
        let (frame, off) = self.iter_arg(n, ty, kfunc)?;
        let Special::Iter { ref_id, .. } = self.st.frames[frame as usize].slot(off).special else {
            return Ok(());
        };
        self.forget_ref(ref_id)?;
        self.drop_elements(ref_id);
        for slot in &mut self.st.frames[frame as usize].stack {
            if matches!(slot.special, Special::Iter { ref_id: r, .. } if r == ref_id) {
                slot.special = Special::None;
                slot.bytes = [Byte::Misc; 8];
            }
        }
        Ok(())
    }

    /// Memory an iterator gave is gone with the next step.
    fn drop_elements(&mut self, ref_id: u32) {
        self.st.each_reg(|r| {
            if r.ref_id == ref_id && matches!(r.what, What::Mem(_)) {
                *r = Reg { node: r.node, ..Reg::UNKNOWN };
            }
        });
    }

    /// bpf_iter_*_next(it): one path where there was an element, one where there was none.
    pub(super) fn iter_next(&mut self, ty: &str, kfunc: &Kfunc) -> Res<Next> {
        let pc = self.st.pc;
        let (frame, off) = self.iter_arg(1, ty, kfunc.name)?;
        let Special::Iter { ref_id, drained, flags, .. } = self.st.frames[frame as usize].slot(off).special
        else {
            return Ok(Next::End);
        };
        if !drained {
            let mut more = self.st.clone();
            set_iter(&mut more, frame, ref_id, false);
            let mut element = element(kfunc.proto.ret, flags, ref_id);
            element.node = self.node([0, 0], 0);
            if let Some(round) = self.previous_round(pc, self.parent) {
                self.widen(round, &mut more);
            }
            (0..=5).for_each(|n| *more.reg_mut(n) = Reg::UNINIT);
            *more.reg_mut(0) = element;
            self.push(more, pc + 1)?;
        }
        set_iter(&mut self.st, frame, ref_id, true);
        self.clobber();
        let null = self.number(crate::range::Scalar::constant(0));
        self.set(0, null);
        Ok(Next::Goto(pc + 1))
    }
}

fn set_iter(state: &mut State, frame: u8, id: u32, now_drained: bool) {
    for slot in &mut state.frames[frame as usize].stack {
        if let Special::Iter { ref_id, drained, depth, .. } = &mut slot.special
            && *ref_id == id
        {
            *drained = now_drained;
            *depth += u32::from(!now_drained);
        }
    }
}

/// What `next` returns when there is an element.
fn element(ret: TypeRef, flags: u16, ref_id: u32) -> Reg {
    let TypeRef::Ptr(to) = ret.strip() else { return Reg::UNKNOWN };
    match to.strip() {
        TypeRef::Struct(name) => Reg::ptr(What::Obj(Ty::Kernel(name)), flags & !OR_NULL),
        TypeRef::Int(_, size, _) => Reg { ref_id, ..Reg::ptr(What::Mem(size), RDONLY) },
        _ => Reg::ptr(What::Mem(0), RDONLY),
    }
}

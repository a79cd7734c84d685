//! References: acquired, released, and what happens to what was derived from them. Mirrors `acquire_reference()`,
//! `release_reference()` of kernel/bpf/verifier.c, 7.3.

use super::reg::{NON_OWN, OR_NULL, RCU, Reg, UNTRUSTED};
use super::state::{Ref, RefKind, Special};
use super::*;

impl Env<'_> {
    /// Takes a reference here.
    pub(super) fn acquire(&mut self, kind: RefKind) -> u32 {
        let id = self.fresh_id();
        self.st.refs.push(Ref { id, kind, pc: self.st.pc });
        id
    }

    /// Gives one back; everything that carries it becomes an unusable number.
    pub(super) fn release(&mut self, id: u32) -> Res {
        self.forget_ref(id)?;
        let (nodes, pc) = (&mut self.nodes, self.st.pc);
        self.st.each_reg(|r| {
            if r.ref_id == id && r.is_ptr() {
                // Made a number here, of what it was.
                *r = Reg { node: nodes.new_at(pc, [0, 0], r.node), ..Reg::UNKNOWN };
            }
        });
        Ok(())
    }

    /// Gives one back; what carries it stays.
    pub(super) fn forget_ref(&mut self, id: u32) -> Res {
        let Some(at) = self.st.refs.iter().position(|r| r.id == id) else {
            return refuse(Code::RefRelease, format!("release of reference id={id} that is not held"));
        };
        self.st.refs.remove(at);
        Ok(())
    }

    /// What kept RCU-protected objects alive may have ended: then what it protected can no longer be trusted, nor can iterators
    /// that walk over such objects go on. Mirrors `invalidate_rcu_protected_refs()`.
    pub(super) fn maybe_leave_rcu(&mut self) {
        if self.st.in_rcu() {
            return;
        }
        let (nodes, pc) = (&mut self.nodes, self.st.pc);
        self.st.each_reg(|r| {
            if r.has(RCU) && r.is_ptr() {
                r.node = nodes.new_at(pc, [0, 0], r.node);
                r.flags = (r.flags & !RCU & !NON_OWN & !OR_NULL) | UNTRUSTED;
            }
        });
        for slot in self.st.frames.iter_mut().flat_map(|f| &mut f.stack) {
            if let Special::Iter { flags, .. } = &mut slot.special
                && *flags & RCU != 0
            {
                *flags = UNTRUSTED;
            }
        }
    }

    /// A lock is released: nodes that its list or tree owns can no longer be used.
    pub(super) fn forget_non_owning(&mut self) {
        let (nodes, pc) = (&mut self.nodes, self.st.pc);
        self.st.each_reg(|r| {
            if r.has(NON_OWN) {
                *r = Reg { node: nodes.new_at(pc, [0, 0], r.node), ..Reg::UNKNOWN };
            }
        });
    }
}

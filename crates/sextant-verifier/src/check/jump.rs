//! Conditional jumps: which ways are possible, and what each way tells. Mirrors `check_cond_jmp_op()`, `reg_set_min_max()`,
//! `sync_linked_regs()`, `mark_ptr_or_null_regs()` of kernel/bpf/verifier.c, 7.3.

use sextant_bpf::opcode::{Alu, Cond, Operand};

use super::reg::{DELTA, DELTA32, OR_NULL, Reg, UNTRUSTED, What};
use super::step::bare_object;
use super::*;
use crate::range::{Scalar, alu, branch};

impl Env<'_> {
    pub(super) fn may_goto(&mut self) -> Res<Next> {
        self.since.1 += 1;
        let pc = self.st.pc;
        let mut inside = self.st.clone();
        inside.may_goto += 1;
        if let Some(round) = self.previous_round() {
            self.widen(round, &mut inside);
        }
        self.push(inside, pc + 1)?;
        Ok(Next::Goto(self.target()))
    }

    pub(super) fn jump(&mut self, cond: Cond, wide: bool, operand: Operand) -> Res<Next> {
        let pc = self.st.pc;
        let insn = self.prog.insns[pc];
        let dst = self.read(insn.dst)?;
        let src = match operand {
            Operand::Reg => self.read(insn.src)?,
            Operand::Imm => Reg::constant(insn.imm as i64 as u64),
        };
        let (through, target) = (pc + 1, self.target());
        if dst.is_ptr() || src.is_ptr() {
            return self.jump_ptr(cond, wide, &dst, &src, through, target);
        }
        let taken = match operand {
            Operand::Reg if insn.src == insn.dst => same_reg(cond, wide, &dst),
            _ => branch::taken(cond, wide, &dst.s, &src.s),
        };
        if let Some(taken) = taken {
            self.nodes.mark(dst.node);
            self.nodes.mark(src.node);
            return Ok(Next::Goto(if taken { target } else { through }));
        }
        if operand == Operand::Reg && insn.src == insn.dst {
            let other = self.st.clone();
            self.push(other, target)?;
            return Ok(Next::Goto(through));
        }
        let (yes, no) = (
            branch::refine(cond, wide, true, &dst.s, &src.s),
            branch::refine(cond, wide, false, &dst.s, &src.s),
        );
        let empty = |(a, b): &(Scalar, Scalar)| a.is_empty() || b.is_empty();
        if empty(&yes) || empty(&no) {
            self.nodes.mark(dst.node);
            self.nodes.mark(src.node);
            return Ok(Next::Goto(if empty(&no) { target } else { through }));
        }
        // Each side's bounds now depend on the other side's.
        if operand == Operand::Reg {
            let node = self.node([dst.node, src.node], 0);
            rename(&mut self.st, &dst, insn.dst, node);
            rename(&mut self.st, &src, insn.src, node);
        }
        let mut other = self.st.clone();
        refined(&mut other, insn.dst, &dst, yes.0);
        refined(&mut self.st, insn.dst, &dst, no.0);
        if operand == Operand::Reg {
            refined(&mut other, insn.src, &src, yes.1);
            refined(&mut self.st, insn.src, &src, no.1);
        }
        self.push(other, target)?;
        Ok(Next::Goto(through))
    }

    fn jump_ptr(
        &mut self,
        cond: Cond,
        wide: bool,
        dst: &Reg,
        src: &Reg,
        through: usize,
        target: usize,
    ) -> Res<Next> {
        let equality = matches!(cond, Cond::Eq | Cond::Ne);
        if equality && wide && dst.is_ptr() && src.is_null() {
            let to_null = |is_null: bool| if (cond == Cond::Eq) == is_null { target } else { through };
            if !dst.has(OR_NULL) {
                let sure = never_null(dst);
                if sure {
                    self.matters(src);
                    return Ok(Next::Goto(to_null(false)));
                }
            } else {
                self.matters(src);
                let mut null = self.st.clone();
                mark_null(&mut null, dst, true);
                self.release_null(&mut null, dst);
                mark_null(&mut self.st, dst, false);
                self.push(null, to_null(true))?;
                return Ok(Next::Goto(to_null(false)));
            }
        }
        if equality && wide && dst.is_ptr() && src.is_ptr() {
            self.same_pointer(cond, dst, src, target)?;
            return Ok(Next::Goto(through));
        }
        if wide
            && (dst.what == What::PacketEnd || src.what == What::PacketEnd)
            && let Some(taken) = packet::taken(cond, dst, src)
        {
            return Ok(Next::Goto(if taken { target } else { through }));
        }
        let mut other = self.st.clone();
        if wide && dst.is_ptr() && src.is_ptr() {
            self.compare_packet(cond, dst, src, &mut other);
        }
        self.push(other, target)?;
        Ok(Next::Goto(through))
    }

    /// `p == q`: where q cannot be NULL, p is not NULL on the way where they are equal.
    fn same_pointer(&mut self, cond: Cond, dst: &Reg, src: &Reg, target: usize) -> Res {
        let mut other = self.st.clone();
        let sure = |r: &Reg| !r.has(OR_NULL) && never_null(r);
        // A kernel object may be NULL without anybody having said so.
        if matches!(dst.what, What::Obj(_)) || matches!(src.what, What::Obj(_)) {
            return self.push(other, target);
        }
        let equal = if cond == Cond::Eq { &mut other } else { &mut self.st };
        if dst.has(OR_NULL) && sure(src) {
            mark_null(equal, dst, false);
        } else if src.has(OR_NULL) && sure(dst) {
            mark_null(equal, src, false);
        }
        self.push(other, target)
    }

    /// On the way where an acquired pointer is NULL nothing was acquired.
    fn release_null(&mut self, state: &mut State, reg: &Reg) {
        if reg.ref_id != 0 && reg.id == reg.ref_id {
            state.refs.retain(|r| r.id != reg.ref_id);
        }
    }
}

/// Furthest offset at which a pointer is still one to something.
const MAX_OFF: i64 = 1 << 29;

/// Pointers of which the kernel knows that they are not NULL: neither arena nor untrusted ones, nor those it does not look at. An offset
/// without bounds may wrap around to 0.
fn never_null(reg: &Reg) -> bool {
    let known = match reg.what {
        What::MapValue(_) | What::MapKey(_) | What::Map(_) | What::Mem(_) => !reg.has(UNTRUSTED),
        What::Sock(_) => true,
        What::Obj(_) => reg.is_trusted() && !bare_object(reg),
        _ => false,
    };
    known && reg.s.smin > -MAX_OFF && reg.s.smax < MAX_OFF
}

fn same_reg(cond: Cond, wide: bool, reg: &Reg) -> Option<bool> {
    match cond {
        Cond::Eq | Cond::Ge | Cond::Le | Cond::Sge | Cond::Sle => Some(true),
        Cond::Ne | Cond::Gt | Cond::Lt | Cond::Sgt | Cond::Slt => Some(false),
        Cond::Set => branch::taken(cond, wide, &reg.s, &Scalar::constant(0)).and(None),
    }
}

/// Gives a number and those tied to it a new node.
fn rename(state: &mut State, reg: &Reg, n: u8, node: u32) {
    state.reg_mut(n).node = node;
    if reg.id != 0 {
        state.each_reg(|r| {
            if r.is_scalar() && r.id == reg.id {
                r.node = node;
            }
        });
    }
}

/// A branch told more about a number: it holds for all tied to it.
fn refined(state: &mut State, n: u8, before: &Reg, s: Scalar) {
    state.reg_mut(n).s = s;
    if before.id == 0 {
        return;
    }
    let base = i64::from(if before.has(DELTA) { before.delta } else { 0 });
    state.each_reg(|r| {
        if !r.is_scalar() || r.id != before.id {
            return;
        }
        // A sum of 32 bits and one of 64 have nothing in common.
        if r.has(DELTA) && before.has(DELTA) && r.has(DELTA32) != before.has(DELTA32) {
            return;
        }
        let delta = i64::from(if r.has(DELTA) { r.delta } else { 0 });
        let wide = !r.has(DELTA32) && !before.has(DELTA32);
        let told = match delta - base {
            0 => s,
            by => alu::alu(Alu::Add, wide, &s, &Scalar::constant(by as u64)),
        };
        let both = r.s.intersect(&told);
        r.s = if both.is_empty() { told } else { both };
    });
}

/// The pointer, and all with its id, is NULL or is not.
pub(super) fn mark_null(state: &mut State, reg: &Reg, null: bool) {
    let (id, is_ref) = (reg.id, reg.ref_id);
    state.each_reg(|r| {
        if r.id != id || !r.is_ptr() || !r.has(OR_NULL) {
            return;
        }
        if null {
            *r = Reg { node: r.node, ..Reg::constant(0) };
            return;
        }
        r.flags &= !OR_NULL;
        // A map value keeps its id where it tells locks and inner maps apart.
        let keeps = matches!(r.what, What::MapValue(_)) || is_ref != 0;
        if !keeps {
            r.id = 0;
        }
    });
}

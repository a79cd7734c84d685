//! Conditional jumps: which ways are possible, and what each way tells. Mirrors `check_cond_jmp_op()`, `reg_set_min_max()`,
//! `sync_linked_regs()`, `mark_ptr_or_null_regs()` of kernel/bpf/verifier.c, 7.3.

use sextant_bpf::opcode::{Cond, Operand};

use super::reg::{DELTA, DELTA32, OR_NULL, Reg, UNTRUSTED, What};
use super::state::Byte;
use super::step::{bare_object, untie};
use super::*;
use crate::range::{alu, branch};

impl Env<'_> {
    pub(super) fn may_goto(&mut self) -> Res<Next> {
        self.since.1 += 1;
        let pc = self.st.pc;
        let mut inside = self.st.clone();
        inside.may_goto += 1;
        if let Some(round) = self.previous_round(pc, self.parent) {
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
        // Where the ranges of a side contradict each other, only its bits are known. Mirrors `reg_bounds_sanity_check()`.
        let [yes, no] = [yes, no].map(|(a, b)| (alu::sane(a), alu::sane(b)));
        // Each side's bounds now depend on the other side's.
        if operand == Operand::Reg {
            let node = self.node([dst.node, src.node], 0);
            rename(&mut self.st, &dst, insn.dst, node);
            rename(&mut self.st, &src, insn.src, node);
        }
        if self.limit_tied(&src) + self.limit_tied(&dst) > 1 {
            self.jumped();
        }
        let (dst, src) =
            (*self.st.reg(insn.dst), if operand == Operand::Reg { *self.st.reg(insn.src) } else { src });
        let mut other = self.st.clone();
        for (state, way) in [(&mut other, &yes), (&mut self.st, &no)] {
            state.reg_mut(insn.dst).s = way.0;
            if operand == Operand::Reg {
                refined(&self.cfg, state, insn.src, &Reg { s: way.1, ..src });
            }
            refined(&self.cfg, state, insn.dst, &Reg { s: way.0, ..dst });
        }
        self.push(other, target)?;
        Ok(Next::Goto(through))
    }

    /// How many numbers have the origin of `reg`; those beyond a few lose it.
    fn limit_tied(&mut self, reg: &Reg) -> usize {
        let mut tied = 0;
        if reg.is_scalar() && reg.id != 0 {
            each_tied(&self.cfg, &mut self.st, reg.id, |r| {
                tied += 1;
                if tied > MAX_TIED {
                    untie(r);
                }
            });
        }
        tied
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
    known && reg.s.smin() > -MAX_OFF && reg.s.smax() < MAX_OFF
}

fn same_reg(cond: Cond, wide: bool, reg: &Reg) -> Option<bool> {
    match cond {
        Cond::Eq | Cond::Ge | Cond::Le | Cond::Sge | Cond::Sle => Some(true),
        Cond::Ne | Cond::Gt | Cond::Lt | Cond::Sgt | Cond::Slt => Some(false),
        Cond::Set if wide => match reg.s.value() {
            Some(value) => Some(value != 0),
            None => (reg.s.smin() > 0 || reg.s.smax() < 0).then_some(true),
        },
        Cond::Set => match reg.s.value32() {
            Some(value) => Some(value != 0),
            None => (reg.s.smin32() > 0 || reg.s.smax32() < 0).then_some(true),
        },
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

/// Most numbers of one origin that a branch tells something.
const MAX_TIED: usize = 5;

/// Calls `f` with every number that a branch on `reg` tells something: those of its origin that are read later. Mirrors
/// `__collect_linked_regs()`: of more than a few the rest are by themselves from now on.
fn each_tied(cfg: &Cfg, state: &mut State, id: u32, mut f: impl FnMut(&mut Reg)) {
    let last = state.frames.len() - 1;
    let sites: Vec<usize> = (0..=last)
        .map(|i| if i == last { state.pc } else { state.frames[i + 1].callsite.unwrap_or(0) })
        .collect();
    for (frame, site) in state.frames.iter_mut().zip(sites).rev() {
        let live = cfg.live[site];
        let regs =
            frame.regs.iter_mut().enumerate().take(10).filter(|(n, _)| live & (1 << n) != 0).map(|(_, r)| r);
        let slots = frame.stack.iter_mut().filter(|s| s.bytes[0] == Byte::Spill).map(|s| &mut s.reg);
        regs.chain(slots).filter(|r| r.is_scalar() && r.id == id).for_each(&mut f);
    }
}

/// A branch told more about a number: it holds for all tied to it. Mirrors `sync_linked_regs()`.
fn refined(cfg: &Cfg, state: &mut State, n: u8, known: &Reg) {
    *state.reg_mut(n) = *known;
    if known.id == 0 {
        return;
    }
    let base = i64::from(if known.has(DELTA) { known.delta } else { 0 });
    each_tied(cfg, state, known.id, |r| {
        // A sum of 32 bits and one of 64 have nothing in common.
        if r.has(DELTA) && known.has(DELTA) && r.has(DELTA32) != known.has(DELTA32) {
            return;
        }
        let delta = i64::from(if r.has(DELTA) { r.delta } else { 0 });
        if (!r.has(DELTA) && !known.has(DELTA))
            || (r.delta == known.delta && r.has(DELTA) == known.has(DELTA))
        {
            r.s = known.s;
            return;
        }
        let wide = !r.has(DELTA32) && !known.has(DELTA32);
        r.s = alu::shifted(wide, &known.s, delta - base);
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

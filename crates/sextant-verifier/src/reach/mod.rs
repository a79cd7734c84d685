//! Which instructions can be reached, when constants and frozen read-only data are folded.
//!
//! libbpf leaves instructions in a program that cannot run on this kernel: a call to helper 0xbad2310 where a field is missing, to
//! 2002000000+n where a kfunc is. They are fine as long as a test of read-only data or of a weak symbol's address keeps them
//! unreachable, and a reason to refuse the program otherwise.
//!
//! 1. Every function is entered where it is called, with the arguments of all its call sites joined, or where its address is
//!    taken (a callback), with unknown arguments. A call continues once its function can return, with the results joined.
//! 2. A value is unknown, not 0, a constant, a place in a map's value or in the frame. A jump on what is known takes one
//!    side; states join where ways meet, and joins only lose knowledge, so loops end.
//! 3. A load from a map value asks the caller, who answers for frozen read-only maps only.
//!
//! What must hold: an instruction marked dead is never executed. What may differ from the kernel: ranges are not followed, so
//! something the kernel proves dead by them stays reachable; the kernel verifies a global function for every argument.
//! Expects a program that passed [`crate::structure::check`]; any other is walked as far as it makes sense.
//! Mirrors what kernel/bpf/verifier.c, 7.3, achieves with scalar tracking and dead code removal.

mod fold;
#[cfg(test)]
mod sound;
mod state;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use sextant_abi::image::Reloc;
use sextant_abi::tables::HelperId;
use sextant_bpf::Insn;
use sextant_bpf::disasm::{self, nameless, width};
use sextant_bpf::insn::imm64;
use sextant_bpf::opcode::{AtomicOp, Callee, Imm64, Kind, Operand, Size, lookup};

use crate::structure::{func_target, jump_target};
use state::{State, Val, Writes, join_val, leaving, truncate};

/// Helpers that call back with a pointer of the caller's: for_each_map_elem, find_vma, loop, user_ringbuf_drain.
const CALLBACK_HELPERS: [i32; 4] = [
    HelperId::for_each_map_elem as i32,
    HelperId::find_vma as i32,
    HelperId::loop_ as i32,
    HelperId::user_ringbuf_drain as i32,
];

/// Reads frozen read-only map data: map, offset into value 0, bytes (1, 2, 4 or 8), little-endian and zero-extended.
/// `None` where the data could change or does not exist.
pub type ReadOnly<'a> = &'a dyn Fn(u32, u32, u32) -> Option<u64>;

/// What can be reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reach {
    /// Per slot: never executed.
    pub dead: Vec<bool>,
    /// The first reachable call of a helper that does not exist.
    pub unknown_func: Option<UnknownFunc>,
}

/// A reachable call of a helper that does not exist. Prints as the kernel's two log lines, which libbpf rewrites to name the
/// missing field or kfunc.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnknownFunc {
    /// Slot.
    pub pc: usize,
    /// The helper number.
    pub imm: i32,
}

impl fmt::Display for UnknownFunc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pc, imm } = self;
        writeln!(f, "{pc}: (85) call unknown#{imm}")?;
        write!(f, "invalid func unknown#{imm}")
    }
}

/// Finds out what can be reached. `relocs` are sorted by slot, as in a `ProgramImage`.
pub fn reach(insns: &[Insn], relocs: &[(u32, Reloc)], read_only: ReadOnly) -> Reach {
    let mut walk = Walk::new(insns, relocs, read_only);
    walk.enter(0, [Val::Unknown; 5]);
    while let Some((pc, func)) = walk.todo.pop_first() {
        walk.block(pc, func);
    }
    let dead: Vec<bool> = walk.seen.iter().map(|seen| !seen).collect();
    let mut calls = insns.iter().enumerate().filter(|(pc, _)| !dead[*pc]);
    let unknown_func = calls.find(|(pc, insn)| is_unknown_func(insns, *pc, insn));
    Reach { dead, unknown_func: unknown_func.map(|(pc, insn)| UnknownFunc { pc, imm: insn.imm }) }
}

fn is_unknown_func(insns: &[Insn], pc: usize, insn: &Insn) -> bool {
    let second_slot = pc > 0 && width(&insns[pc - 1]) == 2 && insn.code == 0;
    let helper = lookup(insn).is_some_and(|row| row.kind == Kind::Call(Callee::Helper));
    !second_slot && helper && u32::try_from(insn.imm).ok().and_then(HelperId::from_number).is_none()
}

/// A function met so far.
#[derive(Default)]
struct Func {
    /// r0 at its exits; `None` until one is reached.
    result: Option<Val>,
    /// Slot and function of the calls that wait for the result, with the state before.
    callers: BTreeMap<(usize, usize), State>,
}

struct Walk<'a> {
    insns: &'a [Insn],
    relocs: &'a [(u32, Reloc)],
    read_only: ReadOnly<'a>,
    /// Slots some jump, call or function entry leads to: states are kept there only.
    leader: Vec<bool>,
    seen: Vec<bool>,
    /// State before the leader, per leader and function (its first slot).
    states: BTreeMap<(usize, usize), State>,
    /// Leaders, with their function, whose state changed.
    todo: BTreeSet<(usize, usize)>,
    /// By first slot.
    funcs: BTreeMap<usize, Func>,
}

/// How a block goes on.
enum Next {
    /// With the instruction after this one.
    Through,
    /// Nowhere from here.
    End,
}

impl<'a> Walk<'a> {
    fn new(insns: &'a [Insn], relocs: &'a [(u32, Reloc)], read_only: ReadOnly<'a>) -> Walk<'a> {
        let mut leader = vec![false; insns.len()];
        for (pc, insn) in insns.iter().enumerate() {
            if let Some(to) =
                jump_target(pc, insn).and_then(|to| usize::try_from(to).ok()).filter(|to| *to < insns.len())
            {
                leader[to] = true;
            }
        }
        Walk {
            insns,
            relocs,
            read_only,
            leader,
            seen: vec![false; insns.len()],
            states: BTreeMap::new(),
            todo: BTreeSet::new(),
            funcs: BTreeMap::new(),
        }
    }

    /// A function can start with these arguments.
    fn enter(&mut self, func: usize, args: [Val; 5]) {
        self.funcs.entry(func).or_default();
        self.flow(func, func, &State::entry(args));
    }

    /// `state` can arrive at `pc` in `func`.
    fn flow(&mut self, pc: usize, func: usize, state: &State) {
        if pc >= self.insns.len() {
            return;
        }
        self.leader[pc] = true;
        let changed = match self.states.get_mut(&(pc, func)) {
            Some(known) => known.join(state),
            None => {
                self.states.insert((pc, func), state.clone());
                true
            }
        };
        if changed {
            self.todo.insert((pc, func));
        }
    }

    /// Walks from a leader to the next one.
    fn block(&mut self, start: usize, func: usize) {
        let Some(mut state) = self.states.get(&(start, func)).cloned() else { return };
        let mut pc = start;
        while let Some(insn) = self.insns.get(pc) {
            let next = pc + width(insn);
            self.seen[pc..next.min(self.insns.len())].fill(true);
            match self.step(pc, func, &mut state) {
                Next::End => return,
                Next::Through if self.leader.get(next) == Some(&true) => {
                    return self.flow(next, func, &state);
                }
                Next::Through => pc = next,
            }
        }
    }

    fn step(&mut self, pc: usize, func: usize, state: &mut State) -> Next {
        let insn = self.insns[pc];
        let Some(row) = lookup(&insn) else { return Next::End };
        match row.kind {
            Kind::Exit => self.exit(func, state),
            Kind::Ja { .. } => {
                self.jump(pc, func, state);
                Next::End
            }
            Kind::MayGoto => {
                self.jump(pc, func, state);
                Next::Through
            }
            Kind::Jump { cond, wide, operand } => {
                let (a, b) = (state.reg(insn.dst), operand_of(&insn, operand, state));
                let taken = fold::taken(cond, wide, a, b);
                if taken != Some(false) {
                    let mut there = state.clone();
                    there.set(insn.dst, fold::refine(cond, wide, a, b, true));
                    self.jump(pc, func, &there);
                }
                state.set(insn.dst, fold::refine(cond, wide, a, b, false));
                if taken == Some(true) { Next::End } else { Next::Through }
            }
            Kind::Call(callee) => self.call(pc, func, callee, state),
            kind => {
                self.compute(pc, &insn, kind, state);
                Next::Through
            }
        }
    }

    fn jump(&mut self, pc: usize, func: usize, state: &State) {
        if let Some(to) = jump_target(pc, &self.insns[pc]).and_then(|to| usize::try_from(to).ok()) {
            self.flow(to, func, state);
        }
    }

    /// The function returns: its callers go on.
    fn exit(&mut self, func: usize, state: &State) -> Next {
        let r0 = leaving(state.reg(0));
        let info = self.funcs.entry(func).or_default();
        let result = info.result.map_or(r0, |old| join_val(old, r0));
        if info.result != Some(result) {
            info.result = Some(result);
            for ((pc, caller), mut state) in info.callers.clone() {
                state.after_call(result, Writes::Anywhere);
                self.flow(pc + 1, caller, &state);
            }
        }
        Next::End
    }

    fn call(&mut self, pc: usize, func: usize, callee: Callee, state: &mut State) -> Next {
        let insn = self.insns[pc];
        if callee != Callee::Local {
            state.after_call(Val::Unknown, writes(callee, insn.imm));
            // Nothing runs past a call that cannot be made; what follows is judged by its other ways in.
            return if is_unknown_func(self.insns, pc, &insn) { Next::End } else { Next::Through };
        }
        let Some(to) = func_target(pc, &insn).and_then(|to| usize::try_from(to).ok()) else {
            return Next::End;
        };
        self.enter(to, state.args());
        let info = self.funcs.entry(to).or_default();
        match info.callers.get_mut(&(pc, func)) {
            Some(known) => {
                known.join(state);
            }
            None => {
                info.callers.insert((pc, func), state.clone());
            }
        }
        if let (Some(result), Some(before)) = (info.result, info.callers.get(&(pc, func))) {
            let mut after = before.clone();
            after.after_call(result, Writes::Anywhere);
            self.flow(pc + 1, func, &after);
        }
        Next::End
    }

    /// Instructions that only change the state.
    fn compute(&mut self, pc: usize, insn: &Insn, kind: Kind, state: &mut State) {
        let (dst, src) = (state.reg(insn.dst), state.reg(insn.src));
        match kind {
            Kind::Alu { op, wide, operand } => {
                let b = operand_of(insn, operand, state);
                let same = operand == Operand::Reg && insn.dst == insn.src;
                let val = fold::alu(state, op, wide, dst, b, same);
                state.set(insn.dst, val);
            }
            Kind::Neg { wide } => {
                let val = fold::alu(state, sextant_bpf::opcode::Alu::Sub, wide, Val::Const(0), dst, false);
                state.set(insn.dst, val);
            }
            Kind::MovSx { bits, wide } => {
                let extended = |v| fold::sign_extend(v, u32::from(bits));
                self.lossy(
                    state,
                    insn.dst,
                    src,
                    |v| if wide { extended(v) } else { truncate(extended(v), 4) },
                );
            }
            Kind::End { order, bits } => self.lossy(state, insn.dst, dst, |v| fold::end(order, bits, v)),
            Kind::AddrSpaceCast => self.lossy_unknown(state, insn.dst, src),
            Kind::LdImm64(form) => {
                let val = self.wide_imm(pc, form);
                state.set(insn.dst, val);
            }
            Kind::Load { size, signed } => {
                let val = self.load(src, insn.off, size, state);
                let bits = size.bytes() * 8;
                let val = match val {
                    Val::Const(v) if signed => Val::Const(fold::sign_extend(v, bits)),
                    _ if signed => Val::Unknown,
                    val => val,
                };
                state.set(insn.dst, val);
            }
            Kind::LoadAcquire { .. } => state.set(insn.dst, Val::Unknown),
            Kind::Store { size, operand } => {
                let val = operand_of(insn, operand, state);
                state.store(dst, insn.off, size.bytes(), val);
            }
            Kind::StoreRelease { size } => state.store(dst, insn.off, size.bytes(), src),
            Kind::Atomic { op, size, fetch } => {
                state.escape(src);
                state.store(dst, insn.off, size.bytes(), Val::Unknown);
                if fetch {
                    let returned = if op == AtomicOp::Cmpxchg { 0 } else { insn.src };
                    state.set(returned, Val::Unknown);
                }
            }
            Kind::LdSkb { .. } => state.set(0, Val::Unknown),
            Kind::Ja { .. } | Kind::Jump { .. } | Kind::MayGoto | Kind::Call(_) | Kind::Exit => {}
        }
    }

    fn lossy(&self, state: &mut State, reg: u8, val: Val, f: impl Fn(u64) -> u64) {
        match val {
            Val::Const(v) => state.set(reg, Val::Const(f(v))),
            _ => self.lossy_unknown(state, reg, val),
        }
    }

    fn lossy_unknown(&self, state: &mut State, reg: u8, val: Val) {
        state.escape(val);
        state.set(reg, Val::Unknown);
    }

    fn load(&self, addr: Val, off: i16, size: Size, state: &State) -> Val {
        match addr {
            Val::Frame(base) => state.load_slot(base.wrapping_add(i64::from(off)), size.bytes()),
            Val::MapValue(map, base) => {
                let at = u32::try_from(base.wrapping_add(i64::from(off))).ok();
                let read = at.and_then(|at| (self.read_only)(map, at, size.bytes()));
                read.map_or(Val::Unknown, |v| Val::Const(truncate(v, size.bytes())))
            }
            _ => Val::Unknown,
        }
    }

    fn wide_imm(&mut self, pc: usize, form: Imm64) -> Val {
        let at = self.relocs.binary_search_by_key(&(pc as u32), |(at, _)| *at);
        match at.ok().map(|i| self.relocs[i].1) {
            Some(Reloc::MapValue(map, off)) => return Val::MapValue(map, i64::from(off)),
            Some(Reloc::Addr(addr)) => return Val::Const(addr),
            Some(Reloc::Func(to)) => {
                self.enter(to as usize, [Val::Unknown; 5]);
                return Val::NonNull;
            }
            Some(Reloc::Map(_) | Reloc::Kfunc(_)) => return Val::NonNull,
            None => {}
        }
        match form {
            Imm64::Const => {
                let second = self.insns.get(pc + 1).copied().unwrap_or_default();
                Val::Const(imm64(&self.insns[pc], &second))
            }
            Imm64::Func => {
                if let Some(to) = func_target(pc, &self.insns[pc]).and_then(|to| usize::try_from(to).ok()) {
                    self.enter(to, [Val::Unknown; 5]);
                }
                Val::NonNull
            }
            _ => Val::NonNull,
        }
    }
}

fn writes(callee: Callee, imm: i32) -> Writes {
    match callee {
        Callee::Helper if !CALLBACK_HELPERS.contains(&imm) => Writes::Up,
        Callee::Kfunc => Writes::UpAndReturns,
        _ => Writes::Anywhere,
    }
}

fn operand_of(insn: &Insn, operand: Operand, state: &State) -> Val {
    match operand {
        Operand::Imm => Val::Const(i64::from(insn.imm) as u64),
        Operand::Reg => state.reg(insn.src),
    }
}

/// The program with its dead instructions marked `-`, for people.
pub fn listing(insns: &[Insn], reach: &Reach) -> String {
    let mut out = String::new();
    let mut pc = 0;
    while pc < insns.len() {
        let mark = if reach.dead.get(pc) == Some(&true) { '-' } else { ' ' };
        out.push_str(&format!("{mark} {}\n", disasm::line(insns, pc, &nameless)));
        pc += width(&insns[pc]);
    }
    out
}

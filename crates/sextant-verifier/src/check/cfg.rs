//! The program's shape: functions, where states are compared, which registers are still read. Mirrors `check_cfg()`,
//! `check_subprogs()` and `compute_live_registers()` of kernel/bpf/, 7.3.

use std::collections::{BTreeMap, BTreeSet};

use sextant_abi::image::Reloc;
use sextant_abi::tables::{HELPERS, KFUNCS};
use sextant_bpf::disasm::width;
use sextant_bpf::opcode::{Alu, AtomicOp, Callee, Imm64, Kind, Operand, lookup};

use super::live::Liveness;
use crate::program::{FuncDesc, Program};
use crate::structure::{func_target, jump_target};

/// Facts about the instructions.
#[derive(Debug)]
pub struct Cfg {
    /// By slot; `None` in the second slot of a `ld_imm64`.
    pub kinds: Vec<Option<Kind>>,
    /// By slot.
    pub relocs: Vec<Option<Reloc>>,
    /// States are compared here.
    pub prune: Vec<bool>,
    /// And always kept here.
    pub force: Vec<bool>,
    /// Coming here is part of a path's history.
    pub jumps: Vec<bool>,
    /// Number of the loop that the instruction is part of; 0: none.
    pub loops: Vec<u32>,
    /// Parts of the stack that are read later.
    pub stack: Liveness,
    /// Registers read later, before the instruction.
    pub live: Vec<u16>,
    /// By first slot.
    pub funcs: BTreeMap<usize, FuncDesc>,
    /// Functions used as callbacks.
    pub callbacks: BTreeSet<usize>,
    /// Functions that may move the packet, by themselves or through others.
    pub moving: BTreeSet<usize>,
    /// Functions that may throw.
    pub throwing: BTreeSet<usize>,
}

const ARGS: u16 = 0b11_1110;

/// Why the shape is refused.
pub enum Shape {
    /// No way leads to this slot.
    Unreachable(usize),
    /// A jump leaves its function.
    JumpOut(usize),
    /// A function runs into the next one.
    FallThrough(usize),
}

impl Cfg {
    /// Of a program that passed [`crate::structure::check`].
    pub fn build(prog: &Program) -> Result<Cfg, Shape> {
        let len = prog.insns.len();
        let mut cfg = Cfg {
            kinds: vec![None; len],
            relocs: vec![None; len],
            prune: vec![false; len],
            force: vec![false; len],
            jumps: vec![false; len],
            loops: Vec::new(),
            stack: Liveness::default(),
            live: vec![0; len],
            funcs: BTreeMap::new(),
            callbacks: BTreeSet::new(),
            moving: BTreeSet::new(),
            throwing: BTreeSet::new(),
        };
        let mut pc = 0;
        while pc < len {
            cfg.kinds[pc] = lookup(&prog.insns[pc]).map(|row| row.kind);
            pc += width(&prog.insns[pc]);
        }
        for (slot, reloc) in prog.relocs {
            if let Some(at) = cfg.relocs.get_mut(*slot as usize) {
                *at = Some(*reloc);
            }
        }
        cfg.find_funcs(prog);
        cfg.check_shape(prog)?;
        cfg.mark_points(prog);
        cfg.find_moving(prog);
        cfg.find_live(prog);
        cfg.loops = super::scc::loops(&cfg, prog);
        cfg.stack = Liveness::build(&cfg, prog);
        Ok(cfg)
    }

    /// The function that holds `pc`.
    pub fn func_of(&self, pc: usize) -> FuncDesc {
        let found = self.funcs.range(..=pc).next_back().map(|(_, f)| *f);
        found.unwrap_or(FuncDesc { start: 0, end: self.kinds.len(), btf: None, global: false })
    }

    /// The slot of the function that a `ld_imm64` of a function names.
    pub fn func_ref(&self, prog: &Program, pc: usize) -> Option<usize> {
        match (self.kinds[pc], self.relocs[pc]) {
            (_, Some(Reloc::Func(start))) => Some(start as usize),
            (Some(Kind::LdImm64(Imm64::Func)), _) => func_target(pc, &prog.insns[pc]).map(|t| t as usize),
            _ => None,
        }
    }

    fn find_funcs(&mut self, prog: &Program) {
        let mut starts = BTreeSet::from([0]);
        starts.extend(prog.func_info.iter().map(|f| f.insn_off as usize).filter(|s| *s < prog.insns.len()));
        for pc in 0..prog.insns.len() {
            if let Some(target) = self.func_ref(prog, pc) {
                self.callbacks.insert(target);
                starts.insert(target);
            } else if self.kinds[pc] == Some(Kind::Call(Callee::Local)) {
                starts.extend(func_target(pc, &prog.insns[pc]).map(|t| t as usize));
            }
        }
        let starts: Vec<usize> = starts.into_iter().collect();
        for (i, start) in starts.iter().enumerate() {
            let end = starts.get(i + 1).copied().unwrap_or(prog.insns.len());
            let global = *start != 0 && prog.is_global(*start);
            let desc = FuncDesc { start: *start, end, btf: prog.func_at(*start), global };
            self.funcs.insert(*start, desc);
        }
    }

    fn find_moving(&mut self, prog: &Program) {
        use sextant_abi::tables::HelperId;
        let mut changed = true;
        while std::mem::replace(&mut changed, false) {
            for pc in 0..prog.insns.len() {
                let (moves, throws) = match self.kinds[pc] {
                    Some(Kind::Call(Callee::Helper)) => {
                        let helper = HelperId::from_number(prog.insns[pc].imm as u32);
                        (helper.is_some_and(super::net::moves_packet), false)
                    }
                    Some(Kind::Call(Callee::Local)) => {
                        let target = func_target(pc, &prog.insns[pc]).unwrap_or(0) as usize;
                        (self.moving.contains(&target), self.throwing.contains(&target))
                    }
                    Some(Kind::Call(Callee::Kfunc)) => (false, self.is_throw(pc)),
                    _ => (false, false),
                };
                let func = self.func_of(pc).start;
                changed |= moves && self.moving.insert(func);
                changed |= throws && self.throwing.insert(func);
            }
        }
    }

    /// Whether a call is one of bpf_throw().
    pub fn is_throw(&self, pc: usize) -> bool {
        use sextant_abi::tables::KfuncId;
        matches!(self.relocs[pc], Some(Reloc::Kfunc(i)) if KfuncId::from_index(i) == Some(KfuncId::bpf_throw))
    }

    fn check_shape(&self, prog: &Program) -> Result<(), Shape> {
        for f in self.funcs.values() {
            let mut last = f.start;
            for pc in (f.start..f.end).filter(|pc| self.kinds[*pc].is_some()) {
                if jump_target(pc, &prog.insns[pc])
                    .is_some_and(|t| !(f.start as i64..f.end as i64).contains(&t))
                {
                    return Err(Shape::JumpOut(pc));
                }
                last = pc;
            }
            if !matches!(self.kinds[last], Some(Kind::Exit | Kind::Ja { .. })) {
                return Err(Shape::FallThrough(last));
            }
            let mut seen = vec![false; f.end - f.start];
            let mut todo = vec![f.start];
            while let Some(pc) = todo.pop() {
                if !std::mem::replace(&mut seen[pc - f.start], true) {
                    todo.extend(self.successors(prog, pc).into_iter().flatten());
                }
            }
            let missed = (f.start..f.end).find(|pc| self.kinds[*pc].is_some() && !seen[pc - f.start]);
            if let Some(pc) = missed {
                return Err(Shape::Unreachable(pc));
            }
        }
        Ok(())
    }

    /// Where the instruction may go on within its function.
    pub fn successors(&self, prog: &Program, pc: usize) -> [Option<usize>; 2] {
        let next = Some(pc + width(&prog.insns[pc]));
        let target = jump_target(pc, &prog.insns[pc]).map(|t| t as usize);
        match self.kinds[pc] {
            Some(Kind::Exit) | None => [None, None],
            Some(Kind::Ja { .. }) => [target, None],
            _ => [next, target],
        }
    }

    /// Mirrors the marks that `visit_insn()` makes.
    fn mark_points(&mut self, prog: &Program) {
        for pc in 0..prog.insns.len() {
            let Some(kind) = self.kinds[pc] else { continue };
            let (next, target) = (pc + width(&prog.insns[pc]), jump_target(pc, &prog.insns[pc]));
            let function = match kind {
                Kind::Call(Callee::Local) => func_target(pc, &prog.insns[pc]).map(|t| t as usize),
                _ => self.func_ref(prog, pc),
            };
            let runs = matches!(kind, Kind::Call(_)) && self.calls_back(prog, pc);
            let steps = matches!(kind, Kind::Call(Callee::Kfunc)) && self.is_iter_next(pc);
            self.force[pc] = kind == Kind::MayGoto || runs || steps;
            self.jumps[pc] |= runs;
            let here = matches!(kind, Kind::Jump { .. } | Kind::MayGoto) || function.is_some();
            self.prune[pc] |= here || self.force[pc] || self.calls_later(prog, pc);
            let after = (matches!(kind, Kind::Call(_)) || function.is_some()).then_some(next);
            for to in [after, target.map(|t| t as usize), function].into_iter().flatten() {
                if to < self.prune.len() {
                    (self.prune[to], self.jumps[to]) = (true, true);
                }
            }
        }
    }

    /// Whether a call sets a callback that runs later, by itself.
    fn calls_later(&self, prog: &Program, pc: usize) -> bool {
        use sextant_abi::tables::{HelperId, KfuncId};
        match (self.kinds[pc], self.relocs[pc]) {
            (Some(Kind::Call(Callee::Helper)), _) => {
                HelperId::from_number(prog.insns[pc].imm as u32) == Some(HelperId::timer_set_callback)
            }
            (Some(Kind::Call(Callee::Kfunc)), Some(Reloc::Kfunc(i))) => {
                KfuncId::from_index(i).is_some_and(|k| {
                    KFUNCS[k as usize].name.contains("set_callback")
                        || KFUNCS[k as usize].name.contains("task_work")
                })
            }
            _ => false,
        }
    }

    /// Whether a call steps an iterator.
    pub fn is_iter_next(&self, pc: usize) -> bool {
        use sextant_abi::tables::KfuncFlags;
        matches!(self.relocs[pc], Some(Reloc::Kfunc(i))
            if KFUNCS.get(i as usize).is_some_and(|k| k.flags.contains(KfuncFlags::ITER_NEXT)))
    }

    /// Whether a call runs a callback before it returns.
    pub fn calls_back(&self, prog: &Program, pc: usize) -> bool {
        use sextant_abi::tables::{HelperId, KfuncId};
        match (self.kinds[pc], self.relocs[pc]) {
            (Some(Kind::Call(Callee::Helper)), _) => {
                let helper = HelperId::from_number(prog.insns[pc].imm as u32);
                matches!(
                    helper,
                    Some(
                        HelperId::loop_
                            | HelperId::for_each_map_elem
                            | HelperId::user_ringbuf_drain
                            | HelperId::find_vma
                    )
                )
            }
            (_, Some(Reloc::Kfunc(i))) => {
                matches!(KfuncId::from_index(i), Some(KfuncId::bpf_rbtree_add | KfuncId::bpf_rbtree_add_impl))
            }
            _ => false,
        }
    }

    fn find_live(&mut self, prog: &Program) {
        let mut changed = true;
        while changed {
            changed = false;
            for pc in (0..prog.insns.len()).rev() {
                let Some(kind) = self.kinds[pc] else { continue };
                let out = self.successors(prog, pc).into_iter().flatten();
                let out = out.fold(0, |acc, s| acc | self.live.get(s).copied().unwrap_or(0));
                let (uses, defs) = self.uses_and_defs(prog, pc, kind);
                let live = uses | (out & !defs);
                if live != self.live[pc] {
                    self.live[pc] = live;
                    changed = true;
                }
            }
        }
    }

    fn uses_and_defs(&self, prog: &Program, pc: usize, kind: Kind) -> (u16, u16) {
        let insn = prog.insns[pc];
        let (dst, src) = (1u16 << insn.dst, 1u16 << insn.src);
        let operand = |o: Operand| if o == Operand::Reg { src } else { 0 };
        match kind {
            Kind::Alu { op: Alu::Mov, operand: o, .. } => (operand(o), dst),
            Kind::Alu { operand: o, .. } => (dst | operand(o), dst),
            Kind::Neg { .. } | Kind::End { .. } => (dst, dst),
            Kind::MovSx { .. } | Kind::AddrSpaceCast | Kind::Load { .. } | Kind::LoadAcquire { .. } => {
                (src, dst)
            }
            Kind::LdImm64(_) => (0, dst),
            Kind::Store { operand: o, .. } => (dst | operand(o), 0),
            Kind::StoreRelease { .. } => (dst | src, 0),
            Kind::Atomic { op: AtomicOp::Cmpxchg, .. } => (dst | src | 1, 1),
            Kind::Atomic { fetch, .. } => (dst | src, if fetch { src } else { 0 }),
            Kind::LdSkb { ind, .. } => (if ind { src | 64 } else { 64 }, ARGS | 1),
            Kind::Ja { .. } | Kind::MayGoto => (0, 0),
            Kind::Jump { operand: o, .. } => (dst | operand(o), 0),
            Kind::Exit => (1, 0),
            Kind::Call(Callee::Local) => {
                let target = func_target(pc, &insn).unwrap_or(0) as usize;
                (self.live.get(target).map_or(ARGS, |l| l & ARGS) | self.global_args(target), ARGS | 1)
            }
            Kind::Call(Callee::Helper) => {
                let args = HELPERS.get(insn.imm as usize).map_or(5, |h| h.args);
                (arg_mask(args.into()), ARGS | 1)
            }
            Kind::Call(Callee::Kfunc) => {
                let args = match self.relocs[pc] {
                    Some(Reloc::Kfunc(i)) => KFUNCS.get(i as usize).map_or(5, |k| k.proto.params.len()),
                    _ => 5,
                };
                (arg_mask(args), ARGS | 1)
            }
            Kind::Call(Callee::Reg) => (ARGS | dst, ARGS | 1),
        }
    }

    /// A global function's arguments are checked at the call, read or not.
    fn global_args(&self, target: usize) -> u16 {
        if self.funcs.get(&target).is_some_and(|f| f.global) { ARGS } else { 0 }
    }
}

fn arg_mask(args: usize) -> u16 {
    ((1u16 << (args.min(5) + 1)) - 1) & ARGS
}

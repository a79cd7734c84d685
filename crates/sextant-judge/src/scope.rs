//! What a test asks for that Sextant does not claim. Decided from the program alone, never from its name or the answer.

use std::fmt;

use sextant_abi::Reloc;
use sextant_abi::tables::HelperId;
use sextant_bpf::insn::Insn;
use sextant_bpf::opcode::{Alu, Callee, Kind, Operand, lookup};
use sextant_uapi::{Judged, ProgType};
use sextant_verifier::Hook;
use sextant_verifier::structure::{func_target, jump_target};

use crate::annotation::Test;

/// Highest number of a helper in the 7.3 kernel.
const HELPERS: u32 = 211;

/// libbpf writes a call of this helper over an instruction whose CO-RE relocation finds nothing.
const POISON: i32 = 0xbad_2310;

/// Why a test does not count.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Beyond {
    /// It reads or writes the context of a program type whose context we do not describe.
    Context,
    /// It calls a kfunc outside of our table.
    Kfunc,
    /// It calls a helper outside of our table.
    Helper,
    /// It is for another architecture, or for a kernel without a JIT.
    Arch,
    /// It is bound to a struct_ops type, function or tracepoint of a kernel module.
    Module,
    /// Its section, or one of its object, is of a libbpf after the one that Sextant is built with.
    Loader,
    /// It needs a field of a kernel type that we describe without it.
    Field,
}

impl Beyond {
    /// All.
    pub const ALL: [Beyond; 7] = [
        Beyond::Context,
        Beyond::Kfunc,
        Beyond::Helper,
        Beyond::Arch,
        Beyond::Module,
        Beyond::Loader,
        Beyond::Field,
    ];
}

impl fmt::Display for Beyond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Beyond::Context => "context",
            Beyond::Kfunc => "kfunc",
            Beyond::Helper => "helper",
            Beyond::Arch => "arch",
            Beyond::Module => "module",
            Beyond::Loader => "loader",
            Beyond::Field => "field",
        })
    }
}

/// Why the test does not count, if it does not. `unbound`: what its object says, see [`crate::bound`].
pub fn beyond(test: &Test, judged: Option<&Judged>, unbound: Option<Beyond>) -> Option<Beyond> {
    if test.foreign {
        return Some(Beyond::Arch);
    }
    if unbound.is_some() {
        return unbound;
    }
    let judged = judged?;
    let insns = &judged.image.insns;
    let relocs = &judged.image.relocs;
    if insns.iter().enumerate().any(|(pc, insn)| lacks_kfunc(pc, insn, relocs)) {
        return Some(Beyond::Kfunc);
    }
    if insns.iter().any(lacks_helper) {
        return Some(Beyond::Helper);
    }
    if insns.iter().any(|insn| callee(insn) == Some(Callee::Helper) && insn.imm == POISON) {
        return Some(Beyond::Field);
    }
    let ours = matches!(judged.prog_type, ProgType::STRUCT_OPS | ProgType::SYSCALL | ProgType::TRACING)
        || Hook::of(judged.prog_type.0).describes_context();
    (!ours && touches_context(insns)).then_some(Beyond::Context)
}

fn callee(insn: &Insn) -> Option<Callee> {
    match lookup(insn)?.kind {
        Kind::Call(callee) => Some(callee),
        _ => None,
    }
}

/// libbpf numbers kernel functions that it does not find from 2,002,000,000 on.
fn lacks_kfunc(pc: usize, insn: &Insn, relocs: &[(u32, Reloc)]) -> bool {
    match callee(insn) {
        Some(Callee::Kfunc) => !relocs.iter().any(|(at, _)| *at as usize == pc),
        Some(Callee::Helper) => (2_002_000_000..2_003_000_000).contains(&insn.imm),
        _ => false,
    }
}

fn lacks_helper(insn: &Insn) -> bool {
    let number = insn.imm as u32;
    callee(insn) == Some(Callee::Helper)
        && (1..=HELPERS).contains(&number)
        && HelperId::from_number(number).is_none()
}

/// Where the context may be: registers by bit, stack slots by bit, slot 0 below r10.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Held {
    regs: u16,
    slots: u64,
}

impl Held {
    fn has(self, reg: u8) -> bool {
        self.regs & 1 << reg != 0
    }

    fn set(&mut self, reg: u8, held: bool) {
        self.regs = self.regs & !(1 << reg) | u16::from(held) << reg;
    }
}

fn slot(off: i16) -> Option<u32> {
    (-512..0).contains(&off).then(|| (-i32::from(off) - 1) as u32 / 8)
}

/// Whether some path may read or write memory through the context. Paths are not told apart: what may be is taken to be.
fn touches_context(insns: &[Insn]) -> bool {
    let mut at: Vec<Option<Held>> = vec![None; insns.len()];
    let mut work = vec![(0usize, Held { regs: 1 << 1, slots: 0 })];
    while let Some((pc, mut held)) = work.pop() {
        let Some(seen) = at.get_mut(pc) else { continue };
        let before = seen.unwrap_or_default();
        let joined = Held { regs: before.regs | held.regs, slots: before.slots | held.slots };
        if *seen == Some(joined) {
            continue;
        }
        *seen = Some(joined);
        held = joined;
        let insn = &insns[pc];
        let Some(kind) = lookup(insn).map(|row| row.kind) else { continue };
        if through(kind, insn).is_some_and(|base| held.has(base)) {
            return true;
        }
        if let Some(to) = func_target(pc, insn) {
            let regs = if matches!(kind, Kind::Call(_)) { held.regs & 0x3e } else { 0 };
            work.push((to.max(0) as usize, Held { regs, slots: 0 }));
        }
        step(kind, insn, &mut held);
        if let Some(to) = jump_target(pc, insn) {
            work.push((to.max(0) as usize, held));
        }
        if !matches!(kind, Kind::Ja { .. } | Kind::Exit) {
            work.push((pc + if matches!(kind, Kind::LdImm64(_)) { 2 } else { 1 }, held));
        }
    }
    false
}

/// The register whose memory an instruction reads or writes.
fn through(kind: Kind, insn: &Insn) -> Option<u8> {
    match kind {
        Kind::Load { .. } | Kind::LoadAcquire { .. } => Some(insn.src),
        Kind::Store { .. } | Kind::Atomic { .. } | Kind::StoreRelease { .. } => Some(insn.dst),
        _ => None,
    }
}

fn step(kind: Kind, insn: &Insn, held: &mut Held) {
    match kind {
        Kind::Alu { op: Alu::Mov, operand: Operand::Reg, wide: true } => {
            held.set(insn.dst, held.has(insn.src))
        }
        Kind::Alu { op: Alu::Add | Alu::Sub, wide: true, .. } => {
            let via = matches!(kind, Kind::Alu { operand: Operand::Reg, .. }) && held.has(insn.src);
            held.set(insn.dst, held.has(insn.dst) || via);
        }
        Kind::Alu { .. } | Kind::MovSx { .. } | Kind::LdImm64(_) => held.set(insn.dst, false),
        Kind::Store { operand: Operand::Reg, .. } if insn.dst == 10 => {
            let bit = slot(insn.off).map_or(0, |slot| 1u64.checked_shl(slot).unwrap_or(0));
            held.slots = if held.has(insn.src) { held.slots | bit } else { held.slots & !bit };
        }
        Kind::Load { .. } if insn.src == 10 => {
            let bit = slot(insn.off).map_or(0, |slot| 1u64.checked_shl(slot).unwrap_or(0));
            held.set(insn.dst, held.slots & bit != 0);
        }
        Kind::Load { .. } => held.set(insn.dst, false),
        Kind::Call(_) => held.regs &= !0x3f,
        _ => {}
    }
}

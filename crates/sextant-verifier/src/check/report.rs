//! Makes a [`Rejection`] of a refusal: source line, registers, slice. The words for registers are those of the kernel's log.

use sextant_bpf::disasm;
use sextant_bpf::opcode::{Alu, AtomicOp, Callee, Kind, Operand};

use super::reg::{Ty, What};
use super::*;
use crate::diag::{Known, Step};

const SLICE: usize = 12;

/// A refusal before any path was followed.
pub(super) fn at_load(prog: &Program, pc: usize, code: Code, message: String) -> Rejection {
    Rejection {
        code,
        message,
        at: Box::new(step(prog, pc)),
        state: Box::default(),
        slice: Box::default(),
        path: Box::default(),
        notes: Box::default(),
        chain: Box::new([prog.func_name(0)]),
        insns_processed: 0,
    }
}

pub(super) fn step(prog: &Program, pc: usize) -> Step {
    Step {
        insn: pc,
        text: disasm::line(prog.insns, pc, &|at, what| name(prog, at, what)),
        source: prog.source(pc),
        start: prog.func_start(pc),
        called_at: Box::default(),
    }
}

fn name(prog: &Program, pc: usize, what: disasm::Ref) -> Option<String> {
    use sextant_abi::image::Reloc;
    use sextant_abi::tables::{HelperId, KfuncId};
    let reloc = || prog.relocs.iter().find(|(at, _)| *at as usize == pc).map(|(_, r)| *r);
    match what {
        disasm::Ref::Helper(n) => HelperId::from_number(n as u32).map(|h| h.name().to_string()),
        disasm::Ref::Kfunc(..) => match reloc() {
            Some(Reloc::Kfunc(i)) => KfuncId::from_index(i).map(|k| k.info().name.to_string()),
            _ => None,
        },
        disasm::Ref::Func(at) => Some(prog.func_name(at as usize)),
        disasm::Ref::Imm64(..) => match reloc() {
            Some(Reloc::Map(id)) => Some(format!("map[{}]", map_name(prog, id)?)),
            Some(Reloc::Addr(_)) => {
                let id = sextant_bpf::btf::TypeId(prog.insns.get(pc)?.imm as u32);
                Some(format!("&{}", prog.kernel_btf?.name(id)))
            }
            Some(Reloc::MapValue(id, off)) => Some(format!("map[{}][0]+{off}", map_name(prog, id)?)),
            _ => None,
        },
    }
}

fn map_name<'a>(prog: &Program<'a>, id: u32) -> Option<&'a str> {
    prog.maps.iter().find(|m| m.id == id).map(|m| m.name)
}

impl Env<'_> {
    pub(super) fn rejection(&self, refused: Refused) -> Rejection {
        let pc = self.st.pc;
        // Where the reason is not a value, registers would only distract.
        let about_way = matches!(
            refused.code,
            Code::InfiniteLoop | Code::TooComplex | Code::LockBalance | Code::StackDepth
        );
        let mut regs = refused.regs;
        if regs.is_empty() && refused.made.is_empty() && !about_way {
            regs = self.regs_used(pc);
        } else if matches!(self.cfg.kinds[pc], Some(Kind::Alu { .. })) {
            // Of arithmetic on a pointer the number is as interesting.
            let more: Vec<u8> = self.regs_used(pc).into_iter().filter(|n| !regs.contains(n)).collect();
            regs.extend(more);
        }
        let known = |n: &u8| {
            let reg = self.st.reg(*n);
            Known { name: format!("R{n}"), known: self.describe(reg), meaning: self.words(reg) }
        };
        let mut slice: BTreeSet<usize> =
            regs.iter().flat_map(|n| self.nodes.slice(self.st.reg(*n).node, SLICE)).collect();
        slice.extend(&refused.made);
        slice.remove(&pc);
        Rejection {
            code: refused.code,
            message: refused.message,
            at: Box::new(step(self.prog, pc)),
            state: regs.iter().map(known).collect(),
            slice: slice.into_iter().map(|pc| step(self.prog, pc)).collect(),
            path: self.turns(),
            notes: self.notes(refused.code),
            chain: self.st.frames.iter().map(|f| self.prog.func_name(f.func)).collect(),
            insns_processed: self.processed as u32, // at most a million
        }
    }

    fn regs_used(&self, pc: usize) -> Vec<u8> {
        let insn = self.prog.insns[pc];
        // Of what is copied only the source is read.
        if let Some(Kind::Alu { op: Alu::Mov, operand: Operand::Reg, .. }) = self.cfg.kinds[pc] {
            return vec![insn.src];
        }
        let operand = |o: Operand| if o == Operand::Reg { vec![insn.dst, insn.src] } else { vec![insn.dst] };
        match self.cfg.kinds[pc] {
            Some(
                Kind::Alu { operand: o, .. } | Kind::Jump { operand: o, .. } | Kind::Store { operand: o, .. },
            ) => operand(o),
            Some(Kind::Load { .. } | Kind::LoadAcquire { .. } | Kind::MovSx { .. }) => vec![insn.src],
            Some(Kind::Atomic { op: AtomicOp::Cmpxchg, .. }) => vec![0, insn.dst, insn.src],
            Some(Kind::Atomic { .. } | Kind::StoreRelease { .. }) => vec![insn.dst, insn.src],
            Some(Kind::Exit) => vec![0],
            Some(Kind::Call(Callee::Local)) => vec![1],
            _ => Vec::new(),
        }
    }

    /// A register in words: `trusted_ptr_or_null_task_struct(id=3,off=8)`.
    pub(super) fn describe(&self, reg: &Reg) -> String {
        let mut out = reg.type_name();
        match reg.what {
            What::Uninit => return "?".into(),
            What::Scalar => {
                return match reg.s.value() {
                    Some(v) => format!("{}", v as i64),
                    None if reg.s.is_unknown() => "scalar()".into(),
                    None => format!("scalar{}", reg.s),
                };
            }
            What::Stack(frame) => {
                let off = reg.offset().map_or("?".into(), |o| o.to_string());
                return if frame as usize + 1 == self.st.frames.len() {
                    format!("fp{off}")
                } else {
                    format!("fp[{frame}]{off}")
                };
            }
            What::Obj(ty) => out.push_str(&self.ty_name(ty)),
            _ => {}
        }
        let mut parts = Vec::new();
        if reg.id != 0 {
            parts.push(format!("id={}", reg.id));
        }
        if reg.ref_id != 0 {
            parts.push(format!("ref_obj_id={}", reg.ref_id));
        }
        if let What::MapValue(map) | What::Map(map) = reg.what {
            parts.push(format!("map={}", self.map(map).name));
            if matches!(reg.what, What::MapValue(_)) {
                parts.push(format!("vs={}", self.map(map).value_size));
            }
        }
        if let What::Mem(size) = reg.what {
            parts.push(format!("sz={size}"));
        }
        if reg.is_packet() {
            parts.push(format!("off={},r={}", reg.delta, reg.range));
        }
        match reg.offset() {
            Some(0) => {}
            Some(off) => parts.push(format!("off={off}")),
            None => parts.push(format!("off={}", reg.s)),
        }
        if !parts.is_empty() {
            out.push_str(&format!("({})", parts.join(",")));
        }
        out
    }

    /// A struct's name.
    pub(super) fn ty_name(&self, ty: Ty) -> String {
        match ty {
            Ty::Kernel(name) => name.to_string(),
            Ty::Local(id) => self.prog.btf.map_or("?", |b| b.name(id)).to_string(),
        }
    }
}

//! What a refusal's own case adds to its code: which ops may, which lines surround an inlined one.

use sextant_abi::image::Reloc;
use sextant_abi::tables::bpf::BPF_MAP_TYPE_ARENA;
use sextant_abi::tables::{KfuncFlags, KfuncId, Op};

use super::*;
use crate::program::ProgKind;

impl Env<'_> {
    /// Notes on the refusal at the path's `pc`.
    pub(super) fn notes(&self, code: Code) -> Box<[String]> {
        let own = match code {
            Code::KfuncDenied => self.who_may(),
            Code::CtxAccess => self.arguments(),
            Code::NotAPointer => self.missing_cast(),
            _ => None,
        };
        own.into_iter().chain(inlined(self.prog, self.st.pc)).collect()
    }

    /// Which ops may call the kfunc.
    fn who_may(&self) -> Option<String> {
        let Some(Reloc::Kfunc(index)) = self.cfg.relocs[self.st.pc] else { return None };
        let kfunc = KfuncId::from_index(index)?.info();
        let here = match self.prog.kind {
            ProgKind::StructOps { op, .. } => format!("this is ops.{}; ", op.desc().name),
            _ => String::new(),
        };
        let sleeps = kfunc.flags.contains(KfuncFlags::SLEEPABLE);
        let may = |op: &&Op| kfunc.allowed_in(op.desc().groups) && (op.desc().sleepable || !sleeps);
        let mut who: Vec<&str> = Op::ALL.iter().filter(may).map(|op| op.desc().name).collect();
        if kfunc.allowed_in(ProgKind::Syscall.groups()) {
            who.push("programs of type syscall");
        }
        let who = if who.is_empty() { "nobody here".into() } else { who.join(", ") };
        Some(format!("{here}{} may be called by {who}", kfunc.name))
    }

    /// Numbers that are addresses in the arena.
    fn missing_cast(&self) -> Option<String> {
        let used = |map: &&MapDesc<'_>| {
            let is_it = |(_, reloc): &(u32, Reloc)| match reloc {
                Reloc::Map(id) | Reloc::MapValue(id, _) => *id == map.id,
                _ => false,
            };
            map.map_type == BPF_MAP_TYPE_ARENA && self.prog.relocs.iter().any(is_it)
        };
        self.prog.maps.iter().find(used)?;
        Some(
            "an address read from memory is a number until addr_space_cast makes it one of the arena; the compiler inserts that \
             for pointers declared __arena, but clang 19 leaves it out in places: try a newer one"
                .into(),
        )
    }

    /// Which arguments there are.
    fn arguments(&self) -> Option<String> {
        let ProgKind::StructOps { op, .. } = self.prog.kind else { return None };
        let count = op.desc().args.len();
        Some(format!("ops.{} has {count} arguments, 8 bytes of the context each", op.desc().name))
    }
}

/// Where code of another file was put into the function: its own lines before and after.
fn inlined(prog: &Program<'_>, pc: usize) -> Option<String> {
    let at = prog.source(pc)?;
    let start = prog.func_info.iter().map(|f| f.insn_off).filter(|start| *start as usize <= pc).max()?;
    let file = prog.source(start as usize)?.file;
    if file == at.file {
        return None;
    }
    let end = prog.func_info.iter().map(|f| f.insn_off).filter(|next| *next as usize > pc).min();
    let lines = |range: std::ops::Range<usize>| {
        let in_range = move |l: &&sextant_bpf::btf::ext::LineInfo| range.contains(&(l.insn_off as usize));
        let own = prog.line_info.iter().filter(in_range);
        own.filter_map(|l| prog.source(l.insn_off as usize)).filter(|s| s.file == file).map(|s| s.line)
    };
    let before = lines(start as usize..pc).next_back()?;
    let after = lines(pc..end.map_or(prog.insns.len(), |end| end as usize)).find(|line| *line > before);
    Some(match after {
        Some(after) => format!("inlined into {file} between lines {before} and {after}"),
        None => format!("inlined into {file} after line {before}"),
    })
}

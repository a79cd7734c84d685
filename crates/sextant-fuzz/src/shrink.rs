//! Smaller programs that fail in the same way: instructions become jumps to the next one, while the failure stays.

use sextant_abi::image::{Insn, Reloc};
use sextant_bpf::disasm;
use sextant_bpf::insn::{BPF_JA, BPF_JMP, LD_IMM64};

use crate::piece::Draft;
use crate::run::{Failure, run};
use crate::world::World;

/// `ja +0`
const NOP: Insn = Insn { code: BPF_JMP | BPF_JA, dst: 0, src: 0, off: 0, imm: 0 };
/// Programs tried.
const TRIES: usize = 3000;

/// The program with as much taken out as the failure allows.
pub fn shrink(draft: &Draft, failure: &Failure, world: &World) -> Draft {
    let mut best = draft.clone();
    let mut tries = 0;
    for chunk in [32, 16, 8, 4, 2, 1, 1] {
        let mut at = 0;
        while at < best.code.insns.len() && tries < TRIES {
            let mut smaller = best.clone();
            if blank(&mut smaller, at, at + chunk) {
                tries += 1;
                if run(&smaller, world).failure.is_some_and(|f| f.is_like(failure)) {
                    best = smaller;
                }
            }
            at += chunk;
        }
    }
    best
}

/// Takes out the instructions that begin in `from..to`; false if there is nothing to take out.
fn blank(draft: &mut Draft, from: usize, to: usize) -> bool {
    let insns = &mut draft.code.insns;
    let mut changed = false;
    let mut at = 0;
    while at < to.min(insns.len()) {
        let len = if insns[at].code == LD_IMM64 { 2 } else { 1 };
        if at >= from && insns[at] != NOP {
            (at..(at + len).min(insns.len())).for_each(|slot| insns[slot] = NOP);
            draft.code.relocs.retain(|(slot, _)| *slot as usize != at);
            changed = true;
        }
        at += len;
    }
    changed
}

/// The program as text, without what was taken out.
pub fn text(draft: &Draft) -> String {
    let mut out = String::new();
    let insns = &draft.code.insns;
    let mut at = 0;
    while at < insns.len() {
        if insns[at] != NOP {
            let what = match draft.code.relocs.iter().find(|(slot, _)| *slot as usize == at) {
                Some((_, Reloc::Map(id))) => format!("  ; map {}", map(*id)),
                Some((_, Reloc::MapValue(id, off))) => format!("  ; map {} value 0 + {off}", map(*id)),
                Some((_, Reloc::Kfunc(id))) => format!("  ; {}", kfunc(*id)),
                Some((_, Reloc::Func(slot))) => format!("  ; function at {slot}"),
                _ => String::new(),
            };
            out.push_str(&format!("{at:5}: {}{what}\n", disasm::text(insns, at, &disasm::nameless)));
        }
        at += disasm::width(&insns[at]);
    }
    out
}

fn map(id: u32) -> String {
    let world = World::new();
    world.maps.iter().find(|m| m.id == id).map_or(id.to_string(), |m| m.name.to_owned())
}

fn kfunc(id: u32) -> &'static str {
    sextant_abi::tables::KfuncId::from_index(id).map_or("?", |k| k.info().name)
}

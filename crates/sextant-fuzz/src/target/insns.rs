//! Instructions.

use sextant_abi::image::{Insn, Reloc};
use sextant_abi::tables::{KFUNCS, Op};
use sextant_bpf::disasm;
use sextant_bpf::insn::*;
use sextant_bpf::opcode::lookup;
use sextant_verifier::ProgKind;

use crate::asm::{FuncKind, Linked};
use crate::piece::Draft;
use crate::run;
use crate::world::{Of, World};

/// Most instructions of a program.
const MOST: usize = 256;

thread_local! {
    static WORLD: World = World::new();
}

/// A program in the world of [`crate::world`]: a verdict, and the three rules of [`crate::run`] hold. The first byte chooses what the
/// program is.
pub fn verify(data: &[u8]) {
    let [what, rest @ ..] = data else { return };
    let whole = rest.len() / INSN_BYTES * INSN_BYTES;
    let Ok(mut insns) = decode(&rest[..whole.min(MOST * INSN_BYTES)]) else { return };
    let relocs = relocs(&mut insns);
    let kind = match what % 4 {
        0 => ProgKind::Syscall,
        _ => ProgKind::StructOps { op: Op::Enqueue, cid_form: false },
    };
    let code = Linked { insns, relocs, funcs: vec![(0, FuncKind::Static)], ..Linked::default() };
    let draft = Draft { seed: u64::from(*what), code, kind, state_freq: what & 4 != 0 };
    let judged = WORLD.with(|world| run::run(&draft, world));
    assert_eq!(judged.failure, None, "{}", crate::shrink::text(&draft));
}

/// What the instructions name, of what there is.
fn relocs(insns: &mut [Insn]) -> Vec<(u32, Reloc)> {
    let mut relocs = Vec::new();
    let mut second = false;
    for (at, insn) in insns.iter_mut().enumerate() {
        let skip = second;
        second = !second && insn.code == LD_IMM64;
        if skip {
            continue;
        }
        let map = insn.imm.unsigned_abs() % Of::ResLock.id() + 1;
        let reloc = match (insn.code, insn.src) {
            (LD_IMM64, BPF_PSEUDO_MAP_FD | BPF_PSEUDO_MAP_IDX) => Some(Reloc::Map(map)),
            (LD_IMM64, BPF_PSEUDO_MAP_VALUE | BPF_PSEUDO_MAP_IDX_VALUE) => {
                let fits = [Of::Array, Of::Bss, Of::Rodata, Of::Timers, Of::Roots, Of::ResLock];
                let of = fits[map as usize % fits.len()];
                Some(Reloc::MapValue(of.id(), insn.off.unsigned_abs().into()))
            }
            (LD_IMM64, BPF_PSEUDO_FUNC) => {
                let to = at as i64 + 1 + i64::from(insn.imm);
                u32::try_from(to).ok().map(Reloc::Func)
            }
            (code, BPF_PSEUDO_KFUNC_CALL) if code == BPF_JMP | BPF_CALL => {
                Some(Reloc::Kfunc(insn.imm.unsigned_abs() % KFUNCS.len() as u32))
            }
            _ => None,
        };
        if let Some(Reloc::MapValue(..)) = reloc {
            insn.off = 0;
        }
        relocs.extend(reloc.map(|reloc| (at as u32, reloc)));
    }
    relocs
}

/// Instructions survive being encoded; the disassembler has a text for every one, and two valid ones never the same.
pub fn disasm(data: &[u8]) {
    let whole = data.len() / INSN_BYTES * INSN_BYTES;
    let Ok(insns) = decode(&data[..whole]) else { return };
    assert_eq!(encode(&insns), &data[..whole]);
    let _ = disasm::program(&insns, &disasm::nameless);
    let valid = |insn: &Insn| {
        let registers = insn.dst <= MAX_REG && insn.src <= MAX_REG;
        registers && insn.code != LD_IMM64 && lookup(insn).is_some_and(|row| row.reserved_clear(insn))
    };
    let text = |insn: &Insn| disasm::text(std::slice::from_ref(insn), 0, &disasm::nameless);
    for pair in insns.windows(2).filter(|pair| pair[0] != pair[1] && pair.iter().all(valid)) {
        assert_ne!(text(&pair[0]), text(&pair[1]), "{pair:?}");
    }
}

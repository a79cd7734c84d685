//! Structure of a program: what must hold before anything may decode it.
//!
//! 1. every instruction is in the opcode table and its reserved fields are 0;
//! 2. registers are r0-r10 (that r10 is not written holds only for what is executed, see `check`);
//! 3. a `ld_imm64` has its second slot, whose other fields are 0;
//! 4. jumps, local calls and function references land inside the program, on an instruction's first slot;
//! 5. the last instruction is `exit` or an unconditional jump.
//!
//! Wording of the errors as in the kernel's log. Left out: what paths and values do. Mirrors `check_subprogs`,
//! `resolve_pseudo_ldimm64` and the field checks of kernel/bpf/verifier.c, 7.3.

use sextant_bpf::Insn;
use sextant_bpf::insn::{MAX_REG, is_ld_imm64};
use sextant_bpf::opcode::{AtomicOp, Callee, DST, Imm64, Kind, Opcode, SRC, known_code, lookup};
use thiserror::Error;

/// Longest program the kernel takes from a privileged loader, in slots.
pub const BPF_MAXINSNS: usize = 1_000_000;

/// Why a program cannot be decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum StructureError {
    /// No instructions, or more than [`BPF_MAXINSNS`].
    #[error("program has {len} insns, limit 1..={BPF_MAXINSNS}")]
    Length {
        /// Slots.
        len: usize,
    },
    /// The code byte is not an instruction.
    #[error("unknown opcode {code:02x} at insn {pc}")]
    UnknownOpcode {
        /// Slot.
        pc: usize,
        /// Its code.
        code: u8,
    },
    /// The code exists, but not with this `off`, `imm` or src, or a field that must be 0 is not.
    #[error("insn {pc}: opcode {code:02x} uses reserved fields")]
    ReservedFields {
        /// Slot.
        pc: usize,
        /// Its code.
        code: u8,
    },
    /// A register above r10.
    #[error("insn {pc}: R{reg} is invalid")]
    BadRegister {
        /// Slot.
        pc: usize,
        /// The register.
        reg: u8,
    },
    /// A `ld_imm64` without a proper second slot.
    #[error("invalid bpf_ld_imm64 insn at {pc}")]
    LdImm64 {
        /// Slot.
        pc: usize,
    },
    /// A jump outside of the program or into the second slot of a `ld_imm64`.
    #[error("jump out of range from insn {pc} to {to}")]
    JumpRange {
        /// Slot.
        pc: usize,
        /// Target slot.
        to: i64,
    },
    /// A local call or function reference to a place where no function can start.
    #[error("call to invalid destination {to} at insn {pc}")]
    CallRange {
        /// Slot.
        pc: usize,
        /// Target slot.
        to: i64,
    },
    /// Execution would run past the end.
    #[error("last insn is not an exit or jmp")]
    LastInsn,
}

impl StructureError {
    /// The slot it is at, if it is at one.
    pub fn pc(&self) -> Option<usize> {
        use StructureError::*;
        match *self {
            UnknownOpcode { pc, .. }
            | ReservedFields { pc, .. }
            | BadRegister { pc, .. }
            | LdImm64 { pc }
            | JumpRange { pc, .. }
            | CallRange { pc, .. } => Some(pc),
            Length { .. } | LastInsn => None,
        }
    }
}

/// Checks the structure; the first fault in program order is returned.
pub fn check(insns: &[Insn]) -> Result<(), StructureError> {
    if insns.is_empty() || insns.len() > BPF_MAXINSNS {
        return Err(StructureError::Length { len: insns.len() });
    }
    let starts = starts(insns)?;
    let mut last = None;
    for (pc, row) in rows(insns, &starts) {
        check_fields(pc, &insns[pc], row)?;
        check_target(pc, &insns[pc], row, &starts)?;
        last = Some(row.kind);
    }
    match last {
        Some(Kind::Exit | Kind::Ja { .. }) => Ok(()),
        _ => Err(StructureError::LastInsn),
    }
}

/// The slot a jump goes to, in range or not; `None` when the instruction is not a jump.
pub fn jump_target(pc: usize, insn: &Insn) -> Option<i64> {
    let distance = match lookup(insn)?.kind {
        Kind::Ja { long: true } => i64::from(insn.imm),
        Kind::Ja { long: false } | Kind::Jump { .. } | Kind::MayGoto => i64::from(insn.off),
        _ => return None,
    };
    Some(pc as i64 + 1 + distance)
}

/// The slot at which the function of a local call or a function reference starts, in range or not.
pub fn func_target(pc: usize, insn: &Insn) -> Option<i64> {
    match lookup(insn)?.kind {
        Kind::Call(Callee::Local) | Kind::LdImm64(Imm64::Func) => Some(pc as i64 + 1 + i64::from(insn.imm)),
        _ => None,
    }
}

/// Per slot: an instruction begins here. Fails on unknown instructions and torn `ld_imm64`s.
fn starts(insns: &[Insn]) -> Result<Vec<bool>, StructureError> {
    let mut starts = vec![false; insns.len()];
    let mut pc = 0;
    while pc < insns.len() {
        let code = insns[pc].code;
        if lookup(&insns[pc]).is_none() {
            return Err(match known_code(code) {
                true => StructureError::ReservedFields { pc, code },
                false => StructureError::UnknownOpcode { pc, code },
            });
        }
        starts[pc] = true;
        pc += 1;
        if is_ld_imm64(&insns[pc - 1]) {
            match insns.get(pc) {
                Some(Insn { code: 0, dst: 0, src: 0, off: 0, .. }) => pc += 1,
                _ => return Err(StructureError::LdImm64 { pc: pc - 1 }),
            }
        }
    }
    Ok(starts)
}

fn rows<'a>(insns: &'a [Insn], starts: &'a [bool]) -> impl Iterator<Item = (usize, &'static Opcode)> + 'a {
    let at = insns.iter().enumerate().filter(|(pc, _)| starts[*pc]);
    at.filter_map(|(pc, insn)| lookup(insn).map(|row| (pc, row)))
}

fn check_fields(pc: usize, insn: &Insn, row: &Opcode) -> Result<(), StructureError> {
    if !row.reserved_clear(insn) {
        return Err(StructureError::ReservedFields { pc, code: insn.code });
    }
    for (field, reg) in [(DST, insn.dst), (SRC, insn.src)] {
        if row.fields & field != 0 && reg > MAX_REG {
            return Err(StructureError::BadRegister { pc, reg });
        }
    }
    Ok(())
}

/// The register field an instruction writes; r0-r5 of calls aside.
pub(crate) fn written(insn: &Insn, kind: Kind) -> Option<u8> {
    match kind {
        Kind::Alu { .. }
        | Kind::Neg { .. }
        | Kind::MovSx { .. }
        | Kind::End { .. }
        | Kind::AddrSpaceCast
        | Kind::LdImm64(_)
        | Kind::Load { .. }
        | Kind::LoadAcquire { .. } => Some(insn.dst),
        Kind::Atomic { op, fetch: true, .. } if op != AtomicOp::Cmpxchg => Some(insn.src),
        _ => None,
    }
}

fn check_target(pc: usize, insn: &Insn, row: &Opcode, starts: &[bool]) -> Result<(), StructureError> {
    let lands = |to: i64| usize::try_from(to).ok().and_then(|to| starts.get(to)).copied().unwrap_or(false);
    if matches!(row.kind, Kind::Ja { .. } | Kind::Jump { .. } | Kind::MayGoto) {
        return match jump_target(pc, insn) {
            Some(to) if !lands(to) => Err(StructureError::JumpRange { pc, to }),
            _ => Ok(()),
        };
    }
    match func_target(pc, insn) {
        Some(to) if !lands(to) => Err(StructureError::CallRange { pc, to }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sextant_bpf::asm::assemble;

    fn why(asm: &str) -> String {
        check(&assemble(asm).unwrap()).unwrap_err().to_string()
    }

    #[test]
    fn sound_programs_pass() {
        for asm in ["exit", "a:\nmov %r0, 0\nja a", "lddw %r1, 5\ncall local f\nexit\nf:\nmov %r0, 1\nexit"] {
            assert_eq!(check(&assemble(asm).unwrap()), Ok(()), "{asm}");
        }
    }

    #[test]
    fn faults_are_named_in_the_kernels_words() {
        assert_eq!(why("mov %r0, 0"), "last insn is not an exit or jmp");
        assert_eq!(why("mov %r11, 0\nexit"), "insn 0: R11 is invalid");
        assert_eq!(why("ja +1\nexit"), "jump out of range from insn 0 to 2");
        assert_eq!(why("ja -2\nexit"), "jump out of range from insn 0 to -1");
        assert_eq!(why("ja +1\nlddw %r1, 0\nexit"), "jump out of range from insn 0 to 2");
        assert_eq!(why("call local +9\nexit"), "call to invalid destination 10 at insn 0");
        assert_eq!(why("lddw func %r1, +2\nlddw %r1, 1\nexit"), "call to invalid destination 3 at insn 0");
    }

    #[test]
    fn bad_encodings_are_refused() {
        let exit = assemble("exit").unwrap()[0];
        let with = |insn: Insn| check(&[insn, exit]).unwrap_err().to_string();
        assert_eq!(with(Insn { code: 0xff, ..exit }), "unknown opcode ff at insn 0");
        assert_eq!(with(Insn { imm: 1, ..exit }), "insn 0: opcode 95 uses reserved fields");
        assert_eq!(with(Insn { code: 0x18, ..Insn::default() }), "invalid bpf_ld_imm64 insn at 0");
        assert_eq!(check(&[]).unwrap_err().to_string(), "program has 0 insns, limit 1..=1000000");
    }

    #[test]
    fn every_conformance_case_is_sound() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/bpf_conformance");
        let Ok(entries) = std::fs::read_dir(dir) else {
            println!("SKIPPED every_conformance_case_is_sound: no ../shared/data/bpf_conformance");
            return;
        };
        let paths = entries.map(|e| e.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "data"));
        for path in paths {
            let case = sextant_bpf::conformance::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
            assert_eq!(check(&case.insns), Ok(()), "{}", path.display());
        }
    }
}

//! Programs in the form the interpreter runs: one [`Op`] per slot, operands ready, targets absolute.
//!
//! Must hold: registers of an op are 0..=10, writes never name r10; every target is a slot of the program or the op
//! behind the last one, which is [`Code::Bad`]. What is wrong with an instruction traps when it is reached.
//! The codes come in rows ([`with_rows`]) of which the enum, the decoder and the interpreter are made.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

use sextant_abi::{Insn, LocalType, ProgramImage, Reloc};
use sextant_bpf::opcode::{self, Alu, AtomicOp, Callee, Cond, Kind, Operand, Order};

use crate::arena::ArenaUse;
use crate::jit::Compiled;
use crate::vm::ProgId;
use crate::{helper, kfunc};

/// Passes the rows of arithmetic and jump codes (`K` immediate, `X` register) to a macro, behind its own arguments.
macro_rules! with_rows {
    ($mac:ident! { $($args:tt)* }) => {
        $mac! { { $($args)* }
            alu {
                Add AddK AddX AddK32 AddX32; Sub SubK SubX SubK32 SubX32; Mul MulK MulX MulK32 MulX32;
                Div DivK DivX DivK32 DivX32; Or OrK OrX OrK32 OrX32; And AndK AndX AndK32 AndX32;
                Lsh LshK LshX LshK32 LshX32; Rsh RshK RshX RshK32 RshX32; Mod ModK ModX ModK32 ModX32;
                Xor XorK XorX XorK32 XorX32; Mov MovK MovX MovK32 MovX32; Arsh ArshK ArshX ArshK32 ArshX32;
                Sdiv SdivK SdivX SdivK32 SdivX32; Smod SmodK SmodX SmodK32 SmodX32;
            }
            jump {
                Eq JeqK JeqX JeqK32 JeqX32; Gt JgtK JgtX JgtK32 JgtX32; Ge JgeK JgeX JgeK32 JgeX32;
                Set JsetK JsetX JsetK32 JsetX32; Ne JneK JneX JneK32 JneX32; Sgt JsgtK JsgtX JsgtK32 JsgtX32;
                Sge JsgeK JsgeX JsgeK32 JsgeX32; Lt JltK JltX JltK32 JltX32; Le JleK JleX JleK32 JleX32;
                Slt JsltK JsltX JsltK32 JsltX32; Sle JsleK JsleX JsleK32 JsleX32;
            }
            load {
                (1, false, false) Ld1; (2, false, false) Ld2; (4, false, false) Ld4; (8, false, false) Ld8;
                (1, true, false) Lds1; (2, true, false) Lds2; (4, true, false) Lds4;
                (1, false, true) Probe1; (2, false, true) Probe2; (4, false, true) Probe4; (8, false, true) Probe8;
                (1, true, true) Probes1; (2, true, true) Probes2; (4, true, true) Probes4;
            }
            store { 1 StK1 StX1; 2 StK2 StX2; 4 StK4 StX4; 8 StK8 StX8; }
        }
    };
}
pub(crate) use with_rows;

macro_rules! define_codes {
    ({}
        alu { $($alu:ident $ak:ident $ax:ident $ak32:ident $ax32:ident;)* }
        jump { $($cond:ident $jk:ident $jx:ident $jk32:ident $jx32:ident;)* }
        load { $($lshape:tt $load:ident;)* }
        store { $($size:literal $sk:ident $sx:ident;)* }
    ) => {
        /// What an op does.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        pub(crate) enum Code {
            $($ak, $ax, $ak32, $ax32,)* $($jk, $jx, $jk32, $jx32,)* $($load,)* $($sk, $sx,)*
            /// `dst = imm`, two slots.
            LdImm64,
            /// Negate.
            Neg, Neg32,
            /// Sign-extend the low `imm` bits.
            MovSx, MovSx32,
            /// Arena pointer to BPF address in the window `imm`; to user address with the high half `imm`.
            CastKern, CastUser,
            /// Byte order, by `imm`: see [`end_code`].
            End,
            /// Atomic, by `imm`: see [`atomic_code`].
            Atomic,
            Ja, MayGoto,
            /// Helper: index into the table of implemented ones.
            CallHelper,
            /// Helper that is not implemented: its number.
            CallUnknown,
            /// Function at slot `off`.
            CallLocal,
            /// Function whose pointer is in dst.
            CallReg,
            /// Kfunc `imm`, which the host has.
            CallKfunc,
            /// Kfunc of the vm's own: index into the table of implemented ones.
            CallCore,
            Exit,
            /// Traps: `imm` is an index into [`REASONS`].
            Bad,
        }

        fn alu_code(op: Alu, wide: bool, operand: Operand) -> Code {
            match (op, wide, operand) {
                $(
                    (Alu::$alu, true, Operand::Imm) => Code::$ak,
                    (Alu::$alu, true, Operand::Reg) => Code::$ax,
                    (Alu::$alu, false, Operand::Imm) => Code::$ak32,
                    (Alu::$alu, false, Operand::Reg) => Code::$ax32,
                )*
            }
        }

        fn jump_code(cond: Cond, wide: bool, operand: Operand) -> Code {
            match (cond, wide, operand) {
                $(
                    (Cond::$cond, true, Operand::Imm) => Code::$jk,
                    (Cond::$cond, true, Operand::Reg) => Code::$jx,
                    (Cond::$cond, false, Operand::Imm) => Code::$jk32,
                    (Cond::$cond, false, Operand::Reg) => Code::$jx32,
                )*
            }
        }

        fn load_code(size: u32, signed: bool, probe: bool) -> Code {
            match (size, signed && size < 8, probe) {
                $($lshape => Code::$load,)*
                _ => Code::Bad,
            }
        }

        fn store_code(size: u32, operand: Operand) -> Code {
            match (size, operand) {
                $(($size, Operand::Imm) => Code::$sk, ($size, Operand::Reg) => Code::$sx,)*
                _ => Code::Bad,
            }
        }
    };
}
with_rows!(define_codes! {});

/// One slot, decoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Op {
    pub(crate) code: Code,
    pub(crate) dst: u8,
    pub(crate) src: u8,
    /// Offset of a memory access, or the slot a jump or call leads to.
    pub(crate) off: i32,
    pub(crate) imm: u64,
}

/// A program, ready to run.
pub(crate) struct Prog {
    pub(crate) id: ProgId,
    pub(crate) name: String,
    /// One per slot, and one behind the end.
    pub(crate) ops: Vec<Op>,
    /// As they came, for messages.
    pub(crate) insns: Vec<Insn>,
    /// Types it may allocate, by their BTF id.
    pub(crate) local_types: Vec<(u32, Rc<LocalType>)>,
    /// Its arena.
    pub(crate) arena: Option<ArenaUse>,
    /// Slots whose addresses are the arena's, whatever they look like.
    pub(crate) arena_access: Vec<bool>,
    /// Its machine code, when it has run compiled; `None` inside when there can be none.
    pub(crate) compiled: OnceCell<Option<Compiled>>,
    /// How often each slot was executed; kept with `--sanitize` only.
    pub(crate) executed: Vec<Cell<u64>>,
}

/// Why an op is bad.
pub(crate) const REASONS: [&str; 9] = [
    "past the end of the program",
    "unknown instruction",
    "no such register",
    "r10 is read-only",
    "jump out of the program",
    "the second slot of ld_imm64",
    "refers to a map, function, variable or kfunc that was not resolved",
    "not supported (packet access)",
    "addr_space_cast in a program that uses no arena",
];
const PAST_END: u64 = 0;
const UNKNOWN: u64 = 1;
const BAD_REG: u64 = 2;
const R10_WRITE: u64 = 3;
const BAD_JUMP: u64 = 4;
const SECOND_SLOT: u64 = 5;
const UNRESOLVED: u64 = 6;
const UNSUPPORTED: u64 = 7;
const NO_ARENA: u64 = 8;

/// A function of a program as the number a program holds: tag, program, slot.
const FUNC_TAG: u64 = 0xffff_a000_0000_0000;

/// The function pointer of a program's function.
pub(crate) fn func_addr(prog: ProgId, insn: u32) -> u64 {
    FUNC_TAG | u64::from(prog.0 & 0xf_ffff) << 24 | u64::from(insn & 0xff_ffff)
}

/// What a function pointer means.
pub(crate) fn func_at(addr: u64) -> Option<(ProgId, u32)> {
    (addr >> 44 == FUNC_TAG >> 44)
        .then_some((ProgId((addr >> 24) as u32 & 0xf_ffff), addr as u32 & 0xff_ffff))
}

const fn bad(reason: u64) -> Op {
    Op { code: Code::Bad, dst: 0, src: 0, off: 0, imm: reason }
}

/// Decodes an image; `resolve` gives the address that a relocation stands for.
pub(crate) fn decode(
    id: ProgId,
    image: ProgramImage,
    arena: Option<ArenaUse>,
    resolve: &dyn Fn(Reloc) -> Option<u64>,
) -> Prog {
    let mut ops = Vec::with_capacity(image.insns.len() + 1);
    let decoder = Decoder { image: &image, resolve, arena };
    let mut second = false;
    for at in 0..image.insns.len() {
        let op = if second { bad(SECOND_SLOT) } else { decoder.op(at).unwrap_or_else(bad) };
        second = !second && image.insns[at].code == sextant_bpf::insn::LD_IMM64;
        ops.push(op);
    }
    ops.push(bad(PAST_END));
    let local_types = image.local_types.into_iter().map(|(id, ty)| (id, Rc::new(ty))).collect();
    let executed = vec![Cell::new(0); ops.len()];
    let compiled = OnceCell::new();
    let (name, insns, arena_access) = (image.name, image.insns, image.arena_access);
    Prog { id, name, ops, insns, local_types, arena, arena_access, compiled, executed }
}

struct Decoder<'a> {
    image: &'a ProgramImage,
    resolve: &'a dyn Fn(Reloc) -> Option<u64>,
    arena: Option<ArenaUse>,
}

impl Decoder<'_> {
    fn reloc(&self, at: usize) -> Option<Reloc> {
        let relocs = &self.image.relocs;
        relocs.binary_search_by_key(&(at as u32), |r| r.0).ok().map(|i| relocs[i].1)
    }

    /// The slot `delta` behind the instruction after `at`.
    fn target(&self, at: usize, delta: i32) -> Result<i32, u64> {
        let to = at as i64 + 1 + i64::from(delta);
        if to < 0 || to >= self.image.insns.len() as i64 { Err(BAD_JUMP) } else { Ok(to as i32) }
    }

    fn op(&self, at: usize) -> Result<Op, u64> {
        let insn = self.image.insns[at];
        let row = opcode::lookup(&insn).or_else(|| self.resolved_row(at)).ok_or(UNKNOWN)?;
        let uses = |field| row.fields & field != 0;
        if uses(opcode::DST) && insn.dst > 10 || uses(opcode::SRC) && insn.src > 10 {
            return Err(BAD_REG);
        }
        let op = Op {
            code: Code::Bad,
            dst: insn.dst & 15,
            src: insn.src & 15,
            off: insn.off.into(),
            imm: insn.imm as i64 as u64,
        };
        let op = self.by_kind(at, insn, row.kind, op)?;
        if op.dst == 10 && writes_dst(row.kind) || op.src == 10 && writes_src(row.kind) {
            return Err(R10_WRITE);
        }
        Ok(op)
    }

    /// A kfunc call whose pseudo code was replaced when it was resolved.
    fn resolved_row(&self, at: usize) -> Option<&'static opcode::Opcode> {
        let insn = Insn { src: sextant_bpf::insn::BPF_PSEUDO_KFUNC_CALL, ..self.image.insns[at] };
        matches!(self.reloc(at), Some(Reloc::Kfunc(_))).then(|| opcode::lookup(&insn))?
    }

    fn by_kind(&self, at: usize, insn: Insn, kind: Kind, op: Op) -> Result<Op, u64> {
        let probe = self.image.probe_load.get(at).copied().unwrap_or(false);
        Ok(match kind {
            Kind::Alu { op: alu, wide, operand } => Op { code: alu_code(alu, wide, operand), ..op },
            Kind::Neg { wide } => Op { code: if wide { Code::Neg } else { Code::Neg32 }, ..op },
            Kind::MovSx { bits, wide } => {
                Op { code: if wide { Code::MovSx } else { Code::MovSx32 }, imm: bits.into(), ..op }
            }
            Kind::End { order, bits } => Op { code: Code::End, imm: end_code(order, bits), ..op },
            Kind::LdImm64(_) => Op { code: Code::LdImm64, imm: self.imm64(at)?, ..op },
            Kind::Load { size, signed } => Op { code: load_code(size.bytes(), signed, probe), ..op },
            Kind::LoadAcquire { size } => Op { code: load_code(size.bytes(), false, probe), ..op },
            Kind::Store { size, operand } => Op { code: store_code(size.bytes(), operand), ..op },
            Kind::StoreRelease { size } => Op { code: store_code(size.bytes(), Operand::Reg), ..op },
            Kind::Atomic { op: a, size, fetch } => {
                Op { code: Code::Atomic, imm: atomic_code(a, size.bytes(), fetch), ..op }
            }
            Kind::Ja { long } => {
                let delta = if long { insn.imm } else { insn.off.into() };
                Op { code: Code::Ja, off: self.target(at, delta)?, ..op }
            }
            Kind::Jump { cond, wide, operand } => {
                Op { code: jump_code(cond, wide, operand), off: self.target(at, insn.off.into())?, ..op }
            }
            Kind::MayGoto => Op { code: Code::MayGoto, off: self.target(at, insn.off.into())?, ..op },
            Kind::Call(callee) => self.call(at, insn, callee, op)?,
            Kind::Exit => Op { code: Code::Exit, ..op },
            Kind::AddrSpaceCast => {
                let arena = self.arena.ok_or(NO_ARENA)?;
                match insn.imm {
                    1 => Op { code: Code::CastKern, imm: arena.window, ..op },
                    0x1_0000 => Op { code: Code::CastUser, imm: arena.user_high, ..op },
                    _ => return Err(UNKNOWN),
                }
            }
            Kind::LdSkb { .. } => return Err(UNSUPPORTED),
        })
    }

    fn call(&self, at: usize, insn: Insn, callee: Callee, op: Op) -> Result<Op, u64> {
        if let Some(Reloc::Kfunc(id)) = self.reloc(at) {
            return Ok(match kfunc::index(id) {
                Some(index) => Op { code: Code::CallCore, imm: index as u64, ..op },
                None => Op { code: Code::CallKfunc, imm: id.into(), ..op },
            });
        }
        Ok(match callee {
            Callee::Helper => match helper::index(insn.imm as u32) {
                Some(index) => Op { code: Code::CallHelper, imm: index as u64, ..op },
                None => Op { code: Code::CallUnknown, imm: u64::from(insn.imm as u32), ..op },
            },
            Callee::Local => Op { code: Code::CallLocal, off: self.target(at, insn.imm)?, ..op },
            Callee::Reg => Op { code: Code::CallReg, ..op },
            Callee::Kfunc => return Err(UNRESOLVED),
        })
    }

    fn imm64(&self, at: usize) -> Result<u64, u64> {
        let second = self.image.insns.get(at + 1).ok_or(PAST_END)?;
        if let Some(reloc) = self.reloc(at) {
            return (self.resolve)(reloc).ok_or(UNRESOLVED);
        }
        if self.image.insns[at].src != 0 {
            return Err(UNRESOLVED);
        }
        Ok(sextant_bpf::insn::imm64(&self.image.insns[at], second))
    }
}

fn writes_dst(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Alu { .. }
            | Kind::Neg { .. }
            | Kind::MovSx { .. }
            | Kind::AddrSpaceCast
            | Kind::End { .. }
            | Kind::LdImm64(_)
            | Kind::Load { .. }
            | Kind::LoadAcquire { .. }
    )
}

fn writes_src(kind: Kind) -> bool {
    matches!(kind, Kind::Atomic { op, fetch: true, .. } if op != AtomicOp::Cmpxchg)
}

/// Byte order op in one number: width in bits, and 1 for a swap.
pub(crate) fn end_code(order: Order, bits: u8) -> u64 {
    u64::from(bits) | u64::from(order != Order::Le)
}

/// Atomic op in one number: operation << 8 | fetch << 4 | size.
pub(crate) fn atomic_code(op: AtomicOp, size: u32, fetch: bool) -> u64 {
    (op as u64) << 8 | u64::from(fetch) << 4 | u64::from(size)
}

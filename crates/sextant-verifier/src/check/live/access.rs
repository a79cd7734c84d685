//! What one instruction does: to where registers point, and to the stacks.

use sextant_abi::image::Reloc;
use sextant_abi::tables::{HelperId, KFUNCS, KfuncFlags};
use sextant_abi::types::{TypeRef, find_type};
use sextant_bpf::opcode::{Alu, AtomicOp, Callee as CalleeKind, Kind, Operand};

use super::super::cfg::Cfg;
use super::super::proto::{Arg, proto};
use super::track::{Known, Offsets, Regs, Spills, Track, Value, slot_of};
use super::{Halves, Instance};
use crate::program::{FuncDesc, Program};
use crate::structure::func_target;

/// Bytes that a call reads or writes through an argument.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Bytes {
    Nothing,
    Read(u64),
    Written(u64),
    /// From there to the frame's end may be read.
    Unknown,
}

/// Whom a call enters.
pub enum Callee {
    /// Nobody.
    None,
    /// Nobody knows.
    Any,
    /// A function, with these values in r1-r5.
    Func(usize, [Value; 5]),
}

/// The functions that a function calls or names.
pub fn callees<'a>(cfg: &'a Cfg, prog: &'a Program<'_>, desc: FuncDesc) -> impl Iterator<Item = usize> + 'a {
    (desc.start..desc.end).filter_map(|pc| match cfg.kinds[pc] {
        Some(Kind::Call(CalleeKind::Local)) => func_target(pc, &prog.insns[pc]).map(|t| t as usize),
        _ => cfg.func_ref(prog, pc),
    })
}

/// Whether a call enters a function of the program.
pub fn enters(cfg: &Cfg, prog: &Program, pc: usize) -> bool {
    cfg.kinds[pc] == Some(Kind::Call(CalleeKind::Local)) || cfg.calls_back(prog, pc)
}

/// Whom the instruction enters, and with what.
pub fn callee(cfg: &Cfg, prog: &Program, pc: usize, regs: &Regs) -> Callee {
    let insn = prog.insns[pc];
    if cfg.kinds[pc] == Some(Kind::Call(CalleeKind::Local)) {
        let target = func_target(pc, &insn).unwrap_or(0) as usize;
        let given = [regs[1], regs[2], regs[3], regs[4], regs[5]];
        return Callee::Func(target, given);
    }
    if cfg.kinds[pc] != Some(Kind::Call(CalleeKind::Helper)) {
        return Callee::None;
    }
    // The register of the function, that of what it is handed, and where it finds that.
    let (func, from, to) = match HelperId::from_number(insn.imm as u32) {
        Some(HelperId::loop_ | HelperId::user_ringbuf_drain) => (2, 3, 2),
        Some(HelperId::for_each_map_elem) => (2, 3, 4),
        Some(HelperId::find_vma) => (3, 4, 3),
        _ => return Callee::None,
    };
    match regs[func].known {
        Known::Func(target) => {
            let mut given = [Value::NONE; 5];
            given[to - 1] = regs[from];
            Callee::Func(target, given)
        }
        _ if regs[from].track.is_stack() => Callee::Any,
        _ => Callee::None,
    }
}

/// What the instruction does to registers and to spilled pointers; `parent` is the stack of a caller's frame. Mirrors
/// `arg_track_xfer()`.
pub fn step<'s>(
    cfg: &Cfg,
    prog: &Program,
    pc: usize,
    depth: u8,
    regs: &mut Regs,
    spills: &mut Spills,
    parent: impl Fn(u8) -> Option<&'s Spills>,
) {
    let insn = prog.insns[pc];
    let (d, s) = (insn.dst as usize, insn.src as usize);
    let Some(kind) = cfg.kinds[pc] else { return };
    match kind {
        Kind::Alu { op, wide, operand } => {
            regs[d] = arithmetic(op, wide, operand, insn.imm, &regs[d], &regs[s])
        }
        Kind::Neg { wide: true } => {
            regs[d] = Value { track: regs[d].track.mixed(&Track::None), known: Known::Any }
        }
        Kind::Neg { .. } | Kind::End { .. } | Kind::MovSx { .. } | Kind::AddrSpaceCast => {
            regs[d] = Value::NONE
        }
        Kind::LdImm64(_) => {
            let known = match (cfg.func_ref(prog, pc), cfg.relocs[pc]) {
                (Some(func), _) => Known::Func(func),
                (None, Some(Reloc::Map(id))) => Known::Map(id),
                (None, None) => Known::Number(sextant_bpf::insn::imm64(&insn, &prog.insns[pc + 1])),
                _ => Known::Any,
            };
            regs[d] = Value { track: Track::None, known };
        }
        Kind::Load { size, signed } => {
            let whole = size.bytes() == 8 && !signed;
            regs[d] =
                Value { track: filled(&regs[s], insn.off, whole, depth, spills, parent), known: Known::Any };
        }
        Kind::LoadAcquire { .. } => regs[d] = Value::NONE,
        Kind::Store { size, operand } => {
            let stored = match (operand, size.bytes()) {
                (Operand::Reg, 8) => regs[s].track,
                _ => Track::None,
            };
            if regs[d].track.may_be_in(depth) {
                spill(&regs[d].track, insn.off, &stored, size.bytes(), spills);
            }
        }
        Kind::Atomic { op, size, fetch } => {
            if regs[d].track.may_be_in(depth) {
                spill(&regs[d].track, insn.off, &Track::None, size.bytes(), spills);
            }
            if fetch {
                regs[if op == AtomicOp::Cmpxchg { 0 } else { s }] = Value::NONE;
            }
        }
        Kind::Call(_) | Kind::LdSkb { .. } => regs[..6].fill(Value::NONE),
        _ => {}
    }
}

fn arithmetic(op: Alu, wide: bool, operand: Operand, imm: i32, dst: &Value, src: &Value) -> Value {
    let by = match operand {
        Operand::Imm => Known::Number(if wide { imm as i64 as u64 } else { u64::from(imm as u32) }),
        Operand::Reg => src.known,
    };
    let known = match (op, dst.known, by) {
        (Alu::Mov, _, Known::Number(v)) => Known::Number(if wide { v } else { u64::from(v as u32) }),
        (Alu::Mov, _, other) if wide => other,
        (Alu::Mov, ..) => Known::Any,
        (_, Known::Number(a), Known::Number(b)) => {
            let shifts = matches!(op, Alu::Lsh | Alu::Rsh | Alu::Arsh) && b >= if wide { 64 } else { 32 };
            if shifts { Known::Any } else { Known::Number(crate::range::alu::concrete(op, wide, a, b)) }
        }
        _ => Known::Any,
    };
    // Half of an address is none.
    let track = match (op, operand) {
        _ if !wide => Track::None,
        (Alu::Mov, Operand::Imm) => Track::None,
        (Alu::Mov, Operand::Reg) => src.track,
        (Alu::Add, Operand::Imm) => dst.track.moved(imm.into()),
        (Alu::Sub, Operand::Imm) => dst.track.moved(-i64::from(imm)),
        (_, Operand::Imm) => dst.track.mixed(&Track::None),
        (_, Operand::Reg) => dst.track.mixed(&src.track),
    };
    Value { track, known }
}

/// What a load brings back. Mirrors `fill_from_stack()`.
fn filled<'s>(
    base: &Value,
    off: i16,
    whole: bool,
    depth: u8,
    spills: &Spills,
    parent: impl Fn(u8) -> Option<&'s Spills>,
) -> Track {
    let any = |frame: u8| Track::Frames((2u32 << frame) - 1);
    let from = |offsets: &Offsets, frame: u8, spills: &Spills| {
        let slots = offsets.all().iter().map(|at| at.checked_add(off).and_then(slot_of));
        match offsets.all().len() {
            0 => any(frame),
            1 => {
                let slot = offsets.single().and_then(|at| at.checked_add(off)).and_then(slot_of);
                slot.map_or(any(frame), |slot| spills.get(slot))
            }
            _ => slots.fold(Track::None, |acc, slot| match slot {
                Some(slot) => acc.either(&spills.get(slot)),
                None => any(frame),
            }),
        }
    };
    match base.track {
        _ if !whole => Track::None,
        Track::None => Track::None,
        Track::Stack(frame, offsets) if frame == depth => from(&offsets, frame, spills),
        Track::Stack(frame, offsets) => {
            parent(frame).map_or(any(frame), |spills| from(&offsets, frame, spills))
        }
        Track::Frames(frames) if frames & (1 << depth) != 0 => any(depth),
        Track::Frames(frames) => Track::Frames(frames),
    }
}

/// A store into the own stack. Mirrors `spill_to_stack()` and `clear_stack_for_all_offs()`.
fn spill(to: &Track, off: i16, stored: &Track, size: u32, spills: &mut Spills) {
    let Track::Stack(_, offsets) = to else { return spills.add_everywhere(stored) };
    if offsets.all().is_empty() {
        return spills.add_everywhere(stored);
    }
    for at in offsets.all() {
        let Some(at) = at.checked_add(off) else { return spills.add_everywhere(stored) };
        let (low, high) = (i32::from(at), i32::from(at) + size as i32);
        for slot in (0..64usize).filter(|slot| {
            let start = -8 * (*slot as i32 + 1);
            start < high && start + 8 > low
        }) {
            if offsets.single().is_some() { spills.set(slot, *stored) } else { spills.add(slot, stored) }
        }
    }
}

/// Notes what the instruction reads and writes.
pub fn record(cfg: &Cfg, prog: &Program, pc: usize, regs: &Regs, instance: &mut Instance) {
    let insn = prog.insns[pc];
    let (d, s) = (insn.dst as usize, insn.src as usize);
    let moved = |n: usize| regs[n].track.moved(insn.off.into());
    match cfg.kinds[pc] {
        Some(Kind::Load { size, .. } | Kind::LoadAcquire { size }) => {
            touch(instance, pc, &moved(s), Bytes::Read(size.bytes().into()));
        }
        Some(Kind::Store { size, .. } | Kind::StoreRelease { size }) => {
            touch(instance, pc, &moved(d), Bytes::Written(size.bytes().into()));
        }
        Some(Kind::Atomic { size, .. }) => touch(instance, pc, &moved(d), Bytes::Read(size.bytes().into())),
        Some(Kind::Call(CalleeKind::Helper)) => {
            let args = HelperId::from_number(insn.imm as u32).and_then(proto).map(|p| p.args);
            for n in 1..=args.map_or(5, <[Arg]>::len) {
                let bytes = args.map_or(Bytes::Unknown, |args| helper_bytes(prog, args, n - 1, regs));
                touch(instance, pc, &regs[n].track, bytes);
            }
        }
        Some(Kind::Call(CalleeKind::Kfunc)) => {
            for (n, reg) in regs.iter().enumerate().skip(1).take(5) {
                touch(instance, pc, &reg.track, kfunc_bytes(cfg, pc, n - 1, regs));
            }
        }
        _ => {}
    }
}

fn touch(instance: &mut Instance, pc: usize, track: &Track, bytes: Bytes) {
    let (frame, offsets) = match track {
        _ if bytes == Bytes::Nothing => return,
        Track::None => return,
        Track::Stack(frame, offsets) => (*frame as usize, offsets),
        Track::Frames(frames) => {
            for frame in (0..=instance.depth).filter(|frame| frames & (1 << frame) != 0) {
                instance.marks(frame, pc).reads = Halves::MAX;
            }
            return;
        }
    };
    if frame > instance.depth {
        return;
    }
    if offsets.all().is_empty() && !matches!(bytes, Bytes::Written(_)) {
        instance.marks(frame, pc).reads = Halves::MAX;
    }
    for at in offsets.all().iter().map(|at| i64::from(*at)).filter(|at| *at < 0) {
        match bytes {
            Bytes::Nothing => {}
            Bytes::Unknown => instance.marks(frame, pc).reads |= halves(0, (-at - 1) / 4),
            Bytes::Read(size) => {
                let last = (-at - (size.min(512) as i64)).max(0) / 4;
                instance.marks(frame, pc).reads |= halves(last, (-at - 1) / 4);
            }
            // What is written whole is no longer what it was.
            Bytes::Written(size) if offsets.single().is_some() => {
                let (low, high) = ((-at - (size.min(512) as i64) + 3).max(0) / 4, -at / 4 - 1);
                if low <= high {
                    instance.marks(frame, pc).writes |= halves(low, high);
                }
            }
            Bytes::Written(_) => {}
        }
    }
}

/// Halves `low..=high`.
fn halves(low: i64, high: i64) -> Halves {
    let (low, high) = (low.clamp(0, 127) as u32, high.clamp(0, 127) as u32);
    (Halves::MAX >> (127 - high)) & (Halves::MAX << low)
}

/// Mirrors `bpf_helper_stack_access_bytes()`.
fn helper_bytes(prog: &Program, args: &[Arg], i: usize, regs: &Regs) -> Bytes {
    let map = args[..i].iter().position(|a| *a == Arg::Map).map(|at| regs[at + 1].known);
    let of_map = |size: fn(&crate::program::MapDesc<'_>) -> u32| {
        let known = prog.maps.iter().find(|m| map == Some(Known::Map(m.id))).map(size);
        let largest = || {
            let all = prog.maps.iter().chain(prog.maps.iter().filter_map(|m| m.inner.as_deref()));
            all.map(size).max().filter(|size| *size > 0)
        };
        known.or_else(largest).map(u64::from)
    };
    let size = match regs.get(i + 2).map(|r| r.known) {
        Some(Known::Number(size)) => Some(u64::from(size as u32)),
        _ => None,
    };
    match args[i] {
        Arg::Key => of_map(|m| m.key_size).map_or(Bytes::Unknown, Bytes::Read),
        Arg::Value => of_map(|m| m.value_size).map_or(Bytes::Unknown, Bytes::Read),
        Arg::OutValue => of_map(|m| m.value_size).map_or(Bytes::Unknown, Bytes::Written),
        Arg::In | Arg::InZ | Arg::InZN | Arg::InOut => Bytes::Read(size.unwrap_or(512)),
        Arg::Out | Arg::OutZ | Arg::OutZN => size.map_or(Bytes::Nothing, Bytes::Written),
        Arg::OutFixed(size) => Bytes::Written(size.into()),
        Arg::InOutFixed(size) => Bytes::Read(size.into()),
        Arg::Dynptr => Bytes::Read(16),
        Arg::CbCtx | Arg::Func | Arg::Num | Arg::Size | Arg::Const | Arg::Map => Bytes::Nothing,
        _ => Bytes::Unknown,
    }
}

/// Mirrors `bpf_kfunc_stack_access_bytes()`.
fn kfunc_bytes(cfg: &Cfg, pc: usize, i: usize, regs: &Regs) -> Bytes {
    let Some(kfunc) = (match cfg.relocs[pc] {
        Some(Reloc::Kfunc(index)) => KFUNCS.get(index as usize),
        _ => None,
    }) else {
        return Bytes::Unknown;
    };
    let Some(param) = kfunc.proto.params.get(i) else { return Bytes::Nothing };
    let TypeRef::Ptr(to) = param.ty.strip() else { return Bytes::Nothing };
    let sized =
        kfunc.proto.params.get(i + 1).is_some_and(|p| p.name.ends_with("__sz") || p.name.ends_with("__szk"));
    let size = match to.strip() {
        TypeRef::Struct("bpf_dynptr") => Some(16),
        _ if sized => match regs.get(i + 2).map(|r| r.known) {
            Some(Known::Number(size)) => Some(u64::from(size as u32)),
            _ => return Bytes::Read(512),
        },
        TypeRef::Struct(name) => find_type(name).map(|d| u64::from(d.size)),
        TypeRef::Int(_, size, _) => Some(u64::from(size)),
        TypeRef::Ptr(_) => Some(8),
        _ => None,
    };
    let Some(size) = size else { return Bytes::Unknown };
    let makes = i == 0 && kfunc.flags.contains(KfuncFlags::ITER_NEW);
    if makes || param.name.ends_with("__uninit") { Bytes::Written(size) } else { Bytes::Read(size) }
}

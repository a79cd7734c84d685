//! From decoded ops to a back end's calls: blocks, counting, and the cold parts behind the hot ones.

use sextant_bpf::opcode::{Alu, AtomicOp, Cond};

use super::code::{Backend, Label, Place, Runtime, Src};
use crate::decode::{Code, Op, Prog, func_at, with_rows};
use crate::exec::FRAME;

/// A program's machine code.
pub(crate) struct Assembled {
    /// Entry code at offset 0.
    pub(crate) bytes: Vec<u8>,
    /// Per slot where its block begins, or [`NO_ENTRY`].
    pub(crate) entries: Vec<u32>,
}

/// The slot begins no block.
pub(crate) const NO_ENTRY: u32 = u32::MAX;

/// What an op is, with the codes of a row put together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shape {
    Alu(Alu, bool, bool),
    Jump(Cond, bool, bool),
    /// Size, sign-extending, probing.
    Load(u32, bool, bool),
    /// Size, from a register.
    Store(u32, bool),
    /// The code says it.
    Other,
}

macro_rules! define_shape {
    ({}
        alu { $($alu:ident $ak:ident $ax:ident $ak32:ident $ax32:ident;)* }
        jump { $($cond:ident $jk:ident $jx:ident $jk32:ident $jx32:ident;)* }
        load { $(($lsize:literal, $signed:literal, $probe:literal) $load:ident;)* }
        store { $($size:literal $sk:ident $sx:ident;)* }
    ) => {
        pub(super) fn shape(code: Code) -> Shape {
            match code {
                $(
                    Code::$ak => Shape::Alu(Alu::$alu, true, false),
                    Code::$ax => Shape::Alu(Alu::$alu, true, true),
                    Code::$ak32 => Shape::Alu(Alu::$alu, false, false),
                    Code::$ax32 => Shape::Alu(Alu::$alu, false, true),
                )*
                $(
                    Code::$jk => Shape::Jump(Cond::$cond, true, false),
                    Code::$jx => Shape::Jump(Cond::$cond, true, true),
                    Code::$jk32 => Shape::Jump(Cond::$cond, false, false),
                    Code::$jx32 => Shape::Jump(Cond::$cond, false, true),
                )*
                $(Code::$load => Shape::Load($lsize, $signed, $probe),)*
                $(Code::$sk => Shape::Store($size, false), Code::$sx => Shape::Store($size, true),)*
                _ => Shape::Other,
            }
        }
    };
}
with_rows!(define_shape! {});

/// How an op ends its block.
enum End {
    /// Not.
    No,
    /// The block ends, the next slot follows.
    Falls,
    /// Nothing follows.
    Stops,
}

fn end(op: &Op) -> End {
    match (shape(op.code), op.code) {
        (Shape::Jump(..), _) => End::Falls,
        (
            Shape::Other,
            Code::MayGoto | Code::CallHelper | Code::CallKfunc | Code::CallCore | Code::CallLocal,
        ) => End::Falls,
        (Shape::Other, code) if !is_native(code) => End::Stops,
        (Shape::Other, Code::Ja | Code::Exit) => End::Stops,
        _ => End::No,
    }
}

/// Whether there is code for it; all other ops leave for the interpreter.
fn is_native(code: Code) -> bool {
    matches!(
        code,
        Code::LdImm64
            | Code::Neg
            | Code::Neg32
            | Code::MovSx
            | Code::MovSx32
            | Code::CastKern
            | Code::CastUser
            | Code::End
            | Code::Atomic
            | Code::Ja
            | Code::MayGoto
            | Code::CallHelper
            | Code::CallKfunc
            | Code::CallCore
            | Code::CallLocal
            | Code::Exit
    )
}

/// Slots that an op leads to beside the next one.
fn target(op: &Op) -> Option<usize> {
    match (shape(op.code), op.code) {
        (Shape::Jump(..), _) | (_, Code::Ja | Code::MayGoto | Code::CallLocal) => Some(op.off as usize),
        _ => None,
    }
}

/// The slot behind an op.
fn next(at: usize, op: &Op) -> usize {
    at + 1 + usize::from(op.code == Code::LdImm64)
}

/// Slots where blocks begin: entries, targets, and what follows the end of a block.
fn leaders(prog: &Prog) -> Vec<bool> {
    let mut leaders = vec![false; prog.ops.len()];
    let mut todo = vec![0];
    for op in &prog.ops {
        if let (Code::LdImm64, Some((id, slot))) = (op.code, func_at(op.imm))
            && id == prog.id
            && (slot as usize) < prog.ops.len()
        {
            todo.push(slot as usize);
        }
    }
    while !todo.is_empty() {
        mark(prog, &mut leaders, todo);
        // A jump between the slots of a ld_imm64: the code behind both has to be found by a label. Where the ld_imm64 itself is
        // never reached nothing else has looked at that code.
        let split = |at: &usize| prog.ops[*at].code == Code::LdImm64 && leaders[*at + 1] && !leaders[*at + 2];
        todo = (0..prog.ops.len()).filter(split).map(|at| at + 2).collect();
    }
    leaders
}

/// Marks the blocks in `todo` and all that they lead to.
fn mark(prog: &Prog, leaders: &mut [bool], mut todo: Vec<usize>) {
    while let Some(leader) = todo.pop() {
        if std::mem::replace(&mut leaders[leader], true) {
            continue;
        }
        let mut at = leader;
        loop {
            let op = &prog.ops[at];
            todo.extend(target(op));
            match end(op) {
                End::No => at = next(at, op),
                End::Falls => {
                    todo.push(next(at, op));
                    break;
                }
                End::Stops => break,
            }
            if leaders[at] {
                break;
            }
        }
    }
}

/// Code that is seldom run.
enum Cold {
    /// Leaves at `pc`, giving back.
    Leave { label: Label, pc: usize, insns: u32 },
    /// An access that the wall's table does not let pass.
    Slow { label: Label, back: Label, pc: usize, insns: u32 },
}

struct Lowering<'a, B> {
    prog: &'a Prog,
    back: B,
    blocks: Vec<Option<Label>>,
    cold: Vec<Cold>,
    frames: bool,
}

/// Compiles a program.
pub(crate) fn lower<B: Backend>(prog: &Prog, runtime: &Runtime) -> Assembled {
    let mut back = B::new(runtime);
    let leaders = leaders(prog);
    let blocks: Vec<_> = leaders.iter().map(|&leader| leader.then(|| back.code().label())).collect();
    let frames = prog.ops.iter().any(|op| op.code == Code::CallLocal);
    let mut lowering = Lowering { prog, back, blocks, cold: Vec::new(), frames };
    for at in (0..leaders.len()).filter(|&at| leaders[at]) {
        lowering.block(at);
    }
    lowering.cold();
    let entries = lowering.blocks.iter().map(|block| match block {
        Some(label) => lowering.back.code().place(*label) as u32,
        None => NO_ENTRY,
    });
    let entries = entries.collect();
    Assembled { bytes: lowering.back.finish(), entries }
}

impl<B: Backend> Lowering<'_, B> {
    fn label(&mut self) -> Label {
        self.back.code().label()
    }

    fn block_label(&self, at: usize) -> Label {
        self.blocks[at].expect("targets begin blocks")
    }

    /// The slots of the block that begins at a leader, and the slot it falls through to.
    fn extent(&self, leader: usize) -> (Vec<usize>, Option<usize>) {
        let mut slots = vec![];
        let mut at = leader;
        loop {
            let op = &self.prog.ops[at];
            slots.push(at);
            at = next(at, op);
            match end(op) {
                End::Stops => return (slots, None),
                End::Falls => return (slots, Some(at)),
                End::No if self.blocks[at].is_some() => return (slots, Some(at)),
                End::No => {}
            }
        }
    }

    fn block(&mut self, leader: usize) {
        let label = self.block_label(leader);
        let (slots, falls) = self.extent(leader);
        self.back.code().bind(label);
        let len = slots.len() as u32;
        let empty = self.leave_label(leader, len);
        self.back.charge(len, empty);
        for (index, &at) in slots.iter().enumerate() {
            self.op(at, len - index as u32);
        }
        if let Some(falls) = falls {
            // Blocks come in the order of their slots.
            let following = (leader + 1..self.blocks.len()).find(|&at| self.blocks[at].is_some());
            if following != Some(falls) {
                let to = self.block_label(falls);
                self.back.jump(to);
            }
        }
    }

    /// A cold place that leaves at a slot, giving back.
    fn leave_label(&mut self, pc: usize, insns: u32) -> Label {
        let label = self.label();
        self.cold.push(Cold::Leave { label, pc, insns });
        label
    }

    /// One op; `left` instructions of the block, this one included, are not executed yet.
    fn op(&mut self, at: usize, left: u32) {
        let op = self.prog.ops[at];
        let src = |reg: bool| if reg { Src::Reg(op.src) } else { Src::Imm(op.imm) };
        match shape(op.code) {
            Shape::Alu(alu, wide, reg) => self.back.alu(alu, wide, op.dst, src(reg)),
            Shape::Jump(cond, wide, reg) => {
                let to = self.block_label(op.off as usize);
                self.back.branch(cond, wide, op.dst, src(reg), to);
            }
            Shape::Load(_, signed, _) => {
                let place = access(&op).place;
                self.wall(at, left, |back| back.load(op.dst, place, signed));
            }
            Shape::Store(_, reg) => {
                let place = access(&op).place;
                self.wall(at, left, |back| back.store(place, src(reg)));
            }
            Shape::Other => self.other(at, &op, left),
        }
    }

    fn other(&mut self, at: usize, op: &Op, left: u32) {
        match op.code {
            Code::LdImm64 => self.back.imm64(op.dst, op.imm),
            Code::Neg | Code::Neg32 => self.back.neg(op.code == Code::Neg, op.dst),
            Code::MovSx | Code::MovSx32 => {
                self.back.sign_extend(op.imm as u32, op.code == Code::MovSx, op.dst, op.src);
            }
            Code::CastKern | Code::CastUser => self.back.cast(op.imm, op.dst, op.src),
            Code::End => self.back.byte_order(op.imm, op.dst),
            Code::Atomic => {
                let place = access(op).place;
                let kind = atomic_op(op.imm);
                self.wall(at, left, |back| back.atomic(kind, op.imm & 0x10 != 0, place, op.src));
            }
            Code::Ja => {
                let to = self.block_label(op.off as usize);
                self.back.jump(to);
            }
            Code::MayGoto => {
                let to = self.block_label(op.off as usize);
                self.back.may_goto(to);
            }
            Code::CallHelper | Code::CallKfunc | Code::CallCore => self.back.call_out(at as u32),
            Code::CallLocal => {
                let to = self.block_label(op.off as usize);
                let deep = self.leave_label(at, left);
                self.back.call_local(at as u32 + 1, to, deep);
            }
            Code::Exit => self.back.exit(self.frames),
            _ => self.back.leave(at as u32, left),
        }
    }

    /// An access behind the wall check. A program's own frame always passes it: it is never given back.
    fn wall(&mut self, pc: usize, insns: u32, hot: impl FnOnce(&mut B)) {
        let access = access(&self.prog.ops[pc]);
        let Place { base, off, size } = access.place;
        if base == 10 && off >= -(FRAME as i32) && off + size as i32 <= 0 {
            return hot(&mut self.back);
        }
        let (label, back) = (self.label(), self.label());
        self.back.wall(access.place, access.write, label);
        hot(&mut self.back);
        self.back.code().bind(back);
        self.cold.push(Cold::Slow { label, back, pc, insns });
    }

    fn cold(&mut self) {
        while let Some(cold) = self.cold.pop() {
            match cold {
                Cold::Leave { label, pc, insns } => {
                    self.back.code().bind(label);
                    self.back.leave(pc as u32, insns);
                }
                Cold::Slow { label, back, pc, insns } => {
                    self.back.code().bind(label);
                    let access = access(&self.prog.ops[pc]);
                    let fail = self.leave_label(pc, insns);
                    self.back.slow(pc as u32, access.place, access.val, access.dst, fail);
                    self.back.jump(back);
                }
            }
        }
    }
}

/// How an op accesses memory.
struct AccessOf {
    place: Place,
    write: bool,
    val: Option<Src>,
    dst: Option<u8>,
}

fn access(op: &Op) -> AccessOf {
    let of = |base, size| Place { base, off: op.off, size };
    match shape(op.code) {
        Shape::Load(size, ..) => {
            AccessOf { place: of(op.src, size), write: false, val: None, dst: Some(op.dst) }
        }
        Shape::Store(size, reg) => {
            let val = Some(if reg { Src::Reg(op.src) } else { Src::Imm(op.imm) });
            AccessOf { place: of(op.dst, size), write: true, val, dst: None }
        }
        _ => {
            let dst = match (atomic_op(op.imm), op.imm & 0x10 != 0) {
                (AtomicOp::Cmpxchg, _) => Some(0),
                (_, true) => Some(op.src),
                (_, false) => None,
            };
            let val = Some(Src::Reg(op.src));
            AccessOf { place: of(op.dst, (op.imm & 15) as u32), write: true, val, dst }
        }
    }
}

/// Whether an atomic op is a compare and exchange, which gives the old value in r0.
pub(super) fn is_cmpxchg(op: &Op) -> bool {
    atomic_op(op.imm) == AtomicOp::Cmpxchg
}

/// The operation in a number of `decode::atomic_code`.
fn atomic_op(imm: u64) -> AtomicOp {
    const OPS: [AtomicOp; 6] =
        [AtomicOp::Add, AtomicOp::Or, AtomicOp::And, AtomicOp::Xor, AtomicOp::Xchg, AtomicOp::Cmpxchg];
    OPS.into_iter().find(|&op| op as u64 == imm >> 8).expect("a code made by `atomic_code`")
}

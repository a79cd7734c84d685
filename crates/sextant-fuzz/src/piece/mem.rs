//! Accesses: in map values, on the stack, in the task; at fixed places and at indices bounded in every way that compilers bound.

use sextant_abi::tables::KfuncId;
use sextant_abi::types::{SignalStruct, TaskStruct};
use sextant_bpf::opcode::{Alu, AtomicOp, Cond, Size};

use super::{Gen, INDEX, SPILL};
use crate::asm::{Label, Note, Src};
use crate::world::Of;

const ATOMICS: [AtomicOp; 6] =
    [AtomicOp::Add, AtomicOp::Or, AtomicOp::And, AtomicOp::Xor, AtomicOp::Xchg, AtomicOp::Cmpxchg];

/// What of some memory programs may access.
#[derive(Clone, Copy)]
pub(super) struct Span {
    /// First byte, from the register.
    pub(super) from: i32,
    /// Bytes.
    pub(super) len: i32,
    pub(super) writable: bool,
    /// Only at multiples of the size: the stack.
    pub(super) aligned: bool,
}

impl Span {
    /// That programs may write, at any offset.
    pub(super) const fn of(from: i32, len: i32) -> Span {
        Span { from, len, writable: true, aligned: false }
    }
}

impl Gen<'_> {
    pub(super) fn memory(&mut self) {
        match self.rng.below(10) {
            0..=3 => {
                let (of, writable) =
                    self.rng.of(&[(Of::Bss, true), (Of::Bss, true), (Of::Bss, true), (Of::Rodata, false)]);
                let start = if self.rng.below(3) == 0 { self.rng.below(of.value() as u64) as i32 } else { 0 };
                self.value_addr(2, of, start as u32);
                let span = Span { writable, ..Span::of(-start, of.value()) };
                (0..1 + self.rng.below(2)).for_each(|_| self.access(2, span));
            }
            4..=7 => self.stack(),
            _ if self.here.main => self.task(),
            _ => self.stack(),
        }
    }

    /// Fixed slots: spills of numbers and parts of them; and bytes at an index.
    fn stack(&mut self) {
        match self.rng.below(5) {
            0 | 1 => {
                let at = -8 * (2 + self.rng.below(7) as i16);
                let size = self.size();
                let inside = (self.rng.below(8) as i16) & -(size.bytes() as i16);
                self.put(at + inside, size);
                let (size, signed, x) = (self.size(), self.rng.below(4) == 0, self.num());
                let inside = (self.rng.below(8) as i16) & -(size.bytes() as i16);
                self.asm.load(size, signed, x, 10, at + inside);
            }
            2 => {
                // A number is spilled, bounded, and filled again.
                let (x, y) = (self.num(), self.num());
                let at = -8 * (2 + self.rng.below(7) as i16);
                let size = self.rng.of(&[Size::Dw, Size::Dw, Size::W]);
                self.asm.store(size, 10, at, Src::Reg(x));
                self.early_out();
                self.asm.load(size, false, y, 10, at);
                self.probe();
            }
            _ => {
                self.asm.fp(2, INDEX.into());
                self.access(2, Span { aligned: true, ..Span::of(0, 64) });
            }
        }
    }

    /// One access of memory that `ptr` (r2..r5, or r0) points to.
    pub(super) fn access(&mut self, ptr: u8, span: Span) {
        let size = self.size();
        let bytes = size.bytes() as i32;
        // A slip goes over the end by a little, or starts before the beginning.
        let over = if self.slip() { 1 + self.rng.below(bytes as u64) as i32 } else { 0 };
        if self.rng.below(5) < 2 && span.len > 16 {
            return self.indexed(ptr, span, size, over);
        }
        let room = span.len - bytes + over;
        let off = match self.rng.below(3) {
            _ if over > 0 => room,
            0 => room,
            1 => 0,
            _ => self.rng.below(room as u64 + 1) as i32,
        };
        let off = if over > 0 && self.rng.below(3) == 0 { -over } else { off };
        // Atomics want multiples of their size, and so does the stack.
        let aligned = over == 0 && (span.aligned || self.rng.coin());
        let off = if aligned { off & -bytes } else { off };
        self.touch(ptr, span.from + off, size, span.writable, aligned);
    }

    /// Load, store or atomic.
    fn touch(&mut self, ptr: u8, off: i32, size: Size, writable: bool, aligned: bool) {
        let (x, signed, off16) = (self.num(), self.rng.below(4) == 0, off as i16);
        match self.rng.below(if !writable {
            3
        } else if aligned {
            24
        } else {
            6
        }) {
            0..=2 => self.asm.load(size, signed, x, ptr, off16),
            3 | 4 => self.asm.store(size, ptr, off16, Src::Reg(x)),
            5 => {
                let imm = self.rng.imm();
                self.asm.store(size, ptr, off16, Src::Imm(imm));
            }
            _ if !aligned => self.asm.load(size, signed, x, ptr, off16),
            6 => self.asm.acquire(size, x, ptr, off16),
            7 => self.asm.release(size, ptr, off16, x),
            _ => {
                if size.bytes() < 4 {
                    return self.asm.release(size, ptr, off16, x);
                }
                let op = self.rng.of(&ATOMICS);
                if op == AtomicOp::Cmpxchg {
                    if ptr == 0 {
                        return self.asm.load(size, false, x, ptr, off16);
                    }
                    let y = self.num();
                    self.asm.mov(0, y);
                    if self.rng.coin() {
                        self.asm.load(size, false, 0, ptr, off16);
                    }
                }
                let fetch = self.rng.coin();
                self.asm.atomic(op, size, fetch, ptr, off16, x);
            }
        }
    }

    /// At an index: `over` bytes too far where a bound is one too high.
    fn indexed(&mut self, ptr: u8, span: Span, size: Size, over: i32) {
        let bytes = size.bytes() as i32;
        let room = span.len - bytes;
        let skip = self.asm.label();
        let idx = if ptr == 3 { 4 } else { 3 };
        let (low, high) = self.bounded(idx, room, skip);
        // The highest index lies at the end, the lowest at the beginning, or anywhere between.
        let slack = room - (high - low);
        let off = match self.rng.below(3) {
            0 => slack,
            1 => 0,
            _ => self.rng.below(slack as u64 + 1) as i32,
        };
        let off = if over > 0 { slack + over } else { off };
        let aligned = over == 0 && low == 0 && (span.aligned || self.rng.below(3) == 0);
        let off = if aligned { off & -bytes } else { off };
        if aligned {
            self.asm.alu(Alu::And, true, idx, Src::Imm(-bytes));
        }
        self.asm.mov(1, ptr);
        self.asm.alu(Alu::Add, true, 1, Src::Reg(idx));
        self.touch(1, span.from + off - low, size, span.writable, aligned);
        self.asm.bind(skip);
    }

    /// `idx` = a number of which bounds are known here: they are returned, `high - low <= room`. Jumps to `skip` without touching
    /// memory where it is out of them.
    fn bounded(&mut self, idx: u8, room: i32, skip: Label) -> (i32, i32) {
        let x = self.num();
        let mask = (1 << (room + 1).ilog2()) - 1;
        let high = if self.rng.coin() { room } else { self.rng.below(room as u64 + 1) as i32 };
        self.asm.mov(idx, x);
        match self.rng.below(14) {
            0 | 1 => {
                let (mask, wide) = (self.rng.of(&[mask, mask >> 1]), self.rng.coin());
                self.asm.alu(Alu::And, wide, idx, Src::Imm(mask));
                (0, mask)
            }
            2 => {
                self.asm.jump(Cond::Gt, true, idx, Src::Imm(high), skip);
                (0, high)
            }
            3 => {
                self.asm.jump(Cond::Ge, true, idx, Src::Imm(high + 1), skip);
                (0, high)
            }
            4 => {
                // Signed, both sides, in either order.
                let low = -(self.rng.below(9) as i32);
                let high = (high + low).max(0);
                let half = self.slip();
                if self.rng.coin() {
                    self.asm.jump(Cond::Sgt, true, idx, Src::Imm(high), skip);
                    if !half {
                        self.asm.jump(Cond::Slt, true, idx, Src::Imm(low), skip);
                    }
                } else {
                    self.asm.jump(Cond::Slt, true, idx, Src::Imm(low), skip);
                    if !half {
                        self.asm.jump(Cond::Sgt, true, idx, Src::Imm(high), skip);
                    }
                }
                (low, high)
            }
            5 => {
                self.asm.alu(Alu::Mod, true, idx, Src::Imm(high + 1));
                (0, high)
            }
            6 => {
                self.asm.alu(Alu::Mov, false, idx, Src::Reg(x));
                self.asm.jump(Cond::Gt, false, idx, Src::Imm(high), skip);
                (0, high)
            }
            7 => {
                let keep = mask.count_ones() as i32;
                let (wide, bits) = self.rng.of(&[(true, 64), (false, 32)]);
                self.asm.alu(Alu::Rsh, wide, idx, Src::Imm(bits - keep));
                (0, mask)
            }
            8 => {
                // The other copy is checked.
                self.asm.jump(Cond::Gt, true, x, Src::Imm(high), skip);
                (0, high)
            }
            9 => {
                // Checked while it lies on the stack.
                self.asm.store(Size::Dw, 10, SPILL, Src::Reg(idx));
                self.asm.jump(Cond::Gt, true, idx, Src::Imm(high), skip);
                self.asm.ldx(idx, 10, SPILL);
                (0, high)
            }
            10 => {
                let (step, mask) = (1 + self.rng.below(4) as i32, mask >> 3);
                self.asm.alu(Alu::And, true, idx, Src::Imm(mask));
                self.asm.alu(Alu::Mul, true, idx, Src::Imm(step));
                (0, mask * step)
            }
            11 => {
                let (down, mask) = (self.rng.below(16) as i32, mask >> 1);
                self.asm.alu(Alu::And, true, idx, Src::Imm(mask));
                self.asm.alu(Alu::Sub, true, idx, Src::Imm(down));
                (-down, mask - down)
            }
            12 => {
                // A register bounds it.
                self.asm.imm(5, high);
                self.asm.jump(Cond::Gt, true, idx, Src::Reg(5), skip);
                (0, high)
            }
            _ => {
                // Sign-extended, and shifted down again.
                let keep = (mask >> 1).count_ones() as i32;
                let bits = self.rng.of(&[8, 16, 32]);
                let shift = (i32::from(bits) - 1 - keep).max(0);
                self.asm.movsx(bits, true, idx, x);
                self.asm.alu(Alu::Arsh, true, idx, Src::Imm(shift));
                let width = i32::from(bits) - 1 - shift;
                let low = -(1 << width);
                if -low + (1 << width) - 1 > room {
                    self.asm.alu(Alu::And, true, idx, Src::Imm(mask));
                    return (0, mask);
                }
                (low, (1 << width) - 1)
            }
        }
    }

    /// The task's fields, or the context's bytes.
    fn task(&mut self) {
        if self.syscall {
            let size = self.size();
            let off = (self.rng.below(64) as i32) & -(size.bytes() as i32);
            self.asm.mov(2, 9);
            let x = self.num();
            match self.rng.coin() {
                true => self.asm.load(size, false, x, 2, off as i16),
                false => self.asm.store(size, 2, off as i16, Src::Reg(x)),
            }
            return;
        }
        let scx = TaskStruct::at(0).scx();
        let x = self.num();
        match self.rng.below(6) {
            0 => {
                self.asm.note(Note::Field("task_struct.scx.slice"));
                self.asm.store(Size::Dw, 9, scx.slice().addr() as i16, Src::Reg(x));
            }
            1 => {
                self.asm.note(Note::Field("task_struct.scx.dsq_vtime"));
                self.asm.store(Size::Dw, 9, scx.dsq_vtime().addr() as i16, Src::Reg(x));
            }
            2 if self.slip() => {
                self.asm.note(Note::Field("task_struct.scx.weight"));
                self.asm.store(Size::W, 9, scx.weight().addr() as i16, Src::Reg(x));
            }
            3 if self.here.calls => {
                // A pointer in the task, which may be NULL or lead nowhere.
                let (member, whole, field) = self.rng.of(&[
                    ("group_leader", "task_struct.group_leader", "task_struct.pid"),
                    ("real_parent", "task_struct.real_parent", "task_struct.pid"),
                    ("parent", "task_struct.parent", "task_struct.pid"),
                    ("mm", "task_struct.mm", "mm_struct.def_flags"),
                    ("signal", "task_struct.signal", "signal_struct.nr_threads"),
                ]);
                let rcu = self.rng.coin();
                if rcu {
                    self.kfunc(KfuncId::bpf_rcu_read_lock);
                }
                self.asm.note(Note::Field(whole));
                self.asm.ldx(2, 9, TaskStruct::offset_of(member) as i16);
                let skip = self.unless_null(2);
                let at = match member {
                    "signal" => SignalStruct::offset_of("nr_threads"),
                    _ => TaskStruct::offset_of("pid"),
                };
                let (size, signed) =
                    if member == "mm" { (self.size(), self.rng.coin()) } else { (Size::W, false) };
                self.asm.note(Note::Field(field));
                self.asm.load(size, signed, x, 2, at as i16);
                self.asm.bind(skip);
                if rcu {
                    self.kfunc(KfuncId::bpf_rcu_read_unlock);
                }
            }
            _ => {
                let (name, whole) = self.rng.of(&[
                    ("pid", "task_struct.pid"),
                    ("tgid", "task_struct.tgid"),
                    ("flags", "task_struct.flags"),
                ]);
                let off = TaskStruct::offset_of(name);
                let signed = self.rng.coin();
                self.asm.note(Note::Field(whole));
                self.asm.load(Size::W, signed, x, 9, off as i16);
            }
        }
    }
}

//! What the back ends share: bytes with labels, and the trait the lowering speaks.

use sextant_bpf::opcode::{Alu, AtomicOp, Cond};

/// A place in the code, bound once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Label(u32);

/// A field that a label's place goes into.
pub(crate) struct Fixup {
    /// Offset of the field (x86-64) or of the instruction (aarch64).
    pub(crate) at: usize,
    label: Label,
}

/// Code under construction.
#[derive(Default)]
pub(crate) struct Code {
    pub(crate) bytes: Vec<u8>,
    labels: Vec<Option<usize>>,
    fixups: Vec<Fixup>,
}

impl Code {
    pub(crate) fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() as u32 - 1)
    }

    pub(crate) fn bind(&mut self, label: Label) {
        let place = &mut self.labels[label.0 as usize];
        assert!(place.is_none(), "a label is bound once");
        *place = Some(self.bytes.len());
    }

    /// Where a bound label is.
    pub(crate) fn place(&self, label: Label) -> usize {
        self.labels[label.0 as usize].expect("every label that is used is bound")
    }

    pub(crate) fn fixup(&mut self, at: usize, label: Label) {
        self.fixups.push(Fixup { at, label });
    }

    /// Fills in all fields by `patch(bytes, fixup, target)`.
    pub(crate) fn resolve(mut self, patch: impl Fn(&mut [u8], &Fixup, usize)) -> Vec<u8> {
        for fixup in std::mem::take(&mut self.fixups) {
            let target = self.place(fixup.label);
            patch(&mut self.bytes, &fixup, target);
        }
        self.bytes
    }
}

/// Addresses and offsets that compiled code uses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Runtime {
    /// `run::call_out`
    pub(crate) call_out: u64,
    /// `run::slow_access`
    pub(crate) slow_access: u64,
}

/// Second operand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Src {
    /// A BPF register.
    Reg(u8),
    /// A value; arithmetic on 64 bits and jumps sign-extend 32 bits.
    Imm(u64),
}

/// A place in memory as an instruction names it: register and offset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub(crate) base: u8,
    pub(crate) off: i32,
    /// 1, 2, 4 or 8.
    pub(crate) size: u32,
}

/// A machine. Registers are BPF's (0..=10); what a method may clobber beside its result is the machine's own scratch.
pub(crate) trait Backend {
    /// Starts a program: entry code at offset 0 ([`super::memory::Entry`]) and what its parts share.
    fn new(runtime: &Runtime) -> Self;
    fn code(&mut self) -> &mut Code;
    /// Resolves all labels.
    fn finish(self) -> Vec<u8>;

    /// Counts a block of `insns`; goes to `empty`, having counted all the same, when fewer are left.
    fn charge(&mut self, insns: u32, empty: Label);
    /// Leaves for the interpreter at `pc`, giving back `insns` of the block.
    fn leave(&mut self, pc: u32, insns: u32);

    fn alu(&mut self, op: Alu, wide: bool, dst: u8, src: Src);
    fn neg(&mut self, wide: bool, dst: u8);
    fn sign_extend(&mut self, bits: u32, wide: bool, dst: u8, src: u8);
    /// `imm` as `decode::end_code` makes it.
    fn byte_order(&mut self, imm: u64, dst: u8);
    /// `dst = low half of src | high`, 0 when the low half is 0.
    fn cast(&mut self, high: u64, dst: u8, src: u8);
    fn imm64(&mut self, dst: u8, val: u64);

    /// Goes to `slow` unless the wall's table lets the access pass.
    fn wall(&mut self, at: Place, write: bool, slow: Label);
    /// A load that has passed the wall.
    fn load(&mut self, dst: u8, at: Place, signed: bool);
    /// A store that has passed.
    fn store(&mut self, at: Place, src: Src);
    /// An atomic that has passed.
    fn atomic(&mut self, op: AtomicOp, fetch: bool, at: Place, src: u8);
    /// The access of instruction `pc` by `run::slow_access`, with the value `val` and the result in `dst`; goes to `fail` when
    /// it faults.
    fn slow(&mut self, pc: u32, at: Place, val: Option<Src>, dst: Option<u8>, fail: Label);

    fn jump(&mut self, to: Label);
    fn branch(&mut self, cond: Cond, wide: bool, dst: u8, src: Src, to: Label);
    /// Goes to `to` when the run's `may_goto`s are used up.
    fn may_goto(&mut self, to: Label);
    /// Helper or kfunc of instruction `pc`.
    fn call_out(&mut self, pc: u32);
    /// Calls a function in a new frame that returns to instruction `ret`; goes to `deep` when there is no frame left.
    fn call_local(&mut self, ret: u32, to: Label, deep: Label);
    /// Returns from a function; `frames`: the program has calls.
    fn exit(&mut self, frames: bool);
}

//! Functions under construction: instructions by what they do, jumps by label, calls by function; and the program they make.

use sextant_abi::image::{Insn, Reloc};
use sextant_abi::tables::{HelperId, KfuncId};
use sextant_bpf::insn::*;
use sextant_bpf::opcode::{Alu, AtomicOp, Cond, Kind, Operand, Order, Size, TABLE};

/// A place in a function that jumps lead to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Label(usize);

/// A function of the program, by number; 0 is the program itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FuncId(pub usize);

/// Second operand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Src {
    /// A register.
    Reg(u8),
    /// A number.
    Imm(i32),
}

/// What an instruction stands for in the count of what was executed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Note {
    /// Uses a map of this type.
    Map(u32),
    /// The first instruction of a callback.
    Form(Form),
    /// The first instruction of a theme.
    Theme(Theme),
    /// Accesses a field of a kernel type, `type.path`, whose place is another one in a real kernel.
    Field(&'static str),
}

/// Ways in which a function of the program is called back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[allow(missing_docs)]
pub enum Form {
    Loop,
    ForEach,
    Timer,
    Wq,
    Drain,
    Less,
}

impl Form {
    /// All.
    pub const ALL: [Form; 6] = [Form::Loop, Form::ForEach, Form::Timer, Form::Wq, Form::Drain, Form::Less];
}

/// Kinds of programs on which verifiers disagreed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[allow(missing_docs)]
pub enum Theme {
    DynptrClone,
    OddKey,
    ArenaArgument,
    CallbackSetsCallback,
    GlobalArgument,
    ObjectOffset,
    UnknownRight,
    NegativeBase,
    SpillLoop,
    Format,
    Sections,
    ResLocks,
}

impl Theme {
    /// All.
    pub const ALL: [Theme; 12] = [
        Theme::DynptrClone,
        Theme::OddKey,
        Theme::ArenaArgument,
        Theme::CallbackSetsCallback,
        Theme::GlobalArgument,
        Theme::ObjectOffset,
        Theme::UnknownRight,
        Theme::NegativeBase,
        Theme::SpillLoop,
        Theme::Format,
        Theme::Sections,
        Theme::ResLocks,
    ];
}

/// What BTF says of a function.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum FuncKind {
    /// Static.
    #[default]
    Static,
    /// Global, of a struct of two numbers that may be NULL, and a number.
    Global,
    /// The same, tagged as never NULL.
    GlobalNonNull,
}

/// A function.
#[derive(Default)]
pub struct Asm {
    /// What BTF says of it.
    pub kind: FuncKind,
    insns: Vec<Insn>,
    relocs: Vec<(u32, Reloc)>,
    labels: Vec<Option<usize>>,
    jumps: Vec<(usize, Label)>,
    calls: Vec<(usize, FuncId)>,
    notes: Vec<(usize, Note)>,
}

/// The row's instruction without operands.
pub fn template(kind: Kind) -> Insn {
    TABLE.iter().find(|row| row.kind == kind).map(|row| row.template()).unwrap_or_default()
}

impl Asm {
    /// Slots so far.
    pub fn len(&self) -> usize {
        self.insns.len()
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.insns.is_empty()
    }

    /// Adds an instruction.
    pub fn push(&mut self, insn: Insn) {
        self.insns.push(insn);
    }

    /// A label, not placed yet.
    pub fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// Places a label here.
    pub fn bind(&mut self, label: Label) {
        self.labels[label.0] = Some(self.insns.len());
    }

    /// Says what the next instruction stands for.
    pub fn note(&mut self, note: Note) {
        self.notes.push((self.insns.len(), note));
    }

    /// Arithmetic.
    pub fn alu(&mut self, op: Alu, wide: bool, dst: u8, src: Src) {
        let (operand, src, imm) = parts(src);
        self.push(Insn { dst, src, imm, ..template(Kind::Alu { op, wide, operand }) });
    }

    /// `dst = imm`
    pub fn imm(&mut self, dst: u8, imm: i32) {
        self.alu(Alu::Mov, true, dst, Src::Imm(imm));
    }

    /// `dst = src`
    pub fn mov(&mut self, dst: u8, src: u8) {
        self.alu(Alu::Mov, true, dst, Src::Reg(src));
    }

    /// `dst += imm`
    pub fn add(&mut self, dst: u8, imm: i32) {
        self.alu(Alu::Add, true, dst, Src::Imm(imm));
    }

    /// `dst = r10 + off`
    pub fn fp(&mut self, dst: u8, off: i32) {
        self.mov(dst, 10);
        self.add(dst, off);
    }

    /// Negate.
    pub fn neg(&mut self, wide: bool, dst: u8) {
        self.push(Insn { dst, ..template(Kind::Neg { wide }) });
    }

    /// Move with sign extension.
    pub fn movsx(&mut self, bits: u8, wide: bool, dst: u8, src: u8) {
        self.push(Insn { dst, src, ..template(Kind::MovSx { bits, wide }) });
    }

    /// Byte order.
    pub fn end(&mut self, order: Order, bits: u8, dst: u8) {
        self.push(Insn { dst, ..template(Kind::End { order, bits }) });
    }

    /// `addr_space_cast`
    pub fn cast(&mut self, dst: u8, src: u8, imm: i32) {
        self.push(Insn { dst, src, imm, ..template(Kind::AddrSpaceCast) });
    }

    /// Load; sign-extending where the size allows it.
    pub fn load(&mut self, size: Size, signed: bool, dst: u8, src: u8, off: i16) {
        let signed = signed && size != Size::Dw;
        self.push(Insn { dst, src, off, ..template(Kind::Load { size, signed }) });
    }

    /// 8-byte load.
    pub fn ldx(&mut self, dst: u8, src: u8, off: i16) {
        self.load(Size::Dw, false, dst, src, off);
    }

    /// Store.
    pub fn store(&mut self, size: Size, dst: u8, off: i16, src: Src) {
        let (operand, src, imm) = parts(src);
        self.push(Insn { dst, src, off, imm, ..template(Kind::Store { size, operand }) });
    }

    /// Load-acquire.
    pub fn acquire(&mut self, size: Size, dst: u8, src: u8, off: i16) {
        self.push(Insn { dst, src, off, ..template(Kind::LoadAcquire { size }) });
    }

    /// Store-release.
    pub fn release(&mut self, size: Size, dst: u8, off: i16, src: u8) {
        self.push(Insn { dst, src, off, ..template(Kind::StoreRelease { size }) });
    }

    /// Atomic read-modify-write; exchanges always fetch.
    pub fn atomic(&mut self, op: AtomicOp, size: Size, fetch: bool, dst: u8, off: i16, src: u8) {
        let fetch = fetch || matches!(op, AtomicOp::Xchg | AtomicOp::Cmpxchg);
        self.push(Insn { dst, src, off, ..template(Kind::Atomic { op, size, fetch }) });
    }

    /// Conditional jump.
    pub fn jump(&mut self, cond: Cond, wide: bool, dst: u8, src: Src, to: Label) {
        let (operand, src, imm) = parts(src);
        self.jumps.push((self.insns.len(), to));
        self.push(Insn { dst, src, imm, ..template(Kind::Jump { cond, wide, operand }) });
    }

    /// `if (dst == 0) goto to`
    pub fn jump_null(&mut self, dst: u8, to: Label) {
        self.jump(Cond::Eq, true, dst, Src::Imm(0), to);
    }

    /// Jump, in the long form if asked.
    pub fn ja(&mut self, long: bool, to: Label) {
        self.jumps.push((self.insns.len(), to));
        self.push(template(Kind::Ja { long }));
    }

    /// `may_goto`
    pub fn may_goto(&mut self, to: Label) {
        self.jumps.push((self.insns.len(), to));
        self.push(template(Kind::MayGoto));
    }

    /// 64-bit constant.
    pub fn constant(&mut self, dst: u8, val: u64) {
        self.wide(dst, 0, val as u32 as i32, (val >> 32) as i32);
    }

    fn wide(&mut self, dst: u8, src: u8, low: i32, high: i32) {
        self.push(Insn { code: LD_IMM64, dst, src, off: 0, imm: low });
        self.push(Insn { imm: high, ..Insn::default() });
    }

    /// What an outside thing is, with the pseudo code that an object file would have.
    pub fn outside(&mut self, dst: u8, pseudo: u8, reloc: Reloc) {
        let imm = match reloc {
            Reloc::Map(id) | Reloc::MapValue(id, _) | Reloc::Kfunc(id) => id as i32,
            Reloc::Addr(_) | Reloc::Func(_) => 1,
        };
        self.relocs.push((self.insns.len() as u32, reloc));
        self.wide(dst, pseudo, imm, 0);
    }

    /// Changes the immediate of the `ld_imm64` just added.
    pub fn set_last_imm(&mut self, imm: i32) {
        if let Some(at) = self.insns.len().checked_sub(2) {
            self.insns[at].imm = imm;
        }
    }

    /// A function's address.
    pub fn func(&mut self, dst: u8, func: FuncId) {
        self.calls.push((self.insns.len(), func));
        self.wide(dst, BPF_PSEUDO_FUNC, 0, 0);
    }

    /// Calls a function.
    pub fn call(&mut self, func: FuncId) {
        self.calls.push((self.insns.len(), func));
        self.push(Insn { code: BPF_JMP | BPF_CALL, src: BPF_PSEUDO_CALL, ..Insn::default() });
    }

    /// Calls a helper.
    pub fn helper(&mut self, helper: HelperId) {
        self.push(Insn { code: BPF_JMP | BPF_CALL, imm: helper as i32, ..Insn::default() });
    }

    /// Calls a kfunc.
    pub fn kfunc(&mut self, kfunc: KfuncId) {
        let id = kfunc.index();
        self.relocs.push((self.insns.len() as u32, Reloc::Kfunc(id)));
        let imm = id as i32 + 1;
        self.push(Insn { code: BPF_JMP | BPF_CALL, src: BPF_PSEUDO_KFUNC_CALL, imm, ..Insn::default() });
    }

    /// Returns.
    pub fn exit(&mut self) {
        self.push(template(Kind::Exit));
    }
}

fn parts(src: Src) -> (Operand, u8, i32) {
    match src {
        Src::Reg(src) => (Operand::Reg, src, 0),
        Src::Imm(imm) => (Operand::Imm, 0, imm),
    }
}

/// A whole program.
#[derive(Clone, Default)]
pub struct Linked {
    /// As BPF_PROG_LOAD has them.
    pub insns: Vec<Insn>,
    /// By slot.
    pub relocs: Vec<(u32, Reloc)>,
    /// By slot.
    pub notes: Vec<(usize, Note)>,
    /// The first slot of each function, in order, and its kind; the program itself is the first.
    pub funcs: Vec<(usize, FuncKind)>,
}

/// Puts functions behind each other and resolves what refers to places.
pub fn link(funcs: Vec<Asm>) -> Linked {
    let mut starts = Vec::new();
    let mut len = 0;
    for func in &funcs {
        starts.push(len);
        len += func.insns.len();
    }
    let kinds = funcs.iter().map(|func| func.kind);
    let mut out = Linked { funcs: starts.iter().copied().zip(kinds).collect(), ..Linked::default() };
    for (func, &start) in funcs.into_iter().zip(&starts) {
        let Asm { mut insns, mut relocs, labels, jumps, calls, notes, kind: _ } = func;
        for (at, label) in jumps {
            let to = labels[label.0].unwrap_or(at + 1);
            let rel = to as i32 - at as i32 - 1;
            let long = insns[at].code == BPF_JMP32 | BPF_JA;
            if long { insns[at].imm = rel } else { insns[at].off = rel as i16 }
        }
        for (at, FuncId(callee)) in calls {
            let target = starts[callee];
            insns[at].imm = target as i32 - (start + at) as i32 - 1;
            if insns[at].code == LD_IMM64 {
                relocs.push((at as u32, Reloc::Func(target as u32)));
            }
        }
        out.insns.append(&mut insns);
        out.relocs.extend(relocs.into_iter().map(|(at, reloc)| (at + start as u32, reloc)));
        out.notes.extend(notes.into_iter().map(|(at, note)| (at + start, note)));
    }
    out.relocs.sort_by_key(|(at, _)| *at);
    out
}

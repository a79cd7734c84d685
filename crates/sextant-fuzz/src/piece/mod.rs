//! Random programs, made of pieces that schedulers have.
//!
//! Between pieces r6-r8 hold numbers and r9 the task (struct_ops) or the context (syscall); r0-r5 hold nothing. A piece leaves it so.
//! Most pieces are sound; [`Gen::slip`] leaves something out now and then, which the verifier has to find.
//! Between pieces the frame holds nothing either, but for the context:
//!
//! ```text
//!  fp-8 context | -72 numbers | -136 bytes at an index | -144 a spill | -168 counters | -176 a pointer | -184 a key
//!  | -240 a buffer | -256, -272 dynptrs | -280 numbers' iterator | -296 bits' iterator | -304, -312 interrupt flags
//!  | -320 another pointer
//! ```

mod call;
mod map;
mod mem;
mod num;
mod object;
mod odd;
mod ring;
mod sync;
mod text;
mod theme;

use sextant_abi::image::Reloc;
use sextant_abi::tables::{HelperId, KfuncId, Op};
use sextant_bpf::insn::{
    BPF_PSEUDO_MAP_FD, BPF_PSEUDO_MAP_IDX, BPF_PSEUDO_MAP_IDX_VALUE, BPF_PSEUDO_MAP_VALUE,
};
use sextant_bpf::opcode::{Cond, Size};
use sextant_verifier::ProgKind;

use crate::asm::{Asm, Form, FuncId, Label, Linked, Note, Src, link};
use crate::rng::Rng;
use crate::world::{Of, World};

/// Slots at which no further piece begins.
const ENOUGH: usize = 180;
/// How deep pieces nest.
const MAX_DEPTH: u32 = 2;
/// Places in the frame.
const CTX: i16 = -8;
const INDEX: i16 = -136;
const SPILL: i16 = -144;
const HELD: i16 = -176;
const KEY: i16 = -184;
const BUF: i16 = -240;
/// Bytes of the buffer.
const BUF_LEN: i32 = 56;
const DYNPTR: i16 = -256;
const OTHER_DYNPTR: i16 = -272;
const ITER: i16 = -280;
const BITS: i16 = -296;
const IRQ: i16 = -304;
const OTHER_IRQ: i16 = -312;
const OTHER_HELD: i16 = -320;
/// Sizes of an access.
const SIZES: [Size; 4] = [Size::B, Size::H, Size::W, Size::Dw];

/// A program, not yet judged.
#[derive(Clone)]
pub struct Draft {
    /// Its seed.
    pub seed: u64,
    /// Its code.
    pub code: Linked,
    /// What runs it.
    pub kind: ProgKind<'static>,
    /// BPF_F_TEST_STATE_FREQ.
    pub state_freq: bool,
}

/// What a piece may do where it stands.
#[derive(Clone, Copy)]
struct Here {
    depth: u32,
    /// It may leave for the function's end: nothing is held.
    leave: bool,
    /// It may call: no lock is held.
    calls: bool,
    /// r9 is the task, or the context.
    main: bool,
}

/// Makes one program.
struct Gen<'a> {
    rng: &'a mut Rng,
    world: &'a World,
    asm: Asm,
    funcs: Vec<Asm>,
    here: Here,
    out: Label,
    syscall: bool,
    /// Of 1000.
    slips: u64,
    total: usize,
    /// Addresses of the per-CPU variable.
    percpu: u64,
}

/// Makes the program of a seed; `percpu` is where the vm has the per-CPU variable.
pub fn generate(seed: u64, world: &World, percpu: u64) -> Draft {
    let mut rng = Rng::new(seed);
    let syscall = rng.below(4) == 0;
    let kind = match syscall {
        true => ProgKind::Syscall,
        false => ProgKind::StructOps { op: Op::Enqueue, cid_form: false },
    };
    let slips = rng.of(&[0, 0, 30, 120]);
    let state_freq = rng.coin();
    let mut asm = Asm::default();
    let out = asm.label();
    let here = Here { depth: 0, leave: true, calls: true, main: true };
    let funcs = vec![Asm::default()];
    let mut g = Gen { rng: &mut rng, world, asm, funcs, here, out, syscall, slips, total: 0, percpu };
    g.main();
    let Gen { asm, mut funcs, .. } = g;
    funcs[0] = asm;
    Draft { seed, code: link(funcs), kind, state_freq }
}

impl Gen<'_> {
    fn main(&mut self) {
        let a = &mut self.asm;
        a.store(Size::Dw, 10, CTX, Src::Reg(1));
        if self.syscall {
            a.mov(9, 1);
            (6..9).for_each(|n| a.ldx(n, 1, i16::from(n - 6) * 8));
        } else {
            a.ldx(9, 1, 0);
            a.ldx(6, 1, 8);
        }
        self.value_addr(1, Of::Bss, 0);
        let at = 8 * self.rng.below(24) as i16;
        self.asm.ldx(7, 1, at);
        self.asm.ldx(8, 1, at + 8);
        for _ in 0..3 + self.rng.below(8) {
            self.piece();
        }
        self.odd_end();
        let out = self.out;
        self.asm.bind(out);
        // What became of the numbers is seen in memory.
        self.value_addr(1, Of::Bss, 232);
        (6..9).for_each(|n| self.asm.store(Size::Dw, 1, i16::from(n - 6) * 8, Src::Reg(n)));
        self.asm.imm(0, 0);
        if self.syscall {
            self.asm.mov(0, 6);
        }
        self.asm.exit();
    }

    fn piece(&mut self) {
        if self.total + self.asm.len() > ENOUGH {
            return;
        }
        self.here.depth += 1;
        match self.rng.below(108) {
            100.. if self.here.calls => self.theme(),
            0..=9 => self.math(),
            10..=21 => self.probe(),
            22..=41 => self.memory(),
            42..=47 => self.branch(),
            48..=51 => self.early_out(),
            52..=55 => self.repeat(),
            _ if !self.here.calls => self.math(),
            56..=67 => self.map_call(),
            68..=73 => self.ring(),
            74..=80 => self.callback(),
            81..=85 => self.sync(),
            86..=90 => self.object(),
            91..=97 => self.text(),
            _ => self.arena(),
        }
        self.here.depth -= 1;
    }

    /// A piece inside another one.
    fn inner(&mut self, leave: bool, calls: bool) {
        let here = self.here;
        self.here.leave &= leave;
        self.here.calls &= calls;
        if here.depth <= MAX_DEPTH {
            self.piece();
        } else {
            self.math();
        }
        self.here = here;
    }

    /// Whether to do something wrong here.
    fn slip(&mut self) -> bool {
        self.slips > 0 && self.rng.permille(self.slips)
    }

    /// A register with a number.
    fn num(&mut self) -> u8 {
        self.rng.of(&[6, 7, 8])
    }

    fn size(&mut self) -> Size {
        self.rng.of(&SIZES)
    }

    /// `dst` = a map.
    fn map(&mut self, dst: u8, of: Of) {
        let pseudo = self.rng.of(&[BPF_PSEUDO_MAP_FD, BPF_PSEUDO_MAP_FD, BPF_PSEUDO_MAP_IDX]);
        self.asm.note(Note::Map(of.map_type()));
        self.asm.outside(dst, pseudo, Reloc::Map(of.id()));
    }

    /// `dst` = a byte of value 0 of an array.
    fn value_addr(&mut self, dst: u8, of: Of, off: u32) {
        let pseudo = self.rng.of(&[BPF_PSEUDO_MAP_VALUE, BPF_PSEUDO_MAP_VALUE, BPF_PSEUDO_MAP_IDX_VALUE]);
        self.asm.note(Note::Map(of.map_type()));
        self.asm.outside(dst, pseudo, Reloc::MapValue(of.id(), off));
    }

    fn helper(&mut self, helper: HelperId) {
        self.asm.helper(helper);
    }

    fn kfunc(&mut self, kfunc: KfuncId) {
        self.asm.kfunc(kfunc);
    }

    /// Jumps over what follows when `reg` is NULL; to be bound behind it.
    fn unless_null(&mut self, reg: u8) -> Label {
        let skip = self.asm.label();
        if !self.slip() {
            self.asm.jump_null(reg, skip);
        }
        skip
    }

    /// Puts a number into memory of the stack.
    fn put(&mut self, at: i16, size: Size) {
        let src = match self.rng.below(3) {
            0 => Src::Reg(self.num()),
            1 => Src::Imm(self.rng.below(5) as i32),
            _ => Src::Imm(self.rng.imm()),
        };
        self.asm.store(size, 10, at, src);
    }

    /// A function with a body of its own: `begin` sets r6-r8, `end` sets r0.
    fn function(
        &mut self,
        form: Option<Form>,
        begin: impl FnOnce(&mut Self),
        body: impl FnOnce(&mut Self),
        end: impl FnOnce(&mut Self),
    ) -> FuncId {
        let id = FuncId(self.funcs.len());
        self.funcs.push(Asm::default());
        let (here, out) = (self.here, self.out);
        self.total += self.asm.len();
        let caller = std::mem::take(&mut self.asm);
        self.out = self.asm.label();
        self.here = Here { depth: here.depth + 1, leave: true, calls: here.calls, main: false };
        if let Some(form) = form {
            self.asm.note(Note::Form(form));
        }
        begin(self);
        body(self);
        let label = self.out;
        self.asm.bind(label);
        end(self);
        self.asm.exit();
        self.funcs[id.0] = std::mem::replace(&mut self.asm, caller);
        self.total -= self.asm.len();
        self.total += self.funcs[id.0].len();
        self.here = here;
        self.out = out;
        id
    }

    /// `r0` = a number that a callback may return.
    fn verdict(&mut self) {
        match self.rng.below(4) {
            0 => {
                let num = self.num();
                self.asm.mov(0, num);
                self.asm.alu(sextant_bpf::opcode::Alu::And, true, 0, Src::Imm(1));
            }
            1 if self.slip() => self.asm.imm(0, 2),
            _ => self.asm.imm(0, 0),
        }
    }

    /// Leaves the function if a number is `cond` than a bound.
    fn leave_if(&mut self, num: u8, cond: Cond, bound: i32) {
        let (wide, out) = (self.rng.below(3) != 0, self.out);
        self.asm.jump(cond, wide, num, Src::Imm(bound), out);
    }
}

//! The opcode table: one row per instruction of the ISA, and everything derived from it.
//!
//! A row says which bits select it (the code byte, and where the ISA hides an operation in another field, that field's
//! value), which fields carry operands (the others are reserved and must be 0), the assembler's mnemonic and what the
//! instruction does ([`Kind`]). The decoder's validity, the assembler, the disassembler and the interpreter's decoder
//! all match on rows; nothing else lists opcodes (invariant 4).
//!
//! Covers RFC 9669 with all conformance groups, the kernel's additions (`may_goto`, `addr_space_cast`, load-acquire and
//! store-release, `callx`) and the legacy packet loads. Left out: `gotox` (0x0d) and codes the kernel uses only internally.
//! Mirrors kernel/bpf/{core,verifier}.c, 7.3.

use crate::insn::*;
pub use crate::kind::{Alu, AtomicOp, Callee, Cond, Imm64, Kind, Operand, Order, Size};

/// The field beside the code whose value selects a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Select {
    /// The code alone.
    Code,
    /// The `off` field.
    Off(i16),
    /// The `imm` field.
    Imm(i32),
    /// The src field.
    Src(u8),
}

/// The dst field is an operand.
pub const DST: u8 = 1;
/// The src field is an operand.
pub const SRC: u8 = 2;
/// The off field is an operand.
pub const OFF: u8 = 4;
/// The imm field is an operand.
pub const IMM: u8 = 8;

/// A row of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opcode {
    /// The code byte.
    pub code: u8,
    /// What else selects the row.
    pub select: Select,
    /// Which fields are operands: [`DST`] | [`SRC`] | [`OFF`] | [`IMM`]; the others are reserved.
    pub fields: u8,
    /// Mnemonic of the assembler, without the operand width suffix where `suffix` has it.
    pub stem: &'static str,
    /// Rest of the mnemonic.
    pub suffix: &'static str,
    /// What it does.
    pub kind: Kind,
}

impl Opcode {
    /// Whether the assembler's mnemonic is `name`.
    pub fn is_named(&self, name: &str) -> bool {
        name.strip_prefix(self.stem) == Some(self.suffix)
    }

    /// The assembler's mnemonic.
    pub fn mnemonic(&self) -> String {
        format!("{}{}", self.stem, self.suffix)
    }

    /// Whether the row is the one `insn` means (reserved fields aside).
    pub const fn selects(&self, insn: &Insn) -> bool {
        self.code == insn.code
            && match self.select {
                Select::Code => true,
                Select::Off(v) => insn.off == v,
                Select::Imm(v) => insn.imm == v,
                Select::Src(v) => insn.src == v,
            }
    }

    /// An instruction of this row with its selecting field set and all operands 0.
    pub const fn template(&self) -> Insn {
        let mut insn = Insn { code: self.code, dst: 0, src: 0, off: 0, imm: 0 };
        match self.select {
            Select::Code => {}
            Select::Off(v) => insn.off = v,
            Select::Imm(v) => insn.imm = v,
            Select::Src(v) => insn.src = v,
        }
        insn
    }

    /// Whether every field that is neither operand nor selector is 0.
    pub const fn reserved_clear(&self, insn: &Insn) -> bool {
        let t = self.template();
        (self.fields & DST != 0 || insn.dst == t.dst)
            && (self.fields & SRC != 0 || insn.src == t.src)
            && (self.fields & OFF != 0 || insn.off == t.off)
            && (self.fields & IMM != 0 || insn.imm == t.imm)
    }
}

/// The row of an instruction, or `None` if the ISA has no such operation. Reserved fields and register numbers are not
/// looked at; `sextant_verifier::structure` does that.
pub fn lookup(insn: &Insn) -> Option<&'static Opcode> {
    let rows = &TABLE[START[insn.code as usize] as usize..START[insn.code as usize + 1] as usize];
    rows.iter().find(|row| row.selects(insn))
}

/// Whether the table has a row with this code.
pub const fn known_code(code: u8) -> bool {
    START[code as usize] != START[code as usize + 1]
}

const ALU_ROWS: [(u8, i16, &str, Alu); 14] = [
    (BPF_ADD, 0, "add", Alu::Add),
    (BPF_SUB, 0, "sub", Alu::Sub),
    (BPF_MUL, 0, "mul", Alu::Mul),
    (BPF_DIV, 0, "div", Alu::Div),
    (BPF_OR, 0, "or", Alu::Or),
    (BPF_AND, 0, "and", Alu::And),
    (BPF_LSH, 0, "lsh", Alu::Lsh),
    (BPF_RSH, 0, "rsh", Alu::Rsh),
    (BPF_MOD, 0, "mod", Alu::Mod),
    (BPF_XOR, 0, "xor", Alu::Xor),
    (BPF_MOV, 0, "mov", Alu::Mov),
    (BPF_ARSH, 0, "arsh", Alu::Arsh),
    (BPF_DIV, 1, "sdiv", Alu::Sdiv),
    (BPF_MOD, 1, "smod", Alu::Smod),
];

const JUMP_ROWS: [(u8, &str, Cond); 11] = [
    (BPF_JEQ, "jeq", Cond::Eq),
    (BPF_JGT, "jgt", Cond::Gt),
    (BPF_JGE, "jge", Cond::Ge),
    (BPF_JSET, "jset", Cond::Set),
    (BPF_JNE, "jne", Cond::Ne),
    (BPF_JSGT, "jsgt", Cond::Sgt),
    (BPF_JSGE, "jsge", Cond::Sge),
    (BPF_JLT, "jlt", Cond::Lt),
    (BPF_JLE, "jle", Cond::Le),
    (BPF_JSLT, "jslt", Cond::Slt),
    (BPF_JSLE, "jsle", Cond::Sle),
];

const ATOMIC_ROWS: [(i32, &str, AtomicOp); 10] = [
    (BPF_ADD as i32, "lock add", AtomicOp::Add),
    (BPF_OR as i32, "lock or", AtomicOp::Or),
    (BPF_AND as i32, "lock and", AtomicOp::And),
    (BPF_XOR as i32, "lock xor", AtomicOp::Xor),
    (BPF_ADD as i32 | BPF_FETCH, "lock fetch add", AtomicOp::Add),
    (BPF_OR as i32 | BPF_FETCH, "lock fetch or", AtomicOp::Or),
    (BPF_AND as i32 | BPF_FETCH, "lock fetch and", AtomicOp::And),
    (BPF_XOR as i32 | BPF_FETCH, "lock fetch xor", AtomicOp::Xor),
    (BPF_XCHG, "lock xchg", AtomicOp::Xchg),
    (BPF_CMPXCHG, "lock cmpxchg", AtomicOp::Cmpxchg),
];

const SIZE_ROWS: [(u8, &str, Size); 4] =
    [(BPF_B, "b", Size::B), (BPF_H, "h", Size::H), (BPF_W, "w", Size::W), (BPF_DW, "dw", Size::Dw)];

const END_ROWS: [(u8, &str, Order); 3] = [
    (BPF_ALU | BPF_END | BPF_K, "le", Order::Le),
    (BPF_ALU | BPF_END | BPF_X, "be", Order::Be),
    (BPF_ALU64 | BPF_END | BPF_K, "bswap", Order::Bswap),
];

const MOVSX_ROWS: [(u8, u8, &str); 5] = [
    (BPF_ALU, 8, "832"),
    (BPF_ALU, 16, "1632"),
    (BPF_ALU64, 8, "864"),
    (BPF_ALU64, 16, "1664"),
    (BPF_ALU64, 32, "3264"),
];

const LD_IMM64_ROWS: [(u8, &str, Imm64); 7] = [
    (0, "", Imm64::Const),
    (BPF_PSEUDO_MAP_FD, " map_fd", Imm64::MapFd),
    (BPF_PSEUDO_MAP_VALUE, " map_value", Imm64::MapValue),
    (BPF_PSEUDO_BTF_ID, " btf_id", Imm64::BtfId),
    (BPF_PSEUDO_FUNC, " func", Imm64::Func),
    (BPF_PSEUDO_MAP_IDX, " map_idx", Imm64::MapIdx),
    (BPF_PSEUDO_MAP_IDX_VALUE, " map_idx_value", Imm64::MapIdxValue),
];

const SINGLE_ROWS: [Opcode; 9] = [
    row(
        BPF_ALU64 | BPF_MOV | BPF_X,
        Select::Off(1),
        DST | SRC | IMM,
        "addr_space_cast",
        "",
        Kind::AddrSpaceCast,
    ),
    row(BPF_JMP | BPF_JA, Select::Code, OFF, "ja", "", Kind::Ja { long: false }),
    row(BPF_JMP32 | BPF_JA, Select::Code, IMM, "ja", "32", Kind::Ja { long: true }),
    row(BPF_JMP | BPF_JCOND, Select::Src(0), OFF, "may_goto", "", Kind::MayGoto),
    row(BPF_JMP | BPF_CALL, Select::Src(0), IMM, "call", "", Kind::Call(Callee::Helper)),
    row(BPF_JMP | BPF_CALL, Select::Src(BPF_PSEUDO_CALL), IMM, "call", " local", Kind::Call(Callee::Local)),
    row(
        BPF_JMP | BPF_CALL,
        Select::Src(BPF_PSEUDO_KFUNC_CALL),
        OFF | IMM,
        "call",
        " kfunc",
        Kind::Call(Callee::Kfunc),
    ),
    row(BPF_JMP | BPF_CALL | BPF_X, Select::Code, DST, "callx", "", Kind::Call(Callee::Reg)),
    row(BPF_JMP | BPF_EXIT, Select::Code, 0, "exit", "", Kind::Exit),
];

const fn row(
    code: u8,
    select: Select,
    fields: u8,
    stem: &'static str,
    suffix: &'static str,
    kind: Kind,
) -> Opcode {
    Opcode { code, select, fields, stem, suffix, kind }
}

/// Rows gathered at compile time.
struct Rows {
    rows: [Opcode; 256],
    len: usize,
}

impl Rows {
    const fn push(&mut self, row: Opcode) {
        self.rows[self.len] = row;
        self.len += 1;
    }

    const fn alu(&mut self) {
        let mut i = 0;
        while i < ALU_ROWS.len() {
            let (bits, off, stem, op) = ALU_ROWS[i];
            // Only div, mod and mov have an operation in `off`.
            let select = match op {
                Alu::Div | Alu::Mod | Alu::Mov | Alu::Sdiv | Alu::Smod => Select::Off(off),
                _ => Select::Code,
            };
            self.alu_four(bits, select, stem, op);
            i += 1;
        }
        self.push(row(BPF_ALU | BPF_NEG, Select::Code, DST, "neg", "32", Kind::Neg { wide: false }));
        self.push(row(BPF_ALU64 | BPF_NEG, Select::Code, DST, "neg", "", Kind::Neg { wide: true }));
    }

    const fn alu_four(&mut self, bits: u8, select: Select, stem: &'static str, op: Alu) {
        let k32 = Kind::Alu { op, wide: false, operand: Operand::Imm };
        let x32 = Kind::Alu { op, wide: false, operand: Operand::Reg };
        let k64 = Kind::Alu { op, wide: true, operand: Operand::Imm };
        let x64 = Kind::Alu { op, wide: true, operand: Operand::Reg };
        self.push(row(BPF_ALU | bits | BPF_K, select, DST | IMM, stem, "32", k32));
        self.push(row(BPF_ALU | bits | BPF_X, select, DST | SRC, stem, "32", x32));
        self.push(row(BPF_ALU64 | bits | BPF_K, select, DST | IMM, stem, "", k64));
        self.push(row(BPF_ALU64 | bits | BPF_X, select, DST | SRC, stem, "", x64));
    }

    const fn moves_and_order(&mut self) {
        let mut i = 0;
        while i < MOVSX_ROWS.len() {
            let (class, bits, suffix) = MOVSX_ROWS[i];
            let kind = Kind::MovSx { bits, wide: class == BPF_ALU64 };
            let code = class | BPF_MOV | BPF_X;
            self.push(row(code, Select::Off(bits as i16), DST | SRC, "movsx", suffix, kind));
            i += 1;
        }
        let mut i = 0;
        while i < END_ROWS.len() {
            let (code, stem, order) = END_ROWS[i];
            self.push(row(code, Select::Imm(16), DST, stem, "16", Kind::End { order, bits: 16 }));
            self.push(row(code, Select::Imm(32), DST, stem, "32", Kind::End { order, bits: 32 }));
            self.push(row(code, Select::Imm(64), DST, stem, "64", Kind::End { order, bits: 64 }));
            i += 1;
        }
    }

    const fn jumps(&mut self) {
        let mut i = 0;
        while i < JUMP_ROWS.len() {
            let (bits, stem, cond) = JUMP_ROWS[i];
            let k32 = Kind::Jump { cond, wide: false, operand: Operand::Imm };
            let x32 = Kind::Jump { cond, wide: false, operand: Operand::Reg };
            let k64 = Kind::Jump { cond, wide: true, operand: Operand::Imm };
            let x64 = Kind::Jump { cond, wide: true, operand: Operand::Reg };
            self.push(row(BPF_JMP32 | bits | BPF_K, Select::Code, DST | IMM | OFF, stem, "32", k32));
            self.push(row(BPF_JMP32 | bits | BPF_X, Select::Code, DST | SRC | OFF, stem, "32", x32));
            self.push(row(BPF_JMP | bits | BPF_K, Select::Code, DST | IMM | OFF, stem, "", k64));
            self.push(row(BPF_JMP | bits | BPF_X, Select::Code, DST | SRC | OFF, stem, "", x64));
            i += 1;
        }
    }

    const fn memory(&mut self) {
        let mut i = 0;
        while i < SIZE_ROWS.len() {
            let (bits, suffix, size) = SIZE_ROWS[i];
            let load = Kind::Load { size, signed: false };
            let sx = Kind::Load { size, signed: true };
            let imm = Kind::Store { size, operand: Operand::Imm };
            let reg = Kind::Store { size, operand: Operand::Reg };
            self.push(row(BPF_LDX | BPF_MEM | bits, Select::Code, DST | SRC | OFF, "ldx", suffix, load));
            self.push(row(BPF_ST | BPF_MEM | bits, Select::Code, DST | IMM | OFF, "st", suffix, imm));
            self.push(row(BPF_STX | BPF_MEM | bits, Select::Code, DST | SRC | OFF, "stx", suffix, reg));
            if !matches!(size, Size::Dw) {
                let (abs, ind) = (Kind::LdSkb { size, ind: false }, Kind::LdSkb { size, ind: true });
                self.push(row(BPF_LDX | BPF_MEMSX | bits, Select::Code, DST | SRC | OFF, "ldxs", suffix, sx));
                self.push(row(BPF_LD | BPF_ABS | bits, Select::Code, IMM, "ldabs", suffix, abs));
                self.push(row(BPF_LD | BPF_IND | bits, Select::Code, SRC | IMM, "ldind", suffix, ind));
            }
            let code = BPF_STX | BPF_ATOMIC | bits;
            let (acq, rel) = (Kind::LoadAcquire { size }, Kind::StoreRelease { size });
            self.push(row(code, Select::Imm(BPF_LOAD_ACQ), DST | SRC | OFF, "load_acquire ", suffix, acq));
            self.push(row(code, Select::Imm(BPF_STORE_REL), DST | SRC | OFF, "store_release ", suffix, rel));
            i += 1;
        }
    }

    const fn atomics(&mut self) {
        let mut i = 0;
        while i < ATOMIC_ROWS.len() {
            let (imm, stem, op) = ATOMIC_ROWS[i];
            let fetch = imm & BPF_FETCH != 0;
            let w = Kind::Atomic { op, size: Size::W, fetch };
            let dw = Kind::Atomic { op, size: Size::Dw, fetch };
            let code = BPF_STX | BPF_ATOMIC;
            self.push(row(code | BPF_W, Select::Imm(imm), DST | SRC | OFF, stem, "32", w));
            self.push(row(code | BPF_DW, Select::Imm(imm), DST | SRC | OFF, stem, "", dw));
            i += 1;
        }
    }

    const fn rest(&mut self) {
        let mut i = 0;
        while i < LD_IMM64_ROWS.len() {
            let (src, suffix, form) = LD_IMM64_ROWS[i];
            self.push(row(LD_IMM64, Select::Src(src), DST | IMM, "lddw", suffix, Kind::LdImm64(form)));
            i += 1;
        }
        let mut i = 0;
        while i < SINGLE_ROWS.len() {
            self.push(SINGLE_ROWS[i]);
            i += 1;
        }
    }

    /// Insertion sort by code; rows of one code keep their order.
    const fn sorted(mut self) -> Rows {
        let mut i = 1;
        while i < self.len {
            let mut j = i;
            while j > 0 && self.rows[j - 1].code > self.rows[j].code {
                let row = self.rows[j];
                self.rows[j] = self.rows[j - 1];
                self.rows[j - 1] = row;
                j -= 1;
            }
            i += 1;
        }
        self
    }
}

const fn gather() -> Rows {
    let mut rows = Rows { rows: [SINGLE_ROWS[0]; 256], len: 0 };
    rows.alu();
    rows.moves_and_order();
    rows.jumps();
    rows.memory();
    rows.atomics();
    rows.rest();
    rows.sorted()
}

const ROWS: Rows = gather();

/// Every instruction of the ISA, sorted by code.
pub static TABLE: [Opcode; ROWS.len] = {
    let mut table = [ROWS.rows[0]; ROWS.len];
    let mut i = 0;
    while i < ROWS.len {
        table[i] = ROWS.rows[i];
        i += 1;
    }
    table
};

/// Where the rows of a code begin; those of code c are `START[c]..START[c + 1]`.
static START: [u16; 257] = {
    let mut start = [0u16; 257];
    let mut code = 0;
    let mut i = 0;
    while code < 257 {
        while i < ROWS.len && (ROWS.rows[i].code as usize) < code {
            i += 1;
        }
        start[code] = i as u16;
        code += 1;
    }
    start
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_found_by_its_own_template() {
        for row in &TABLE {
            let insn = row.template();
            assert_eq!(lookup(&insn), Some(row), "{row:?}");
            assert!(row.reserved_clear(&insn), "{row:?}");
        }
    }

    #[test]
    fn rows_of_one_code_exclude_each_other() {
        for (i, a) in TABLE.iter().enumerate() {
            for b in &TABLE[i + 1..] {
                assert!(a.code <= b.code);
                assert!(!a.selects(&b.template()) || a.code != b.code, "{a:?} {b:?}");
                let both = a.mnemonic() == b.mnemonic();
                assert!(!both || a.fields != b.fields, "ambiguous mnemonic: {a:?} {b:?}");
            }
        }
    }

    #[test]
    fn every_row_encodes_and_decodes() {
        let mut seed = 0x5eed_u64;
        let mut next = || {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) as u32
        };
        for row in &TABLE {
            for _ in 0..64 {
                let mut insn = row.template();
                if row.fields & DST != 0 {
                    insn.dst = (next() % 11) as u8;
                }
                if row.fields & SRC != 0 {
                    insn.src = (next() % 11) as u8;
                }
                if row.fields & OFF != 0 {
                    insn.off = next() as i16;
                }
                if row.fields & IMM != 0 {
                    insn.imm = next() as i32;
                }
                assert_eq!(lookup(&from_bytes(to_bytes(insn))), Some(row));
                assert!(row.reserved_clear(&insn));
            }
        }
    }

    #[test]
    fn codes_outside_the_isa_are_refused() {
        for insn in [
            Insn { code: 0xff, ..Insn::default() },
            Insn { code: 0x0d, ..Insn::default() },
            Insn { code: BPF_ALU64 | BPF_MOV | BPF_X, off: 7, ..Insn::default() },
            Insn { code: BPF_ALU | BPF_MOV | BPF_X, off: 32, ..Insn::default() },
            Insn { code: BPF_ALU64 | BPF_DIV, off: 2, ..Insn::default() },
            Insn { code: BPF_ALU | BPF_END, imm: 8, ..Insn::default() },
            Insn { code: BPF_STX | BPF_ATOMIC | BPF_DW, imm: 2, ..Insn::default() },
            Insn { code: BPF_STX | BPF_ATOMIC | BPF_B, imm: 0, ..Insn::default() },
            Insn { code: BPF_JMP | BPF_CALL, src: 3, ..Insn::default() },
            Insn { code: LD_IMM64, src: 7, ..Insn::default() },
        ] {
            assert_eq!(lookup(&insn), None, "{insn:?}");
        }
        assert!(!known_code(0xff) && known_code(0x95));
    }
}

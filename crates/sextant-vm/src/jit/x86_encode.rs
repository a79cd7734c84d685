//! Encodings of the x86-64 instructions that the back end uses.
//!
//! Manual: Intel SDM volume 2. `wide`: on 64 bits, else on 32 with the upper half zeroed.

use super::code::{Code, Label};

/// A register's number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Reg(u8);

pub(super) const RAX: Reg = Reg(0);
pub(super) const RCX: Reg = Reg(1);
pub(super) const RDX: Reg = Reg(2);
pub(super) const RBX: Reg = Reg(3);
pub(super) const RSP: Reg = Reg(4);
pub(super) const RBP: Reg = Reg(5);
pub(super) const RSI: Reg = Reg(6);
pub(super) const RDI: Reg = Reg(7);
pub(super) const R8: Reg = Reg(8);
pub(super) const R9: Reg = Reg(9);
pub(super) const R10: Reg = Reg(10);
pub(super) const R11: Reg = Reg(11);
pub(super) const R12: Reg = Reg(12);
pub(super) const R13: Reg = Reg(13);
pub(super) const R14: Reg = Reg(14);
pub(super) const R15: Reg = Reg(15);

/// Condition codes.
pub(super) const CC_B: u8 = 2;
pub(super) const CC_AE: u8 = 3;
pub(super) const CC_E: u8 = 4;
pub(super) const CC_NE: u8 = 5;
pub(super) const CC_BE: u8 = 6;
pub(super) const CC_A: u8 = 7;
pub(super) const CC_L: u8 = 12;
pub(super) const CC_GE: u8 = 13;
pub(super) const CC_LE: u8 = 14;
pub(super) const CC_G: u8 = 15;

/// Two-operand arithmetic, by its number in the encodings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Op2 {
    Add = 0,
    Or = 1,
    And = 4,
    Sub = 5,
    Xor = 6,
    Cmp = 7,
}

/// Shifts, likewise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shift {
    Shl = 4,
    Shr = 5,
    Sar = 7,
}

/// A memory operand: base + index * scale + disp.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mem {
    base: Reg,
    index: Option<(Reg, u8)>,
    disp: i32,
}

impl Mem {
    pub(super) fn at(base: Reg, disp: i32) -> Mem {
        Mem { base, index: None, disp }
    }

    /// `scale`: 1 or 8. The index is not rsp.
    pub(super) fn indexed(base: Reg, index: Reg, scale: u8, disp: i32) -> Mem {
        Mem { base, index: Some((index, scale)), disp }
    }
}

/// Encoded instructions.
#[derive(Default)]
pub(super) struct Asm {
    pub(super) code: Code,
}

/// Whether the lowest registers' numbers mean sil, dil and so on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bytes {
    Yes,
    No,
}

impl Asm {
    fn byte(&mut self, byte: u8) {
        self.code.bytes.push(byte);
    }

    fn imm32(&mut self, imm: i32) {
        self.code.bytes.extend(imm.to_le_bytes());
    }

    fn rex(&mut self, wide: bool, reg: u8, index: u8, base: u8, bytes: Bytes) {
        let rex = u8::from(wide) << 3 | (reg >> 3) << 2 | (index >> 3) << 1 | base >> 3;
        if rex != 0 || bytes == Bytes::Yes {
            self.byte(0x40 | rex);
        }
    }

    /// Opcode with a register or digit and a register.
    fn rr(&mut self, wide: bool, opcode: &[u8], reg: u8, rm: Reg, bytes: Bytes) {
        self.rex(wide, reg, 0, rm.0, bytes);
        self.code.bytes.extend(opcode);
        self.byte(0xc0 | (reg & 7) << 3 | rm.0 & 7);
    }

    /// Opcode with a register or digit and memory.
    fn rm(&mut self, wide: bool, opcode: &[u8], reg: u8, mem: Mem, bytes: Bytes) {
        let index = mem.index.map_or(0, |(index, _)| index.0);
        self.rex(wide, reg, index, mem.base.0, bytes);
        self.code.bytes.extend(opcode);
        let base = mem.base.0 & 7;
        let mode = match mem.disp {
            0 if base != 5 => 0,
            -128..=127 => 1,
            _ => 2u8,
        };
        let sib = match mem.index {
            Some((index, scale)) => Some((scale.trailing_zeros() as u8) << 6 | (index.0 & 7) << 3 | base),
            None if base == 4 => Some(0x24),
            None => None,
        };
        self.byte(mode << 6 | (reg & 7) << 3 | if sib.is_some() { 4 } else { base });
        if let Some(sib) = sib {
            self.byte(sib);
        }
        match mode {
            0 => {}
            1 => self.byte(mem.disp as u8),
            _ => self.imm32(mem.disp),
        }
    }

    pub(super) fn mov(&mut self, wide: bool, dst: Reg, src: Reg) {
        if dst != src || !wide {
            self.rr(wide, &[0x89], src.0, dst, Bytes::No);
        }
    }

    /// All 64 bits, in the shortest way; changes flags.
    pub(super) fn mov_imm(&mut self, dst: Reg, imm: u64) {
        if imm == 0 {
            self.rr(false, &[0x31], dst.0, dst, Bytes::No);
        } else if imm <= u32::MAX.into() {
            self.rex(false, 0, 0, dst.0, Bytes::No);
            self.byte(0xb8 | dst.0 & 7);
            self.imm32(imm as i32);
        } else if imm as i64 == i64::from(imm as i32) {
            self.rr(true, &[0xc7], 0, dst, Bytes::No);
            self.imm32(imm as i32);
        } else {
            self.rex(true, 0, 0, dst.0, Bytes::No);
            self.byte(0xb8 | dst.0 & 7);
            self.code.bytes.extend(imm.to_le_bytes());
        }
    }

    pub(super) fn op(&mut self, wide: bool, op: Op2, dst: Reg, src: Reg) {
        self.rr(wide, &[(op as u8) << 3 | 1], src.0, dst, Bytes::No);
    }

    pub(super) fn op_imm(&mut self, wide: bool, op: Op2, dst: Reg, imm: i32) {
        if let Ok(imm) = i8::try_from(imm) {
            self.rr(wide, &[0x83], op as u8, dst, Bytes::No);
            self.byte(imm as u8);
        } else {
            self.rr(wide, &[0x81], op as u8, dst, Bytes::No);
            self.imm32(imm);
        }
    }

    /// `dst op= memory`
    pub(super) fn op_from(&mut self, wide: bool, op: Op2, dst: Reg, mem: Mem) {
        self.rm(wide, &[(op as u8) << 3 | 3], dst.0, mem, Bytes::No);
    }

    /// `memory op= src`
    pub(super) fn op_to(&mut self, wide: bool, op: Op2, mem: Mem, src: Reg) {
        self.rm(wide, &[(op as u8) << 3 | 1], src.0, mem, Bytes::No);
    }

    pub(super) fn imul(&mut self, wide: bool, dst: Reg, src: Reg) {
        self.rr(wide, &[0x0f, 0xaf], dst.0, src, Bytes::No);
    }

    pub(super) fn imul_imm(&mut self, wide: bool, dst: Reg, imm: i32) {
        self.rr(wide, &[0x69], dst.0, dst, Bytes::No);
        self.imm32(imm);
    }

    pub(super) fn neg(&mut self, wide: bool, dst: Reg) {
        self.rr(wide, &[0xf7], 3, dst, Bytes::No);
    }

    /// rdx:rax / by → rax, remainder rdx.
    pub(super) fn divide(&mut self, signed: bool, wide: bool, by: Reg) {
        self.rr(wide, &[0xf7], if signed { 7 } else { 6 }, by, Bytes::No);
    }

    /// rdx = sign of rax.
    pub(super) fn sign_to_rdx(&mut self, wide: bool) {
        self.rex(wide, 0, 0, 0, Bytes::No);
        self.byte(0x99);
    }

    pub(super) fn shift_imm(&mut self, wide: bool, op: Shift, dst: Reg, count: u8) {
        self.rr(wide, &[0xc1], op as u8, dst, Bytes::No);
        self.byte(count);
    }

    pub(super) fn shift_cl(&mut self, wide: bool, op: Shift, dst: Reg) {
        self.rr(wide, &[0xd3], op as u8, dst, Bytes::No);
    }

    /// From 8, 16 or 32 bits.
    pub(super) fn movsx(&mut self, bits: u32, wide: bool, dst: Reg, src: Reg) {
        match bits {
            8 => self.rr(wide, &[0x0f, 0xbe], dst.0, src, Bytes::Yes),
            16 => self.rr(wide, &[0x0f, 0xbf], dst.0, src, Bytes::No),
            _ => self.rr(wide, &[0x63], dst.0, src, Bytes::No),
        }
    }

    pub(super) fn movzx16(&mut self, dst: Reg, src: Reg) {
        self.rr(false, &[0x0f, 0xb7], dst.0, src, Bytes::No);
    }

    /// Swaps the lower two bytes.
    pub(super) fn swap16(&mut self, dst: Reg) {
        self.byte(0x66);
        self.rr(false, &[0xc1], 0, dst, Bytes::No);
        self.byte(8);
    }

    pub(super) fn bswap(&mut self, wide: bool, dst: Reg) {
        self.rex(wide, 0, 0, dst.0, Bytes::No);
        self.byte(0x0f);
        self.byte(0xc8 | dst.0 & 7);
    }

    pub(super) fn lea(&mut self, dst: Reg, mem: Mem) {
        match mem {
            Mem { base, index: None, disp: 0 } => self.mov(true, dst, base),
            mem => self.rm(true, &[0x8d], dst.0, mem, Bytes::No),
        }
    }

    /// 1, 2, 4 or 8 bytes, extended to 64 bits.
    pub(super) fn load(&mut self, size: u32, signed: bool, dst: Reg, mem: Mem) {
        match (size, signed) {
            (1, false) => self.rm(false, &[0x0f, 0xb6], dst.0, mem, Bytes::No),
            (2, false) => self.rm(false, &[0x0f, 0xb7], dst.0, mem, Bytes::No),
            (4, false) => self.rm(false, &[0x8b], dst.0, mem, Bytes::No),
            (1, true) => self.rm(true, &[0x0f, 0xbe], dst.0, mem, Bytes::No),
            (2, true) => self.rm(true, &[0x0f, 0xbf], dst.0, mem, Bytes::No),
            (4, true) => self.rm(true, &[0x63], dst.0, mem, Bytes::No),
            _ => self.rm(true, &[0x8b], dst.0, mem, Bytes::No),
        }
    }

    pub(super) fn store(&mut self, size: u32, mem: Mem, src: Reg) {
        match size {
            1 => self.rm(false, &[0x88], src.0, mem, Bytes::Yes),
            2 => {
                self.byte(0x66);
                self.rm(false, &[0x89], src.0, mem, Bytes::No);
            }
            4 => self.rm(false, &[0x89], src.0, mem, Bytes::No),
            _ => self.rm(true, &[0x89], src.0, mem, Bytes::No),
        }
    }

    /// The low bytes of a value that 8 bytes sign-extend.
    pub(super) fn store_imm(&mut self, size: u32, mem: Mem, imm: i32) {
        match size {
            1 => {
                self.rm(false, &[0xc6], 0, mem, Bytes::No);
                self.byte(imm as u8);
            }
            2 => {
                self.byte(0x66);
                self.rm(false, &[0xc7], 0, mem, Bytes::No);
                self.code.bytes.extend((imm as i16).to_le_bytes());
            }
            _ => {
                self.rm(size == 8, &[0xc7], 0, mem, Bytes::No);
                self.imm32(imm);
            }
        }
    }

    /// Not locked. Compares with rax, which gets the old value when it differs.
    pub(super) fn cmpxchg(&mut self, wide: bool, mem: Mem, src: Reg) {
        self.rm(wide, &[0x0f, 0xb1], src.0, mem, Bytes::No);
    }

    pub(super) fn test(&mut self, wide: bool, a: Reg, b: Reg) {
        self.rr(wide, &[0x85], b.0, a, Bytes::No);
    }

    pub(super) fn test_imm(&mut self, wide: bool, a: Reg, imm: i32) {
        self.rr(wide, &[0xf7], 0, a, Bytes::No);
        self.imm32(imm);
    }

    pub(super) fn push(&mut self, reg: Reg) {
        self.rex(false, 0, 0, reg.0, Bytes::No);
        self.byte(0x50 | reg.0 & 7);
    }

    pub(super) fn pop(&mut self, reg: Reg) {
        self.rex(false, 0, 0, reg.0, Bytes::No);
        self.byte(0x58 | reg.0 & 7);
    }

    pub(super) fn ret(&mut self) {
        self.byte(0xc3);
    }

    fn target(&mut self, to: Label) {
        let at = self.code.bytes.len();
        self.code.fixup(at, to);
        self.imm32(0);
    }

    pub(super) fn jmp(&mut self, to: Label) {
        self.byte(0xe9);
        self.target(to);
    }

    pub(super) fn jcc(&mut self, cc: u8, to: Label) {
        self.byte(0x0f);
        self.byte(0x80 | cc);
        self.target(to);
    }

    pub(super) fn call(&mut self, to: Label) {
        self.byte(0xe8);
        self.target(to);
    }

    pub(super) fn call_reg(&mut self, to: Reg) {
        self.rr(false, &[0xff], 2, to, Bytes::No);
    }
}

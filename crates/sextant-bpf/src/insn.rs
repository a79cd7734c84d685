//! Instruction encoding: constants of the opcode byte and the 8 bytes of [`Insn`] (RFC 9669, section 3).
//!
//! ```text
//!  byte 0   1          2    4        8
//!       ┌──────┬─────┬─────┬────────┬────────────┐
//!       │ code │ src │ dst │ off    │ imm        │   little-endian, dst in the low half of byte 1
//!       └──────┴─────┴─────┴────────┴────────────┘
//!  code of ALU, ALU64, JMP, JMP32:  op (4 bits) · source K/X (1) · class (3)
//!  code of LD, LDX, ST, STX:        mode (3 bits) · size (2)     · class (3)
//! ```
//!
//! Which codes exist is [`crate::opcode::TABLE`]'s business; this module converts any bit pattern, so that a decoder can
//! name what it refuses. Mirrors include/uapi/linux/bpf.h (7.3). Big-endian programs are left out.

pub use sextant_abi::image::Insn;
use thiserror::Error;

/// Bytes of one instruction slot.
pub const INSN_BYTES: usize = 8;

/// Class (bits 0-2): load immediate, legacy packet loads.
pub const BPF_LD: u8 = 0x00;
/// Class: load into a register.
pub const BPF_LDX: u8 = 0x01;
/// Class: store an immediate.
pub const BPF_ST: u8 = 0x02;
/// Class: store a register; atomics.
pub const BPF_STX: u8 = 0x03;
/// Class: 32-bit arithmetic.
pub const BPF_ALU: u8 = 0x04;
/// Class: jumps on 64 bits, call, exit.
pub const BPF_JMP: u8 = 0x05;
/// Class: jumps on 32 bits.
pub const BPF_JMP32: u8 = 0x06;
/// Class: 64-bit arithmetic.
pub const BPF_ALU64: u8 = 0x07;

/// Source (bit 3): the immediate.
pub const BPF_K: u8 = 0x00;
/// Source: the src register.
pub const BPF_X: u8 = 0x08;

/// Size (bits 3-4): 4 bytes.
pub const BPF_W: u8 = 0x00;
/// Size: 2 bytes.
pub const BPF_H: u8 = 0x08;
/// Size: 1 byte.
pub const BPF_B: u8 = 0x10;
/// Size: 8 bytes.
pub const BPF_DW: u8 = 0x18;

/// Mode (bits 5-7): 64-bit immediate.
pub const BPF_IMM: u8 = 0x00;
/// Mode: legacy packet load at a fixed offset.
pub const BPF_ABS: u8 = 0x20;
/// Mode: legacy packet load at a register's offset.
pub const BPF_IND: u8 = 0x40;
/// Mode: memory.
pub const BPF_MEM: u8 = 0x60;
/// Mode: memory, sign-extending load.
pub const BPF_MEMSX: u8 = 0x80;
/// Mode: atomic operation, chosen by `imm`.
pub const BPF_ATOMIC: u8 = 0xc0;

/// ALU: `dst += src`
pub const BPF_ADD: u8 = 0x00;
/// ALU: `dst -= src`
pub const BPF_SUB: u8 = 0x10;
/// ALU: `dst *= src`
pub const BPF_MUL: u8 = 0x20;
/// ALU: `dst /= src`; signed when `off` is 1. By zero gives 0.
pub const BPF_DIV: u8 = 0x30;
/// ALU: `dst |= src`
pub const BPF_OR: u8 = 0x40;
/// ALU: `dst &= src`
pub const BPF_AND: u8 = 0x50;
/// ALU: `dst <<= src`, the count masked to the width.
pub const BPF_LSH: u8 = 0x60;
/// ALU: `dst >>= src`, logical.
pub const BPF_RSH: u8 = 0x70;
/// ALU: `dst = -dst`
pub const BPF_NEG: u8 = 0x80;
/// ALU: `dst %= src`; signed when `off` is 1. By zero leaves dst.
pub const BPF_MOD: u8 = 0x90;
/// ALU: `dst ^= src`
pub const BPF_XOR: u8 = 0xa0;
/// ALU: `dst = src`; sign-extending when `off` is 8, 16 or 32.
pub const BPF_MOV: u8 = 0xb0;
/// ALU: `dst >>= src`, arithmetic.
pub const BPF_ARSH: u8 = 0xc0;
/// ALU: byte order; `imm` is the width in bits.
pub const BPF_END: u8 = 0xd0;

/// Jump: always.
pub const BPF_JA: u8 = 0x00;
/// Jump: `==`
pub const BPF_JEQ: u8 = 0x10;
/// Jump: `>` unsigned
pub const BPF_JGT: u8 = 0x20;
/// Jump: `>=` unsigned
pub const BPF_JGE: u8 = 0x30;
/// Jump: `dst & src` not zero
pub const BPF_JSET: u8 = 0x40;
/// Jump: `!=`
pub const BPF_JNE: u8 = 0x50;
/// Jump: `>` signed
pub const BPF_JSGT: u8 = 0x60;
/// Jump: `>=` signed
pub const BPF_JSGE: u8 = 0x70;
/// Call, by `src`: helper, function of the program, kfunc.
pub const BPF_CALL: u8 = 0x80;
/// Return.
pub const BPF_EXIT: u8 = 0x90;
/// Jump: `<` unsigned
pub const BPF_JLT: u8 = 0xa0;
/// Jump: `<=` unsigned
pub const BPF_JLE: u8 = 0xb0;
/// Jump: `<` signed
pub const BPF_JSLT: u8 = 0xc0;
/// Jump: `<=` signed
pub const BPF_JSLE: u8 = 0xd0;
/// Jump: `may_goto`, taken when the loop budget is used up.
pub const BPF_JCOND: u8 = 0xe0;

/// Atomic `imm` bit: the old value comes back in src (r0 for cmpxchg).
pub const BPF_FETCH: i32 = 0x01;
/// Atomic `imm`: exchange.
pub const BPF_XCHG: i32 = 0xe0 | BPF_FETCH;
/// Atomic `imm`: compare r0, exchange src.
pub const BPF_CMPXCHG: i32 = 0xf0 | BPF_FETCH;
/// Atomic `imm`: load with acquire order.
pub const BPF_LOAD_ACQ: i32 = 0x100;
/// Atomic `imm`: store with release order.
pub const BPF_STORE_REL: i32 = 0x110;

/// Code of the first slot of a `ld_imm64`.
pub const LD_IMM64: u8 = BPF_LD | BPF_IMM | BPF_DW;
/// `ld_imm64` src: `imm` is a map fd.
pub const BPF_PSEUDO_MAP_FD: u8 = 1;
/// `ld_imm64` src: map fd in `imm`, offset into value 0 in the second slot's `imm`.
pub const BPF_PSEUDO_MAP_VALUE: u8 = 2;
/// `ld_imm64` src: BTF id of a kernel variable; the second slot's `imm` is the BTF object's fd.
pub const BPF_PSEUDO_BTF_ID: u8 = 3;
/// `ld_imm64` src: a function of this program, `imm` slots from the next instruction.
pub const BPF_PSEUDO_FUNC: u8 = 4;
/// `ld_imm64` src: index into the program's fd array.
pub const BPF_PSEUDO_MAP_IDX: u8 = 5;
/// `ld_imm64` src: index into the fd array, offset in the second slot.
pub const BPF_PSEUDO_MAP_IDX_VALUE: u8 = 6;

/// `call` src: a function of this program, `imm` slots from the next instruction.
pub const BPF_PSEUDO_CALL: u8 = 1;
/// `call` src: `imm` is a kfunc's BTF id, `off` the index of its BTF object (0: vmlinux).
pub const BPF_PSEUDO_KFUNC_CALL: u8 = 2;

/// Highest register: r10, the frame pointer.
pub const MAX_REG: u8 = 10;

/// Instruction bytes that are not a whole number of slots.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("instruction bytes: length {len} is not a multiple of {INSN_BYTES}")]
pub struct TornInsn {
    /// Length in bytes.
    pub len: usize,
}

/// One instruction from its 8 bytes. Every bit pattern converts; registers are 0..=15.
pub const fn from_bytes(b: [u8; INSN_BYTES]) -> Insn {
    Insn {
        code: b[0],
        dst: b[1] & 0x0f,
        src: b[1] >> 4,
        off: i16::from_le_bytes([b[2], b[3]]),
        imm: i32::from_le_bytes([b[4], b[5], b[6], b[7]]),
    }
}

/// The 8 bytes of one instruction. Only the low four bits of a register field are kept.
pub const fn to_bytes(insn: Insn) -> [u8; INSN_BYTES] {
    let [o0, o1] = insn.off.to_le_bytes();
    let [i0, i1, i2, i3] = insn.imm.to_le_bytes();
    [insn.code, (insn.src << 4) | (insn.dst & 0x0f), o0, o1, i0, i1, i2, i3]
}

/// A program from its bytes.
pub fn decode(bytes: &[u8]) -> Result<Vec<Insn>, TornInsn> {
    let (slots, rest) = bytes.as_chunks::<INSN_BYTES>();
    if !rest.is_empty() {
        return Err(TornInsn { len: bytes.len() });
    }
    Ok(slots.iter().map(|b| from_bytes(*b)).collect())
}

/// A program's bytes.
pub fn encode(insns: &[Insn]) -> Vec<u8> {
    insns.iter().flat_map(|i| to_bytes(*i)).collect()
}

/// The class bits of a code.
pub const fn class(code: u8) -> u8 {
    code & 0x07
}

/// Whether this is the first slot of a `ld_imm64`, so that the next slot is not an instruction.
pub const fn is_ld_imm64(insn: &Insn) -> bool {
    insn.code == LD_IMM64
}

/// The 64-bit constant of the two slots of a `ld_imm64`.
pub const fn imm64(first: &Insn, second: &Insn) -> u64 {
    ((second.imm as u32 as u64) << 32) | first.imm as u32 as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_the_documented_layout() {
        let i = from_bytes([0x7b, 0x1a, 0xf8, 0xff, 0x78, 0x56, 0x34, 0x12]);
        assert_eq!(i, Insn { code: 0x7b, dst: 10, src: 1, off: -8, imm: 0x1234_5678 });
    }

    #[test]
    fn every_field_value_survives_a_round_trip() {
        for code in 0..=255u8 {
            for (regs, off, imm) in
                [(0u8, 0i16, 0i32), (0xff, -1, -1), (0xa9, i16::MIN, i32::MIN), (0x1a, 8, 77)]
            {
                let i = Insn { code, dst: regs & 15, src: regs >> 4, off, imm };
                assert_eq!(from_bytes(to_bytes(i)), i);
            }
        }
    }

    #[test]
    fn a_torn_program_is_an_error() {
        assert_eq!(decode(&[0; 12]), Err(TornInsn { len: 12 }));
        assert_eq!(decode(&[0; 16]).map(|v| v.len()), Ok(2));
    }
}

//! What an instruction does, free of its encoding: the meaning column of [`crate::opcode::TABLE`].
//!
//! The interpreter, the verifier and the disassembler match on [`Kind`]; operands are in the instruction's fields.

/// Bytes of a memory access.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Size {
    /// 1 byte.
    B,
    /// 2 bytes.
    H,
    /// 4 bytes.
    W,
    /// 8 bytes.
    Dw,
}

impl Size {
    /// The size in bytes: 1, 2, 4 or 8.
    pub const fn bytes(self) -> u32 {
        match self {
            Size::B => 1,
            Size::H => 2,
            Size::W => 4,
            Size::Dw => 8,
        }
    }
}

/// Second operand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operand {
    /// The immediate, sign-extended.
    Imm,
    /// The src register.
    Reg,
}

/// Arithmetic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Alu {
    Add,
    Sub,
    Mul,
    Div,
    Or,
    And,
    Lsh,
    Rsh,
    Mod,
    Xor,
    Mov,
    Arsh,
    Sdiv,
    Smod,
}

/// A jump's condition; `S` is signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Cond {
    Eq,
    Gt,
    Ge,
    Set,
    Ne,
    Sgt,
    Sge,
    Lt,
    Le,
    Slt,
    Sle,
}

/// An atomic read-modify-write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum AtomicOp {
    Add,
    Or,
    And,
    Xor,
    Xchg,
    Cmpxchg,
}

/// Byte order operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// To little-endian: truncates here.
    Le,
    /// To big-endian: swaps here.
    Be,
    /// Swaps always.
    Bswap,
}

/// What a call calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Callee {
    /// Helper number `imm`.
    Helper,
    /// Function of this program, `imm` slots from the next instruction.
    Local,
    /// Kfunc with BTF id `imm`.
    Kfunc,
    /// Function whose address is in dst.
    Reg,
}

/// What the 64-bit immediate of a `ld_imm64` stands for (its src field).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Imm64 {
    Const,
    MapFd,
    MapValue,
    BtfId,
    Func,
    MapIdx,
    MapIdxValue,
}

/// What an instruction does. `wide`: on 64 bits, else on 32 with the upper half zeroed (ALU) or ignored (jumps).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `dst = dst op operand` (mov: `dst = operand`).
    Alu {
        /// The operation.
        op: Alu,
        /// 64 bits.
        wide: bool,
        /// Second operand.
        operand: Operand,
    },
    /// `dst = -dst`
    Neg {
        /// 64 bits.
        wide: bool,
    },
    /// `dst = sign-extended low `bits` of src`
    MovSx {
        /// 8, 16 or 32.
        bits: u8,
        /// 64 bits.
        wide: bool,
    },
    /// `dst = byte order op on the low `bits` of dst`, the rest zero.
    End {
        /// The operation.
        order: Order,
        /// 16, 32 or 64.
        bits: u8,
    },
    /// Arena pointer conversion, `imm` = dst space << 16 | src space.
    AddrSpaceCast,
    /// `dst = imm64` (two slots).
    LdImm64(Imm64),
    /// `dst = *(size *)(src + off)`
    Load {
        /// Bytes.
        size: Size,
        /// Sign-extend to 64 bits.
        signed: bool,
    },
    /// `*(size *)(dst + off) = operand`
    Store {
        /// Bytes.
        size: Size,
        /// What is stored.
        operand: Operand,
    },
    /// Atomic on `*(size *)(dst + off)`; `fetch`: the old value goes to src (cmpxchg: to r0).
    Atomic {
        /// The operation.
        op: AtomicOp,
        /// W or Dw.
        size: Size,
        /// Whether the old value comes back.
        fetch: bool,
    },
    /// `dst = load_acquire(src + off)`
    LoadAcquire {
        /// Bytes.
        size: Size,
    },
    /// `store_release(dst + off, src)`
    StoreRelease {
        /// Bytes.
        size: Size,
    },
    /// Legacy packet load into r0, at `imm` (and src when `ind`).
    LdSkb {
        /// Bytes: B, H or W.
        size: Size,
        /// Whether src is added.
        ind: bool,
    },
    /// Jump always: by `off`, or by `imm` when `long` (gotol).
    Ja {
        /// The 32-bit form.
        long: bool,
    },
    /// Jump by `off` if the condition holds.
    Jump {
        /// The condition.
        cond: Cond,
        /// 64 bits.
        wide: bool,
        /// Second operand.
        operand: Operand,
    },
    /// Jump by `off` when the loop budget is used up.
    MayGoto,
    /// Call.
    Call(Callee),
    /// Return.
    Exit,
}

//! Which registers hold something: with `--sanitize`, reading one that nothing wrote traps.

use crate::decode::{Code, Op, with_rows};
use crate::error::TrapKind;

const R0: u16 = 1;
const ARGS: u16 = 0b11_1110;
const SAVED: u16 = 0b11_1100_0000;
const FP: u16 = 1 << 10;

/// The registers written so far.
#[derive(Clone, Copy)]
pub(crate) struct Written(u16);

macro_rules! define_sets {
    ({}
        alu { $($alu:ident $ak:ident $ax:ident $ak32:ident $ax32:ident;)* }
        jump { $($cond:ident $jk:ident $jx:ident $jk32:ident $jx32:ident;)* }
        load { $($shape:tt $load:ident;)* }
        store { $($size:literal $sk:ident $sx:ident;)* }
    ) => {
        /// Registers an op reads, registers it writes. Calls: see [`Written::call`].
        fn sets(op: &Op) -> (u16, u16) {
            let (dst, src) = (1 << op.dst, 1 << op.src);
            match op.code {
                Code::MovK | Code::MovK32 | Code::LdImm64 => (0, dst),
                Code::MovX
                | Code::MovX32
                | Code::MovSx
                | Code::MovSx32
                | Code::CastKern
                | Code::CastUser => (src, dst),
                $(Code::$ak | Code::$ak32 => (dst, dst), Code::$ax | Code::$ax32 => (dst | src, dst),)*
                $(Code::$jk | Code::$jk32 => (dst, 0), Code::$jx | Code::$jx32 => (dst | src, 0),)*
                $(Code::$load => (src, dst),)*
                $(Code::$sk => (dst, 0), Code::$sx => (dst | src, 0),)*
                Code::Neg | Code::Neg32 | Code::End => (dst, dst),
                Code::Atomic => atomic_sets(op),
                // What returns nothing leaves nothing in r0.
                Code::Exit => (0, 0),
                Code::CallReg => (dst, 0),
                _ => (0, 0),
            }
        }
    };
}
#[allow(unreachable_patterns)] // the rows hold mov, which has its own line
mod generated {
    use super::*;
    with_rows!(define_sets! {});
    pub(super) fn of(op: &Op) -> (u16, u16) {
        sets(op)
    }
}

fn atomic_sets(op: &Op) -> (u16, u16) {
    let (dst, src) = (1 << op.dst, 1 << op.src);
    let is_cmpxchg = op.imm >> 8 == sextant_bpf::opcode::AtomicOp::Cmpxchg as u64;
    match (is_cmpxchg, op.imm & 0x10 != 0) {
        (true, _) => (dst | src | R0, R0),
        (false, true) => (dst | src, src),
        (false, false) => (dst | src, 0),
    }
}

impl Written {
    /// At a program's entry: its first `args` arguments and the frame pointer.
    pub(crate) fn entry(args: u32) -> Written {
        Written(((1 << (args + 1)) - 2) | FP)
    }

    /// An op is executed.
    pub(crate) fn op(&mut self, op: &Op) -> Result<(), TrapKind> {
        let (reads, writes) = generated::of(op);
        let missing = reads & !self.0;
        if missing != 0 {
            return Err(TrapKind::Uninit(missing.trailing_zeros() as u8));
        }
        self.0 |= writes;
        Ok(())
    }

    /// A helper or kfunc returned: r0 holds its result, r1..r5 nothing.
    pub(crate) fn returned(&mut self) {
        self.0 = (self.0 | R0) & !ARGS;
    }

    /// Inside a function just called: its arguments are the caller's r1..r5.
    pub(crate) fn callee(self) -> Written {
        Written(self.0 & ARGS | FP)
    }

    /// Back in the caller, which had `self` when it called; `callee` is what the function had written. r0 is what it left there.
    pub(crate) fn caller(self, callee: Written) -> Written {
        Written(self.0 & (SAVED | FP) | callee.0 & R0)
    }
}

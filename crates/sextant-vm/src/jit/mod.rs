//! Compiled programs: BPF to machine code, one pass, no optimizer.
//!
//! ```text
//!  decode::Op  ──lower──►  Backend (x86_64, aarch64)  ──memory──►  code that can run, no longer be written
//!                                                                   │ run: entered like the interpreter
//!  slow accesses, helpers, kfuncs  ◄──── run ◄─────────────────────┘
//! ```
//!
//! Must hold: a compiled program cannot be told from an interpreted one by its results, traps, instruction counts or what it
//! reaches. Three rules give that:
//!
//! - Compiled code does only what needs no judgement: arithmetic, jumps, and accesses that the wall's table ([`Walls`]) lets
//!   pass. Everything else is a call into the functions that the interpreter uses.
//! - Where it would have to trap, and where the instruction budget ends within a block, it *leaves*: the interpreter goes on
//!   from that very instruction with the same registers, frames and counts, and traps (or does not) by its own rules.
//! - Instructions are counted per block, ahead; whoever leaves within a block gives back what was not executed.
//!
//! Leaves out: `--sanitize` (always interpreted), native code for `callx` (it leaves), sharing of equal
//! subprograms between programs. Why it is written by hand: docs/engines.md.

#[cfg(test)]
mod aarch64;
mod code;
mod lower;
mod memory;
mod run;
mod x86_64;
mod x86_encode;

#[cfg(test)]
mod tests;

use crate::decode::Prog;
pub(crate) use memory::Compiled;
pub(crate) use run::{State, run};

/// What runs programs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Engine {
    /// One match per instruction; everywhere.
    #[default]
    Interpreter,
    /// Native code, made when a program first runs. With `sanitize`, and where [`Engine::is_available`] says no, programs are
    /// interpreted all the same.
    Jit,
}

impl Engine {
    /// Whether this machine has it.
    pub const fn is_available(self) -> bool {
        matches!(self, Engine::Interpreter) || cfg!(all(target_arch = "x86_64", target_os = "linux"))
    }
}

/// Compiles a program for this machine; `None` where there is no back end or the host gives no executable memory.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) fn compile(prog: &Prog) -> Option<Compiled> {
    Compiled::new(lower::lower::<x86_64::X86>(prog, &run::runtime()))
}

/// No back end for this machine.
#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
pub(crate) fn compile(_: &Prog) -> Option<Compiled> {
    None
}

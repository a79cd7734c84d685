//! The BPF instruction set and BTF, as data: encoding, assembler, disassembler, BTF reader and writer.
//!
//! What must hold: one opcode table ([`opcode::TABLE`]) from which everything about opcodes derives; a reader never panics
//! and never allocates by an unchecked count, whatever the bytes. No files, threads or unsafe.
#![forbid(unsafe_code)]

pub mod asm;
pub mod btf;
pub mod conformance;
pub mod disasm;
pub mod headers;
pub mod insn;
pub mod kind;
pub mod opcode;
pub mod vmlinux;

pub use insn::Insn;
pub use opcode::Opcode;

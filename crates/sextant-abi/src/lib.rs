//! Plain data that every room uses, declared once: units, the kernel types a BPF program sees, tables of
//! ops, helpers and kfuncs, constants of the emulated kernel, and what the rooms hand each other.
//!
//! No files, no unsafe, no behaviour beyond accessors.
#![forbid(unsafe_code)]

pub mod cpuset;
pub mod exit;
pub mod image;
pub mod mem;
pub mod tables;
pub mod types;
pub mod units;

pub use cpuset::CpuMaskBits;
pub use exit::{ExitInfo, ExitKind, ExitOrigin, ProgPlace};
pub use image::{Insn, LocalType, ProgramImage, Reloc, SpecialField, Subprog};
pub use mem::{Mem, ObjKind};
pub use units::{CpuId, DsqId, Ns, Vtime};

//! What can be said about a program before it runs.
//!
//! [`structure`] is what the decoder must be able to rely on; [`mod@reach`] marks what constants make unreachable and finds calls
//! that cannot be made; [`verify`] follows every path and proves the program safe, or says with a [`Rejection`] why not. No files, no
//! unsafe; a verdict here never decides what memory a program can touch (the vm checks every access by itself).
//!
//! BPF_PROG_LOAD fills a [`Program`]; [`range`] is the arithmetic below it all, [`diag::Code`] the list of reasons.
#![forbid(unsafe_code)]

mod advice;
mod check;
pub mod diag;
mod fields;
mod hook;
pub mod program;
pub mod range;
pub mod reach;
mod render;
pub mod structure;

pub use check::{MAX_PROCESSED, verify, verify_with_log};
pub use diag::{Accepted, Code, Rejection};
pub use program::{
    CtxArg, FieldKind, FieldsError, Holder, Hook, MapDesc, ProgKind, Program, SpecialFields, check_objects,
    gpl_compatible,
};
pub use reach::{Reach, UnknownFunc, reach};
pub use structure::{StructureError, check};

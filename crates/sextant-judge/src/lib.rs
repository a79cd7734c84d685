//! The kernel's own verifier tests (the annotated files of tools/testing/selftests/bpf/progs) as the judge of our verifier.
//!
//! [`annotation`] reads what a test expects, [`load`] brings its programs through libbpf to the verifier, [`scope`] and [`bound`] say from the program
//! alone whether a test asks for something that Sextant does not claim, [`reason`] compares the kernel's words with ours, [`report`]
//! writes docs/parity/verifier.md. `cargo xtask verifier-tests` compiles the tests and runs the program of this crate.
//!
//! What must hold: no list of tests by name; a test without an answer counts as wrong. Left out: unprivileged expectations, the
//! verifier's log, xlated and jited code, running the program.
#![forbid(unsafe_code)]

pub mod annotation;
pub mod bound;
pub mod load;
pub mod reason;
pub mod report;
pub mod scope;

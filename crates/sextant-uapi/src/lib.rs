//! bpf(2) under libbpf: opens a scheduler's object with the loader everybody uses, in this process, and answers that
//! loader's system calls from an emulated 7.3 kernel.
//!
//! ```text
//!  bytes ── elf (whole? BPF? struct_ops?) ── libbpf open ── Opened: set/get globals, inspect
//!                                                             │ load
//!                          libbpf ── hook ── kernel: BTF, maps, programs, struct_ops, links ── vm
//!                                                             ▼
//!                                                           Loaded: ops table as names and program ids
//! ```
//!
//! What must hold: no call of libbpf reaches the host's kernel ([`hook`]); nothing libbpf learns comes from the host;
//! the current kernel belongs to the thread ([`with_kernel`]), and what libbpf caches for the whole process (which
//! features the kernel has) is the same for all kernels.
//!
//! Mirrors kernel/bpf/{syscall,bpf_struct_ops,btf}.c of 7.3. Leaves out the program's safety: the vm checks every access.

pub mod attr;
pub mod code;
pub mod elf;
pub mod errno;
pub mod error;
pub mod facts;
mod fill;
pub mod globals;
pub mod hook;
pub mod inspect;
pub mod kernel;
pub mod load;
pub mod loaded;
pub mod ops_table;
mod print;
pub mod script;
mod shown;
mod types;
mod user;

pub use errno::Errno;
pub use error::LoadError;
pub use kernel::{Judged, Kernel, KernelConfig, Outcome, ProgType, SourceLine, Verdict, with_kernel};
pub use load::{OpenOptions, Opened, open};

pub use loaded::{Loaded, LoadedOps, OtherProg};
pub use print::catching;
pub use shown::{ShownElement, ShownMap};

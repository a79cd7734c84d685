//! Runs BPF programs: memory they can reach, maps, helpers, timers, an interpreter and a compiler ([`Engine`]).
//!
//! Must hold (invariant 2): whatever a program does, it touches only memory of the [`Region`], there only what is allocated,
//! and stores only where a program may store; anything else ends it with a [`Trap`]. Nothing here relies on a
//! verifier. Determinism (invariant 3): no clock, thread, random seed or host address; addresses are numbers of ours.
//!
//! The kernel around the programs is a [`Host`].

pub mod error;
pub mod host;
pub mod map;
pub mod region;

mod arena;
mod decode;
mod exec;
mod helper;
mod interp;
mod jit;
mod kfunc;
mod owned;
mod sanitize;
mod timer;
mod unload;
mod vm;

pub use error::{Errno, Fault, Trap, TrapInfo, TrapKind, Why};
pub use helper::is_implemented as helper_is_implemented;
pub use helper::print::Printed;
pub use host::Host;
pub use jit::Engine;
pub use kfunc::is_core_kfunc;
pub use map::{DroppedKptr, Element, ElementKey, MapId, MapSpec, SpecialField};
pub use region::{Access, DEFAULT_MEMORY, Region, RegionConfig};
pub use unload::Mark;
pub use vm::{ArenaPages, INSN_BUDGET, PerfRecord, ProgId, Run, Vm, VmConfig};

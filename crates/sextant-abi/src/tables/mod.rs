//! One table per thing; what the rooms know of ops, kfuncs, helpers and constants is derived from these.
//! Enums that programs see (`SCX_*`) are declared with the types, in [`types::enums`](crate::types::enums).

pub mod bpf;
pub mod events;
pub mod flags;
pub mod helper_protos;
pub mod helpers;
pub mod kconfig;
pub mod kfuncs;
pub mod ksyms;
pub mod ops;
mod percpu_names;
pub mod task;
mod trace;

#[cfg(test)]
mod tests;

pub use events::{EVENTS, Event};
pub use flags::{DeqFlags, EnqFlags, KickFlags, OpsFlags, PickIdleFlags, WakeFlags};
pub use helper_protos::{HELPER_PROTOS, HelperProto};
pub use helpers::{HELPERS, Helper, HelperId};
pub use kfuncs::{COMPAT_MARKERS, KFUNCS, Kfunc, KfuncFlags, KfuncGroups, KfuncId, OLD_NAMES};
pub use ksyms::{CPU_KHZ, PERCPU_VARS, PercpuVar};
pub use ops::{OPS, Op, OpArg, OpDesc, OpRet};
pub use percpu_names::linux_has_percpu_var;
pub use trace::{TRACE_TARGETS, TracePoint, TraceTarget};

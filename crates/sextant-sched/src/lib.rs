//! `kernel/sched` in Rust: tasks, runqueues, the order of the classes, and sched_ext (`ext`).
//!
//! What must hold: no clock, no thread, no file. The machine (`sextant-sim`) enters with a CPU and a time
//! (`Sched::enter`), calls one entry point, and drains `Sched::requests` and `Sched::events`. All state sits behind
//! indices (`TaskId`, `CpuId`, `DsqId`); no reference is held across a call into a policy, so an op may call any kfunc.
//!
//! Fields that a BPF program can see live only in BPF-visible memory and are read through the accessors of
//! `sextant-abi`; what the class depends on (ids, list links, ops_state) is ordinary Rust.
//!
//! Mirrors kernel/sched/{core,deadline,fair,rt,idle}.c and kernel/sched/ext/*.c of 7.3. Locks are not modelled: an entry point is atomic.
#![forbid(unsafe_code)]

pub mod cgroup;
pub mod core;
pub mod deadline;
pub mod event;
pub mod ext;
pub mod fair;
pub mod idle;
pub mod native;
pub mod ops;
pub mod probe;
pub mod rq;
pub mod rt;
pub mod sched;
pub mod task;
pub mod topology;

#[cfg(feature = "bpf")]
pub mod bpf;

pub use cgroup::{CgroupError, CgroupId};
pub use event::Event;
pub use ops::Ops;
pub use sched::{Config, Request, Sched, TimerId, Work};
pub use task::{Class, OnRq, Task, TaskAttr, TaskId};

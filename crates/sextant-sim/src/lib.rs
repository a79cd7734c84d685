//! The machine around `sextant-sched`: virtual time, CPUs, timers, IPIs, costs, and the workload that runs on it.
//!
//! What must hold: no wall clock, no thread; the same configuration, workload and seed give the same events. The seed drives
//! `get_prandom`, start offsets and the noise on costs, nothing else.
#![forbid(unsafe_code)]

pub mod cost;
mod interp;
pub mod machine;
mod population;
mod queue;
pub mod stats;
mod user;
pub mod workload;

pub use machine::{Ended, EventSink, NoSink, Outcome, SimConfig, SimError, Simulation};
pub use stats::{CpuResult, GroupResult, Latency, TaskResult};
pub use workload::Workload;

//! The machine around `sextant-sched`: virtual time, CPUs, timers, IPIs, costs, and the workload that runs on it.
//!
//! What must hold: no wall clock, no thread; the same configuration, workload and seed give the same events. The seed drives
//! `get_prandom`, start offsets and the noise on costs, nothing else.
#![forbid(unsafe_code)]

pub mod check;
mod config;
pub mod cost;
mod interp;
pub mod long;
pub mod machine;
mod population;
mod queue;
pub mod script;
mod stage;
mod start;
pub mod stats;
pub mod swap;
mod user;
pub mod workload;

pub use config::{After, Ended, EventSink, NoSink, Outcome, SimConfig, SimError};
pub use long::{LongCalls, LongOp};
pub use machine::{Simulation, UPTIME};
pub use stats::{CpuResult, GroupResult, Latency, TaskResult};
pub use swap::{SwapPlan, SwapResult};
pub use user::MAX_TASKS;
pub use workload::Workload;

//! The machine around `sextant-sched`: virtual time, CPUs, timers, IPIs, costs, and the workload that runs on it.
//!
//! What must hold: no wall clock, no thread; the same configuration, workload and seed give the same events.
#![forbid(unsafe_code)]

pub mod workload;

pub use workload::Workload;

//! Replays recordings of the sched_ext class of a real Linux 7.3.4 kernel against ours, and counts the decisions on which both
//! agree: ops called with their arguments, insertions with slice and vtime, removals, consumption, picks, idle claims, charges
//! of slices, kicks.
//!
//! Two ways. In the first the BPF side comes from the recording (`ops::TraceOps`): what the class is tested for is what it makes of the inputs and of
//! the scheduler's answers. What must hold: nothing of the recording's decisions reaches the class except through `Ops` and,
//! counted as a miss, where its state had already gone another way. In the second (`live`) the scheduler's own object runs in our vm,
//! and its calls of kernel functions are compared as well.
//!
//! Leaves out: the order in which a scheduler's load and unload go through tasks and cgroups (those loops are driven by the
//! recording), and what the core decides (wakeup preemption at the top level, which task migrates where).
#![forbid(unsafe_code)]

mod env;
mod item;
mod live;
mod model;
pub mod object;
mod ops;
pub mod recording;
pub mod replay;
pub mod report;
mod schedulers;
mod token;

pub use object::ObjectError;
pub use recording::{Recording, RecordingError};
pub use replay::{ReplayError, replay, replay_live};
pub use report::Report;

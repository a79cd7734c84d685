//! The kernel's sched_ext selftests (tools/testing/selftests/sched_ext of 7.3): the unmodified object of each on a simulated machine. A test
//! here does what the user-space half of the kernel's test does, in its order and with its conditions, and judges by the object's
//! own variables. Names are the kernel's.
//!
//! The kernel's examples run for a minute each in `minute`.
//!
//! The objects come from `cargo xtask kernel-examples`; without them each test says SKIPPED.

mod attach;
mod cid;
mod custody;
mod drive;
mod dsq;
mod exits;
mod idle;
mod minute;
mod progress;
mod tasks;
mod verifier;

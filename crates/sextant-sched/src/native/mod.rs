//! Policies in Rust: the same ops trait that a BPF scheduler implements. How a policy is prototyped, and the proof
//! that the class does not know BPF exists.
//!
//! What must hold: a policy keeps its state behind `Cell`/`RefCell` and borrows nothing across a kfunc, since ops nest.

pub mod fifo;
pub mod mem;
pub mod vtime;

pub use fifo::Fifo;
pub use mem::VecMem;
pub use vtime::VtimeFair;

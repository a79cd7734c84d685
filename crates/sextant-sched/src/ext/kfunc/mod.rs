//! The kfuncs of a scheduler as methods of `Sched`, with typed arguments: `kf_` + the canonical name of 7.3. Which program may
//! call which is decided at load; here is what they do.
//!
//! Without a scheduler, and after ops.exit, each behaves as the kernel's when it finds none.

mod cid;
mod cpu;
mod dispatch;
mod exit;
mod idle;
pub mod iter;

use crate::sched::Sched;
use crate::task::TaskId;

/// ENODEV, as kfuncs return it: no scheduler.
pub(crate) const ENODEV: i32 = -19;
/// ENOENT, as kfuncs return it.
pub(crate) const ENOENT: i32 = -2;
/// EINVAL, as kfuncs return it.
pub(crate) const EINVAL: i32 = -22;
/// EOPNOTSUPP, as kfuncs return it.
pub(crate) const EOPNOTSUPP: i32 = -95;
/// EEXIST, as kfuncs return it.
pub(crate) const EEXIST: i32 = -17;

impl Sched {
    /// Whether kfuncs find a scheduler.
    pub(crate) fn has_sched(&self) -> bool {
        self.ext.ops.is_some() && !self.ext.dead
    }

    /// `scx_task_on_sched`: the scheduler has initialised the task.
    pub(crate) fn task_on_sched(&self, p: TaskId) -> bool {
        use sextant_abi::types::{SCX_TASK_DEAD, SCX_TASK_INIT};
        let state = self.scx_task_state(p);
        state >= SCX_TASK_INIT && state != SCX_TASK_DEAD
    }
}

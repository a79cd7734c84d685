//! sched_ext: the class whose policy is an ops table. `Ext` is the state that is not per task or per runqueue.
//!
//! One file per subject, functions named as in the kernel. An entry point is atomic, so what the kernel does under locks,
//! with retries when a race is lost, is one step here; `SCX_OPSS_*` and `holding_cpu` remain where a nested op could see them.
//!
//! Mirrors kernel/sched/ext/{ext,idle}.c of 7.3. Left out: IMMED and reenqueue, LLC/NUMA/SMT branches, bypass load balancing,
//! core-sched, sub-schedulers, the cid form.

pub mod class;
pub mod entity;
pub(crate) mod list;
pub mod rq;
pub(crate) mod tree;

use std::rc::Rc;

use crate::ops::Ops;

/// `enum scx_enable_state`
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EnableState {
    /// A scheduler is being loaded.
    Enabling,
    /// A scheduler is in charge.
    Enabled,
    /// A scheduler is being thrown out.
    Disabling,
    /// None.
    Disabled,
}

/// The class's global state: at most one scheduler.
pub struct Ext {
    pub(crate) ops: Option<Rc<dyn Ops>>,
    pub(crate) state: EnableState,
}

impl Ext {
    /// No scheduler, `nr_cpus` CPUs.
    pub fn new(nr_cpus: u32) -> Self {
        let _ = nr_cpus;
        Self { ops: None, state: EnableState::Disabled }
    }

    /// Enable state.
    pub fn state(&self) -> EnableState {
        self.state
    }
}

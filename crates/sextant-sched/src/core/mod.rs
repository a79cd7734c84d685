//! The scheduler core: wakeups, the class order, `__schedule`, forks and exits, property changes, ticks.
//!
//! Entry points for the machine (each atomic; the machine drains `requests` and `events` afterwards):
//! `schedule`, `try_to_wake_up`, `sched_fork` + `wake_up_new_task`, `block_current`, `exit_current`, `tick`,
//! `yield_current`, `set_user_nice`, `set_cpus_allowed`, `sched_setscheduler`, `irq_work`, `timer_fire`, `run_work`,
//! `stopper_thread`, `cpu_deactivate`, `cpu_dead`, `cpu_activate`, and `rcu_flush` at the end of each.
//!
//! What must hold: a task is on at most one runqueue and runs on at most one CPU; `nr_running` is kept here, by
//! `enqueue_task`/`dequeue_task`, for all classes; every change of a task's scheduling property goes through
//! `sched_change_begin`/`sched_change_end`.
//!
//! Mirrors kernel/sched/core.c and syscalls.c of 7.3. Left out: deadline and proxy execution, cpusets, core scheduling, the wakelist (a wakeup always enqueues at once), PSI, uclamp.

pub mod flags;

mod affinity;
mod boot;
mod change;
mod check;
mod clock;
mod exit;
mod fork;
mod hotplug;
mod list;
mod queue;
mod schedule;
mod tick;
mod trace;
mod wakeup;

pub use boot::RootCgroup;
pub use change::ChangeCtx;
pub use hotplug::HotplugError;

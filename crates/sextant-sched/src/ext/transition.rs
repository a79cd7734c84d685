//! Enabling and disabling in steps: `scx_root_enable_workfn` and `scx_disable_workfn` take their time, and the machine goes on meanwhile,
//! in bypass mode.
//!
//! ```text
//!  enable:   begin (ops.init, bypass on) ─► 2 grace periods ─► ops.init_task for all ─► all into their new class ─► bypass off
//!  disable:  bypass on ─► 2 grace periods ─► all to fair, ops.exit_task ─► 1 ─► ops.exit ─► 1 ─► bypass off
//! ```
//!
//! The grace periods are those of RCU that writing the per-CPU rwsems of fork and cgroups waits for, and of switching the static keys.
//! How long they are is the machine's business. What must hold: a step is an entry like any other; who forks or exits between two steps
//! is treated by its own state (`scx_get_task_state`), never twice; an exit that is claimed while a scheduler comes waits for
//! the last step. CPU hotplug is held off by the machine (`cpus_read_lock`).

use super::EnableState;
use super::idle::EBUSY;
use crate::ops::OpsParams;
use crate::sched::Sched;
use crate::task::TaskId;

/// Tasks handled in one step (SCX_TASK_ITER_BATCH).
const BATCH: usize = 32;

/// What comes next after a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// The next step, as soon as the kernel thread can; so many tasks were handled in this one.
    Again {
        /// 0..=32
        tasks: u32,
    },
    /// A grace period has to pass.
    GracePeriod,
    /// It is over.
    Done,
}

/// How far it is. Tasks are still to come, last first.
#[derive(Clone, Debug)]
pub(crate) enum Stage {
    /// So many grace periods, then the tasks.
    Wait(u32),
    /// ops.init_task.
    Init(Vec<TaskId>),
    /// Into their new class, or back to fair.
    Switch(Vec<TaskId>),
    /// All are back: ops.exit.
    Exit,
    /// Bypass off.
    End,
}

/// A scheduler on its way.
#[derive(Clone, Debug)]
pub(crate) enum Transition {
    Enable(Box<OpsParams>, Stage),
    Disable(Stage),
}

const NEXT: Step = Step::Again { tasks: 0 };

impl Sched {
    /// Whether a scheduler is being enabled or disabled in steps.
    pub fn scx_in_transition(&self) -> bool {
        self.ext.transition.is_some()
    }

    /// Goes on with what `scx_enable_begin` or `scx_unregister_begin` has begun.
    pub fn scx_step(&mut self) -> Step {
        match self.ext.transition.take() {
            None => Step::Done,
            Some(Transition::Enable(params, stage)) => match self.enable_step(&params, stage) {
                Ok((Some(stage), step)) => {
                    self.ext.transition = Some(Transition::Enable(params, stage));
                    step
                }
                Ok((None, step)) => step,
                Err(errno) => {
                    self.enable_failed(errno);
                    Step::Done
                }
            },
            Some(Transition::Disable(stage)) => {
                let (stage, step) = self.disable_step(stage);
                self.ext.transition = stage.map(Transition::Disable);
                step
            }
        }
    }

    /// All steps that are left, at once.
    pub fn scx_finish_transition(&mut self) {
        while self.scx_step() != Step::Done {}
    }

    fn enable_step(&mut self, params: &OpsParams, stage: Stage) -> Result<(Option<Stage>, Step), i32> {
        Ok(match stage {
            Stage::Wait(0) => {
                self.ext.init_task_enabled = true;
                self.scx_cgroup_init()?;
                (Some(Stage::Init(self.tasks_to_come())), NEXT)
            }
            Stage::Wait(n) => (Some(Stage::Wait(n - 1)), Step::GracePeriod),
            Stage::Init(mut tasks) => {
                let batch = tasks.split_off(tasks.len().saturating_sub(BATCH));
                if batch.is_empty() {
                    self.let_tasks_in();
                    return Ok((Some(Stage::Switch(self.tasks_to_come())), NEXT));
                }
                batch.iter().rev().try_for_each(|&p| self.init_one_task(p))?;
                (Some(Stage::Init(tasks)), Step::Again { tasks: batch.len() as u32 })
            }
            Stage::Switch(mut tasks) => {
                let batch = tasks.split_off(tasks.len().saturating_sub(BATCH));
                batch.iter().rev().for_each(|&p| self.switch_to_new_class(p));
                let next = if batch.is_empty() { Stage::End } else { Stage::Switch(tasks) };
                (Some(next), Step::Again { tasks: batch.len() as u32 })
            }
            Stage::Exit | Stage::End => {
                self.scx_bypass(false);
                if self.scx_exit_claimed() {
                    return Err(EBUSY); // the state cannot become ENABLED
                }
                self.set_enabled(params);
                (None, Step::Done)
            }
        })
    }

    fn disable_step(&mut self, stage: Stage) -> (Option<Stage>, Step) {
        match stage {
            Stage::Wait(0) => {
                self.keep_tasks_out();
                (Some(Stage::Switch(self.tasks_to_come())), NEXT)
            }
            Stage::Wait(n) => (Some(Stage::Wait(n - 1)), Step::GracePeriod),
            Stage::Init(mut tasks) | Stage::Switch(mut tasks) => {
                let batch = tasks.split_off(tasks.len().saturating_sub(BATCH));
                if batch.is_empty() {
                    self.all_back();
                    return (Some(Stage::Exit), Step::GracePeriod);
                }
                batch.iter().rev().for_each(|&p| self.return_to_fair(p));
                (Some(Stage::Switch(tasks)), Step::Again { tasks: batch.len() as u32 })
            }
            Stage::Exit => {
                self.scheduler_exit();
                (Some(Stage::End), Step::GracePeriod)
            }
            Stage::End => {
                self.disabled();
                (None, Step::Done)
            }
        }
    }

    /// Those to be handled, last first.
    fn tasks_to_come(&self) -> Vec<TaskId> {
        let mut tasks = self.live_tasks();
        tasks.reverse();
        tasks
    }

    /// `scx_enable` up to the point from which tasks are told.
    pub(super) fn begin_enable(&mut self, params: OpsParams) {
        match self.root_enable_begin(&params) {
            Ok(()) => self.ext.transition = Some(Transition::Enable(Box::new(params), Stage::Wait(2))),
            Err(errno) => self.enable_failed(errno),
        }
    }

    /// `scx_disable_workfn` up to the point from which tasks go back.
    pub(super) fn begin_disable(&mut self) {
        self.scx_bypass(true);
        self.ext.state = EnableState::Disabling;
        self.ext.transition = Some(Transition::Disable(Stage::Wait(2)));
    }
}

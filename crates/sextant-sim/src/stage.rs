//! What a caller does to the machine between two stretches of time, as a program in user space would: load and unload schedulers, run
//! their syscall programs, change machine and tasks. [`Simulation::run`] ends it all.

use sextant_abi::exit::ExitKind;
use sextant_abi::{CpuId, Ns};
use sextant_sched::Sched;
use sextant_sched::ext::EnableState;

use crate::config::{EventSink, SimError};
use crate::machine::{Simulation, UPTIME};
use crate::script::Command;
use crate::workload::CondId;

impl Simulation {
    /// Lets `time` pass, also when nobody is left to use it; stops early only when the sink says so.
    pub fn run_for(&mut self, time: Ns, sink: &mut dyn EventSink) -> Result<(), SimError> {
        let end = self.ended_at + time;
        self.run_events(end, false, sink)?;
        self.ended_at = end;
        Ok(())
    }

    /// How far the run has come.
    pub fn reached(&self) -> Ns {
        self.ended_at.since(UPTIME)
    }

    /// Unregisters the scheduler (exit kind UNREG) and waits until it is gone. Nothing happens if it is gone already.
    pub fn detach(&mut self, sink: &mut dyn EventSink) {
        if self.sched.ext.state() == EnableState::Disabled {
            return;
        }
        self.on_cpu(CpuId(0), sink, |sim| {
            sim.sched.scx_disable(ExitKind::Unreg);
            sim.sched.scx_flush_disable_work();
        });
    }

    /// A system call of the caller, on CPU 0.
    pub fn call<R>(&mut self, sink: &mut dyn EventSink, f: impl FnOnce(&mut Sched) -> R) -> R {
        self.on_cpu(CpuId(0), sink, |sim| f(&mut sim.sched))
    }

    /// Wakes everybody who is suspended on the condition, as [`Action::Resume`](crate::workload::Action::Resume) does.
    pub fn resume_all(&mut self, cond: CondId, sink: &mut dyn EventSink) {
        self.on_cpu(CpuId(0), sink, |sim| sim.resume(cond.0 as usize));
    }

    /// Carries out what an event of the workload could say, now.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn perform(&mut self, command: &Command, sink: &mut dyn EventSink) -> Result<(), String> {
        let cpu = command.where_it_happens();
        self.on_cpu(cpu, sink, |sim| sim.carry_out(command))
    }
}

//! The kernel around a test-run syscall program before any scheduler is there: time stands still, nothing can be called.

use sextant_abi::tables::KfuncId;
use sextant_vm::{Host, Trap, Vm};

/// No scheduler, no task, time 0.
pub(super) struct NoScheduler {
    pub(super) nr_cpus: u32,
}

impl Host for NoScheduler {
    fn ktime_ns(&mut self, _insns: u64) -> u64 {
        0
    }

    fn jiffies(&mut self) -> u64 {
        0
    }

    fn cpu(&self) -> u32 {
        0
    }

    fn nr_cpus(&self) -> u32 {
        self.nr_cpus
    }

    fn current_task(&self) -> u64 {
        0
    }

    fn prandom_u32(&mut self) -> u32 {
        0
    }

    fn printk(&mut self, text: &str) {
        tracing::info!("{text}");
    }

    fn kfunc(&mut self, _vm: &Vm, id: u32, _args: [u64; 5]) -> Result<u64, Trap> {
        let name = KfuncId::from_index(id).map_or("unknown", |kfunc| kfunc.info().name);
        Err(Trap::kfunc(format!("{name} was called, but no scheduler runs yet")))
    }

    fn timer_start(&mut self, _timer: u64, _at_ns: u64, _pinned: bool) {}

    fn timer_cancel(&mut self, _timer: u64) -> bool {
        false
    }

    fn task_alive(&self, _task: u64) -> bool {
        false
    }
}

//! Programs that do not come back: when the kernel's watchdogs would take the CPU for stuck, and what they say.
//!
//! Mirrors kernel/watchdog.c is_softlockup(), kernel/rcu/tree_stall.h and scx_softlockup(), scx_rcu_cpu_stall() of kernel/sched/ext/ext.c,
//! 7.3. The soft lockup watchdog is an interrupt of the stuck CPU, which sees programs only where interrupts are on, and tells the class at three
//! quarters of its 20 s. Where they are off, other CPUs find out when a grace period of RCU does not end (CONFIG_RCU_CPU_STALL_TIMEOUT, 21 s). The
//! kernel waits for the program to return; here it is ended by force.

use sextant_abi::Ns;
use sextant_abi::tables::Op;

use super::BpfOps;
use super::host::KernelHost;
use crate::sched::Sched;

/// When the soft lockup watchdog tells the class: 3/4 of twice `watchdog_thresh`.
const SOFT_LOCKUP: Ns = Ns::from_ms(15_000);
/// RCU_STALL of 21 s.
const RCU_STALL: Ns = Ns::from_ms(21_000);
/// Instructions between two looks at the clock.
const SLICE: u64 = 16_000_000;
/// What an instruction takes where the machine's work takes no time, ps.
const NOMINAL_PS: u64 = 700;

/// Whether the running call has interrupts off: the kernel holds a runqueue's or a task's lock around it.
fn irqs_off(s: &Sched) -> bool {
    match s.ext.ctx.op {
        None | Some(Op::Init | Op::InitCids | Op::Exit | Op::InitTask | Op::CpuOnline | Op::CpuOffline) => {
            false
        }
        Some(op) => !op.name().starts_with("cgroup_"),
    }
}

impl BpfOps {
    /// Has watchdogs bite after that time of one call, instead of the kernel's.
    pub fn with_lockup(mut self, lockup: Option<Ns>) -> Self {
        self.lockup = lockup;
        self
    }

    /// How long one call may take.
    fn patience(&self, s: &Sched) -> Ns {
        self.lockup.unwrap_or(if irqs_off(s) { RCU_STALL } else { SOFT_LOCKUP })
    }

    /// How long the outermost program has run.
    fn stuck_for(&self, s: &Sched) -> Ns {
        let nominal = Ns((self.insns.get() - self.entered.get().1) * NOMINAL_PS / 1000);
        s.now.since(self.entered.get().0).max(nominal)
    }

    /// What ends a scheduler whose program is stuck.
    pub(super) fn lockup_message(&self, s: &Sched) -> String {
        let cpu = s.this_cpu;
        if irqs_off(s) && s.cfg.nr_cpus > 1 {
            return format!("RCU CPU stall on CPUs ({cpu})");
        }
        format!("soft lockup - CPU {cpu} stuck for {}s", self.stuck_for(s).0 / 1_000_000_000)
    }
}

impl KernelHost<'_> {
    /// More instructions for a program that has used up what it had; none when a watchdog bites.
    pub(super) fn more(&mut self, insns: u64) -> u64 {
        self.settle(insns);
        if self.ops.stuck_for(self.s) >= self.ops.patience(self.s) { 0 } else { SLICE }
    }
}

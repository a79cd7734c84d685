//! What kernel work costs, in ns of the CPU that does it. The one place for these constants, each with its source; what is an
//! estimate says so.
//!
//! With a seed's noise each charge varies by +-10%. `--ideal` sets all to zero.

use sextant_sched::sched::Costs;

/// The machine's part of the cost model; the class's part is [`Costs`].
#[derive(Clone, Copy, Debug, Default)]
pub struct MachineCosts {
    /// Timer interrupt and `sched_tick` bookkeeping, without ops.
    pub tick_ns: u64,
    /// Any other interrupt: hrtimer, IPI.
    pub irq_ns: u64,
    /// From sending an IPI to its arrival.
    pub ipi_ns: u64,
    /// Entry and exit of a system call with its own work.
    pub syscall_ns: u64,
    /// `try_to_wake_up` without ops.
    pub wakeup_ns: u64,
    /// fork or exit of a thread.
    pub fork_ns: u64,
    /// A grace period of RCU on a machine with more than one CPU.
    pub grace_period_ns: u64,
    /// Taking one task through a change of scheduler, without ops.
    pub change_ns: u64,
}

/// The class's costs on hardware.
///
/// - Ops: averages seen on hardware (scxtop, sched-ext/scx #2963): select_cpu 551 ns, enqueue 854, dispatch 238, runnable 122,
///   running 135, stopping 97. The smallest are little more than the call itself: 80 ns for it. The share of instructions (0.7 ns each)
///   and of helpers and kfuncs (40 ns each) is an estimate, such that the larger ones come out at that order for programs of a few hundred instructions.
/// - Context switch 1.5 us: 1.2 to 2 us is what is commonly measured between two processes (lmbench lat_ctx), caches included.
pub const CLASS: Costs = Costs { switch_ns: 1_500, op_ns: 80, insn_ps: 700, kfunc_ns: 40 };

/// The machine's costs on hardware. Estimates of the right order, not measured by this project: wanted are figures that
/// make kernel work visible in the results without dominating them.
/// The grace period is measured: RCU counts in ticks, and in recordings of a real 7.3.4 kernel (HZ=250, 2 and 4 CPUs) most waits of enabling
/// and disabling a scheduler are 8 ms, some 4, 16 or 20 ms; with one CPU there are none.
pub const MACHINE: MachineCosts = MachineCosts {
    tick_ns: 1_200,
    irq_ns: 500,
    ipi_ns: 700,
    syscall_ns: 200,
    wakeup_ns: 600,
    fork_ns: 15_000,
    grace_period_ns: 8_000_000,
    change_ns: 1_500,
};

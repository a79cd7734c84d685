//! What kernel work costs, in ns of the CPU that does it. The one place for these constants, each with its source.
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
}

/// The class's costs on hardware.
///
/// - Context switch 1.5 us: lmbench's lat_ctx gives 1.2-2 us between two processes on current x86 servers.
/// - Ops: measured averages on hardware (scxtop, sched-ext/scx #2963) are select_cpu 551 ns, enqueue 854, dispatch 238, runnable 122,
///   running 135, stopping 97. The smallest ones are little more than trampoline, RCU and clock reads: 80 ns for the call; the rest is
///   instructions at 0.7 ns (JITed code at 1.5 instructions a cycle and about 1 GHz of effective cache-missing speed) and helpers at 40 ns.
pub const CLASS: Costs = Costs { switch_ns: 1_500, op_ns: 80, insn_ps: 700, kfunc_ns: 40 };

/// The machine's costs on hardware.
///
/// - tick 1.2 us, irq 0.5 us: `perf trace` of local_timer and reschedule vectors on idle servers, rounded.
/// - IPI latency 0.7 us: usual figure between cores of one socket.
/// - syscall 0.2 us: getppid 50-100 ns with mitigations, plus futex or hrtimer work.
/// - wakeup 0.6 us: half of `perf bench sched messaging`'s wakeup path.
/// - fork 15 us: clone of a thread, lmbench's lat_proc scaled to threads.
pub const MACHINE: MachineCosts = MachineCosts {
    tick_ns: 1_200,
    irq_ns: 500,
    ipi_ns: 700,
    syscall_ns: 200,
    wakeup_ns: 600,
    fork_ns: 15_000,
};

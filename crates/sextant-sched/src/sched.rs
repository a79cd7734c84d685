//! `Sched`: the whole state of the emulated kernel's scheduler, and the two queues through which it talks to the machine.

use std::collections::BTreeMap;
use std::rc::Rc;

use sextant_abi::{CpuId, CpuMaskBits, Ns};

use crate::cgroup::CgroupTable;
use crate::core::RootCgroup;
use crate::deadline::Server;
use crate::event::Event;
use crate::ext::Ext;
use crate::probe::{PauseFn, Probe};
use crate::rq::Rq;
use crate::task::{TaskId, TaskTable};
use crate::topology::Topology;

/// The memory kernel objects live in: the vm's region, or a plain vector without the `bpf` feature.
#[cfg(feature = "bpf")]
pub type KMem = sextant_vm::Region;
/// The memory kernel objects live in: the vm's region, or a plain vector without the `bpf` feature.
#[cfg(not(feature = "bpf"))]
pub type KMem = crate::native::VecMem;

/// Memory for a machine whose policy, if any, is native. (With a vm, use the vm's own region.) Fails with the host's errno when
/// it gives no address space.
#[cfg(feature = "bpf")]
pub fn new_kmem() -> Result<Rc<KMem>, i32> {
    use sextant_abi::types::{CType, TaskStruct};
    sextant_vm::Region::new(sextant_vm::RegionConfig {
        task_size: <TaskStruct as CType>::SIZE,
        task_writable: Vec::new(), // there are no programs
        sanitize: false,
        memory: 0,
    })
    .map_err(|errno| errno.0)
}

/// Memory for a machine whose policy, if any, is native.
#[cfg(not(feature = "bpf"))]
pub fn new_kmem() -> Result<Rc<KMem>, i32> {
    Ok(Rc::new(KMem::new()))
}

/// What stays fixed for a run.
#[derive(Clone, Debug)]
pub struct Config {
    /// Possible = online CPUs at the start, 1..=8192.
    pub nr_cpus: u32,
    /// What the clock shows when the run begins, after boot.
    pub uptime: Ns,
    /// Ticks a second (CONFIG_HZ).
    pub hz: u64,
    /// Cost model; all zero under `--ideal`.
    pub costs: Costs,
}

/// What kernel work costs on the CPU that does it. Constants with their sources are in `sextant-sim::cost`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Costs {
    /// Context switch, ns.
    pub switch_ns: u64,
    /// Fixed part of calling one op, ns.
    pub op_ns: u64,
    /// A thousandth of a ns per BPF instruction.
    pub insn_ps: u64,
    /// One kfunc or helper call, ns.
    pub kfunc_ns: u64,
}

/// Names a timer (a `bpf_timer`), given by whoever arms it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct TimerId(pub u64);

/// Deferred work that runs in a kthread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Work {
    /// The watchdog's scan (`scx_watchdog_workfn`).
    Watchdog,
    /// The load balancing of bypass (`scx_bypass_lb_timerfn`; a timer, in softirq).
    BypassLb,
    /// The disable work of a scheduler that has exited (`scx_disable_workfn`).
    Disable,
}

/// What the scheduler asks of the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request {
    /// `need_resched` was set on this CPU's rq: call `Sched::schedule` there as soon as it can take it (an IPI if remote).
    Resched(CpuId),
    /// Call `Sched::irq_work` on this CPU when its interrupts are on.
    IrqWork(CpuId),
    /// (Re)arm a timer: call `Sched::timer_fire` on `cpu` at `at`.
    TimerArm {
        /// Which.
        timer: TimerId,
        /// Where the callback runs.
        cpu: CpuId,
        /// Absolute virtual time.
        at: Ns,
    },
    /// Forget a timer.
    TimerCancel(TimerId),
    /// (Re)arm the timer of a deadline server: call `Sched::dl_server_timer` on `cpu` at `at`; None: forget it.
    ServerTimer {
        /// Where.
        cpu: CpuId,
        /// Which of the two.
        server: Server,
        /// Absolute virtual time.
        at: Option<Ns>,
    },
    /// Call `Sched::run_work(work)` at `at` (a kthread; on any CPU, the machine picks CPU 0).
    Work(Work, Ns),
}

/// The scheduler of one emulated kernel.
pub struct Sched {
    /// BPF-visible memory.
    pub mem: Rc<KMem>,
    /// Fixed configuration.
    pub cfg: Config,
    /// Every task, dead ones until their slot is reused.
    pub tasks: TaskTable,
    /// Runqueues by CPU.
    pub rqs: Vec<Rq>,
    /// State of sched_ext.
    pub ext: Ext,
    /// The CPU that executes the current entry.
    pub this_cpu: CpuId,
    /// Local time on that CPU; grows with `charge` while an entry runs.
    pub now: Ns,
    /// A kthread that does a work on the executing CPU: `current` while it does.
    pub as_kthread: Option<TaskId>,
    /// State of `get_random`, seeded by the machine.
    pub rng: u64,
    /// State of the noise on costs, seeded by the machine; 0 for none.
    pub noise: u64,
    /// CPUs whose running task is swapper.
    pub idle_cpus: CpuMaskBits,
    /// Fair tasks that wait, over all runqueues.
    pub fair_nr_waiting: u32,
    /// The next pid a fork takes.
    pub next_pid: i32,
    /// Root of the cgroup v2 hierarchy: id 1, level 0.
    pub root: RootCgroup,
    /// Which CPUs share what.
    pub topology: Topology,
    /// All cgroups.
    pub cgroups: CgroupTable,
    /// Tasks that point to a `signal_struct`, by its address: it is freed with the last of them.
    pub(crate) signals: BTreeMap<u64, u32>,
    /// Tasks whose last reference is gone; freed by `rcu_flush`.
    pub(crate) rcu_pending: Vec<TaskId>,
    /// Drained by the machine after each entry, in order.
    pub requests: Vec<Request>,
    /// Drained by the machine after each entry, in order.
    pub events: Vec<(Ns, CpuId, Event)>,
    /// Probes with the number of events before each; None: not probing.
    pub probes: Option<Vec<(usize, Probe)>>,
    /// What happens where an entry of the kernel is not atomic; only a replay sets it.
    pub replay_pause: Option<PauseFn>,
}

impl Sched {
    /// An entry point is about to be called on `cpu` at `now`.
    pub fn enter(&mut self, cpu: CpuId, now: Ns) {
        self.this_cpu = cpu;
        self.now = now;
        self.ext.returned = None;
    }

    /// Kernel work takes `ns` on the executing CPU, +-10% when there is noise.
    pub fn charge(&mut self, ns: u64) {
        let ns = if self.noise == 0 { ns } else { self.noisy(ns) };
        self.now += Ns(ns);
    }

    fn noisy(&mut self, ns: u64) -> u64 {
        let mut x = self.noise;
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.noise = x;
        ns - ns / 10 + ns * (x >> 54) / (5 * 1024)
    }

    /// Records an event at the current time and CPU.
    pub fn emit(&mut self, ev: Event) {
        self.events.push((self.now, self.this_cpu, ev));
    }

    /// Jiffies since boot at the current time.
    pub fn jiffies(&self) -> u64 {
        self.now.0 / (1_000_000_000 / self.cfg.hz)
    }

    /// `bpf_get_prandom_u32`: SplitMix64, high half.
    pub fn prandom_u32(&mut self) -> u32 {
        self.rng = self.rng.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.rng;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 32) as u32
    }

    /// The task running on the executing CPU (`current`).
    pub fn current(&self) -> TaskId {
        self.as_kthread.unwrap_or(self.rqs[self.this_cpu.idx()].curr)
    }
}

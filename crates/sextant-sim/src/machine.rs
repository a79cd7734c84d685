//! The machine: CPUs in virtual time around one `Sched`.
//!
//! What happens on a CPU between two instants of user time ("an entry"):
//! 1. the event's time comes; a CPU that is still in the kernel takes it when it is done there (kernel mode is not interruptible);
//! 2. the running task's computing so far is taken off what it has left;
//! 3. the event's handler calls `Sched`; its requests are carried out: irq_work at once, then a reschedule of this CPU, IPIs
//!    for others;
//! 4. whoever runs now performs its actions up to the next computing, sleeping or waiting; each is an entry by itself;
//! 5. the CPU is busy until the time all that has cost; from then on the task computes.
//!
//! What must hold: an event changes only the CPU it is for and what `Sched` changes; the order of events is (time, arming).

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use sextant_abi::exit::ExitKind;
use sextant_abi::{CpuId, Ns};
use sextant_sched::deadline::Server;
use sextant_sched::ext::EnableError;
use sextant_sched::ext::EnableState;
use sextant_sched::sched::KMem;
use sextant_sched::{Class, Config, Event, Ops, Request, Sched, TaskId, TimerId, Work};

use crate::check::Checkers;
use crate::config::{After, Ended, EventSink, Outcome, SimConfig, SimError, check};
use crate::cost::{CLASS, MACHINE, MachineCosts};
use crate::interp::{Doing, Program};
use crate::long::LongCalls;
use crate::population::populate;
use crate::queue::{EventQueue, Slot};
use crate::start::{SplitMix, Start, starts};
use crate::stats::{Stats, TaskResult};
use crate::swap::Swaps;
use crate::workload::{SpecId, Workload};

mod requests;

/// Timer interrupts a second on each CPU that is not idle.
const HZ: u64 = 250;
const TICK: u64 = 1_000_000_000 / HZ;
/// How often a CPU may ask for irq_work or a reschedule of itself within one entry.
const MAX_ROUNDS: u32 = 8;
/// What the machine's clock shows when a run begins: it has been booted some time ago, as every machine that a scheduler is loaded on.
/// (A scheduler may take a time of 0 for "never".) A multiple of a tick; times given and shown to people are of the run.
pub const UPTIME: Ns = Ns(100_000_000_000);
/// When it goes on after that, ns.
const MIN_ROUND: u64 = 1_000;
/// Debug builds check all invariants after so many entries.
const CHECK_EVERY: u64 = 1024;
/// Between the ticks of neighbouring CPUs, ns.
const TICK_SKEW: u64 = 100;
/// So many actions or events without time passing are a loop.
const NO_PROGRESS: u32 = 1_000_000;

/// What a slot of the event queue stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    Tick(CpuId),
    /// The running task's computing is over.
    RunEnd(CpuId),
    Ipi(CpuId),
    /// A sleeping task's timer, on the CPU it went to sleep on.
    Sleep(TaskId),
    /// The next tasks of the workload start.
    Start,
    /// Index into `timers`.
    Timer(u32),
    /// The timer of a deadline server.
    Server(CpuId, Server),
    /// Index into `works`.
    Work(u32),
    /// The next event of the workload.
    Script,
    /// The next step of a swap of schedulers.
    Swap,
    /// A debug dump that somebody asked for.
    Dump,
}

pub(crate) struct Cpu {
    /// In the kernel until then; user time goes from there.
    pub busy_until: Ns,
    tick: Slot,
    run_end: Slot,
    ipi: Slot,
    /// Timers of the deadline servers, by `Server`.
    servers: [Slot; 2],
    /// The IPI carries irq_work.
    irq_work: bool,
}

/// A semaphore.
#[derive(Default)]
pub(crate) struct Sem {
    pub count: u64,
    pub waiters: VecDeque<TaskId>,
}

struct ClassTimer {
    id: TimerId,
    cpu: CpuId,
    slot: Slot,
}

/// A machine with a workload.
pub struct Simulation {
    /// The scheduler.
    pub sched: Sched,
    pub(crate) workload: Rc<Workload>,
    pub(crate) costs: MachineCosts,
    pub(crate) cpus: Vec<Cpu>,
    pub(crate) queue: EventQueue<What>,
    /// By task index; None for the machine's own.
    pub(crate) programs: Vec<Option<Box<Program>>>,
    /// Who waits on each condition, in order.
    pub(crate) waiters: Vec<Vec<TaskId>>,
    /// State of the semaphores.
    pub(crate) sems: Vec<Sem>,
    /// Next instants of the shared timers.
    pub(crate) shared_timers: Vec<Option<Ns>>,
    pub(crate) stats: Stats,
    /// Workload tasks that have not exited, and those of them that wait on a condition.
    pub(crate) live: u32,
    pub(crate) suspended: u32,
    pub(crate) refused_forks: BTreeMap<(SpecId, i32), u64>,
    pub(crate) forks_at_limit: u64,
    pub(crate) stuck: bool,
    config: SimConfig,
    /// Starts, latest first.
    starts: Vec<Start>,
    start_slot: Slot,
    /// Events of the workload still to come, by index, latest first.
    pub(crate) script: Vec<usize>,
    pub(crate) script_slot: Slot,
    pub(crate) failed_events: Vec<(Ns, String)>,
    timers: Vec<ClassTimer>,
    timer_index: BTreeMap<TimerId, u32>,
    works: Vec<(Work, Slot)>,
    /// For tasks that are forked by others.
    pub(crate) next_pid: i32,
    pub(crate) helper: TaskId,
    /// How far the run has come.
    pub(crate) ended_at: Ns,
    entries: u64,
    spare_requests: Vec<Request>,
    /// Watch every event.
    checkers: Option<Checkers>,
    /// Schedulers to come.
    pub(crate) swaps: Option<Box<Swaps>>,
    /// When somebody wants a debug dump, latest first; and those made.
    dump_times: Vec<Ns>,
    dump_slot: Slot,
    dumps: Vec<(Ns, String)>,
    long_calls: LongCalls,
    /// A scheduler was in charge at some time.
    took_over: bool,
}

impl Simulation {
    /// A machine at time 0 that will run `workload`; `mem` is where kernel objects live.
    pub fn new(config: SimConfig, workload: &Workload, mem: Rc<KMem>) -> Result<Simulation, SimError> {
        check(&config, workload)?;
        let (class_costs, costs) = if config.ideal { Default::default() } else { (CLASS, MACHINE) };
        let mut sched =
            Sched::new(Config { nr_cpus: config.nr_cpus, uptime: UPTIME, hz: HZ, costs: class_costs }, mem);
        if let Some(shape) = config.machine {
            sched.set_topology(shape);
        }
        let helper = populate(&mut sched);
        let first_pid = sched.next_pid;
        let mut seed = SplitMix(config.seed);
        sched.rng = seed.next();
        sched.noise = if config.ideal { 0 } else { seed.next() | 1 };
        let mut queue = EventQueue::new();
        let cpus = (0..config.nr_cpus).map(|c| Cpu::new(CpuId(c), &mut queue)).collect();
        let start_slot = queue.add(What::Start);
        let script_slot = queue.add(What::Script);
        let dump_slot = queue.add(What::Dump);
        let mut sim = Simulation {
            programs: Vec::new(),
            waiters: vec![Vec::new(); workload.conds.len()],
            sems: workload.sems.iter().map(|_| Sem::default()).collect(),
            shared_timers: vec![None; workload.timers.len()],
            workload: Rc::new(workload.clone()),
            stats: Stats::default(),
            live: 0,
            suspended: 0,
            refused_forks: BTreeMap::new(),
            forks_at_limit: 0,
            stuck: false,
            starts: starts(workload, config.ideal, &mut seed, first_pid),
            timers: Vec::new(),
            timer_index: BTreeMap::new(),
            works: Vec::new(),
            spare_requests: Vec::new(),
            sched,
            costs,
            cpus,
            queue,
            config,
            start_slot,
            script: Vec::new(),
            script_slot,
            failed_events: Vec::new(),
            next_pid: first_pid,
            helper,
            ended_at: UPTIME,
            entries: 0,
            checkers: None,
            swaps: None,
            dump_times: Vec::new(),
            dump_slot,
            dumps: Vec::new(),
            long_calls: LongCalls::default(),
            took_over: false,
        };
        if sim.config.check || cfg!(debug_assertions) {
            sim.watch(None, sim.replay());
        }
        sim.next_pid = first_pid + sim.starts.len() as i32;
        sim.make_cgroups()?;
        sim.arm_script();
        if let Some(start) = sim.starts.last() {
            sim.queue.arm(start_slot, start.at);
        }
        Ok(sim)
    }

    /// Has the run watched by all checkers, or by the one of that name; `run` says in a failure what was run and how to
    /// run it again. Before `attach`.
    pub fn watch(&mut self, only: Option<&str>, run: String) {
        self.checkers = Some(Checkers::new(only, run));
    }

    /// What this run is, and how to repeat it.
    fn replay(&self) -> String {
        let SimConfig { nr_cpus, seed, ideal, .. } = self.config;
        let (name, ideal) = (&self.workload.name, if ideal { " --ideal" } else { "" });
        format!(
            "workload {name:?}, {nr_cpus} CPUs, seed {seed}\n\
             replay: sextant sim SCHEDULER {name} --cpus {nr_cpus} --seed {seed}{ideal} (debug build), or the test that did it"
        )
    }

    /// The virtual time at which a run ends if the tasks have not exited before.
    pub fn duration(&self) -> Option<Ns> {
        self.config.duration.or(self.workload.duration)
    }

    /// Attaches a scheduler now; before anything ran, the workload starts when it is loaded. As in the kernel, most failures are a
    /// successful attach followed by an exit.
    pub fn attach(&mut self, ops: Rc<dyn Ops>, sink: &mut dyn EventSink) -> Result<(), EnableError> {
        self.on_cpu(CpuId(0), sink, |sim| {
            let result = sim.sched.scx_enable(ops);
            sim.put_off_starts();
            result
        })
    }

    /// The workload starts when the first scheduler is loaded.
    fn put_off_starts(&mut self) {
        if self.entries > 0 {
            return;
        }
        let loaded = self.sched.now.since(UPTIME);
        self.starts.iter_mut().for_each(|s| s.at += loaded);
        if let Some(start) = self.starts.last() {
            self.queue.arm(self.start_slot, start.at);
        }
    }

    /// A kernel thread does something on `cpu` at the instant that the run has reached, or as soon as the CPU can.
    pub(crate) fn on_cpu<R>(
        &mut self,
        cpu: CpuId,
        sink: &mut dyn EventSink,
        f: impl FnOnce(&mut Simulation) -> R,
    ) -> R {
        let at = self.ended_at.max(self.cpus[cpu.idx()].busy_until);
        self.sched.enter(cpu, at);
        self.leave_user(cpu, at);
        self.sched.as_kthread = Some(self.helper);
        let result = f(self);
        self.sched.as_kthread = None;
        self.settle(cpu);
        self.run_user(cpu);
        if self.sched.cpu_is_vacated(cpu) {
            self.sched.cpu_dead(cpu);
        }
        self.leave_kernel(cpu, sink);
        result
    }

    /// Unregisters the scheduler (exit kind UNREG) and waits until it is gone, at the very end of a run.
    fn shut_down(&mut self, sink: &mut dyn EventSink) {
        if self.sched.scx_in_transition() {
            self.on_cpu(CpuId(0), sink, |sim| sim.sched.scx_finish_transition());
        }
        if self.sched.ext.state() == EnableState::Disabled {
            return;
        }
        let now = self.cpus.iter().map(|c| c.busy_until).fold(self.ended_at, Ns::max);
        self.sched.enter(CpuId(0), now);
        self.sched.as_kthread = Some(self.helper);
        self.sched.scx_disable(ExitKind::Unreg);
        self.sched.scx_flush_disable_work();
        self.sched.as_kthread = None;
        self.drain_events(sink);
        self.sched.rcu_flush();
    }

    /// Runs to the end; then a scheduler that is still loaded is unregistered (exit kind UNREG). The figures are of before that.
    pub fn run(&mut self, sink: &mut dyn EventSink) -> Result<Outcome, SimError> {
        let (ended, now) = self.run_events(self.duration().map_or(Ns::MAX, |d| UPTIME + d), true, sink)?;
        self.ended_at = now;
        for cpu in (0..self.config.nr_cpus).map(CpuId) {
            self.sched.enter(cpu, now);
            self.sched.account_curr(cpu);
        }
        if let Some(checkers) = &mut self.checkers {
            checkers.finished(now.since(UPTIME), &self.sched);
        }
        let (own, after) = self.stats.finish(now.since(UPTIME), self.workload.tasks.len(), &self.sched);
        let (tasks, system_tasks) = by_owner(own.tasks);
        let outcome = Outcome {
            ended,
            now: now.since(UPTIME),
            own: own.duration,
            tasks,
            groups: own.groups,
            system_tasks,
            cpus: own.cpus,
            after: after.map(|figures| {
                let (tasks, system_tasks) = by_owner(figures.tasks);
                After {
                    duration: figures.duration,
                    tasks,
                    groups: figures.groups,
                    system_tasks,
                    cpus: figures.cpus,
                }
            }),
            took_over: self.took_over,
            dumps: std::mem::take(&mut self.dumps),
            long_calls: std::mem::take(&mut self.long_calls),
            refused_forks: std::mem::take(&mut self.refused_forks),
            forks_at_limit: self.forks_at_limit,
            failed_events: std::mem::take(&mut self.failed_events),
            swaps: self
                .swaps
                .as_mut()
                .map_or_else(Vec::new, |swaps| swaps.finish(now.since(UPTIME), &self.sched)),
        };
        self.shut_down(sink);
        Ok(outcome)
    }

    /// Up to `end`; if `early`, only as long as there is somebody left to run or to wake.
    pub(crate) fn run_events(
        &mut self,
        end: Ns,
        early: bool,
        sink: &mut dyn EventSink,
    ) -> Result<(Ended, Ns), SimError> {
        let (mut last, mut same) = (UPTIME, 0);
        loop {
            if early && self.starts.is_empty() && self.live == 0 {
                return Ok((Ended::AllExited, last.max(self.sched.now)));
            }
            if self.starts.is_empty() && self.suspended == self.live && end == Ns::MAX {
                return Ok((Ended::AllSuspended, last.max(self.sched.now)));
            }
            let Some((at, slot)) = self.queue.peek() else {
                // Nothing will ever happen again: the rest of the duration passes.
                let forever = end == Ns::MAX;
                return Ok(if forever { (Ended::AllSuspended, last) } else { (Ended::Duration, end) });
            };
            if at >= end {
                return Ok((Ended::Duration, end));
            }
            let what = self.queue.what(slot);
            let cpu = self.cpu_of(what);
            let busy_until = self.cpus[cpu.idx()].busy_until;
            if at < busy_until {
                self.queue.arm(slot, busy_until);
                continue;
            }
            same = if at == last { same + 1 } else { 0 };
            last = at;
            self.queue.pop();
            self.entry(cpu, at, what, sink);
            if sink.stop() {
                return Ok((Ended::Stopped, at));
            }
            if self.stuck || same > NO_PROGRESS {
                let curr = self.sched.t(self.sched.rqs[cpu.idx()].curr);
                return Err(SimError::NoProgress {
                    at: at.since(UPTIME),
                    task: curr.comm().get_str(&*self.sched.mem),
                    ideal: self.config.ideal,
                });
            }
        }
    }

    fn cpu_of(&self, what: What) -> CpuId {
        match what {
            What::Tick(cpu) | What::RunEnd(cpu) | What::Ipi(cpu) | What::Server(cpu, _) => cpu,
            What::Sleep(p) => self.timer_cpu(self.sched.tasks[p].cpu),
            What::Start => self.timer_cpu(self.start_cpu()),
            What::Timer(i) => self.timer_cpu(self.timers[i as usize].cpu),
            What::Work(_) | What::Swap | What::Dump => CpuId(0),
            What::Script => self.script_cpu(),
        }
    }

    /// Timers of a CPU that has gone offline have moved to the boot CPU.
    fn timer_cpu(&self, cpu: CpuId) -> CpuId {
        if self.sched.cpu_online(cpu) { cpu } else { CpuId(0) }
    }

    /// Tasks are started round the machine.
    fn start_cpu(&self) -> CpuId {
        CpuId(self.starts.len() as u32 % self.config.nr_cpus)
    }

    fn entry(&mut self, cpu: CpuId, at: Ns, what: What, sink: &mut dyn EventSink) {
        if let What::Tick(_) = what
            && self.is_idle(cpu)
        {
            return; // NO_HZ_IDLE; armed again when the CPU leaves idle
        }
        self.sched.enter(cpu, at);
        self.leave_user(cpu, at);
        match what {
            What::Tick(_) => {
                self.sched.charge(self.costs.tick_ns);
                self.sched.tick(cpu);
            }
            What::RunEnd(_) => {}
            What::Ipi(_) => {
                self.sched.charge(self.costs.irq_ns);
                if std::mem::take(&mut self.cpus[cpu.idx()].irq_work) {
                    self.sched.irq_work(cpu);
                }
            }
            What::Sleep(p) => {
                self.sched.charge(self.costs.irq_ns + self.costs.wakeup_ns);
                self.sched.try_to_wake_up(p, 0);
            }
            What::Start => self.start_task(at),
            What::Script => self.run_script(at),
            What::Swap => self.run_swap(at),
            What::Dump => self.make_dump(at),
            What::Timer(i) => {
                self.sched.charge(self.costs.irq_ns);
                self.sched.timer_fire(self.timers[i as usize].id);
            }
            What::Server(_, server) => {
                self.sched.charge(self.costs.irq_ns);
                self.sched.dl_server_timer(cpu, server);
            }
            What::Work(i) => self.run_work(self.works[i as usize].0),
        }
        self.settle(cpu);
        self.run_user(cpu);
        if self.sched.cpu_is_vacated(cpu) {
            self.sched.cpu_dead(cpu);
        }
        self.leave_kernel(cpu, sink);
        self.entries += 1;
        if self.config.check || (cfg!(debug_assertions) && self.entries.is_multiple_of(CHECK_EVERY)) {
            self.sched.check_invariants();
        }
    }

    /// Has the kernel's debug dump made at these times, as SysRq-D does; [`Outcome::dumps`] has them.
    pub fn plan_dumps(&mut self, mut times: Vec<Ns>) {
        times.sort_unstable_by(|a, b| b.cmp(a));
        self.dump_times = times;
        if let Some(&first) = self.dump_times.last() {
            self.queue.arm(self.dump_slot, UPTIME + first);
        }
    }

    fn make_dump(&mut self, at: Ns) {
        self.dump_times.pop();
        self.sched.as_kthread = Some(self.helper);
        let text = self.sched.scx_sysrq_dump();
        self.sched.as_kthread = None;
        self.dumps.push((at.since(UPTIME), text.unwrap_or_default()));
        if let Some(&next) = self.dump_times.last() {
            self.queue.arm(self.dump_slot, (UPTIME + next).max(at));
        }
    }

    fn run_work(&mut self, work: Work) {
        self.sched.as_kthread = Some(self.helper);
        self.sched.run_work(work);
        self.sched.as_kthread = None;
    }

    fn is_idle(&self, cpu: CpuId) -> bool {
        let rq = &self.sched.rqs[cpu.idx()];
        rq.curr == rq.idle
    }

    /// The running task has computed since the CPU returned to it.
    fn leave_user(&mut self, cpu: CpuId, at: Ns) {
        let since = self.cpus[cpu.idx()].busy_until;
        let curr = self.sched.rqs[cpu.idx()].curr;
        if let Some(Some(prog)) = self.programs.get_mut(curr.0 as usize) {
            prog.doing = match prog.doing {
                Doing::Run(left) if left <= at.since(since) => Doing::Next,
                Doing::Run(left) => Doing::Run(left - at.since(since)),
                Doing::Until(end) if end <= at => Doing::Next,
                other => other,
            };
        }
    }

    /// Arms what ends the user time that begins now.
    fn return_to_user(&mut self, cpu: CpuId) {
        let now = self.sched.now;
        let rq = &self.sched.rqs[cpu.idx()];
        let (curr, idle) = (rq.curr, rq.curr == rq.idle);
        let end = match self.programs.get(curr.0 as usize) {
            Some(Some(prog)) => match prog.doing {
                Doing::Run(left) => Some(now + left),
                Doing::Until(end) => Some(end.max(now)),
                Doing::Next | Doing::Suspended => None,
            },
            _ => None,
        };
        let c = &mut self.cpus[cpu.idx()];
        c.busy_until = now;
        match end {
            Some(end) => self.queue.arm(c.run_end, end),
            None => self.queue.cancel(c.run_end),
        }
        if !idle && self.queue.armed(c.tick).is_none() {
            let next = next_tick(now, cpu);
            self.queue.arm(c.tick, next);
        }
    }

    /// Carries out what `Sched` asks for, until this CPU is left with nothing to do but go on. A CPU that keeps asking (a policy
    /// that kicks its own CPU from ops.dispatch) goes on at a later interrupt, so that time passes and the others have their turn.
    pub(crate) fn settle(&mut self, cpu: CpuId) {
        for _ in 0..MAX_ROUNDS {
            if !self.sched.requests.is_empty() && self.drain_requests(cpu) {
                self.sched.irq_work(cpu);
            } else if self.sched.rqs[cpu.idx()].need_resched {
                self.sched.schedule(cpu);
            } else {
                return;
            }
        }
        let irq_work = self.drain_requests(cpu);
        self.cpus[cpu.idx()].irq_work |= irq_work;
        self.go_on_later(cpu);
    }

    /// The CPU goes on at a later interrupt, after the others have had their turn.
    pub(crate) fn go_on_later(&mut self, cpu: CpuId) {
        let at = self.sched.now + Ns(self.costs.ipi_ns.max(MIN_ROUND));
        self.queue.arm(self.cpus[cpu.idx()].ipi, at);
    }

    /// The entry is over: its events go out, then what only waited for its end is freed.
    fn leave_kernel(&mut self, cpu: CpuId, sink: &mut dyn EventSink) {
        self.return_to_user(cpu);
        self.drain_events(sink);
        if let Some(checkers) = &mut self.checkers {
            checkers.settled(self.sched.now.since(UPTIME), &self.sched);
        }
        self.swaps_settled();
        self.sched.rcu_flush();
    }

    fn drain_events(&mut self, sink: &mut dyn EventSink) {
        let mut events = std::mem::take(&mut self.sched.events);
        for (t, cpu, ev) in &events {
            let t = t.since(UPTIME);
            self.stats.event(t, ev, &self.sched);
            match ev {
                // Whoever unregisters a scheduler goes on with another one, or ends the run.
                Event::ExitClaimed { kind, .. } if *kind != ExitKind::Unreg.value() => {
                    self.stats.cut(t, self.workload.tasks.len(), &self.sched);
                }
                Event::Enabled { .. } => {
                    self.took_over = true;
                    self.stats.join();
                }
                _ => {}
            }
            if let Some(checkers) = &mut self.checkers {
                checkers.event(t, *cpu, ev, &self.sched);
            }
            if let Some(swaps) = &mut self.swaps {
                swaps.event(t, ev, &self.sched);
            }
            sink.event(t, *cpu, ev, &self.sched);
        }
        events.clear();
        self.sched.events = events;
        for mut call in self.sched.take_long_calls() {
            call.at = call.at.since(UPTIME);
            sink.long_call(&call);
            self.long_calls.add(call);
        }
    }

    /// Starts the workload task that is due; the next one is an event of its own.
    fn start_task(&mut self, at: Ns) {
        if let Some(&start) = self.starts.last()
            && start.at <= at
        {
            self.starts.pop();
            self.fork_task(start.spec, start.instance, start.pid);
        }
        if let Some(next) = self.starts.last() {
            self.queue.arm(self.start_slot, next.at.max(at));
        }
    }

    /// Whether the running task of `cpu` is in the stop class.
    pub(crate) fn runs_stopper(&self, cpu: CpuId) -> bool {
        let curr = self.sched.rqs[cpu.idx()].curr;
        self.sched.tasks[curr].class == Class::Stop
    }
}

impl Cpu {
    fn new(cpu: CpuId, queue: &mut EventQueue<What>) -> Self {
        Cpu {
            busy_until: UPTIME,
            tick: queue.add(What::Tick(cpu)),
            run_end: queue.add(What::RunEnd(cpu)),
            ipi: queue.add(What::Ipi(cpu)),
            servers: Server::ALL.map(|server| queue.add(What::Server(cpu, server))),
            irq_work: false,
        }
    }
}

/// The workload's tasks by pid, and the machine's own.
fn by_owner(tasks: Vec<TaskResult>) -> (Vec<TaskResult>, Vec<TaskResult>) {
    let (mut own, machine): (Vec<_>, Vec<_>) = tasks.into_iter().partition(|r| r.spec.is_some());
    own.sort_by_key(|t| t.pid);
    (own, machine)
}

/// The next tick of `cpu` after `now`. As in Linux (`skew_tick=0`) all CPUs tick together; the little skew fixes their order.
fn next_tick(now: Ns, cpu: CpuId) -> Ns {
    let offset = u64::from(cpu.0) * TICK_SKEW % TICK;
    let n = (now.0 + TICK - offset) / TICK;
    Ns(n * TICK + offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_come_every_4_ms_a_little_later_on_each_cpu() {
        assert_eq!(next_tick(Ns(0), CpuId(0)), Ns(4_000_000));
        assert_eq!(next_tick(Ns(4_000_000), CpuId(0)), Ns(8_000_000));
        assert_eq!(next_tick(Ns(4_000_000), CpuId(3)), Ns(4_000_300));
        assert_eq!(next_tick(Ns(4_000_300), CpuId(3)), Ns(8_000_300));
        assert_eq!(next_tick(Ns(0), CpuId(1)), Ns(100));
    }
}

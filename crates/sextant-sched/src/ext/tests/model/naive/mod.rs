//! The rules of sched_ext (semantics §4.1-4.11, 4.15, 4.20) written for a reader, not for a machine: vectors that are searched, no
//! indices, no counters that could be derived, nothing shared with the class but constants and the order in which it
//! calls ops. Time is exact and costs nothing; an entry is atomic.
//!
//! Every task is of the ext class. Above it is only migration/N, which takes a task off a CPU it may no longer use.
//! Left out: other classes, hotplug, default CPU selection, the watchdog.

mod core;
mod dispatch;
mod enqueue;
mod kfunc;
mod queue;

use std::collections::BTreeSet;

pub use queue::{Name, Queue};
use sextant_abi::tables::Op;
use sextant_abi::types::*;

use super::policy::{Policy, Setup};

/// Jiffies are that long, ns.
const JIFFY: u64 = 4_000_000;

/// What a CPU runs, highest class first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Who {
    Stopper,
    Task(usize),
    Idle,
}

/// Classes, highest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Rank {
    Stop,
    Ext,
    Idle,
}

impl Who {
    pub fn rank(self) -> Rank {
        match self {
            Who::Stopper => Rank::Stop,
            Who::Task(_) => Rank::Ext,
            Who::Idle => Rank::Idle,
        }
    }
}

/// Something another can see.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Seen {
    Op { op: Op, p: Option<usize>, args: [u64; 2] },
    Insert { p: usize, dsq: u64, slice: u64, vtime: u64 },
    Remove { p: usize, dsq: u64 },
    Migrate { p: usize, to: u32 },
    Switch { cpu: u32, next: Who },
    Exit { p: usize },
}

/// A decision of the scheduler's that is still to be carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verdict {
    pub dsq: u64,
    pub slice: u64,
    /// In vtime order.
    pub vtime: Option<u64>,
    pub flags: u64,
}

#[derive(Clone, Debug)]
pub struct Task {
    pub alive: bool,
    pub exiting: bool,
    pub asleep: bool,
    /// Between runnable and quiescent.
    pub queued: bool,
    pub cpu: u32,
    pub allowed: u64,
    /// migrate_disable calls without their migrate_enable.
    pub pinned: u32,
    /// It has left the CPU since, so only that CPU counts as allowed.
    pub narrowed: bool,
    pub nice: i32,
    pub slice: u64,
    /// Asked for from outside the runqueue: applied when it is charged or runs next.
    pub wanted_slice: Option<u64>,
    pub vtime: u64,
    /// ops.dequeue is owed.
    pub custody: bool,
    /// The scheduler holds it, in this generation.
    pub held: Option<u32>,
    /// Enqueues so far.
    pub generation: u32,
    pub verdict: Option<Verdict>,
    /// It is being brought to this CPU's local DSQ.
    pub sticky: Option<u32>,
    pub selected: i32,
    /// Runs now or comes back.
    pub immed: bool,
    /// Jiffies since when it waits.
    pub waits_since: u64,
    /// The next wait is a new one.
    pub new_wait: bool,
    pub charged_until: u64,
    pub ran_ns: u64,
}

/// What a kick does beside the reschedule.
#[derive(Clone, Default, Debug)]
pub struct Kicks {
    pub kick: BTreeSet<u32>,
    pub preempt: BTreeSet<u32>,
    pub wait: BTreeSet<u32>,
    pub idle: BTreeSet<u32>,
}

/// An entry of the dispatch buffer.
#[derive(Clone, Debug)]
pub struct Buffered {
    pub p: usize,
    pub generation: Option<u32>,
    pub verdict: Verdict,
}

/// Whom an insertion would dispatch directly.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Subject {
    None,
    Task(usize),
    Done,
}

#[derive(Clone, Debug)]
pub struct Cpu {
    pub curr: Who,
    /// Class of what runs or has been chosen to.
    pub next: Rank,
    pub need_resched: bool,
    pub irq_work: bool,
    pub stopper_queued: bool,
    /// For migration/N.
    pub to_migrate: Vec<usize>,
    /// Tasks that wait here, in the order in which they began to.
    pub waiting: Vec<usize>,
    pub buffer: Vec<Buffered>,
    /// Moves of this round of ops.dispatch.
    pub moves: usize,
    pub subject: Subject,
    /// Tasks on their way to other CPUs' local DSQs.
    pub deferred: Vec<usize>,
    pub reenq_local: Option<u64>,
    pub reenq_user: Vec<(u64, u64)>,
    pub kicks: Kicks,
    pub wait_kick: bool,
    /// Built-in idle tracking.
    pub idle: bool,
    pub idle_owed: bool,
    pub bypass: bool,
    pub released: bool,
    in_wakeup: bool,
    in_dispatch: bool,
    /// Deferred work is for the callback after this dispatch.
    deferred_to_callback: bool,
    callback: bool,
    resched_after: bool,
}

/// A walk over a DSQ: what was there when it began.
#[derive(Clone, Debug)]
struct Walk {
    dsq: u64,
    seq: u64,
    rest: Vec<(usize, u64)>,
    slice: Option<u64>,
    vtime: Option<u64>,
}

/// The machine.
pub struct Naive {
    pub setup: Setup,
    pub now: u64,
    pub tasks: Vec<Task>,
    pub cpus: Vec<Cpu>,
    pub queues: Vec<Queue>,
    /// Bypass has begun; the CPUs enter and leave it one after the other.
    pub bypass: bool,
    pub seen: Vec<Seen>,
    /// The scheduler's first mistake.
    pub error: Option<String>,
    /// Away while it is asked.
    policy: Option<Policy>,
    this: u32,
    /// The runqueue that the running op holds.
    locked: Option<u32>,
    walks: Vec<Option<Walk>>,
    /// Print what the policy does.
    pub verbose: bool,
}

impl Naive {
    /// CPUs idle, no task.
    pub fn new(setup: &Setup, now: u64) -> Self {
        let cpu = Cpu {
            curr: Who::Idle,
            next: Rank::Idle,
            need_resched: false,
            irq_work: false,
            stopper_queued: false,
            to_migrate: Vec::new(),
            waiting: Vec::new(),
            buffer: Vec::new(),
            moves: 0,
            subject: Subject::None,
            deferred: Vec::new(),
            reenq_local: None,
            reenq_user: Vec::new(),
            kicks: Kicks::default(),
            wait_kick: false,
            idle: true,
            idle_owed: false,
            bypass: false,
            released: false,
            in_wakeup: false,
            in_dispatch: false,
            deferred_to_callback: false,
            callback: false,
            resched_after: false,
        };
        let users = super::policy::FIFO.iter().chain(&super::policy::PRIQ);
        let cpus = 0..setup.nr_cpus;
        let queues = cpus
            .clone()
            .map(Name::Local)
            .chain(cpus.map(Name::Bypass))
            .chain([Name::Global])
            .chain(users.map(|&id| Name::User(id)))
            .map(Queue::new)
            .collect();
        Self {
            setup: setup.clone(),
            now,
            tasks: Vec::new(),
            cpus: vec![cpu; setup.nr_cpus as usize],
            queues,
            bypass: false,
            seen: Vec::new(),
            error: None,
            policy: Some(Policy::new(setup)),
            this: 0,
            locked: None,
            walks: Vec::new(),
            verbose: false,
        }
    }

    /// What the scheduler has been answered so far.
    pub fn answers(&mut self) -> &mut Vec<i64> {
        &mut self.policy.as_mut().expect("no op runs").answers
    }

    /// An entry begins.
    pub fn enter(&mut self, cpu: u32, now: u64) {
        (self.this, self.now) = (cpu, now);
    }

    fn jiffies(&self) -> u64 {
        self.now / JIFFY
    }

    fn cpu(&mut self, cpu: u32) -> &mut Cpu {
        &mut self.cpus[cpu as usize]
    }

    fn fail(&mut self, message: String) {
        self.error.get_or_insert(message);
        // The exit is prepared by an irq_work of the CPU where it happened.
        self.ask_irq_work(self.this);
    }

    fn name(&self, p: usize) -> String {
        format!("t{p}[{}]", 1000 + p)
    }

    fn default_slice(&self) -> u64 {
        if self.bypass { SCX_SLICE_BYPASS } else { SCX_SLICE_DFL }
    }

    fn ask_resched(&mut self, cpu: u32) {
        self.cpu(cpu).need_resched = true;
    }

    fn ask_irq_work(&mut self, cpu: u32) {
        self.cpu(cpu).irq_work = true;
    }

    /// Calls an op: seen by all, then `f` asks the policy and does what it says, with `locked` the runqueue held.
    fn op<R>(
        &mut self,
        op: Op,
        p: Option<usize>,
        args: [u64; 2],
        locked: Option<u32>,
        f: impl FnOnce(&mut Policy, &Naive) -> (R, Vec<super::policy::Act>),
    ) -> R {
        self.seen.push(Seen::Op { op, p, args });
        let outer = std::mem::replace(&mut self.locked, locked);
        // An op may be called while another one runs: the policy is only away while it thinks.
        let mut policy = self.policy.take().expect("a policy thinks alone");
        let (r, acts) = f(&mut policy, self);
        self.policy = Some(policy);
        self.perform(acts);
        self.locked = outer;
        r
    }

    fn perform(&mut self, acts: Vec<super::policy::Act>) {
        for act in acts {
            if self.verbose {
                println!("          {act:?}");
            }
            let mut answers = Vec::new();
            super::policy::perform(self, &act, &mut answers);
            self.answers().extend(answers);
        }
    }

    /// An op in which the scheduler does nothing.
    fn tell(&mut self, op: Op, p: Option<usize>, args: [u64; 2]) {
        self.seen.push(Seen::Op { op, p, args });
    }
}

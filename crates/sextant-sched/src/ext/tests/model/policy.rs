//! The scheduler that both sides run: what it does is drawn from a generator of its own, so that two instances with the same
//! seed do the same as long as the kernels below them answer the same. Each answer is kept for comparison.

use sextant_abi::DsqId;
use sextant_abi::types::*;

use super::rng::Rng;

/// FIFO queues that always exist, and queues in vtime order.
pub const FIFO: [u64; 2] = [1, 2];
/// Queues in vtime order.
pub const PRIQ: [u64; 2] = [8, 9];
/// A queue that comes and goes.
pub const COMING: u64 = 20;
/// vtimes lie around the wrap.
const VTIME_BASE: u64 = u64::MAX - 4;

/// What differs between the schedulers of two sequences.
#[derive(Clone, Debug)]
pub struct Setup {
    pub nr_cpus: u32,
    /// SCX_OPS_*
    pub flags: u64,
    /// Entries of the dispatch buffer.
    pub max_batch: u32,
    /// Has ops.cpu_acquire and ops.cpu_release.
    pub release: bool,
    /// Has ops.enqueue.
    pub enqueue: bool,
    /// Uses SCX_ENQ_IMMED.
    pub immed: bool,
    /// One choice in so many breaks a rule; 0 for none.
    pub naughty: u32,
    pub seed: u64,
}

/// The kfuncs of one side. Tasks are numbered in the order of their forks.
pub trait Kernel {
    fn allowed(&self, p: usize) -> u64;
    fn alive(&self, p: usize) -> bool;
    fn running(&self, cpu: u32) -> Option<usize>;
    fn exists(&self, dsq: u64) -> bool;
    fn empty(&self, dsq: u64) -> bool;
    fn insert(&mut self, p: usize, dsq: u64, slice: u64, vtime: Option<u64>, flags: u64) -> bool;
    fn move_to_local(&mut self, dsq: u64, flags: u64) -> bool;
    fn iter_new(&mut self, dsq: u64, flags: u64) -> Option<u32>;
    fn iter_next(&mut self, it: u32) -> Option<usize>;
    fn iter_destroy(&mut self, it: u32);
    fn iter_slice(&mut self, it: u32, slice: u64);
    fn iter_vtime(&mut self, it: u32, vtime: u64);
    fn dsq_move(&mut self, it: u32, p: usize, dsq: u64, priq: bool, flags: u64) -> bool;
    fn set_slice(&mut self, p: usize, slice: u64) -> bool;
    fn set_vtime(&mut self, p: usize, vtime: u64) -> bool;
    fn nr_queued(&mut self, dsq: u64) -> i32;
    fn peek(&mut self, dsq: u64) -> Option<usize>;
    fn nr_slots(&mut self) -> u32;
    fn cancel(&mut self);
    fn kick(&mut self, cpu: u32, flags: u64);
    fn claim_idle(&mut self, cpu: u32) -> bool;
    fn reenq(&mut self, dsq: u64, flags: u64);
    fn create(&mut self, dsq: u64) -> i32;
    fn destroy(&mut self, dsq: u64);
    fn cpu_of(&self, p: usize) -> u32;
    fn meanwhile(&mut self, p: usize, nice: i32);
}

/// One thing an op does.
#[derive(Clone, Debug)]
pub enum Act {
    Insert {
        p: usize,
        dsq: u64,
        slice: u64,
        vtime: Option<u64>,
        flags: u64,
    },
    MoveToLocal {
        dsq: u64,
        flags: u64,
    },
    /// Walks a DSQ and moves the tasks whose bit is set.
    Walk {
        dsq: u64,
        rev: bool,
        which: u64,
        /// Of these, only tasks that may run on this CPU.
        only: Option<u32>,
        to: u64,
        priq: bool,
        flags: u64,
        slice: Option<u64>,
        vtime: Option<u64>,
    },
    SetSlice {
        p: usize,
        slice: u64,
    },
    SetVtime {
        p: usize,
        vtime: u64,
    },
    Ask {
        dsq: u64,
    },
    Slots,
    Cancel,
    Kick {
        cpu: u32,
        flags: u64,
    },
    Claim {
        cpu: u32,
    },
    Reenq {
        dsq: u64,
    },
    Create,
    Destroy,
    /// Not the scheduler's: while the op runs, somebody on another CPU changes the nice value of `p`.
    Meanwhile {
        p: usize,
        nice: i32,
    },
}

/// Carries one act out; the answers, for comparison.
pub fn perform(k: &mut dyn Kernel, act: &Act, answers: &mut Vec<i64>) {
    let number = |p: Option<usize>| p.map_or(-1, |p| p as i64);
    match *act {
        Act::Insert { p, dsq, slice, vtime, flags } => {
            answers.push(i64::from(k.insert(p, dsq, slice, vtime, flags)))
        }
        Act::MoveToLocal { dsq, flags } => answers.push(i64::from(k.move_to_local(dsq, flags))),
        Act::Walk { dsq, rev, mut which, only, to, priq, flags, slice, vtime } => {
            let Some(it) = k.iter_new(dsq, if rev { SCX_DSQ_ITER_REV } else { 0 }) else {
                return answers.push(-2);
            };
            while let Some(p) = k.iter_next(it) {
                answers.push(p as i64);
                if which & 1 != 0 && only.is_none_or(|cpu| k.allowed(p) >> cpu & 1 != 0) {
                    slice.inspect(|&slice| k.iter_slice(it, slice));
                    vtime.filter(|_| priq).inspect(|&vtime| k.iter_vtime(it, vtime));
                    answers.push(i64::from(k.dsq_move(it, p, to, priq, flags)));
                    if which & 2 != 0 {
                        // It is no longer where the walk saw it, even if it is on the same DSQ again.
                        answers.push(i64::from(k.dsq_move(it, p, to, priq, flags)));
                    }
                }
                which >>= 1;
            }
            k.iter_destroy(it);
        }
        Act::SetSlice { p, slice } => answers.push(i64::from(k.set_slice(p, slice))),
        Act::SetVtime { p, vtime } => answers.push(i64::from(k.set_vtime(p, vtime))),
        Act::Ask { dsq } => {
            answers.push(i64::from(k.nr_queued(dsq)));
            if dsq & DsqId::FLAG_BUILTIN == 0 {
                answers.push(number(k.peek(dsq)));
            }
        }
        Act::Slots => answers.push(i64::from(k.nr_slots())),
        Act::Cancel => k.cancel(),
        Act::Kick { cpu, flags } => k.kick(cpu, flags),
        Act::Claim { cpu } => answers.push(i64::from(k.claim_idle(cpu))),
        Act::Reenq { dsq } => k.reenq(dsq, 0),
        Act::Create => answers.push(i64::from(k.create(COMING))),
        Act::Destroy => k.destroy(COMING),
        Act::Meanwhile { p, nice } => k.meanwhile(p, nice),
    }
}

/// The scheduler's own state.
pub struct Policy {
    pub setup: Setup,
    rng: Rng,
    /// Tasks it took in ops.enqueue and has not sent on; some are no longer its own.
    held: Vec<usize>,
    pub answers: Vec<i64>,
}

impl Policy {
    pub fn new(setup: &Setup) -> Self {
        Self { setup: setup.clone(), rng: Rng(setup.seed), held: Vec::new(), answers: Vec::new() }
    }

    fn naughty(&mut self) -> bool {
        self.setup.naughty != 0 && self.rng.below(u64::from(self.setup.naughty)) == 0
    }

    fn slice(&mut self) -> u64 {
        match self.rng.below(8) {
            0 => SCX_SLICE_INF,
            1 | 2 => 0,
            n => n * 1_000_000,
        }
    }

    fn vtime(&mut self) -> u64 {
        VTIME_BASE.wrapping_add(self.rng.below(9))
    }

    /// A CPU that `p` may use (or not, when a rule is to be broken).
    fn cpu_for(&mut self, k: &dyn Kernel, p: usize) -> u32 {
        let nr = u64::from(self.setup.nr_cpus);
        if self.naughty() {
            return self.rng.below(nr + 1) as u32;
        }
        let allowed: Vec<u32> = (0..nr as u32).filter(|cpu| k.allowed(p) >> cpu & 1 != 0).collect();
        allowed[self.rng.below(allowed.len() as u64) as usize]
    }

    fn local_flags(&mut self) -> u64 {
        match self.rng.below(8) {
            0 => SCX_ENQ_HEAD,
            1 => SCX_ENQ_PREEMPT,
            2 if self.setup.immed => SCX_ENQ_IMMED,
            3 if self.setup.immed => SCX_ENQ_IMMED | SCX_ENQ_PREEMPT,
            _ => 0,
        }
    }

    /// Any queue for `p`: its id, a vtime if it is in vtime order, flags.
    fn place(&mut self, k: &dyn Kernel, p: usize) -> (u64, Option<u64>, u64) {
        if self.naughty() {
            let dsq = [COMING, 99, FIFO[0], PRIQ[0], DsqId::GLOBAL.0][self.rng.below(5) as usize];
            let vtime = (self.rng.below(2) == 0).then(|| self.vtime());
            return (dsq, vtime, 0);
        }
        let head = if self.rng.below(4) == 0 { SCX_ENQ_HEAD } else { 0 };
        match self.rng.below(8) {
            0 | 1 => (DsqId::LOCAL.0, None, self.local_flags()),
            2 => (DsqId::LOCAL_ON.0 | u64::from(self.cpu_for(k, p)), None, self.local_flags()),
            3 => (DsqId::GLOBAL.0, None, head),
            4 if k.exists(COMING) => (COMING, None, head),
            4 | 5 => (FIFO[self.rng.below(2) as usize], None, head),
            _ => (PRIQ[self.rng.below(2) as usize], Some(self.vtime()), 0),
        }
    }

    fn insertion(&mut self, k: &dyn Kernel, p: usize) -> Act {
        let (dsq, vtime, flags) = self.place(k, p);
        Act::Insert { p, dsq, slice: self.slice(), vtime, flags }
    }

    fn any_user(&mut self, k: &dyn Kernel) -> u64 {
        let dsq = [FIFO[0], FIFO[1], PRIQ[0], PRIQ[1], COMING][self.rng.below(5) as usize];
        if k.exists(dsq) || self.naughty() { dsq } else { FIFO[0] }
    }

    fn kick(&mut self) -> Act {
        let flags = [0, SCX_KICK_IDLE, SCX_KICK_PREEMPT, SCX_KICK_WAIT, SCX_KICK_PREEMPT | SCX_KICK_WAIT];
        let flags = flags[self.rng.below(5) as usize];
        Act::Kick { cpu: self.rng.below(u64::from(self.setup.nr_cpus)) as u32, flags }
    }

    fn walk(&mut self, k: &dyn Kernel, cpu: u32) -> Act {
        let dsq = self.any_user(k);
        let (to, priq, flags) = match self.rng.below(4) {
            0 => (DsqId::LOCAL.0, false, self.local_flags() & !SCX_ENQ_IMMED),
            1 => (DsqId::GLOBAL.0, false, 0),
            2 => (FIFO[self.rng.below(2) as usize], false, 0),
            _ => (PRIQ[self.rng.below(2) as usize], true, 0),
        };
        let only = (to == DsqId::LOCAL.0 && !self.naughty()).then_some(cpu);
        let some = |rng: &mut Rng, v: u64| (rng.below(2) == 0).then_some(v);
        let (slice, vtime) = (self.slice(), self.vtime());
        let (slice, vtime) = (some(&mut self.rng, slice), some(&mut self.rng, vtime));
        let rev = self.rng.below(2) == 0;
        Act::Walk { dsq, rev, which: self.rng.next(), only, to, priq, flags, slice, vtime }
    }

    /// Any question or side effect that every op may have.
    fn aside(&mut self, k: &dyn Kernel, out: &mut Vec<Act>) {
        match self.rng.below(24) {
            0 => out.push(self.kick()),
            1 => out.push(Act::Ask { dsq: self.any_user(k) }),
            2 => out.push(Act::Ask { dsq: DsqId::LOCAL.0 }),
            3 => out.push(Act::Claim { cpu: self.rng.below(u64::from(self.setup.nr_cpus)) as u32 }),
            4 => {
                let cpu = self.rng.below(u64::from(self.setup.nr_cpus)) as u32;
                let slice = self.slice();
                out.extend(k.running(cpu).map(|p| Act::SetSlice { p, slice }));
            }
            5 => {
                let dsq = [self.any_user(k), DsqId::LOCAL_ON.0][self.rng.below(2) as usize];
                out.push(Act::Reenq { dsq });
            }
            _ => {}
        }
    }

    /// ops.select_cpu: the CPU, and what is done before returning it.
    pub fn select_cpu(&mut self, k: &dyn Kernel, p: usize, prev: u32) -> (i32, Vec<Act>) {
        let mut acts = Vec::new();
        self.aside(k, &mut acts);
        if self.rng.below(4) == 0 {
            acts.push(self.insertion(k, p));
            if self.naughty() {
                acts.push(self.insertion(k, p));
            }
        }
        let cpu = match self.rng.below(4) {
            0 => prev as i32,
            1 => self.rng.below(u64::from(self.setup.nr_cpus)) as i32,
            _ => self.cpu_for(k, p) as i32,
        };
        (cpu, acts)
    }

    /// ops.enqueue: inserts, or keeps the task.
    pub fn enqueue(&mut self, k: &dyn Kernel, p: usize, flags: u64) -> Vec<Act> {
        let mut acts = Vec::new();
        self.aside(k, &mut acts);
        if flags & SCX_ENQ_REENQ != 0 {
            // Back to where it cannot be asked for again at once.
            acts.push(Act::Insert { p, dsq: FIFO[0], slice: 0, vtime: None, flags: 0 });
        } else if self.rng.below(3) == 0 {
            self.held.push(p);
        } else {
            acts.push(self.insertion(k, p));
            if self.naughty() {
                let other = self.rng.below(p as u64 + 1) as usize;
                let at = self.rng.below(2) as usize;
                let another = k.alive(other).then(|| self.insertion(k, other));
                acts.splice(at..at, another);
            }
        }
        acts
    }

    /// ops.dequeue: mostly notices, sometimes not, so that stale entries are sent.
    pub fn dequeue(&mut self, k: &dyn Kernel, p: usize) -> Vec<Act> {
        if self.rng.below(3) != 0 {
            self.held.retain(|&q| q != p);
        }
        let mut acts = Vec::new();
        self.aside(k, &mut acts);
        acts
    }

    /// ops.dispatch
    pub fn dispatch(&mut self, k: &dyn Kernel, cpu: u32, prev: Option<usize>) -> Vec<Act> {
        let mut acts = Vec::new();
        self.held.retain(|&p| k.alive(p));
        let mut room = if self.naughty() { u32::MAX } else { self.setup.max_batch };
        for _ in 0..self.rng.below(4) {
            let n = self.held.len() as u64;
            match self.rng.below(8) {
                0..=2 if n > 0 && room > 0 => {
                    room -= 1;
                    let i = self.rng.below(n) as usize;
                    let p = self.held[i];
                    if self.rng.below(8) != 0 {
                        self.held.remove(i);
                    }
                    let mut act = self.insertion(k, p);
                    if let Act::Insert { dsq, .. } = &mut act
                        && *dsq == DsqId::LOCAL.0
                        && k.allowed(p) >> cpu & 1 == 0
                    {
                        *dsq = DsqId::LOCAL_ON.0 | u64::from(self.cpu_for(k, p));
                    }
                    acts.push(act);
                    if k.cpu_of(p) != cpu && self.rng.below(4) == 0 {
                        let nice = [-5, 0, 5, 10][self.rng.below(4) as usize];
                        acts.push(Act::Meanwhile { p, nice });
                    }
                }
                3 | 4 => {
                    let flags = self.local_flags();
                    acts.push(Act::MoveToLocal { dsq: self.any_user(k), flags });
                    room = self.setup.max_batch;
                }
                5 => acts.push(self.walk(k, cpu)),
                6 => acts.push(Act::Slots),
                7 if self.naughty() => acts.push(Act::Cancel),
                7 if self.rng.below(4) == 0 => {
                    let slice = self.slice();
                    acts.extend(prev.map(|p| Act::SetSlice { p, slice }));
                }
                _ => self.aside(k, &mut acts),
            }
        }
        acts
    }

    /// ops.tick, ops.running, ops.stopping: slices and vtimes of a task that is on no queue.
    pub fn on_cpu(&mut self, k: &dyn Kernel, p: usize) -> Vec<Act> {
        let mut acts = Vec::new();
        match self.rng.below(16) {
            0 => acts.push(Act::SetSlice { p, slice: self.slice() }),
            1 => acts.push(Act::SetVtime { p, vtime: self.vtime() }),
            _ => self.aside(k, &mut acts),
        }
        acts
    }

    /// A program that a user runs.
    pub fn syscall(&mut self, k: &dyn Kernel) -> Vec<Act> {
        match self.rng.below(6) {
            0 => vec![Act::Create],
            1 if k.empty(COMING) || self.naughty() => vec![Act::Destroy],
            2 => vec![self.kick()],
            3 => {
                let mut walk = self.walk(k, 0);
                if let Act::Walk { to, priq, flags, .. } = &mut walk {
                    (*to, *priq, *flags) = (FIFO[1], false, 0);
                }
                vec![walk]
            }
            4 => {
                let slice = self.slice();
                let p = self.rng.below(8) as usize;
                if k.alive(p) { vec![Act::SetSlice { p, slice }] } else { Vec::new() }
            }
            _ => vec![Act::Reenq { dsq: self.any_user(k) }],
        }
    }
}

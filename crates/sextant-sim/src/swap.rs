//! Schedulers that are replaced while the machine runs: the old one is unregistered and disabled in full, then the new one is
//! loaded and enabled in full, as when one loader ends and the next begins. There is no other way in the kernel either.
//!
//! ```text
//!  time of the swap ─► unregister ─► old one disabled ─► its memory is given back ─► load ─► enable ─► running
//!                                                                                    └──── failed ────► fair class,
//!  the new one exits with an error, now or later ────────────────────────────────────────────────────► or rollback
//! ```
//!
//! Disabling and enabling are done in steps by a kernel thread on CPU 0 ([`Step`]); between them the other CPUs go on, in bypass mode. What must
//! hold: nothing of the old one is called after its end; a swap that is due waits until the one before is over. Loading takes no virtual
//! time: a loader opens and verifies its object while the old scheduler is in charge. With `--ideal` steps take no time either.

use std::collections::BTreeSet;
use std::rc::Rc;

use sextant_abi::Ns;
use sextant_abi::exit::ExitInfo;
use sextant_sched::ext::{EnableState, Step};
use sextant_sched::ops::Op;
use sextant_sched::{Class, Event, Ops, Sched, TaskId};

use crate::machine::{Simulation, UPTIME, What};
use crate::queue::Slot;

/// Loads a scheduler by its number, anew each time; None is the fair class alone.
pub type Load = Box<dyn FnMut(usize) -> Result<Option<Rc<dyn Ops>>, String>>;

/// What is to be swapped when.
pub struct SwapPlan {
    /// When, and which scheduler comes, in the order of time. The one attached at the start is number 0.
    pub swaps: Vec<(Ns, usize)>,
    /// When a scheduler that came by a swap exits with an error, the one before it comes back.
    pub rollback: bool,
    /// Gives the schedulers.
    pub load: Load,
}

/// One change of the scheduler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwapResult {
    /// When the old one's end began.
    pub at: Ns,
    /// The number of the scheduler that went, or had failed.
    pub from: usize,
    /// The number of the one that came.
    pub to: usize,
    /// It came back because `from` had failed.
    pub rollback: bool,
    /// How the old one ended; None for the fair class alone.
    pub from_exit: Option<ExitInfo>,
    /// Why the new one was not loaded or attached at all.
    pub failed: Option<String>,
    /// Time in bypass mode, disabling and enabling together.
    pub bypass_ns: u64,
    /// From `at` to the new one's first callback; None if it had none.
    pub first_op_ns: Option<u64>,
    /// From `at` to the first select_cpu, enqueue or dispatch of the new one.
    pub first_decision_ns: Option<u64>,
    /// The longest wait for a CPU, from its beginning to its end, of all tasks that waited at any time of the swap.
    pub max_wait_ns: u64,
    /// Whose it was, `comm[pid]`.
    pub max_wait_task: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// Until the next time.
    Idle,
    /// The old one is on its way out.
    Leaving,
    /// It is gone; the new one comes next.
    Gone,
    /// The new one is on its way in.
    Coming,
    /// A failed one is to be replaced by the one before.
    Rollback,
}

/// The swaps of a run.
pub(crate) struct Swaps {
    /// Still to come, latest first.
    plan: Vec<(Ns, usize)>,
    rollback: bool,
    load: Load,
    slot: Slot,
    stage: Stage,
    /// Who is or was in charge, and who was before.
    current: usize,
    before: usize,
    ops: Option<Rc<dyn Ops>>,
    /// Enabled, as far as we know.
    attached: bool,
    /// The new one's enabling, or its failure, is in this entry.
    closing: bool,
    /// The new one's callbacks are being waited for.
    fresh: bool,
    bypass_since: Option<Ns>,
    bypass_ns: u64,
    results: Vec<SwapResult>,
    waits: Waits,
}

/// Who waits for a CPU since when, and whose waits belong to a swap.
#[derive(Default)]
struct Waits {
    since: Vec<Option<Ns>>,
    /// Between a swap's beginning and its end: everybody's wait counts.
    open: bool,
    /// Results with the tasks that still wait since then.
    watched: Vec<(usize, BTreeSet<TaskId>)>,
}

impl Waits {
    fn event(&mut self, t: Ns, ev: &Event, s: &Sched, results: &mut [SwapResult]) {
        match *ev {
            Event::Wakeup { p, .. } | Event::Fork { p, .. } => self.set(p, Some(t)),
            Event::Switch { prev, prev_runnable, next } => {
                self.set(prev, (prev_runnable && s.tasks[prev].class != Class::Idle).then_some(t));
                if let Some(since) = self.since.get_mut(next.0 as usize).and_then(Option::take) {
                    self.ended(s, next, t.since(since).0, results);
                }
            }
            Event::Exit { p } => {
                self.set(p, None);
                for (_, tasks) in &mut self.watched {
                    tasks.remove(&p);
                }
            }
            _ => {}
        }
    }

    fn set(&mut self, p: TaskId, since: Option<Ns>) {
        let i = p.0 as usize;
        if i >= self.since.len() {
            self.since.resize(i + 1, None);
        }
        self.since[i] = since;
    }

    fn ended(&mut self, s: &Sched, p: TaskId, wait_ns: u64, results: &mut [SwapResult]) {
        let open = self.open.then(|| results.len().checked_sub(1)).flatten();
        let watched = self.watched.iter_mut().filter_map(|(i, tasks)| tasks.remove(&p).then_some(*i));
        for i in watched.chain(open) {
            results[i].waited(s, p, wait_ns);
        }
        self.watched.retain(|(_, tasks)| !tasks.is_empty());
    }

    /// The last swap is over: who waits now is watched until it runs.
    fn close(&mut self, result: usize, s: &Sched) {
        let waiting = self.since.iter().zip(0..).filter(|(since, _)| since.is_some());
        let waiting = waiting.map(|(_, i)| TaskId(i)).filter(|&p| !s.tasks[p].dead);
        self.watched.push((result, waiting.collect()));
        self.open = false;
    }

    /// The run is over.
    fn finish(&mut self, now: Ns, s: &Sched, results: &mut [SwapResult]) {
        for (i, tasks) in std::mem::take(&mut self.watched) {
            for p in tasks.into_iter().filter(|&p| !s.tasks[p].dead) {
                let since = self.since[p.0 as usize].unwrap_or(now);
                results[i].waited(s, p, now.since(since).0);
            }
        }
    }
}

impl SwapResult {
    fn waited(&mut self, s: &Sched, p: TaskId, wait_ns: u64) {
        if wait_ns > self.max_wait_ns {
            let (ts, mem) = (s.t(p), &*s.mem);
            let name = format!("{}[{}]", ts.comm().get_str(mem), ts.pid().get(mem));
            (self.max_wait_ns, self.max_wait_task) = (wait_ns, Some(name));
        }
    }
}

impl Swaps {
    /// An event, at the end of the entry that it belongs to.
    pub fn event(&mut self, t: Ns, ev: &Event, s: &Sched) {
        match *ev {
            Event::Bypass { on: true } => self.bypass_since = Some(t),
            Event::Bypass { on: false } => {
                self.bypass_ns += self.bypass_since.take().map_or(0, |since| t.since(since).0);
            }
            Event::OpCall { op, .. } if self.fresh => self.called(t, op),
            _ => {}
        }
        self.waits.event(t, ev, s, &mut self.results);
    }

    fn called(&mut self, t: Ns, op: Op) {
        let Some(result) = self.results.last_mut() else { return };
        let after = t.since(result.at).0;
        result.first_op_ns.get_or_insert(after);
        if matches!(op, Op::SelectCpu | Op::Enqueue | Op::Dispatch) {
            result.first_decision_ns = Some(after);
            self.fresh = false;
        }
    }

    /// The events of an entry have been seen: a swap that ended in it is over.
    fn settled(&mut self, s: &Sched) {
        if std::mem::take(&mut self.closing)
            && let Some(last) = self.results.len().checked_sub(1)
        {
            self.results[last].bypass_ns = std::mem::take(&mut self.bypass_ns);
            self.waits.close(last, s);
        }
    }

    /// Whether a scheduler that came by a swap has just exited with an error and the one before is to come back.
    fn fell(&mut self, s: &Sched) -> bool {
        if !self.attached || s.ext.state() != EnableState::Disabled {
            return false;
        }
        self.attached = false;
        let by_error = s.ext.exit_info().is_some_and(|exit| exit.kind.is_error());
        by_error && self.may_roll_back()
    }

    /// Not the first scheduler, and not one that came back itself.
    fn may_roll_back(&self) -> bool {
        self.rollback && self.results.last().is_some_and(|last| !last.rollback)
    }

    /// The results at the end of a run.
    pub fn finish(&mut self, now: Ns, s: &Sched) -> Vec<SwapResult> {
        // One that is under way has had so much until now.
        if self.waits.open
            && let Some(last) = self.results.len().checked_sub(1)
        {
            let since = self.bypass_since.take();
            self.results[last].bypass_ns = self.bypass_ns + since.map_or(0, |since| now.since(since).0);
            self.waits.close(last, s);
        }
        self.waits.finish(now, s, &mut self.results);
        std::mem::take(&mut self.results)
    }

    fn begin(&mut self, at: Ns, to: usize, rollback: bool, from_exit: Option<ExitInfo>) {
        self.fresh = false;
        self.waits.open = true;
        self.results.push(SwapResult {
            at,
            from: self.current,
            to,
            rollback,
            from_exit,
            failed: None,
            bypass_ns: 0,
            first_op_ns: None,
            first_decision_ns: None,
            max_wait_ns: 0,
            max_wait_task: None,
        });
    }
}

impl Simulation {
    /// Plans swaps; before or after `attach`, before `run`. `first` is the scheduler that is attached at the start.
    pub fn plan_swaps(&mut self, plan: SwapPlan, first: Option<Rc<dyn Ops>>) {
        let slot = self.queue.add(What::Swap);
        let mut swaps = Swaps {
            plan: plan.swaps,
            rollback: plan.rollback,
            load: plan.load,
            slot,
            stage: Stage::Idle,
            current: 0,
            before: 0,
            attached: first.is_some(),
            ops: first,
            closing: false,
            fresh: false,
            bypass_since: None,
            bypass_ns: 0,
            results: Vec::new(),
            waits: Waits::default(),
        };
        swaps.plan.reverse();
        if let Some(&(at, _)) = swaps.plan.last() {
            self.queue.arm(slot, UPTIME + at);
        }
        self.swaps = Some(Box::new(swaps));
    }

    /// The scheduler that is in charge or was last, if swaps are planned.
    pub fn swapped_in(&self) -> Option<Rc<dyn Ops>> {
        self.swaps.as_ref()?.ops.clone()
    }

    /// The swap's next step is due.
    pub(crate) fn run_swap(&mut self, at: Ns) {
        let Some(mut swaps) = self.swaps.take() else { return };
        self.sched.as_kthread = Some(self.helper);
        let wait = self.swap_step(&mut swaps, at.since(UPTIME));
        self.sched.as_kthread = None;
        let next = match swaps.stage {
            Stage::Idle => swaps.plan.last().map(|&(at, _)| UPTIME + at),
            _ => Some(self.sched.now + Ns(wait)),
        };
        if let Some(next) = next {
            self.queue.arm(swaps.slot, next.max(self.sched.now));
        }
        self.swaps = Some(swaps);
    }

    /// One step; how long the next one has to wait, ns.
    fn swap_step(&mut self, swaps: &mut Swaps, at: Ns) -> u64 {
        match swaps.stage {
            Stage::Idle => self.swap_out(swaps, at),
            Stage::Rollback => {
                let (to, exit) = (swaps.before, self.sched.ext.exit_info().cloned());
                swaps.begin(at, to, true, exit);
                self.swap_in(swaps, to);
            }
            Stage::Gone => {
                if let Some((_, to)) = swaps.plan.pop() {
                    self.swap_in(swaps, to);
                }
            }
            Stage::Leaving | Stage::Coming => return self.go_on(swaps),
        }
        0
    }

    /// The next step of enabling or disabling.
    fn go_on(&mut self, swaps: &mut Swaps) -> u64 {
        match self.sched.scx_step() {
            Step::GracePeriod if self.cpus.len() > 1 => return self.costs.grace_period_ns,
            Step::GracePeriod => {}
            Step::Again { tasks } => self.sched.charge(self.costs.change_ns * u64::from(tasks)),
            Step::Done if swaps.stage == Stage::Leaving => self.gone(swaps),
            Step::Done => self.came(swaps, Ok(())),
        }
        0
    }

    /// Unregisters the scheduler; one that has exited already is gone.
    fn swap_out(&mut self, swaps: &mut Swaps, at: Ns) {
        let Some(&(_, to)) = swaps.plan.last() else { return };
        swaps.attached = false;
        swaps.begin(at, to, false, None);
        if self.sched.ext.state() == EnableState::Disabled {
            return self.gone(swaps);
        }
        swaps.bypass_ns = 0;
        self.sched.scx_unregister_begin();
        swaps.stage = Stage::Leaving;
    }

    /// The old one is gone.
    fn gone(&mut self, swaps: &mut Swaps) {
        swaps.stage = Stage::Gone;
        let exit = swaps.ops.is_some().then(|| self.sched.ext.exit_info().cloned()).flatten();
        if let Some(result) = swaps.results.last_mut() {
            result.from_exit = exit;
        }
    }

    /// Gives the old one's memory back, loads the new one and begins to enable it.
    fn swap_in(&mut self, swaps: &mut Swaps, to: usize) {
        if let Some(old) = swaps.ops.take() {
            old.release(&mut self.sched);
        }
        (swaps.stage, swaps.fresh) = (Stage::Coming, true);
        (swaps.before, swaps.current) = (swaps.current, to);
        let begun = (swaps.load)(to).and_then(|ops| {
            swaps.ops.clone_from(&ops);
            let begin = |ops| self.sched.scx_enable_begin(ops).map_err(|e| e.to_string());
            ops.map_or(Ok(()), begin)
        });
        if begun.is_err() || swaps.ops.is_none() {
            self.came(swaps, begun);
        }
    }

    /// The new one is in charge, or has failed; or it is the fair class.
    fn came(&mut self, swaps: &mut Swaps, begun: Result<(), String>) {
        (swaps.stage, swaps.closing) = (Stage::Idle, true);
        swaps.attached = self.sched.ext.state() != EnableState::Disabled;
        let failed = begun.is_err() || (swaps.ops.is_some() && !swaps.attached);
        if let (Err(why), Some(result)) = (begun, swaps.results.last_mut()) {
            result.failed = Some(why);
            swaps.ops = None;
        }
        if failed && swaps.may_roll_back() {
            swaps.stage = Stage::Rollback;
        }
    }

    /// An entry is over and its events have been seen.
    pub(crate) fn swaps_settled(&mut self) {
        let Some(swaps) = &mut self.swaps else { return };
        swaps.settled(&self.sched);
        if swaps.fell(&self.sched) {
            swaps.stage = Stage::Rollback;
            self.queue.arm(swaps.slot, self.sched.now);
        }
    }
}

//! The driver: feeds the class with a recording's inputs and holds its decisions against the recorded ones.
//!
//! ```text
//! for each event in file order
//!   1. the model of the kernel's DSQs follows it
//!   2. the items that run here: state as recorded before the input → the class's entry → compare
//!   3. no entry under way on any CPU: DSQs and idle mask against the model
//! ```
//!
//! Where state differs it is replaced by the kernel's and counted as one miss of kind `state`, so nothing follows from a
//! difference but itself.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::rc::{Rc, Weak};

use sextant_abi::types::*;
use sextant_abi::{CpuId, Ns};
use sextant_sched::cgroup::CgroupId;
use sextant_sched::ext::events::EVENTS;
use sextant_sched::ext::replay::DsqName;
use sextant_sched::sched::{Config, Costs, new_kmem};
use sextant_sched::{Ops, Sched, TaskAttr, TaskId};

use crate::env;
use crate::item::{self, Item, Queue};
use crate::live::{LiveOps, Watch};
use crate::model::Model;
use crate::object::{self, ObjectError};
use crate::ops::{Script, TraceOps};
use crate::recording::{Event, Recording};
use crate::report::{Divergence, Report};
use crate::schedulers;
use crate::token::{self, Diff, Token};

mod feed;

/// Bits of `p->scx.flags` that are compared; the reason of a reenqueue is set and cleared around one call.
const FLAGS: u32 = SCX_TASK_QUEUED
    | SCX_TASK_IN_CUSTODY
    | SCX_TASK_RESET_RUNNABLE_AT
    | SCX_TASK_DEQD_FOR_SLEEP
    | SCX_TASK_IMMED
    | SCX_TASK_STATE_MASK;

/// Why a recording cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// No ops table for it.
    #[error("scheduler {0:?} is not one of the recorded ones: add its ops and flags to schedulers.rs")]
    Scheduler(String),
    /// A check inside the class failed.
    #[error(
        "a check of the class failed ({0}): the recording lacks events (see its `stats` header lines), or the class has a bug"
    )]
    Inconsistent(String),
    /// No address space for the kernel's memory.
    #[error("the host gives no memory for the emulated kernel (errno {0})")]
    Memory(i32),
    /// The scheduler's object does not run.
    #[error(transparent)]
    Object(#[from] ObjectError),
}

/// Replays a recording. A recording with holes leads the class where no kernel could be, so its checks may fail.
pub fn replay(rec: Recording) -> Result<Report, ReplayError> {
    caught(|| run(rec, None))
}

/// Replays a recording with the scheduler's own object, an ELF file's bytes, instead of the recorded answers.
pub fn replay_live(rec: Recording, object: &[u8]) -> Result<Report, ReplayError> {
    caught(|| run(rec, Some(object)))
}

fn caught(run: impl FnOnce() -> Result<Report, ReplayError>) -> Result<Report, ReplayError> {
    std::panic::catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|t| t.to_string()));
        Err(ReplayError::Inconsistent(text.unwrap_or_default()))
    })
}

fn run(rec: Recording, object: Option<&[u8]>) -> Result<Report, ReplayError> {
    let table = schedulers::table(&rec).ok_or_else(|| ReplayError::Scheduler(rec.sched.clone()))?;
    let rec = Rc::new(rec);
    let cfg = Config { nr_cpus: rec.cpus, uptime: Ns::ZERO, hz: 250, costs: Costs::default() };
    let loaded = object.map(|bytes| object::load(&rec, bytes)).transpose()?;
    let mem = match &loaded {
        Some((vm, _)) => vm.region(),
        None => new_kmem().map_err(ReplayError::Memory)?,
    };
    let mut s = Sched::new(cfg, mem);
    s.replay_begin();
    let mut items = item::items(&rec);
    if loaded.is_some() {
        item::join_callbacks(&rec, &mut items);
    }
    let r = Rc::new_cyclic(|this: &Weak<Replay>| {
        let clock = loaded.is_some().then_some(rec.clock_lag);
        let script = Rc::new(Script::new(rec.clone(), this.clone(), clock));
        let live = loaded.map(|(_, bpf)| {
            let watch = Rc::new(Watch::new(script.clone()));
            Rc::new(LiveOps::new(bpf.with_watch(watch.clone()), watch))
        });
        Replay {
            ops: match &live {
                Some(live) => live.clone(),
                None => Rc::new(TraceOps::new(table, script.clone())),
            },
            live,
            script,
            queue: RefCell::new(Queue::new(&rec, items)),
            rec,
            model: RefCell::default(),
            loading: Cell::new(false),
            attached: Cell::new(false),
            cgroups: RefCell::default(),
            horizon: Cell::new(usize::MAX),
            foreign: Cell::new([0; EVENTS.len()]),
            report: RefCell::default(),
        }
    });
    let script = r.script.clone();
    s.replay_pause = Some(Rc::new(move |s, at| script.pause(s, at)));
    r.make_cgroups(&mut s);
    r.run(&mut s);
    Ok(r.report.take())
}

/// The driver's state; shared with the policy, in whose ops other CPUs' entries run.
pub struct Replay {
    rec: Rc<Recording>,
    script: Rc<Script>,
    ops: Rc<dyn Ops>,
    /// The scheduler's own object, if it runs.
    live: Option<Rc<LiveOps>>,
    queue: RefCell<Queue>,
    model: RefCell<Model>,
    /// Between en_begin and en_end.
    loading: Cell<bool>,
    /// Between en_begin and dis_end.
    attached: Cell<bool>,
    /// Cgroups by the recording's ids.
    cgroups: RefCell<BTreeMap<u64, CgroupId>>,
    /// Where the entry under way goes on.
    horizon: Cell<usize>,
    /// What nested entries added to the counters while the one under way ran.
    foreign: Cell<[i64; EVENTS.len()]>,
    report: RefCell<Report>,
}

impl Replay {
    fn run(&self, s: &mut Sched) {
        for i in 0..self.rec.events.len() {
            self.advance(s, i);
            if self.attached.get() && self.queue.borrow_mut().idle_after(i) {
                self.check_state(s, i);
            }
        }
    }

    /// Follows the recording up to and including event `until`: the model, and the items that begin there. An item that matters
    /// most behind where the entry under way goes on waits for that.
    fn advance(&self, s: &mut Sched, until: usize) {
        loop {
            let at = self.queue.borrow().followed;
            if at > until {
                return;
            }
            self.model.borrow_mut().apply(&self.rec.events[at]);
            self.queue.borrow_mut().followed = at + 1;
            loop {
                let next = self.queue.borrow_mut().next(at, self.horizon.get());
                let Some(item) = next else { break };
                self.item(s, &item);
            }
        }
    }

    /// Lets the other CPUs go on to event `until` while an op of this CPU is being played, but not past where an entry around
    /// this one waits to go on.
    pub fn let_others(&self, s: &mut Sched, until: usize) {
        let outer_horizon = self.horizon.get();
        let until = until.min(outer_horizon);
        if self.queue.borrow().followed > until {
            return;
        }
        let outer = self.script.save();
        self.horizon.set(until);
        s.replay_nested(|s| self.advance(s, until));
        self.horizon.set(outer_horizon);
        self.script.restore(outer);
    }

    /// Runs the class for one input and compares.
    fn item(&self, s: &mut Sched, item: &Item) {
        let rec = self.rec.clone();
        let e = &rec.events[item.head()];
        s.enter(CpuId(item.cpu), self.script.time(e));
        s.replay_drain();
        s.events.clear();
        let (before, foreign) = (s.replay_counters(), self.foreign.take());
        self.script.begin(s, &item.body);
        self.check_input(s, item, e);
        if let Some(cpu) = item.left {
            let rq = &mut s.rqs[cpu as usize];
            rq.curr = rq.idle;
        }
        let mut extra = self.feed(s, item, e);
        let after = s.replay_counters();
        let mine: Vec<i64> = self.foreign.get().iter().zip(&after).map(|(f, a)| a - f).collect();
        let theirs = token::theirs(&rec, &self.script.body(), self.live.is_some());
        let theirs = if core_decides(&e.name) { Vec::new() } else { theirs };
        let mut ours = token::ours(s, self.script.end());
        ours.append(&mut extra);
        if e.name != "en_begin" {
            ours.extend(token::counted(&before, &mine));
        }
        let (their_tokens, lines): (Vec<Token>, Vec<usize>) = theirs.into_iter().unzip();
        let diff = token::diff(&their_tokens, &ours);
        self.record(item, diff, their_tokens, lines, ours);
        let mut all = foreign;
        for (i, sum) in all.iter_mut().enumerate() {
            *sum += after[i] - before[i];
        }
        self.foreign.set(if e.name == "en_begin" { foreign } else { all });
    }

    /// What driver and policy share.
    pub fn script(&self) -> &Script {
        &self.script
    }

    /// Takes the next call by no op on a CPU, if it is soon and `wanted`.
    pub fn take_call(&self, cpu: u32, wanted: impl Fn(&Event) -> bool) -> Option<Item> {
        self.queue.borrow_mut().take_next_call(&self.rec, cpu, wanted)
    }

    /// Where the callback that runs on a CPU makes its next call.
    pub fn next_call_at(&self, cpu: u32) -> Option<usize> {
        self.queue.borrow().next_call_at(&self.rec, cpu)
    }

    fn record(&self, item: &Item, diff: Diff, theirs: Vec<Token>, lines: Vec<usize>, ours: Vec<Token>) {
        let mut report = self.report.borrow_mut();
        for kind in &diff.matched {
            report.matched(kind);
        }
        for &i in &diff.only_theirs {
            report.missed(&theirs[i].kind);
        }
        for &i in &diff.only_ours {
            report.extra(&ours[i].kind);
        }
        if !diff.only_theirs.is_empty() || !diff.only_ours.is_empty() {
            let d = Divergence::of_item(&self.rec, item, &diff, &theirs, &lines, &ours);
            report.diverged(d);
        }
    }

    fn task(&self, s: &mut Sched, pid: i32) -> TaskId {
        if let Some(p) = self.script.task(pid) {
            return p;
        }
        let attr = TaskAttr { comm: format!("pid{pid}"), ..TaskAttr::default() };
        let p = s.boot_task(pid, &attr, CpuId(0), false);
        self.script.tasks.borrow_mut().insert(pid, p);
        p
    }

    /// The task an event names: pid 0 is swapper of `cpu`.
    fn on_cpu(&self, s: &mut Sched, pid: i32, cpu: CpuId) -> TaskId {
        if pid == 0 { s.rqs[cpu.idx()].idle } else { self.task(s, pid) }
    }

    /// The task's state as the recording has it before an input.
    fn check_input(&self, s: &mut Sched, item: &Item, e: &Event) {
        let (pid, slice, flags) = match e.name.as_str() {
            "enq" | "deq" | "putp" | "setn" | "tick" | "upd" => (e.pid(), "slice", "scxf"),
            "pick" if e.get("pcls") == Some("ext") => (Some(e.int("prev") as i32), "pslice", "pscxf"),
            _ => return,
        };
        let Some(p) = pid.map(|pid| self.task(s, pid)) else { return };
        if matches!(e.name.as_str(), "enq" | "putp") && s.replay_detach(p) {
            self.resync(item.head(), format!("DSQ of {}: it should be on none", pid.unwrap_or(0)));
        }
        let cpu = env::cpu(e);
        if s.tasks[p].cpu != cpu && e.name != "enq" {
            let (pid, was) = (pid.unwrap_or(0), s.tasks[p].cpu);
            self.resync(item.head(), format!("CPU of {pid}: kernel {cpu}, ours {was}"));
            s.replay_set_task_cpu(p, cpu);
        }
        let scx = s.tasks[p].ts.scx();
        if e.get(slice).is_some() {
            let (want, got) = (e.num(slice), scx.slice().get(&*s.mem));
            if want != got {
                self.resync(item.head(), format!("slice of {}: kernel {want}, ours {got}", pid.unwrap_or(0)));
                s.replay_set_slice(p, want);
            }
        }
        if e.get(flags).is_some() {
            let (want, got) = (e.num(flags) as u32 & FLAGS, scx.flags().get(&*s.mem));
            if want != got & FLAGS {
                let what = format!(
                    "p->scx.flags of {}: kernel {want:#x}, ours {:#x}",
                    pid.unwrap_or(0),
                    got & FLAGS
                );
                self.resync(item.head(), what);
                s.replay_set_flags(cpu, p, got & !FLAGS | want);
            }
        }
        if e.get("ost").is_some() {
            let (want, got) = (e.num("ost") as u8 & 3, s.replay_ops_state(p));
            if want != got {
                self.resync(
                    item.head(),
                    format!("ops_state of {}: kernel {want}, ours {got}", pid.unwrap_or(0)),
                );
                s.replay_set_ops_state(p, want);
            }
        }
    }

    fn resync_at(&self, e: &Event, what: String) {
        let at = self.rec.events.partition_point(|x| x.line < e.line);
        self.resync(at, what);
    }

    fn resync(&self, at: usize, what: String) {
        self.report.borrow_mut().missed("state");
        let d = Divergence::of_state(&self.rec, at, what);
        self.report.borrow_mut().diverged(d);
    }

    /// DSQs and idle mask against the model.
    fn check_state(&self, s: &mut Sched, at: usize) {
        let names: Vec<DsqName> = self.model.borrow().dsqs.keys().copied().collect();
        for name in names {
            let want = self.model.borrow().dsqs[&name].clone();
            let got = s.replay_dsq(name).unwrap_or_default();
            let want_ids: Vec<TaskId> = want.iter().map(|q| self.task(s, q.pid)).collect();
            if got != want_ids {
                let pids = |ids: &[TaskId]| -> Vec<i32> {
                    ids.iter().map(|&p| s.tasks[p].ts.pid().get(&*s.mem)).collect()
                };
                let what = format!("{name:?}: kernel {:?}, ours {:?}", pids(&want_ids), pids(&got));
                self.resync(at, what);
                let keys: Option<Vec<u64>> = want.iter().map(|q| q.vtime).collect();
                s.replay_set_dsq(name, &want_ids, keys.as_deref().filter(|k| !k.is_empty()));
                s.events.clear();
            }
        }
        for cpu in (0..self.rec.cpus).map(CpuId) {
            let (want, got) = (self.model.borrow().idle.contains(&cpu.0), s.replay_idle(cpu));
            if want != got {
                self.resync(at, format!("CPU {cpu} idle: kernel {want}, ours {got}"));
                s.replay_set_idle(cpu, want);
            }
        }
    }
}

/// Whether the core, not the class, causes this event at the top level.
fn core_decides(name: &str) -> bool {
    matches!(name, "resched" | "wpreempt" | "activate")
}

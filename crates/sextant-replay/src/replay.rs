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

use sextant_abi::exit::ExitKind;
use sextant_abi::types::*;
use sextant_abi::{CpuId, Ns};
use sextant_sched::cgroup::CgroupId;
use sextant_sched::core::flags::{DEQUEUE_SLEEP, ENQUEUE_MIGRATED, NICE_TO_LOAD_WEIGHT, TASK_DEAD};
use sextant_sched::ext::EnableState;
use sextant_sched::ext::events::EVENTS;
use sextant_sched::ext::replay::DsqName;
use sextant_sched::sched::{Config, Costs, KMem};
use sextant_sched::{Class, OnRq, Sched, TaskAttr, TaskId};

use crate::env;
use crate::item::{self, Item, Queue};
use crate::model::Model;
use crate::ops::{Script, TraceOps};
use crate::recording::{Event, Recording};
use crate::report::{Divergence, Report};
use crate::schedulers;
use crate::token::{self, Diff, Token};

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
}

/// Replays a recording. A recording with holes leads the class where no kernel could be, so its checks may fail.
pub fn replay(rec: Recording) -> Result<Report, ReplayError> {
    std::panic::catch_unwind(AssertUnwindSafe(|| run(rec))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|t| t.to_string()));
        Err(ReplayError::Inconsistent(text.unwrap_or_default()))
    })
}

fn run(rec: Recording) -> Result<Report, ReplayError> {
    let table = schedulers::table(&rec).ok_or_else(|| ReplayError::Scheduler(rec.sched.clone()))?;
    let rec = Rc::new(rec);
    let cfg = Config { nr_cpus: rec.cpus, hz: 250, costs: Costs::default() };
    let mut s = Sched::new(cfg, Rc::new(KMem::new()));
    s.replay_begin();
    let items = item::items(&rec);
    let r = Rc::new_cyclic(|this: &Weak<Replay>| {
        let script = Rc::new(Script::new(rec.clone(), this.clone()));
        Replay {
            ops: Rc::new(TraceOps::new(table, script.clone())),
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
    r.make_cgroups(&mut s);
    r.run(&mut s);
    Ok(r.report.take())
}

/// The driver's state; shared with the policy, in whose ops other CPUs' entries run.
pub struct Replay {
    rec: Rc<Recording>,
    script: Rc<Script>,
    ops: Rc<TraceOps>,
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
        s.enter(CpuId(item.cpu), Ns::ZERO); // time stands still: only the recording moves the rq clocks
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
        let theirs = token::theirs(&rec, &item.body);
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

    /// Calls the class's entry for an input. Returns decisions that show only in its result.
    fn feed(&self, s: &mut Sched, item: &Item, e: &Event) -> Vec<Token> {
        let cpu = env::cpu(e);
        let p = e.pid().map(|pid| self.task(s, pid));
        let fl = e.num("fl");
        let mut out = Vec::new();
        match (e.name.as_str(), p) {
            ("sel_rq", Some(p)) => out.push(self.select(s, e, p)),
            ("woken", _) => s.task_woken_scx(cpu),
            ("enq", Some(p)) => self.enqueue(s, e, cpu, p, fl),
            ("deq", Some(p)) => self.dequeue(s, e, cpu, p, fl),
            ("pick", _) => out.extend(self.pick(s, item, e, cpu)),
            ("putp", Some(p)) => self.put_prev(s, e, cpu, p),
            ("setn", Some(p)) => s.set_next_task_scx(cpu, p, e.is("first")),
            ("tick", Some(p)) => s.task_tick_scx(cpu, p),
            ("yield", Some(_)) => s.yield_task_scx(cpu),
            ("upd", Some(_)) => s.replay_update_curr(cpu),
            ("wpreempt_scx", Some(p)) => s.wakeup_preempt_scx(cpu, p, fl),
            ("idle", _) => s.scx_update_idle(cpu, e.is("idle"), e.is("notify")),
            ("kick_irq", _) => s.replay_kick_cpus(CpuId(item.cpu)),
            ("defer_irq" | "defer_bal", _) => s.replay_run_deferred(CpuId(item.cpu)),
            ("setcpus", Some(p)) => self.set_cpus(s, item, p),
            ("reweight", Some(p)) => out.push(self.reweight(s, e, p)),
            _ => self.feed_rare(s, item, e, p, &mut out),
        }
        out
    }

    fn feed_rare(&self, s: &mut Sched, item: &Item, e: &Event, p: Option<TaskId>, out: &mut Vec<Token>) {
        match (e.name.as_str(), p) {
            ("sched_switch", _) => self.switched(s, item.cpu, e),
            ("sched_migrate_task", Some(p)) => s.tasks[p].cpu = CpuId(e.num("dest_cpu") as u32),
            ("sched_wakeup_new", Some(p)) => s.tasks[p].cpu = env::cpu(e),
            ("sched_process_exit", Some(p)) => s.replay_set_exiting(p),
            ("wpreempt", Some(p)) => self.wakeup_preempt(s, e, p),
            ("chg_end", Some(p)) => self.change_end(s, e, p),
            ("init_task", Some(p)) => self.init_task(s, item, e, p),
            ("enable_task", Some(p)) => {
                s.tasks[p].class = Class::Ext;
                s.replay_enable_task(p);
                out.push(self.enabled(s, p));
            }
            ("switching_to", Some(p)) => {
                s.tasks[p].class = Class::Ext;
                s.replay_set_slice(p, e.num("slice"));
                s.switching_to_scx(p);
                out.push(self.enabled(s, p));
            }
            ("op_cgroup_prep_move", Some(p)) => {
                if let Some(to) = self.cgroup(e.num("to")) {
                    s.replay_cgroup_prep_move(p, to);
                }
            }
            ("cg_move", Some(p)) => self.cgroup_move(s, item, p),
            ("cg_weight", _) => self.cgroup_weight(s, item, e),
            ("switched_from", Some(p)) => s.switched_from_scx(p),
            ("exit_task", Some(p)) => s.replay_exit_task(p),
            ("dead", Some(p)) => {
                s.tasks[p].ts.__state().set(&*s.mem, TASK_DEAD);
                s.tasks[p].ts.on_cpu().set(&*s.mem, 0);
                s.sched_ext_dead(p);
            }
            (name, _) if name.starts_with("k_") => {
                let script = self.script.clone();
                script.kfunc(s, e, 0, None);
            }
            (name, _) => self.feed_scheduler(s, item, e, name),
        }
    }

    /// Loading, unloading, bypass.
    fn feed_scheduler(&self, s: &mut Sched, item: &Item, e: &Event, name: &str) {
        match name {
            "en_begin" => {
                self.loading.set(true);
                self.attached.set(true);
                s.replay_attach(self.ops.clone());
            }
            "en_end" => {
                self.loading.set(false);
                s.replay_set_state(EnableState::Enabled);
            }
            "sched_ext_exit" => {
                s.scx_disable(ExitKind::Unreg);
                s.events.clear();
            }
            "dis_end" => {
                self.attached.set(false);
                s.replay_set_state(EnableState::Disabled);
            }
            "op_init" => {
                s.replay_init();
            }
            "op_exit" => s.replay_exit(),
            "op_cgroup_init" => {
                for e in item.body.iter().map(|&i| &self.rec.events[i]).filter(|e| e.name == name) {
                    if let Some(id) = self.cgroup(e.num("cgrp")) {
                        // What it is before the scheduler comes; the root's cannot be set.
                        let _ = s.cgroup_set_weight(id, e.num("weight") as u32);
                    }
                }
                s.replay_cgroups(true);
            }
            "op_cgroup_exit" => s.replay_cgroups(false),
            "bypass" => {
                s.replay_bypass(e.is("on"));
                if self.loading.get() && e.is("on") {
                    s.replay_ops_live();
                }
            }
            _ => {}
        }
    }

    fn select(&self, s: &mut Sched, e: &Event, p: TaskId) -> Token {
        let prev = CpuId(e.num("prev_cpu") as u32);
        let cpu = s.select_task_rq_scx(p, prev, e.num("wf"));
        let (dsq, slice, fl) = s.replay_ddsp(p);
        let sel = s.replay_selected_cpu(p);
        let pid = e.get("pid").unwrap_or("?");
        Token::new("select", format!("{pid} ret={cpu} sel={sel} ddsp={dsq:?} {slice} {fl:#x}"))
    }

    fn enqueue(&self, s: &mut Sched, e: &Event, cpu: CpuId, p: TaskId, fl: u64) {
        s.tasks[p].cpu = cpu;
        s.tasks[p].class = Class::Ext;
        s.tasks[p].on_rq = match e.num("on_rq") {
            2 => OnRq::Migrating,
            1 => OnRq::Queued,
            _ => OnRq::No,
        };
        debug_assert!(e.num("on_rq") != 2 || fl & ENQUEUE_MIGRATED != 0);
        s.enqueue_task_scx(cpu, p, fl);
        s.tasks[p].on_rq = OnRq::Queued;
    }

    fn dequeue(&self, s: &mut Sched, e: &Event, cpu: CpuId, p: TaskId, fl: u64) {
        s.tasks[p].cpu = cpu;
        s.tasks[p].on_rq = if e.num("on_rq") == 2 { OnRq::Migrating } else { OnRq::Queued };
        s.dequeue_task_scx(cpu, p, fl);
        if fl & DEQUEUE_SLEEP != 0 {
            s.tasks[p].on_rq = OnRq::No;
        }
    }

    fn pick(&self, s: &mut Sched, item: &Item, e: &Event, cpu: CpuId) -> Option<Token> {
        let prev = self.on_cpu(s, e.int("prev") as i32, cpu);
        if let Some(class) = e.get("pcls").and_then(env::class) {
            self.set_class(s, e, prev, class);
        }
        s.rqs[cpu.idx()].curr = prev;
        let picked = s.pick_task_scx(cpu, prev);
        let ret = &self.rec.events[item.last()];
        if ret.get("ret") == Some("retry") {
            return Some(Token::new("pick", "retry".into())); // the core looks for higher classes itself
        }
        Some(Token::new(
            "pick",
            match picked {
                Some(p) => {
                    let ts = s.tasks[p].ts;
                    let (pid, slice) = (ts.pid().get(&*s.mem), ts.scx().slice().get(&*s.mem));
                    format!("{pid} slice={slice}")
                }
                None => "none".into(),
            },
        ))
    }

    fn put_prev(&self, s: &mut Sched, e: &Event, cpu: CpuId, p: TaskId) {
        let next = match e.get("next") {
            None | Some("-") => None,
            Some(_) => Some(self.on_cpu(s, e.int("next") as i32, cpu)),
        };
        if let (Some(next), Some(class)) = (next, e.get("ncls").and_then(env::class)) {
            self.set_class(s, e, next, class);
            s.rqs[cpu.idx()].next_class = class;
        }
        s.put_prev_task_scx(cpu, p, next);
    }

    fn set_cpus(&self, s: &mut Sched, item: &Item, p: TaskId) {
        let ret = &self.rec.events[item.last()];
        if ret.name == "setcpus_ret" {
            env::set_mask(s, p, ret.num("mask"), ret.int("nrc") as i32);
        }
        s.set_cpus_allowed_scx(p);
    }

    /// The load weight is what nice makes of it; the task keeps nice.
    fn reweight(&self, s: &mut Sched, e: &Event, p: TaskId) -> Token {
        let raw = (e.num("raw") / 1024) as u32;
        let (ts, mem) = (s.tasks[p].ts, s.mem.clone());
        if let Some(i) = NICE_TO_LOAD_WEIGHT.iter().position(|&w| w == raw) {
            ts.static_prio().set(&*mem, 100 + i as i32);
        }
        s.reweight_task_scx(p);
        Token::new(
            "reweight",
            format!("{} weight={}", e.get("pid").unwrap_or("?"), ts.scx().weight().get(&*mem)),
        )
    }

    fn enabled(&self, s: &Sched, p: TaskId) -> Token {
        let (ts, mem) = (s.tasks[p].ts, &*s.mem);
        let scx = ts.scx();
        let (weight, slice, vtime) = (scx.weight().get(mem), scx.slice().get(mem), scx.dsq_vtime().get(mem));
        Token::new("enable", format!("{} weight={weight} slice={slice} vtime={vtime}", ts.pid().get(mem)))
    }

    fn switched(&self, s: &mut Sched, cpu: u32, e: &Event) {
        let next = self.on_cpu(s, e.int("next") as i32, CpuId(cpu));
        let rq = &mut s.rqs[cpu as usize];
        let prev = std::mem::replace(&mut rq.curr, next);
        rq.next_class = s.tasks[next].class;
        let mem = &*s.mem;
        s.tasks[prev].ts.on_cpu().set(mem, 0);
        s.tasks[next].ts.on_cpu().set(mem, 1);
        s.tasks[next].cpu = CpuId(cpu);
    }

    fn wakeup_preempt(&self, s: &mut Sched, e: &Event, p: TaskId) {
        let (class, next) = (e.get("cls").and_then(env::class), e.get("ncls").and_then(env::class));
        if let (Some(class), Some(next)) = (class, next) {
            self.set_class(s, e, p, class);
            s.rqs[env::cpu(e).idx()].next_class = class.min(next); // classes are ordered highest first
        }
    }

    fn change_end(&self, s: &mut Sched, e: &Event, p: TaskId) {
        if let Some(class) = e.get("cls").and_then(env::class) {
            self.set_class(s, e, p, class);
        }
    }

    /// A task's class is the core's business; one that has left ext is on none of its lists.
    fn set_class(&self, s: &mut Sched, e: &Event, p: TaskId, class: Class) {
        if class != Class::Ext && s.replay_detach(p) {
            self.resync_at(e, format!("DSQ of {p:?}: it has left the class"));
        }
        s.tasks[p].class = class;
    }

    fn init_task(&self, s: &mut Sched, item: &Item, e: &Event, p: TaskId) {
        let (ts, mem) = (s.tasks[p].ts, s.mem.clone());
        ts.policy().set(&*mem, e.num("pol") as u32);
        ts.prio().set(&*mem, e.int("prio") as i32);
        ts.static_prio().set(&*mem, e.int("sprio") as i32);
        ts.flags().set(&*mem, e.num("pf") as u32);
        ts.comm().set_str(&*mem, e.get("comm").unwrap_or_default());
        env::set_mask(s, p, e.num("mask"), e.int("nrc") as i32);
        s.tasks[p].cpu = CpuId(e.num("tcpu") as u32);
        s.tasks[p].migration_disabled = e.num("mdis") as u16;
        if let Some(class) = e.get("cls").and_then(env::class) {
            self.set_class(s, e, p, class);
        }
        let cgroup = self.op_in(item, "op_init_task").and_then(|op| self.cgroup(op.num("cgrp")));
        if let Some(id) = cgroup.filter(|&id| id != s.tasks[p].cgroup) {
            s.replay_cgroup_move(p, id, false);
        }
        s.replay_init_task(p, e.is("fork"));
    }

    fn cgroup(&self, id: u64) -> Option<CgroupId> {
        self.cgroups.borrow().get(&id).copied()
    }

    /// The cgroups of the recording, under its ids.
    fn make_cgroups(&self, s: &mut Sched) {
        let mut cgroups = BTreeMap::from([(1, CgroupId::ROOT)]);
        for &id in &self.rec.cgroups {
            if let Ok(cgroup) = s.cgroup_mkdir(&format!("/{id}")) {
                s.cgroups[cgroup].cgrp.kn().deref(&*s.mem).id().set(&*s.mem, id);
                cgroups.insert(id, cgroup);
            }
        }
        *self.cgroups.borrow_mut() = cgroups;
    }

    /// The op of a name in a reaction, for what only its arguments say.
    fn op_in(&self, item: &Item, name: &str) -> Option<&Event> {
        item.body.iter().map(|&i| &self.rec.events[i]).find(|e| e.name == name)
    }

    fn cgroup_move(&self, s: &mut Sched, item: &Item, p: TaskId) {
        let to = self.op_in(item, "op_cgroup_move").and_then(|e| self.cgroup(e.num("to")));
        if let Some(to) = to {
            s.replay_cgroup_move(p, to, true);
        }
    }

    fn cgroup_weight(&self, s: &mut Sched, item: &Item, e: &Event) {
        let cgroup = self.op_in(item, "op_cgroup_set_weight").and_then(|op| self.cgroup(op.num("cgrp")));
        if let Some(id) = cgroup {
            // Out of range it is refused, and the op misses.
            let _ = s.cgroup_set_weight(id, e.num("weight") as u32);
        }
    }

    // ---- state

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

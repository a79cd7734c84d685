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

use std::collections::BTreeMap;
use std::rc::Rc;

use sextant_abi::exit::ExitKind;
use sextant_abi::types::*;
use sextant_abi::{CpuId, Mem, Ns, ObjKind};
use sextant_sched::core::flags::{DEQUEUE_SLEEP, ENQUEUE_MIGRATED, NICE_TO_LOAD_WEIGHT, TASK_DEAD};
use sextant_sched::ext::EnableState;
use sextant_sched::ext::replay::DsqName;
use sextant_sched::sched::{Config, Costs, KMem};
use sextant_sched::{Class, OnRq, Sched, TaskAttr, TaskId};

use crate::env;
use crate::item::{self, Item};
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
}

/// Replays a recording.
pub fn replay(rec: Recording) -> Result<Report, ReplayError> {
    let table = schedulers::table(&rec).ok_or_else(|| ReplayError::Scheduler(rec.sched.clone()))?;
    let rec = Rc::new(rec);
    let script = Rc::new(Script::new(rec.clone()));
    let cfg = Config { nr_cpus: rec.cpus, hz: 250, costs: Costs::default() };
    let mut s = Sched::new(cfg, Rc::new(KMem::new()));
    s.probes = Some(Vec::new());
    for rq in &mut s.rqs {
        rq.nr_running = 1 << 20; // the core's count: only the class's own migrations touch it here
    }
    let ops = Rc::new(TraceOps::new(table, script.clone()));
    let mut r = Replay {
        s,
        rec,
        script,
        ops,
        model: Model::default(),
        bypass: None,
        loading: false,
        attached: false,
        cgroups: BTreeMap::new(),
        report: Report::default(),
    };
    r.run();
    Ok(r.report)
}

struct Replay {
    s: Sched,
    rec: Rc<Recording>,
    script: Rc<Script>,
    ops: Rc<TraceOps>,
    model: Model,
    /// A bypass transition under way: on or off, the next CPU to flip, the executing CPU.
    bypass: Option<(bool, u32, u32)>,
    /// Between en_begin and en_end.
    loading: bool,
    /// Between en_begin and dis_end.
    attached: bool,
    /// Objects of cgroups by id.
    cgroups: BTreeMap<u64, u64>,
    report: Report,
}

impl Replay {
    fn run(&mut self) {
        let items = item::items(&self.rec);
        let rec = self.rec.clone();
        let mut running: Vec<usize> = vec![0; rec.events.len() + 1]; // items begun minus ended
        for item in &items {
            running[item.head()] += 1;
        }
        let mut ends: Vec<usize> = items.iter().map(Item::last).collect();
        ends.sort_unstable();
        let (mut open, mut next_item, mut next_end) = (0, 0, 0);
        for (i, e) in rec.events.iter().enumerate() {
            self.model.apply(e);
            open += running[i];
            while let Some(item) = items.get(next_item).filter(|item| item.at <= i) {
                self.item(item);
                next_item += 1;
            }
            while ends.get(next_end).is_some_and(|&end| end <= i) {
                next_end += 1;
                open -= 1;
            }
            if open == 0 && self.attached {
                self.check_state(i);
            }
        }
    }

    /// Runs the class for one input and compares.
    fn item(&mut self, item: &Item) {
        let rec = self.rec.clone();
        let e = &rec.events[item.head()];
        // Time itself stands still, so that only the recording moves the rq clocks; only bypass measures it.
        let now = if e.name == "bypass" { Ns(e.t.max(0) as u64) } else { Ns::ZERO };
        self.s.enter(CpuId(item.cpu), now);
        self.s.replay_drain();
        self.s.events.clear();
        self.script.begin(&mut self.s, &item.body);
        self.check_input(item, e);
        let before = self.s.replay_counters();
        let curr = item.left.map(|cpu| {
            let rq = &mut self.s.rqs[cpu as usize];
            (cpu, std::mem::replace(&mut rq.curr, rq.idle))
        });
        let mut extra = self.feed(item, e);
        if let Some((cpu, curr)) = curr {
            self.s.rqs[cpu as usize].curr = curr;
        }
        let after = self.s.replay_counters();
        let theirs = token::theirs(&rec, &item.body);
        let theirs = if core_decides(&e.name) { Vec::new() } else { theirs };
        let mut ours = token::ours(&mut self.s, self.script.end());
        ours.append(&mut extra);
        if e.name != "en_begin" {
            ours.extend(token::counted(&before, &after));
        }
        let (their_tokens, lines): (Vec<Token>, Vec<usize>) = theirs.into_iter().unzip();
        let diff = token::diff(&their_tokens, &ours);
        self.record(item, diff, their_tokens, lines, ours);
    }

    fn record(&mut self, item: &Item, diff: Diff, theirs: Vec<Token>, lines: Vec<usize>, ours: Vec<Token>) {
        for kind in &diff.matched {
            self.report.matched(kind);
        }
        for &i in &diff.only_theirs {
            self.report.missed(&theirs[i].kind);
        }
        for &i in &diff.only_ours {
            self.report.extra(&ours[i].kind);
        }
        if !diff.only_theirs.is_empty() || !diff.only_ours.is_empty() {
            let d = Divergence::of_item(&self.rec, item, &diff, &theirs, &lines, &ours);
            self.report.diverged(d);
        }
    }

    fn task(&mut self, pid: i32) -> TaskId {
        if let Some(p) = self.script.task(pid) {
            return p;
        }
        let attr = TaskAttr { comm: format!("pid{pid}"), ..TaskAttr::default() };
        let p = self.s.boot_task(pid, &attr, CpuId(0), false);
        self.script.tasks.borrow_mut().insert(pid, p);
        p
    }

    /// The task an event names: pid 0 is swapper of `cpu`.
    fn on_cpu(&mut self, pid: i32, cpu: CpuId) -> TaskId {
        if pid == 0 { self.s.rqs[cpu.idx()].idle } else { self.task(pid) }
    }

    /// Calls the class's entry for an input. Returns decisions that show only in its result.
    fn feed(&mut self, item: &Item, e: &Event) -> Vec<Token> {
        let cpu = env::cpu(e);
        let p = e.pid().map(|pid| self.task(pid));
        let fl = e.num("fl");
        let mut out = Vec::new();
        match (e.name.as_str(), p) {
            ("sel_rq", Some(p)) => out.push(self.select(e, p)),
            ("woken", _) => self.s.task_woken_scx(cpu),
            ("enq", Some(p)) => self.enqueue(e, cpu, p, fl),
            ("deq", Some(p)) => self.dequeue(e, cpu, p, fl),
            ("pick", _) => out.extend(self.pick(item, e, cpu)),
            ("putp", Some(p)) => self.put_prev(e, cpu, p),
            ("setn", Some(p)) => self.s.set_next_task_scx(cpu, p, e.is("first")),
            ("tick", Some(p)) => self.s.task_tick_scx(cpu, p),
            ("yield", Some(_)) => self.s.yield_task_scx(cpu),
            ("upd", Some(_)) => self.s.replay_update_curr(cpu),
            ("wpreempt_scx", Some(p)) => self.s.wakeup_preempt_scx(cpu, p, fl),
            ("idle", _) => self.s.scx_update_idle(cpu, e.is("idle"), e.is("notify")),
            ("kick_irq", _) => self.s.replay_kick_cpus(CpuId(item.cpu)),
            ("defer_irq" | "defer_bal", _) => self.s.replay_run_deferred(CpuId(item.cpu)),
            ("setcpus", Some(p)) => self.set_cpus(item, p),
            ("reweight", Some(p)) => out.push(self.reweight(e, p)),
            _ => self.feed_rare(item, e, p, &mut out),
        }
        out
    }

    fn feed_rare(&mut self, item: &Item, e: &Event, p: Option<TaskId>, out: &mut Vec<Token>) {
        match (e.name.as_str(), p) {
            ("sched_switch", _) => self.switched(item.cpu, e),
            ("sched_migrate_task", Some(p)) => self.s.tasks[p].cpu = CpuId(e.num("dest_cpu") as u32),
            ("sched_wakeup_new", Some(p)) => self.s.tasks[p].cpu = env::cpu(e),
            ("sched_process_exit", Some(p)) => self.s.replay_set_exiting(p),
            ("wpreempt", Some(p)) => self.wakeup_preempt(e, p),
            ("chg_end", Some(p)) => self.change_end(e, p),
            ("init_task", Some(p)) => self.init_task(e, p),
            ("enable_task", Some(p)) => {
                self.s.tasks[p].class = Class::Ext;
                self.s.replay_enable_task(p);
                out.push(self.enabled(p));
            }
            ("switching_to", Some(p)) => {
                self.s.tasks[p].class = Class::Ext;
                self.s.replay_set_slice(p, e.num("slice"));
                self.s.switching_to_scx(p);
                out.push(self.enabled(p));
            }
            ("switched_from", Some(p)) => self.s.switched_from_scx(p),
            ("exit_task", Some(p)) => self.s.replay_exit_task(p),
            ("dead", Some(p)) => {
                self.s.tasks[p].ts.__state().set(&*self.s.mem, TASK_DEAD);
                self.s.tasks[p].ts.on_cpu().set(&*self.s.mem, 0);
                self.s.sched_ext_dead(p);
            }
            (name, _) if name.starts_with("k_") => {
                let script = self.script.clone();
                script.kfunc(&mut self.s, e, 0, None);
            }
            (name, _) => self.feed_scheduler(item, e, name),
        }
    }

    /// Loading, unloading, bypass.
    fn feed_scheduler(&mut self, item: &Item, e: &Event, name: &str) {
        match name {
            "en_begin" => {
                (self.loading, self.attached) = (true, true);
                self.s.replay_attach(self.ops.clone());
            }
            "en_end" => {
                self.loading = false;
                self.s.replay_set_state(EnableState::Enabled);
            }
            "sched_ext_exit" => {
                self.s.scx_disable(ExitKind::Unreg);
                self.s.events.clear();
            }
            "dis_end" => {
                self.attached = false;
                self.s.replay_set_state(EnableState::Disabled);
            }
            "op_init" => {
                self.s.replay_init();
            }
            "op_exit" => self.s.replay_exit(),
            "op_cgroup_init" | "op_cgroup_exit" => {
                let cgrp = self.cgroup(e.num("cgrp"));
                self.s.replay_cgroup(cgrp, name == "op_cgroup_init");
            }
            "bypass" => {
                let on = e.is("on");
                if self.s.replay_bypass(on) {
                    self.s.replay_bypass_cpu(CpuId(0), on);
                    self.bypass = Some((on, 1, item.cpu));
                }
            }
            "resched" => self.bypass_next(item.cpu),
            "bypass_end" => {
                while self.bypass.is_some_and(|(_, next, _)| next < self.rec.cpus) {
                    self.bypass_next(item.cpu);
                }
                self.bypass = None;
                if self.loading && e.is("on") {
                    self.s.replay_ops_live();
                }
            }
            _ => {}
        }
    }

    /// A CPU's part of a bypass transition ends with its reschedule; the next one's begins.
    fn bypass_next(&mut self, this: u32) {
        if let Some((on, next, by)) = self.bypass
            && by == this
            && next < self.rec.cpus
        {
            self.s.replay_bypass_cpu(CpuId(next), on);
            self.bypass = Some((on, next + 1, by));
        }
    }

    fn select(&mut self, e: &Event, p: TaskId) -> Token {
        let prev = CpuId(e.num("prev_cpu") as u32);
        let cpu = self.s.select_task_rq_scx(p, prev, e.num("wf"));
        let (dsq, slice, fl) = self.s.replay_ddsp(p);
        let sel = self.s.replay_selected_cpu(p);
        let pid = e.get("pid").unwrap_or("?");
        Token::new("select", format!("{pid} ret={cpu} sel={sel} ddsp={dsq:?} {slice} {fl:#x}"))
    }

    fn enqueue(&mut self, e: &Event, cpu: CpuId, p: TaskId, fl: u64) {
        self.s.tasks[p].cpu = cpu;
        self.s.tasks[p].class = Class::Ext;
        self.s.tasks[p].on_rq = match e.num("on_rq") {
            2 => OnRq::Migrating,
            1 => OnRq::Queued,
            _ => OnRq::No,
        };
        debug_assert!(e.num("on_rq") != 2 || fl & ENQUEUE_MIGRATED != 0);
        self.s.enqueue_task_scx(cpu, p, fl);
        self.s.tasks[p].on_rq = OnRq::Queued;
    }

    fn dequeue(&mut self, e: &Event, cpu: CpuId, p: TaskId, fl: u64) {
        self.s.tasks[p].cpu = cpu;
        self.s.tasks[p].on_rq = if e.num("on_rq") == 2 { OnRq::Migrating } else { OnRq::Queued };
        self.s.dequeue_task_scx(cpu, p, fl);
        if fl & DEQUEUE_SLEEP != 0 {
            self.s.tasks[p].on_rq = OnRq::No;
        }
    }

    fn pick(&mut self, item: &Item, e: &Event, cpu: CpuId) -> Option<Token> {
        let prev = self.on_cpu(e.int("prev") as i32, cpu);
        if let Some(class) = e.get("pcls").and_then(env::class) {
            self.s.tasks[prev].class = class;
        }
        self.s.rqs[cpu.idx()].curr = prev;
        let picked = self.s.pick_task_scx(cpu, prev);
        let ret = &self.rec.events[item.last()];
        if ret.get("ret") == Some("retry") {
            return Some(Token::new("pick", "retry".into())); // the core looks for higher classes itself
        }
        Some(Token::new(
            "pick",
            match picked {
                Some(p) => {
                    let ts = self.s.tasks[p].ts;
                    let (pid, slice) = (ts.pid().get(&*self.s.mem), ts.scx().slice().get(&*self.s.mem));
                    format!("{pid} slice={slice}")
                }
                None => "none".into(),
            },
        ))
    }

    fn put_prev(&mut self, e: &Event, cpu: CpuId, p: TaskId) {
        let next = match e.get("next") {
            None | Some("-") => None,
            Some(_) => Some(self.on_cpu(e.int("next") as i32, cpu)),
        };
        if let (Some(next), Some(class)) = (next, e.get("ncls").and_then(env::class)) {
            self.s.tasks[next].class = class;
            self.s.rqs[cpu.idx()].next_class = class;
        }
        self.s.put_prev_task_scx(cpu, p, next);
    }

    fn set_cpus(&mut self, item: &Item, p: TaskId) {
        let ret = &self.rec.events[item.last()];
        if ret.name == "setcpus_ret" {
            env::set_mask(&mut self.s, p, ret.num("mask"), ret.int("nrc") as i32);
        }
        self.s.set_cpus_allowed_scx(p);
    }

    /// The load weight is what nice makes of it; the task keeps nice.
    fn reweight(&mut self, e: &Event, p: TaskId) -> Token {
        let raw = (e.num("raw") / 1024) as u32;
        let (ts, mem) = (self.s.tasks[p].ts, self.s.mem.clone());
        if let Some(i) = NICE_TO_LOAD_WEIGHT.iter().position(|&w| w == raw) {
            ts.static_prio().set(&*mem, 100 + i as i32);
        }
        self.s.reweight_task_scx(p);
        Token::new(
            "reweight",
            format!("{} weight={}", e.get("pid").unwrap_or("?"), ts.scx().weight().get(&*mem)),
        )
    }

    fn enabled(&self, p: TaskId) -> Token {
        let (ts, mem) = (self.s.tasks[p].ts, &*self.s.mem);
        let scx = ts.scx();
        let (weight, slice, vtime) = (scx.weight().get(mem), scx.slice().get(mem), scx.dsq_vtime().get(mem));
        Token::new("enable", format!("{} weight={weight} slice={slice} vtime={vtime}", ts.pid().get(mem)))
    }

    fn switched(&mut self, cpu: u32, e: &Event) {
        let next = self.on_cpu(e.int("next") as i32, CpuId(cpu));
        let rq = &mut self.s.rqs[cpu as usize];
        let prev = std::mem::replace(&mut rq.curr, next);
        rq.next_class = self.s.tasks[next].class;
        let mem = &*self.s.mem;
        self.s.tasks[prev].ts.on_cpu().set(mem, 0);
        self.s.tasks[next].ts.on_cpu().set(mem, 1);
        self.s.tasks[next].cpu = CpuId(cpu);
    }

    fn wakeup_preempt(&mut self, e: &Event, p: TaskId) {
        let (class, next) = (e.get("cls").and_then(env::class), e.get("ncls").and_then(env::class));
        if let (Some(class), Some(next)) = (class, next) {
            self.s.tasks[p].class = class;
            self.s.rqs[env::cpu(e).idx()].next_class = class.min(next); // classes are ordered highest first
        }
    }

    fn change_end(&mut self, e: &Event, p: TaskId) {
        if let Some(class) = e.get("cls").and_then(env::class) {
            self.s.tasks[p].class = class;
        }
    }

    fn init_task(&mut self, e: &Event, p: TaskId) {
        let (ts, mem) = (self.s.tasks[p].ts, self.s.mem.clone());
        ts.policy().set(&*mem, e.num("pol") as u32);
        ts.prio().set(&*mem, e.int("prio") as i32);
        ts.static_prio().set(&*mem, e.int("sprio") as i32);
        ts.flags().set(&*mem, e.num("pf") as u32);
        ts.comm().set_str(&*mem, e.get("comm").unwrap_or_default());
        env::set_mask(&mut self.s, p, e.num("mask"), e.int("nrc") as i32);
        self.s.tasks[p].cpu = CpuId(e.num("tcpu") as u32);
        self.s.tasks[p].migration_disabled = e.num("mdis") as u16;
        if let Some(class) = e.get("cls").and_then(env::class) {
            self.s.tasks[p].class = class;
        }
        self.s.replay_init_task(p, e.is("fork"));
    }

    /// The object of a cgroup: id, and the root as its ancestor.
    fn cgroup(&mut self, id: u64) -> u64 {
        if id == 1 {
            return self.s.root.cgrp.addr();
        }
        let (s, mem) = (&self.s, &*self.s.mem);
        *self.cgroups.entry(id).or_insert_with(|| {
            let cgrp = Cgroup::at(mem.alloc(ObjKind::Kernel, Cgroup::size_at_level(1)));
            let kn = KernfsNode::at(mem.alloc(ObjKind::Kernel, <KernfsNode as CType>::SIZE));
            kn.id().set(mem, id);
            cgrp.kn().set(mem, kn.addr());
            cgrp.ancestors().at(0).set(mem, s.root.cgrp.addr());
            cgrp.addr()
        })
    }

    // ---- state

    /// The task's state as the recording has it before an input.
    fn check_input(&mut self, item: &Item, e: &Event) {
        let (pid, slice, flags) = match e.name.as_str() {
            "enq" | "deq" | "putp" | "setn" | "tick" | "upd" => (e.pid(), "slice", "scxf"),
            "pick" if e.get("pcls") == Some("ext") => (Some(e.int("prev") as i32), "pslice", "pscxf"),
            _ => return,
        };
        let Some(p) = pid.map(|pid| self.task(pid)) else { return };
        let cpu = env::cpu(e);
        if self.s.tasks[p].cpu != cpu && e.name != "enq" {
            let (pid, was) = (pid.unwrap_or(0), self.s.tasks[p].cpu);
            self.resync(item.head(), format!("CPU of {pid}: kernel {cpu}, ours {was}"));
            self.s.replay_set_task_cpu(p, cpu);
        }
        let scx = self.s.tasks[p].ts.scx();
        if e.get(slice).is_some() {
            let (want, got) = (e.num(slice), scx.slice().get(&*self.s.mem));
            if want != got {
                self.resync(item.head(), format!("slice of {}: kernel {want}, ours {got}", pid.unwrap_or(0)));
                self.s.replay_set_slice(p, want);
            }
        }
        if e.get(flags).is_some() {
            let (want, got) = (e.num(flags) as u32 & FLAGS, scx.flags().get(&*self.s.mem));
            if want != got & FLAGS {
                let what = format!(
                    "p->scx.flags of {}: kernel {want:#x}, ours {:#x}",
                    pid.unwrap_or(0),
                    got & FLAGS
                );
                self.resync(item.head(), what);
                self.s.replay_set_flags(cpu, p, got & !FLAGS | want);
            }
        }
        if e.get("ost").is_some() {
            let (want, got) = (e.num("ost") as u8 & 3, self.s.replay_ops_state(p));
            if want != got {
                self.resync(
                    item.head(),
                    format!("ops_state of {}: kernel {want}, ours {got}", pid.unwrap_or(0)),
                );
                self.s.replay_set_ops_state(p, want);
            }
        }
    }

    fn resync(&mut self, at: usize, what: String) {
        self.report.missed("state");
        let d = Divergence::of_state(&self.rec, at, what);
        self.report.diverged(d);
    }

    /// DSQs and idle mask against the model.
    fn check_state(&mut self, at: usize) {
        let names: Vec<DsqName> = self.model.dsqs.keys().copied().collect();
        for name in names {
            let want = self.model.dsqs[&name].clone();
            let got = self.s.replay_dsq(name).unwrap_or_default();
            let want_ids: Vec<TaskId> = want.iter().map(|q| self.task(q.pid)).collect();
            if got != want_ids {
                let pids = |ids: &[TaskId]| -> Vec<i32> {
                    ids.iter().map(|&p| self.s.tasks[p].ts.pid().get(&*self.s.mem)).collect()
                };
                let what = format!("{name:?}: kernel {:?}, ours {:?}", pids(&want_ids), pids(&got));
                self.resync(at, what);
                let keys: Option<Vec<u64>> = want.iter().map(|q| q.vtime).collect();
                self.s.replay_set_dsq(name, &want_ids, keys.as_deref().filter(|k| !k.is_empty()));
                self.s.events.clear();
            }
        }
        for cpu in (0..self.rec.cpus).map(CpuId) {
            let (want, got) = (self.model.idle.contains(&cpu.0), self.s.replay_idle(cpu));
            if want != got {
                self.resync(at, format!("CPU {cpu} idle: kernel {want}, ours {got}"));
                self.s.replay_set_idle(cpu, want);
            }
        }
    }
}

/// Whether the core, not the class, causes this event at the top level.
fn core_decides(name: &str) -> bool {
    matches!(name, "resched" | "wpreempt" | "activate")
}

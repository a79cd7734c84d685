//! `TraceOps`: the policy of a recording. An op that the class calls is looked up among the events of the reaction under way; what
//! the recorded scheduler then did through kfuncs is done again.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

use sextant_abi::types::{Cpumask, SCX_ENQ_DSQ_PRIQ};
use sextant_abi::{CpuId, Ns};
use sextant_sched::ops::{Op, Ops, OpsParams};
use sextant_sched::probe::Pause;
use sextant_sched::{Sched, TaskId};

use crate::env;
use crate::item;
use crate::recording::{Event, Recording};
use crate::replay::Replay;
use crate::schedulers::Table;
use crate::token::{Note, Token};

/// What a kfunc causes before it returns.
pub const CAUSED: &[&str] =
    &["seldfl", "seldfl_ret", "idle_tac", "idle_pick", "kick", "reenq", "sched_ext_event"];

/// Bits of enqueue flags that are the kernel's own.
const INTERNAL: u64 = 0xff << 56;

/// SCX_RQ_CLK_VALID
const CLK_VALID: u64 = 0x20;

/// What driver and policy share: the reaction under way and how far it is followed.
pub struct Script {
    /// The recording.
    pub rec: Rc<Recording>,
    /// Tasks by pid.
    pub tasks: RefCell<BTreeMap<i32, TaskId>>,
    /// Events of the reaction.
    body: RefCell<Rc<[usize]>>,
    /// How many of them are behind us.
    pub pos: Cell<usize>,
    /// Results of kfuncs.
    notes: RefCell<Vec<Note>>,
    /// Who runs the other CPUs meanwhile.
    driver: Weak<Replay>,
    /// By CPU: when its runqueue's clock was brought up to date.
    clocks: RefCell<BTreeMap<u32, Ns>>,
    /// What the clock of a running program is behind `t`; None where no program runs.
    pub clock: Option<i64>,
}

/// What is under way, put aside while another CPU's entry runs.
pub struct Saved {
    body: Rc<[usize]>,
    pos: usize,
    notes: Vec<Note>,
}

impl Script {
    /// Nothing under way.
    pub fn new(rec: Rc<Recording>, driver: Weak<Replay>, clock: Option<i64>) -> Self {
        let body: Rc<[usize]> = Rc::new([]);
        Self {
            rec,
            tasks: RefCell::default(),
            body: RefCell::new(body),
            pos: Cell::new(0),
            notes: RefCell::default(),
            driver,
            clocks: RefCell::default(),
            clock,
        }
    }

    /// Puts what is under way aside.
    pub fn save(&self) -> Saved {
        Saved { body: self.body.borrow().clone(), pos: self.pos.get(), notes: self.notes.take() }
    }

    /// Takes it up again.
    pub fn restore(&self, saved: Saved) {
        *self.body.borrow_mut() = saved.body;
        self.pos.set(saved.pos);
        *self.notes.borrow_mut() = saved.notes;
    }

    /// A reaction begins.
    pub fn begin(&self, s: &mut Sched, body: &[usize]) {
        *self.body.borrow_mut() = body.into();
        self.pos.set(0);
        self.notes.borrow_mut().clear();
        if let Some(e) = self.at(0).filter(|e| !matches!(e.name.as_str(), "putp" | "setn" | "idle")) {
            // A runqueue whose update of the clock was skipped has none that counts: the program reads the machine's.
            let valid = e.get("rqf").is_none() || e.num("rqf") & CLK_VALID != 0;
            match valid {
                true => self.clocks.borrow_mut().insert(e.cpu, self.time(e)),
                false => self.clocks.borrow_mut().remove(&e.cpu),
            };
        }
        self.sync(s, 0);
    }

    /// The time of an event as a program's clock shows it. Without a program time stands still: only the recording moves the
    /// clocks of the runqueues.
    pub fn time(&self, e: &Event) -> Ns {
        self.clock.map_or(Ns::ZERO, |lag| Ns((e.t - lag).max(0) as u64))
    }

    /// When the clock of the executing CPU's runqueue was brought up to date: when the entry under way began, or the first of those that
    /// a context switch consists of.
    pub fn clock_at(&self, s: &Sched) -> Ns {
        self.clocks.borrow().get(&s.this_cpu.0).copied().unwrap_or(s.now)
    }

    /// Who runs the other CPUs.
    pub fn driver(&self) -> Option<Rc<Replay>> {
        self.driver.upgrade()
    }

    /// The events of the reaction.
    pub fn body(&self) -> Rc<[usize]> {
        self.body.borrow().clone()
    }

    /// More events belong to the reaction than were thought to.
    pub fn extend(&self, more: &[usize]) {
        let all: Rc<[usize]> = self.body.borrow().iter().chain(more).copied().collect();
        *self.body.borrow_mut() = all;
    }

    /// It is over; the kfuncs' results.
    pub fn end(&self) -> Vec<Note> {
        self.notes.take()
    }

    /// The task of a pid.
    pub fn task(&self, pid: i32) -> Option<TaskId> {
        self.tasks.borrow().get(&pid).copied()
    }

    pub fn at(&self, k: usize) -> Option<&Event> {
        self.body.borrow().get(k).map(|&i| &self.rec.events[i])
    }

    /// Gives the class what the core knows in the events from `from` to the next op or kfunc.
    pub fn sync(&self, s: &mut Sched, from: usize) {
        self.let_others(s, from);
        let called = |e: &Event| e.name.starts_with("op_") || e.name.starts_with("k_");
        let last = (from + 1..).find(|&k| self.at(k).is_none_or(called)).unwrap_or(from);
        self.apply(s, from, last);
    }

    /// Gives the class what the core knows in the events `from..=last`.
    fn apply(&self, s: &mut Sched, from: usize, last: usize) {
        let mut clocked = Vec::new();
        for e in (from..=last).map_while(|k| self.at(k)) {
            env::apply(s, e, |pid| self.task(pid), &mut clocked);
        }
    }

    /// The other CPUs go on to where the events after `from`, up to the next op or kfunc, meet them.
    fn let_others(&self, s: &mut Sched, from: usize) {
        let body = self.body.borrow().clone();
        let Some(driver) = self.driver.upgrade().filter(|_| from > 0 && from < body.len()) else { return };
        let part = &body[from..item::part_end(&self.rec, &body, from)];
        let Some(until) = item::meeting(&self.rec, part) else { return };
        if let Some(cpu) = item::left(&self.rec, part, until) {
            let rq = &mut s.rqs[cpu as usize];
            rq.curr = rq.idle;
        }
        driver.let_others(s, until);
    }

    /// What a running program reads and writes other CPUs' programs see: they go on to where its `k`-th event is.
    pub fn meet_program(&self, s: &mut Sched, k: usize) {
        let at = self.body.borrow().get(k).copied();
        if let (Some(at), Some(_), Some(driver)) = (at, self.clock, self.driver.upgrade()) {
            driver.let_others(s, at);
        }
    }

    /// The entry under way has let go of its runqueue's lock: the other CPUs go on to where they see what it does next.
    pub fn pause(&self, s: &mut Sched, at: Pause) {
        let next = |wanted: &dyn Fn(&Event) -> bool| {
            (self.pos.get()..).map_while(|k| self.at(k).map(|e| (k, e))).find(|(_, e)| wanted(e))
        };
        match at {
            Pause::Consume => {
                if let Some((k, _)) = next(&|e| e.name == "consume") {
                    self.let_others(s, k);
                }
            }
            Pause::Transfer(p) => {
                let pid = Some(s.tasks[p].ts.pid().get(&*s.mem));
                let Some((k, e)) = next(&|e| e.name == "ins" && e.pid() == pid) else { return };
                let begun =
                    (self.pos.get()..k).rev().find(|&j| self.at(j).is_some_and(|e| e.name == "to_local"));
                let until = self.body.borrow()[k];
                if let Some(driver) = self.driver.upgrade() {
                    driver.let_others(s, until);
                }
                s.now = self.time(e);
                self.apply(s, begun.unwrap_or(k), k);
            }
        }
    }

    pub fn note(&self, s: &Sched, kind: &str, what: String) {
        let at = (s.events.len(), s.probes.as_ref().map_or(0, Vec::len));
        self.notes.borrow_mut().push((at.0, at.1, Token::new(kind, what)));
    }

    /// An op is called: goes to its event and gives the class what the core knows there. The event, if there is one.
    pub fn enter(&self, s: &mut Sched, name: &str, subject: Option<TaskId>) -> Option<&Event> {
        let pid = subject.map(|p| s.tasks[p].ts.pid().get(&*s.mem));
        let matches =
            |e: &Event| e.name == name && (pid.is_none() || e.pid() == pid || e.get("pid").is_none());
        let found = (self.pos.get()..).map_while(|k| self.at(k).map(|e| (k, e))).find(|(_, e)| matches(e));
        let (k, event) = found?;
        self.pos.set(k + 1);
        self.meet_program(s, k);
        self.sync(s, k);
        s.now = self.time(event);
        Some(event)
    }

    /// Plays an op: finds its event, repeats its kfuncs. The event, if there is one.
    fn op(&self, s: &mut Sched, name: &str, subject: Option<TaskId>) -> Option<&Event> {
        let event = self.enter(s, name, subject)?;
        if name == "op_dispatch" {
            self.dispatch_kfuncs(s)
        } else {
            self.kfuncs(s, subject)
        }
        self.sync(s, self.pos.get());
        Some(event)
    }

    /// The kfuncs of an op that moves no tasks between DSQs: they follow it, with what they cause in between.
    fn kfuncs(&self, s: &mut Sched, subject: Option<TaskId>) {
        let mut k = self.pos.get();
        while let Some(e) = self.at(k) {
            if e.name.starts_with("k_") {
                self.kfunc(s, e, k, subject);
                self.pos.set(k + 1);
            } else if !CAUSED.contains(&e.name.as_str()) {
                break;
            }
            k += 1;
        }
    }

    /// The kfuncs of ops.dispatch, which ends with a flush that no move_to_local has begun.
    fn dispatch_kfuncs(&self, s: &mut Sched) {
        let mut k = self.pos.get();
        while let Some(e) = self.at(k) {
            match e.name.as_str() {
                "flush" => break,
                "k_m2l" => {
                    self.pos.set(k + 1);
                    self.sync(s, k);
                    let got = s.kf_scx_bpf_dsq_move_to_local(e.dsq_id("id"), e.num("fl") & !INTERNAL);
                    self.note(s, "k_m2l", format!("{} ret={}", e.get("id").unwrap_or("?"), u8::from(got)));
                    while self.at(k).is_some_and(|e| e.name != "k_m2l_ret") {
                        k += 1;
                    }
                    self.pos.set(self.pos.get().max(k + 1));
                }
                name if name.starts_with("k_") => {
                    self.sync(s, self.pos.get());
                    self.kfunc(s, e, k, None);
                    self.pos.set(self.pos.get().max(k + 1));
                }
                _ => {}
            }
            k += 1;
        }
    }

    /// Repeats one kfunc call, the `k`-th event of the reaction, and notes its result.
    pub fn kfunc(&self, s: &mut Sched, e: &Event, k: usize, subject: Option<TaskId>) {
        let text = |key: &str| e.get(key).unwrap_or("?");
        let p = e.pid().and_then(|pid| self.task(pid));
        let fl = e.num("fl");
        match (e.name.as_str(), p) {
            ("k_ins", p) => {
                let (dsq, slice) = (e.dsq_id("id"), e.num("slice"));
                if fl & SCX_ENQ_DSQ_PRIQ != 0 {
                    s.kf_scx_bpf_dsq_insert_vtime(p, dsq, slice, e.num("vtime"), fl & !INTERNAL);
                } else {
                    s.kf_scx_bpf_dsq_insert(p, dsq, slice, fl & !INTERNAL);
                }
            }
            ("k_seldfl", Some(p)) => {
                let (ret, idle) = s.kf_scx_bpf_select_cpu_dfl(p, e.int("prev_cpu") as i32, e.num("wf"));
                self.follow_picks(s, k);
                let what = format!("{} ret={ret} idle={}", text("pid"), u8::from(idle));
                self.note(s, "k_seldfl", what);
            }
            ("k_tac", _) => {
                let was = s.kf_scx_bpf_test_and_clear_cpu_idle(e.int("cpu") as i32);
                self.note(s, "k_tac", format!("cpu={} ret={}", text("cpu"), u8::from(was)));
            }
            ("k_pick", _) => {
                let mask = self.mask_of(s, subject);
                let ret = s.kf_scx_bpf_pick_idle_cpu(mask, fl);
                self.follow_pick(s, e);
                self.note(s, "k_pick", format!("ret={ret}"));
            }
            ("k_pickany", _) => {
                let mask = self.mask_of(s, subject);
                let ret = s.kf_scx_bpf_pick_any_cpu(mask, fl);
                self.follow_pick(s, e);
                self.note(s, "k_pickany", format!("ret={ret}"));
            }
            ("k_kick", _) => s.kf_scx_bpf_kick_cpu(e.int("cpu") as i32, fl),
            ("k_mkdsq", _) => {
                s.kf_scx_bpf_create_dsq(e.dsq_id("id"), e.int("node") as i32);
            }
            ("k_rmdsq", _) => s.kf_scx_bpf_destroy_dsq(e.dsq_id("id")),
            ("k_nrq", _) => {
                let nr = s.kf_scx_bpf_dsq_nr_queued(e.dsq_id("id"));
                self.note(s, "k_nrq", format!("{} ret={nr}", text("id")));
            }
            ("k_setslice", Some(p)) => {
                s.kf_scx_bpf_task_set_slice(p, e.num("slice"));
            }
            ("k_setvt", Some(p)) => {
                s.kf_scx_bpf_task_set_dsq_vtime(p, e.num("vtime"));
            }
            ("k_move_ret", Some(p)) => self.dsq_move(s, e, k, p),
            _ => {}
        }
    }

    /// A search goes on behind what the executing CPU found last, in this search or in any other of the kernel: what the recording
    /// found is where the next one starts.
    fn follow_pick(&self, s: &mut Sched, e: &Event) {
        if e.int("ret") >= 0 {
            s.replay_set_distribute_prev(CpuId(e.cpu), e.num("ret") as u32);
        }
    }

    /// The same for the searches of the call that ends with the `k`-th event.
    pub fn follow_picks(&self, s: &mut Sched, k: usize) {
        for search in (self.pos.get()..k).filter_map(|j| self.at(j)).filter(|e| e.name == "idle_pick") {
            self.follow_pick(s, search);
        }
    }

    /// The recordings do not say which CPUs a search was given; the recorded schedulers give the affinity of the task at hand.
    fn mask_of(&self, s: &mut Sched, subject: Option<TaskId>) -> Cpumask {
        match subject {
            Some(p) => s.tasks[p].ts.cpus(&*s.mem),
            None => s.kf_scx_bpf_get_possible_cpumask(),
        }
    }

    /// `scx_bpf_dsq_move[_vtime]` through an iterator over the DSQ the task is on. Overrides show only in the insertion.
    fn dsq_move(&self, s: &mut Sched, e: &Event, k: usize, p: TaskId) {
        let back = (self.pos.get()..k).rev();
        let moved = |name: &str| {
            back.clone().filter_map(|j| self.at(j)).find(|x| x.name == name && x.pid() == e.pid())
        };
        let src = moved("rm").map(|rm| rm.dsq_id("id"));
        let (dst, fl) = (e.dsq_id("id"), e.num("fl"));
        let mut ret = false;
        if let Some(src) = src
            && let Ok(it) = s.kf_bpf_iter_scx_dsq_new(src, 0)
        {
            if let Some(ins) = moved("ins") {
                let scx = s.tasks[p].ts.scx();
                if scx.slice().get(&*s.mem) != ins.num("cslice") {
                    s.kf_scx_bpf_dsq_move_set_slice(it, ins.num("cslice"));
                }
                if scx.dsq_vtime().get(&*s.mem) != ins.num("cvt") {
                    s.kf_scx_bpf_dsq_move_set_vtime(it, ins.num("cvt"));
                }
            }
            while let Some(q) = s.kf_bpf_iter_scx_dsq_next(it) {
                if q == p {
                    ret = if moved("ins").is_some_and(|ins| ins.num("fl") & SCX_ENQ_DSQ_PRIQ != 0) {
                        s.kf_scx_bpf_dsq_move_vtime(it, p, dst, fl & !INTERNAL)
                    } else {
                        s.kf_scx_bpf_dsq_move(it, p, dst, fl & !INTERNAL)
                    };
                    break;
                }
            }
            s.kf_bpf_iter_scx_dsq_destroy(it);
        }
        let text = |key: &str| e.get(key).unwrap_or("?");
        self.note(s, "k_move", format!("{} to {} ret={}", text("pid"), text("id"), u8::from(ret)));
    }
}

/// The recorded policy.
pub struct TraceOps {
    table: Table,
    script: Rc<Script>,
}

impl TraceOps {
    /// For one recording.
    pub fn new(table: Table, script: Rc<Script>) -> Self {
        Self { table, script }
    }

    fn on_task(&self, s: &mut Sched, op: Op, p: TaskId) {
        self.script.op(s, &format!("op_{}", op.name()), Some(p));
    }

    fn on_cpu(&self, s: &mut Sched, op: Op) {
        self.script.op(s, &format!("op_{}", op.name()), None);
    }
}

impl Ops for TraceOps {
    fn params(&self) -> OpsParams {
        self.table.params.clone()
    }
    fn has(&self, op: Op) -> bool {
        self.table.ops.contains(&op)
    }
    fn select_cpu(&self, s: &mut Sched, p: TaskId, prev_cpu: CpuId, _wake_flags: u64) -> i32 {
        self.script.op(s, "op_select_cpu", Some(p));
        let body = self.script.body.borrow().clone();
        let last = body.last().map(|&i| &self.script.rec.events[i]);
        match last.filter(|e| e.name == "sel_rq_ret") {
            Some(e) => e.int("sel") as i32,
            None => prev_cpu.0 as i32,
        }
    }
    fn enqueue(&self, s: &mut Sched, p: TaskId, _enq_flags: u64) {
        self.on_task(s, Op::Enqueue, p);
    }
    fn dequeue(&self, s: &mut Sched, p: TaskId, _deq_flags: u64) {
        self.on_task(s, Op::Dequeue, p);
    }
    fn dispatch(&self, s: &mut Sched, _cpu: CpuId, _prev: Option<TaskId>) {
        self.on_cpu(s, Op::Dispatch);
    }
    fn tick(&self, s: &mut Sched, p: TaskId) {
        self.on_task(s, Op::Tick, p);
    }
    fn runnable(&self, s: &mut Sched, p: TaskId, _enq_flags: u64) {
        self.on_task(s, Op::Runnable, p);
    }
    fn running(&self, s: &mut Sched, p: TaskId) {
        self.on_task(s, Op::Running, p);
    }
    fn stopping(&self, s: &mut Sched, p: TaskId, _runnable: bool) {
        self.on_task(s, Op::Stopping, p);
    }
    fn quiescent(&self, s: &mut Sched, p: TaskId, _deq_flags: u64) {
        self.on_task(s, Op::Quiescent, p);
    }
    fn set_weight(&self, s: &mut Sched, p: TaskId, _weight: u32) {
        self.on_task(s, Op::SetWeight, p);
    }
    fn set_cpumask(&self, s: &mut Sched, p: TaskId) {
        self.on_task(s, Op::SetCpumask, p);
    }
    fn update_idle(&self, s: &mut Sched, _cpu: CpuId, _idle: bool) {
        self.on_cpu(s, Op::UpdateIdle);
    }
    fn cpu_acquire(&self, s: &mut Sched, _cpu: CpuId) {
        self.on_cpu(s, Op::CpuAcquire);
    }
    fn cpu_release(&self, s: &mut Sched, _cpu: CpuId, _reason: u32, _task: TaskId) {
        self.on_cpu(s, Op::CpuRelease);
    }
    fn init_task(&self, s: &mut Sched, p: TaskId, _fork: bool) -> i32 {
        self.on_task(s, Op::InitTask, p);
        0
    }
    fn exit_task(&self, s: &mut Sched, p: TaskId, _cancelled: bool) {
        self.on_task(s, Op::ExitTask, p);
    }
    fn enable(&self, s: &mut Sched, p: TaskId) {
        self.on_task(s, Op::Enable, p);
    }
    fn disable(&self, s: &mut Sched, p: TaskId) {
        self.on_task(s, Op::Disable, p);
    }
    fn cgroup_init(&self, s: &mut Sched, _cgrp: u64) -> i32 {
        self.on_cpu(s, Op::CgroupInit);
        0
    }
    fn cgroup_exit(&self, s: &mut Sched, _cgrp: u64) {
        self.on_cpu(s, Op::CgroupExit);
    }
    fn cgroup_prep_move(&self, s: &mut Sched, p: TaskId, _from: u64, _to: u64) -> i32 {
        self.on_task(s, Op::CgroupPrepMove, p);
        0
    }
    fn cgroup_move(&self, s: &mut Sched, p: TaskId, _from: u64, _to: u64) {
        self.on_task(s, Op::CgroupMove, p);
    }
    fn cgroup_set_weight(&self, s: &mut Sched, _cgrp: u64, _weight: u32) {
        self.on_cpu(s, Op::CgroupSetWeight);
    }
    fn init(&self, s: &mut Sched) -> i32 {
        self.on_cpu(s, Op::Init);
        0
    }
    fn exit(&self, s: &mut Sched) {
        self.on_cpu(s, Op::Exit);
    }
}

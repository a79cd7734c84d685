//! The class driven directly: a machine that only carries requests out, and a policy whose ops are closures.

mod bypass;
mod cgroup;
mod cid;
mod core_sched;
mod deadline;
mod dsq;
mod every_op;
mod exits;
mod golden;
mod hotplug;
mod kfuncs;
mod messages;
mod model;
mod reenq;
mod rt;
mod sequences;
mod speed;
mod stress;
mod switching;
mod topology;
mod transition;

use std::cell::RefCell;
use std::rc::Rc;

use sextant_abi::types::*;
use sextant_abi::{CpuId, DsqId, Ns};

use crate::core::flags::*;
use crate::deadline::Server;
use crate::event::Event;

use crate::ops::{Op, Ops, OpsParams};
use crate::sched::{Config, Costs, Request, Sched, Work, new_kmem};
use crate::task::{TaskAttr, TaskId};

type EnqueueFn = dyn Fn(&mut Sched, TaskId, u64);
type DispatchFn = dyn Fn(&mut Sched, CpuId, Option<TaskId>);
type SelectFn = dyn Fn(&mut Sched, TaskId, CpuId, u64) -> i32;
type TaskFn = dyn Fn(&mut Sched, TaskId);
type InitTaskFn = dyn Fn(&mut Sched, TaskId, bool) -> i32;
type AskTaskFn = dyn Fn(&mut Sched, TaskId) -> i32;
type OrderFn = dyn Fn(&mut Sched, TaskId, TaskId) -> bool;
type CgroupFn = dyn Fn(&mut Sched, u64) -> i32;

/// The DSQ that `Probe::queueing` uses.
pub(super) const Q: DsqId = DsqId(7);

/// A policy of closures; every other op exists and does nothing.
pub(super) struct Probe {
    pub params: OpsParams,
    /// Ops it does not have.
    pub without: Vec<Op>,
    pub select_cpu: Box<SelectFn>,
    pub enqueue: Box<EnqueueFn>,
    pub dispatch: Box<DispatchFn>,
    pub dequeue: Box<TaskFn>,
    pub tick: Box<TaskFn>,
    pub init_task: Box<InitTaskFn>,
    pub cgroup_init: Box<CgroupFn>,
    pub prep_move: Box<AskTaskFn>,
    pub core_sched_before: Box<OrderFn>,
    pub init_cids: Box<dyn Fn(&mut Sched) -> i32>,
    pub init: Box<dyn Fn(&mut Sched) -> i32>,
    pub exits: RefCell<u32>,
}

impl Probe {
    /// A user DSQ `Q`: enqueue inserts there, dispatch moves to local, select_cpu keeps prev.
    pub fn queueing() -> Self {
        Self {
            params: OpsParams { name: "probe".into(), ..OpsParams::default() },
            without: vec![
                Op::Yield,
                Op::CoreSchedBefore,
                Op::UpdateIdle,
                Op::CpuAcquire,
                Op::CpuRelease,
                Op::SubAttach,
                Op::SubDetach,
                Op::Dump,
                Op::DumpCpu,
                Op::DumpTask,
            ],
            select_cpu: Box::new(|_, _, prev, _| prev.0 as i32),
            enqueue: Box::new(|s, p, flags| {
                s.kf_scx_bpf_dsq_insert(Some(p), Q, SCX_SLICE_DFL, flags);
            }),
            dispatch: Box::new(|s, _, _| {
                s.kf_scx_bpf_dsq_move_to_local(Q, 0);
            }),
            dequeue: Box::new(|_, _| ()),
            tick: Box::new(|_, _| ()),
            init_task: Box::new(|_, _, _| 0),
            cgroup_init: Box::new(|_, _| 0),
            prep_move: Box::new(|_, _| 0),
            core_sched_before: Box::new(|_, _, _| false),
            init_cids: Box::new(|_| 0),
            init: Box::new(|s| s.kf_scx_bpf_create_dsq(Q, -1)),
            exits: RefCell::new(0),
        }
    }

    /// With ops.update_idle, and the built-in tracking kept.
    pub fn with_update_idle(mut self) -> Self {
        self.without.retain(|&op| op != Op::UpdateIdle);
        self.params.flags |= SCX_OPS_KEEP_BUILTIN_IDLE;
        self
    }
}

impl Ops for Probe {
    fn params(&self) -> OpsParams {
        self.params.clone()
    }
    fn has(&self, op: Op) -> bool {
        !self.without.contains(&op)
    }
    fn select_cpu(&self, s: &mut Sched, p: TaskId, prev: CpuId, flags: u64) -> i32 {
        (self.select_cpu)(s, p, prev, flags)
    }
    fn enqueue(&self, s: &mut Sched, p: TaskId, flags: u64) {
        (self.enqueue)(s, p, flags);
    }
    fn dequeue(&self, s: &mut Sched, p: TaskId, _flags: u64) {
        (self.dequeue)(s, p);
    }
    fn dispatch(&self, s: &mut Sched, cpu: CpuId, prev: Option<TaskId>) {
        (self.dispatch)(s, cpu, prev);
    }
    fn tick(&self, s: &mut Sched, p: TaskId) {
        (self.tick)(s, p);
    }
    fn init_task(&self, s: &mut Sched, p: TaskId, fork: bool) -> i32 {
        (self.init_task)(s, p, fork)
    }
    fn cgroup_init(&self, s: &mut Sched, cgrp: u64) -> i32 {
        (self.cgroup_init)(s, cgrp)
    }
    fn cgroup_prep_move(&self, s: &mut Sched, p: TaskId, _from: u64, _to: u64) -> i32 {
        (self.prep_move)(s, p)
    }
    fn core_sched_before(&self, s: &mut Sched, a: TaskId, b: TaskId) -> bool {
        (self.core_sched_before)(s, a, b)
    }
    fn init_cids(&self, s: &mut Sched) -> i32 {
        (self.init_cids)(s)
    }
    fn init(&self, s: &mut Sched) -> i32 {
        (self.init)(s)
    }
    fn exit(&self, _s: &mut Sched) {
        *self.exits.borrow_mut() += 1;
    }
}

/// Carries requests out at once, in order; works wait for their time.
pub(super) struct Machine {
    pub s: Sched,
    works: Vec<(Work, Ns)>,
    servers: Vec<(CpuId, Server, Ns)>,
}

impl Machine {
    pub fn new(nr_cpus: u32) -> Self {
        let cfg = Config { nr_cpus, uptime: Ns::ZERO, hz: 250, costs: Costs::default() };
        let mut s = Sched::new(cfg, new_kmem().expect("the host has address space"));
        s.enter(CpuId(0), Ns(1_000_000));
        Self { s, works: Vec::new(), servers: Vec::new() }
    }

    /// A machine with `probe` loaded and its load sequence done.
    pub fn with(nr_cpus: u32, probe: Probe) -> Self {
        let mut m = Self::new(nr_cpus);
        m.load(probe);
        m
    }

    pub fn load(&mut self, probe: Probe) -> Rc<Probe> {
        let probe = Rc::new(probe);
        self.s.enter(CpuId(0), self.s.now);
        self.s.scx_enable(probe.clone()).expect("the table is well-formed");
        self.settle();
        probe
    }

    /// Drops the scheduler's link.
    pub fn unload(&mut self) {
        self.s.enter(CpuId(0), self.s.now);
        self.s.scx_disable(sextant_abi::exit::ExitKind::Unreg);
        self.s.scx_flush_disable_work();
        self.settle();
    }

    /// Serves what the scheduler asks for until it asks for nothing more.
    pub fn settle(&mut self) {
        for _ in 0..10_000 {
            let requests = std::mem::take(&mut self.s.requests);
            if requests.is_empty() {
                self.s.rcu_flush();
                return;
            }
            for r in requests {
                self.serve(r);
            }
        }
        panic!("the scheduler never stops asking");
    }

    fn serve(&mut self, r: Request) {
        let now = self.s.now;
        match r {
            Request::Resched(cpu) if self.s.rqs[cpu.idx()].need_resched => {
                self.s.enter(cpu, now);
                self.s.schedule(cpu);
            }
            Request::IrqWork(cpu) => {
                self.s.enter(cpu, now);
                self.s.irq_work(cpu);
            }
            Request::Work(work, at) if at <= now => {
                self.s.enter(CpuId(0), now);
                self.s.run_work(work);
            }
            Request::Work(work, at) => self.works.push((work, at)),
            Request::ServerTimer { cpu, server, at } => {
                self.servers.retain(|t| (t.0, t.1) != (cpu, server));
                self.servers.extend(at.map(|at| (cpu, server, at)));
            }
            _ => {}
        }
    }

    /// Lets `ms` pass on all CPUs, tick by tick.
    pub fn run_ms(&mut self, ms: u64) {
        for _ in 0..ms / 4 {
            let now = self.s.now + Ns::from_ms(4);
            self.s.enter(CpuId(0), now);
            for (work, at) in std::mem::take(&mut self.works) {
                self.serve(Request::Work(work, at));
            }
            self.fire_servers();
            for cpu in 0..self.s.cfg.nr_cpus {
                self.tick(cpu);
            }
            self.settle();
        }
    }

    /// Timers of deadline servers that are due.
    fn fire_servers(&mut self) {
        while let Some(i) = self.servers.iter().position(|t| t.2 <= self.s.now) {
            let (cpu, server, _) = self.servers.remove(i);
            self.s.enter(cpu, self.s.now);
            self.s.dl_server_timer(cpu, server);
            self.settle();
        }
    }

    /// The tick of one busy CPU.
    pub fn tick(&mut self, cpu: u32) {
        let rq = &self.s.rqs[cpu as usize];
        if rq.curr != rq.idle {
            self.s.enter(CpuId(cpu), self.s.now);
            self.s.tick(CpuId(cpu));
        }
    }

    /// Time passes; nothing happens.
    pub fn advance_ms(&mut self, ms: u64) {
        let now = self.s.now + Ns::from_ms(ms);
        self.s.enter(CpuId(0), now);
    }

    pub fn attr(comm: &str) -> TaskAttr {
        TaskAttr { comm: comm.into(), ..TaskAttr::default() }
    }

    /// Forks on `cpu` and wakes, and lets it settle.
    pub fn fork(&mut self, comm: &str, cpu: u32) -> TaskId {
        self.fork_attr(&Self::attr(comm), cpu)
    }

    pub fn fork_attr(&mut self, attr: &TaskAttr, cpu: u32) -> TaskId {
        self.s.enter(CpuId(cpu), self.s.now);
        let p = self.s.sched_fork(attr).expect("fork");
        self.s.wake_up_new_task(p);
        self.settle();
        p
    }

    /// A task that sleeps, last on `cpu`.
    pub fn sleeper(&mut self, comm: &str, cpu: u32) -> TaskId {
        let p = self.fork(comm, cpu);
        for _ in 0..64 {
            let at = self.s.tasks[p].cpu;
            if self.s.rqs[at.idx()].curr == p {
                self.block(at.0);
                return p;
            }
            // Somebody is ahead: its slice ends.
            let curr = self.s.rqs[at.idx()].curr;
            self.s.enter(at, self.s.now);
            self.s.set_task_slice(curr, 0);
            self.s.resched_curr(at);
            self.settle();
        }
        panic!("{comm} does not get to run");
    }

    pub fn block(&mut self, cpu: u32) {
        self.s.enter(CpuId(cpu), self.s.now);
        self.s.block_current(CpuId(cpu));
        self.settle();
    }

    /// Woken by whoever is on `waker`.
    pub fn wake(&mut self, p: TaskId, waker: u32) {
        self.s.enter(CpuId(waker), self.s.now);
        self.s.try_to_wake_up(p, 0);
        self.settle();
    }

    pub fn curr(&self, cpu: u32) -> TaskId {
        self.s.rqs[cpu as usize].curr
    }

    /// The op calls since the last time, one per line: `op(task, args) [cpu]`.
    pub fn ops(&mut self) -> Vec<String> {
        let events = std::mem::take(&mut self.s.events);
        events.iter().filter_map(|(_, cpu, ev)| self.op_line(*cpu, ev)).collect()
    }

    /// Forgets the events so far.
    pub fn forget(&mut self) {
        self.s.events.clear();
    }

    pub fn comm(&self, p: TaskId) -> String {
        self.s.tasks[p].ts.comm().get_str(&*self.s.mem)
    }

    pub(super) fn op_line(&self, _cpu: CpuId, ev: &Event) -> Option<String> {
        let Event::OpCall { op, p, args } = ev else { return None };
        let task = p.map(|p| self.comm(p));
        let mut parts: Vec<String> = Vec::new();
        match op {
            Op::Dispatch => parts.extend([args[0].to_string(), task.unwrap_or("NULL".into())]),
            Op::SelectCpu => parts.extend([task?, args[0].to_string(), wake_flags(args[1])]),
            Op::Enqueue | Op::Runnable => parts.extend([task?, enq_flags(args[0])]),
            Op::Dequeue | Op::Quiescent => parts.extend([task?, deq_flags(args[0])]),
            Op::Stopping | Op::ExitTask | Op::InitTask => parts.extend([task?, (args[0] != 0).to_string()]),
            Op::CgroupPrepMove | Op::CgroupMove | Op::CgroupCancelMove => {
                parts.extend([task?, args[0].to_string(), args[1].to_string()]);
            }
            Op::CgroupSetWeight | Op::CgroupSetIdle | Op::CgroupSetBandwidth => {
                parts.extend(args.map(|a| a.to_string()));
            }
            Op::CpuAcquire | Op::CpuOnline | Op::CpuOffline => parts.push(args[0].to_string()),
            Op::CpuRelease => parts.extend(args.map(|a| a.to_string())),
            Op::UpdateIdle => parts.extend([args[0].to_string(), (args[1] != 0).to_string()]),
            Op::SetWeight => parts.extend([task?, args[0].to_string()]),
            Op::CgroupInit | Op::CgroupExit => parts.push(args[0].to_string()),
            _ => parts.extend(task),
        }
        Some(format!("{}({})", op.name(), parts.join(",")))
    }
}

fn names(mut bits: u64, table: &[(u64, &str)]) -> String {
    let mut out: Vec<String> = Vec::new();
    for (bit, name) in table {
        if bits & bit != 0 {
            out.push((*name).into());
            bits &= !bit;
        }
    }
    if bits != 0 || out.is_empty() {
        out.push(format!("{bits:#x}"));
    }
    out.join("|")
}

fn wake_flags(f: u64) -> String {
    names(f, &[(WF_FORK, "FORK"), (WF_TTWU, "TTWU"), (WF_SYNC, "SYNC")])
}

fn enq_flags(f: u64) -> String {
    names(
        f,
        &[
            (ENQUEUE_WAKEUP, "WAKEUP"),
            (ENQUEUE_RESTORE, "RESTORE"),
            (ENQUEUE_MOVE, "MOVE"),
            (ENQUEUE_NOCLOCK, "NOCLOCK"),
            (ENQUEUE_CLASS, "CLASS"),
            (ENQUEUE_MIGRATED, "MIGRATED"),
            (ENQUEUE_INITIAL, "INITIAL"),
            (SCX_ENQ_CPU_SELECTED, "CPU_SELECTED"),
            (SCX_ENQ_LAST, "LAST"),
            (SCX_ENQ_REENQ, "REENQ"),
            (SCX_ENQ_IGNORE_CAPS, "IGNORE_CAPS"),
        ],
    )
}

fn deq_flags(f: u64) -> String {
    if f == 0 {
        return "0".into();
    }
    names(
        f,
        &[
            (DEQUEUE_SLEEP, "SLEEP"),
            (DEQUEUE_SAVE, "SAVE"),
            (DEQUEUE_MOVE, "MOVE"),
            (DEQUEUE_NOCLOCK, "NOCLOCK"),
            (DEQUEUE_CLASS, "CLASS"),
            (DEQUEUE_SPECIAL, "SPECIAL"),
            (SCX_DEQ_SCHED_CHANGE, "SCHED_CHANGE"),
        ],
    )
}

/// Asserts a sequence given as words.
#[track_caller]
pub(super) fn assert_ops(m: &mut Machine, expected: &str) {
    let got = m.ops();
    let expected: Vec<&str> = expected.split_whitespace().collect();
    assert_eq!(got, expected, "\ngot:\n  {}\n", got.join("\n  "));
}

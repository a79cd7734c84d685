//! The class behind the same face as the model: the policy as `Ops`, kfuncs by number, events as what is seen.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use sextant_abi::tables::Op;
use sextant_abi::types::*;
use sextant_abi::{CpuId, CpuMaskBits, DsqId, Ns};

use super::naive::{Name, Seen, Who};
use super::policy::{Act, Kernel, Policy, Setup, perform};
use crate::event::Event;
use crate::ext::kfunc::iter::DsqIter;
use crate::ext::rq::RqFlags;
use crate::ext::tests::Machine;
use crate::ops::{Ops, OpsParams};
use crate::sched::Sched;
use crate::task::{Class, OnRq, TaskAttr, TaskId};

/// The kfuncs of the class.
struct Kfuncs<'a> {
    s: &'a mut Sched,
}

/// swapper/N and migration/N come first.
fn first(s: &Sched) -> u32 {
    2 * s.cfg.nr_cpus
}

fn id(s: &Sched, p: usize) -> TaskId {
    TaskId(first(s) + p as u32)
}

fn number(s: &Sched, p: TaskId) -> usize {
    (p.0 - first(s)) as usize
}

impl Kernel for Kfuncs<'_> {
    fn allowed(&self, p: usize) -> u64 {
        let (s, nr) = (&*self.s, self.s.cfg.nr_cpus);
        s.tasks[id(s, p)].ts.cpus(&*s.mem).load(&*s.mem, nr).iter().fold(0, |set, cpu| set | 1 << cpu.0)
    }
    fn alive(&self, p: usize) -> bool {
        let p = id(self.s, p);
        (p.0 as usize) < self.s.tasks.len() && !self.s.tasks[p].dead
    }
    fn running(&self, cpu: u32) -> Option<usize> {
        let curr = self.s.rqs[cpu as usize].curr;
        (curr.0 >= first(self.s)).then(|| number(self.s, curr))
    }
    fn exists(&self, dsq: u64) -> bool {
        self.s.ext.dsqs.find_user(DsqId(dsq)).is_some()
    }
    fn empty(&self, dsq: u64) -> bool {
        self.s.ext.dsqs.find_user(DsqId(dsq)).is_none_or(|idx| self.s.ext.dsqs[idx].nr == 0)
    }
    fn insert(&mut self, p: usize, dsq: u64, slice: u64, vtime: Option<u64>, flags: u64) -> bool {
        let (p, dsq) = (Some(id(self.s, p)), DsqId(dsq));
        match vtime {
            Some(vtime) => self.s.kf_scx_bpf_dsq_insert_vtime(p, dsq, slice, vtime, flags),
            None => self.s.kf_scx_bpf_dsq_insert(p, dsq, slice, flags),
        }
    }
    fn move_to_local(&mut self, dsq: u64, flags: u64) -> bool {
        self.s.kf_scx_bpf_dsq_move_to_local(DsqId(dsq), flags)
    }
    fn iter_new(&mut self, dsq: u64, flags: u64) -> Option<u32> {
        self.s.kf_bpf_iter_scx_dsq_new(DsqId(dsq), flags).ok().map(|it| it.0)
    }
    fn iter_next(&mut self, it: u32) -> Option<usize> {
        let p = self.s.kf_bpf_iter_scx_dsq_next(DsqIter(it))?;
        Some(number(self.s, p))
    }
    fn iter_destroy(&mut self, it: u32) {
        self.s.kf_bpf_iter_scx_dsq_destroy(DsqIter(it));
    }
    fn iter_slice(&mut self, it: u32, slice: u64) {
        self.s.kf_scx_bpf_dsq_move_set_slice(DsqIter(it), slice);
    }
    fn iter_vtime(&mut self, it: u32, vtime: u64) {
        self.s.kf_scx_bpf_dsq_move_set_vtime(DsqIter(it), vtime);
    }
    fn dsq_move(&mut self, it: u32, p: usize, dsq: u64, priq: bool, flags: u64) -> bool {
        let (it, p, dsq) = (DsqIter(it), id(self.s, p), DsqId(dsq));
        if priq {
            self.s.kf_scx_bpf_dsq_move_vtime(it, p, dsq, flags)
        } else {
            self.s.kf_scx_bpf_dsq_move(it, p, dsq, flags)
        }
    }
    fn set_slice(&mut self, p: usize, slice: u64) -> bool {
        self.s.kf_scx_bpf_task_set_slice(id(self.s, p), slice)
    }
    fn set_vtime(&mut self, p: usize, vtime: u64) -> bool {
        self.s.kf_scx_bpf_task_set_dsq_vtime(id(self.s, p), vtime)
    }
    fn nr_queued(&mut self, dsq: u64) -> i32 {
        self.s.kf_scx_bpf_dsq_nr_queued(DsqId(dsq))
    }
    fn peek(&mut self, dsq: u64) -> Option<usize> {
        let p = self.s.kf_scx_bpf_dsq_peek(DsqId(dsq))?;
        Some(number(self.s, p))
    }
    fn nr_slots(&mut self) -> u32 {
        self.s.kf_scx_bpf_dispatch_nr_slots()
    }
    fn cancel(&mut self) {
        self.s.kf_scx_bpf_dispatch_cancel();
    }
    fn kick(&mut self, cpu: u32, flags: u64) {
        self.s.kf_scx_bpf_kick_cpu(cpu as i32, flags);
    }
    fn claim_idle(&mut self, cpu: u32) -> bool {
        self.s.kf_scx_bpf_test_and_clear_cpu_idle(cpu as i32)
    }
    fn reenq(&mut self, dsq: u64, flags: u64) {
        self.s.kf_scx_bpf_dsq_reenq(DsqId(dsq), flags);
    }
    fn create(&mut self, dsq: u64) -> i32 {
        self.s.kf_scx_bpf_create_dsq(DsqId(dsq), -1)
    }
    fn destroy(&mut self, dsq: u64) {
        self.s.kf_scx_bpf_destroy_dsq(DsqId(dsq));
    }
    fn cpu_of(&self, p: usize) -> u32 {
        self.s.tasks[id(self.s, p)].cpu.0
    }
    fn meanwhile(&mut self, p: usize, nice: i32) {
        self.s.set_user_nice(id(self.s, p), nice);
    }
}

/// The policy as the class calls it.
struct Caller {
    policy: RefCell<Policy>,
    /// Loading is over: before, the policy does nothing.
    awake: Cell<bool>,
}

impl Caller {
    fn act<R>(&self, s: &mut Sched, f: impl FnOnce(&mut Policy, &dyn Kernel) -> (R, Vec<Act>)) -> R {
        let mut k = Kfuncs { s };
        // An op may be called while another one runs: nothing stays borrowed while it acts.
        let (r, acts) = f(&mut self.policy.borrow_mut(), &k);
        for act in acts {
            let mut answers = Vec::new();
            perform(&mut k, &act, &mut answers);
            self.policy.borrow_mut().answers.extend(answers);
        }
        r
    }
}

impl Ops for Caller {
    fn params(&self) -> OpsParams {
        let setup = &self.policy.borrow().setup;
        OpsParams {
            name: "model".into(),
            flags: setup.flags | SCX_OPS_KEEP_BUILTIN_IDLE,
            dispatch_max_batch: setup.max_batch,
            ..OpsParams::default()
        }
    }
    fn has(&self, op: Op) -> bool {
        let setup = &self.policy.borrow().setup;
        match op {
            Op::CpuAcquire | Op::CpuRelease => setup.release,
            Op::Enqueue => setup.enqueue,
            Op::SelectCpu | Op::Dequeue | Op::Dispatch | Op::Tick | Op::Runnable | Op::Running => true,
            Op::Stopping | Op::Quiescent | Op::SetWeight | Op::SetCpumask | Op::UpdateIdle => true,
            Op::InitTask | Op::ExitTask | Op::Enable | Op::Disable | Op::Init => true,
            _ => false,
        }
    }
    fn init(&self, s: &mut Sched) -> i32 {
        for dsq in super::policy::FIFO.into_iter().chain(super::policy::PRIQ) {
            s.kf_scx_bpf_create_dsq(DsqId(dsq), -1);
        }
        0
    }
    fn select_cpu(&self, s: &mut Sched, p: TaskId, prev: CpuId, _flags: u64) -> i32 {
        let p = number(s, p);
        self.act(s, |policy, k| policy.select_cpu(k, p, prev.0))
    }
    fn enqueue(&self, s: &mut Sched, p: TaskId, flags: u64) {
        let p = number(s, p);
        self.act(s, |policy, k| ((), policy.enqueue(k, p, flags)));
    }
    fn dequeue(&self, s: &mut Sched, p: TaskId, _flags: u64) {
        let p = number(s, p);
        self.act(s, |policy, k| ((), policy.dequeue(k, p)));
    }
    fn dispatch(&self, s: &mut Sched, cpu: CpuId, prev: Option<TaskId>) {
        let prev = prev.map(|p| number(s, p));
        if !self.awake.get() {
            return;
        }
        self.act(s, |policy, k| ((), policy.dispatch(k, cpu.0, prev)));
    }
    fn tick(&self, s: &mut Sched, p: TaskId) {
        let p = number(s, p);
        self.act(s, |policy, k| ((), policy.on_cpu(k, p)));
    }
    fn running(&self, s: &mut Sched, p: TaskId) {
        self.tick(s, p);
    }
    fn stopping(&self, s: &mut Sched, p: TaskId, _runnable: bool) {
        self.tick(s, p);
    }
}

/// The class with that policy loaded.
pub struct Real {
    pub s: Sched,
    policy: Rc<Caller>,
}

impl Real {
    /// CPUs idle, no task but migration/N.
    pub fn new(setup: &Setup) -> Self {
        let mut m = Machine::new(setup.nr_cpus);
        for cpu in 0..setup.nr_cpus {
            let name = format!("migration/{cpu}");
            let attr = TaskAttr { cpus: Some(vec![CpuId(cpu)]), ..Machine::attr(&name) };
            m.s.boot_task(10 + cpu as i32, &attr, CpuId(cpu), true);
        }
        m.s.next_pid = 1000;
        let policy = Rc::new(Caller { policy: RefCell::new(Policy::new(setup)), awake: Cell::new(false) });
        m.s.scx_enable(policy.clone()).expect("the table is well-formed");
        m.settle();
        m.s.events.clear();
        policy.awake.set(true);
        Self { s: m.s, policy }
    }

    pub fn answers(&self) -> Vec<i64> {
        std::mem::take(&mut self.policy.policy.borrow_mut().answers)
    }

    pub fn enter(&mut self, cpu: u32, now: u64) {
        self.s.enter(CpuId(cpu), Ns(now));
    }

    pub fn id(&self, p: usize) -> TaskId {
        id(&self.s, p)
    }

    pub fn fork(&mut self, allowed: u64) {
        let comm = format!("t{}", self.s.tasks.len() as u32 - first(&self.s));
        let cpus = Some((0..64).filter(|cpu| allowed >> cpu & 1 != 0).map(CpuId).collect());
        let p = self.s.sched_fork(&TaskAttr { cpus, ..Machine::attr(&comm) }).expect("a fork succeeds");
        self.s.wake_up_new_task(p);
    }

    pub fn set_allowed(&mut self, p: usize, allowed: u64) {
        let set: CpuMaskBits = (0..64).filter(|cpu| allowed >> cpu & 1 != 0).map(CpuId).collect();
        self.s.set_cpus_allowed(self.id(p), &set).expect("some CPU is left");
    }

    pub fn syscall(&mut self) {
        let policy = self.policy.clone();
        policy.act(&mut self.s, |policy, k| ((), policy.syscall(k)));
    }

    fn who(&self, p: TaskId) -> Who {
        match self.s.tasks[p].class {
            Class::Idle => Who::Idle,
            Class::Stop => Who::Stopper,
            _ => Who::Task(number(&self.s, p)),
        }
    }

    /// What could be seen since the last time.
    pub fn seen(&mut self) -> Vec<Seen> {
        self.s.requests.clear(); // the flags say the same
        let events = std::mem::take(&mut self.s.events);
        events.into_iter().filter_map(|(_, cpu, event)| self.seen_event(cpu, event)).collect()
    }

    fn seen_event(&self, cpu: CpuId, event: Event) -> Option<Seen> {
        let n = |p| number(&self.s, p);
        Some(match event {
            Event::OpCall { op, p, args } => Seen::Op { op, p: p.map(n), args },
            Event::DsqInsert { p, dsq, slice, vtime, .. } => {
                Seen::Insert { p: n(p), dsq: dsq.0, slice, vtime }
            }
            Event::DsqRemove { p, dsq } => Seen::Remove { p: n(p), dsq: dsq.0 },
            Event::Migrate { p, to, .. } => Seen::Migrate { p: n(p), to: to.0 },
            Event::Switch { next, .. } => Seen::Switch { cpu: cpu.0, next: self.who(next) },
            Event::Exit { p } => Seen::Exit { p: n(p) },
            _ => return None,
        })
    }

    /// The same names for what the model has.
    pub fn queues(&self) -> Vec<(Name, Vec<usize>)> {
        let nr = self.s.cfg.nr_cpus as usize;
        let dsqs = self.s.ext.dsqs.dsqs.iter().enumerate();
        let live = dsqs.filter(|(_, d)| d.id != DsqId::INVALID);
        live.map(|(i, d)| {
            let name = match d.id {
                DsqId::LOCAL => Name::Local(i as u32),
                DsqId::BYPASS => Name::Bypass((i - nr) as u32),
                DsqId::GLOBAL => Name::Global,
                user => Name::User(user.0),
            };
            let mut tasks = Vec::new();
            let mut at = self.s.skip_cursors(d.list.first, false);
            while let Some(p) = at {
                tasks.push(number(&self.s, p));
                at = self.s.dsq_next(p);
            }
            assert_eq!(tasks.len(), d.nr as usize, "nr of {name:?}");
            (name, tasks)
        })
        .collect()
    }

    /// Everything about a task that both sides have.
    pub fn task(&self, p: usize) -> TaskState {
        let id = self.id(p);
        let (t, mem) = (&self.s.tasks[id], &*self.s.mem);
        let scx = t.ts.scx();
        TaskState {
            cpu: t.cpu.0,
            on_rq: t.on_rq == OnRq::Queued,
            queued: self.s.scx_queued(id),
            slice: scx.slice().get(mem),
            wanted_slice: t.ext.slice_oob,
            vtime: scx.dsq_vtime().get(mem),
            custody: self.s.scx_flags(id) & SCX_TASK_IN_CUSTODY != 0,
            held: t.ext.ops_state == crate::ext::entity::OpsState::Queued,
            on_the_way: t.ext.deferred,
            verdict: (t.ext.ddsp.dsq_id != DsqId::INVALID).then_some(t.ext.ddsp.dsq_id.0),
            immed: self.s.scx_flags(id) & SCX_TASK_IMMED != 0,
            waits_since: scx.runnable_at().get(mem),
            ran_ns: t.ts.se().sum_exec_runtime().get(mem),
            pinned: t.migration_disabled.into(),
            may_use: (0..self.s.cfg.nr_cpus)
                .filter(|&cpu| self.s.cpus_allowed(id, CpuId(cpu)))
                .fold(0, |set, cpu| set | 1 << cpu),
        }
    }

    /// Everything about a CPU that both sides have.
    pub fn cpu(&self, cpu: u32) -> CpuState {
        let rq = &self.s.rqs[cpu as usize];
        let ids = |list: Vec<TaskId>| list.into_iter().map(|p| number(&self.s, p)).collect();
        let mut waiting = Vec::new();
        let mut at = rq.ext.runnable.first;
        while !at.is_nil() {
            waiting.push(TaskId(at.0));
            at = self.s.tasks[TaskId(at.0)].ext.runnable.next;
        }
        let idle = self.s.ext.masks.is_some_and(|m| m.idle.test_cpu(&*self.s.mem, cpu));
        assert!(!rq.ext.flags.contains(RqFlags::IN_DISPATCH), "CPU {cpu} is still dispatching");
        CpuState {
            curr: self.who(rq.curr),
            need_resched: rq.need_resched,
            irq_work: rq.ext.irq_work_pending,
            stopper_queued: rq.stop_queued,
            waiting: ids(waiting),
            deferred: ids(rq.ext.ddsp_deferred_locals.clone()),
            buffered: rq.ext.dsp.buf.len(),
            idle,
        }
    }
}

/// What is compared of a task.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TaskState {
    pub cpu: u32,
    pub on_rq: bool,
    pub queued: bool,
    pub slice: u64,
    pub wanted_slice: Option<u64>,
    pub vtime: u64,
    pub custody: bool,
    pub held: bool,
    pub on_the_way: bool,
    pub verdict: Option<u64>,
    pub immed: bool,
    pub waits_since: u64,
    pub ran_ns: u64,
    pub pinned: u32,
    pub may_use: u64,
}

/// What is compared of a CPU.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CpuState {
    pub curr: Who,
    pub need_resched: bool,
    pub irq_work: bool,
    pub stopper_queued: bool,
    pub waiting: Vec<usize>,
    pub deferred: Vec<usize>,
    pub buffered: usize,
    pub idle: bool,
}

//! The second way: the scheduler's own object runs in our vm where the recording played its part, and its calls of kernel functions
//! are compared with the recorded ones, arguments and results.
//!
//! A call finds its event by name among those that its op still has in front of it. What must hold: nothing recorded reaches the
//! program, but for results that differ: they are counted, then the program gets the kernel's, so that one difference does not
//! become many.
//!
//! `scx_bpf_now` gives a runqueue's clock as its last update left it. The recordings have only the clock without the time of interrupts, so
//! the program gets the time at which the entry under way began.
//!
//! Leaves out: kernel functions that the recordings do not show (`scx_bpf_task_running`, …); runs of timer
//! callbacks that call none of those they show. A callback begins at the first call that no op makes.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use sextant_abi::tables::KfuncId;
use sextant_abi::types::SCX_ENQ_DSQ_PRIQ;
use sextant_abi::{CpuId, DsqId, Mem};
use sextant_sched::bpf::{BpfOps, KfuncWatch};
use sextant_sched::ops::{Op, Ops, OpsParams};
use sextant_sched::sched::TimerId;
use sextant_sched::{Request, Sched, TaskId};

use crate::ops::{CAUSED, Script};
use crate::recording::Event;
use crate::replay::Replay;
use crate::token;

/// A call whose result the recording has, too: the event's kind, and its key.
const RESULTS: &[(&str, &str)] = &[
    ("k_m2l", "ret"),
    ("k_seldfl", "ret"),
    ("k_tac", "ret"),
    ("k_pick", "ret"),
    ("k_pickany", "ret"),
    ("k_nrq", "ret"),
];

/// What a program is running for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Frame {
    Dispatch,
    OtherOp,
    /// A timer callback on this CPU.
    Timer(u32),
    /// An op that the kernel did not call here.
    Extra,
}

/// Compares a running program's calls with the script.
pub struct Watch {
    script: Rc<Script>,
    frames: RefCell<Vec<Frame>>,
    /// Events of the calls under way, innermost last.
    calls: RefCell<Vec<Option<usize>>>,
}

impl Watch {
    /// Nothing runs.
    pub fn new(script: Rc<Script>) -> Self {
        Self { script, frames: RefCell::default(), calls: RefCell::default() }
    }

    fn frame(&self) -> Frame {
        self.frames.borrow().last().copied().unwrap_or(Frame::Extra)
    }

    /// The next event of a kind that belongs to what runs.
    fn find(&self, s: &mut Sched, kind: &str, args: [u64; 5]) -> Option<usize> {
        match self.frame() {
            Frame::Extra => None,
            Frame::Dispatch => self.find_in_dispatch(kind),
            Frame::OtherOp => self.find_behind(kind),
            Frame::Timer(cpu) => self.find_behind(kind).or_else(|| {
                let driver = self.script.driver()?;
                driver.join_next_call(s, cpu, kind, args[0]).then(|| self.find_behind(kind))?
            }),
        }
    }

    /// Calls follow each other, with what they cause in between.
    fn find_behind(&self, kind: &str) -> Option<usize> {
        (self.script.pos.get()..)
            .map_while(|k| self.script.at(k).map(|e| (k, e)))
            .take_while(|(_, e)| e.name.starts_with("k_") || CAUSED.contains(&e.name.as_str()))
            .find(|(_, e)| e.name == kind)
            .map(|(k, _)| k)
    }

    /// ops.dispatch ends with a flush that no move_to_local has begun.
    fn find_in_dispatch(&self, kind: &str) -> Option<usize> {
        let mut k = self.script.pos.get();
        loop {
            let e = self.script.at(k)?;
            match e.name.as_str() {
                "flush" => return None,
                name if name == kind => return Some(k),
                "k_m2l" => k = self.behind_m2l(k),
                _ => k += 1,
            }
        }
    }

    /// Behind the return of the move_to_local that begins at `k`.
    fn behind_m2l(&self, mut k: usize) -> usize {
        while self.script.at(k).is_some_and(|e| e.name != "k_m2l_ret") {
            k += 1;
        }
        k + 1
    }

    fn note_call(&self, s: &Sched, kind: &str, kfunc: KfuncId, args: [u64; 5]) {
        let pid = |addr| s.tasks.from_addr(addr).map(|p| s.tasks[p].ts.pid().get(&*s.mem));
        let what = match kind {
            "k_ins" => {
                let (dsq, slice, vtime, flags) = insert_args(s, kfunc, args);
                token::insert_call(pid(args[0]), dsq, slice, vtime, flags)
            }
            "k_kick" => format!("cpu={} fl={:#x}", args[0] as i32, args[1]),
            "k_mkdsq" => format!("{:?} node={}", DsqId(args[0]), args[1] as i32),
            "k_rmdsq" => format!("{:?}", DsqId(args[0])),
            "k_setslice" => format!("{} slice={}", pid(args[0]).unwrap_or(-1), args[1]),
            "k_setvt" => format!("{} vtime={}", pid(args[0]).unwrap_or(-1), args[1]),
            _ => return,
        };
        self.script.note(s, kind, what);
    }

    /// As the recording's results are written.
    fn note_result(&self, s: &Sched, kind: &str, args: [u64; 5], ret: u64) {
        let dsq = || format!("{:?}", DsqId(args[0]));
        let what = match kind {
            "k_m2l" | "k_nrq" => format!("{} ret={}", dsq(), ret as i32),
            "k_seldfl" => {
                let p = s.tasks.from_addr(args[0]);
                let pid = p.map_or(-1, |p| s.tasks[p].ts.pid().get(&*s.mem));
                format!("{pid} ret={} idle={}", ret as i32, s.mem.load(args[3], 1))
            }
            "k_tac" => format!("cpu={} ret={ret}", args[0] as i32),
            "k_pick" | "k_pickany" => format!("ret={}", ret as i32),
            _ => return,
        };
        self.script.note(s, kind, what);
    }

    /// What the kernel's call gave: in the program's place, if ours gave something else.
    fn recorded(&self, s: &mut Sched, kind: &str, args: [u64; 5], k: usize) -> Option<u64> {
        let (_, key) = RESULTS.iter().find(|(name, _)| *name == kind)?;
        let at = if kind == "k_m2l" { self.behind_m2l(k) - 1 } else { k };
        let e = self.script.at(at)?;
        if kind == "k_seldfl" {
            s.mem.store(args[3], 1, e.num("is_idle"));
        }
        e.get(key).map(|_| e.int(key) as u64)
    }
}

impl Watch {
    /// A kick's interrupt, and other CPUs, come between two calls of a callback: what the program reads next is as it is just before
    /// the second.
    fn let_interrupts(&self, s: &mut Sched, cpu: u32) {
        let Some(driver) = self.script.driver() else { return };
        if let Some(at) = driver.next_call_at(cpu) {
            driver.let_others(s, at - 1);
        }
    }
}

impl KfuncWatch for Watch {
    fn before(&self, s: &mut Sched, kfunc: KfuncId, args: [u64; 5]) {
        let Some(kind) = event_of(kfunc) else { return };
        let found = self.find(s, kind, args);
        if let Some(k) = found {
            if kind == "k_m2l" {
                self.script.pos.set(k + 1);
                self.script.sync(s, k);
            } else if self.frame() == Frame::Dispatch {
                self.script.sync(s, self.script.pos.get());
            }
        }
        self.calls.borrow_mut().push(found);
        self.note_call(s, kind, kfunc, args);
    }

    fn after(&self, s: &mut Sched, kfunc: KfuncId, args: [u64; 5], ret: u64) -> u64 {
        if kfunc == KfuncId::scx_bpf_now {
            return self.script.clock_at(s).0;
        }
        let Some(kind) = event_of(kfunc) else { return ret };
        let found = self.calls.borrow_mut().pop().flatten();
        self.note_result(s, kind, args, ret);
        let Some(k) = found else { return ret };
        if kind == "k_seldfl" {
            self.script.follow_picks(s, k);
        }
        let recorded = self.recorded(s, kind, args, k);
        let behind = if kind == "k_m2l" { self.behind_m2l(k) } else { k + 1 };
        self.script.pos.set(self.script.pos.get().max(behind));
        if kind == "k_m2l" {
            self.script.meet_program(s, behind - 1);
        }
        if let Frame::Timer(cpu) = self.frame() {
            self.let_interrupts(s, cpu);
        }
        recorded.unwrap_or(ret)
    }
}

/// The recordings' name of a call.
fn event_of(kfunc: KfuncId) -> Option<&'static str> {
    Some(match kfunc.canonical() {
        KfuncId::scx_bpf_dsq_insert
        | KfuncId::scx_bpf_dsq_insert___v2
        | KfuncId::scx_bpf_dsq_insert_vtime
        | KfuncId::__scx_bpf_dsq_insert_vtime => "k_ins",
        KfuncId::scx_bpf_dsq_move_to_local | KfuncId::scx_bpf_dsq_move_to_local___v2 => "k_m2l",
        KfuncId::scx_bpf_select_cpu_dfl => "k_seldfl",
        KfuncId::scx_bpf_test_and_clear_cpu_idle => "k_tac",
        KfuncId::scx_bpf_pick_idle_cpu => "k_pick",
        KfuncId::scx_bpf_pick_any_cpu => "k_pickany",
        KfuncId::scx_bpf_kick_cpu => "k_kick",
        KfuncId::scx_bpf_create_dsq => "k_mkdsq",
        KfuncId::scx_bpf_destroy_dsq => "k_rmdsq",
        KfuncId::scx_bpf_dsq_nr_queued => "k_nrq",
        KfuncId::scx_bpf_task_set_slice => "k_setslice",
        KfuncId::scx_bpf_task_set_dsq_vtime => "k_setvt",
        _ => return None,
    })
}

/// DSQ, slice, vtime and flags of an insertion.
fn insert_args(s: &Sched, kfunc: KfuncId, args: [u64; 5]) -> (DsqId, u64, u64, u64) {
    use sextant_abi::types::ScxBpfDsqInsertVtimeArgs;
    match kfunc.canonical() {
        KfuncId::scx_bpf_dsq_insert_vtime => (DsqId(args[1]), args[2], args[3], args[4] | SCX_ENQ_DSQ_PRIQ),
        KfuncId::__scx_bpf_dsq_insert_vtime => {
            let (a, mem) = (ScxBpfDsqInsertVtimeArgs::at(args[1]), &*s.mem);
            let (slice, vtime) = (a.slice().get(mem), a.vtime().get(mem));
            (DsqId(a.dsq_id().get(mem)), slice, vtime, a.enq_flags().get(mem) | SCX_ENQ_DSQ_PRIQ)
        }
        _ => (DsqId(args[1]), args[2], 0, args[3]),
    }
}

/// The object as the policy.
pub struct LiveOps {
    bpf: BpfOps,
    watch: Rc<Watch>,
    /// The timer that it armed last.
    timer: Cell<Option<TimerId>>,
}

impl LiveOps {
    /// `bpf` is watched by `watch`.
    pub fn new(bpf: BpfOps, watch: Rc<Watch>) -> Self {
        Self { bpf, watch, timer: Cell::new(None) }
    }

    /// One op: its event first, then the program.
    fn op<R>(
        &self,
        s: &mut Sched,
        op: Op,
        subject: Option<TaskId>,
        run: impl FnOnce(&BpfOps, &mut Sched) -> R,
    ) -> R {
        let script = &self.watch.script;
        let found = script.enter(s, &format!("op_{}", op.name()), subject).is_some();
        let frame = match op {
            _ if !found => Frame::Extra,
            Op::Dispatch => Frame::Dispatch,
            _ => Frame::OtherOp,
        };
        let result = self.framed(s, frame, run);
        if found {
            script.sync(s, script.pos.get());
        }
        result
    }

    fn framed<R>(&self, s: &mut Sched, frame: Frame, run: impl FnOnce(&BpfOps, &mut Sched) -> R) -> R {
        self.watch.frames.borrow_mut().push(frame);
        let result = run(&self.bpf, s);
        self.watch.frames.borrow_mut().pop();
        let armed = s.requests.iter().rev().find_map(|request| match request {
            Request::TimerArm { timer, .. } => Some(*timer),
            _ => None,
        });
        self.timer.set(armed.or(self.timer.get()));
        result
    }

    /// The timer fires on a CPU; false if none was armed.
    pub fn fire_timer(&self, s: &mut Sched, cpu: u32) -> bool {
        let Some(timer) = self.timer.get() else { return false };
        self.framed(s, Frame::Timer(cpu), |bpf, s| bpf.timer(s, timer));
        true
    }
}

impl Ops for LiveOps {
    fn params(&self) -> OpsParams {
        self.bpf.params()
    }
    fn has(&self, op: Op) -> bool {
        self.bpf.has(op)
    }
    fn select_cpu(&self, s: &mut Sched, p: TaskId, prev_cpu: CpuId, wake_flags: u64) -> i32 {
        self.op(s, Op::SelectCpu, Some(p), |o, s| o.select_cpu(s, p, prev_cpu, wake_flags))
    }
    fn enqueue(&self, s: &mut Sched, p: TaskId, enq_flags: u64) {
        self.op(s, Op::Enqueue, Some(p), |o, s| o.enqueue(s, p, enq_flags));
    }
    fn dequeue(&self, s: &mut Sched, p: TaskId, deq_flags: u64) {
        self.op(s, Op::Dequeue, Some(p), |o, s| o.dequeue(s, p, deq_flags));
    }
    fn dispatch(&self, s: &mut Sched, cpu: CpuId, prev: Option<TaskId>) {
        self.op(s, Op::Dispatch, None, |o, s| o.dispatch(s, cpu, prev));
    }
    fn tick(&self, s: &mut Sched, p: TaskId) {
        self.op(s, Op::Tick, Some(p), |o, s| o.tick(s, p));
    }
    fn runnable(&self, s: &mut Sched, p: TaskId, enq_flags: u64) {
        self.op(s, Op::Runnable, Some(p), |o, s| o.runnable(s, p, enq_flags));
    }
    fn running(&self, s: &mut Sched, p: TaskId) {
        self.op(s, Op::Running, Some(p), |o, s| o.running(s, p));
    }
    fn stopping(&self, s: &mut Sched, p: TaskId, runnable: bool) {
        self.op(s, Op::Stopping, Some(p), |o, s| o.stopping(s, p, runnable));
    }
    fn quiescent(&self, s: &mut Sched, p: TaskId, deq_flags: u64) {
        self.op(s, Op::Quiescent, Some(p), |o, s| o.quiescent(s, p, deq_flags));
    }
    fn set_weight(&self, s: &mut Sched, p: TaskId, weight: u32) {
        self.op(s, Op::SetWeight, Some(p), |o, s| o.set_weight(s, p, weight));
    }
    fn init_task(&self, s: &mut Sched, p: TaskId, fork: bool) -> i32 {
        self.op(s, Op::InitTask, Some(p), |o, s| o.init_task(s, p, fork))
    }
    fn enable(&self, s: &mut Sched, p: TaskId) {
        self.op(s, Op::Enable, Some(p), |o, s| o.enable(s, p));
    }
    fn disable(&self, s: &mut Sched, p: TaskId) {
        self.op(s, Op::Disable, Some(p), |o, s| o.disable(s, p));
    }
    fn cgroup_init(&self, s: &mut Sched, cgrp: u64) -> i32 {
        self.op(s, Op::CgroupInit, None, |o, s| o.cgroup_init(s, cgrp))
    }
    fn cgroup_exit(&self, s: &mut Sched, cgrp: u64) {
        self.op(s, Op::CgroupExit, None, |o, s| o.cgroup_exit(s, cgrp));
    }
    fn cgroup_move(&self, s: &mut Sched, p: TaskId, from: u64, to: u64) {
        self.op(s, Op::CgroupMove, Some(p), |o, s| o.cgroup_move(s, p, from, to));
    }
    fn cgroup_set_weight(&self, s: &mut Sched, cgrp: u64, weight: u32) {
        self.op(s, Op::CgroupSetWeight, None, |o, s| o.cgroup_set_weight(s, cgrp, weight));
    }
    fn init(&self, s: &mut Sched) -> i32 {
        self.op(s, Op::Init, None, |o, s| o.init(s))
    }
    fn exit(&self, s: &mut Sched) {
        self.op(s, Op::Exit, None, |o, s| o.exit(s));
    }
    fn task_freed(&self, s: &mut Sched, p: TaskId) {
        self.bpf.task_freed(s, p);
    }
    fn cgroup_freed(&self, s: &mut Sched, cgrp: u64) {
        self.bpf.cgroup_freed(s, cgrp);
    }
}

/// The driver's part in a timer callback.
impl Replay {
    /// The next call by no op on a CPU is this one, by its kind and first argument: it belongs to the entry under way, and everything else goes
    /// on to where it is.
    pub fn join_next_call(&self, s: &mut Sched, cpu: u32, kind: &str, first: u64) -> bool {
        let wanted = |e: &Event| {
            let same = match kind {
                "k_nrq" => e.dsq_id("id") == DsqId(first),
                "k_kick" => e.num("cpu") == first,
                _ => true,
            };
            e.name == kind && same
        };
        let Some(item) = self.take_call(cpu, wanted) else { return false };
        self.script().extend(&item.body);
        self.let_others(s, item.at);
        true
    }
}

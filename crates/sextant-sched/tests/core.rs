//! Property changes, against the rows of semantics §4.24: what a scheduler in partial mode is told, in which order, with which flags.

use std::rc::Rc;

use sextant_abi::types::SCX_OPS_SWITCH_PARTIAL;
use sextant_abi::{CpuId, CpuMaskBits, Ns};
use sextant_sched::core::flags::*;
use sextant_sched::ops::{Op, OpsParams};
use sextant_sched::sched::new_kmem;
use sextant_sched::{Class, Config, Event, Ops, Sched, TaskAttr, TaskId};

const RESTORE: u64 = ENQUEUE_RESTORE | ENQUEUE_NOCLOCK;
/// SCX_DEQ_SCHED_CHANGE
const SCHED_CHANGE: u64 = 1 << 33;
/// SCX_ENQ_IGNORE_CAPS, which the restore of a running task carries.
const IGNORE_CAPS: u64 = 1 << 60;

/// Has every op of a task's life but select_cpu; keeps what it gets in ops.enqueue.
struct Watch {
    params: OpsParams,
}

impl Ops for Watch {
    fn params(&self) -> OpsParams {
        self.params.clone()
    }
    fn has(&self, op: Op) -> bool {
        use Op::*;
        matches!(
            op,
            Enqueue
                | Dequeue
                | Runnable
                | Running
                | Stopping
                | Quiescent
                | Enable
                | Disable
                | SetWeight
                | SetCpumask
        )
    }
}

struct Machine {
    s: Sched,
    now: u64,
}

impl Machine {
    fn new(nr_cpus: u32, partial: bool) -> Self {
        let cfg = Config { nr_cpus, uptime: Ns::ZERO, hz: 250, costs: Default::default() };
        let mut s = Sched::new(cfg, new_kmem().unwrap());
        for cpu in (0..nr_cpus).map(CpuId) {
            let attr =
                TaskAttr { comm: format!("migration/{cpu}"), cpus: Some(vec![cpu]), ..TaskAttr::default() };
            s.boot_task(3 + cpu.0 as i32, &attr, cpu, true);
        }
        let flags = if partial { SCX_OPS_SWITCH_PARTIAL } else { 0 };
        let params = OpsParams { name: "watch".into(), flags, ..OpsParams::default() };
        s.scx_enable(Rc::new(Watch { params })).unwrap();
        let mut m = Self { s, now: 0 };
        m.settle();
        m
    }

    fn fork(&mut self, policy: u32, cpus: &[u32]) -> TaskId {
        self.enter(0);
        let cpus = Some(cpus.iter().copied().map(CpuId).collect());
        let p = self
            .s
            .sched_fork(&TaskAttr { comm: "task".into(), policy, cpus, ..TaskAttr::default() })
            .unwrap();
        self.s.wake_up_new_task(p);
        self.settle();
        p
    }

    fn enter(&mut self, cpu: u32) {
        self.now += 1000;
        self.s.enter(CpuId(cpu), Ns(self.now));
    }

    /// Serves reschedules and stoppers everywhere.
    fn settle(&mut self) {
        for _ in 0..8 {
            self.s.requests.clear();
            for cpu in (0..self.s.cfg.nr_cpus).map(CpuId) {
                self.enter(cpu.0);
                if self.s.rqs[cpu.idx()].need_resched {
                    self.s.schedule(cpu);
                }
                let curr = self.s.rqs[cpu.idx()].curr;
                if self.s.tasks[curr].class == Class::Stop {
                    self.s.stopper_thread(cpu);
                }
            }
        }
        self.s.check_invariants();
        self.s.rcu_flush();
    }

    /// The op calls for `p` while `f` runs: op and, where the op has flags, these.
    fn calls(&mut self, p: TaskId, f: impl FnOnce(&mut Sched)) -> Vec<(Op, u64)> {
        self.s.events.clear();
        self.enter(0);
        f(&mut self.s);
        self.settle();
        let with_flags = [Op::Enqueue, Op::Dequeue, Op::Runnable, Op::Quiescent];
        let calls = self.s.events.iter().filter_map(|(_, _, ev)| match ev {
            Event::OpCall { op, p: Some(q), args } if *q == p => Some((*op, args[0])),
            _ => None,
        });
        calls.map(|(op, arg)| (op, if with_flags.contains(&op) { arg } else { 0 })).collect()
    }
}

#[test]
fn a_running_task_joins_and_leaves_the_class() {
    let mut m = Machine::new(1, true);
    let p = m.fork(SCHED_NORMAL, &[0]);
    assert_eq!(m.s.rqs[0].curr, p);
    let class = ENQUEUE_CLASS; // the same nice value: no MOVE
    let join = m.calls(p, |s| s.sched_setscheduler(p, SCHED_EXT, 0).unwrap());
    let expect = [
        (Op::Enable, 0),
        (Op::SetWeight, 0),
        (Op::SetCpumask, 0),
        (Op::Runnable, RESTORE | class | IGNORE_CAPS),
        (Op::Running, 0),
    ];
    assert_eq!(join, expect);
    assert_eq!(m.s.tasks[p].class, Class::Ext);
    let leave = m.calls(p, |s| s.sched_setscheduler(p, SCHED_NORMAL, 0).unwrap());
    let quiescent = DEQUEUE_SAVE | DEQUEUE_NOCLOCK | class | SCHED_CHANGE;
    assert_eq!(leave, [(Op::Stopping, 0), (Op::Quiescent, quiescent), (Op::Disable, 0)]);
    assert_eq!(m.s.tasks[p].class, Class::Fair);
}

#[test]
fn nice_of_a_running_task() {
    let mut m = Machine::new(2, false);
    let p = m.fork(SCHED_NORMAL, &[0, 1]);
    assert!(m.s.task_current(p), "the built-in select_cpu gives it an idle CPU");
    let calls = m.calls(p, |s| s.set_user_nice(p, 5));
    let expect = [
        (Op::Stopping, 0),
        (Op::Quiescent, DEQUEUE_SAVE | DEQUEUE_NOCLOCK | SCHED_CHANGE),
        (Op::SetWeight, 0),
        (Op::Runnable, RESTORE | IGNORE_CAPS),
        (Op::Running, 0),
    ];
    assert_eq!(calls, expect);
    assert_eq!(m.s.t(p).scx().weight().get(&*m.s.mem), 33);
    assert!(m.calls(p, |s| s.set_user_nice(p, 5)).is_empty(), "no change, no cycle");
    assert!(m.calls(p, |s| s.set_user_nice(p, 20)).is_empty(), "no such nice value");
}

#[test]
fn affinity_of_a_task_that_the_scheduler_holds() {
    let mut m = Machine::new(2, false);
    // With one CPU there is no select_cpu: the task goes to ops.enqueue, which keeps it.
    let p = m.fork(SCHED_NORMAL, &[0]);
    assert_eq!((m.s.task_current(p), m.s.task_cpu(p)), (false, CpuId(0)));
    let calls = m.calls(p, |s| s.set_cpus_allowed(p, &CpuMaskBits::one(CpuId(1))).unwrap());
    let save = DEQUEUE_SAVE | DEQUEUE_NOCLOCK | SCHED_CHANGE;
    let moved = DEQUEUE_NOCLOCK | SCHED_CHANGE;
    let expect = [
        (Op::Dequeue, save),
        (Op::Quiescent, save),
        (Op::SetCpumask, 0),
        (Op::Runnable, RESTORE),
        (Op::Enqueue, RESTORE),
        // The core takes it to a CPU that it may use: not seen as quiescent.
        (Op::Dequeue, moved),
        (Op::Enqueue, ENQUEUE_NOCLOCK | ENQUEUE_MIGRATED),
    ];
    assert_eq!(calls, expect);
    assert_eq!(m.s.task_cpu(p), CpuId(1));
}

#[test]
fn affinity_of_a_running_task_is_the_stoppers_work() {
    let mut m = Machine::new(2, true);
    let p = m.fork(SCHED_NORMAL, &[0, 1]);
    let from = m.s.task_cpu(p);
    let to = CpuId(1 - from.0);
    m.calls(p, |s| s.set_cpus_allowed(p, &CpuMaskBits::one(to)).unwrap());
    assert_eq!((m.s.task_cpu(p), m.s.rqs[to.idx()].curr), (to, p));
    assert_eq!(m.s.rqs[from.idx()].curr, m.s.rqs[from.idx()].idle);
    let stopped =
        m.s.events
            .iter()
            .filter(|e| matches!(e.2, Event::Wakeup { p, .. } if m.s.tasks[p].class == Class::Stop));
    assert_eq!(stopped.count(), 1);
}

#[test]
fn bad_requests_are_refused() {
    let mut m = Machine::new(2, true);
    let p = m.fork(SCHED_NORMAL, &[0, 1]);
    m.enter(0);
    assert_eq!(m.s.set_cpus_allowed(p, &CpuMaskBits::one(CpuId(7))), Err(EINVAL));
    assert_eq!(m.s.sched_setscheduler(p, SCHED_FIFO, 0), Err(EINVAL));
    assert_eq!(m.s.sched_setscheduler(p, SCHED_BATCH, 40), Err(EINVAL));
    let stop = m.s.rqs[0].stop.unwrap();
    assert_eq!(m.s.sched_setscheduler(stop, SCHED_EXT, 0), Err(EINVAL));
}

#[test]
fn a_dead_task_keeps_its_memory_while_it_is_referenced() {
    let mut m = Machine::new(1, true);
    let p = m.fork(SCHED_NORMAL, &[0]);
    let (addr, pid) = (m.s.t(p).addr(), m.s.t(p).pid().get(&*m.s.mem));
    assert!(m.s.get_task_struct(p));
    m.enter(0);
    m.s.exit_current(CpuId(0));
    m.s.rcu_flush();
    assert_eq!(m.s.tasks.from_pid(pid), None);
    assert_eq!(m.s.t(p).pid().get(&*m.s.mem), pid, "still readable");
    m.s.put_task_struct(p);
    assert_eq!(m.s.t(p).pid().get(&*m.s.mem), pid, "until the RCU section ends");
    m.s.rcu_flush();
    assert_eq!(m.s.tasks.from_addr(addr), None);
    assert!(!m.s.get_task_struct(p), "gone");
    let q = m.fork(SCHED_NORMAL, &[0]);
    assert_eq!(m.s.t(q).addr(), addr, "the slot is used again");
}

#[test]
fn a_task_that_exits_before_the_stopper_comes_is_not_migrated() {
    let mut m = Machine::new(2, true);
    let p = m.fork(SCHED_NORMAL, &[0, 1]);
    let from = m.s.task_cpu(p);
    let addr = m.s.t(p).addr();
    m.enter(from.0);
    m.s.set_cpus_allowed(p, &CpuMaskBits::one(CpuId(1 - from.0))).unwrap();
    m.s.exit_current(from);
    m.s.rcu_flush();
    assert_eq!(m.s.tasks.from_addr(addr), Some(p), "its memory is still needed");
    m.settle();
    assert_eq!(m.s.tasks.from_addr(addr), None, "and then given back");
}

//! Random histories under several policies: nothing is lost, nothing is in two places, everything ends in fair.

use sextant_abi::types::*;
use sextant_abi::{CpuId, CpuMaskBits, DsqId, Ns};

use super::*;
use crate::ext::EnableState;
use crate::ext::entity::OpsState;
use crate::native::{Fifo, VtimeFair};
use crate::task::{Class, OnRq};

/// Every waiting ext task is in exactly one place, and each DSQ counts what it holds.
fn check_ext(s: &Sched) {
    s.check_invariants();
    let mut on_dsq = vec![0u32; s.ext.dsqs.dsqs.len()];
    for t in s.tasks.iter().filter(|t| !t.dead && t.class != Class::Idle) {
        let (p, e) = (t.id, &t.ext);
        let name = s.task_name(p);
        let waits = t.class == Class::Ext && t.on_rq == OnRq::Queued && s.rqs[t.cpu.idx()].curr != p;
        let held = e.ops_state == OpsState::Queued;
        let places = u32::from(e.dsq.is_some()) + u32::from(e.deferred) + u32::from(held && !e.dsq.is_some());
        assert_eq!(places, u32::from(waits), "{name}: {e:?}");
        assert_eq!(e.runnable_cpu.is_some(), waits, "{name}: {e:?}");
        assert_ne!(e.ops_state, OpsState::Queueing, "{name}");
        assert_ne!(e.ops_state, OpsState::Dispatching, "{name}");
        assert_eq!(s.scx_queued(p), t.class == Class::Ext && t.on_rq == OnRq::Queued, "{name}");
        assert_eq!(e.sticky_cpu, None, "{name}");
        if e.dsq.is_some() {
            on_dsq[e.dsq.idx()] += 1;
            if let Some(cpu) = s.ext.dsqs[e.dsq].cpu {
                assert_eq!(cpu, t.cpu, "{name} is on another CPU's local DSQ");
            }
        }
    }
    for (i, d) in s.ext.dsqs.dsqs.iter().enumerate() {
        assert_eq!(d.nr, on_dsq[i], "{:?}", d.id);
    }
}

/// The policy sends tasks to random places, keeps some, and dispatches them later.
fn chaos() -> Probe {
    let held = Rc::new(RefCell::new(Vec::new()));
    let keep = held.clone();
    let mut probe = Probe::queueing();
    probe.select_cpu = Box::new(|s, p, prev, _| match s.prandom_u32() % 4 {
        0 => s.kf_scx_bpf_select_cpu_dfl(p, prev.0 as i32, 0).0,
        1 => {
            s.kf_scx_bpf_dsq_insert(Some(p), DsqId::LOCAL, 0, 0);
            prev.0 as i32
        }
        _ => (s.prandom_u32() % s.cfg.nr_cpus) as i32,
    });
    probe.enqueue = Box::new(move |s, p, flags| {
        let cpus = s.tasks[p].ts.cpus(&*s.mem);
        let cpu = s.prandom_u32() % s.cfg.nr_cpus;
        let dsq = match s.prandom_u32() % 5 {
            0 => DsqId::LOCAL,
            1 => DsqId::GLOBAL,
            2 => Q,
            3 if cpus.test_cpu(&*s.mem, cpu) => DsqId(DsqId::LOCAL_ON.0 | u64::from(cpu)),
            _ => return keep.borrow_mut().push(p),
        };
        let slice = u64::from(s.prandom_u32() % 4) * 1_000_000;
        s.kf_scx_bpf_dsq_insert(Some(p), dsq, slice, flags);
    });
    probe.dispatch = Box::new(move |s, cpu, _| {
        let nr = held.borrow().len().min(8);
        let batch: Vec<TaskId> = held.borrow_mut().drain(..nr).collect();
        for p in batch {
            if s.tasks[p].dead {
                continue;
            }
            // Dequeued, moved or enqueued anew meanwhile: the class must see that.
            let to = s.prandom_u32() % s.cfg.nr_cpus;
            let here = s.tasks[p].ts.cpus(&*s.mem).test_cpu(&*s.mem, to);
            let dsq = if here { DsqId(DsqId::LOCAL_ON.0 | u64::from(to)) } else { DsqId::GLOBAL };
            s.kf_scx_bpf_dsq_insert(Some(p), dsq, 1_000_000, 0);
        }
        s.kf_scx_bpf_dsq_move_to_local(Q, 0);
        if nr > 0 {
            // Not always: a CPU that kicks itself from each dispatch never comes to rest.
            let flags = [0, SCX_KICK_IDLE, SCX_KICK_PREEMPT, SCX_KICK_WAIT][s.prandom_u32() as usize % 4];
            s.kf_scx_bpf_kick_cpu((cpu.0 as i32 + 1) % s.cfg.nr_cpus as i32, flags);
        }
    });
    probe
}

fn random_step(m: &mut Machine, tasks: &mut Vec<TaskId>) {
    let cpu = m.s.prandom_u32() % m.s.cfg.nr_cpus;
    let r = m.s.prandom_u32();
    let pick = (!tasks.is_empty()).then(|| tasks[(r >> 8) as usize % tasks.len()]);
    let now = m.s.now + Ns(u64::from(r % 3_000_000));
    m.s.enter(CpuId(cpu), now);
    let curr = m.curr(cpu);
    let busy = tasks.contains(&curr);
    match (r % 16, pick) {
        (0 | 13, _) if tasks.len() < 24 => {
            let n = tasks.len();
            let policy = if r & 64 != 0 { SCHED_EXT } else { SCHED_NORMAL };
            let p = m.s.sched_fork(&TaskAttr { policy, ..Machine::attr(&format!("t{n}")) }).unwrap();
            m.s.wake_up_new_task(p);
            tasks.push(p);
        }
        (1, _) if busy && tasks.len() > 4 => {
            tasks.retain(|&p| p != curr);
            m.s.exit_current(CpuId(cpu));
        }
        (2..=4, _) if busy => m.s.block_current(CpuId(cpu)),
        (5..=8, Some(p)) => {
            m.s.try_to_wake_up(p, if r & 32 != 0 { WF_SYNC } else { 0 });
        }
        (9, Some(p)) => m.s.set_user_nice(p, (r >> 16) as i32 % 20),
        (10, Some(p)) => {
            let set: CpuMaskBits = [CpuId(r >> 16 & 3), CpuId(r >> 18 & 3)].into_iter().collect();
            m.s.set_cpus_allowed(p, &set).unwrap();
        }
        (11, _) if busy => m.s.yield_current(CpuId(cpu)),
        (12, Some(p)) => {
            let policy = if r & 64 != 0 { SCHED_EXT } else { SCHED_NORMAL };
            m.s.sched_setscheduler(p, policy, 0).unwrap();
        }
        _ => m.tick(cpu),
    }
    m.settle();
}

/// migration/N do their work and sleep again.
fn run_stoppers(m: &mut Machine) {
    for cpu in (0..m.s.cfg.nr_cpus).map(CpuId) {
        while m.s.rqs[cpu.idx()].stop == Some(m.curr(cpu.0)) {
            m.s.enter(cpu, m.s.now);
            m.s.stopper_thread(cpu);
            m.settle();
        }
    }
}

fn history(seed: u64, ops: &dyn Fn(u64) -> Rc<dyn Ops>) {
    let mut m = Machine::new(4);
    m.s.rng = seed;
    for cpu in 0..4 {
        let attr = TaskAttr { cpus: Some(vec![CpuId(cpu)]), ..Machine::attr(&format!("migration/{cpu}")) };
        m.s.boot_task(10 + cpu as i32, &attr, CpuId(cpu), true);
    }
    let mut tasks = Vec::new();
    for round in 0..6 {
        if round % 2 == 1 {
            m.s.scx_enable(ops(seed + round)).unwrap();
            m.settle();
        }
        for _ in 0..400 {
            random_step(&mut m, &mut tasks);
            run_stoppers(&mut m);
            check_ext(&m.s);
        }
        let info = m.s.ext.exit_info().cloned();
        assert!(info.is_none() || m.s.ext.state() == EnableState::Disabled, "{info:?}");
        if m.s.ext.state() == EnableState::Enabled {
            m.unload();
        }
        check_ext(&m.s);
        assert!(m.s.tasks.iter().all(|t| t.dead || t.class != Class::Ext));
    }
}

#[test]
fn random_histories() {
    for seed in 0..10 {
        history(seed, &|_| Rc::new(Fifo));
        history(seed, &|_| Rc::new(VtimeFair::default()));
        history(seed, &|_| Rc::new(chaos()));
        history(seed, &|n| {
            let mut probe = chaos();
            let flags = [SCX_OPS_SWITCH_PARTIAL, SCX_OPS_ENQ_LAST, SCX_OPS_ENQ_EXITING | SCX_OPS_ENQ_LAST];
            probe.params.flags |= flags[n as usize % 3];
            if n % 2 == 0 {
                probe.without.retain(|&op| op != Op::CpuAcquire && op != Op::CpuRelease);
            }
            Rc::new(probe)
        });
    }
}

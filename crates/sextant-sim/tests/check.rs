//! Random workloads under a random scheduler, watched by the checkers. A run is its seed; one that fails prints it with the command that
//! replays it. `SEXTANT_CHECK_SEED`, `SEXTANT_CHECK_SEQUENCES` and `SEXTANT_CHECK_ONLY` (one checker) are how
//! `cargo xtask model --sim` and `cargo xtask mutants` say what to do.

mod support;

use std::cell::RefCell;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;

use sextant_abi::types::*;
use sextant_abi::{CpuId, DsqId, Ns};
use sextant_sched::ops::{Op, OpsParams};
use sextant_sched::{Ops, Sched, TaskId};
use sextant_sim::workload::{Action, Phase, Policy, SpecId, TaskSpec};
use sextant_sim::{NoSink, SimConfig, Simulation, SwapPlan, Workload};
use support::*;

const FIFO: DsqId = DsqId(1);
const PRIQ: DsqId = DsqId(2);
/// vtimes lie around the wrap.
const VTIME_BASE: u64 = u64::MAX - 8;
const TIMEOUT_MS: u32 = 40;

/// SplitMix64.
struct Rng(u64);

impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// Sends tasks to random legal places, keeps some and sends them on later, sometimes never.
struct Chaos {
    flags: u64,
    rng: RefCell<Rng>,
    held: RefCell<Vec<TaskId>>,
    /// One task in so many is never sent on; 0 for none.
    forgets: u64,
}

impl Chaos {
    fn new(mut rng: Rng) -> Self {
        Self {
            flags: if rng.one_in(3) { SCX_OPS_ENQ_LAST } else { 0 },
            forgets: if rng.one_in(4) { 60 } else { 0 },
            held: RefCell::default(),
            rng: RefCell::new(rng),
        }
    }

    fn below(&self, n: u64) -> u64 {
        self.rng.borrow_mut().below(n)
    }

    fn allowed_cpu(&self, s: &Sched, p: TaskId) -> CpuId {
        let cpus: Vec<CpuId> = (0..s.cfg.nr_cpus)
            .map(CpuId)
            .filter(|&cpu| s.cpus_allowed(p, cpu) && s.cpu_online(cpu))
            .collect();
        cpus[self.below(cpus.len() as u64) as usize]
    }

    /// Inserts `p` somewhere. `here`: LOCAL is a CPU it may use.
    fn send(&self, s: &mut Sched, p: TaskId, here: bool) {
        let flags = [0, 0, SCX_ENQ_HEAD, SCX_ENQ_PREEMPT][self.below(4) as usize];
        let slice = self.below(4) * 2_000_000;
        match self.below(8) {
            0 | 1 if here => s.kf_scx_bpf_dsq_insert(Some(p), DsqId::LOCAL, slice, flags),
            2 => {
                let on = DsqId(DsqId::LOCAL_ON.0 | u64::from(self.allowed_cpu(s, p).0));
                s.kf_scx_bpf_dsq_insert(Some(p), on, slice, flags)
            }
            3 => s.kf_scx_bpf_dsq_insert(Some(p), DsqId::GLOBAL, slice, 0),
            4 | 5 => s.kf_scx_bpf_dsq_insert(Some(p), FIFO, slice, 0),
            _ => {
                let vtime = VTIME_BASE.wrapping_add(self.below(17));
                s.kf_scx_bpf_dsq_insert_vtime(Some(p), PRIQ, slice, vtime, 0)
            }
        };
    }
}

impl Ops for Chaos {
    fn params(&self) -> OpsParams {
        OpsParams { name: "chaos".into(), flags: self.flags, timeout_ms: TIMEOUT_MS, ..OpsParams::default() }
    }
    fn has(&self, op: Op) -> bool {
        use Op::*;
        matches!(op, SelectCpu | Enqueue | Dequeue | Dispatch | Tick | Init | Enable | Disable)
            || matches!(op, Runnable | Running | Stopping | Quiescent)
    }
    fn init(&self, s: &mut Sched) -> i32 {
        s.kf_scx_bpf_create_dsq(FIFO, -1);
        s.kf_scx_bpf_create_dsq(PRIQ, -1)
    }
    fn select_cpu(&self, s: &mut Sched, p: TaskId, prev: CpuId, flags: u64) -> i32 {
        match self.below(4) {
            0 => s.kf_scx_bpf_select_cpu_dfl(p, prev.0 as i32, flags).0,
            1 => {
                self.send(s, p, true);
                self.allowed_cpu(s, p).0 as i32
            }
            2 => prev.0 as i32,
            // Any: where it is not allowed the core finds another.
            _ => self.below(u64::from(s.cfg.nr_cpus)) as i32,
        }
    }
    fn enqueue(&self, s: &mut Sched, p: TaskId, _flags: u64) {
        if self.forgets != 0 && self.below(self.forgets) == 0 {
            return;
        }
        if self.below(3) == 0 {
            return self.held.borrow_mut().push(p);
        }
        self.send(s, p, true);
    }
    fn dequeue(&self, _s: &mut Sched, p: TaskId, _flags: u64) {
        // What it does not notice becomes a stale entry.
        if self.below(3) != 0 {
            self.held.borrow_mut().retain(|&q| q != p);
        }
    }
    fn dispatch(&self, s: &mut Sched, cpu: CpuId, _prev: Option<TaskId>) {
        let nr = self.held.borrow().len().min(4);
        let batch: Vec<TaskId> = self.held.borrow_mut().drain(..nr).collect();
        for p in batch.into_iter().filter(|&p| !s.tasks[p].dead).collect::<Vec<_>>() {
            self.send(s, p, s.cpus_allowed(p, cpu));
        }
        let (first, second) = if self.below(2) == 0 { (FIFO, PRIQ) } else { (PRIQ, FIFO) };
        if !s.kf_scx_bpf_dsq_move_to_local(first, 0) {
            s.kf_scx_bpf_dsq_move_to_local(second, 0);
        }
    }
    fn tick(&self, s: &mut Sched, p: TaskId) {
        match self.below(8) {
            0 => {
                s.kf_scx_bpf_task_set_slice(p, 0);
            }
            1 => {
                let flags = [SCX_KICK_IDLE, SCX_KICK_PREEMPT, 0][self.below(3) as usize];
                s.kf_scx_bpf_kick_cpu(self.below(u64::from(s.cfg.nr_cpus)) as i32, flags);
            }
            _ => {}
        }
    }
    // Notified, nothing to do.
    fn stopping(&self, _s: &mut Sched, _p: TaskId, _runnable: bool) {}
}

fn some_cpus(rng: &mut Rng, nr_cpus: u32) -> Option<Vec<CpuId>> {
    let set: Vec<CpuId> = (0..nr_cpus).map(CpuId).filter(|_| rng.one_in(2)).collect();
    (!set.is_empty()).then_some(set)
}

fn some_work(rng: &mut Rng) -> Vec<Action> {
    let mut actions = vec![Action::Run(Ns::from_us(rng.below(6000) + 1))];
    for _ in 0..rng.below(3) {
        actions.push(match rng.below(4) {
            0 => Action::Yield,
            1 => Action::Run(Ns::from_us(rng.below(500))),
            _ => Action::Sleep(Ns::from_us(rng.below(8000) + 1)),
        });
    }
    actions
}

fn some_task(rng: &mut Rng, i: usize, nr_cpus: u32) -> TaskSpec {
    let phases = (0..=rng.below(3)).map(|_| Phase {
        loops: Some(rng.below(4) + 1),
        cpus: if rng.one_in(2) { some_cpus(rng, nr_cpus) } else { None },
        nice: rng.one_in(4).then(|| rng.below(20) as i32),
        actions: some_work(rng),
        ..Phase::default()
    });
    let phases = phases.collect();
    let mut spec = TaskSpec { name: format!("t{i}"), phases, ..TaskSpec::default() };
    spec.instances = rng.below(3) as u32 + 1;
    if rng.one_in(3) {
        spec.loops = Some(rng.below(5) + 1);
    }
    spec
}

fn some_workload(rng: &mut Rng, nr_cpus: u32) -> Workload {
    let mut tasks: Vec<TaskSpec> =
        (0..rng.below(4) + 2).map(|i| some_task(rng, i as usize, nr_cpus)).collect();
    // The last one is only forked, by the first.
    let last = SpecId(tasks.len() as u32 - 1);
    if let [first, .., child] = &mut tasks[..] {
        (child.instances, child.loops) = (0, Some(1));
        first.loops = Some(10);
        first.phases[0].actions.push(Action::Fork(last));
    }
    if rng.one_in(3) {
        let work = vec![Action::Run(Ns::from_us(300)), Action::Sleep(Ns::from_us(rng.below(9000) + 1000))];
        tasks.push(TaskSpec { policy: Policy::Fifo, rt_priority: 10, ..forever("rt", work) });
    }
    workload(tasks, 120)
}

fn simulate(seed: u64, only: Option<&str>) {
    let mut rng = Rng(seed);
    let nr_cpus = [1, 2, 2, 3, 4][rng.below(5) as usize];
    let w = some_workload(&mut rng, nr_cpus);
    let ideal = rng.one_in(2);
    let config = SimConfig { nr_cpus, seed, ideal, ..SimConfig::default() };
    let policy = Rc::new(Chaos::new(rng));
    let mut sim = Simulation::new(config, &w, mem()).expect("the workload is legal");
    let run = format!("random simulation, seed {seed}\nreplay: cargo xtask model --sim --seed {seed}");
    sim.watch(only, run);
    sim.attach(policy.clone(), &mut NoSink).expect("the table is well-formed");
    if let Some(plan) = some_swaps(seed) {
        sim.plan_swaps(plan, Some(policy));
    }
    let outcome = sim.run(&mut NoSink).expect("it comes to an end");
    let replaced = outcome.swaps.iter().filter_map(|swap| swap.from_exit.as_ref());
    for info in replaced.chain(sim.sched.ext.exit_info()) {
        let fine = info.msg.is_empty() || info.msg.contains("failed to run for");
        assert!(fine, "seed {seed}: {}\nreplay: cargo xtask model --sim --seed {seed}", info.msg);
    }
}

/// In one run of three other schedulers like the first come at random times, or the fair class.
fn some_swaps(seed: u64) -> Option<SwapPlan> {
    let mut rng = Rng(!seed);
    if !rng.one_in(3) {
        return None;
    }
    let mut times: Vec<u64> = (0..rng.below(4) + 1).map(|_| rng.below(100_000) + 1).collect();
    times.sort_unstable();
    let swaps = times.into_iter().map(|us| (Ns::from_us(us), rng.below(4) as usize)).collect();
    let rollback = rng.one_in(2);
    let load = move |number: usize| -> Result<Option<Rc<dyn Ops>>, String> {
        let seed = rng.below(u64::MAX);
        Ok((number != 3).then(|| -> Rc<dyn Ops> { Rc::new(Chaos::new(Rng(seed))) }))
    };
    Some(SwapPlan { swaps, rollback, load: Box::new(load) })
}

fn number(var: &str) -> Option<u64> {
    std::env::var(var).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{var}={text} is no number")))
}

#[test]
fn random_simulations() {
    let only = std::env::var("SEXTANT_CHECK_ONLY").ok();
    let seeds = match number("SEXTANT_CHECK_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEXTANT_CHECK_SEQUENCES").unwrap_or(2_000),
    };
    for seed in seeds {
        let result = std::panic::catch_unwind(AssertUnwindSafe(|| simulate(seed, only.as_deref())));
        let Err(payload) = result else { continue };
        let text = payload.downcast_ref::<String>().cloned().unwrap_or_default();
        // With one checker, only what it finds counts.
        if only.is_none() || text.starts_with("checker ") {
            panic!("caught: {text}\n(seed {seed}; cargo xtask model --sim --seed {seed})");
        }
    }
}

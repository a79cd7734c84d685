//! A policy of one's own in Rust, run on a simulated machine beside `fifo`: short sleepers go first.
//! `cargo run --release --example policy -p sextant-sim`. The page "Prototype a policy in Rust" of the book walks through it.

use std::rc::Rc;

use sextant_abi::types::SCX_SLICE_DFL;
use sextant_abi::{CpuId, DsqId, Ns};
use sextant_sched::native::Fifo;
use sextant_sched::ops::{Op, Ops, OpsParams};
use sextant_sched::sched::new_kmem;
use sextant_sched::{Sched, TaskId};
use sextant_sim::workload::{Action, Phase, TaskSpec};
use sextant_sim::{NoSink, Outcome, SimConfig, Simulation, Workload};

/// Two queues: who has just slept is served before who has used up a slice.
struct SleepersFirst;

const SLEEPERS: DsqId = DsqId(1);
const OTHERS: DsqId = DsqId(2);

impl Ops for SleepersFirst {
    fn params(&self) -> OpsParams {
        OpsParams { name: "sleepers_first".into(), ..OpsParams::default() }
    }

    // An op that is not named here is never called: the class does what the kernel does without it.
    fn has(&self, op: Op) -> bool {
        matches!(op, Op::Init | Op::SelectCpu | Op::Enqueue | Op::Dispatch)
    }

    fn init(&self, s: &mut Sched) -> i32 {
        [SLEEPERS, OTHERS]
            .map(|dsq| s.kf_scx_bpf_create_dsq(dsq, -1))
            .into_iter()
            .find(|&r| r != 0)
            .unwrap_or(0)
    }

    fn select_cpu(&self, s: &mut Sched, p: TaskId, prev_cpu: CpuId, wake_flags: u64) -> i32 {
        let (cpu, is_idle) = s.kf_scx_bpf_select_cpu_dfl(p, prev_cpu.0 as i32, wake_flags);
        if is_idle {
            s.kf_scx_bpf_dsq_insert(Some(p), DsqId::LOCAL, SCX_SLICE_DFL, 0);
        }
        cpu
    }

    fn enqueue(&self, s: &mut Sched, p: TaskId, enq_flags: u64) {
        let woken = enq_flags & sextant_abi::types::SCX_ENQ_WAKEUP != 0;
        let dsq = if woken { SLEEPERS } else { OTHERS };
        s.kf_scx_bpf_dsq_insert(Some(p), dsq, SCX_SLICE_DFL, enq_flags);
    }

    fn dispatch(&self, s: &mut Sched, _cpu: CpuId, _prev: Option<TaskId>) {
        if !s.kf_scx_bpf_dsq_move_to_local(SLEEPERS, 0) {
            s.kf_scx_bpf_dsq_move_to_local(OTHERS, 0);
        }
    }
}

fn task(name: &str, instances: u32, actions: Vec<Action>) -> TaskSpec {
    TaskSpec {
        name: name.into(),
        instances,
        phases: vec![Phase { actions, ..Phase::default() }],
        ..TaskSpec::default()
    }
}

/// Eight hogs and four tasks that sleep 5 ms and run 0.2 ms, on two CPUs for two seconds.
fn workload() -> Workload {
    let sleeper = vec![Action::Sleep(Ns::from_ms(5)), Action::Run(Ns::from_us(200))];
    Workload {
        name: "sleepers and hogs".into(),
        duration: Some(Ns::from_ms(2000)),
        tasks: vec![task("hog", 8, vec![Action::Run(Ns::from_ms(10))]), task("sleeper", 4, sleeper)],
        ..Workload::default()
    }
}

fn run(policy: Rc<dyn Ops>) -> Outcome {
    let mem = new_kmem().expect("the host has address space");
    let config = SimConfig { nr_cpus: 2, ..SimConfig::default() };
    let mut sim = Simulation::new(config, &workload(), mem).expect("a sound workload");
    sim.attach(policy, &mut NoSink).expect("a well-formed ops table");
    sim.run(&mut NoSink).expect("time passes")
}

/// Runs both policies and prints what the sleepers had of them.
pub fn main() {
    println!("{:<15} {:>12} {:>12} {:>10}", "policy", "p50", "p99", "hogs' CPU");
    let policies: [(&str, Rc<dyn Ops>); 2] =
        [("fifo", Rc::new(Fifo)), ("sleepers_first", Rc::new(SleepersFirst))];
    for (name, policy) in policies {
        let out = run(policy);
        let latency = out.groups[1].latency.expect("sleepers wake up");
        let hogs: u64 = out.tasks.iter().filter(|t| t.name.starts_with("hog")).map(|t| t.run_ns).sum();
        let share = 100.0 * hogs as f64 / (2 * out.now.0) as f64;
        let ms = |ns: u64| format!("{:.2} ms", ns as f64 / 1e6);
        println!("{name:<15} {:>12} {:>12} {share:>9.1}%", ms(latency.p50), ms(latency.p99));
    }
}

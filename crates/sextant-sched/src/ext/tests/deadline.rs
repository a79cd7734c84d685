//! Deadline servers beside a real-time task that never sleeps (semantics §4.21).

use super::*;
use crate::deadline::Server;

/// 5% of a CPU in 2^-20, as `total_bw` counts.
const BW: u64 = (50 << 20) / 1000;

fn probe() -> Probe {
    let mut probe = Probe::queueing();
    probe.without.retain(|&op| op != Op::CpuAcquire && op != Op::CpuRelease);
    probe.without.push(Op::Tick);
    probe
}

fn rt_hog(m: &mut Machine) -> TaskId {
    let attr = TaskAttr { policy: SCHED_FIFO, rt_priority: 50, ..Machine::attr("rt") };
    m.fork_attr(&attr, 0)
}

/// Time on a CPU so far, up to now.
fn ran(m: &mut Machine, p: TaskId) -> u64 {
    let cpu = m.s.tasks[p].cpu;
    m.s.enter(cpu, m.s.now);
    m.s.account_curr(cpu);
    m.s.tasks[p].ts.se().sum_exec_runtime().get(&*m.s.mem)
}

#[test]
fn an_ext_task_runs_for_the_server_and_goes_back_to_its_place() {
    let mut m = Machine::with(1, probe());
    let rt = rt_hog(&mut m);
    let a = m.fork("a", 0);
    m.forget();
    // Zero laxity is 950 ms after the start: until then nothing happens.
    m.run_ms(948);
    assert_ops(&mut m, "");
    assert_eq!(m.curr(0), rt);
    m.run_ms(4);
    assert_ops(&mut m, "dispatch(0,NULL) dequeue(a,0) running(a)");
    assert_eq!(m.curr(0), a);
    // Its slice of 20 ms ends twice; the third is cut off by the server's end, and is kept.
    m.run_ms(52);
    assert_ops(&mut m, "dispatch(0,a) dispatch(0,a) stopping(a,true) cpu_release(0,0)");
    assert_eq!((m.curr(0), m.s.local_nr(CpuId(0))), (rt, 1));
    assert_eq!(m.s.slice(a), 8_000_000);
    // It has starved: the next period's share comes a period after the first did.
    m.run_ms(944);
    assert_ops(&mut m, "");
    m.run_ms(4);
    assert_ops(&mut m, "cpu_acquire(0) running(a)");
    m.s.check_invariants();
}

#[test]
fn five_percent_for_whoever_is_below() {
    for (fair, expect) in [(false, [0.0, 5.0]), (true, [5.0, 5.0])] {
        let mut probe = probe();
        probe.params.flags = SCX_OPS_SWITCH_PARTIAL;
        let mut m = Machine::with(1, probe);
        rt_hog(&mut m);
        let a = m.fork_attr(&TaskAttr { policy: SCHED_EXT, ..Machine::attr("a") }, 0);
        let b = fair.then(|| m.fork("b", 0));
        m.run_ms(20_000);
        let percent = |ns: u64| ns as f64 / 200_000_000.0;
        let got = [b.map_or(0.0, |b| percent(ran(&mut m, b))), percent(ran(&mut m, a))];
        for (got, expect) in got.iter().zip(expect) {
            assert!((got - expect).abs() < 0.3, "{got}% is not {expect}%");
        }
    }
}

#[test]
fn without_starvation_the_server_never_runs() {
    let mut m = Machine::with(1, probe());
    let rt = rt_hog(&mut m);
    let a = m.fork("a", 0);
    // The real-time task leaves 8 ms of every 100: more than enough.
    for _ in 0..40 {
        m.run_ms(92);
        assert_eq!(m.curr(0), rt, "nothing takes the CPU from the real-time task");
        m.block(0);
        m.run_ms(8);
        m.wake(rt, 0);
    }
    assert_eq!(ran(&mut m, a), 320_000_000);
}

#[test]
fn an_idle_class_costs_nothing() {
    let mut m = Machine::with(1, probe());
    let a = m.sleeper("a", 0);
    let rt = rt_hog(&mut m);
    m.forget();
    m.run_ms(4000);
    // The server had been started; when it was due there was nobody, and it stopped.
    assert_ops(&mut m, "dispatch(0,NULL)");
    assert_eq!(m.curr(0), rt);
    m.wake(a, 0);
    m.run_ms(1100);
    assert_eq!(ran(&mut m, a), 52_000_000, "to the tick that sees 50 ms used up");
}

#[test]
fn bandwidth_follows_the_scheduler() {
    let mut m = Machine::new(2);
    assert_eq!(m.s.dl_total_bw(), 2 * BW, "fair's servers, from boot on");
    m.load(probe());
    assert_eq!(m.s.dl_total_bw(), 2 * BW, "ext's instead");
    m.unload();
    assert_eq!(m.s.dl_total_bw(), 2 * BW);
    let mut partial = probe();
    partial.params.flags = SCX_OPS_SWITCH_PARTIAL;
    m.load(partial);
    assert_eq!(m.s.dl_total_bw(), 4 * BW, "both");
    m.unload();
    assert_eq!(m.s.dl_total_bw(), 2 * BW);
}

#[test]
fn a_failed_load_gives_the_bandwidth_back() {
    let mut m = Machine::new(2);
    let mut probe = probe();
    probe.init_task = Box::new(|_, _, _| -12);
    m.fork("x", 0);
    m.load(probe);
    assert!(m.s.ext.exit_info().is_some());
    assert_eq!(m.s.dl_total_bw(), 2 * BW);
}

#[test]
fn parameters_are_checked() {
    let mut m = Machine::new(2);
    let cpu = CpuId(1);
    let mut set = |runtime_ms: u64, period_ms: u64| {
        m.s.dl_server_apply_params(cpu, Server::Fair, runtime_ms * 1_000_000, period_ms * 1_000_000)
    };
    assert_eq!(set(60, 50), Err(EINVAL), "a runtime longer than its period");
    assert_eq!(set(50, 5000), Err(EINVAL), "a period too long");
    assert_eq!(set(50, 0), Err(EINVAL));
    assert_eq!(set(100, 1000), Ok(()));
    assert_eq!(m.s.dl_server_params(cpu, Server::Fair), (100_000_000, 1_000_000_000));
    assert_eq!(m.s.dl_total_bw(), BW + (100 << 20) / 1000);
    // 95% of two CPUs are 190% of one.
    let mut set = |which, runtime_ms: u64| {
        m.s.dl_server_apply_params(cpu, which, runtime_ms * 1_000_000, 1_000_000_000)
    };
    assert_eq!(set(Server::Ext, 900), Ok(()), "detached: it counts when a scheduler comes");
    assert_eq!(set(Server::Fair, 1000), Ok(()));
    assert_eq!(set(Server::Ext, 950), Err(-16));
    m.load(probe());
    let exit = m.s.ext.exit_info().expect("it cannot be enabled");
    assert_eq!(exit.msg, "scx_root_enable() failed (-16)");
    assert_eq!(m.s.dl_total_bw(), BW + (1 << 20));
}

//! Bypass and its load balancing (semantics §4.15), entered as the system going to sleep does it.

use super::*;
use crate::ext::EventId;
use crate::topology::Shape;

/// `nr` tasks on CPU 0, one of them running, then bypass.
fn crowded(nr_cpus: u32, nr: u32, shape: Option<Shape>) -> Machine {
    let mut m = Machine::new(nr_cpus);
    if let Some(shape) = shape {
        m.s.set_topology(shape);
    }
    m.load(Probe::queueing());
    for i in 0..nr {
        m.fork(&format!("t{i}"), 0);
    }
    m.s.scx_pm(true);
    m.settle();
    m.forget();
    m
}

fn queued(m: &Machine) -> Vec<u32> {
    let dsqs = &m.s.ext.dsqs;
    (0..m.s.cfg.nr_cpus).map(|c| dsqs[dsqs.bypass(CpuId(c))].nr).collect()
}

/// Tasks on each CPU, running ones included.
fn spread(m: &Machine) -> Vec<u32> {
    let busy = |cpu: usize| u32::from(m.s.rqs[cpu].curr != m.s.rqs[cpu].idle);
    queued(m).into_iter().enumerate().map(|(cpu, n)| n + busy(cpu)).collect()
}

#[test]
fn crowded_cpus_give_to_the_others() {
    let mut m = crowded(4, 40, None);
    assert_eq!(queued(&m), [39, 0, 0, 0]);
    m.run_ms(496);
    assert_eq!(spread(&m), [40, 0, 0, 0], "until the timer");
    m.run_ms(8);
    // The mean of 39 is 10, and CPU 0 keeps 125% of that.
    assert_eq!(spread(&m), [14, 9, 9, 8]);
    assert!((0..4).all(|cpu| m.s.rqs[cpu].curr != m.s.rqs[cpu].idle), "whoever was given a task was woken");
    m.s.check_invariants();
    // All of it is good enough for the next time.
    m.run_ms(504);
    assert_eq!(spread(&m), [14, 9, 9, 8]);
    m.s.scx_pm(false);
    m.settle();
    m.s.check_invariants();
    let event = |id| m.s.ext.event(id);
    assert_eq!(event(EventId::BypassActivate), 2, "the load, and now");
    assert_eq!(event(EventId::BypassDuration), 1_008_000_000);
    assert!(event(EventId::BypassDispatch) >= 40);
}

#[test]
fn what_takes_no_time_to_mention_stays() {
    // 19 wait; 12 too many are 60 ms: less than a quarter of the interval.
    let mut m = crowded(4, 20, None);
    m.run_ms(1000);
    assert_eq!(spread(&m), [20, 0, 0, 0]);
    // With longer slices they matter.
    m.s.scx_pm(false);
    m.s.set_slice_bypass_us(20_000).unwrap();
    m.s.scx_pm(true);
    m.settle();
    m.run_ms(1000);
    assert_eq!(spread(&m).iter().sum::<u32>(), 20);
    assert!(spread(&m).iter().all(|&n| n > 0), "{:?}", spread(&m));
}

#[test]
fn within_a_node_and_the_affinity() {
    let mut m = crowded(4, 100, Some(Shape { nodes: 2, llcs: 1, cores: 2, threads: 1 }));
    m.run_ms(504);
    let got = spread(&m);
    assert_eq!((got[2], got[3]), (0, 0), "the other node: {got:?}");
    assert!(got[1] >= 36, "{got:?}");

    let mut m = Machine::with(2, Probe::queueing());
    for i in 0..60 {
        let attr = TaskAttr { cpus: Some(vec![CpuId(0)]), ..Machine::attr(&format!("t{i}")) };
        m.fork_attr(&attr, 0);
    }
    m.s.scx_pm(true);
    m.settle();
    m.run_ms(504);
    assert_eq!(spread(&m), [60, 0]);
}

#[test]
fn it_can_be_switched_off_and_its_parameters_are_checked() {
    let mut m = Machine::new(2);
    assert_eq!(m.s.set_bypass_lb_intv_us(10_000_001), Err(EINVAL));
    assert_eq!(m.s.set_slice_bypass_us(99), Err(EINVAL));
    assert_eq!(m.s.set_slice_bypass_us(100_001), Err(EINVAL));
    m.s.set_bypass_lb_intv_us(0).unwrap();
    m.load(Probe::queueing());
    for i in 0..100 {
        m.fork(&format!("t{i}"), 0);
    }
    m.s.scx_pm(true);
    m.settle();
    m.run_ms(1000);
    assert_eq!(spread(&m), [100, 0]);
}

#[test]
fn the_scheduler_is_not_asked() {
    let mut m = Machine::with(2, Probe::queueing().with_update_idle());
    let on = |comm, cpu| TaskAttr { cpus: Some(vec![CpuId(cpu)]), ..Machine::attr(comm) };
    let c = m.fork_attr(&on("c", 1), 1);
    m.block(1);
    let a = m.fork_attr(&on("a", 0), 0);
    let b = m.fork_attr(&on("b", 0), 0);
    m.forget();
    m.s.scx_pm(true);
    m.settle();
    let (begin, end) = ("SAVE|MOVE|NOCLOCK|SCHED_CHANGE", "RESTORE|MOVE|NOCLOCK");
    assert_ops(
        &mut m,
        &format!("dequeue(b,{begin}) quiescent(b,{begin}) runnable(b,{end}) stopping(a,true) running(b)"),
    );
    assert_eq!(m.s.slice(a), SCX_SLICE_BYPASS);
    // Each tick is the end of a turn, and no op decides.
    m.run_ms(8);
    assert_ops(&mut m, "stopping(b,true) running(a) stopping(a,true) running(b)");
    // A task goes where it was, an idle CPU's coming and going is not told, a kick is not sent.
    m.wake(c, 1);
    m.s.enter(CpuId(1), m.s.now);
    m.s.kf_scx_bpf_kick_cpu(0, SCX_KICK_PREEMPT);
    m.settle();
    m.block(1);
    assert_ops(&mut m, "runnable(c,WAKEUP|NOCLOCK) running(c) stopping(c,false) quiescent(c,SLEEP|NOCLOCK)");
    assert_eq!(m.curr(0), b);
    // When it ends, what waits is enqueued, and who idles is told.
    m.s.scx_pm(false);
    m.settle();
    assert_ops(
        &mut m,
        &format!(
            "quiescent(a,{begin}) runnable(a,{end}) enqueue(a,{end}) dispatch(1,NULL) update_idle(1,true)"
        ),
    );
}

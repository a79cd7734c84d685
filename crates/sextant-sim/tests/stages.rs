//! A machine that is driven from outside: schedulers come and go while it runs, commands between two stretches of time.

mod support;

use std::rc::Rc;

use sextant_abi::exit::ExitKind;
use sextant_abi::{CpuId, Ns};
use sextant_sched::Class;
use sextant_sched::ext::EnableError;
use sextant_sched::native::{Fifo, VtimeFair};
use sextant_sim::script::Command;
use sextant_sim::{NoSink, Simulation};
use support::*;

#[test]
fn schedulers_come_and_go() {
    let mut sim = Simulation::new(config(4, 1), &mixed(), mem()).unwrap();
    sim.run_for(Ns::from_ms(10), &mut NoSink).unwrap();
    for round in 0..20 {
        let all = |sim: &Simulation, class| {
            let user = sim.sched.tasks.iter().filter(|t| !matches!(t.class, Class::Stop | Class::Idle));
            user.filter(|t| !t.dead).all(|t| t.class == class)
        };
        assert!(all(&sim, Class::Fair), "round {round}");
        if round % 2 == 0 {
            sim.attach(Rc::new(Fifo), &mut NoSink).unwrap();
        } else {
            sim.attach(Rc::new(VtimeFair::default()), &mut NoSink).unwrap();
        }
        assert_eq!(sim.attach(Rc::new(Fifo), &mut NoSink), Err(EnableError::Busy));
        sim.run_for(Ns::from_ms(10), &mut NoSink).unwrap();
        assert!(sim.sched.ext.exit_info().is_none());
        assert!(all(&sim, Class::Ext), "round {round}");
        sim.detach(&mut NoSink);
        assert_eq!(sim.sched.ext.exit_info().map(|info| info.kind), Some(ExitKind::Unreg));
        sim.detach(&mut NoSink);
    }
    assert_eq!(sim.reached(), Ns::from_ms(210));
    let out = sim.run(&mut NoSink).unwrap();
    assert_eq!(out.now, Ns::from_ms(500));
    assert!(out.tasks.iter().all(|t| t.run_ns > 0), "{:?}", out.tasks);
}

#[test]
fn commands_between() {
    let mut sim = Simulation::new(config(2, 1), &workload(vec![hog("hog")], 100), mem()).unwrap();
    sim.attach(Rc::new(Fifo), &mut NoSink).unwrap();
    sim.run_for(Ns::from_ms(5), &mut NoSink).unwrap();
    sim.perform(&Command::Affinity { task: "hog".into(), cpus: vec![CpuId(1)] }, &mut NoSink).unwrap();
    sim.run_for(Ns::from_ms(5), &mut NoSink).unwrap();
    let hog = sim.sched.tasks.iter().find(|t| t.class == Class::Ext && sim.sched.rqs[1].curr == t.id);
    assert!(hog.is_some(), "the hog has gone to CPU 1");
    sim.perform(&Command::Cpu { cpu: CpuId(1), online: false }, &mut NoSink).unwrap();
    sim.run_for(Ns::from_ms(5), &mut NoSink).unwrap();
    assert!(!sim.sched.cpu_online(CpuId(1)));
    let nice = Command::Nice { task: "nobody".into(), nice: 1 };
    assert_eq!(sim.perform(&nice, &mut NoSink), Err("no task \"nobody\" is alive".into()));
    assert_eq!(sim.call(&mut NoSink, |s| s.this_cpu), CpuId(0));
}

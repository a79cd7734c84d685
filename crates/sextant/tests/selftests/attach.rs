//! Attaching, detaching, and CPUs that come and go meanwhile.

use sextant_abi::CpuId;
use sextant_abi::exit::ExitKind;
use sextant_abi::types::*;
use sextant_sched::deadline::Server;
use sextant_sched::ext::{EnableError, EnableState};
use sextant_sim::NoSink;
use sextant_sim::workload::TaskSpec;

use crate::drive::*;

/// A table with nothing but a name schedules.
#[test]
fn minimal() {
    let Some(object) = object("minimal") else { return };
    let mut m = Machine::new(4, in_use(4));
    let minimal = m.load(&object);
    m.attach(&minimal);
    assert_eq!(m.sim.sched.ext.state(), EnableState::Enabled);
    m.run(SECOND);
    assert!(m.sim.sched.ext.exit_info().is_none(), "{:?}", m.sim.sched.ext.exit_info());
    m.detach();
    assert_eq!(m.sim.sched.ext.exit_info().map(|info| info.kind), Some(ExitKind::Unreg));
}

/// Every op at once, and a program on sched_switch.
#[test]
fn maximal() {
    let Some(object) = object("maximal") else { return };
    let mut m = Machine::new(4, in_use(4));
    let maximal = m.load(&object);
    m.attach(&maximal);
    assert_eq!(m.sim.sched.ext.state(), EnableState::Enabled);
    m.run(SECOND);
    assert!(m.sim.sched.ext.exit_info().is_none(), "{:?}", m.sim.sched.ext.exit_info());
    m.detach();
    assert_eq!(m.sim.sched.ext.exit_info().map(|info| info.kind), Some(ExitKind::Unreg));
}

/// Two that load and unload as fast as they can: who comes second is refused, nobody wedges. Threads are turns here.
#[test]
fn reload_loop() {
    let Some(object) = object("maximal") else { return };
    let mut m = Machine::new(4, in_use(4));
    let maximal = [m.load(&object), m.load(&object)];
    for i in 0..1024 {
        let (first, second) = (&maximal[i % 2], &maximal[(i + 1) % 2]);
        m.attach(first);
        assert_eq!(m.try_attach(second), Err(EnableError::Busy));
        if i % 8 == 0 {
            m.run(2);
        }
        assert_eq!(m.sim.sched.ext.state(), EnableState::Enabled, "round {i}");
        m.detach();
        assert_eq!(m.sim.sched.ext.exit_info().map(|info| info.kind), Some(ExitKind::Unreg), "round {i}");
    }
    assert_eq!(m.sim.sched.ext.enable_seq(), 1024);
    let out = m.sim.run_for(sextant_abi::Ns::from_ms(100), &mut NoSink);
    assert_eq!(out, Ok(()));
}

/// The bandwidth that deadline servers reserve stays the same when a scheduler comes and goes: ext's servers take the place of fair's, and
/// these come back as they were, with a runtime that somebody has doubled too.
#[test]
fn total_bw() {
    let Some(object) = object("minimal") else { return };
    let mut m = Machine::new(4, four_hogs());
    m.run(100);
    let baseline = m.sim.sched.dl_total_bw();
    assert!(baseline > 0);
    let minimal = m.load(&object);
    let loaded_and_back = |m: &mut Machine| {
        m.attach(&minimal);
        m.run(100);
        let loaded = m.sim.sched.dl_total_bw();
        m.detach();
        m.run(100);
        (loaded, m.sim.sched.dl_total_bw())
    };
    assert_eq!(loaded_and_back(&mut m), (baseline, baseline));
    for cpu in (0..4).map(CpuId) {
        let (runtime, period) = m.sim.sched.dl_server_params(cpu, Server::Fair);
        let doubled =
            m.sim.call(&mut NoSink, |s| s.dl_server_apply_params(cpu, Server::Fair, 2 * runtime, period));
        assert_eq!(doubled, Ok(()));
    }
    m.run(100);
    let doubled = m.sim.sched.dl_total_bw();
    assert!(doubled > baseline);
    assert_eq!(loaded_and_back(&mut m), (baseline, doubled));
}

fn four_hogs() -> Vec<TaskSpec> {
    vec![times(4, forever("hog", vec![run_us(5000)]))]
}

/// What the callbacks of the selftest say of themselves.
const HOTPLUG_EXIT_RSN: u64 = 1;
const HOTPLUG_ONLINING: u64 = 2;

fn hotplug_once(object: &Object, onlining: bool, callbacks: bool) {
    let mut m = Machine::new(4, in_use(4));
    m.run(10);
    let table = if callbacks { "hotplug_cb_ops" } else { "hotplug_nocb_ops" };
    let hotplug = m.load(&object.clone().table(table));
    if onlining {
        m.cpu1(false);
        m.run(10);
    }
    m.attach(&hotplug);
    m.cpu1(onlining);
    m.run_until(100, "the exit", || hotplug.get("uei.kind") != 0);
    let (kind, code) = match callbacks {
        true => (SCX_EXIT_UNREG_BPF, HOTPLUG_EXIT_RSN | if onlining { HOTPLUG_ONLINING } else { 0 }),
        false => (SCX_EXIT_UNREG_KERN, SCX_ECODE_RSN_HOTPLUG),
    };
    hotplug.expect_kind(kind);
    assert_eq!(hotplug.get("uei.exit_code"), SCX_ECODE_ACT_RESTART | code, "{}", hotplug.report());
    if !onlining {
        m.cpu1(true);
    }
    m.detach();
}

/// A CPU that comes or goes ends the scheduler: with callbacks by what they say, without them by the kernel; and a scheduler that was
/// made for another set of CPUs is thrown out as it is attached.
#[test]
fn hotplug() {
    let Some(object) = object("hotplug") else { return };
    for (onlining, callbacks) in [(true, true), (false, true), (true, false), (false, false)] {
        hotplug_once(&object, onlining, callbacks);
    }
    let mut m = Machine::new(4, in_use(4));
    m.cpu1(false);
    m.cpu1(true);
    let seq = m.sim.sched.ext.hotplug_seq();
    assert!(seq > 0);
    let hotplug = m.load(&object.table("hotplug_nocb_ops").set("ops.hotplug_seq", seq));
    m.cpu1(false);
    m.attach(&hotplug);
    // Not in the kernel's test: the attach has ended it, not the CPU that comes.
    assert!(hotplug.text("uei.msg").contains("hotplug seq"), "{}", hotplug.report());
    m.cpu1(true);
    hotplug.expect_kind(SCX_EXIT_UNREG_KERN);
    assert_eq!(hotplug.get("uei.exit_code"), SCX_ECODE_ACT_RESTART | SCX_ECODE_RSN_HOTPLUG);
    m.detach();
}

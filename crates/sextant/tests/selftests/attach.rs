//! Attaching, detaching, and CPUs that come and go meanwhile.

use sextant_abi::exit::ExitKind;
use sextant_abi::types::*;
use sextant_sched::ext::{EnableError, EnableState};
use sextant_sim::NoSink;

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
    m.cpu1(true);
    m.run_until(100, "the exit", || hotplug.get("uei.kind") != 0);
    hotplug.expect_kind(SCX_EXIT_UNREG_KERN);
    assert_eq!(hotplug.get("uei.exit_code"), SCX_ECODE_ACT_RESTART | SCX_ECODE_RSN_HOTPLUG);
    m.detach();
}

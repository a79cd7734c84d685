//! Which CPU a task gets: the built-in selection, its variants, and the idle masks.

use sextant_abi::types::*;
use sextant_sched::topology::Shape;

use crate::drive::*;

/// Of children that sleep a second.
const NUM_CHILDREN: u64 = 1028;

/// A machine, in use or not, with a parent that forks that many children when the scheduler is there; who is back when all have gone.
fn with_children(object: &Object, in_use: bool) -> Scheduler {
    let child = forked(once("select_cpu", vec![sleep_us(1_000_000)]));
    let mut tasks = vec![forks(&[(NUM_CHILDREN, 1)]), child];
    if in_use {
        tasks.extend(crate::drive::in_use(4));
    }
    let mut m = Machine::new(4, tasks);
    m.run(10);
    let scheduler = m.load(object);
    m.attach(&scheduler);
    m.resume(FORK);
    m.run(100);
    assert!(m.alive("select_cpu") as u64 > NUM_CHILDREN / 2);
    for _ in 0..50 {
        if m.alive("select_cpu") == 0 && m.alive("parent") == 0 {
            break;
        }
        m.run(100);
    }
    assert_eq!(m.alive("select_cpu"), 0, "a child has not come to its end");
    assert!(m.sim.sched.ext.exit_info().is_none(), "{:?}", m.sim.sched.ext.exit_info());
    m.detach();
    scheduler
}

/// Whoever finds an idle CPU goes there without ops.enqueue.
#[test]
fn select_cpu_dfl() {
    let Some(object) = object("select_cpu_dfl") else { return };
    for in_use in [false, true] {
        assert_eq!(with_children(&object, in_use).get("saw_local"), 0);
    }
}

/// scx_bpf_select_cpu_dfl says that it found one.
#[test]
fn select_cpu_dfl_nodispatch() {
    let Some(object) = object("select_cpu_dfl_nodispatch") else { return };
    assert_eq!(with_children(&object, false).get("saw_local"), 1);
}

/// Direct dispatch to the local and the global DSQ.
#[test]
fn select_cpu_dispatch() {
    let Some(object) = object("select_cpu_dispatch") else { return };
    with_children(&object, false);
}

/// Direct dispatch by vtime to a user DSQ, and ops.dispatch gets it from there.
#[test]
fn select_cpu_vtime() {
    let Some(object) = object("select_cpu_vtime") else { return };
    let mut m = Machine::new(4, in_use(4));
    let vtime = m.load(&object);
    assert_eq!(vtime.get("consumed"), 0);
    m.attach(&vtime);
    m.run(SECOND);
    assert_eq!(vtime.get("consumed"), 1);
    m.detach();
}

/// For a second under load with a scheduler that checks itself, its syscall program asked at the beginning.
fn stays(object: &Object, from_user: Option<&str>, mut m: Machine) {
    m.run(10);
    let scheduler = m.load(object);
    m.attach(&scheduler);
    if let Some(prog) = from_user {
        let mut ctx = [0; 8];
        ctx[..4].copy_from_slice(&m.pid("bound").to_le_bytes());
        let cpu = m.prog_run(&scheduler, prog, &mut ctx);
        assert!((-16..4).contains(&cpu), "CPU {cpu}");
    }
    m.run(SECOND);
    scheduler.expect_kind(SCX_EXIT_NONE);
    m.detach();
    scheduler.expect_kind(SCX_EXIT_UNREG);
}

/// scx_bpf_select_cpu_dfl from ops.enqueue and from a syscall program.
#[test]
fn enq_select_cpu() {
    let Some(object) = object("enq_select_cpu") else { return };
    stays(&object, Some("select_cpu_from_user"), Machine::new(4, in_use(4)));
}

/// scx_bpf_select_cpu_and keeps to the mask and to the task's affinity; a running CPU is never marked idle.
#[test]
fn allowed_cpus() {
    let Some(object) = object("allowed_cpus") else { return };
    stays(&object, Some("select_cpu_from_user"), Machine::new(4, in_use(4)));
}

/// Picks stay in the node, and the node's idle mask is right.
#[test]
fn numa() {
    let Some(object) = object("numa") else { return };
    let object = object
        .set("__COMPAT_SCX_PICK_IDLE_IN_NODE", "SCX_PICK_IDLE_IN_NODE")
        .set("ops.flags", "SCX_OPS_BUILTIN_IDLE_PER_NODE");
    let shape = Shape { nodes: 2, llcs: 1, cores: 2, threads: 2 };
    stays(&object, None, Machine::shaped(shape, in_use(8)));
}

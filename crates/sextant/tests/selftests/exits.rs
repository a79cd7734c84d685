//! How schedulers end: by their own will, and by what they do wrong.

use sextant_abi::types::*;

use crate::drive::*;

/// Under load for a second; it is thrown out with that kind and message, and the machine goes on.
fn fails(name: &str, msg: &str) {
    let Some(object) = object(name) else { return };
    let mut m = Machine::new(4, in_use(4));
    let scheduler = m.load(&object);
    m.attach(&scheduler);
    m.run(SECOND);
    scheduler.expect_kind(SCX_EXIT_ERROR);
    assert!(scheduler.text("uei.msg").contains(msg), "{}", scheduler.report());
    let before = m.cpu_time("bound");
    m.run(100);
    assert!(m.cpu_time("bound") > before, "the machine does not go on");
    m.detach();
}

#[test]
fn ddsp_bogus_dsq_fail() {
    fails("ddsp_bogus_dsq_fail", "non-existent DSQ 0xcafef00d");
}

#[test]
fn ddsp_vtimelocal_fail() {
    fails("ddsp_vtimelocal_fail", "cannot use vtime ordering for built-in DSQs");
}

#[test]
fn select_cpu_dispatch_bad_dsq() {
    fails("select_cpu_dispatch_bad_dsq", "non-existent DSQ");
}

#[test]
fn select_cpu_dispatch_dbl_dsp() {
    fails("select_cpu_dispatch_dbl_dsp", "already direct-dispatched");
}

/// SCX_OPS_ENQ_LAST without ops.enqueue: the attach succeeds, and the scheduler is gone.
#[test]
fn enq_last_no_enq_fails() {
    let Some(object) = object("enq_last_no_enq_fails") else { return };
    let mut m = Machine::new(4, in_use(4));
    let scheduler = m.load(&object);
    m.attach(&scheduler);
    assert_ne!(scheduler.get("exit_kind"), 0, "it stayed");
    m.detach();
}

/// scx_bpf_exit from select_cpu, enqueue, dispatch, enable, init_task and init.
#[test]
fn exit() {
    let Some(object) = object("exit") else { return };
    for point in 0..6_u64 {
        let mut m = Machine::new(4, in_use(4));
        m.run(10);
        let exit = m.load(&object.clone().set("exit_point", point));
        m.attach(&exit);
        m.run_until(SECOND, "the exit", || exit.get("uei.kind") != 0);
        exit.expect_kind(SCX_EXIT_UNREG_BPF);
        assert_eq!(exit.get("uei.exit_code"), point);
        assert_eq!(exit.text("uei.msg"), point.to_string());
        m.detach();
    }
}

/// A syscall program makes a DSQ and ends the scheduler.
#[test]
fn prog_run() {
    let Some(object) = object("prog_run") else { return };
    let mut m = Machine::new(4, in_use(4));
    let prog_run = m.load(&object);
    m.attach(&prog_run);
    m.run(10);
    assert_eq!(m.prog_run(&prog_run, "prog_run_syscall", &mut []), 0);
    m.run_until(SECOND, "the exit", || prog_run.get("uei.kind") != 0);
    prog_run.expect_kind(SCX_EXIT_UNREG_BPF);
    assert_eq!(prog_run.get("uei.exit_code"), 0xdead_beef);
    m.detach();
}

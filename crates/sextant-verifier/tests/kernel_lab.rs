//! What a real 7.3.4 says of these programs, and that ours says the same, with a message that leads to the cause. Golden.

mod common;

use common::program;
use sextant_abi::tables::Op;
use sextant_verifier::Code;

#[test]
fn a_task_from_pid_used_unchecked() {
    let r = program("mov %r1, 1\ncall @bpf_task_from_pid\nldxw %r6, [%r0+0]\nexit")
        .refused(Code::NullDeref, "R0 invalid mem access 'trusted_ptr_or_null_'");
    assert_eq!(
        r.to_string(),
        "\
error[V0005]: the pointer may be NULL
 --> instruction 2 of test
  |
  |       0: r1 = 1
  |       1: call bpf_task_from_pid
  |       2: r6 = *(u32 *)(r0 +0)
  |          ^ r0 is a struct task_struct, or NULL, which must be given back
  |
  = Linux says: R0 invalid mem access 'trusted_ptr_or_null_'
  = state: R0=trusted_ptr_or_null_task_struct(id=1,ref_obj_id=1)
  = try: test what bpf_task_from_pid() returned (`if (!p) return ...;`) before it is used"
    );
}

#[test]
fn the_same_checked_and_released() {
    let text = "mov %r1, 1\ncall @bpf_task_from_pid\njeq %r0, 0, +3\nldxw %r6, [%r0+0]\nmov %r1, %r0\ncall @bpf_task_release\nexit";
    program(text).accepted();
}

#[test]
fn dsq_move_to_local_in_enqueue() {
    program("mov %r1, 0\ncall @scx_bpf_dsq_move_to_local\nexit")
        .refused(Code::KfuncDenied, "calling kernel function scx_bpf_dsq_move_to_local is not allowed");
    program("mov %r1, 0\ncall @scx_bpf_dsq_move_to_local\nexit").op(Op::Dispatch).accepted();
}

#[test]
fn create_dsq_in_enqueue() {
    let text = "mov %r1, 0\nmov %r2, -1\ncall @scx_bpf_create_dsq\nexit";
    program(text).refused(Code::KfuncDenied, "calling kernel function scx_bpf_create_dsq is not allowed");
    program(text)
        .op(Op::Init)
        .refused(Code::Sleepable, "program must be sleepable to call sleepable kfunc scx_bpf_create_dsq");
    program(text).op(Op::Init).sleepable().accepted();
}

#[test]
fn an_unbounded_while() {
    let text = "again:\nlddw %r1, @value 7\nldxdw %r2, [%r1+0]\njne %r2, 0, again\nexit";
    program(text).refused(Code::InfiniteLoop, "infinite loop detected");
}

#[test]
fn a_leaked_task_reference() {
    let r = program("mov %r1, 1\ncall @bpf_task_from_pid\njeq %r0, 0, +1\nldxw %r6, [%r0+0]\nexit")
        .refused(Code::RefLeak, "Unreleased reference id=1 alloc_insn=1");
    assert_eq!(r.at.insn, 4);
}

#[test]
fn a_write_to_prio() {
    // task_struct.prio: 100 would be nice 0.
    let prio = offset("prio");
    let text = format!("ldxdw %r6, [%r1+0]\nstw [%r6+{prio}], 3\nexit");
    let r = program(&text).refused(Code::ObjWrite, "write access to task_struct.prio");
    let known: Vec<_> =
        r.state.iter().map(|k| (k.name.as_str(), k.known.as_str(), k.meaning.as_str())).collect();
    assert_eq!(known, [("R6", "trusted_ptr_task_struct", "is a struct task_struct")]);
    for field in ["slice", "dsq_vtime"] {
        let at = offset("scx") + scx(field);
        program(&format!("ldxdw %r6, [%r1+0]\nmov %r2, 3\nstxdw [%r6+{at}], %r2\nexit")).accepted();
    }
    let at = offset("scx") + scx("weight");
    program(&format!("ldxdw %r6, [%r1+0]\nstw [%r6+{at}], 3\nexit"))
        .refused(Code::ObjWrite, "write access to task_struct.scx.weight");
}

fn offset(member: &str) -> u32 {
    sextant_abi::types::find_type("task_struct").unwrap().member(member).unwrap().bit_offset / 8
}

fn scx(member: &str) -> u32 {
    sextant_abi::types::find_type("sched_ext_entity").unwrap().member(member).unwrap().bit_offset / 8
}

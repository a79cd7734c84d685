//! Arguments of helpers and kfuncs, kind by kind: accept and reject pairs. docs/parity/verifier.md has the table.

mod common;

use common::{Test, program};
use sextant_abi::tables::Op;
use sextant_abi::types::find_type;
use sextant_verifier::{Code, ProgKind};

const TASK: &str = "ldxdw %r6, [%r1+0]\n";

fn at(of: &str, member: &str) -> u32 {
    find_type(of).unwrap().member(member).unwrap().bit_offset / 8
}

/// A key is constant when its bytes are zeros of one slot, or the end of a spilled number.
#[test]
fn constant_keys() {
    let lookup = |key: &str, off: i32| {
        program(&format!(
            "{key}\nlddw %r1, @map 0\nmov %r2, %r10\nadd %r2, {off}\ncall @map_lookup_elem\nldxdw %r0, [%r0+0]\nexit"
        ))
    };
    lookup("stw [%r10-8], 0", -8).accepted();
    lookup("stdw [%r10-8], 0", -4).accepted();
    lookup("mov %r3, 3\nstxw [%r10-8], %r3", -8).accepted();
    let null = (Code::NullDeref, "map_value_or_null");
    // One too far; across two slots; a byte that is not 0.
    lookup("mov %r3, 4\nstxw [%r10-8], %r3", -8).refused(null.0, null.1);
    lookup("stdw [%r10-8], 0\nstdw [%r10-16], 0", -10).refused(null.0, null.1);
    lookup("stdw [%r10-8], 0\nstb [%r10-5], 1", -8).refused(null.0, null.1);
}

#[test]
fn objects_of_helpers() {
    let get = "lddw %r1, @map 3\nmov %r3, 0\nmov %r4, 0\ncall @task_storage_get\nmov %r0, 0\nexit";
    program(&format!("{TASK}mov %r2, %r6\n{get}")).accepted();
    // Another struct lies there; another type; a moving offset.
    program(&format!("{TASK}mov %r2, %r6\nadd %r2, 8\n{get}"))
        .refused(Code::ArgType, "is of type task_struct but task_struct is expected");
    program(&format!("ldxdw %r2, [%r1+0]\n{get}"))
        .op(Op::CgroupExit)
        .sleepable()
        .refused(Code::ArgType, "is of type cgroup but task_struct is expected");
    program(&format!("{TASK}mov %r2, %r6\nadd %r2, -8\n{get}"))
        .refused(Code::ArgType, "negative offset trusted_ptr_ ptr R2 off=-8 disallowed");
    // What was found and nothing vouches for: read, not passed where the program may sleep.
    let parent = at("task_struct", "real_parent");
    let walk = format!("{TASK}ldxdw %r2, [%r6+{parent}]\n{get}");
    program(&walk).accepted();
    program(&walk).op(Op::InitTask).sleepable().refused(Code::ArgTrust, "type=untrusted_ptr_");
}

/// Memory of a kfunc is read and written, whatever its prototype says.
#[test]
fn memory_of_kfuncs() {
    let error = |fmt: &str, data: &str, size: &str| {
        program(&format!("{TASK}{data}\n{fmt}\n{size}\ncall @scx_bpf_error_bstr\nexit"))
    };
    let (data, size) = ("mov %r2, %r10\nadd %r2, -8", "mov %r3, 8");
    error("lddw %r1, @value 7", data, size).accepted();
    error("lddw %r1, @value 1", data, size).refused(Code::Readonly, "write into map forbidden");
    // The name of a task cannot be written.
    let comm = at("task_struct", "comm");
    error(&format!("mov %r1, %r6\nadd %r1, {comm}"), data, size)
        .refused(Code::ObjWrite, "write access to task_struct.comm");
    // NULL is no memory, not even of no size.
    error("lddw %r1, @value 7", "mov %r2, 0", "mov %r3, 0").refused(Code::ArgNull, "Possibly NULL pointer");
    error("lddw %r1, @value 7", data, "mov %r3, 0").accepted();
    error("lddw %r1, @value 7", data, "mov %r3, 16").refused(Code::StackBounds, "stack R2");
    // What it is given may be overwritten: a pointer spilled there is a number afterwards.
    program(&format!(
        "{TASK}stxdw [%r10-8], %r6\n{data}\nlddw %r1, @value 7\n{size}\ncall @scx_bpf_error_bstr\nldxdw %r1, [%r10-8]\ncall @scx_bpf_task_cpu\nexit"
    ))
    .refused(Code::ArgType, "R1 is scalar expected STRUCT task_struct");
}

/// A struct of numbers is memory too, where no object is given.
#[test]
fn masks_in_map_memory() {
    let with = |size: u32, text: &str| -> Test {
        let mut test = program(text);
        test.maps[7].value_size = size;
        test
    };
    let bytes = find_type("bpf_cpumask").unwrap().size;
    let set = "mov %r1, 0\nlddw %r2, @value 7\ncall @bpf_cpumask_set_cpu\nexit";
    with(bytes, set).accepted();
    with(bytes - 1, set).refused(Code::MapBounds, "invalid access to map value");
    with(bytes, "lddw %r1, @value 7\ncall @bpf_cpumask_release\nexit")
        .refused(Code::RefRelease, "release kfunc bpf_cpumask_release expects referenced");
    with(bytes, "lddw %r1, @value 7\ncall @scx_bpf_task_cpu\nexit")
        .refused(Code::ArgType, "R1 is map_value expected STRUCT task_struct");
}

#[test]
fn arena_arguments() {
    let kind = ProgKind::StructOps { op: Op::Init, cid_form: true };
    let grant = "lddw %r6, @map 5\nmov %r1, 0\nmov %r2, 0\nmov %r3, 0\nmov %r4, 0\ncall @scx_bpf_sub_grant\nmov %r0, 0\nexit";
    program(grant).kind(kind).accepted();
    program(&grant.replace("mov %r3, 0", "mov %r3, %r10"))
        .kind(kind)
        .refused(Code::ArgType, "R3 is not a pointer to arena or scalar");
    let mut without = program(&grant.replace("lddw %r6, @map 5\n", "")).kind(kind);
    without.maps.remove(5);
    without.refused(Code::MapUse, "arena pointer requires a program with an associated arena");
}

/// A pointer lasts as long as what protects it: RCU, preemption or interrupts off, a lock, in any order.
#[test]
fn rcu_by_any_means() {
    let parent = at("task_struct", "real_parent");
    let body = |enter: &str, leave: &str, after: &str| {
        program(&format!(
            "{TASK}{enter}\nldxdw %r7, [%r6+{parent}]\n{leave}\nmov %r1, %r7\ncall @scx_bpf_task_cpu\n{after}\nmov %r0, 0\nexit"
        ))
        .op(Op::InitTask)
        .sleepable()
    };
    let (off, on) = ("call @bpf_preempt_disable", "call @bpf_preempt_enable");
    let (lock, unlock) = ("call @bpf_rcu_read_lock", "call @bpf_rcu_read_unlock");
    body(off, "", on).accepted();
    body(off, on, "").refused(Code::ArgTrust, "R1 must be a rcu pointer");
    body(lock, unlock, "").refused(Code::ArgTrust, "R1 must be a rcu pointer");
    // Preemption is still off.
    body(&format!("{off}\n{lock}"), unlock, on).accepted();
    body(&format!("{lock}\n{lock}"), unlock, unlock).accepted();
}

#[test]
fn iterators_need_their_rcu_section_to_last() {
    let it = "mov %r1, %r10\nadd %r1, -48\n";
    let text = |between: &str, end: &str| {
        format!(
            "call @bpf_rcu_read_lock\n{it}mov %r2, 5\nmov %r3, 0\ncall @bpf_iter_scx_dsq_new\n{between}{it}call @bpf_iter_scx_dsq_next\n{it}call @bpf_iter_scx_dsq_destroy\n{end}mov %r0, 0\nexit"
        )
    };
    let (lock, unlock) = ("call @bpf_rcu_read_lock\n", "call @bpf_rcu_read_unlock\n");
    let again = format!("{unlock}{lock}");
    program(&text("", unlock)).op(Op::Init).sleepable().accepted();
    program(&text(&again, unlock))
        .op(Op::Init)
        .sleepable()
        .refused(Code::ArgTrust, "expected an RCU CS when using bpf_iter_scx_dsq_next");
    // A program that does not sleep is in RCU all the time.
    program(&text(&again, unlock)).accepted();
}

#[test]
fn clones_end_with_what_they_share() {
    let dynptr = |off: i32| format!("mov %r1, %r10\nadd %r1, {off}\n");
    let make = "lddw %r1, @map 4\nmov %r2, 16\nmov %r3, 0\nmov %r4, %r10\nadd %r4, -16\ncall @ringbuf_reserve_dynptr\n";
    let clone = "mov %r1, %r10\nadd %r1, -16\nmov %r2, %r10\nadd %r2, -32\ncall @bpf_dynptr_clone\n";
    let submit = |off| format!("{}mov %r2, 0\ncall @ringbuf_submit_dynptr\n", dynptr(off));
    let size = |off| format!("{}call @bpf_dynptr_size\n", dynptr(off));
    let test = |text: String| program(&format!("{make}{clone}{text}mov %r0, 0\nexit"));
    test(submit(-16)).accepted();
    test(submit(-32)).accepted();
    test(format!("{}{}", submit(-16), size(-32)))
        .refused(Code::Dynptr, "Expected an initialized dynptr as R1");
    test(format!("{}{}", submit(-32), submit(-16))).refused(Code::Dynptr, "Expected an initialized dynptr");
    // One of two may be overwritten, the last not.
    test(format!("stdw [%r10-8], 0\n{}", submit(-32))).accepted();
    test("stdw [%r10-8], 0\nstdw [%r10-24], 0\n".into())
        .refused(Code::Dynptr, "cannot overwrite referenced dynptr");
}

#[test]
fn only_packets_have_slices_that_are_written() {
    let slice = |kfunc: &str| {
        program(&format!(
            "lddw %r1, @value 7\nmov %r2, 16\nmov %r3, 0\nmov %r4, %r10\nadd %r4, -16\ncall @dynptr_from_mem\nmov %r1, %r10\nadd %r1, -16\nmov %r2, 0\nmov %r3, 0\nmov %r4, 8\ncall @{kfunc}\njeq %r0, 0, +1\nldxdw %r1, [%r0+0]\nmov %r0, 0\nexit"
        ))
    };
    slice("bpf_dynptr_slice").accepted();
    slice("bpf_dynptr_slice_rdwr").refused(Code::Readonly, "the prog does not allow writes to packet data");
}

//! Accept and reject pairs: kfuncs, helpers, references, locks, callbacks.

mod common;

use common::program;
use sextant_abi::image::Insn;
use sextant_abi::tables::Op;
use sextant_abi::tables::bpf::{BPF_TRACE_FENTRY, BPF_TRACE_RAW_TP};
use sextant_verifier::program::{Field, FieldKind};
use sextant_verifier::{Code, ProgKind, SpecialFields};

const TASK: &str = "ldxdw %r6, [%r1+0]\n";

#[test]
fn kfunc_arguments() {
    let insert = "mov %r1, %r6\nmov %r2, 0\nmov %r3, 0\nmov %r4, 0\ncall @scx_bpf_dsq_insert\nexit";
    program(&format!("{TASK}{insert}")).accepted();
    program(&format!("{TASK}mov %r6, 5\n{insert}"))
        .refused(Code::ArgType, "R1 is scalar expected STRUCT task_struct");
    program(&format!("mov %r6, 0\n{insert}"))
        .refused(Code::ArgNull, "Possibly NULL pointer passed to trusted R1");
    program(&format!("{TASK}{insert}")).op(Op::Running).refused(Code::KfuncDenied, "is not allowed");
    // prev of dispatch may be NULL.
    let prev = "ldxdw %r6, [%r1+8]\nmov %r1, %r6\ncall @scx_bpf_task_cpu\nexit";
    program(prev).op(Op::Dispatch).refused(Code::ArgNull, "Possibly NULL pointer");
    program(&prev.replacen("mov %r1", "jeq %r6, 0, +2\nmov %r1", 1)).op(Op::Dispatch).accepted();
    // The wrong struct.
    program("ldxdw %r1, [%r1+0]\ncall @scx_bpf_task_cpu\nexit").op(Op::CgroupExit).refused(
        Code::ArgType,
        "expected pointer to STRUCT task_struct but R1 has a pointer to STRUCT cgroup",
    );
}

#[test]
fn kfunc_groups_of_other_programs() {
    let create = "mov %r1, 0\nmov %r2, -1\ncall @scx_bpf_create_dsq\nmov %r0, 0\nexit";
    program(create).kind(ProgKind::Syscall).sleepable().accepted();
    let tracing = ProgKind::Tracing { args: &[], returns_zero: false, attach_type: BPF_TRACE_RAW_TP };
    program(create).kind(tracing).sleepable().refused(Code::KfuncDenied, "not allowed");
    program("call @scx_bpf_now\nexit")
        .kind(ProgKind::ForeignStructOps)
        .refused(Code::KfuncDenied, "not allowed");
    let cid = ProgKind::StructOps { op: Op::Enqueue, cid_form: true };
    program("mov %r1, 0\nmov %r2, 0\ncall @scx_bpf_kick_cpu\nexit")
        .kind(cid)
        .refused(Code::KfuncDenied, "not allowed");
    program("mov %r1, 0\nmov %r2, 0\ncall @scx_bpf_kick_cid\nexit").kind(cid).accepted();
    program("mov %r0, 1\nexit")
        .kind(ProgKind::Tracing { args: &[], returns_zero: true, attach_type: BPF_TRACE_FENTRY })
        .refused(Code::Return, "[0, 0]");
}

#[test]
fn references() {
    let got = "call @scx_bpf_get_idle_cpumask\nmov %r6, %r0\n";
    program(&format!("{got}mov %r1, %r6\ncall @scx_bpf_put_idle_cpumask\nexit")).accepted();
    program(&format!("{got}exit")).refused(Code::RefLeak, "Unreleased reference");
    program(&format!("{got}mov %r1, %r6\ncall @scx_bpf_put_idle_cpumask\nmov %r1, %r6\ncall @scx_bpf_put_idle_cpumask\nexit"))
        .refused(Code::RefRelease, "release kfunc scx_bpf_put_idle_cpumask expects referenced");
    // A task that was not acquired.
    program(&format!("{TASK}mov %r1, %r6\ncall @bpf_task_release\nexit"))
        .refused(Code::RefRelease, "release kfunc bpf_task_release expects referenced");
    // Released on one path only.
    let text = format!(
        "{got}call @get_prandom_u32\njeq %r0, 0, +2\nmov %r1, %r6\ncall @scx_bpf_put_idle_cpumask\nexit"
    );
    program(&text).refused(Code::RefLeak, "Unreleased reference");
}

#[test]
fn pointers_are_trusted_as_far_as_they_go() {
    let at = |s: &str, m: &str| sextant_abi::types::find_type(s).unwrap().member(m).unwrap().bit_offset / 8;
    let cpus = at("task_struct", "cpus_ptr");
    let test =
        format!("{TASK}ldxdw %r2, [%r6+{cpus}]\nmov %r1, 0\ncall @bpf_cpumask_test_cpu\nmov %r0, 0\nexit");
    program(&test).accepted();
    // Where the program may sleep, only inside of an RCU read side.
    program(&test).op(Op::InitTask).sleepable().refused(Code::ArgTrust, "R2 must be a rcu pointer");
    let locked = format!(
        "{TASK}call @bpf_rcu_read_lock\nldxdw %r2, [%r6+{cpus}]\nmov %r1, 0\ncall @bpf_cpumask_test_cpu\ncall @bpf_rcu_read_unlock\nmov %r0, 0\nexit"
    );
    program(&locked).op(Op::InitTask).sleepable().accepted();
    // A pointer that nobody vouches for can be read, not passed on.
    let (group, pid) = (at("task_struct", "thread_pid"), at("pid", "level"));
    let loads = program(&format!("{TASK}ldxdw %r2, [%r6+{group}]\nldxw %r0, [%r2+{pid}]\nexit")).accepted();
    assert_eq!(loads.probe_load, [false, false, true, false]);
    let sched = at("task_struct", "parent");
    program(&format!("{TASK}ldxdw %r1, [%r6+{sched}]\ncall @scx_bpf_task_cpu\nexit"))
        .refused(Code::ArgTrust, "R1 must be a rcu pointer");
    program(&format!("{TASK}ldxb %r0, [%r6+{}]\nexit", cpus + 1))
        .refused(Code::ObjAccess, "cannot access ptr member");
    program(&format!("{TASK}ldxdw %r0, [%r6+{}]\nexit", 1 << 14))
        .refused(Code::ObjAccess, "access beyond struct task_struct");
}

#[test]
fn regions_are_balanced() {
    program("call @bpf_rcu_read_lock\nexit").refused(Code::LockBalance, "bpf_rcu_read_lock-ed region");
    program("call @bpf_rcu_read_unlock\nexit").refused(Code::LockBalance, "unmatched rcu read unlock");
    program("call @bpf_preempt_disable\nexit").refused(Code::LockBalance, "bpf_preempt_disable-ed region");
    program("call @bpf_preempt_enable\nexit")
        .refused(Code::LockBalance, "unmatched attempt to enable preemption");
    program("call @bpf_rcu_read_lock\ncall @bpf_rcu_read_lock\ncall @bpf_rcu_read_unlock\ncall @bpf_rcu_read_unlock\nexit").accepted();
    let irq = "mov %r1, %r10\nadd %r1, -8\ncall @bpf_local_irq_save\n";
    let restore = "mov %r1, %r10\nadd %r1, -8\ncall @bpf_local_irq_restore\n";
    program(&format!("{irq}{restore}exit")).accepted();
    program(&format!("{irq}exit")).refused(Code::LockBalance, "bpf_local_irq_save-ed region");
    program(&format!("{restore}exit")).refused(Code::LockBalance, "expected an initialized irq flag");
    program("call @bpf_rcu_read_lock\nmov %r1, 0\nmov %r2, -1\ncall @scx_bpf_create_dsq\ncall @bpf_rcu_read_unlock\nmov %r0, 0\nexit")
        .op(Op::Init)
        .sleepable()
        .refused(Code::Sleepable, "kernel func scx_bpf_create_dsq is sleepable within rcu_read_lock region");
}

const LOCKED: &str = "stw [%r10-8], 0\nmov %r2, %r10\nadd %r2, -8\nlddw %r1, @map 6\ncall @map_lookup_elem\nmov %r6, %r0\nmov %r1, %r6\ncall @spin_lock\n";

#[test]
fn spin_locks() {
    program(&format!("{LOCKED}mov %r1, %r6\ncall @spin_unlock\nexit")).accepted();
    program(&format!("{LOCKED}exit")).refused(Code::LockBalance, "bpf_spin_lock-ed region");
    program(&format!("{LOCKED}mov %r1, %r6\ncall @spin_lock\nexit"))
        .refused(Code::LockBalance, "Locking two bpf_spin_locks");
    program(&format!("{LOCKED}call @ktime_get_ns\nmov %r1, %r6\ncall @spin_unlock\nexit"))
        .refused(Code::LockedCall, "function calls are not allowed while holding a lock");
    program(&format!("{LOCKED}ldxw %r0, [%r6+0]\nexit"))
        .refused(Code::SpecialField, "bpf_spin_lock cannot be accessed directly");
    program("lddw %r1, @value 7\ncall @spin_lock\nexit")
        .refused(Code::ArgType, "doesn't point to 'struct bpf_spin_lock'");
}

#[test]
fn timers_call_back_later() {
    let init = "stw [%r10-8], 0\nmov %r2, %r10\nadd %r2, -8\nlddw %r1, @map 6\ncall @map_lookup_elem\nmov %r6, %r0\nmov %r1, %r6\nadd %r1, 8
        lddw func %r2, cb\ncall @timer_set_callback\nexit\ncb:\n";
    program(&format!("{init}mov %r0, 0\nexit")).accepted();
    program(&format!("{init}mov %r0, 1\nexit")).refused(Code::Callback, "should have been in [0, 0]");
    program(&format!("{init}ldxdw %r1, [%r3+24]\nmov %r0, 0\nexit")).accepted();
    program(&format!("{init}ldxdw %r1, [%r3+28]\nmov %r0, 0\nexit"))
        .refused(Code::MapBounds, "off=28 size=8");
    program(&format!("{init}call @bpf_rcu_read_lock\nmov %r0, 0\nexit"))
        .refused(Code::LockBalance, "rcu_read_lock-ed");
    program(&init.replace("add %r1, 8", "add %r1, 4").replace("cb:\n", "cb:\nmov %r0, 0\nexit"))
        .refused(Code::ArgType, "doesn't point to 'struct bpf_timer'");
}

const LOOP: &str =
    "stdw [%r10-8], 0\nmov %r1, 10\nlddw func %r2, cb\nmov %r3, %r10\nadd %r3, -8\nmov %r4, 0\ncall @loop\n";

#[test]
fn loops_call_back_now() {
    let body = "exit\ncb:\nmov %r0, 0\nexit";
    program(&format!("{LOOP}{body}")).accepted();
    program(&format!("{LOOP}exit\ncb:\nmov %r0, 2\nexit"))
        .refused(Code::Callback, "should have been in [0, 1]");
}

/// What a callback stores in its context is seen by the next round and by the caller.
#[test]
fn a_callback_changes_the_callers_stack() {
    let tail = "ldxdw %r3, [%r10-8]\nlddw %r2, @value 7\nadd %r2, %r3\nldxb %r0, [%r2+0]\nexit\ncb:\n";
    let text = |body: &str| format!("{LOOP}{tail}{body}");
    program(&text("stdw [%r2+0], 63\nmov %r0, 0\nexit")).accepted();
    program(&text("stdw [%r2+0], 64\nmov %r0, 0\nexit")).refused(Code::MapBounds, "off=64");
    let grow = "ldxdw %r3, [%r2+0]\nadd %r3, 8\nstxdw [%r2+0], %r3\nmov %r0, 0\nexit";
    assert!(matches!(program(&text(grow)).verify(), Err(r) if r.code == Code::MapBounds));
    let leak = "mov %r6, %r2\ncall @scx_bpf_get_idle_cpumask\nmov %r0, 0\nexit";
    program(&text(leak)).refused(Code::RefLeak, "Unreleased reference");
}

#[test]
fn ring_buffer_records() {
    let reserve = "lddw %r1, @map 4\nmov %r2, 16\nmov %r3, 0\ncall @ringbuf_reserve\n";
    program(&format!(
        "{reserve}jeq %r0, 0, +4\nstdw [%r0+8], 1\nmov %r1, %r0\nmov %r2, 0\ncall @ringbuf_submit\nexit"
    ))
    .accepted();
    program(&format!("{reserve}jeq %r0, 0, +1\nstdw [%r0+8], 1\nexit"))
        .refused(Code::RefLeak, "Unreleased reference");
    program(&format!("{reserve}jeq %r0, 0, +1\nstdw [%r0+16], 1\nexit"))
        .refused(Code::MemBounds, "mem_size=16 off=16 size=8");
    program(&format!("{reserve}mov %r1, %r0\nmov %r2, 0\ncall @ringbuf_submit\nexit"))
        .refused(Code::ArgNull, "ringbuf_mem_or_null");
    program("lddw %r1, @map 0\nmov %r2, 16\nmov %r3, 0\ncall @ringbuf_reserve\nexit")
        .refused(Code::MapUse, "cannot pass map_type 2");
    program("ldxdw %r2, [%r1+8]\nlddw %r1, @map 4\nmov %r3, 0\ncall @ringbuf_reserve\nexit")
        .refused(Code::ArgConst, "R2 must be a known constant");
}

#[test]
fn sizes_fit_the_memory() {
    let read = |size: &str| {
        format!("{size}\nmov %r1, %r10\nadd %r1, -16\nmov %r3, 0\ncall @probe_read_kernel\nexit")
    };
    program(&read("mov %r2, 16")).accepted();
    program(&read("mov %r2, 17")).refused(Code::StackBounds, "invalid write to stack R1 off=-16 size=17");
    program(&read("ldxdw %r2, [%r1+8]")).refused(Code::ArgSize, "R2 min value is negative");
    program(&read("ldxdw %r2, [%r1+8]\nand %r2, 15")).accepted();
    program(&read("ldxdw %r2, [%r1+8]\nand %r2, 31")).refused(Code::StackBounds, "size=31");
}

#[test]
fn task_storage() {
    let get = "lddw %r1, @map 3\nmov %r2, %r6\nmov %r3, 0\nmov %r4, 1\ncall @task_storage_get\n";
    program(&format!("{TASK}{get}jeq %r0, 0, +1\nldxdw %r0, [%r0+0]\nexit")).accepted();
    program(&format!("{TASK}{get}ldxdw %r0, [%r0+0]\nexit")).refused(Code::NullDeref, "map_value_or_null");
    program(&format!("mov %r6, 7\n{get}exit")).refused(Code::ArgType, "expected=ptr_");
}

#[test]
fn kptrs() {
    // A kptr of a type that is not in the program's BTF: only the shape is under test here.
    let kptr = |text: &str| {
        let mut test = program(text);
        test.maps[7].fields = SpecialFields(vec![Field { offset: 8, kind: FieldKind::Refcount }]);
        test
    };
    kptr("lddw %r1, @value 7\nldxdw %r0, [%r1+0]\nexit").accepted();
    kptr("lddw %r1, @value 7\nldxdw %r0, [%r1+8]\nexit")
        .refused(Code::SpecialField, "cannot be accessed directly");
    kptr("ldxdw %r2, [%r1+8]\nand %r2, 15\nlddw %r1, @value 7\nadd %r1, %r2\nldxb %r0, [%r1+0]\nexit")
        .refused(Code::SpecialField, "cannot be accessed directly");
}

#[test]
fn dynptrs() {
    let make = "lddw %r1, @map 4\nmov %r2, 16\nmov %r3, 0\nmov %r4, %r10\nadd %r4, -16\ncall @ringbuf_reserve_dynptr\n";
    let submit = "mov %r1, %r10\nadd %r1, -16\nmov %r2, 0\ncall @ringbuf_submit_dynptr\n";
    program(&format!("{make}{submit}exit")).accepted();
    program(&format!("{make}exit")).refused(Code::RefLeak, "Unreleased reference");
    program(&format!("{submit}exit")).refused(Code::Dynptr, "Expected an initialized dynptr as R1");
    program(&format!("{make}stdw [%r10-8], 0\n{submit}exit"))
        .refused(Code::Dynptr, "cannot overwrite referenced dynptr");
    program(&format!("{make}ldxdw %r0, [%r10-8]\n{submit}exit"))
        .refused(Code::Dynptr, "invalid read from stack");
    let data = "mov %r1, %r10\nadd %r1, -16\nmov %r2, 0\nmov %r3, 8\ncall @dynptr_data\nmov %r6, %r0\n";
    program(&format!("{make}{data}jeq %r6, 0, +1\nstdw [%r6+0], 1\n{submit}exit")).accepted();
    program(&format!("{make}{data}jeq %r6, 0, +1\nstdw [%r6+8], 1\n{submit}exit"))
        .refused(Code::MemBounds, "mem_size=8");
    program(&format!("{make}{data}{submit}ldxdw %r0, [%r6+0]\nexit"))
        .refused(Code::NotAPointer, "invalid mem access 'scalar'");
}

#[test]
fn arena_memory() {
    let cast = "ldxdw %r2, [%r1+8]\naddr_space_cast %r2, %r2, 1\n";
    program(&format!("{cast}lddw %r1, @map 5\nldxdw %r0, [%r2+4000]\nstdw [%r2-8], 1\nexit")).accepted();
    let mut without = program(&format!("{cast}exit"));
    without.maps.remove(5);
    without.refused(
        Code::MapUse,
        "addr_space_cast insn can only be used in a program that has an associated arena",
    );
}

#[test]
fn dsq_iterators_give_rcu_tasks() {
    let new = "mov %r1, %r10\nadd %r1, -48\nmov %r2, 5\nmov %r3, 0\ncall @bpf_iter_scx_dsq_new\n";
    let next = "mov %r1, %r10\nadd %r1, -48\ncall @bpf_iter_scx_dsq_next\n";
    let end = "mov %r1, %r10\nadd %r1, -48\ncall @bpf_iter_scx_dsq_destroy\nexit";
    program(&format!(
        "{new}again:\n{next}jeq %r0, 0, +3\nmov %r1, %r0\ncall @scx_bpf_task_cpu\nja again\n{end}"
    ))
    .accepted();
    program(&format!("{new}{next}mov %r1, %r0\ncall @scx_bpf_task_cpu\n{end}"))
        .refused(Code::ArgNull, "Possibly NULL pointer");
    program(&format!("{new}stdw [%r10-16], 0\n{end}"))
        .refused(Code::Iterator, "cannot overwrite bpf_iter_scx_dsq");
    let sleepable = format!("{new}{end}").replace("exit", "mov %r0, 0\nexit");
    program(&sleepable)
        .op(Op::Init)
        .sleepable()
        .refused(Code::ArgTrust, "requires RCU critical section protection");
}

/// Found by random programs.
#[test]
fn a_map_is_a_bpf_map() {
    program("lddw %r1, @map 2\ncall @bpf_map_sum_elem_count\nmov %r0, 0\nexit").accepted();
}

/// Found by random programs: any other number was accepted.
#[test]
fn casts_are_between_the_two_address_spaces() {
    let cast = |imm| {
        let mut test = program("lddw %r6, @map 5\nmov %r2, 0\nmov %r3, 0\nmov %r0, 0\nexit");
        test.insns[3] = Insn { code: 0xbf, dst: 3, src: 2, off: 1, imm };
        test
    };
    cast(1).accepted();
    cast(0x1_0000).accepted();
    cast(2).refused(Code::Structure, "addr_space_cast insn can only convert between address space 1 and 0");
}

#[test]
fn accesses_through_arena_pointers_are_noted() {
    let alloc =
        "lddw %r1, @map 5\nmov %r2, 0\nmov %r3, 1\nmov %r4, -1\nmov %r5, 0\ncall @bpf_arena_alloc_pages\n";
    let accepted = program(&format!(
        "{alloc}addr_space_cast %r0, %r0, 1\nmov %r1, %r10\nadd %r0, %r1\nldxdw %r2, [%r0+0]\nstdw [%r10-8], 1\nmov %r0, 0\nexit"
    ))
    .accepted();
    let noted: Vec<usize> =
        (0..accepted.arena_access.len()).filter(|pc| accepted.arena_access[*pc]).collect();
    assert_eq!(noted, [10]);
}

/// `check_struct_ops_btf_id()`, `add_kfunc_call()` and `gpl_only` of the kernel's verifier.
#[test]
fn what_the_licence_does_not_allow() {
    let not_gpl = |text: &str, kind: Option<ProgKind<'static>>| {
        let mut test = program(text);
        test.kind = kind.unwrap_or(test.kind);
        test.gpl = false;
        test
    };
    let words = "struct ops programs must have a GPL compatible license";
    not_gpl("mov %r0, 0\nexit", None).refused(Code::Licence, words);
    let syscall = Some(ProgKind::Syscall);
    not_gpl("call @get_current_task\nmov %r0, 0\nexit", syscall)
        .refused(Code::Licence, "cannot call GPL-restricted function from non-GPL compatible program");
    not_gpl("call @bpf_rcu_read_lock\ncall @bpf_rcu_read_unlock\nmov %r0, 0\nexit", syscall)
        .refused(Code::Licence, "cannot call kernel function from non-GPL compatible program");
    not_gpl("call @ktime_get_ns\nmov %r0, 0\nexit", syscall).accepted();
    let compatible = |licence| sextant_verifier::gpl_compatible(licence);
    assert!(compatible("GPL") && compatible("GPL v2") && compatible("Dual MIT/GPL"));
    assert!(!compatible("") && !compatible("MIT") && !compatible("gpl"));
}

/// What the vm does not have is refused when a program is loaded that would run.
#[test]
fn a_helper_that_is_not_there() {
    let mut test = program("call @get_cgroup_classid\nmov %r0, 0\nexit");
    test.accepted();
    test.has_helper = Some(|number| number != 17);
    test.refused(Code::Unsupported, "Sextant does not have helper bpf_get_cgroup_classid#17");
}

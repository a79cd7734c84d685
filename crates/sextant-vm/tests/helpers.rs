//! Helpers as programs see them: maps, storage, callbacks over elements, probes, timers, per-CPU variables.

mod host;

use host::{TestHost, image, map, run, vm};
use sextant_abi::{Mem, ObjKind, Reloc};
use sextant_vm::map::*;
use sextant_vm::{MapId, MapSpec, SpecialField, Trap, TrapKind, Vm, Why};

fn make(vm: &Vm, map_type: u32, max_entries: u32, fields: Vec<(u32, SpecialField)>) -> MapId {
    let storage = matches!(map_type, BPF_MAP_TYPE_TASK_STORAGE | BPF_MAP_TYPE_CGRP_STORAGE);
    let queue = matches!(map_type, BPF_MAP_TYPE_QUEUE | BPF_MAP_TYPE_STACK);
    let spec = MapSpec {
        map_type,
        key_size: if queue { 0 } else { 4 },
        value_size: 24,
        max_entries,
        flags: if storage { BPF_F_NO_PREALLOC } else { 0 },
        has_value_btf: true,
        fields,
        ..MapSpec::default()
    };
    vm.map_create(&spec).expect("a good map")
}

/// `r1 = map; r2 = &key` with the key on the stack at -4; the map is at slot 1.
const ARGS: &str = "stw [%r10-4], 3\nlddw %r1, 0\nmov %r2, %r10\nadd %r2, -4\n";

fn errno(n: i64) -> u64 {
    -n as u64
}

#[test]
fn elements_of_a_hash() {
    let vm = vm(true);
    let id = make(&vm, BPF_MAP_TYPE_HASH, 4, vec![]);
    let mut host = TestHost::default();
    let mut run =
        |asm: &str| run(&vm, &mut host, asm, &[(1, map(id))]).map(|r| r.r0).map_err(Trap::into_kind);
    assert_eq!(run(&format!("{ARGS}call 1\nexit")), Ok(0), "NULL");
    let value = "stdw [%r10-32], 7\nstdw [%r10-24], 8\nstdw [%r10-16], 9\nmov %r3, %r10\nadd %r3, -32\n";
    let update = |flags: u32| format!("{ARGS}{value}mov %r4, {flags}\ncall 2\nexit");
    assert_eq!(run(&update(2)), Ok(errno(2)));
    assert_eq!(run(&update(1)), Ok(0));
    assert_eq!(run(&update(1)), Ok(errno(17)));
    assert_eq!(run(&update(4)), Ok(errno(22)));
    assert_eq!(run(&format!("{ARGS}call 1\nldxdw %r0, [%r0+8]\nexit")), Ok(8));
    assert!(matches!(run(&format!("{ARGS}call 1\nldxdw %r0, [%r0+24]\nexit")), Err(TrapKind::BadAccess(_))));
    assert_eq!(run(&format!("{ARGS}call 3\nexit")), Ok(0));
    assert_eq!(run(&format!("{ARGS}call 3\nexit")), Ok(errno(2)));
    let no_map = "stw [%r10-4], 3\nlddw %r3, 0\nmov %r1, 5\nmov %r2, %r10\nadd %r2, -4\ncall 1\nexit";
    assert!(matches!(run(no_map), Err(TrapKind::BadArg("bpf_map_lookup_elem", _))));
    let no_key = "mov %r2, 0\nlddw %r1, 0\ncall 1\nexit";
    assert!(matches!(run(no_key), Err(TrapKind::BadAccess(f)) if f.why == Why::Outside));
}

#[test]
fn a_deleted_element_is_readable_until_the_program_ends() {
    let vm = vm(true);
    let id = make(&vm, BPF_MAP_TYPE_HASH, 4, vec![]);
    vm.map_update(id, &3u32.to_le_bytes(), &[5; 24], BPF_ANY).expect("an element");
    let asm =
        format!("{ARGS}call 1\nmov %r6, %r0\n{ARGS}call 3\njne %r0, 0, out\nldxdw %r0, [%r6+0]\nout:\nexit");
    let relocs = [(1, map(id)), (8, map(id))];
    let mut host = TestHost::default();
    assert_eq!(run(&vm, &mut host, &asm, &relocs).map(|r| r.r0), Ok(0x0505_0505_0505_0505));
    // The element after that is in the same place; the old value is gone.
    vm.map_update(id, &3u32.to_le_bytes(), &[6; 24], BPF_ANY).expect("an element");
    let stale = format!("{ARGS}call 1\nexit");
    let first = run(&vm, &mut host, &stale, &[(1, map(id))]).expect("runs").r0;
    vm.map_delete(id, &3u32.to_le_bytes()).expect("there");
    assert_eq!(vm.region().load(first, 8), 0x6b6b_6b6b_6b6b_6b6b);
    let read = run(&vm, &mut host, "lddw %r1, 0\nldxdw %r0, [%r1+0]\nexit", &[(0, Reloc::Addr(first))]);
    assert!(matches!(read.map_err(Trap::into_kind), Err(TrapKind::BadAccess(f)) if f.why == Why::NoObject));
}

#[test]
fn a_replaced_value_stays_for_who_holds_it() {
    let vm = vm(true);
    let id = make(&vm, BPF_MAP_TYPE_HASH, 4, vec![]);
    vm.map_update(id, &3u32.to_le_bytes(), &[5; 24], BPF_ANY).expect("an element");
    let asm = format!(
        "{ARGS}call 1\nmov %r6, %r0\nstdw [%r10-32], 7\nstdw [%r10-24], 7\nstdw [%r10-16], 7\n{ARGS}\
         mov %r3, %r10\nadd %r3, -32\nmov %r4, 0\ncall 2\nldxb %r0, [%r6+0]\nexit"
    );
    let got = run(&vm, &mut TestHost::default(), &asm, &[(1, map(id)), (11, map(id))]);
    assert_eq!(got.map(|r| r.r0), Ok(5));
    assert_eq!(vm.map_lookup(id, &3u32.to_le_bytes(), 0).map(|v| v[0]), Ok(7));
}

#[test]
fn queue_helpers() {
    let vm = vm(true);
    let id = make(&vm, BPF_MAP_TYPE_QUEUE, 1, vec![]);
    let mut host = TestHost::default();
    let arg =
        "stdw [%r10-24], 9\nlddw %r1, 0\nstdw [%r10-16], 0\nstdw [%r10-8], 0\nmov %r2, %r10\nadd %r2, -24\n";
    let mut run =
        |tail: &str| run(&vm, &mut host, &format!("{arg}{tail}\nexit"), &[(1, map(id))]).map(|r| r.r0);
    let get = |call: u32| format!("call {call}\njne %r0, 0, out\nldxdw %r0, [%r10-24]\nout:");
    assert_eq!(run(&get(89)), Ok(errno(2)));
    assert_eq!(run("mov %r3, 0\ncall 87"), Ok(0));
    assert_eq!(run("mov %r3, 0\ncall 87"), Ok(errno(7)));
    assert_eq!(run(&get(89)), Ok(9));
    assert_eq!(run(&get(88)), Ok(9));
    assert_eq!(run("call 88\nldxdw %r0, [%r10-24]"), Ok(0), "an empty queue clears the buffer");
}

#[test]
fn percpu_elements() {
    let vm = vm(true);
    let id = make(&vm, BPF_MAP_TYPE_PERCPU_ARRAY, 4, vec![]);
    let bytes: Vec<u8> = [[1u8; 24], [2; 24]].concat();
    vm.map_update(id, &3u32.to_le_bytes(), &bytes, BPF_ANY).expect("an element");
    let mut host = TestHost { cpu: 1, ..TestHost::default() };
    let mut run =
        |tail: &str| run(&vm, &mut host, &format!("{ARGS}{tail}\nexit"), &[(1, map(id))]).map(|r| r.r0);
    assert_eq!(run("call 1\nldxb %r0, [%r0+0]"), Ok(2), "this CPU's");
    assert_eq!(run("mov %r3, 0\ncall 195\nldxb %r0, [%r0+0]"), Ok(1));
    assert_eq!(run("mov %r3, 2\ncall 195"), Ok(0), "no such CPU");
}

#[test]
fn task_storage() {
    let vm = vm(true);
    let id = make(&vm, BPF_MAP_TYPE_TASK_STORAGE, 0, vec![]);
    let task = vm.region().alloc(ObjKind::Task, 64);
    let mut host = TestHost { current: task, alive: vec![task], ..TestHost::default() };
    let get = |flags: u32, tail: &str| {
        format!("call 158\nlddw %r1, 0\nmov %r2, %r0\nmov %r3, 0\nmov %r4, {flags}\ncall 156\n{tail}exit")
    };
    let relocs = [(1, map(id))];
    let run =
        |asm: &str, host: &mut TestHost| run(&vm, host, asm, &relocs).map(|r| r.r0).map_err(Trap::into_kind);
    assert_eq!(run(&get(0, ""), &mut host), Ok(0));
    assert_eq!(run(&get(2, ""), &mut host), Ok(0), "unknown flag");
    assert_eq!(
        run(&get(1, "ldxdw %r1, [%r0+0]\nadd %r1, 1\nstxdw [%r0+0], %r1\nmov %r0, %r1\n"), &mut host),
        Ok(1)
    );
    assert_eq!(run(&get(0, "ldxdw %r0, [%r0+0]\n"), &mut host), Ok(1));
    let delete = "call 158\nlddw %r1, 0\nmov %r2, %r0\ncall 157\nexit";
    assert_eq!(run(delete, &mut host), Ok(0));
    assert_eq!(run(delete, &mut host), Ok(errno(2)));
    host.alive.clear();
    assert_eq!(run(&get(1, ""), &mut host), Ok(0), "not for a dead task");
    host.current = 0;
    assert_eq!(run(&get(1, ""), &mut host), Ok(0));
    host.current = 77;
    assert!(matches!(run(&get(1, ""), &mut host), Err(TrapKind::BadArg(..))));
}

#[test]
fn callbacks_see_every_element_and_may_delete() {
    for map_type in [BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_ARRAY] {
        let vm = vm(true);
        let id = make(&vm, map_type, 3, vec![]);
        for n in 0..3u32 {
            vm.map_update(id, &n.to_le_bytes(), &[n as u8 + 1; 24], BPF_ANY).expect("an element");
        }
        // Sums 16 * key + value's first byte and deletes (an array refuses).
        let asm = "lddw %r1, 0\nlddw %r2, 0\nstdw [%r10-8], 0\nmov %r3, %r10\nadd %r3, -8\nmov %r4, 0\ncall 164\n\
                   ldxdw %r1, [%r10-8]\nlsh %r1, 8\nor %r0, %r1\nexit\n\
                   cb:\nmov %r6, %r4\nldxw %r7, [%r2+0]\nlsh %r7, 4\nldxb %r8, [%r3+0]\nadd %r7, %r8\n\
                   ldxdw %r8, [%r6+0]\nadd %r8, %r7\nstxdw [%r6+0], %r8\ncall 3\nmov %r0, 0\nexit";
        let got = run(&vm, &mut TestHost::default(), asm, &[(0, map(id)), (2, Reloc::Func(13))]);
        assert_eq!(got.map(|r| r.r0), Ok((0x30 + 6) << 8 | 3));
        assert_eq!(vm.map_next_key(id, None).is_ok(), map_type == BPF_MAP_TYPE_ARRAY);
    }
}

#[test]
fn probes_fail_instead_of_trapping() {
    let vm = vm(true);
    let text = vm.region().alloc(ObjKind::Kernel, 8);
    vm.region().write_bytes(text, b"abcdef\0");
    let mut host = TestHost::default();
    let mut run = |call: u32, size: u32, src: u64| {
        let asm = format!(
            "stdw [%r10-8], -1\nlddw %r3, 0\nmov %r1, %r10\nadd %r1, -8\nmov %r2, {size}\ncall {call}\n\
             ldxdw %r1, [%r10-8]\nlsh %r0, 56\nxor %r0, %r1\nexit"
        );
        run(&vm, &mut host, &asm, &[(1, Reloc::Addr(src))]).map(|r| r.r0)
    };
    let bytes = |b: &[u8; 8]| u64::from_le_bytes(*b);
    assert_eq!(run(113, 4, text), Ok(bytes(b"abcd\xff\xff\xff\xff")));
    assert_eq!(run(113, 4, 0), Ok(bytes(&[0, 0, 0, 0, 255, 255, 255, 255]) ^ errno(14) << 56));
    assert_eq!(run(115, 8, text), Ok(bytes(b"abcdef\0\xff") ^ 7 << 56));
    assert_eq!(run(115, 4, text), Ok(bytes(b"abc\0\xff\xff\xff\xff") ^ 4 << 56));
    assert_eq!(run(115, 8, 99), Ok(errno(14) << 56));
    assert_eq!(run(112, 8, text), Ok(errno(14) << 56), "no user memory");
}

#[test]
fn timers_fire_in_their_element() {
    for map_type in [BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_HASH] {
        let vm = vm(true);
        let id = make(&vm, map_type, 4, vec![(8, SpecialField::Timer)]);
        vm.map_update(id, &3u32.to_le_bytes(), &[0; 24], BPF_ANY).expect("an element");
        let asm = format!(
            "{ARGS}call 1\nmov %r6, %r0\nadd %r6, 8\nmov %r1, %r6\nlddw %r2, 0\nmov %r3, 1\ncall 169\nmov %r7, %r0\n\
             mov %r1, %r6\nlddw %r2, 0\ncall 170\nlsh %r7, 16\nor %r7, %r0\nmov %r1, %r6\nmov %r2, 1000\nmov %r3, 2\n\
             call 171\nlsh %r7, 16\nor %r0, %r7\nexit\n\
             cb:\nldxw %r0, [%r2+0]\nldxdw %r4, [%r3+0]\nadd %r4, 1\nstxdw [%r3+0], %r4\nmov %r1, %r3\nadd %r1, 8\n\
             mov %r6, %r0\ncall 172\njeq %r0, -35, good\nmov %r6, -1\ngood:\nmov %r0, %r6\nexit"
        );
        let relocs = [(1, map(id)), (9, map(id)), (15, Reloc::Func(27))];
        let mut host = TestHost { now: 5000, ..TestHost::default() };
        let prog = vm.prog_add(image(&asm, &relocs));
        assert_eq!(vm.run(prog, &[], &mut host).map(|r| r.r0), Ok(0));
        let [(timer, at, true)] = host.timers[..] else { panic!("{:?}", host.timers) };
        assert!((6000..6100).contains(&at), "{at}");
        let again = vm.run(prog, &[], &mut host).expect("runs").r0;
        assert_eq!(again >> 32, errno(16) & 0xffff_ffff, "init twice is EBUSY");
        let fired = vm.timer_fire(timer, &mut host).expect("no trap").expect("armed");
        assert_eq!(fired.r0, 3, "its key; cancel from its own callback is EDEADLK");
        assert_eq!(vm.map_lookup(id, &3u32.to_le_bytes(), 0).map(|v| v[0]), Ok(1));
        assert_eq!(vm.timer_fire(timer, &mut host), Ok(None), "not armed any more");
        vm.run(prog, &[], &mut host).expect("armed again");
        if map_type == BPF_MAP_TYPE_HASH {
            vm.map_delete(id, &3u32.to_le_bytes()).expect("there");
        } else {
            vm.map_free(id);
        }
        assert_eq!(vm.timer_fire(timer, &mut host), Ok(None), "gone with its element");
        assert_eq!(vm.take_dead_timers(), [timer]);
    }
}

#[test]
fn kptr_percpu_and_small_helpers() {
    let vm = vm(true);
    let id = make(&vm, BPF_MAP_TYPE_ARRAY, 1, vec![(0, SpecialField::Kptr { btf_id: 1 })]);
    let value = vm.map_value_addr(id, 0).expect("an array");
    let mut host = TestHost { cpu: 1, ..TestHost::default() };
    let mut run = |asm: &str, relocs: &[(u32, Reloc)]| run(&vm, &mut host, asm, relocs).map(|r| r.r0);
    let xchg = "lddw %r1, 0\nmov %r2, 42\ncall 194\nexit";
    assert_eq!(run(xchg, &[(0, Reloc::Addr(value))]), Ok(0));
    assert_eq!(run(xchg, &[(0, Reloc::Addr(value))]), Ok(42));
    let var = vm.percpu_alloc(8).expect("memory");
    vm.region().store(vm.percpu_addr(var, 1).expect("CPU 1"), 8, 11);
    let relocs = [(0, Reloc::Addr(var))];
    assert_eq!(run("lddw %r1, 0\nmov %r2, 1\ncall 153\nldxdw %r0, [%r0+0]\nexit", &relocs), Ok(11));
    assert_eq!(run("lddw %r1, 0\ncall 154\nldxdw %r0, [%r0+0]\nexit", &relocs), Ok(11));
    assert_eq!(run("lddw %r1, 0\nmov %r2, 2\ncall 153\nexit", &relocs), Ok(0));
    let text = vm.region().alloc(ObjKind::Kernel, 16);
    vm.region().write_bytes(text, b"abc\0abd\0");
    let cmp = |n: u32| format!("lddw %r1, 0\nmov %r2, {n}\nlddw %r3, 0\ncall 182\nexit");
    let relocs = [(0, Reloc::Addr(text)), (3, Reloc::Addr(text + 4))];
    assert_eq!(run(&cmp(2), &relocs), Ok(0));
    assert_eq!(run(&cmp(4), &relocs), Ok(-1i64 as u64));
    assert_eq!(run("call 8\nexit", &[]), Ok(1));
    assert_eq!(run("call 118\nexit", &[]), Ok(4));
}

host::compiled_too! {
    elements_of_a_hash
    a_deleted_element_is_readable_until_the_program_ends
    a_replaced_value_stays_for_who_holds_it
    queue_helpers
    percpu_elements
    task_storage
    callbacks_see_every_element_and_may_delete
    probes_fail_instead_of_trapping
    timers_fire_in_their_element
    kptr_percpu_and_small_helpers
}

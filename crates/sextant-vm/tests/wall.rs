//! The wall and object checks, poison and reuse of freed memory.

mod host;

use host::{TestHost, run, vm};
use sextant_abi::{Mem, ObjKind, Reloc};
use sextant_vm::map::{BPF_F_MMAPABLE, BPF_F_RDONLY_PROG, BPF_MAP_TYPE_ARRAY};
use sextant_vm::region::{TAG, Zone};
use sextant_vm::{Access, MapId, MapSpec, Trap, TrapKind, Vm, Why};

fn why(vm: &Vm, addr: u64, size: u64, access: Access) -> Option<Why> {
    vm.region().check(addr, size, access).err().map(|f| f.why)
}

fn array(vm: &Vm, value_size: u32, max_entries: u32, flags: u32) -> u64 {
    let spec = MapSpec {
        map_type: BPF_MAP_TYPE_ARRAY,
        key_size: 4,
        value_size,
        max_entries,
        flags,
        ..MapSpec::default()
    };
    let id = vm.map_create(&spec).expect("an array");
    vm.map_value_addr(id, 0).expect("its first byte")
}

#[test]
fn nothing_outside_the_region() {
    let vm = vm(false);
    array(&vm, 64, 1, 0);
    for addr in
        [0, 8, 4095, 1 << 46, TAG - 1, TAG - 8, TAG + (8 << 34), u64::MAX, u64::MAX - 7, -22i64 as u64]
    {
        assert_eq!(why(&vm, addr, 8, Access::Read), Some(Why::Outside), "{addr:#x}");
        assert_eq!(why(&vm, addr, 1, Access::Write), Some(Why::Outside), "{addr:#x}");
    }
    // An access that starts below and ends inside does not wrap into it.
    assert_eq!(why(&vm, TAG.wrapping_sub(4), 8, Access::Read), Some(Why::Outside));
    assert!(vm.region().check(Zone::MapRw.start(), u64::MAX, Access::Read).is_err());
}

#[test]
fn every_zone_ends_where_its_memory_ends() {
    let vm = vm(false);
    let mem = vm.region();
    let task = mem.alloc(ObjKind::Task, 64);
    let kernel = mem.alloc(ObjKind::Kernel, 24);
    let rw = array(&vm, 12, 2, 0);
    let ro = array(&vm, 16, 1, BPF_F_RDONLY_PROG);
    for (base, len) in [(task, 64), (kernel, 24), (rw, 32), (ro, 16)] {
        assert_eq!(why(&vm, base, len, Access::Read), None);
        assert_eq!(why(&vm, base + len - 8, 8, Access::Read), None);
        assert_eq!(why(&vm, base + len - 7, 8, Access::Read), Some(Why::Unmapped), "straddles the end");
        assert_eq!(why(&vm, base + len, 1, Access::Read), Some(Why::Unmapped));
    }
    assert_eq!(why(&vm, Zone::Arena.start(), 1, Access::Read), Some(Why::ArenaPage));
    for zone in [Zone::Stack, Zone::Heap] {
        assert_eq!(why(&vm, zone.start(), 1, Access::Read), Some(Why::Unmapped), "{zone:?} is empty");
        assert_eq!(why(&vm, zone.start(), 1, Access::Write), Some(Why::Unmapped));
    }
}

#[test]
fn programs_write_only_where_they_may() {
    let vm = vm(false);
    let mem = vm.region();
    let first = mem.alloc(ObjKind::Task, 64);
    let task = mem.alloc(ObjKind::Task, 64);
    for addr in [first, task] {
        for (off, size, ok) in [
            (16, 8, true),
            (20, 4, true),
            (32, 8, true),
            (39, 1, true),
            (0, 8, false),
            (15, 1, false),
            (12, 8, false),
            (20, 8, false),
            (24, 8, false),
            (40, 1, false),
            (60, 8, false),
        ] {
            let want = (!ok).then_some(Why::TaskField);
            let got = why(&vm, addr + off, size, Access::Write);
            if addr == task && off == 60 {
                assert_eq!(got, Some(Why::Unmapped));
            } else {
                assert_eq!(got, want, "offset {off} size {size}");
            }
        }
    }
    let kernel = mem.alloc(ObjKind::Kernel, 24);
    assert_eq!(why(&vm, kernel, 8, Access::Write), Some(Why::ReadOnly));
    assert_eq!(why(&vm, array(&vm, 8, 1, BPF_F_RDONLY_PROG), 8, Access::Write), Some(Why::ReadOnly));
    assert_eq!(why(&vm, array(&vm, 8, 1, 0), 8, Access::Write), None);
    assert_eq!(why(&vm, Zone::MapPtr.start(), 8, Access::Write), Some(Why::ReadOnly));
}

#[test]
fn a_bad_store_traps_with_its_place() {
    let vm = vm(false);
    let ro = array(&vm, 8, 1, BPF_F_RDONLY_PROG);
    let asm = "lddw %r2, 0\nmov %r3, 1\nstxdw [%r2+0], %r3\nmov %r0, 0\nexit";
    let trap = run(&vm, &mut TestHost::default(), asm, &[(0, Reloc::Addr(ro))]).expect_err("read-only");
    assert_eq!(trap.insn, 3);
    assert!(matches!(trap.kind, TrapKind::BadAccess(f) if f.why == Why::ReadOnly && f.addr == ro), "{trap}");
    let line = trap.to_string();
    assert!(line.starts_with("test: insn 3: *(u64 *)(r2 +0) = r3: store of 8 bytes"), "{line}");
    assert_eq!(vm.region().load(ro, 8), 0);
}

#[test]
fn a_probe_load_of_a_bad_address_reads_zero() {
    let vm = vm(false);
    let mut image = host::image("mov %r1, 64\nmov %r0, 7\nldxdw %r0, [%r1+0]\nexit", &[]);
    image.probe_load = vec![false, false, true, false];
    let prog = vm.prog_add(image);
    assert_eq!(vm.run(prog, &[], &mut TestHost::default()).map(|r| r.r0), Ok(0));
}

#[test]
fn a_probe_load_of_freed_memory_is_the_same_in_both_levels() {
    for sanitize in [false, true] {
        let vm = vm(sanitize);
        let task = vm.region().alloc(ObjKind::Task, 64);
        vm.region().free(ObjKind::Task, task, 64);
        let mut image = host::image("lddw %r1, 0\nldxb %r0, [%r1+0]\nexit", &[(0, Reloc::Addr(task))]);
        image.probe_load = vec![false, false, true, false];
        let prog = vm.prog_add(image);
        assert_eq!(vm.run(prog, &[], &mut TestHost::default()).map(|r| r.r0), Ok(0x6b));
    }
}

#[test]
fn freed_slots_are_poisoned_and_come_back_in_order() {
    let vm = vm(true);
    let mem = vm.region();
    let tasks: Vec<u64> = (0..3).map(|_| mem.alloc(ObjKind::Task, 64)).collect();
    assert_eq!(tasks[1] - tasks[0], 64);
    mem.store(tasks[1], 8, 5);
    mem.free(ObjKind::Task, tasks[1], 64);
    mem.free(ObjKind::Task, tasks[0], 64);
    assert_eq!(mem.load(tasks[1], 8), 0x6b6b_6b6b_6b6b_6b6b);
    assert_eq!(mem.check_object(tasks[1], 8, false).err().map(|f| f.why), Some(Why::NoObject));
    assert_eq!(mem.alloc(ObjKind::Task, 64), tasks[1], "first freed, first reused");
    assert_eq!(mem.load(tasks[1], 8), 0, "zeroed");
    assert_eq!(mem.alloc(ObjKind::Task, 64), tasks[0]);
    assert_eq!(mem.alloc(ObjKind::Task, 64), tasks[2] + 64);
    let a = mem.alloc(ObjKind::Kernel, 24);
    mem.free(ObjKind::Kernel, a, 24);
    assert_ne!(mem.alloc(ObjKind::Kernel, 32), a, "another size");
    assert_eq!(mem.alloc(ObjKind::Kernel, 24), a);
}

#[test]
fn freed_memory_stays_until_the_rcu_section_ends() {
    let vm = vm(false);
    let mem = vm.region();
    let task = mem.alloc(ObjKind::Task, 64);
    mem.store(task, 8, 5);
    mem.rcu_enter();
    mem.rcu_enter();
    mem.free(ObjKind::Task, task, 64);
    mem.rcu_exit();
    assert_eq!(mem.load(task, 8), 5);
    assert_ne!(mem.alloc(ObjKind::Task, 64), task);
    mem.rcu_exit();
    assert_eq!(mem.load(task, 1), 0x6b);
}

#[test]
fn sanitize_keeps_an_access_inside_one_object() {
    for sanitize in [false, true] {
        let vm = vm(sanitize);
        let base = array(&vm, 12, 4, 0);
        // Elements of 12 bytes lie 16 apart: the last 4 of a slot belong to nobody.
        for (off, want) in
            [(0, None), (4, None), (8, Some(Why::PastObject)), (12, Some(Why::NoObject)), (16, None)]
        {
            let asm = "lddw %r2, 0\nldxdw %r0, [%r2+0]\nexit";
            let got = run(&vm, &mut TestHost::default(), asm, &[(0, Reloc::Addr(base + off))]);
            let got = got.err().map(|t| match t.into_kind() {
                TrapKind::BadAccess(f) => f.why,
                other => panic!("{other}"),
            });
            assert_eq!(got, if sanitize { want } else { None }, "offset {off}");
        }
    }
}

#[test]
fn sanitize_finds_frames_and_unwritten_registers() {
    let vm = vm(true);
    let run = |asm: &str| run(&vm, &mut TestHost::default(), asm, &[]).map(|r| r.r0).map_err(Trap::into_kind);
    assert!(
        matches!(run("ldxdw %r0, [%r10+0]\nexit"), Err(TrapKind::BadAccess(f)) if f.why == Why::NoObject)
    );
    assert!(matches!(run("ldxdw %r0, [%r10-520]\nexit"), Err(TrapKind::BadAccess(_))));
    assert!(matches!(run("stdw [%r10-512], 1\nldxdw %r0, [%r10-512]\nexit"), Ok(1)));
    assert_eq!(run("mov %r0, %r2\nexit"), Err(TrapKind::Uninit(2)));
    assert!(run("exit").is_ok(), "a void op leaves nothing in r0");
    assert!(run("call local f\nmov %r0, 1\nexit\nf:\nexit").is_ok(), "neither does a void function");
    assert_eq!(
        run("call local f\nmov %r1, %r0\nexit\nf:\nexit"),
        Err(TrapKind::Uninit(0)),
        "which is then not read"
    );
    assert_eq!(run("call 7\nmov %r0, %r1\nexit"), Err(TrapKind::Uninit(1)), "a call takes r1..r5");
    assert_eq!(run("mov %r6, 3\ncall 7\nmov %r0, %r6\nexit"), Ok(3));
    assert_eq!(run("mov %r6, 3\ncall local f\nexit\nf:\nmov %r0, %r6\nexit"), Err(TrapKind::Uninit(6)));
    assert!(run("ldxdw %r0, [%r1+8]\nexit").is_err(), "behind the context");
    assert_eq!(run("ldxdw %r0, [%r1+0]\nexit"), Ok(0x1122_3344_5566_7788));
}

#[test]
fn a_large_map_costs_what_is_touched() {
    let vm = vm(false);
    let base = array(&vm, 165_706_292, 1, BPF_F_MMAPABLE);
    let plain = array(&vm, 165_706_292, 1, 0);
    let region = vm.region();
    region.store(base + 165_706_284, 8, 1);
    region.store(plain, 8, 2);
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let resident: u64 = statm.split(' ').nth(1).and_then(|p| p.parse().ok()).expect("pages");
    assert!(resident * 4096 < 60 << 20, "{resident} pages resident");
    assert_eq!(base & 4095, 0);
}

#[test]
fn a_freed_maps_pages_go_back() {
    let vm = vm(false);
    let neighbour = array(&vm, 100, 1, 0);
    vm.region().store(neighbour, 8, 3);
    for (id, flags) in [(2, 0), (4, BPF_F_MMAPABLE)] {
        let base = array(&vm, 64 << 10, 1, flags);
        let after = array(&vm, 8, 1, 0);
        vm.region().store(after, 8, 4);
        let fd = vm.map_fd(MapId(id));
        for page in 0..16 {
            vm.region().store(base + page * 4096 + 2048, 8, 1);
        }
        assert_eq!(fd.is_some(), flags != 0);
        vm.map_free(MapId(id));
        assert_eq!(vm.region().load(base + 8 * 4096 + 2048, 8), 0, "flags {flags}");
        assert_eq!((vm.region().load(neighbour, 8), vm.region().load(after, 8)), (3, 4));
        drop(fd);
    }
}

#[test]
fn a_mapped_file_shows_the_same_bytes() {
    use std::os::unix::fs::FileExt;
    let vm = vm(false);
    let spec = MapSpec {
        map_type: BPF_MAP_TYPE_ARRAY,
        key_size: 4,
        value_size: 8,
        max_entries: 2,
        flags: BPF_F_MMAPABLE,
        ..MapSpec::default()
    };
    let id = vm.map_create(&spec).expect("an array");
    let file = std::fs::File::from(vm.map_fd(id).expect("a file"));
    vm.map_update(id, &1u32.to_le_bytes(), &77u64.to_le_bytes(), 0).expect("element 1");
    let mut buf = [0; 8];
    file.read_exact_at(&mut buf, 8).expect("two elements");
    assert_eq!(u64::from_le_bytes(buf), 77);
    file.write_all_at(&5u64.to_le_bytes(), 0).expect("writable");
    assert_eq!(vm.map_lookup(id, &[0; 4], 0), Ok(5u64.to_le_bytes().to_vec()));
    assert!(file.set_len(0).is_err(), "nobody can pull the pages away");
}

host::compiled_too! {
    nothing_outside_the_region
    every_zone_ends_where_its_memory_ends
    programs_write_only_where_they_may
    a_bad_store_traps_with_its_place
    a_probe_load_of_a_bad_address_reads_zero
    a_probe_load_of_freed_memory_is_the_same_in_both_levels
    freed_slots_are_poisoned_and_come_back_in_order
    freed_memory_stays_until_the_rcu_section_ends
    a_large_map_costs_what_is_touched
    a_freed_maps_pages_go_back
    a_mapped_file_shows_the_same_bytes
}

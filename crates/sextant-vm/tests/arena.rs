//! Arenas: pages that programs and user space share, the forms of pointers into them, and what faults do.

mod host;

use std::os::fd::AsFd;

use host::{TestHost, image, vm};
use sextant_abi::tables::KfuncId;
use sextant_abi::{Insn, Reloc};
use sextant_vm::map::*;
use sextant_vm::{Errno, MapId, MapSpec, Trap, TrapKind, Vm};

const USER: u64 = 0x7f00_0000_3000;
const PAGES: u32 = 16;

fn spec(map_extra: u64, max_entries: u32) -> MapSpec {
    let flags = BPF_F_MMAPABLE;
    MapSpec { map_type: BPF_MAP_TYPE_ARENA, max_entries, flags, map_extra, ..MapSpec::default() }
}

fn arena(vm: &Vm) -> MapId {
    vm.map_create(&spec(USER, PAGES)).expect("an arena")
}

const CAST_KERN: i32 = 1;
const CAST_USER: i32 = 0x1_0000;

/// Assembler text in which `@name` calls that kfunc, `kern %rD, %rS` and `user %rD, %rS` cast, `lddw %rN, $map` and
/// `lddw %rN, $value+OFF` name the arena.
fn go(vm: &Vm, host: &mut TestHost, map: MapId, text: &str) -> Result<u64, TrapKind> {
    let (mut asm, mut relocs, mut casts, mut slot) = (String::new(), Vec::new(), Vec::new(), 0u32);
    for line in text.lines() {
        let mut out = line.to_owned();
        if let Some(name) = line.strip_prefix('@') {
            let id = KfuncId::from_name(name).expect("a kfunc");
            relocs.push((slot, Reloc::Kfunc(id.index())));
            out = "call kfunc 1".into();
        } else if let Some((head, off)) = line.split_once("$value+") {
            relocs.push((slot, Reloc::MapValue(map.0, off.parse().expect("an offset"))));
            out = format!("{head}0");
        } else if let Some(head) = line.strip_suffix("$map") {
            relocs.push((slot, Reloc::Map(map.0)));
            out = format!("{head}0");
        } else if let Some((cast, operands)) = line.split_once(' ')
            && matches!(cast, "kern" | "user")
        {
            casts.push((slot as usize, if cast == "kern" { CAST_KERN } else { CAST_USER }));
            out = format!("mov {operands}");
        }
        slot +=
            if line.is_empty() || line.ends_with(':') { 0 } else { 1 + u32::from(line.starts_with("lddw")) };
        asm += &out;
        asm.push('\n');
    }
    let mut image = image(&asm, &relocs);
    for (at, imm) in casts {
        image.insns[at] = Insn { off: 1, imm, ..image.insns[at] };
    }
    let prog = vm.prog_add(image);
    vm.run(prog, &[0], host).map(|run| run.r0).map_err(Trap::into_kind)
}

fn alloc(at: u64, count: u32) -> String {
    format!(
        "lddw %r1, $map\nlddw %r2, {at}\nmov %r3, {count}\nmov %r4, -1\nmov %r5, 0\n@bpf_arena_alloc_pages\n"
    )
}

fn free(at: u64, count: u32) -> String {
    format!("lddw %r1, $map\nlddw %r2, {at}\nmov %r3, {count}\n@bpf_arena_free_pages\n")
}

#[test]
fn pages_are_given_out_and_hold_what_is_stored() {
    for sanitize in [false, true] {
        let (vm, mut host) = (vm(sanitize), TestHost::default());
        let map = arena(&vm);
        let mut run = |text: &str| go(&vm, &mut host, map, text);
        assert_eq!(run(&(alloc(0, 2) + "exit")), Ok(USER));
        let store = format!(
            "lddw %r1, $map\nlddw %r6, {}\nkern %r6, %r6\nstdw [%r6+4000], 77\nldxdw %r0, [%r6+4000]\nexit",
            USER
        );
        assert_eq!(run(&store), Ok(77));
        let back = format!("lddw %r1, $map\nlddw %r6, {}\nkern %r7, %r6\nuser %r0, %r7\nexit", USER + 8);
        assert_eq!(run(&back), Ok(USER + 8));
        // The same byte as a global's address, as 32 bits, and across the page boundary.
        assert_eq!(run("lddw %r1, $value+4000\nldxdw %r0, [%r1+0]\nexit"), Ok(77));
        assert_eq!(run("lddw %r1, $map\nmov32 %r1, 0x3fa0\nldxdw %r0, [%r1+0]\nexit"), Ok(77));
        assert_eq!(run("lddw %r1, $value+4092\nstdw [%r1+0], -1\nldxdw %r0, [%r1+0]\nexit"), Ok(u64::MAX));
        let null = "lddw %r1, $map\nmov %r1, 0\nkern %r0, %r1\nuser %r1, %r0\nor %r0, %r1\nexit";
        assert_eq!(run(null), Ok(0), "NULL stays NULL");
        assert!(host.printed.is_empty(), "{:?}", host.printed);
    }
}

#[test]
fn faults_read_zero_and_drop_stores() {
    let (vm, mut host) = (vm(true), TestHost::default());
    let map = arena(&vm);
    let touch = "lddw %r1, $value+0\nmov %r0, 5\nstdw [%r1+0], 9\nmov %r2, 4\nstxdw [%r1+0], %r2\nlock add [%r1+0], %r2\nldxdw %r0, [%r1+0]\nexit";
    assert_eq!(go(&vm, &mut host, map, touch), Ok(0));
    assert_eq!(host.printed.len(), 4);
    assert_eq!(host.printed[0], format!("ERROR: Arena WRITE access at unmapped address {USER:#x}"));
    assert_eq!(host.printed[3], format!("ERROR: Arena READ access at unmapped address {USER:#x}"));
    // Outside the arena but in its window, below NULL, and half in a page.
    for at in ["lddw %r1, 0x7f0000000000", "lddw %r1, 0x7f00ffffffff", "mov %r1, -8"] {
        let text = format!("lddw %r2, $map\n{at}\nldxdw %r0, [%r1+0]\nexit");
        assert_eq!(go(&vm, &mut host, map, &text), Ok(0), "{at}");
    }
    assert_eq!(go(&vm, &mut host, map, &(alloc(0, 1) + "exit")), Ok(USER));
    assert_eq!(
        go(&vm, &mut host, map, "lddw %r1, $value+4092\nstdw [%r1+0], -1\nldxdw %r0, [%r1+0]\nexit"),
        Ok(0)
    );
    assert_eq!(go(&vm, &mut host, map, "lddw %r1, $value+4092\nldxw %r0, [%r1+0]\nexit"), Ok(0));
    // A program that has no arena gets none of this, and no other address is forgiven.
    let trapped = go(&vm, &mut host, map, "mov %r1, 8\nldxdw %r0, [%r1+0]\nexit");
    assert!(matches!(trapped, Err(TrapKind::BadAccess(_))));
    let trapped =
        go(&vm, &mut host, map, "lddw %r2, $map\nlddw %r1, 0x123456789abc\nldxdw %r0, [%r1+0]\nexit");
    assert!(matches!(trapped, Err(TrapKind::BadAccess(_))));
}

#[test]
fn reports_end_somewhere() {
    let (vm, mut host) = (vm(false), TestHost::default());
    let map = arena(&vm);
    let spin =
        "lddw %r1, $value+0\nmov %r2, 1000\nnext:\nldxdw %r0, [%r1+0]\nadd %r2, -1\njne %r2, 0, next\nexit";
    assert_eq!(go(&vm, &mut host, map, spin), Ok(0));
    assert_eq!(host.printed.len(), 32);
}

#[test]
fn pages_come_and_go() {
    let (vm, mut host) = (vm(true), TestHost::default());
    let map = arena(&vm);
    let mut run = |text: String| go(&vm, &mut host, map, &(text + "exit"));
    let page = |n: u64| USER + n * 4096;
    assert_eq!(run(alloc(page(4), 2)), Ok(page(4)), "where it was asked for");
    assert_eq!(run(alloc(page(5), 1)), Ok(0), "taken");
    assert_eq!(run(alloc(page(4) + 8, 1)), Ok(0), "no page starts there");
    assert_eq!(run(alloc(page(15), 2)), Ok(0), "runs over the end");
    assert_eq!(run(alloc(0, 17)), Ok(0));
    assert_eq!(run(alloc(0, 4)), Ok(page(0)), "the smallest hole that fits");
    assert_eq!(run(alloc(0, 11)), Ok(0), "10 are left");
    assert_eq!(
        run(format!("lddw %r1, $value+16384\nmov %r0, 0\nstdw [%r1+0], 5\n{}", free(page(4), 1))),
        Ok(0)
    );
    assert_eq!(run("lddw %r1, $value+16384\nldxdw %r0, [%r1+0]\n".into()), Ok(0), "gone");
    assert_eq!(run(alloc(0, 1)), Ok(page(4)));
    assert_eq!(run("lddw %r1, $value+16384\nldxdw %r0, [%r1+0]\n".into()), Ok(0), "new");
    let reserve = |n: u64, count: u32| {
        format!("lddw %r1, $map\nlddw %r2, {}\nmov %r3, {count}\n@bpf_arena_reserve_pages\n", page(n))
    };
    assert_eq!(run(reserve(6, 10)), Ok(0));
    assert_eq!(run(reserve(6, 1)), Ok(-16i64 as u64));
    assert_eq!(run(reserve(10, 7)), Ok(-22i64 as u64));
    assert_eq!(run(alloc(0, 1)), Ok(0), "all taken");
    assert_eq!(run("lddw %r1, $value+24576\nldxdw %r0, [%r1+0]\n".into()), Ok(0), "reserved, not present");
    assert_eq!(run(free(page(0), 1 << 31)), Ok(0), "cut at the end");
    assert_eq!(run(alloc(0, 16)), Ok(page(0)));
}

#[test]
fn user_space_has_the_same_pages() {
    let (vm, mut host) = (vm(false), TestHost::default());
    let map = arena(&vm);
    let file = vm.map_fd(map).expect("an arena has a file");
    // What a mapping's first touch does, by write(2): page 0 and page 2.
    rustix::io::pwrite(file.as_fd(), &[1, 2, 3, 4, 5, 6, 7, 8], 2 * 4096 + 8).expect("written");
    rustix::io::pwrite(file.as_fd(), &[9], 0).expect("written");
    let read = "lddw %r1, $value+8200\nldxdw %r0, [%r1+0]\nexit";
    assert_eq!(go(&vm, &mut host, map, read), Ok(0x0807_0605_0403_0201));
    assert_eq!(
        go(&vm, &mut host, map, &(alloc(0, 2) + "exit")),
        Ok(USER + 3 * 4096),
        "pages 0 and 2 are taken"
    );
    assert_eq!(go(&vm, &mut host, map, &(alloc(0, 1) + "exit")), Ok(USER + 4096));
    let write = "lddw %r1, $value+4096\nmov %r0, 0\nstdw [%r1+0], 0x55\nexit";
    assert_eq!(go(&vm, &mut host, map, write), Ok(0));
    let mut byte = [0];
    rustix::io::pread(file.as_fd(), &mut byte, 4096).expect("read");
    assert_eq!(byte, [0x55]);
}

#[test]
fn creation_as_the_kernel_checks_it() {
    let vm = vm(false);
    let make = |spec: MapSpec| vm.map_create(&spec).map(|_| ()).map_err(|e| e.0);
    assert_eq!(make(MapSpec { key_size: 4, ..spec(USER, 1) }), Err(22));
    assert_eq!(make(MapSpec { flags: 0, ..spec(USER, 1) }), Err(22));
    assert_eq!(make(spec(USER, 0)), Err(22));
    assert_eq!(make(spec(USER + 1, 1)), Err(22));
    assert_eq!(make(spec(USER, (1 << 20) + 1)), Err(7));
    assert_eq!(make(spec(0x7f00_ffff_f000, 2)), Err(34));
    let ids: Vec<MapId> = (0..4).map(|_| vm.map_create(&spec(0, 1 << 20)).expect("an arena")).collect();
    assert_eq!(make(spec(USER, 1)), Err(12), "four of 4 GiB is all there is");
    assert_eq!(vm.map_lookup(ids[0], &[], 0), Err(Errno::EOPNOTSUPP));
    assert_eq!(vm.map_update(ids[0], &[], &[], 0), Err(Errno::EOPNOTSUPP));
    assert_eq!(vm.map_next_key(ids[0], None), Err(Errno::EOPNOTSUPP));
    vm.map_free(ids[1]);
    assert_eq!(make(spec(USER, 1)), Ok(()));
}

#[test]
fn a_cast_without_an_arena_traps() {
    let (vm, mut host) = (vm(false), TestHost::default());
    let map = arena(&vm);
    let got = go(&vm, &mut host, map, "mov %r1, 5\nkern %r0, %r1\nexit");
    assert!(matches!(got, Err(TrapKind::BadInsn(_))));
}

#[test]
fn a_vm_has_four_arenas_that_do_not_meet() {
    for sanitize in [false, true] {
        let (vm, mut host) = (vm(sanitize), TestHost::default());
        let maps: Vec<MapId> =
            (0..4).map(|i| vm.map_create(&spec(USER + (i << 32), PAGES)).expect("one of four")).collect();
        assert_eq!(vm.map_create(&spec(USER + (4 << 32), PAGES)), Err(Errno::ENOMEM));
        for (i, &map) in maps.iter().enumerate() {
            let store = format!("{}kern %r0, %r0\nstdw [%r0+0], {}\nmov %r0, 0\nexit", alloc(0, 1), i + 1);
            assert_eq!(go(&vm, &mut host, map, &store), Ok(0));
        }
        for (i, &map) in maps.iter().enumerate() {
            let read = "lddw %r1, $value+0\nldxdw %r0, [%r1+0]\nexit";
            assert_eq!(go(&vm, &mut host, map, read), Ok(i as u64 + 1), "arena {i}");
        }
    }
}

/// Found by random programs: the verifier takes any arithmetic on an arena pointer, and so must the vm.
#[test]
fn of_a_known_arena_pointer_the_low_half_counts() {
    let (vm, mut host) = (vm(false), TestHost::default());
    let map = arena(&vm);
    let alloc = "mov %r2, 0\nmov %r3, 1\nmov %r4, -1\nmov %r5, 0\nlddw %r1, 0\ncall kfunc 1\nmov %r6, %r0\n";
    let use_it = "stdw [%r6+8], 77\nlddw %r1, 0x1234567800000000\nadd %r1, %r6\nldxdw %r0, [%r1+8]\n\
                  lddw %r2, 0x80000000\nadd %r1, %r2\nldxdw %r3, [%r1+0]\nstdw [%r1+0], 1\nadd %r0, %r3\nexit";
    let kfunc = Reloc::Kfunc(KfuncId::bpf_arena_alloc_pages.index());
    let relocs = [(4, Reloc::Map(map.0)), (6, kfunc)];
    let plain = image(&format!("{alloc}{use_it}"), &relocs);
    let arena_access = vec![true; plain.insns.len()];
    let noted = vm.prog_add(sextant_abi::ProgramImage { arena_access, ..plain.clone() });
    assert_eq!(vm.run(noted, &[], &mut host).map(|run| run.r0), Ok(77));
    assert_eq!(host.printed.len(), 2, "a load and a store of a page that is not there");
    let unknown = vm.prog_add(plain);
    let trap = vm.run(unknown, &[], &mut host).map_err(Trap::into_kind);
    assert!(matches!(trap, Err(TrapKind::BadAccess(_))), "nobody says that it is the arena's");
}

host::compiled_too! {
    of_a_known_arena_pointer_the_low_half_counts
    pages_are_given_out_and_hold_what_is_stored
    faults_read_zero_and_drop_stores
    reports_end_somewhere
    pages_come_and_go
    user_space_has_the_same_pages
    creation_as_the_kernel_checks_it
    a_cast_without_an_arena_traps
    a_vm_has_four_arenas_that_do_not_meet
}

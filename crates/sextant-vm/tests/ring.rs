//! Ring buffers in both directions, dynptrs over memory and records, perf events that are not there, streams.

mod host;

use host::{TestHost, image, vm};
use sextant_abi::tables::KfuncId;
use sextant_abi::{Mem, ProgramImage, Reloc};
use sextant_vm::map::*;
use sextant_vm::{Errno, MapId, MapSpec, TrapKind, Vm};

const SIZE: u32 = 4096;

fn ring(vm: &Vm, map_type: u32) -> MapId {
    vm.map_create(&MapSpec { map_type, max_entries: SIZE, ..MapSpec::default() }).expect("a ring")
}

fn errno(n: i64) -> u64 {
    -n as u64
}

/// Runs assembler text in which `@name` calls that kfunc, `lddw %rN, $map` is the map and `lddw %rN, $cb` the function at `cb:`.
fn go(vm: &Vm, host: &mut TestHost, map: MapId, text: &str) -> Result<u64, TrapKind> {
    let slots = |line: &str| match line {
        l if l.is_empty() || l.ends_with(':') => 0,
        l => 1 + u32::from(l.starts_with("lddw")),
    };
    let callback: u32 = text.lines().take_while(|l| *l != "cb:").map(slots).sum();
    let (mut asm, mut relocs, mut slot) = (String::new(), Vec::new(), 0);
    for line in text.lines() {
        let mut out = line.to_owned();
        if let Some(name) = line.strip_prefix('@') {
            relocs.push((slot, Reloc::Kfunc(KfuncId::from_name(name).expect("a kfunc").index())));
            out = "call kfunc 1".into();
        } else if let Some(head) = line.strip_suffix("$map") {
            relocs.push((slot, Reloc::Map(map.0)));
            out = format!("{head}0");
        } else if let Some(head) = line.strip_suffix("$cb") {
            relocs.push((slot, Reloc::Func(callback)));
            out = format!("{head}0");
        }
        slot += slots(line);
        asm += &out;
        asm.push('\n');
    }
    let prog = vm.prog_add(ProgramImage { ..image(&asm, &relocs) });
    vm.run(prog, &[0], host).map(|run| run.r0).map_err(|trap| trap.kind.clone())
}

/// Reserves `size` bytes, in r6; `tail` if there is room, else 99.
fn reserve(size: u32, tail: &str) -> String {
    format!(
        "lddw %r1, $map\nmov %r2, {size}\nmov %r3, 0\ncall 131\njne %r0, 0, room\nmov %r0, 99\nexit\nroom:\nmov %r6, %r0\n{tail}"
    )
}

const SUBMIT: &str = "mov %r1, %r6\nmov %r2, 0\ncall 132\nmov %r0, 0\nexit";

fn consume(vm: &Vm, map: MapId) -> Vec<Vec<u8>> {
    let mut got = Vec::new();
    vm.ringbuf_consume(map, &mut |bytes| got.push(bytes.to_vec())).expect("a ring");
    got
}

#[test]
fn records_arrive_in_order_and_wrap() {
    for sanitize in [false, true] {
        let (vm, mut host) = (vm(sanitize), TestHost::default());
        let map = ring(&vm, BPF_MAP_TYPE_RINGBUF);
        for round in 0..100 {
            let put =
                reserve(120, &format!("stdw [%r6+0], {round}\nstdw [%r6+112], {}\n{SUBMIT}", round + 1));
            for _ in 0..7 {
                assert_eq!(go(&vm, &mut host, map, &put), Ok(0));
            }
            let drop = reserve(8, "mov %r1, %r6\nmov %r2, 0\ncall 133\nmov %r0, 0\nexit");
            assert_eq!(go(&vm, &mut host, map, &drop), Ok(0));
            let got = consume(&vm, map);
            assert_eq!(got.len(), 7, "round {round}");
            for bytes in got {
                assert_eq!((bytes[0], bytes[112], bytes.len()), (round as u8, round as u8 + 1, 120));
            }
        }
    }
}

#[test]
fn a_ring_that_nobody_reads_fills_up() {
    let (vm, mut host) = (vm(true), TestHost::default());
    let map = ring(&vm, BPF_MAP_TYPE_RINGBUF);
    let mut put = || go(&vm, &mut host, map, &reserve(1016, SUBMIT));
    assert_eq!(
        [put(), put(), put(), put()],
        [Ok(0), Ok(0), Ok(0), Ok(99)],
        "3 of 1024; a full ring is never used"
    );
    let query = |flags: u32| format!("lddw %r1, $map\nmov %r2, {flags}\ncall 134\nexit");
    assert_eq!(go(&vm, &mut host, map, &query(0)), Ok(3072));
    assert_eq!(go(&vm, &mut host, map, &query(1)), Ok(4096));
    assert_eq!(consume(&vm, map).len(), 3);
    assert_eq!(go(&vm, &mut host, map, &query(2)), Ok(3072));
    assert_eq!(go(&vm, &mut host, map, &reserve(4096, SUBMIT)), Ok(99), "larger than the ring");
    let out = "stdw [%r10-8], 7\nlddw %r1, $map\nmov %r2, %r10\nadd %r2, -8\nmov %r3, 8\nmov %r4, 0\ncall 130\nexit";
    assert_eq!(go(&vm, &mut host, map, out), Ok(0));
    assert_eq!(consume(&vm, map), [7u64.to_le_bytes()]);
}

#[test]
fn only_who_reserved_submits_and_order_is_kept() {
    let (vm, mut host) = (vm(true), TestHost::default());
    let map = ring(&vm, BPF_MAP_TYPE_RINGBUF);
    let got = go(&vm, &mut host, map, "mov %r1, 5\nmov %r2, 0\ncall 132\nexit");
    assert!(matches!(got, Err(TrapKind::BadArg(_, _))));
    let twice = reserve(8, "mov %r1, %r6\nmov %r2, 0\ncall 132\nmov %r1, %r6\nmov %r2, 0\ncall 132\nexit");
    assert!(matches!(go(&vm, &mut host, map, &twice), Err(TrapKind::BadArg(_, _))));
    assert_eq!(consume(&vm, map).len(), 1);
    // A record that stays busy keeps those behind it from the reader.
    assert_eq!(go(&vm, &mut host, map, &reserve(8, "mov %r0, 0\nexit")), Ok(0));
    assert_eq!(go(&vm, &mut host, map, &reserve(8, SUBMIT)), Ok(0));
    assert_eq!(consume(&vm, map).len(), 0);
    let outside = reserve(8, "stdw [%r6+8], 1\nmov %r0, 0\nexit");
    assert!(matches!(go(&vm, &mut host, map, &outside), Err(TrapKind::BadAccess(_))), "past the record");
}

#[test]
fn what_the_reader_writes_is_not_trusted() {
    let (vm, mut host) = (vm(false), TestHost::default());
    let map = ring(&vm, BPF_MAP_TYPE_RINGBUF);
    let file = vm.map_fd(map).expect("a ring has a file");
    assert_eq!(go(&vm, &mut host, map, &reserve(8, SUBMIT)), Ok(0));
    for position in [1u64, 3, u64::MAX, u64::MAX - 7, 1 << 40] {
        rustix::io::pwrite(&file, &position.to_le_bytes(), 0).expect("written");
        let _ = vm.ringbuf_consume(map, &mut |_| {});
        let _ = go(&vm, &mut host, map, &reserve(8, SUBMIT));
    }
    let user = ring(&vm, BPF_MAP_TYPE_USER_RINGBUF);
    let file = vm.map_fd(user).expect("a ring has a file");
    let drain =
        "lddw %r1, $map\nlddw %r2, $cb\nmov %r3, 0\nmov %r4, 0\ncall 209\nexit\ncb:\nmov %r0, 0\nexit";
    for (consumer, producer, header) in [
        (0u64, 7u64, 8u32),
        (0, 64, 1 << 29),
        (u64::MAX, 8, 0),
        (0, u64::MAX - 7, 0xffff_ffff),
        (3, 64, 8),
        (0, 1 << 40, 5000),
    ] {
        rustix::io::pwrite(&file, &consumer.to_le_bytes(), 0).expect("written");
        rustix::io::pwrite(&file, &producer.to_le_bytes(), 4096).expect("written");
        rustix::io::pwrite(&file, &header.to_le_bytes(), 8192).expect("written");
        go(&vm, &mut host, user, drain).expect("an errno or a count");
    }
}

#[test]
fn user_space_sends_records() {
    for sanitize in [false, true] {
        let (vm, mut host) = (vm(sanitize), TestHost::default());
        let map = ring(&vm, BPF_MAP_TYPE_USER_RINGBUF);
        for round in 0..200u64 {
            for i in 0..3u64 {
                vm.user_ringbuf_push(map, &(round + i).to_le_bytes()).expect("room");
            }
            // The callback adds up what it reads through the dynptr; ctx is the sum's address.
            let drain = "stdw [%r10-8], 0\nlddw %r1, $map\nlddw %r2, $cb\nmov %r3, %r10\nadd %r3, -8\nmov %r4, 0\ncall 209\n\
                         ldxdw %r1, [%r10-8]\nlsh %r0, 32\nadd %r0, %r1\nexit\ncb:\nmov %r6, %r2\nmov %r7, %r1\nmov %r2, 0\nmov %r3, 8\n\
                         call 203\njeq %r0, 0, none\nldxdw %r1, [%r0+0]\nldxdw %r2, [%r6+0]\nadd %r1, %r2\nstxdw [%r6+0], %r1\nnone:\n\
                         mov %r0, 0\nexit";
            assert_eq!(go(&vm, &mut host, map, drain), Ok((3 << 32) + 3 * round + 3), "round {round}");
        }
        assert_eq!(vm.user_ringbuf_push(map, &[0; 5000]), Err(Errno::ENOSPC));
        let stop =
            "lddw %r1, $map\nlddw %r2, $cb\nmov %r3, 0\nmov %r4, 0\ncall 209\nexit\ncb:\nmov %r0, 1\nexit";
        vm.user_ringbuf_push(map, &[1]).expect("room");
        vm.user_ringbuf_push(map, &[2]).expect("room");
        assert_eq!(go(&vm, &mut host, map, stop), Ok(1), "the callback's 1 ends it");
        let nested = "lddw %r1, $map\nlddw %r2, $cb\nmov %r3, %r10\nadd %r3, -8\nmov %r4, 0\ncall 209\nldxdw %r0, [%r10-8]\nexit\n\
                      cb:\nmov %r6, %r2\nlddw %r1, $map\nlddw %r2, $cb\nmov %r3, 0\nmov %r4, 0\ncall 209\nstxdw [%r6+0], %r0\nmov %r0, 1\nexit";
        assert_eq!(go(&vm, &mut host, map, nested), Ok(errno(16)));
    }
}

#[test]
fn dynptrs_keep_their_bounds() {
    let (vm, mut host) = (vm(true), TestHost::default());
    let spec = MapSpec {
        map_type: BPF_MAP_TYPE_ARRAY,
        key_size: 4,
        value_size: 32,
        max_entries: 1,
        ..MapSpec::default()
    };
    let map = vm.map_create(&spec).expect("an array");
    let at = vm.map_value_addr(map, 0).expect("its value");
    // r6: the dynptr at -16 over the value's 32 bytes; r7: the value.
    let head = "stw [%r10-20], 0\nlddw %r1, $map\nmov %r2, %r10\nadd %r2, -20\ncall 1\nmov %r7, %r0\nmov %r6, %r10\nadd %r6, -16\n\
                mov %r1, %r7\nmov %r2, 32\nmov %r3, 0\nmov %r4, %r6\ncall 197\njne %r0, 0, out\n";
    let mut run = |body: &str| go(&vm, &mut host, map, &format!("{head}{body}\nout:\nexit"));
    let write = |off: u32, len: u32| {
        format!(
            "stdw [%r10-32], 5\nmov %r1, %r6\nmov %r2, {off}\nmov %r3, %r10\nadd %r3, -32\nmov %r4, {len}\nmov %r5, 0\ncall 202\n"
        )
    };
    assert_eq!(run(&write(24, 8)), Ok(0));
    assert_eq!(vm.region().load(at + 24, 8), 5);
    assert_eq!(run(&write(25, 8)), Ok(errno(7)));
    let adjust = |a: u32, b: u32| format!("mov %r1, %r6\nmov %r2, {a}\nmov %r3, {b}\n@bpf_dynptr_adjust\n");
    assert_eq!(run(&adjust(8, 33)), Ok(errno(34)));
    assert_eq!(run(&adjust(9, 8)), Ok(errno(22)));
    let read = "mov %r1, %r10\nadd %r1, -32\nmov %r2, 8\nmov %r3, %r6\nmov %r4, 0\nmov %r5, 0\ncall 201\njne %r0, 0, out\nldxdw %r0, [%r10-32]";
    assert_eq!(run(&(adjust(24, 32) + read)), Ok(5));
    assert_eq!(run(&(adjust(24, 31) + read)), Ok(errno(7)));
    assert_eq!(run(&(adjust(4, 20) + "mov %r1, %r6\n@bpf_dynptr_size")), Ok(16));
    let data =
        |off: u32, len: u32| format!("mov %r1, %r6\nmov %r2, {off}\nmov %r3, {len}\ncall 203\nsub %r0, %r7");
    assert_eq!(run(&(adjust(4, 20) + &data(8, 8))), Ok(12));
    let fill = "mov %r1, %r6\nmov %r2, 2\nmov %r3, 3\nmov %r4, 0xee\n@bpf_dynptr_memset";
    assert_eq!(run(fill), Ok(0));
    assert_eq!(vm.region().load(at, 8), 0xee_eeee_0000);
    // Nothing, at the end: the object check has nothing to check (found by random programs).
    let none = "mov %r1, %r6\nmov %r2, 32\nmov %r3, 0\nmov %r4, 1\n@bpf_dynptr_memset";
    assert_eq!(run(none), Ok(0));
    let slice = "mov %r1, %r6\nmov %r2, 2\nmov %r3, 0\nmov %r4, 1\n@bpf_dynptr_slice\nldxb %r0, [%r0+0]";
    assert_eq!(run(slice), Ok(0xee));
    let null = "stdw [%r6+0], 0\nmov %r1, %r6\n@bpf_dynptr_is_null";
    assert_eq!(run(null), Ok(1));
    // A program that forged one gets no further than the wall.
    let forged = "stdw [%r6+0], 4096\nmov %r1, %r6\nmov %r2, 0\nmov %r3, 4\nmov %r4, 1\n@bpf_dynptr_memset";
    assert!(matches!(run(forged), Err(TrapKind::BadAccess(_))));
}

#[test]
fn no_perf_events_and_streams_are_lines() {
    let (vm, mut host) = (vm(true), TestHost::default());
    let map_type = BPF_MAP_TYPE_PERF_EVENT_ARRAY;
    let spec = MapSpec { map_type, key_size: 4, value_size: 4, max_entries: 2, ..MapSpec::default() };
    let map = vm.map_create(&spec).expect("an array");
    let read = |index: &str| {
        format!(
            "stdw [%r10-24], 1\nlddw %r1, $map\n{index}\nmov %r3, %r10\nadd %r3, -24\nmov %r4, 24\ncall 55\n"
        )
    };
    assert_eq!(go(&vm, &mut host, map, &(read("mov %r2, 1") + "exit")), Ok(errno(2)));
    assert_eq!(go(&vm, &mut host, map, &(read("mov %r2, 2") + "exit")), Ok(errno(7)));
    assert_eq!(go(&vm, &mut host, map, &(read("mov32 %r2, -1") + "ldxdw %r0, [%r10-24]\nexit")), Ok(0));
    assert_eq!(vm.map_update(map, &[0; 4], &[3, 0, 0, 0], 0), Err(Errno::EBADF));
    let stream = |id: u32| {
        // "hi %d\n"
        format!(
            "lddw %r1, 0xa6425206968\nstxdw [%r10-8], %r1\nstdw [%r10-16], 42\nmov %r1, {id}\nmov %r2, %r10\nadd %r2, -8\n\
                 mov %r3, %r10\nadd %r3, -16\nmov %r4, 8\n@bpf_stream_vprintk\nexit"
        )
    };
    assert_eq!(go(&vm, &mut host, map, &stream(2)), Ok(0));
    assert_eq!(host.printed, ["hi 42"]);
    assert_eq!(go(&vm, &mut host, map, &stream(3)), Ok(errno(2)));
}

//! The format language of bpf_printk and friends.

mod host;

use host::{TestHost, run, vm};
use sextant_abi::{Mem, ObjKind, Reloc};
use sextant_vm::{Errno, Vm};

/// Puts bytes and a NUL into kernel memory.
fn text(vm: &Vm, bytes: &[u8]) -> u64 {
    let addr = vm.region().alloc(ObjKind::Kernel, bytes.len() as u32 + 1);
    vm.region().write_bytes(addr, bytes);
    addr
}

fn print(vm: &Vm, fmt: &str, args: &[u64]) -> Result<String, Errno> {
    let fmt = text(vm, fmt.as_bytes());
    let data: Vec<u8> = args.iter().flat_map(|w| w.to_le_bytes()).collect();
    let data = text(vm, &data);
    vm.bprintf(fmt, data, args.len() as u32 * 8)
}

#[test]
fn conversions() {
    let vm = vm(false);
    let s = text(&vm, b"task/0");
    let ip = text(&vm, &[10, 0, 0, 7]);
    let neg = -5i64 as u64;
    for (fmt, args, want) in [
        ("plain 100%%", vec![], "plain 100%"),
        ("%d %i", vec![neg, 7], "-5 7"),
        ("%u", vec![neg], "4294967291"),
        ("%ld %lld", vec![neg, neg], "-5 -5"),
        ("%lu %llu", vec![u64::MAX, u64::MAX], "18446744073709551615 18446744073709551615"),
        ("%x %X", vec![0xdead_beef_0000_00ab, 0xab], "ab AB"),
        ("%lx %llX", vec![0xdead_beef_0000_00ab, 0xab], "deadbeef000000ab AB"),
        ("[%5d] [%-5d] [%05d] [%+d] [% d]", vec![42, 42, neg, 42, 42], "[   42] [42   ] [-0005] [+42] [ 42]"),
        ("[%08llx] [%016lx]", vec![0xabc, 0xabc], "[00000abc] [0000000000000abc]"),
        ("%s: [%8s] [%-8s].", vec![s, s, s], "task/0: [  task/0] [task/0  ]."),
        ("%s|", vec![0], "|"),
        ("%s|", vec![u64::MAX], "|"),
        ("%c%c", vec![72, 105], "Hi"),
        (
            "%p %px %pK",
            vec![0xffff_8880_0000_0010, 0, 16],
            "ffff888000000010 0000000000000000 0000000000000010",
        ),
        ("%ps", vec![0x123], "0x123"),
        ("%pks!", vec![s], "task/0!"),
        ("%pi4 %pI4", vec![ip, ip], "010.000.000.007 10.0.0.7"),
        ("tab\there\n", vec![], "tab\there\n"),
    ] {
        assert_eq!(print(&vm, fmt, &args).as_deref(), Ok(want), "{fmt}");
    }
}

#[test]
fn what_the_kernel_refuses() {
    let vm = vm(false);
    for fmt in [
        "%", "%f", "%n", "%hd", "%zu", "%lld %", "%.3d", "%#x", "%*d", "%llld", "%sx", "%pZ", "%pi5", "%l",
        "\u{1}", "%é",
    ] {
        assert_eq!(print(&vm, fmt, &[1, 2, 3]), Err(Errno::EINVAL), "{fmt:?}");
    }
    assert_eq!(print(&vm, "%d %d", &[1]), Err(Errno::EINVAL), "too few arguments");
    assert_eq!(print(&vm, "%d", &[1, 2]).as_deref(), Ok("1"), "more are ignored");
    assert_eq!(print(&vm, "%d", &[0; 13]), Err(Errno::EINVAL), "more than 12 words");
    let fmt = text(&vm, b"%d");
    assert_eq!(vm.bprintf(fmt, fmt, 7), Err(Errno::EINVAL));
    assert_eq!(vm.bprintf(fmt, 0, 8), Err(Errno::EINVAL));
    assert_eq!(vm.bprintf(fmt, 16, 8), Err(Errno::EFAULT));
    assert_eq!(vm.bprintf(0, 0, 0), Err(Errno::EFAULT));
    assert_eq!(print(&vm, "%2000d", &[1]).map(|s| s.len()), Ok(1023));
}

#[test]
fn printk_reaches_the_host_as_lines() {
    let vm = vm(false);
    let mut host = TestHost::default();
    let fmt = b"cpu %d of %u\n";
    let at = text(&vm, fmt);
    let call = |size: usize| {
        format!("lddw %r1, 0\nmov %r2, {size}\nmov %r3, 1\nmov %r4, 2\nmov %r5, 3\ncall 6\nexit")
    };
    let relocs = [(0, Reloc::Addr(at))];
    assert_eq!(run(&vm, &mut host, &call(fmt.len() + 1), &relocs).map(|r| r.r0), Ok(11));
    assert_eq!(
        run(&vm, &mut host, &call(fmt.len()), &relocs).map(|r| r.r0),
        Ok(Errno::EINVAL.ret()),
        "no NUL"
    );
    let vprintk = "stdw [%r10-16], 5\nstdw [%r10-8], 6\nlddw %r1, 0\nmov %r2, 14\nmov %r3, %r10\nadd %r3, -16\n\
                   mov %r4, 16\ncall 177\nexit";
    assert_eq!(run(&vm, &mut host, vprintk, &[(2, Reloc::Addr(at))]).map(|r| r.r0), Ok(11));
    assert_eq!(host.printed, ["cpu 1 of 2", "cpu 5 of 6"]);
}

#[test]
fn snprintf_cuts_and_counts() {
    let vm = vm(false);
    let at = text(&vm, b"n=%d");
    let asm = |size: u32| {
        format!(
            "stdw [%r10-16], 1234\nstdw [%r10-8], -1\nlddw %r3, 0\nmov %r1, %r10\nadd %r1, -8\nmov %r2, {size}\n\
             mov %r4, %r10\nadd %r4, -16\nmov %r5, 8\ncall 165\nldxdw %r1, [%r10-8]\nlsh %r0, 56\nxor %r0, %r1\nexit"
        )
    };
    let run = |size| run(&vm, &mut TestHost::default(), &asm(size), &[(2, Reloc::Addr(at))]).map(|r| r.r0);
    let bytes = |b: &[u8; 8]| u64::from_le_bytes(*b);
    assert_eq!(run(8), Ok(bytes(b"n=1234\0\xff") ^ 7 << 56));
    assert_eq!(run(4), Ok(bytes(b"n=1\0\xff\xff\xff\xff") ^ 7 << 56));
    assert_eq!(run(0), Ok(u64::MAX ^ 7 << 56));
}

host::compiled_too! {
    conversions
    what_the_kernel_refuses
    printk_reaches_the_host_as_lines
    snprintf_cuts_and_counts
}

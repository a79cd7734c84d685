//! bpf(2) called directly: sizes, fields, refusals, and random attributes.

use std::rc::Rc;

use sextant_abi::types::TaskStruct;
use sextant_bpf::vmlinux::Vmlinux;
use sextant_vm::{Vm, VmConfig};

use super::*;

fn kernel() -> Rc<Kernel> {
    let kernel = Kernel::new(KernelConfig { nr_cpus: 4, vmlinux: Rc::new(Vmlinux::build(&|_| true)) });
    let config = VmConfig { nr_cpus: 4, task_size: TaskStruct::SIZE, ..VmConfig::default() };
    kernel.set_vm(Rc::new(Vm::new(config).unwrap()), Vec::new());
    kernel
}

/// Attributes as words at offsets.
struct Call(Vec<u8>);

impl Call {
    fn new(size: usize) -> Call {
        Call(vec![0; size])
    }

    fn w32(mut self, at: usize, value: u32) -> Call {
        self.0[at..at + 4].copy_from_slice(&value.to_le_bytes());
        self
    }

    fn ptr<T>(mut self, at: usize, to: *const T) -> Call {
        self.0[at..at + 8].copy_from_slice(&(to as u64).to_le_bytes());
        self
    }

    fn go(&mut self, k: &Kernel, command: u32) -> i32 {
        k.bpf(command, self.0.as_mut_ptr() as u64, self.0.len() as u32)
    }
}

fn array(k: &Kernel, value_size: u32, entries: u32) -> i32 {
    let call = Call::new(72).w32(0, 2).w32(4, 4).w32(8, value_size).w32(12, entries);
    let mut call = call;
    call.0[28..31].copy_from_slice(b"map");
    call.go(k, cmd::MAP_CREATE)
}

fn close(fd: i32) {
    // SAFETY: the descriptor came from the call under test and is nobody else's.
    unsafe { libc::close(fd) };
}

#[test]
fn sizes_are_checked_as_the_kernel_checks_them() {
    let k = kernel();
    let mut page = Call::new(4096).w32(0, 2).w32(4, 4).w32(8, 4).w32(12, 1);
    let fd = page.go(&k, cmd::MAP_CREATE);
    assert!(fd >= 0, "zeros behind the known fields are fine");
    close(fd);
    assert_eq!(Call::new(4097).go(&k, cmd::MAP_CREATE), -libc::E2BIG, "more than a page");
    assert_eq!(Call::new(200).w32(180, 1).go(&k, cmd::MAP_CREATE), -libc::E2BIG, "unknown field");
    assert_eq!(Call::new(168).w32(100, 1).go(&k, cmd::MAP_FREEZE), -libc::EINVAL, "field of another command");
    assert_eq!(k.bpf(cmd::MAP_CREATE, 8, 72), -libc::EFAULT, "attributes nowhere");
    assert_eq!(Call::new(168).go(&k, cmd::MAX), -libc::EINVAL, "no such command");
}

#[test]
fn elements_of_an_array() {
    let k = kernel();
    let fd = array(&k, 8, 2);
    let (key, value, mut out) = (1u32, 0x1122_3344_5566_7788u64, 0u64);
    let elem = |at: usize, to: *const u64| Call::new(32).w32(0, fd as u32).ptr(8, &key).ptr(at, to);
    assert_eq!(elem(16, &value).go(&k, cmd::MAP_UPDATE_ELEM), 0);
    assert_eq!(elem(16, &raw mut out).go(&k, cmd::MAP_LOOKUP_ELEM), 0);
    assert_eq!(out, value);
    assert_eq!(elem(16, std::ptr::null()).go(&k, cmd::MAP_LOOKUP_ELEM), -libc::EFAULT);
    let (beyond, next) = (7u32, 0u32);
    let lookup = Call::new(32).w32(0, fd as u32).ptr(8, &beyond).ptr(16, &raw mut out);
    let mut lookup = lookup;
    assert_eq!(lookup.go(&k, cmd::MAP_LOOKUP_ELEM), -libc::ENOENT);
    assert_eq!(Call::new(32).w32(0, fd as u32).ptr(16, &next).go(&k, cmd::MAP_GET_NEXT_KEY), 0);
    assert_eq!(Call::new(4).w32(0, fd as u32).go(&k, cmd::MAP_FREEZE), 0);
    assert_eq!(Call::new(4).w32(0, fd as u32).go(&k, cmd::MAP_FREEZE), -libc::EBUSY);
    assert_eq!(elem(16, &value).go(&k, cmd::MAP_UPDATE_ELEM), -libc::EPERM);
    close(fd);
}

#[test]
fn batches_go_key_by_key() {
    let k = kernel();
    let fd = array(&k, 4, 4);
    let (keys, values) = ([0u32, 1, 2, 3], [10u32, 11, 12, 13]);
    let mut update =
        Call::new(56).ptr(16, keys.as_ptr()).ptr(24, values.as_ptr()).w32(32, 4).w32(36, fd as u32);
    assert_eq!(update.go(&k, cmd::MAP_UPDATE_BATCH), 0);
    let (mut got_keys, mut got, mut batch) = ([9u32; 8], [0u32; 8], 0u32);
    let mut lookup = Call::new(56)
        .ptr(8, &raw mut batch)
        .ptr(16, got_keys.as_mut_ptr())
        .ptr(24, got.as_mut_ptr())
        .w32(32, 8)
        .w32(36, fd as u32);
    assert_eq!(lookup.go(&k, cmd::MAP_LOOKUP_BATCH), -libc::ENOENT, "the end was reached");
    assert_eq!(u32::from_le_bytes(lookup.0[32..36].try_into().unwrap()), 4);
    assert_eq!((&got_keys[..4], &got[..4]), (&keys[..], &values[..]));
    close(fd);
}

#[test]
fn a_descriptor_is_known_by_its_file() {
    let k = kernel();
    let fd = array(&k, 4, 1);
    // SAFETY: both descriptors are of this test.
    let copy = unsafe { libc::dup(fd) };
    close(fd);
    assert_eq!(Call::new(4).w32(0, copy as u32).go(&k, cmd::MAP_FREEZE), 0);
    assert_eq!(Call::new(4).w32(0, u32::MAX).go(&k, cmd::MAP_FREEZE), -libc::EBADF);
    assert_eq!(Call::new(4).w32(0, 2).go(&k, cmd::MAP_FREEZE), -libc::EINVAL, "stderr is no map");
    close(copy);
}

fn prog(k: &Kernel, ty: u32, insns: &[u64], log: &mut [u8]) -> i32 {
    let call = Call::new(144).w32(0, ty).w32(4, insns.len() as u32).ptr(8, insns.as_ptr());
    let call = call.ptr(16, c"GPL".as_ptr()).w32(24, 1).w32(28, log.len() as u32).ptr(32, log.as_mut_ptr());
    let mut call = call;
    call.go(k, cmd::PROG_LOAD)
}

const EXIT: u64 = 0x95;
const MOV_R0_0: u64 = 0xb7;

fn text(log: &[u8]) -> &str {
    std::str::from_utf8(&log[..log.iter().position(|&b| b == 0).unwrap()]).unwrap()
}

#[test]
fn a_reachable_poisoned_call_has_the_kernels_two_lines() {
    let k = kernel();
    let mut log = [0; 256];
    let poison = 0x85 | 195_896_080u64 << 32;
    assert_eq!(prog(&k, 31, &[MOV_R0_0, poison, EXIT], &mut log), -libc::EINVAL);
    assert_eq!(text(&log), "1: (85) call unknown#195896080\ninvalid func unknown#195896080\n");
    // A jump over it: constant, so the call is never made.
    let skip = 0x15 | 1 << 16;
    let fd = prog(&k, 31, &[MOV_R0_0, skip, poison, EXIT], &mut log);
    assert!(fd >= 0, "{}", text(&log));
    close(fd);
    assert_eq!(k.refusals().len(), 1);
}

#[test]
fn a_short_log_is_enospc_and_keeps_the_end() {
    let k = kernel();
    let mut log = [0xff; 9];
    let poison = 0x85 | 195_896_080u64 << 32;
    assert_eq!(prog(&k, 31, &[MOV_R0_0, poison, EXIT], &mut log), -libc::ENOSPC);
    assert_eq!(text(&log), "5896080\n");
}

#[test]
fn an_offset_outside_the_value_fails_in_the_words_libbpf_looks_for() {
    let k = kernel();
    let fd = array(&k, 1, 1);
    let mut log = [0; 256];
    let load = 0x18 | 1 << 8 | 2 << 12 | u64::from(fd as u32) << 32;
    assert_eq!(prog(&k, 1, &[load, 1 << (32 + 30), EXIT], &mut log), -libc::EINVAL);
    assert!(text(&log).starts_with("invalid access to map value pointer"), "{}", text(&log));
    close(fd);
}

#[test]
fn a_sleepable_program_needs_an_op_that_may_sleep() {
    use sextant_bpf::btf::KindTag;
    let k = kernel();
    let ops = k.btf().find("sched_ext_ops", KindTag::Struct).unwrap();
    let member =
        |name: &str| k.btf().members(ops).iter().position(|m| k.btf().str(m.name) == name).unwrap() as u32;
    assert!(k.check_struct_ops_prog(ops.0, member("init"), true).is_ok());
    assert!(k.check_struct_ops_prog(ops.0, member("enqueue"), false).is_ok());
    let error = k.check_struct_ops_prog(ops.0, member("enqueue"), true).err().unwrap();
    assert_eq!(error.log, "attach to unsupported member enqueue of struct sched_ext_ops\n");
    assert!(k.check_struct_ops_prog(ops.0, member("flags"), false).is_err());
    assert!(k.check_struct_ops_prog(ops.0, 1000, false).is_err());
    assert!(k.check_struct_ops_prog(1, 0, false).is_err());
}

/// The cpu form has members that the kernel never calls; two of the cid form's have a parameter in an arena.
#[test]
fn each_form_has_its_own_ops() {
    use sextant_bpf::btf::KindTag;
    let k = kernel();
    let member = |ty: &str, name: &str| {
        let ops = k.btf().find(ty, KindTag::Struct).unwrap();
        let at = k.btf().members(ops).iter().position(|m| k.btf().str(m.name) == name).unwrap();
        (ops.0, at as u32)
    };
    for name in ["sub_caps_updated", "sub_ecaps_updated"] {
        let (ops, at) = member("sched_ext_ops", name);
        let refused = k.check_struct_ops_prog(ops, at, false).err().unwrap();
        assert_eq!(refused.errno, crate::errno::Errno::ENOTSUPP, "{name}");
        let words = format!("attach to unsupported member {name} of struct sched_ext_ops\n");
        assert_eq!(refused.log, words);
        let (ops, at) = member("sched_ext_ops_cid", name);
        assert!(k.check_struct_ops_prog(ops, at, false).is_ok(), "{name}");
    }
    for (name, wants) in [("set_cmask", true), ("sub_caps_updated", true), ("enable", false)] {
        let (ops, at) = member("sched_ext_ops_cid", name);
        let refused = k.check_arena_arg(ops, at, &[]).err().map(|refused| refused.log);
        let words = format!("arena argument of {name} requires a program with an associated arena\n");
        assert_eq!(refused, wants.then_some(words), "{name}");
    }
}

#[test]
fn test_run_of_a_syscall_program() {
    let k = kernel();
    let mut log = [0; 256];
    // r0 = *(u32 *)(ctx + 0); *(u32 *)(ctx + 4) = r0; exit
    let code = [0x61 | 1 << 12, 0x63 | 1 << 8 | 4 << 16, EXIT];
    let fd = prog(&k, 31, &code, &mut log);
    assert!(fd >= 0, "{}", text(&log));
    let mut ctx = [77u32, 0];
    let mut run = Call::new(80).w32(0, fd as u32).w32(40, 8).ptr(48, ctx.as_mut_ptr());
    assert_eq!(run.go(&k, cmd::PROG_TEST_RUN), 0);
    assert_eq!(u32::from_le_bytes(run.0[4..8].try_into().unwrap()), 77);
    assert_eq!(ctx, [77, 77]);
    let mut repeat = Call::new(80).w32(0, fd as u32).w32(32, 3);
    assert_eq!(repeat.go(&k, cmd::PROG_TEST_RUN), -libc::EINVAL);
    close(fd);
}

#[test]
fn random_attributes_are_answered() {
    let k = kernel();
    let fd = array(&k, 16, 4);
    let buffer = [0u8; 4096];
    let mut seed = 0x2545_f491_4f6c_dd1du64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for round in 0..20_000u32 {
        let command = round % (cmd::MAX + 2);
        let size = (random() % 180) as usize / 4 * 4;
        let mut call = Call::new(size);
        for at in (0..size).step_by(4) {
            let value = match random() % 8 {
                0 => fd as u32,
                1 => random() as u32,
                2 => (random() % 64) as u32,
                // Low half of a pointer that is readable, high half by chance of the next word.
                3 => buffer.as_ptr() as u32,
                4 => (buffer.as_ptr() as u64 >> 32) as u32,
                _ => 0,
            };
            call = call.w32(at, value);
        }
        let answer = call.go(&k, command);
        assert!((-4095..1 << 20).contains(&answer), "{command}: {answer}");
        if answer > 2 && answer != fd {
            close(answer);
        }
    }
    close(fd);
}

/// Every helper is either in the vm, or a program that calls it is noted when it is loaded, so that it is never run.
#[test]
fn a_helper_that_the_vm_lacks_is_noted_at_the_load() {
    use sextant_abi::tables::HELPERS;
    use sextant_vm::helper_is_implemented;
    let license = b"GPL\0";
    let load = |k: &Kernel, number: u32| {
        // if (r1 == 0) return 0; call: the call is live, for all that is known.
        let insns: [u64; 4] = [0xb7, 0x0001_0115, 0x85 | u64::from(number) << 32, 0x95];
        let mut call = Call::new(128)
            .w32(0, ProgType::SYSCALL.0)
            .w32(4, insns.len() as u32)
            .ptr(8, insns.as_ptr())
            .ptr(16, license.as_ptr());
        let fd = call.go(k, cmd::PROG_LOAD);
        assert!(fd >= 0, "helper {number}: {fd}");
        close(fd);
    };
    let mut implemented = 0;
    for helper in HELPERS.iter().skip(1) {
        let k = kernel();
        let number = helper.id as u32;
        load(&k, number);
        let noted: Vec<_> = k.missing_helpers().into_iter().map(|(_, helper)| helper).collect();
        let want = if helper_is_implemented(number) { vec![] } else { vec![helper.id] };
        assert_eq!(noted, want, "{}", helper.name);
        implemented += usize::from(noted.is_empty());
    }
    assert!(implemented >= 70, "{implemented}");
}

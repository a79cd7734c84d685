//! No panic is reachable from input: the targets of `fuzz/`, run on mutations of good inputs. Deterministic; cargo-fuzz goes further.

use std::process::Command;
use std::rc::Rc;

use sextant_bpf::vmlinux::Vmlinux;
use sextant_fuzz::rng::Rng;
use sextant_fuzz::target::mutate::mutate;
use sextant_fuzz::target::{self, seeds};
use sextant_uapi::{KernelConfig, script};
use sextant_vm::{Vm, VmConfig};

/// Runs mutations; a panic says which.
fn run(name: &str, inputs: &[Vec<u8>], count: u64, target: fn(&[u8])) {
    inputs.iter().for_each(|input| target(input));
    for nth in 0..count {
        let input = mutate(inputs, &mut Rng::new(nth));
        if std::panic::catch_unwind(|| target(&input)).is_err() {
            panic!("{name}: mutation {nth}: {input:02x?}");
        }
    }
}

#[test]
fn btf() {
    run("btf", &seeds::btf(), 20_000, target::btf);
    // The kernel's own is large; once is enough.
    target::btf(&Vmlinux::build(&|_| true).bytes);
}

#[test]
fn disasm() {
    run("disasm", &seeds::disasm(), 5_000, target::disasm);
}

#[test]
fn verify() {
    run("verify", &seeds::verify(), 4_000, target::verify);
}

#[test]
fn bpf() {
    let config = KernelConfig { nr_cpus: 2, vmlinux: Rc::new(Vmlinux::build(&|_| true)) };
    let vm = Vm::new(VmConfig { nr_cpus: 2, ..VmConfig::default() }).expect("a vm");
    let answers = script::run(&seeds::bpf()[0], config, Rc::new(vm));
    // An array's elements cannot be deleted.
    let good = |(nth, answer): (usize, &i32)| if nth == 4 { *answer == -22 } else { *answer >= 0 };
    assert!(answers.iter().enumerate().all(good), "the script itself works: {answers:?}");
    run("bpf", &seeds::bpf(), 6_000, target::bpf);
}

/// libbpf is C and may crash: in a process of its own, which says how far it came.
#[test]
fn elf() {
    let exe = std::env::current_exe().expect("this test's program");
    let child = Command::new(exe).args(["elf_in_process", "--exact", "--ignored", "--nocapture"]).output();
    let output = child.expect("this test's program starts");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let last: Vec<&str> = said.lines().rev().take(5).collect();
    assert!(output.status.success(), "{}: {last:?}", output.status);
}

#[test]
#[ignore = "run by elf"]
fn elf_in_process() {
    let inputs = seeds::elf();
    for nth in 0..1_500 {
        println!("mutation {nth}");
        target::elf(&mutate(&inputs, &mut Rng::new(nth)));
    }
}

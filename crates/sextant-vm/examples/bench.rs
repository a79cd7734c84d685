//! Nanoseconds per BPF instruction of both engines, for three kernels in BPF assembly, against the same in C by clang-19 -O2
//! (bench_native.c); what entering, calling out and compiling cost.
//!
//! `cargo run --release -p sextant-vm --example bench`

use std::process::Command;

use sextant_abi::{ProgramImage, Reloc};
use sextant_vm::map::{BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_HASH};
use sextant_vm::{Engine, Host, MapId, MapSpec, Trap, Vm, VmConfig};

/// Arithmetic in registers: a xorshift with a running sum.
const ALU: &str = "
mov %r0, 0
mov %r4, 0
lddw %r1, 0x9e3779b97f4a7c15
mov %r2, 1000000
loop:
mov %r3, %r1
lsh %r3, 13
xor %r1, %r3
mov %r3, %r1
rsh %r3, 7
xor %r1, %r3
mov %r3, %r1
lsh %r3, 17
xor %r1, %r3
add %r0, %r1
add32 %r4, %r0
sub %r2, 1
jne %r2, 0, loop
exit
";

/// A permutation in a map value, followed a million times.
const CHASE: &str = "
lddw %r6, 0
mov %r1, 0
mov %r2, 1000000
loop:
lsh %r1, 3
mov %r3, %r6
add %r3, %r1
ldxdw %r1, [%r3+0]
sub %r2, 1
jne %r2, 0, loop
mov %r0, %r1
exit
";

/// A list of 24-byte nodes (next, key, count) in a map value, walked and counted.
const LIST: &str = "
lddw %r6, 0
mov %r0, 0
mov %r2, 10000
outer:
mov %r1, %r6
inner:
ldxdw %r3, [%r1+8]
ldxw %r4, [%r1+16]
add32 %r4, 1
stxw [%r1+16], %r4
jgt %r3, 50, skip
add %r0, %r3
skip:
ldxdw %r1, [%r1+0]
jne %r1, 0, inner
sub %r2, 1
jne %r2, 0, outer
exit
";

/// A hash look-up per round: the cost of a helper, for comparison.
const LOOKUP: &str = "
mov %r6, 100000
stdw [%r10-8], 5
loop:
lddw %r1, 0
mov %r2, %r10
add %r2, -8
call 1
sub %r6, 1
jne %r6, 0, loop
mov %r0, 0
exit
";

/// Nanoseconds that this thread was on a CPU: other load disturbs little. Giving way brings the kernel's count up to date.
fn cpu_ns() -> u64 {
    std::thread::yield_now();
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("schedstat of this thread");
    stat.split(' ').next().and_then(|ns| ns.parse().ok()).expect("nanoseconds")
}

struct Nobody;

impl Host for Nobody {
    fn ktime_ns(&mut self, insns: u64) -> u64 {
        insns
    }
    fn jiffies(&mut self) -> u64 {
        0
    }
    fn cpu(&self) -> u32 {
        0
    }
    fn nr_cpus(&self) -> u32 {
        1
    }
    fn current_task(&self) -> u64 {
        0
    }
    fn prandom_u32(&mut self) -> u32 {
        0
    }
    fn printk(&mut self, _: &str) {}
    fn kfunc(&mut self, _: &Vm, id: u32, _: [u64; 5]) -> Result<u64, Trap> {
        Err(Trap::kfunc(format!("no kfunc {id}")))
    }
    fn timer_start(&mut self, _: u64, _: u64, _: bool) {}
    fn timer_cancel(&mut self, _: u64) -> bool {
        false
    }
    fn task_alive(&self, _: u64) -> bool {
        false
    }
}

fn array(vm: &Vm, words: &[u64]) -> MapId {
    let value: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
    let spec = MapSpec {
        map_type: BPF_MAP_TYPE_ARRAY,
        key_size: 4,
        value_size: value.len() as u32,
        max_entries: 1,
        ..MapSpec::default()
    };
    let id = vm.map_create(&spec).expect("an array");
    vm.map_update(id, &[0; 4], &value, 0).expect("its element");
    id
}

/// A permutation of 0..4096 that is one cycle.
fn cycle() -> Vec<u64> {
    (0..4096u64).map(|i| (i * 1_103 + 7) % 4096).collect()
}

fn list(vm: &Vm) -> MapId {
    let id = array(vm, &[0; 300]);
    let base = vm.map_value_addr(id, 0).expect("its first byte");
    let node = |i: u64| [if i == 99 { 0 } else { base + (i + 1) * 24 }, i, 0];
    let words: Vec<u64> = (0..100).flat_map(node).collect();
    let value: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
    vm.map_update(id, &[0; 4], &value, 0).expect("its element");
    id
}

fn hash(vm: &Vm) -> MapId {
    let spec = MapSpec {
        map_type: BPF_MAP_TYPE_HASH,
        key_size: 8,
        value_size: 8,
        max_entries: 64,
        ..MapSpec::default()
    };
    let id = vm.map_create(&spec).expect("a hash");
    for key in 0..16u64 {
        vm.map_update(id, &key.to_le_bytes(), &key.to_le_bytes(), 0).expect("an element");
    }
    id
}

/// Nanoseconds per instruction, best of ten runs; instructions; result.
fn bench(vm: &Vm, name: &str, asm: &str, relocs: &[(u32, Reloc)]) -> (f64, u64, u64) {
    let insns = sextant_bpf::asm::assemble(asm).expect("the kernel's text");
    let (name, relocs) = (name.to_owned(), relocs.to_vec());
    let prog = vm.prog_add(ProgramImage { name, insns, relocs, ..ProgramImage::default() });
    let runs = (0..10).map(|_| {
        let start = cpu_ns();
        let run = vm.run(prog, &[0], &mut Nobody).expect("the kernel ends");
        ((cpu_ns() - start) as f64 / run.insns as f64, run.insns, run.r0)
    });
    runs.min_by(|a, b| a.0.total_cmp(&b.0)).expect("ten runs")
}

/// Nanoseconds that entering and leaving a program costs.
fn bench_entry(vm: &Vm) -> f64 {
    let insns = sextant_bpf::asm::assemble("mov %r0, 0\nexit").expect("a program");
    let prog = vm.prog_add(ProgramImage { name: "entry".to_owned(), insns, ..ProgramImage::default() });
    let rounds = 1_000_000u32;
    let start = cpu_ns();
    for _ in 0..rounds {
        vm.run(prog, &[1, 2], &mut Nobody).expect("it ends");
    }
    (cpu_ns() - start) as f64 / f64::from(rounds)
}

/// Microseconds per instruction to compile: the first run of programs that end at once, less that of interpreted ones.
fn bench_compile() -> f64 {
    let mut asm = "mov %r0, 0\njeq %r0, 0, end\n".to_owned();
    for _ in 0..200 {
        asm += "ldxdw %r2, [%r1+8]\nadd %r2, 5\njgt %r2, 9, end\nstxdw [%r1+0], %r2\ncall 5\n";
    }
    let insns = sextant_bpf::asm::assemble(&(asm + "end:\nexit")).expect("a program");
    let first_runs = |engine| {
        let vm = Vm::new(VmConfig { nr_cpus: 1, engine, ..VmConfig::default() }).expect("address space");
        let add = |_| vm.prog_add(ProgramImage { insns: insns.clone(), ..ProgramImage::default() });
        let progs: Vec<_> = (0..100).map(add).collect();
        let start = cpu_ns();
        progs.iter().for_each(|prog| _ = vm.run(*prog, &[0, 0], &mut Nobody).expect("it ends"));
        (cpu_ns() - start) as f64 / 1_000.0
    };
    (first_runs(Engine::Jit) - first_runs(Engine::Interpreter)) / (100.0 * insns.len() as f64)
}

/// Nanoseconds of a run of each kernel, and its result, compiled from C; none without the compiler.
fn native() -> Option<Vec<(f64, u64)>> {
    let program = std::env::temp_dir().join(format!("sextant-bench-{}", std::process::id()));
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/bench_native.c");
    let status = Command::new("clang-19").args(["-O2", source, "-o"]).arg(&program).status();
    let output = status.ok().filter(|s| s.success()).and_then(|_| Command::new(&program).output().ok());
    _ = std::fs::remove_file(&program); // else a temporary file stays
    let text = String::from_utf8(output?.stdout).ok()?;
    let numbers = |line: &str| {
        let mut words = line.split(' ').skip(1);
        Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
    };
    text.lines().map(numbers).collect()
}

fn main() {
    let engines = [(Engine::Interpreter, false), (Engine::Jit, false), (Engine::Interpreter, true)];
    let vms = engines.map(|(engine, sanitize)| {
        let cfg = VmConfig { nr_cpus: 1, engine, sanitize, ..VmConfig::default() };
        let vm = Vm::new(cfg).expect("address space");
        let (chase, list, hash) = (array(&vm, &cycle()), list(&vm), hash(&vm));
        (vm, chase, list, hash)
    });
    let native = native();
    println!("ns/insn         insns  interp     jit  native  jit/native  interp/native  sanitize");
    let (mut jit_ratios, mut interp_ratios) = (Vec::new(), Vec::new());
    for (at, name) in ["alu", "chase", "list", "lookup"].into_iter().enumerate() {
        let [interp, jit, sanitized] = vms.each_ref().map(|(vm, chase, list, hash)| match at {
            0 => bench(vm, name, ALU, &[]),
            1 => bench(vm, name, CHASE, &[(0, Reloc::MapValue(chase.0, 0))]),
            2 => bench(vm, name, LIST, &[(0, Reloc::MapValue(list.0, 0))]),
            _ => bench(vm, name, LOOKUP, &[(2, Reloc::Map(hash.0))]),
        });
        assert_eq!((interp.1, interp.2), (jit.1, jit.2), "{name}: the engines differ");
        print!("{name:8} {:>12}  {:6.2}  {:6.2}", jit.1, interp.0, jit.0);
        match native.as_ref().and_then(|native| native.get(at)) {
            Some(&(ns, result)) => {
                assert_eq!(result, jit.2, "{name}: C has another result");
                let native = ns / jit.1 as f64;
                jit_ratios.push(jit.0 / native);
                interp_ratios.push(interp.0 / native);
                print!("  {native:6.2}  {:10.2}  {:13.2}", jit.0 / native, interp.0 / native);
            }
            None => print!("  {:>6}  {:>10}  {:>13}", "-", "-", "-"),
        }
        println!("  {:8.2}", sanitized.0);
    }
    let mean = |ratios: &[f64]| (ratios.iter().map(|r| r.ln()).sum::<f64>() / ratios.len() as f64).exp();
    if !jit_ratios.is_empty() {
        println!(
            "geometric mean of the ratios: jit {:.2}, interp {:.2}",
            mean(&jit_ratios),
            mean(&interp_ratios)
        );
    }
    let [interp, jit, sanitized] = vms.each_ref().map(|(vm, ..)| bench_entry(vm));
    println!("entry, ns/call: interp {interp:.1}, jit {jit:.1}, sanitize {sanitized:.1}");
    println!("compile: {:.3} us/insn", bench_compile());
}

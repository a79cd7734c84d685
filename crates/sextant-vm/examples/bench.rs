//! Nanoseconds per BPF instruction of the interpreter, for three kernels in BPF assembly.
//!
//! `cargo run --release -p sextant-vm --example bench`

use std::time::Instant;

use sextant_abi::{ProgramImage, Reloc};
use sextant_vm::map::{BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_HASH};
use sextant_vm::{Host, MapId, MapSpec, Trap, Vm, VmConfig};

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

fn bench(vm: &Vm, name: &str, asm: &str, relocs: Vec<(u32, Reloc)>) {
    let insns = sextant_bpf::asm::assemble(asm).expect("the kernel's text");
    let prog = vm.prog_add(ProgramImage { name: name.to_owned(), insns, relocs, ..ProgramImage::default() });
    let mut best = f64::INFINITY;
    let mut count = 0;
    for _ in 0..10 {
        let start = Instant::now();
        let run = vm.run(prog, &[0], &mut Nobody).expect("the kernel ends");
        count = run.insns;
        best = best.min(start.elapsed().as_nanos() as f64 / run.insns as f64);
    }
    println!("{name:8} {count:>10} insns  {best:6.2} ns/insn");
}

/// What entering and leaving a program costs.
fn bench_entry(vm: &Vm) {
    let insns = sextant_bpf::asm::assemble("mov %r0, 0\nexit").expect("a program");
    let prog = vm.prog_add(ProgramImage { name: "entry".to_owned(), insns, ..ProgramImage::default() });
    let rounds = 1_000_000u32;
    let start = Instant::now();
    for _ in 0..rounds {
        vm.run(prog, &[1, 2], &mut Nobody).expect("it ends");
    }
    println!(
        "entry    {rounds:>10} calls  {:6.2} ns/call",
        start.elapsed().as_nanos() as f64 / f64::from(rounds)
    );
}

fn main() {
    for sanitize in [false, true] {
        println!("sanitize: {sanitize}");
        let vm = Vm::new(VmConfig { nr_cpus: 1, sanitize, ..VmConfig::default() }).expect("address space");
        let chase = array(&vm, &cycle());
        let list = list(&vm);
        let hash = hash(&vm);
        bench(&vm, "alu", ALU, vec![]);
        bench(&vm, "chase", CHASE, vec![(0, Reloc::MapValue(chase.0, 0))]);
        bench(&vm, "list", LIST, vec![(0, Reloc::MapValue(list.0, 0))]);
        bench(&vm, "lookup", LOOKUP, vec![(2, Reloc::Map(hash.0))]);
        bench_entry(&vm);
    }
}

//! A kernel for tests: records what programs ask of it; kfuncs are the test's own.

#![allow(dead_code)] // every test file uses another part

use std::cell::Cell;

use sextant_abi::{Insn, ProgramImage, Reloc};
use sextant_vm::{Engine, Host, Run, Trap, Vm, VmConfig};

/// A kfunc of a test.
pub type Kfunc = Box<dyn FnMut(&Vm, u32, [u64; 5]) -> Result<u64, Trap>>;

#[derive(Default)]
pub struct TestHost {
    pub now: u64,
    pub cpu: u32,
    pub current: u64,
    pub alive: Vec<u64>,
    pub printed: Vec<String>,
    /// Armed timers: address, time, pinned.
    pub timers: Vec<(u64, u64, bool)>,
    pub kfunc: Option<Kfunc>,
}

impl Host for TestHost {
    fn ktime_ns(&mut self, insns: u64) -> u64 {
        self.now + insns
    }
    fn jiffies(&mut self) -> u64 {
        4
    }
    fn cpu(&self) -> u32 {
        self.cpu
    }
    fn nr_cpus(&self) -> u32 {
        2
    }
    fn current_task(&self) -> u64 {
        self.current
    }
    fn prandom_u32(&mut self) -> u32 {
        7
    }
    fn printk(&mut self, text: &str) {
        self.printed.push(text.to_owned());
    }
    fn kfunc(&mut self, vm: &Vm, id: u32, args: [u64; 5]) -> Result<u64, Trap> {
        match &mut self.kfunc {
            Some(kfunc) => kfunc(vm, id, args),
            None => Err(Trap::kfunc(format!("no kfunc {id}"))),
        }
    }
    fn timer_start(&mut self, timer: u64, at_ns: u64, pinned: bool) {
        self.timers.retain(|t| t.0 != timer);
        self.timers.push((timer, at_ns, pinned));
    }
    fn timer_cancel(&mut self, timer: u64) -> bool {
        let before = self.timers.len();
        self.timers.retain(|t| t.0 != timer);
        before != self.timers.len()
    }
    fn task_alive(&self, task: u64) -> bool {
        self.alive.contains(&task)
    }
}

thread_local! {
    /// What runs the programs of this thread's vms.
    static ENGINE: Cell<Engine> = const { Cell::new(Engine::Interpreter) };
}

/// Runs a test on the compiler.
pub fn compiled(test: fn()) {
    ENGINE.set(Engine::Jit);
    test();
}

/// The named tests once more, on the compiler.
#[allow(unused_macros)] // likewise
macro_rules! compiled_too {
    ($($test:ident)*) => {
        mod compiled {
            $(
                #[test]
                fn $test() {
                    super::host::compiled(super::$test);
                }
            )*
        }
    };
}
#[allow(unused_imports)] // likewise
pub(crate) use compiled_too;

/// A vm with 2 CPUs and 64-byte tasks, of which bytes 16..24 and 32..40 may be written.
pub fn vm(sanitize: bool) -> Vm {
    let task_writable = vec![(16, 8), (32, 8)];
    Vm::new(VmConfig { nr_cpus: 2, sanitize, task_size: 64, task_writable, engine: ENGINE.get(), memory: 0 })
        .expect("address space")
}

/// An image from assembler text; `lddw %rN, <n>` at the slots of `relocs` gets the thing instead.
pub fn image(asm: &str, relocs: &[(u32, Reloc)]) -> ProgramImage {
    let insns: Vec<Insn> = sextant_bpf::asm::assemble(asm).expect("the test's assembler text");
    ProgramImage { name: "test".to_owned(), insns, relocs: relocs.to_vec(), ..ProgramImage::default() }
}

/// Runs assembler text with one context word.
pub fn run(vm: &Vm, host: &mut TestHost, asm: &str, relocs: &[(u32, Reloc)]) -> Result<Run, Trap> {
    let prog = vm.prog_add(image(asm, relocs));
    vm.run(prog, &[0x1122_3344_5566_7788], host)
}

/// A map's relocation.
pub fn map(id: sextant_vm::MapId) -> Reloc {
    Reloc::Map(id.0)
}

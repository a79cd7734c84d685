//! bpf(2) and object files.

use std::rc::Rc;

use sextant_abi::types::TaskStruct;
use sextant_bpf::vmlinux::Vmlinux;
use sextant_uapi::{KernelConfig, OpenOptions, open, script};
use sextant_vm::{Vm, VmConfig};

thread_local! {
    static VMLINUX: Rc<Vmlinux> = Rc::new(Vmlinux::build(&|_| true));
}

fn vm() -> Rc<Vm> {
    let config = VmConfig { nr_cpus: 2, task_size: TaskStruct::SIZE, ..VmConfig::default() };
    Rc::new(Vm::new(config).expect("address space for a vm"))
}

/// A script of bpf(2) calls: [`script`] says how it is written.
pub fn bpf(data: &[u8]) {
    let config = KernelConfig { nr_cpus: 2, vmlinux: VMLINUX.with(Rc::clone) };
    script::run(data, config, vm());
}

/// An object file: refused with a reason, or opened, asked and loaded.
pub fn elf(data: &[u8]) {
    let options =
        OpenOptions { name: "fuzz".into(), ops: None, nr_cpus: 2, vmlinux: VMLINUX.with(Rc::clone) };
    match open(data, &options) {
        Ok(opened) => {
            let _ = opened.missing_kfuncs();
            if let Err(error) = opened.load(vm(), Vec::new()) {
                assert!(!error.to_string().is_empty());
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

//! Kernel variables that an object refers to: memory for them in the vm, and what is in it.

use sextant_abi::Mem;
use sextant_sched::topology::Shape;
use sextant_uapi::Opened;
use sextant_vm::Vm;

use crate::status::Failure;

/// Name and address of each variable that the object refers to and Sextant has. Only these get memory, so that addresses of all else do
/// not depend on what other objects ask for.
pub fn fill(opened: &Opened, vm: &Vm, machine: Shape, nr_cpus: u32) -> Result<Vec<(String, u64)>, Failure> {
    let mut all = Vec::new();
    for var in opened.kernel_vars() {
        let addr = vm
            .percpu_alloc(var.size)
            .map_err(|e| Failure::usage(format!("no memory for the kernel variable {}: {e}", var.name)))?;
        for cpu in 0..nr_cpus {
            // The only one there is: the number of the cache.
            let value = machine.llc_of(cpu);
            if let Some(at) = vm.percpu_addr(addr, cpu) {
                vm.region().write_bytes(at, &value.to_le_bytes());
            }
        }
        all.push((var.name.to_owned(), addr));
    }
    Ok(all)
}

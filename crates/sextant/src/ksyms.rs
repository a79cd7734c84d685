//! Kernel variables that an object refers to: memory for them in the vm, and what is in it.

use sextant_abi::tables::{CPU_KHZ, PercpuVar};
use sextant_abi::types::CpufreqPolicy;
use sextant_abi::{Mem, ObjKind};
use sextant_sched::topology::Shape;
use sextant_uapi::Opened;
use sextant_vm::Vm;

use crate::status::Failure;

/// Name and address of each variable that the object refers to and Sextant has. Only these get memory, so that addresses of all else do
/// not depend on what other objects ask for. What a machine has provided is that; where there is none, it is memory like any other.
pub fn fill(opened: &Opened, vm: &Vm, machine: Shape, nr_cpus: u32) -> Result<Vec<(String, u64)>, Failure> {
    let mut all = Vec::new();
    for var in opened.kernel_vars() {
        let addr = match vm.percpu_provided(var.name) {
            Some(copies) => vm.percpu_bind(var.size, &copies),
            None => vm.percpu_alloc(var.size),
        };
        let addr =
            addr.map_err(|e| Failure::usage(format!("no memory for the kernel variable {}: {e}", var.name)))?;
        for cpu in 0..nr_cpus {
            if let Some(at) = vm.percpu_addr(addr, cpu) {
                init(var, vm, machine, cpu, at);
            }
        }
        all.push((var.name.to_owned(), addr));
    }
    Ok(all)
}

/// A CPU's copy at `at`; what is not named here stays 0 or is kept by the class.
fn init(var: &PercpuVar, vm: &Vm, machine: Shape, cpu: u32, at: u64) {
    let mem = vm.region();
    match var.name {
        "sd_llc_id" => mem.write_bytes(at, &machine.llc_of(cpu).to_le_bytes()),
        "sd_llc_size" => mem.write_bytes(at, &machine.llc_size().to_le_bytes()),
        "cpufreq_cpu_data" => {
            let policy = CpufreqPolicy::at(mem.alloc(ObjKind::Kernel, CpufreqPolicy::SIZE));
            policy.cpu().set(&*mem, cpu);
            policy.cpuinfo().max_freq().set(&*mem, CPU_KHZ);
            policy.cpuinfo().min_freq().set(&*mem, CPU_KHZ);
            policy.min().set(&*mem, CPU_KHZ);
            policy.max().set(&*mem, CPU_KHZ);
            policy.cur().set(&*mem, CPU_KHZ);
            mem.store(at, 8, policy.addr());
        }
        _ => {}
    }
}

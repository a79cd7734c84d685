//! Kernel variables that programs may refer to (`extern … __ksym`). Mirrors the `DEFINE_PER_CPU`s of kernel/sched and drivers/cpufreq, 7.3, as
//! far as schedulers ask for them.

use crate::types::{CType, CpufreqPolicy, IntEncoding, Ptr, Rq, TypeRef};

/// A per-CPU variable of the kernel's.
#[derive(Clone, Copy, Debug)]
pub struct PercpuVar {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub ty: TypeRef,
    /// Bytes of a CPU's copy.
    pub size: u32,
}

const fn var<T: CType>(name: &'static str) -> PercpuVar {
    PercpuVar { name, ty: T::REF, size: T::SIZE }
}

const fn int(name: &'static str) -> PercpuVar {
    PercpuVar { name, ty: TypeRef::Int("int", 4, IntEncoding::Signed), size: 4 }
}

/// The table.
///
/// - `sd_llc_id`, `sd_llc_size`: number and CPUs of the last-level cache that the CPU shares;
/// - `sched_core_priority`: 0, no CPU is better than another;
/// - `runqueues`: the CPU's run queue, the same object as `scx_bpf_cpu_rq` gives;
/// - `cpufreq_cpu_data`: the CPU's frequency policy.
pub static PERCPU_VARS: &[PercpuVar] = &[
    int("sd_llc_id"),
    int("sd_llc_size"),
    int("sched_core_priority"),
    var::<Rq>("runqueues"),
    var::<Ptr<CpufreqPolicy>>("cpufreq_cpu_data"),
];

/// Speed of every CPU of the simulated machine as cpufreq tells it, kHz.
pub const CPU_KHZ: u32 = 2_000_000;

//! Kernel variables that programs may refer to (`extern … __ksym`). Mirrors the `DEFINE_PER_CPU`s of kernel/sched, 7.3, as far as schedulers ask
//! for them.

use crate::types::{IntEncoding, TypeRef};

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

/// The table. `sd_llc_id`: the number of the last-level cache that the CPU shares.
pub static PERCPU_VARS: &[PercpuVar] =
    &[PercpuVar { name: "sd_llc_id", ty: TypeRef::Int("int", 4, IntEncoding::Signed), size: 4 }];

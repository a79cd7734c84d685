//! The emulated kernel: version and configuration.

/// CONFIG_NR_CPUS: the size of a cpumask in bits.
pub const NR_CPUS: usize = 8192;

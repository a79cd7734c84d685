//! One table per thing; what the rooms know of ops, kfuncs, helpers and constants is derived from these.

pub mod kconfig;

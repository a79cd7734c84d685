//! The kfuncs Sextant has: each takes the registers apart and calls the class (`Sched::kf_*`) or the machine.
//!
//! One table per subject, by `KfuncId`; what no table names does not exist: it is not in our BTF, so a weak
//! reference resolves to 0 and a strong one is reported by libbpf.

mod cid;
mod cpumask;
mod dsq;
mod idle;
mod iter;
mod report;
mod task;

use sextant_abi::tables::KfuncId;

use super::call::{Call, Ret};

/// What serves a kfunc.
pub(super) type Handler = fn(&mut Call<'_>) -> Ret;

/// The handler of a kfunc, if Sextant has it.
pub(super) fn handler(id: KfuncId) -> Option<Handler> {
    let id = id.canonical();
    dsq::handler(id)
        .or_else(|| idle::handler(id))
        .or_else(|| cid::handler(id))
        .or_else(|| task::handler(id))
        .or_else(|| cpumask::handler(id))
        .or_else(|| iter::handler(id))
        .or_else(|| report::handler(id))
}

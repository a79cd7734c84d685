//! What ops tables the recorded schedulers have: ops and flags. The recordings show only which ops were called.

use sextant_abi::types::*;
use sextant_sched::ops::{Op, OpsParams};

use crate::recording::Recording;

/// The table of a recorded scheduler.
#[derive(Clone, Debug)]
pub struct Table {
    /// Data members.
    pub params: OpsParams,
    /// The ops it implements.
    pub ops: Vec<Op>,
}

const BASE: &[&str] = &["select_cpu", "enqueue", "dispatch", "init", "exit"];
const RUN: &[&str] = &["running", "stopping"];
const QUEUE: &[&str] = &["runnable", "quiescent"];
const MISC: &[&str] = &["dequeue", "tick", "enable", "disable"];
const CGROUP: &[&str] = &["cgroup_init", "cgroup_exit", "cgroup_move", "cgroup_set_weight", "init_task"];
const ALL: &[&str] = &[
    "set_weight",
    "set_cpumask",
    "update_idle",
    "cpu_acquire",
    "cpu_release",
    "exit_task",
    "cgroup_prep_move",
    "cgroup_cancel_move",
];

/// The table of the scheduler that a recording is of; None for one that is not known.
pub fn table(rec: &Recording) -> Option<Table> {
    let (names, flags): (&[&[&str]], u64) = match rec.sched.as_str() {
        "scx_simple" => (&[BASE, RUN, &["enable"]], 0),
        "scx_cpu0" => (&[BASE], 0),
        "scx_central" => (&[BASE, RUN], SCX_OPS_ENQ_LAST),
        "scx_flatcg" => (&[BASE, RUN, QUEUE, CGROUP], SCX_OPS_ENQ_EXITING),
        "trc_misc" => (&[BASE, RUN, QUEUE, MISC], SCX_OPS_ENQ_EXITING | SCX_OPS_ENQ_MIGRATION_DISABLED),
        "trc_all" => (&[BASE, RUN, QUEUE, MISC, CGROUP, ALL], SCX_OPS_KEEP_BUILTIN_IDLE),
        _ => return None,
    };
    let option = match (rec.sched.as_str(), rec.opt.as_str()) {
        ("trc_all", "-f") => SCX_OPS_ENQ_LAST,
        (_, "-p") => SCX_OPS_SWITCH_PARTIAL,
        _ => 0,
    };
    let ops = names.iter().flat_map(|set| set.iter()).filter_map(|name| Op::from_name(name)).collect();
    let params = OpsParams { name: rec.sched.clone(), flags: flags | option, ..OpsParams::default() };
    Some(Table { params, ops })
}

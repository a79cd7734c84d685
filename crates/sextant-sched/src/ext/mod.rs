//! sched_ext: the class whose policy is an ops table. `Ext` is the state that is not per task or per runqueue.
//!
//! One file per subject, functions named as in the kernel. An entry point is atomic, so what the kernel does under locks,
//! with retries when a race is lost, is one step here; `ops_state` and qseq remain because nested ops can see them.
//!
//! Mirrors kernel/sched/ext/{ext,idle}.c of 7.3. Left out: sub-schedulers, overriding
//! cids.

mod bypass;
mod bypass_lb;
mod call;
pub(crate) mod cid;
pub mod class;
mod core_sched;
mod dispatch;
mod dsq;
mod dump;
pub mod enable;
mod enqueue;
pub mod entity;
pub mod events;
mod exit;
mod idle;
mod insert;
mod inspect;
mod kfunc;
mod kick;
mod lifecycle;
mod list;
mod long;
mod pick;
mod reenq;
pub mod replay;
pub mod rq;
mod transition;
mod tree;
mod watchdog;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::rc::Rc;

use sextant_abi::exit::{ExitInfo, ExitKind};
use sextant_abi::types::{SCX_SLICE_BYPASS, SCX_SLICE_DFL};
use sextant_abi::{CpuId, Ns};

pub use enable::{EnableError, check_ops_params};
pub use events::EventId;
pub use kfunc::iter::DsqIter;
pub use long::{LONG_CALL, LongCall};
pub use transition::Step;

use crate::ops::{Op, Ops};
use crate::task::TaskId;
use crate::topology::SelcpuTopology;

/// `enum scx_enable_state`
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EnableState {
    /// A scheduler is being loaded.
    Enabling,
    /// A scheduler is in charge.
    Enabled,
    /// A scheduler is being thrown out.
    Disabling,
    /// None.
    Disabled,
}

/// The class's global state: at most one scheduler.
pub struct Ext {
    pub(crate) ops: Option<Rc<dyn Ops>>,
    pub(crate) name: String,
    pub(crate) state: EnableState,
    /// Ops that are called now, by `Op::index`.
    pub(crate) has_op: u64,
    /// SCX_OPS_*, with HAS_CPU_PREEMPT.
    pub(crate) flags: u64,
    /// `scx_enabled()`: tasks may be in the class.
    pub(crate) enabled: bool,
    pub(crate) switching_all: bool,
    pub(crate) switched_all: bool,
    /// It was when disabling began.
    pub(crate) was_switched_all: bool,
    /// A scheduler is being enabled or disabled in steps.
    pub(crate) transition: Option<transition::Transition>,
    /// Forks call ops.init_task.
    pub(crate) init_task_enabled: bool,
    pub(crate) cgroup_inited: bool,
    /// The scheduler has returned from ops.exit: its kfuncs find no scheduler.
    pub(crate) dead: bool,
    pub(crate) max_batch: u32,
    pub(crate) dump_len: u32,
    /// 20 ms, or 5 ms while bypassing.
    pub(crate) slice_dfl: u64,
    pub(crate) bypass_depth: u32,
    pub(crate) bypass_timestamp: Ns,
    /// Slices while bypassing, ns (`slice_bypass_us`).
    pub(crate) slice_bypass: u64,
    pub(crate) bypass_lb_intv_us: u32,
    /// When the balancing is due, while its timer is pending.
    pub(crate) bypass_lb_due: Option<Ns>,
    pub(crate) aborting: bool,
    pub(crate) exit_kind: ExitKind,
    pub(crate) exit_info: Option<ExitInfo>,
    /// SCX_EFLAG_*
    pub(crate) exit_flags: u64,
    /// The CPU whose irq_work is to write the dump and queue the disable work.
    pub(crate) exit_work: Option<CpuId>,
    pub(crate) disable_pending: bool,
    pub(crate) watchdog: watchdog::Watchdog,
    pub(crate) dsqs: dsq::DsqTable,
    pub(crate) stats: events::EventStats,
    pub(crate) ctx: call::OpCtx,
    /// The op that returned last in this entry into the kernel, and whom it was about.
    pub(crate) returned: Option<(Op, Option<TaskId>)>,
    /// Calls that took long, until somebody asks.
    pub(crate) long_calls: Vec<long::LongCall>,
    /// Built-in idle tracking is on.
    pub(crate) builtin_idle: bool,
    pub(crate) masks: Option<idle::Masks>,
    /// Idle masks by node (SCX_OPS_BUILTIN_IDLE_PER_NODE).
    pub(crate) node_masks: Vec<idle::IdleSet>,
    pub(crate) selcpu: SelcpuTopology,
    /// Per CPU: what `any_and_distribute` gave last.
    pub(crate) distribute_prev: Vec<u32>,
    /// Its ops table is of the cid form.
    pub(crate) cid_form: bool,
    pub(crate) cids: cid::CidTable,
    /// Tasks by thread id (`scx_tid_hash`); only looked up.
    pub(crate) tid_to_task: BTreeMap<u64, TaskId>,
    pub(crate) tids: Vec<lifecycle::TidChunk>,
    pub(crate) tid_cursor: u64,
    /// A task has been in the class since the scheduler was attached.
    pub(crate) had_tasks: bool,
    /// Where the scheduler has programs beside the ops: a bit for each [`TracePoint`](sextant_abi::tables::TracePoint).
    pub(crate) traces: u32,
    pub(crate) dump: Option<dump::DumpBuf>,
    /// What a dump that somebody asked for is headed with.
    pub(crate) dump_as: Option<ExitInfo>,
    pub(crate) nr_rejected: u64,
    pub(crate) hotplug_seq: u64,
    pub(crate) enable_seq: u64,
}

impl Ext {
    /// No scheduler, `nr_cpus` CPUs.
    pub fn new(nr_cpus: u32) -> Self {
        Self {
            ops: None,
            name: String::new(),
            state: EnableState::Disabled,
            has_op: 0,
            flags: 0,
            enabled: false,
            switching_all: false,
            switched_all: false,
            was_switched_all: false,
            transition: None,
            init_task_enabled: false,
            cgroup_inited: false,
            dead: true,
            max_batch: 0,
            dump_len: 0,
            slice_dfl: SCX_SLICE_DFL,
            bypass_depth: 0,
            bypass_timestamp: Ns::ZERO,
            slice_bypass: SCX_SLICE_BYPASS,
            bypass_lb_intv_us: bypass_lb::DFL_INTV_US,
            bypass_lb_due: None,
            aborting: false,
            exit_kind: ExitKind::None,
            exit_info: None,
            exit_flags: 0,
            exit_work: None,
            disable_pending: false,
            watchdog: watchdog::Watchdog::default(),
            dsqs: dsq::DsqTable::new(nr_cpus),
            stats: [0; EventId::COUNT],
            ctx: call::OpCtx::default(),
            returned: None,
            long_calls: Vec::new(),
            builtin_idle: false,
            masks: None,
            node_masks: Vec::new(),
            selcpu: SelcpuTopology::default(),
            distribute_prev: vec![0; nr_cpus as usize],
            cid_form: false,
            cids: cid::CidTable::default(),
            tid_to_task: BTreeMap::new(),
            tids: vec![lifecycle::TidChunk::default(); nr_cpus as usize],
            tid_cursor: 1,
            had_tasks: false,
            traces: 0,
            dump: None,
            dump_as: None,
            nr_rejected: 0,
            hotplug_seq: 0,
            enable_seq: 0,
        }
    }

    /// Enable state.
    pub fn state(&self) -> EnableState {
        self.state
    }

    /// Whether an op is called now.
    pub(crate) fn has(&self, op: Op) -> bool {
        self.has_op >> op.index() & 1 != 0
    }

    /// How the current or last scheduler ended; None while it has not.
    pub fn exit_info(&self) -> Option<&ExitInfo> {
        self.exit_info.as_ref()
    }

    /// What a dump that is being made is about.
    pub(crate) fn dump_info(&self) -> Option<&ExitInfo> {
        self.dump_as.as_ref().or(self.exit_info.as_ref())
    }

    /// `ops.name` of the current or last scheduler.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `/sys/kernel/sched_ext/nr_rejected`
    pub fn nr_rejected(&self) -> u64 {
        self.nr_rejected
    }

    /// `/sys/kernel/sched_ext/enable_seq`
    pub fn enable_seq(&self) -> u64 {
        self.enable_seq
    }

    /// `/sys/kernel/sched_ext/hotplug_seq`
    pub fn hotplug_seq(&self) -> u64 {
        self.hotplug_seq
    }
}

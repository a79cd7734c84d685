//! `struct sched_ext_entity` without the fields a program sees: what the class keeps per task in ordinary Rust.
//!
//! The visible part (`slice`, `dsq_vtime`, `weight`, `flags`, `disallow`, …) lives in `task_struct.scx` only.
//! Mirrors include/linux/sched/ext.h (7.3); tid hash, core-sched and rescue are left out.

use sextant_abi::types::*;
use sextant_abi::{CpuId, DsqId};

use super::events::EventId;
use super::list::Link;
use super::tree::TreeNode;
use crate::sched::Sched;
use crate::task::TaskId;

/// Index of a DSQ in the table of all of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DsqIdx(pub(crate) u32);

impl DsqIdx {
    /// On no DSQ.
    pub const NONE: DsqIdx = DsqIdx(u32::MAX);

    /// Whether it names a DSQ.
    pub fn is_some(self) -> bool {
        self != Self::NONE
    }

    pub(crate) fn idx(self) -> usize {
        self.0 as usize
    }
}

/// `enum scx_ops_state`: who holds the task.
///
/// ```text
/// NONE ──► QUEUEING ──► QUEUED ──► DISPATCHING ──► NONE
///   ▲          │           │
///   └──────────┴───────────┘   direct dispatch, dequeue
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
pub enum OpsState {
    /// The class.
    #[default]
    None = 0,
    /// ops.enqueue is being called.
    Queueing = 1,
    /// The scheduler, in its own structures or a user DSQ still to be filled.
    Queued = 2,
    /// A dispatch is taking it.
    Dispatching = 3,
}

/// A recorded insertion: of a direct dispatch, or of an entry of the dispatch buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// Where to; `INVALID` for no verdict.
    pub dsq_id: DsqId,
    /// 0 keeps the slice that is left.
    pub slice: u64,
    /// Key for a priority insert.
    pub vtime: u64,
    /// SCX_ENQ_*.
    pub enq_flags: u64,
}

impl Verdict {
    /// No verdict.
    pub const NONE: Verdict = Verdict { dsq_id: DsqId::INVALID, slice: 0, vtime: 0, enq_flags: 0 };
}

/// `struct sched_ext_entity`, the private part.
#[derive(Clone, Debug)]
pub struct ExtEntity {
    /// DSQ it is on.
    pub(crate) dsq: DsqIdx,
    /// Place in that DSQ's order.
    pub(crate) link: Link,
    /// Place in that DSQ's tree (priority order only).
    pub(crate) node: TreeNode,
    /// In the tree.
    pub(crate) on_priq: bool,
    /// Number of the insertion in the DSQ; iterators skip what came after them.
    pub(crate) dsq_seq: u32,
    /// State and the generation of the enqueue it belongs to (qseq; 0 outside QUEUEING and QUEUED).
    pub(crate) ops_state: OpsState,
    pub(crate) qseq: u32,
    /// Last generation given out; skips 0.
    pub(crate) last_qseq: u32,
    /// CPU whose enqueue must take it to the local DSQ as it is.
    pub(crate) sticky_cpu: Option<CpuId>,
    /// CPU that is moving it between runqueues.
    pub(crate) holding_cpu: Option<CpuId>,
    /// What select_cpu said, not validated.
    pub(crate) selected_cpu: i32,
    /// Pending direct dispatch.
    pub(crate) ddsp: Verdict,
    /// Place in the runqueue's runnable list, and the runqueue whose list it is on.
    pub(crate) runnable: Link,
    pub(crate) runnable_cpu: Option<CpuId>,
    /// On some runqueue's `ddsp_deferred_locals`.
    pub(crate) deferred: bool,
    /// Reenqueues since it last ran.
    pub(crate) reenq_cnt: u32,
    /// A slice request from outside the runqueue, applied when it runs next.
    pub(crate) slice_oob: Option<u64>,
}

impl ExtEntity {
    /// Back to SCX_OPSS_NONE.
    pub(crate) fn clear_opss(&mut self) {
        self.ops_state = OpsState::None;
        self.qseq = 0;
    }
}

impl Default for ExtEntity {
    /// What `init_scx_entity` leaves.
    fn default() -> Self {
        Self {
            dsq: DsqIdx::NONE,
            link: Link::UNLINKED,
            node: TreeNode::default(),
            on_priq: false,
            dsq_seq: 0,
            ops_state: OpsState::None,
            qseq: 0,
            last_qseq: 0,
            sticky_cpu: None,
            holding_cpu: None,
            selected_cpu: 0,
            ddsp: Verdict::NONE,
            runnable: Link::UNLINKED,
            runnable_cpu: None,
            deferred: false,
            reenq_cnt: 0,
            slice_oob: None,
        }
    }
}

/// Access to the visible part of a task's entity.
impl Sched {
    pub(crate) fn scx(&self, p: TaskId) -> SchedExtEntity {
        self.tasks[p].ts.scx()
    }

    /// `p->scx.flags`
    pub(crate) fn scx_flags(&self, p: TaskId) -> u32 {
        self.scx(p).flags().get(&*self.mem)
    }

    pub(crate) fn set_scx_flags(&mut self, p: TaskId, bits: u32) {
        let flags = self.scx(p).flags();
        flags.set(&*self.mem, flags.get(&*self.mem) | bits);
    }

    pub(crate) fn clear_scx_flags(&mut self, p: TaskId, bits: u32) {
        let flags = self.scx(p).flags();
        flags.set(&*self.mem, flags.get(&*self.mem) & !bits);
    }

    /// SCX_TASK_QUEUED: between runnable and quiescent.
    pub(crate) fn scx_queued(&self, p: TaskId) -> bool {
        self.scx_flags(p) & SCX_TASK_QUEUED != 0
    }

    /// `scx_get_task_state`: SCX_TASK_NONE .. SCX_TASK_DEAD.
    pub(crate) fn scx_task_state(&self, p: TaskId) -> u32 {
        self.scx_flags(p) & SCX_TASK_STATE_MASK
    }

    /// `scx_set_task_state`; a task that has just been initialised starts to wait anew.
    pub(crate) fn set_scx_task_state(&mut self, p: TaskId, state: u32) {
        let reset = if state == SCX_TASK_INIT { SCX_TASK_RESET_RUNNABLE_AT } else { 0 };
        let flags = self.scx(p).flags();
        flags.set(&*self.mem, flags.get(&*self.mem) & !SCX_TASK_STATE_MASK | state | reset);
    }

    /// `p->scx.slice`, ns.
    pub(crate) fn slice(&self, p: TaskId) -> u64 {
        self.scx(p).slice().get(&*self.mem)
    }

    /// The default slice now; a request from outside the runqueue survives (`refill_task_slice_dfl`).
    pub(crate) fn refill_task_slice_dfl(&mut self, p: TaskId) {
        self.scx(p).slice().set(&*self.mem, self.ext.slice_dfl);
        self.ext.add_event(EventId::RefillSliceDfl, 1);
    }

    /// `scx_set_task_slice`: supersedes a request from outside.
    pub(crate) fn set_task_slice(&mut self, p: TaskId, slice: u64) {
        self.scx(p).slice().set(&*self.mem, slice);
        self.tasks[p].ext.slice_oob = None;
    }

    /// `apply_task_slice_oob`: a request made from outside the runqueue takes effect.
    pub(crate) fn apply_task_slice_oob(&mut self, p: TaskId) {
        if let Some(slice) = self.tasks[p].ext.slice_oob.take() {
            self.scx(p).slice().set(&*self.mem, slice);
        }
    }

    /// `apply_slice_vtime`: commits what a verdict carries. Slice 0 keeps what is left, at least 1.
    pub(crate) fn apply_slice_vtime(&mut self, p: TaskId, slice: u64, vtime: u64, enq_flags: u64) {
        let scx = self.scx(p);
        if slice != 0 {
            scx.slice().set(&*self.mem, slice);
            if enq_flags & SCX_ENQ_SLICE_DFL == 0 {
                self.tasks[p].ext.slice_oob = None;
            }
        } else if scx.slice().get(&*self.mem) == 0 {
            scx.slice().set(&*self.mem, 1);
        }
        if enq_flags & SCX_ENQ_DSQ_PRIQ != 0 {
            scx.dsq_vtime().set(&*self.mem, vtime);
        }
    }

    /// Records a direct dispatch; `ddsp_*` are shown to programs.
    pub(crate) fn set_direct_dispatch(&mut self, p: TaskId, v: Verdict) {
        self.tasks[p].ext.ddsp = v;
        let scx = self.scx(p);
        scx.ddsp_dsq_id().set(&*self.mem, v.dsq_id.0);
        scx.ddsp_enq_flags().set(&*self.mem, v.enq_flags);
        scx.ddsp_slice().set(&*self.mem, v.slice);
        scx.ddsp_vtime().set(&*self.mem, v.vtime);
    }

    /// `clear_direct_dispatch`: the slice and vtime of the last verdict stay behind, where programs see them.
    pub(crate) fn clear_direct_dispatch(&mut self, p: TaskId) {
        let v = self.tasks[p].ext.ddsp;
        if v.dsq_id != DsqId::INVALID {
            self.set_direct_dispatch(p, Verdict { dsq_id: DsqId::INVALID, enq_flags: 0, ..v });
        }
    }

    /// Where ops.select_cpu or the default sent `p`.
    pub(crate) fn set_selected_cpu(&mut self, p: TaskId, cpu: i32) {
        self.tasks[p].ext.selected_cpu = cpu;
        self.scx(p).selected_cpu().set(&*self.mem, cpu);
    }

    /// `comm[pid]`, as messages name a task.
    pub(crate) fn task_name(&self, p: TaskId) -> String {
        let ts = self.tasks[p].ts;
        format!("{}[{}]", ts.comm().get_str(&*self.mem), ts.pid().get(&*self.mem))
    }
}

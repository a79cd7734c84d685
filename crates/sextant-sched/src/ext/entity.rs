//! `struct sched_ext_entity` without the fields a program sees: what the class keeps per task in ordinary Rust.
//!
//! The visible part (`slice`, `dsq_vtime`, `weight`, `flags`, `disallow`, …) lives in `task_struct.scx` only.
//! Mirrors include/linux/sched/ext.h (7.3); the runtime of `tid_hash`, core-sched and rescue fields is left out.

use sextant_abi::{CpuId, DsqId};

use super::list::Link;
use super::tree::TreeNode;

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
    /// What select_cpu said.
    pub(crate) selected_cpu: Option<CpuId>,
    /// Pending direct dispatch.
    pub(crate) ddsp: Verdict,
    /// Place in the runqueue's runnable list, and the runqueue whose list it is on.
    pub(crate) runnable: Link,
    pub(crate) runnable_cpu: Option<CpuId>,
    /// On some runqueue's `ddsp_deferred_locals`.
    pub(crate) deferred: bool,
    /// A slice request from outside the runqueue, applied when it runs next.
    pub(crate) slice_oob: Option<u64>,
    /// Reenqueues since it last ran.
    pub(crate) reenq_cnt: u32,
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
            selected_cpu: None,
            ddsp: Verdict::NONE,
            runnable: Link::UNLINKED,
            runnable_cpu: None,
            deferred: false,
            slice_oob: None,
            reenq_cnt: 0,
        }
    }
}

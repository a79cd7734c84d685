//! `fifo`: one queue for all CPUs, first come first served. The smallest useful policy: an idle CPU gets the task on its
//! local DSQ at once, everything else waits in the shared DSQ.

use sextant_abi::types::SCX_SLICE_DFL;
use sextant_abi::{CpuId, DsqId};

use crate::ops::{Op, Ops, OpsParams};
use crate::sched::Sched;
use crate::task::TaskId;

/// The queue that all CPUs share.
const SHARED_DSQ: DsqId = DsqId(0);

/// The policy; it keeps no state.
#[derive(Debug, Default)]
pub struct Fifo;

impl Ops for Fifo {
    fn params(&self) -> OpsParams {
        OpsParams { name: "fifo".into(), ..OpsParams::default() }
    }

    fn has(&self, op: Op) -> bool {
        matches!(op, Op::SelectCpu | Op::Enqueue | Op::Dispatch | Op::Init)
    }

    fn init(&self, s: &mut Sched) -> i32 {
        s.kf_scx_bpf_create_dsq(SHARED_DSQ, -1)
    }

    fn select_cpu(&self, s: &mut Sched, p: TaskId, prev_cpu: CpuId, wake_flags: u64) -> i32 {
        let (cpu, is_idle) = s.kf_scx_bpf_select_cpu_dfl(p, prev_cpu.0 as i32, wake_flags);
        if is_idle {
            s.kf_scx_bpf_dsq_insert(Some(p), DsqId::LOCAL, SCX_SLICE_DFL, 0);
        }
        cpu
    }

    fn enqueue(&self, s: &mut Sched, p: TaskId, enq_flags: u64) {
        s.kf_scx_bpf_dsq_insert(Some(p), SHARED_DSQ, SCX_SLICE_DFL, enq_flags);
    }

    fn dispatch(&self, s: &mut Sched, _cpu: CpuId, _prev: Option<TaskId>) {
        s.kf_scx_bpf_dsq_move_to_local(SHARED_DSQ, 0);
    }
}

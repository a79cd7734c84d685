//! `vtime`: one queue ordered by how much weighted time a task has had, so that CPU time follows the weights.
//!
//! A task's vtime grows by what it ran, scaled by 100/weight. A task that slept may claim at most one slice of the time it
//! was away: its vtime is never further than a slice behind the clock, which is the largest vtime that has started to run.

use std::cell::Cell;

use sextant_abi::types::SCX_SLICE_DFL;
use sextant_abi::{CpuId, DsqId, Vtime};

use crate::ops::{Op, Ops, OpsParams};
use crate::sched::Sched;
use crate::task::TaskId;

/// The queue that all CPUs share.
const SHARED_DSQ: DsqId = DsqId(0);

/// The policy.
#[derive(Debug, Default)]
pub struct VtimeFair {
    vtime_now: Cell<u64>,
}

impl VtimeFair {
    fn vtime(s: &Sched, p: TaskId) -> u64 {
        s.tasks[p].ts.scx().dsq_vtime().get(&*s.mem)
    }

    /// `p`'s vtime, at most a slice behind the clock.
    fn clamped(&self, s: &Sched, p: TaskId) -> u64 {
        let floor = self.vtime_now.get().wrapping_sub(SCX_SLICE_DFL);
        let vtime = Self::vtime(s, p);
        if Vtime(vtime).before(Vtime(floor)) { floor } else { vtime }
    }
}

impl Ops for VtimeFair {
    fn params(&self) -> OpsParams {
        OpsParams { name: "vtime_fair".into(), ..OpsParams::default() }
    }

    fn has(&self, op: Op) -> bool {
        use Op::{Dispatch, Enable, Enqueue, Init, Running, SelectCpu, Stopping};
        matches!(op, SelectCpu | Enqueue | Dispatch | Running | Stopping | Enable | Init)
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
        let vtime = self.clamped(s, p);
        s.kf_scx_bpf_dsq_insert_vtime(Some(p), SHARED_DSQ, SCX_SLICE_DFL, vtime, enq_flags);
    }

    fn dispatch(&self, s: &mut Sched, _cpu: CpuId, _prev: Option<TaskId>) {
        s.kf_scx_bpf_dsq_move_to_local(SHARED_DSQ, 0);
    }

    fn running(&self, s: &mut Sched, p: TaskId) {
        let vtime = Self::vtime(s, p);
        if Vtime(self.vtime_now.get()).before(Vtime(vtime)) {
            self.vtime_now.set(vtime);
        }
    }

    fn stopping(&self, s: &mut Sched, p: TaskId, _runnable: bool) {
        let scx = s.tasks[p].ts.scx();
        let used = SCX_SLICE_DFL.saturating_sub(scx.slice().get(&*s.mem));
        let weight = u64::from(scx.weight().get(&*s.mem)).max(1);
        let vtime = Self::vtime(s, p).wrapping_add(used * 100 / weight);
        s.kf_scx_bpf_task_set_dsq_vtime(p, vtime);
    }

    fn enable(&self, s: &mut Sched, p: TaskId) {
        s.kf_scx_bpf_task_set_dsq_vtime(p, self.vtime_now.get());
    }
}

//! What a scheduler asks by cid, in either form. Mirrors the cid kfuncs of kernel/sched/ext/{ext,cid}.c (7.3).

use sextant_abi::types::SCX_CPUPERF_ONE;

use super::{EINVAL, ENODEV};
use crate::ext::cid::CidTopo;
use crate::sched::Sched;
use crate::task::TaskId;

impl Sched {
    /// `scx_bpf_nr_cids`: possible CPUs.
    pub fn kf_scx_bpf_nr_cids(&self) -> u32 {
        self.cfg.nr_cpus
    }

    /// `scx_bpf_nr_online_cids`: online CPUs.
    pub fn kf_scx_bpf_nr_online_cids(&self) -> u32 {
        self.rqs.iter().filter(|rq| rq.cpu_online).count() as u32
    }

    /// `scx_bpf_cid_to_cpu`: -EINVAL and an error for a bad cid.
    pub fn kf_scx_bpf_cid_to_cpu(&mut self, cid: i32) -> i32 {
        if !self.has_sched() {
            return EINVAL;
        }
        self.scx_cid_to_cpu(cid).map_or(EINVAL, |cpu| cpu.0 as i32)
    }

    /// `scx_bpf_cpu_to_cid`: -EINVAL and an error for a bad CPU.
    pub fn kf_scx_bpf_cpu_to_cid(&mut self, cpu: i32) -> i32 {
        if !self.has_sched() {
            return EINVAL;
        }
        self.scx_cpu_valid(cpu, "").map_or(EINVAL, |cpu| self.cid_of(cpu))
    }

    /// `scx_bpf_cid_topo`: all -1 when unknown, with an error for a bad cid.
    pub fn kf_scx_bpf_cid_topo(&mut self, cid: i32) -> CidTopo {
        if self.has_sched() { self.cid_topo(cid).unwrap_or([-1; 8]) } else { [-1; 8] }
    }

    /// `scx_bpf_this_cid`: the executing CPU's.
    pub fn kf_scx_bpf_this_cid(&self) -> i32 {
        self.cid_of(self.this_cpu)
    }

    /// `scx_bpf_task_cid`
    pub fn kf_scx_bpf_task_cid(&self, p: TaskId) -> i32 {
        self.cid_of(self.tasks[p].cpu)
    }

    /// `scx_bpf_cid_curr`: who runs there; None and an error for a bad cid.
    pub fn kf_scx_bpf_cid_curr(&mut self, cid: i32) -> Option<TaskId> {
        if !self.has_sched() {
            return None;
        }
        self.scx_cid_to_cpu(cid).map(|cpu| self.rqs[cpu.idx()].curr)
    }

    /// `scx_bpf_kick_cid`
    pub fn kf_scx_bpf_kick_cid(&mut self, cid: i32, flags: u64) {
        if self.has_sched()
            && let Some(cpu) = self.scx_cid_to_cpu(cid)
        {
            self.scx_kick_cpu(cpu, flags);
        }
    }

    /// `scx_bpf_cidperf_cap` and `scx_bpf_cidperf_cur`: 1024 on equal CPUs that run at full speed.
    pub fn kf_scx_bpf_cidperf_cap(&mut self, cid: i32) -> u32 {
        if self.has_sched() {
            self.scx_cid_to_cpu(cid);
        }
        SCX_CPUPERF_ONE
    }

    /// `scx_bpf_cidperf_set`: 0, or -EINVAL and an error; -ENODEV without a scheduler.
    pub fn kf_scx_bpf_cidperf_set(&mut self, cid: i32, perf: u32) -> i32 {
        if !self.has_sched() {
            return ENODEV;
        }
        self.scx_cid_to_cpu(cid).map_or(EINVAL, |cpu| self.scx_cpuperf_set(cpu.0 as i32, perf))
    }

    /// `scx_bpf_tid_to_task`: the task of that id, None for nobody's; needs SCX_OPS_TID_TO_TASK.
    pub fn kf_scx_bpf_tid_to_task(&mut self, tid: u64) -> Option<TaskId> {
        if self.ext.flags & sextant_abi::types::SCX_OPS_TID_TO_TASK == 0 || !self.has_sched() {
            self.scx_error("scx_bpf_tid_to_task() called without SCX_OPS_TID_TO_TASK".into());
            return None;
        }
        self.ext.tid_to_task.get(&tid).copied()
    }
}

//! CPUs, clocks, counters, cgroups: what a scheduler asks the kernel about.

use sextant_abi::types::*;
use sextant_abi::{CpuId, Mem, Ns};

use super::EINVAL;
use crate::sched::Sched;
use crate::task::TaskId;

impl Sched {
    /// `scx_bpf_kick_cpu`: SCX_KICK_* of `cpu`; a bad number is an error.
    pub fn kf_scx_bpf_kick_cpu(&mut self, cpu: i32, flags: u64) {
        if self.has_sched()
            && let Some(cpu) = self.scx_cpu_valid(cpu, "")
        {
            self.scx_kick_cpu(cpu, flags);
        }
    }

    /// `scx_bpf_task_running`
    pub fn kf_scx_bpf_task_running(&self, p: TaskId) -> bool {
        self.rqs[self.tasks[p].cpu.idx()].curr == p
    }

    /// `scx_bpf_task_cpu`
    pub fn kf_scx_bpf_task_cpu(&self, p: TaskId) -> i32 {
        self.tasks[p].cpu.0 as i32
    }

    /// `scx_bpf_cpu_curr`: the task that runs there; None and an error for a bad number.
    pub fn kf_scx_bpf_cpu_curr(&mut self, cpu: i32) -> Option<TaskId> {
        if !self.has_sched() {
            return None;
        }
        let cpu = self.scx_cpu_valid(cpu, "")?;
        Some(self.rqs[cpu.idx()].curr)
    }

    /// `scx_bpf_locked_rq`: the runqueue that the running op holds.
    pub fn kf_scx_bpf_locked_rq(&mut self) -> Option<CpuId> {
        if self.has_sched() && self.ext.ctx.locked_rq.is_none() {
            self.scx_error("accessing rq without holding rq lock".into());
        }
        self.ext.ctx.locked_rq
    }

    /// `scx_bpf_now`: the clock of this CPU's runqueue while an op holds it, else the fine clock.
    pub fn kf_scx_bpf_now(&self) -> Ns {
        if self.ext.ctx.locked_rq == Some(self.this_cpu) {
            return self.rqs[self.this_cpu.idx()].clock;
        }
        self.ext.ops.as_ref().map_or(self.now, |ops| ops.clock(self))
    }

    /// `scx_bpf_events`: copies the counters to `to`, at most `size` bytes.
    pub fn kf_scx_bpf_events(&self, to: u64, size: u32) {
        let bytes: Vec<u8> = self.ext.stats.iter().flat_map(|v| v.to_le_bytes()).collect();
        let len = bytes.len().min(size as usize);
        self.mem.write_bytes(to, &bytes[..len]);
    }

    /// `scx_bpf_task_cgroup`: the address of `p`'s cgroup. `p` must be an argument of the running op, else it is an error
    /// and the root cgroup. With a reference.
    pub fn kf_scx_bpf_task_cgroup(&mut self, p: TaskId) -> u64 {
        let ok = self.has_sched() && self.kf_arg_task_ok(p);
        let id = if ok { self.tasks[p].cgroup } else { crate::cgroup::CgroupId::ROOT };
        self.cgroup_get(id);
        self.cgroups[id].cgrp.addr()
    }

    /// `scx_bpf_cpuperf_cap`: 1024 on equal CPUs.
    pub fn kf_scx_bpf_cpuperf_cap(&mut self, cpu: i32) -> u32 {
        if self.has_sched() {
            self.scx_cpu_valid(cpu, "");
        }
        SCX_CPUPERF_ONE
    }

    /// `scx_bpf_cpuperf_cur`: CPUs always run at full speed.
    pub fn kf_scx_bpf_cpuperf_cur(&mut self, cpu: i32) -> u32 {
        self.kf_scx_bpf_cpuperf_cap(cpu)
    }

    /// `scx_bpf_cpuperf_set`: the target 0..=1024 of a CPU, kept.
    pub fn kf_scx_bpf_cpuperf_set(&mut self, cpu: i32, perf: u32) {
        if self.has_sched() {
            self.scx_cpuperf_set(cpu, perf);
        }
    }

    /// `scx_cpuperf_set`: 0, or -EINVAL and an error.
    pub(super) fn scx_cpuperf_set(&mut self, cpu: i32, perf: u32) -> i32 {
        if perf > SCX_CPUPERF_ONE {
            self.scx_error(format!("Invalid cpuperf target {perf} for CPU {cpu}"));
            return EINVAL;
        }
        let Some(id) = self.scx_cpu_valid(cpu, "") else { return EINVAL };
        if self.ext.ctx.locked_rq.is_some_and(|locked| locked != id) {
            self.scx_error(format!("Invalid target CPU {cpu}"));
            return EINVAL;
        }
        self.rqs[id.idx()].ext.cpuperf_target = perf;
        self.rq_struct(id).scx().cpuperf_target().set(&*self.mem, perf);
        0
    }

    /// `scx_bpf_nr_cpu_ids`
    pub fn kf_scx_bpf_nr_cpu_ids(&self) -> u32 {
        self.cfg.nr_cpus
    }

    /// `scx_bpf_nr_node_ids`
    pub fn kf_scx_bpf_nr_node_ids(&self) -> u32 {
        self.topology.shape().nodes
    }

    /// `scx_bpf_cpu_node`: the CPU's node; -1 and an error for a bad number.
    pub fn kf_scx_bpf_cpu_node(&mut self, cpu: i32) -> i32 {
        if !self.has_sched() {
            return -1;
        }
        self.scx_cpu_valid(cpu, "").map_or(-1, |cpu| self.topology.node_of(cpu) as i32)
    }
}

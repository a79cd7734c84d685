//! The ops table as a Rust trait: what a policy is to the class. A BPF scheduler implements it through the vm
//! (`bpf`), a native policy directly (`native`). The class knows nothing else about a policy.

use sextant_abi::tables::TracePoint;
use sextant_abi::{CpuId, Ns, ProgPlace};

use crate::ext::EnableError;
use crate::sched::Sched;
use crate::task::TaskId;

pub use sextant_abi::tables::Op;

/// The data members of `struct sched_ext_ops` (semantics §1.4).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct OpsParams {
    /// `name`, 1..=127 bytes of `[A-Za-z0-9_.]`.
    pub name: String,
    /// `flags`, SCX_OPS_*.
    pub flags: u64,
    /// `dispatch_max_batch`, 0 for the default of 32.
    pub dispatch_max_batch: u32,
    /// `timeout_ms`, 0 for the default of 30 s.
    pub timeout_ms: u32,
    /// `exit_dump_len` in bytes, 0 for the default of 32768.
    pub exit_dump_len: u32,
    /// `hotplug_seq`, 0 for none expected.
    pub hotplug_seq: u64,
    /// `struct sched_ext_ops_cid`: CPUs are cids to the ops.
    pub cid_form: bool,
    /// `cid_shard_size`, 0 for the default of 24.
    pub cid_shard_size: u32,
    /// `sub_cgroup_id`: above 1, a sub-scheduler of that cgroup.
    pub sub_cgroup_id: u64,
    /// The object references `scx_bpf_switch_all` (pre-6.9 convention): attach as if SCX_OPS_SWITCH_PARTIAL were set;
    /// calling the kfunc in ops.init lifts that.
    pub calls_switch_all: bool,
}

/// A policy. Methods get the whole scheduler: kfuncs are methods of `Sched` (`Sched::kf_*`), callable from any op.
///
/// An op that `has` does not claim is never called. State a policy changes sits behind interior mutability (`Cell`, `RefCell`);
/// the class holds an `Rc<dyn Ops>` and keeps nothing borrowed across a call. An op may be entered while another one
/// is running (dispatch → move_to_local → dequeue).
#[allow(unused_variables)]
pub trait Ops {
    /// Data members.
    fn params(&self) -> OpsParams;
    /// Whether an op is implemented.
    fn has(&self, op: Op) -> bool;

    /// Refuses what only the policy can see to be unfit, before anything is done.
    fn check(&self) -> Result<(), EnableError> {
        Ok(())
    }

    /// `bpf_scx_reg` is entered: programs attached to that function run, and before it those of a setup, which may refuse the
    /// attach. Before `init`, and nothing is attached yet.
    fn reg(&self, s: &mut Sched) -> Result<(), EnableError> {
        Ok(())
    }

    /// Whether it has programs at a place of the kernel's beside the ops.
    fn traces(&self, point: TracePoint) -> bool {
        false
    }
    /// They run, with the arguments of that function or tracepoint.
    fn trace(&self, s: &mut Sched, point: TracePoint, args: &[u64]) {}

    /// ops.select_cpu: a CPU number, validated by the class.
    fn select_cpu(&self, s: &mut Sched, p: TaskId, prev_cpu: CpuId, wake_flags: u64) -> i32 {
        prev_cpu.0 as i32
    }
    /// ops.enqueue
    fn enqueue(&self, s: &mut Sched, p: TaskId, enq_flags: u64) {}
    /// ops.dequeue
    fn dequeue(&self, s: &mut Sched, p: TaskId, deq_flags: u64) {}
    /// ops.dispatch
    fn dispatch(&self, s: &mut Sched, cpu: CpuId, prev: Option<TaskId>) {}
    /// ops.tick
    fn tick(&self, s: &mut Sched, p: TaskId) {}
    /// ops.runnable
    fn runnable(&self, s: &mut Sched, p: TaskId, enq_flags: u64) {}
    /// ops.running
    fn running(&self, s: &mut Sched, p: TaskId) {}
    /// ops.stopping
    fn stopping(&self, s: &mut Sched, p: TaskId, runnable: bool) {}
    /// ops.quiescent
    fn quiescent(&self, s: &mut Sched, p: TaskId, deq_flags: u64) {}
    /// ops.yield
    fn yield_(&self, s: &mut Sched, from: TaskId, to: Option<TaskId>) -> bool {
        false
    }
    /// ops.core_sched_before
    fn core_sched_before(&self, s: &mut Sched, a: TaskId, b: TaskId) -> bool {
        false
    }
    /// ops.set_weight
    fn set_weight(&self, s: &mut Sched, p: TaskId, weight: u32) {}
    /// ops.set_cpumask; the mask is the task's `cpus_ptr`.
    fn set_cpumask(&self, s: &mut Sched, p: TaskId) {}
    /// ops.update_idle
    fn update_idle(&self, s: &mut Sched, cpu: CpuId, idle: bool) {}
    /// ops.cpu_acquire
    fn cpu_acquire(&self, s: &mut Sched, cpu: CpuId) {}
    /// ops.cpu_release
    fn cpu_release(&self, s: &mut Sched, cpu: CpuId, reason: u32, task: TaskId) {}
    /// ops.init_task: 0 or -errno (not yet sanitised). `cgrp` is the address of the task's `struct cgroup`.
    fn init_task(&self, s: &mut Sched, p: TaskId, fork: bool) -> i32 {
        0
    }
    /// ops.exit_task
    fn exit_task(&self, s: &mut Sched, p: TaskId, cancelled: bool) {}
    /// ops.enable
    fn enable(&self, s: &mut Sched, p: TaskId) {}
    /// ops.disable
    fn disable(&self, s: &mut Sched, p: TaskId) {}
    /// ops.dump
    fn dump(&self, s: &mut Sched) {}
    /// ops.dump_cpu
    fn dump_cpu(&self, s: &mut Sched, cpu: CpuId, idle: bool) {}
    /// ops.dump_task
    fn dump_task(&self, s: &mut Sched, p: TaskId) {}
    /// ops.cgroup_init for the cgroup at address `cgrp`: 0 or -errno.
    fn cgroup_init(&self, s: &mut Sched, cgrp: u64) -> i32 {
        0
    }
    /// ops.cgroup_exit
    fn cgroup_exit(&self, s: &mut Sched, cgrp: u64) {}
    /// ops.cgroup_prep_move from and to the cgroups at these addresses: 0 or -errno.
    fn cgroup_prep_move(&self, s: &mut Sched, p: TaskId, from: u64, to: u64) -> i32 {
        0
    }
    /// ops.cgroup_move
    fn cgroup_move(&self, s: &mut Sched, p: TaskId, from: u64, to: u64) {}
    /// ops.cgroup_cancel_move
    fn cgroup_cancel_move(&self, s: &mut Sched, p: TaskId, from: u64, to: u64) {}
    /// ops.cgroup_set_weight
    fn cgroup_set_weight(&self, s: &mut Sched, cgrp: u64, weight: u32) {}
    /// ops.cgroup_set_bandwidth, µs; no quota is `u64::MAX`.
    fn cgroup_set_bandwidth(&self, s: &mut Sched, cgrp: u64, period_us: u64, quota_us: u64, burst_us: u64) {}
    /// ops.cgroup_set_idle
    fn cgroup_set_idle(&self, s: &mut Sched, cgrp: u64, idle: bool) {}
    /// ops.cpu_online
    fn cpu_online(&self, s: &mut Sched, cpu: CpuId) {}
    /// ops.cpu_offline
    fn cpu_offline(&self, s: &mut Sched, cpu: CpuId) {}
    /// What it keeps in its programs' arena is made (`scx_alloc_kern_arena_objs`), before ops.init; -errno ends the load.
    fn alloc_arena_objs(&self, s: &mut Sched) -> Result<(), i32> {
        Ok(())
    }
    /// The active CPUs have changed.
    fn active_changed(&self, s: &Sched) {}
    /// ops.init_cids: 0 or -errno.
    fn init_cids(&self, s: &mut Sched) -> i32 {
        0
    }
    /// ops.init: 0 or -errno.
    fn init(&self, s: &mut Sched) -> i32 {
        0
    }
    /// ops.exit; the information is `s.ext.exit_info()`.
    fn exit(&self, s: &mut Sched) {}

    /// A timer of this policy fires (on `s.this_cpu`, in softirq).
    fn timer(&self, s: &mut Sched, timer: crate::sched::TimerId) {}
    /// The class is done with a task for good: drop what is kept per task (task storage), release its slot's resources.
    fn task_freed(&self, s: &mut Sched, p: TaskId) {}
    /// The object of a removed cgroup is about to be given back: drop what is kept per cgroup.
    fn cgroup_freed(&self, s: &mut Sched, cgrp: u64) {}
    /// Nobody holds the scheduler any more: what it has in memory is given back, its timers are cancelled. Nothing of it is called
    /// afterwards.
    fn release(&self, s: &mut Sched) {}
    /// Calls and executed BPF instructions per op so far.
    fn op_stats(&self) -> Vec<(Op, u64, u64)> {
        Vec::new()
    }
    /// BPF instructions executed so far, all ops together.
    fn insns(&self) -> u64 {
        0
    }
    /// The program that runs, or that has just been ended by force, and its instruction.
    fn position(&self) -> Option<ProgPlace> {
        None
    }
    /// Reads a clock finer than `s.now` while an op runs (the vm adds the instructions executed so far).
    fn clock(&self, s: &Sched) -> Ns {
        s.now
    }
}

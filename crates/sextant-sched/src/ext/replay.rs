//! Single steps of the class for a driver that replays a recording: what `scx_enable`, `scx_bypass` and `scx_root_disable`
//! do in one entry is recorded in pieces, with other CPUs at work in between. And the state that a recording dictates where the
//! class has gone another way, so that one difference is reported once.
//!
//! What must hold: nobody but a replayer calls these; they check nothing that the kernel checks elsewhere.

use std::rc::Rc;

use sextant_abi::types::*;
use sextant_abi::{CpuId, DsqId};

use super::EnableState;
use super::entity::{DsqIdx, OpsState};
use super::events::EventId;
use super::rq::RqFlags;
use crate::cgroup::CgroupId;
use crate::core::flags::PF_EXITING;
use crate::ops::{Op, Ops};
use crate::sched::Sched;
use crate::task::TaskId;

/// A DSQ by what a recording calls it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum DsqName {
    /// The one global DSQ.
    Global,
    /// The local DSQ of a CPU.
    Local(CpuId),
    /// The bypass DSQ of a CPU.
    Bypass(CpuId),
    /// A user DSQ.
    User(u64),
}

/// Loading and unloading, in pieces.
impl Sched {
    /// Probes are recorded, and counts of runnable tasks start high: state that is replaced is not counted.
    pub fn replay_begin(&mut self) {
        self.probes = Some(Vec::new());
        for rq in &mut self.rqs {
            (rq.nr_running, rq.ext.nr_running) = (1 << 20, 1 << 20);
        }
    }

    /// `scx_enable` up to ops.init.
    pub fn replay_attach(&mut self, ops: Rc<dyn Ops>) {
        let (params, has_update_idle) = (ops.params(), ops.has(Op::UpdateIdle));
        self.alloc_sched(ops, &params);
        self.scx_idle_enable(has_update_idle);
    }

    /// ops.init; 0 or -errno.
    pub fn replay_init(&mut self) -> i32 {
        self.op_init()
    }

    /// ops.exit, after which kfuncs find no scheduler.
    pub fn replay_exit(&mut self) {
        (self.ext.enabled, self.ext.has_op) = (false, 0);
        self.op_exit();
        self.ext.dead = true;
    }

    /// The normal ops are live.
    pub fn replay_ops_live(&mut self) {
        let Some(ops) = self.ext.ops.clone() else { return };
        self.ext.has_op = Op::ALL.iter().filter(|&&op| ops.has(op)).fold(0, |set, &op| set | 1 << op.index());
        if ops.has(Op::CpuAcquire) || ops.has(Op::CpuRelease) {
            self.ext.flags |= SCX_OPS_HAS_CPU_PREEMPT;
        }
        self.ext.init_task_enabled = true;
        self.ext.switching_all = self.ext.flags & SCX_OPS_SWITCH_PARTIAL == 0;
        self.ext.enabled = true;
    }

    /// The state of a loaded scheduler; `None` for no scheduler at all.
    pub fn replay_set_state(&mut self, state: EnableState) {
        self.ext.state = state;
        self.ext.switched_all = state == EnableState::Enabled && self.ext.switching_all;
        match state {
            EnableState::Enabled => {}
            EnableState::Enabling => {}
            EnableState::Disabling => {
                self.ext.switching_all = false;
                self.ext.init_task_enabled = false;
            }
            EnableState::Disabled => {
                (self.ext.enabled, self.ext.has_op) = (false, 0);
                self.stop_watchdog();
            }
        }
    }

    /// `scx_bypass`; a recording that begins in the middle leaves a bypass that it has not entered.
    pub fn replay_bypass(&mut self, on: bool) {
        if on || self.ext.bypass_depth != 0 {
            self.scx_bypass(on);
        }
    }

    /// ops.init_task of a task that exists when the scheduler is loaded, or of a new one.
    pub fn replay_init_task(&mut self, p: TaskId, fork: bool) -> i32 {
        self.set_scx_task_state(p, SCX_TASK_INIT_BEGIN);
        let ret = self.scx_init_task(p, fork);
        self.set_scx_task_state(p, SCX_TASK_INIT);
        if ret == 0 {
            self.set_scx_task_state(p, SCX_TASK_READY);
        }
        ret
    }

    /// `__scx_enable_task`: the weight it has now.
    pub fn replay_enable_task(&mut self, p: TaskId) -> u32 {
        self.scx_enable_task(p);
        self.scx(p).weight().get(&*self.mem)
    }

    /// `__scx_disable_and_exit_task`
    pub fn replay_exit_task(&mut self, p: TaskId) {
        self.scx_disable_and_exit_task(p);
    }

    /// `scx_cgroup_init` or `scx_cgroup_exit`, once.
    pub fn replay_cgroups(&mut self, init: bool) {
        match (init, self.ext.cgroup_inited) {
            // A refusal has been reported by the class itself.
            (true, false) => drop(self.scx_cgroup_init()),
            (false, true) => self.scx_cgroup_exit(),
            _ => {}
        }
    }

    /// The move of one task to a cgroup: ops.cgroup_prep_move, before it is dequeued.
    pub fn replay_cgroup_prep_move(&mut self, p: TaskId, to: CgroupId) -> i32 {
        self.scx_cgroup_can_attach(&[p], to)
    }

    /// The move itself, while it is dequeued; `told`: with ops.cgroup_move.
    pub fn replay_cgroup_move(&mut self, p: TaskId, to: CgroupId, told: bool) {
        let inited = self.ext.cgroup_inited;
        self.ext.cgroup_inited &= told;
        self.sched_change_group(p, to);
        self.ext.cgroup_inited = inited;
    }

    /// The kick half of the irq_work.
    pub fn replay_kick_cpus(&mut self, cpu: CpuId) {
        self.rqs[cpu.idx()].ext.irq_work_pending = false;
        self.kick_cpus(cpu);
    }

    /// `run_deferred`
    pub fn replay_run_deferred(&mut self, cpu: CpuId) {
        self.rqs[cpu.idx()].ext.flags.remove(RqFlags::BAL_CB_PENDING);
        self.run_deferred(cpu);
    }

    /// `update_curr_scx`
    pub fn replay_update_curr(&mut self, cpu: CpuId) {
        self.update_curr_scx(cpu);
    }

    /// Runs entries of other CPUs while an op of this one is being called.
    pub fn replay_nested(&mut self, f: impl FnOnce(&mut Sched)) {
        let (events, ctx) = (std::mem::take(&mut self.events), std::mem::take(&mut self.ext.ctx));
        let probes = self.probes.as_mut().map(std::mem::take);
        let (cpu, now) = (self.this_cpu, self.now);
        f(self);
        (self.this_cpu, self.now) = (cpu, now);
        (self.events, self.ext.ctx, self.probes) = (events, ctx, probes);
    }

    /// Forgets what the last entry left for the machine to do.
    pub fn replay_drain(&mut self) {
        self.requests.clear();
        for rq in &mut self.rqs {
            (rq.need_resched, rq.balance_pending) = (false, false);
        }
    }
}

/// Looking at the class's state and replacing it.
impl Sched {
    fn dsq_named(&self, name: DsqName) -> Option<DsqIdx> {
        Some(match name {
            DsqName::Global => self.ext.dsqs.global(CpuId(0)),
            DsqName::Local(cpu) => self.ext.dsqs.local(cpu),
            DsqName::Bypass(cpu) => self.ext.dsqs.bypass(cpu),
            DsqName::User(id) => self.ext.dsqs.find_user(DsqId(id))?,
        })
    }

    /// The tasks of a DSQ, first to run first; None if there is no such DSQ.
    pub fn replay_dsq(&self, name: DsqName) -> Option<Vec<TaskId>> {
        let dsq = self.dsq_named(name)?;
        let mut tasks = Vec::new();
        let mut at = self.dsq_first(dsq);
        while let Some(p) = at {
            tasks.push(p);
            at = self.dsq_next(p);
        }
        Some(tasks)
    }

    /// Makes a DSQ hold exactly `tasks`, taking them off whatever they are on; a user DSQ is created if need be. With `vtimes`
    /// it is a priority queue of those keys.
    pub fn replay_set_dsq(&mut self, name: DsqName, tasks: &[TaskId], vtimes: Option<&[u64]>) {
        if let DsqName::User(id) = name {
            self.ext.dsqs.create(DsqId(id));
        }
        let Some(dsq) = self.dsq_named(name) else { return };
        for p in self.replay_dsq(name).unwrap_or_default() {
            self.task_unlink_from_dsq(p);
        }
        for (i, &p) in tasks.iter().enumerate() {
            if self.tasks[p].ext.dsq.is_some() {
                self.task_unlink_from_dsq(p);
            }
            let mut flags = 0;
            if let Some(keys) = vtimes {
                self.scx(p).dsq_vtime().set(&*self.mem, keys[i]);
                flags = SCX_ENQ_DSQ_PRIQ;
            }
            self.dsq_link(dsq, p, flags);
            let d = &mut self.ext.dsqs[dsq];
            d.seq = d.seq.wrapping_add(1);
            self.tasks[p].ext.dsq_seq = d.seq;
            self.tasks[p].ext.clear_opss();
        }
        self.replay_count_immed(dsq);
    }

    /// Counts the IMMED tasks of a local DSQ anew.
    fn replay_count_immed(&mut self, dsq: DsqIdx) {
        let Some(cpu) = self.ext.dsqs[dsq].cpu else { return };
        let tasks = self.replay_dsq(DsqName::Local(cpu)).unwrap_or_default();
        let immed = tasks.iter().filter(|&&p| self.scx_flags(p) & SCX_TASK_IMMED != 0).count();
        self.rqs[cpu.idx()].ext.nr_immed = immed as u32;
    }

    /// Takes `p` off whatever list of the class it is on; whether it was on a DSQ or awaited a transfer.
    pub fn replay_detach(&mut self, p: TaskId) -> bool {
        let mut was = self.tasks[p].ext.dsq.is_some();
        if was {
            self.task_unlink_from_dsq(p);
        }
        if std::mem::take(&mut self.tasks[p].ext.deferred) {
            for rq in &mut self.rqs {
                rq.ext.ddsp_deferred_locals.retain(|&q| q != p);
            }
            was = true;
        }
        self.clr_task_runnable(p, false);
        was
    }

    /// `p->scx.ops_state` without the generation: 0 NONE, 1 QUEUEING, 2 QUEUED, 3 DISPATCHING.
    pub fn replay_ops_state(&self, p: TaskId) -> u8 {
        self.tasks[p].ext.ops_state as u8
    }

    /// Makes it NONE (0) or QUEUED with a new generation.
    pub fn replay_set_ops_state(&mut self, p: TaskId, state: u8) {
        let ent = &mut self.tasks[p].ext;
        ent.clear_opss();
        if state == OpsState::Queued as u8 {
            if self.tasks[p].ext.dsq.is_some() {
                self.task_unlink_from_dsq(p);
            }
            let ent = &mut self.tasks[p].ext;
            ent.last_qseq = ent.last_qseq.checked_add(1).unwrap_or(1);
            ent.qseq = ent.last_qseq;
            ent.ops_state = OpsState::Queued;
        }
    }

    /// Sets `p->scx.flags`, and keeps the runnable list of `cpu` in step with QUEUED.
    pub fn replay_set_flags(&mut self, cpu: CpuId, p: TaskId, flags: u32) {
        let was = self.scx_queued(p);
        self.scx(p).flags().set(&*self.mem, flags);
        let dsq = self.tasks[p].ext.dsq;
        if dsq.is_some() {
            self.replay_count_immed(dsq);
        }
        let is = flags & SCX_TASK_QUEUED != 0;
        if is && !was {
            self.clr_task_runnable(p, false);
            self.set_task_runnable(cpu, p);
        } else if was && !is {
            self.clr_task_runnable(p, false);
        }
    }

    /// Puts `p` onto another runqueue without anybody noticing.
    pub fn replay_set_task_cpu(&mut self, p: TaskId, cpu: CpuId) {
        let flags = self.scx(p).flags().get(&*self.mem);
        self.replay_set_flags(self.tasks[p].cpu, p, flags & !SCX_TASK_QUEUED);
        self.tasks[p].cpu = cpu;
        self.replay_set_flags(cpu, p, flags);
    }

    /// Where the next search of `cpu` for an idle CPU starts behind.
    pub fn replay_set_distribute_prev(&mut self, cpu: CpuId, prev: u32) {
        self.ext.distribute_prev[cpu.idx()] = prev;
    }

    /// Makes `slice` ns what is left, nothing pending.
    pub fn replay_set_slice(&mut self, p: TaskId, slice: u64) {
        self.set_task_slice(p, slice);
    }

    /// The slice that a request from outside the runqueue asks for.
    pub fn replay_slice_oob(&self, p: TaskId) -> Option<u64> {
        self.tasks[p].ext.slice_oob
    }

    /// Whether `cpu` is in the built-in idle mask.
    pub fn replay_idle(&mut self, cpu: CpuId) -> bool {
        let masks = self.masks();
        masks.idle.test_cpu(&*self.mem, cpu.0)
    }

    /// Puts `cpu` into the built-in idle mask or takes it out.
    pub fn replay_set_idle(&mut self, cpu: CpuId, idle: bool) {
        let masks = self.masks();
        if idle {
            masks.idle.set_cpu(&*self.mem, cpu.0);
        } else {
            masks.idle.clear_cpu(&*self.mem, cpu.0);
        }
    }

    /// The verdict that select_cpu has left on `p`: DSQ id, slice, flags.
    pub fn replay_ddsp(&self, p: TaskId) -> (DsqId, u64, u64) {
        let v = self.tasks[p].ext.ddsp;
        (v.dsq_id, v.slice, v.enq_flags)
    }

    /// What ops.select_cpu or the default said last for `p`.
    pub fn replay_selected_cpu(&self, p: TaskId) -> i32 {
        self.tasks[p].ext.selected_cpu
    }

    /// PF_EXITING
    pub fn replay_set_exiting(&mut self, p: TaskId) {
        let flags = self.tasks[p].ts.flags();
        flags.set(&*self.mem, flags.get(&*self.mem) | PF_EXITING);
    }

    /// Event counters so far, in the kernel's order.
    pub fn replay_counters(&self) -> [i64; EventId::COUNT] {
        self.ext.stats
    }

    /// The bits of `rq->scx.flags` that are the kernel's.
    pub fn replay_rq_flags(&self, cpu: CpuId) -> u32 {
        self.rqs[cpu.idx()].ext.flags.kernel_bits()
    }
}

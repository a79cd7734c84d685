//! Calling ops: the one way from the class into a policy.
//!
//! Each call is an event, costs `op_ns`, and sets the context that kfuncs ask about: the tasks the op works on
//! (`kf_tasks`) and the runqueue that is locked. Calls nest (ops.dispatch → move_to_local → ops.dequeue); the context of
//! the outer one comes back when the inner one returns.

use std::rc::Rc;

use sextant_abi::CpuId;

use crate::event::Event;
use crate::ops::{Op, Ops};
use crate::sched::Sched;
use crate::task::TaskId;

/// What the running op allows its kfuncs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OpCtx {
    /// Which op.
    pub op: Option<Op>,
    /// The task the event names.
    pub subject: Option<TaskId>,
    /// `current->scx.kf_tasks`: tasks that kfuncs may ask about.
    pub kf_tasks: [Option<TaskId>; 2],
    /// `scx_locked_rq()`
    pub locked_rq: Option<CpuId>,
    /// In ops.select_cpu.
    pub in_select_cpu: bool,
    /// In ops.dump and its kin: where `scx_bpf_dump` may be called.
    pub in_dump: bool,
    /// In a program on the tracepoint `sched_switch`.
    pub in_switch: bool,
}

impl OpCtx {
    /// Whether the kernel calls the op with interrupts off: under a runqueue's lock, under the task's (`ops.select_cpu`), from the irq_work
    /// that dumps.
    pub(crate) fn irqs_off(&self) -> bool {
        self.locked_rq.is_some() || self.in_select_cpu || self.in_dump || self.in_switch
    }
}

impl Sched {
    /// Calls one op through `f`. The caller has checked that it exists.
    pub(crate) fn call_op<R>(
        &mut self,
        op: Op,
        ctx: OpCtx,
        args: [u64; 2],
        f: impl FnOnce(&dyn Ops, &mut Sched) -> R,
    ) -> Option<R> {
        let ops = Rc::clone(self.ext.ops.as_ref()?);
        self.emit(Event::OpCall { op, p: ctx.subject, args });
        self.charge(self.cfg.costs.op_ns);
        let outer = std::mem::replace(&mut self.ext.ctx, OpCtx { op: Some(op), ..ctx });
        let call = self.begin_call(&*ops);
        let r = f(&*ops, self);
        self.end_call(&*ops, call, op.name(), ctx.subject);
        self.ext.ctx = outer;
        self.ext.returned = Some((op, ctx.subject));
        Some(r)
    }

    fn on_rq(cpu: CpuId) -> OpCtx {
        OpCtx { locked_rq: Some(cpu), ..OpCtx::default() }
    }

    fn on_task(cpu: CpuId, p: TaskId) -> OpCtx {
        OpCtx { subject: Some(p), kf_tasks: [Some(p), None], ..Self::on_rq(cpu) }
    }

    pub(crate) fn op_select_cpu(&mut self, p: TaskId, prev: CpuId, wake_flags: u64) -> i32 {
        let kf_tasks = [Some(p), None];
        let ctx = OpCtx { subject: Some(p), kf_tasks, in_select_cpu: true, ..OpCtx::default() };
        let call = |o: &dyn Ops, s: &mut Sched| o.select_cpu(s, p, prev, wake_flags);
        self.call_op(Op::SelectCpu, ctx, [u64::from(prev.0), wake_flags], call).unwrap_or(prev.0 as i32)
    }

    pub(crate) fn op_enqueue(&mut self, cpu: CpuId, p: TaskId, flags: u64) {
        self.call_op(Op::Enqueue, Self::on_task(cpu, p), [flags, 0], |o, s| o.enqueue(s, p, flags));
    }

    pub(crate) fn op_dequeue(&mut self, cpu: CpuId, p: TaskId, flags: u64) {
        if self.ext.has(Op::Dequeue) {
            self.call_op(Op::Dequeue, Self::on_task(cpu, p), [flags, 0], |o, s| o.dequeue(s, p, flags));
        }
    }

    pub(crate) fn op_dispatch(&mut self, cpu: CpuId, prev: Option<TaskId>) {
        let ctx = OpCtx { subject: prev, ..Self::on_rq(cpu) };
        self.call_op(Op::Dispatch, ctx, [u64::from(cpu.0), 0], |o, s| o.dispatch(s, cpu, prev));
    }

    pub(crate) fn op_tick(&mut self, cpu: CpuId, p: TaskId) {
        self.call_op(Op::Tick, Self::on_task(cpu, p), [0; 2], |o, s| o.tick(s, p));
    }

    pub(crate) fn op_runnable(&mut self, cpu: CpuId, p: TaskId, flags: u64) {
        if self.ext.has(Op::Runnable) {
            self.call_op(Op::Runnable, Self::on_task(cpu, p), [flags, 0], |o, s| o.runnable(s, p, flags));
        }
    }

    pub(crate) fn op_running(&mut self, cpu: CpuId, p: TaskId) {
        if self.ext.has(Op::Running) {
            self.call_op(Op::Running, Self::on_task(cpu, p), [0; 2], |o, s| o.running(s, p));
        }
    }

    pub(crate) fn op_stopping(&mut self, cpu: CpuId, p: TaskId, runnable: bool) {
        if self.ext.has(Op::Stopping) {
            let args = [u64::from(runnable), 0];
            self.call_op(Op::Stopping, Self::on_task(cpu, p), args, |o, s| o.stopping(s, p, runnable));
        }
    }

    pub(crate) fn op_quiescent(&mut self, cpu: CpuId, p: TaskId, flags: u64) {
        if self.ext.has(Op::Quiescent) {
            self.call_op(Op::Quiescent, Self::on_task(cpu, p), [flags, 0], |o, s| o.quiescent(s, p, flags));
        }
    }

    pub(crate) fn op_yield(&mut self, cpu: CpuId, from: TaskId, to: Option<TaskId>) -> bool {
        let ctx = OpCtx { subject: Some(from), kf_tasks: [Some(from), to], ..Self::on_rq(cpu) };
        self.call_op(Op::Yield, ctx, [0; 2], |o, s| o.yield_(s, from, to)).unwrap_or(false)
    }

    /// `cpu` is that of the second task in the kernel's order of arguments.
    pub(crate) fn op_core_sched_before(&mut self, a: TaskId, b: TaskId, cpu: CpuId) -> bool {
        let ctx = OpCtx { subject: Some(a), kf_tasks: [Some(a), Some(b)], ..Self::on_rq(cpu) };
        self.call_op(Op::CoreSchedBefore, ctx, [0; 2], |o, s| o.core_sched_before(s, a, b)).unwrap_or(false)
    }

    pub(crate) fn op_set_weight(&mut self, p: TaskId, weight: u32) {
        if self.ext.has(Op::SetWeight) {
            let ctx = Self::on_task(self.tasks[p].cpu, p);
            self.call_op(Op::SetWeight, ctx, [u64::from(weight), 0], |o, s| o.set_weight(s, p, weight));
        }
    }

    pub(crate) fn op_set_cpumask(&mut self, p: TaskId) {
        if self.ext.has(Op::SetCpumask) {
            let ctx = Self::on_task(self.tasks[p].cpu, p);
            self.call_op(Op::SetCpumask, ctx, [0; 2], |o, s| o.set_cpumask(s, p));
        }
    }

    pub(crate) fn op_update_idle(&mut self, cpu: CpuId, idle: bool) {
        let args = [u64::from(cpu.0), u64::from(idle)];
        self.call_op(Op::UpdateIdle, Self::on_rq(cpu), args, |o, s| o.update_idle(s, cpu, idle));
    }

    pub(crate) fn op_cpu_acquire(&mut self, cpu: CpuId) {
        let args = [u64::from(cpu.0), 0];
        self.call_op(Op::CpuAcquire, Self::on_rq(cpu), args, |o, s| o.cpu_acquire(s, cpu));
    }

    pub(crate) fn op_cpu_release(&mut self, cpu: CpuId, reason: u32, next: TaskId) {
        let args = [u64::from(cpu.0), u64::from(reason)];
        self.call_op(Op::CpuRelease, Self::on_rq(cpu), args, |o, s| o.cpu_release(s, cpu, reason, next));
    }

    pub(crate) fn op_init_task(&mut self, p: TaskId, fork: bool) -> i32 {
        if !self.ext.has(Op::InitTask) {
            return 0;
        }
        let ctx = OpCtx { subject: Some(p), ..OpCtx::default() };
        self.call_op(Op::InitTask, ctx, [u64::from(fork), 0], |o, s| o.init_task(s, p, fork)).unwrap_or(0)
    }

    pub(crate) fn op_exit_task(&mut self, p: TaskId, cancelled: bool) {
        if self.ext.has(Op::ExitTask) {
            let (ctx, args) = (Self::on_task(self.tasks[p].cpu, p), [u64::from(cancelled), 0]);
            self.call_op(Op::ExitTask, ctx, args, |o, s| o.exit_task(s, p, cancelled));
        }
    }

    pub(crate) fn op_enable(&mut self, p: TaskId) {
        if self.ext.has(Op::Enable) {
            self.call_op(Op::Enable, Self::on_task(self.tasks[p].cpu, p), [0; 2], |o, s| o.enable(s, p));
        }
    }

    pub(crate) fn op_disable(&mut self, p: TaskId) {
        if self.ext.has(Op::Disable) {
            self.call_op(Op::Disable, Self::on_task(self.tasks[p].cpu, p), [0; 2], |o, s| o.disable(s, p));
        }
    }

    pub(crate) fn op_cgroup_init(&mut self, cgrp: u64) -> i32 {
        if !self.ext.has(Op::CgroupInit) {
            return 0;
        }
        let id = self.cgroup_id(cgrp);
        self.call_op(Op::CgroupInit, OpCtx::default(), [id, 0], |o, s| o.cgroup_init(s, cgrp)).unwrap_or(0)
    }

    pub(crate) fn op_cgroup_exit(&mut self, cgrp: u64) {
        if self.ext.has(Op::CgroupExit) {
            let id = self.cgroup_id(cgrp);
            self.call_op(Op::CgroupExit, OpCtx::default(), [id, 0], |o, s| o.cgroup_exit(s, cgrp));
        }
    }

    pub(crate) fn op_cgroup_prep_move(&mut self, p: TaskId, from: u64, to: u64) -> i32 {
        if !self.ext.has(Op::CgroupPrepMove) {
            return 0;
        }
        let args = [self.cgroup_id(from), self.cgroup_id(to)];
        let ctx = OpCtx { subject: Some(p), ..OpCtx::default() };
        let call = |o: &dyn Ops, s: &mut Sched| o.cgroup_prep_move(s, p, from, to);
        self.call_op(Op::CgroupPrepMove, ctx, args, call).unwrap_or(0)
    }

    pub(crate) fn op_cgroup_cancel_move(&mut self, p: TaskId, from: u64, to: u64) {
        if self.ext.has(Op::CgroupCancelMove) {
            let args = [self.cgroup_id(from), self.cgroup_id(to)];
            let ctx = OpCtx { subject: Some(p), ..OpCtx::default() };
            self.call_op(Op::CgroupCancelMove, ctx, args, |o, s| o.cgroup_cancel_move(s, p, from, to));
        }
    }

    pub(crate) fn op_cgroup_move(&mut self, p: TaskId, from: u64, to: u64) {
        let args = [self.cgroup_id(from), self.cgroup_id(to)];
        let ctx = Self::on_task(self.tasks[p].cpu, p);
        self.call_op(Op::CgroupMove, ctx, args, |o, s| o.cgroup_move(s, p, from, to));
    }

    pub(crate) fn op_cgroup_set_weight(&mut self, cgrp: u64, weight: u32) {
        if self.ext.has(Op::CgroupSetWeight) {
            let args = [self.cgroup_id(cgrp), weight.into()];
            self.call_op(Op::CgroupSetWeight, OpCtx::default(), args, |o, s| {
                o.cgroup_set_weight(s, cgrp, weight)
            });
        }
    }

    pub(crate) fn op_cgroup_set_bandwidth(&mut self, cgrp: u64, period: u64, quota: u64, burst: u64) {
        if self.ext.has(Op::CgroupSetBandwidth) {
            let args = [self.cgroup_id(cgrp), quota];
            let call = |o: &dyn Ops, s: &mut Sched| o.cgroup_set_bandwidth(s, cgrp, period, quota, burst);
            self.call_op(Op::CgroupSetBandwidth, OpCtx::default(), args, call);
        }
    }

    pub(crate) fn op_cgroup_set_idle(&mut self, cgrp: u64, idle: bool) {
        if self.ext.has(Op::CgroupSetIdle) {
            let args = [self.cgroup_id(cgrp), idle.into()];
            self.call_op(Op::CgroupSetIdle, OpCtx::default(), args, |o, s| o.cgroup_set_idle(s, cgrp, idle));
        }
    }

    pub(crate) fn op_cpu_online(&mut self, cpu: CpuId) {
        self.call_op(Op::CpuOnline, OpCtx::default(), [u64::from(cpu.0), 0], |o, s| o.cpu_online(s, cpu));
    }

    pub(crate) fn op_cpu_offline(&mut self, cpu: CpuId) {
        self.call_op(Op::CpuOffline, OpCtx::default(), [u64::from(cpu.0), 0], |o, s| o.cpu_offline(s, cpu));
    }

    pub(crate) fn op_init_cids(&mut self) -> i32 {
        self.call_op(Op::InitCids, OpCtx::default(), [0; 2], |o, s| o.init_cids(s)).unwrap_or(0)
    }

    pub(crate) fn op_init(&mut self) -> i32 {
        self.call_op(Op::Init, OpCtx::default(), [0; 2], |o, s| o.init(s)).unwrap_or(0)
    }

    pub(crate) fn op_exit(&mut self) {
        self.call_op(Op::Exit, OpCtx::default(), [0; 2], |o, s| o.exit(s));
    }

    pub(crate) fn op_dump(&mut self) {
        let ctx = OpCtx { in_dump: true, ..OpCtx::default() };
        self.call_op(Op::Dump, ctx, [0; 2], |o, s| o.dump(s));
    }

    pub(crate) fn op_dump_cpu(&mut self, cpu: CpuId, idle: bool) {
        let ctx = OpCtx { in_dump: true, ..Self::on_rq(cpu) };
        self.call_op(Op::DumpCpu, ctx, [u64::from(cpu.0), u64::from(idle)], |o, s| o.dump_cpu(s, cpu, idle));
    }

    pub(crate) fn op_dump_task(&mut self, cpu: CpuId, p: TaskId) {
        let ctx = OpCtx { in_dump: true, ..Self::on_task(cpu, p) };
        self.call_op(Op::DumpTask, ctx, [0; 2], |o, s| o.dump_task(s, p));
    }
}

//! Each op as a run of its program.

use sextant_abi::tables::{Op, TracePoint};
use sextant_abi::{CpuId, Ns, ProgPlace};
use sextant_vm::{ProgId, Trap, TrapKind};

use super::host::KernelHost;
use super::{BpfOps, SetupStep, put_object};
use crate::ext::EnableError;
use crate::ops::{Ops, OpsParams};
use crate::sched::{Request, Sched, TimerId};
use crate::task::TaskId;

impl BpfOps {
    /// Runs an op's program with its arguments as the context; 0 if it was ended by force.
    fn call(&self, s: &mut Sched, op: Op, ctx: &[u64]) -> u64 {
        let Some(prog) = self.progs[op.index()] else { return 0 };
        let (r0, insns) = self.run(s, |vm, host| vm.run(prog, ctx, host).map(|run| (run.r0, run.insns)));
        let (calls, total) = self.stats[op.index()].get();
        self.stats[op.index()].set((calls + 1, total + insns));
        r0
    }

    /// One program invocation in the kernel: `current` cannot migrate meanwhile, its instructions are charged.
    fn run(
        &self,
        s: &mut Sched,
        f: impl FnOnce(&sextant_vm::Vm, &mut KernelHost<'_>) -> Result<(u64, u64), Trap>,
    ) -> (u64, u64) {
        let pinned = s.tasks[s.current()].ts.migration_disabled();
        pinned.set(&*s.mem, pinned.get(&*s.mem) + 1);
        if !self.vm.is_running() {
            self.entered.set((s.now, self.insns.get()));
        }
        let mut host = KernelHost { s, ops: self, charged: 0 };
        let result = f(&self.vm, &mut host);
        let insns = match &result {
            Ok((_, insns)) => *insns,
            Err(trap) => trap.insns,
        };
        host.settle(insns);
        pinned.set(&*s.mem, pinned.get(&*s.mem) - 1);
        self.release_dropped(s);
        self.free_dead_cpumasks(s);
        result.unwrap_or_else(|trap| {
            *self.trapped.borrow_mut() =
                Some(ProgPlace { prog: trap.id.0, name: trap.prog.clone(), insn: trap.insn });
            self.report_trap(s, &trap);
            *self.trapped.borrow_mut() = None;
            (0, trap.insns)
        })
    }

    /// Kptrs whose map elements have died give their references back.
    pub(super) fn release_dropped(&self, s: &mut Sched) {
        for kptr in self.vm.take_dropped_kptrs() {
            if self.note_released(kptr.addr) {
                put_object(s, kptr.addr);
            } else {
                self.put_cpumask(kptr.addr);
            }
        }
    }

    fn report_trap(&self, s: &mut Sched, trap: &Trap) {
        match trap.kind {
            TrapKind::Budget { .. } => {
                let msg = self.lockup_message(s);
                s.scx_error(msg);
            }
            // The run ends, not the scheduler.
            TrapKind::Interrupted => {}
            _ => s.scx_error(format!("sextant: {trap}")),
        }
    }

    /// How the ops name a CPU.
    fn cpu_arg(&self, s: &Sched, cpu: CpuId) -> u64 {
        if self.params.cid_form { s.cid_of(cpu) as u64 } else { cpu.0.into() }
    }

    /// The task's affinity as the ops see it.
    fn mask_arg(&self, s: &Sched, p: TaskId) -> u64 {
        let cpus = s.tasks[p].ts.cpus(&*s.mem);
        if self.params.cid_form { self.scratch_cmask(s, cpus) } else { cpus.addr() }
    }

    fn addr(&self, s: &Sched, p: TaskId) -> u64 {
        s.tasks[p].ts.addr()
    }
}

impl BpfOps {
    /// BPF_PROG_TEST_RUN of one of the object's syscall programs, in the kernel with this scheduler: its return value, and what it
    /// wrote to `ctx`. A trap is the caller's to report: the scheduler goes on.
    pub fn test_run(&self, s: &mut Sched, prog: ProgId, ctx: &mut [u8]) -> Result<u32, Trap> {
        let mut result = Ok(0);
        self.run(s, |vm, host| match vm.run_with_ctx(prog, ctx, host) {
            Ok(run) => {
                result = Ok(run.r0 as u32);
                Ok((run.r0, run.insns))
            }
            Err(trap) => {
                result = Err(trap);
                Ok((0, 0))
            }
        });
        result
    }
}

impl BpfOps {
    /// A step of the setup, on its CPU.
    fn setup_step(&self, s: &mut Sched, step: &SetupStep) -> Result<(), String> {
        let here = s.this_cpu;
        s.this_cpu = step.on.unwrap_or(here);
        let done = (step.act)(self, s);
        s.this_cpu = here;
        done
    }

    /// Steps that are due before the attach are done, timers are set for the others: their numbers from 1, which no address in the vm is.
    fn setup(&self, s: &mut Sched) -> Result<(), String> {
        for (step, number) in self.setup.iter().zip(1..) {
            match step.at {
                None => self.setup_step(s, step)?,
                Some(at) => {
                    let (cpu, at) = (step.on.unwrap_or(CpuId(0)), s.now + at);
                    s.requests.push(Request::TimerArm { timer: TimerId(number), cpu, at });
                }
            }
        }
        Ok(())
    }

    /// A step whose time has come; false if the timer is none of a setup.
    fn setup_timer(&self, s: &mut Sched, timer: TimerId) -> bool {
        let step = usize::try_from(timer.0).ok().and_then(|n| self.setup.get(n.checked_sub(1)?));
        let Some(step) = step else { return false };
        if let Err(what) = self.setup_step(s, step) {
            s.scx_error(format!("sextant: {what}"));
        }
        true
    }
}

impl Ops for BpfOps {
    fn params(&self) -> OpsParams {
        self.params.clone()
    }

    fn has(&self, op: Op) -> bool {
        self.progs[op.index()].is_some()
    }

    fn reg(&self, s: &mut Sched) -> Result<(), EnableError> {
        self.setup(s).map_err(EnableError::Setup)?;
        // kdata, link: the kernel's own, which no program of the common headers looks at.
        self.trace(s, TracePoint::BpfScxReg, &[0, 0]);
        Ok(())
    }

    fn traces(&self, point: TracePoint) -> bool {
        self.trace_progs.iter().any(|(at, _)| *at == point)
    }

    fn trace(&self, s: &mut Sched, point: TracePoint, args: &[u64]) {
        for (_, prog) in self.trace_progs.iter().filter(|(at, _)| *at == point) {
            self.run(s, |vm, host| vm.run(*prog, args, host).map(|run| (run.r0, run.insns)));
        }
    }

    fn select_cpu(&self, s: &mut Sched, p: TaskId, prev_cpu: CpuId, wake_flags: u64) -> i32 {
        let p = self.addr(s, p);
        let prev = self.cpu_arg(s, prev_cpu);
        let cpu = self.call(s, Op::SelectCpu, &[p, prev, wake_flags]) as i32;
        if self.params.cid_form { s.kf_scx_bpf_cid_to_cpu(cpu) } else { cpu }
    }

    fn enqueue(&self, s: &mut Sched, p: TaskId, enq_flags: u64) {
        let p = self.addr(s, p);
        self.call(s, Op::Enqueue, &[p, enq_flags]);
    }

    fn dequeue(&self, s: &mut Sched, p: TaskId, deq_flags: u64) {
        let p = self.addr(s, p);
        self.call(s, Op::Dequeue, &[p, deq_flags]);
    }

    fn dispatch(&self, s: &mut Sched, cpu: CpuId, prev: Option<TaskId>) {
        let prev = prev.map_or(0, |p| self.addr(s, p));
        self.call(s, Op::Dispatch, &[self.cpu_arg(s, cpu), prev]);
    }

    fn tick(&self, s: &mut Sched, p: TaskId) {
        let p = self.addr(s, p);
        self.call(s, Op::Tick, &[p]);
    }

    fn runnable(&self, s: &mut Sched, p: TaskId, enq_flags: u64) {
        let p = self.addr(s, p);
        self.call(s, Op::Runnable, &[p, enq_flags]);
    }

    fn running(&self, s: &mut Sched, p: TaskId) {
        let p = self.addr(s, p);
        self.call(s, Op::Running, &[p]);
    }

    fn stopping(&self, s: &mut Sched, p: TaskId, runnable: bool) {
        let p = self.addr(s, p);
        self.call(s, Op::Stopping, &[p, runnable.into()]);
    }

    fn quiescent(&self, s: &mut Sched, p: TaskId, deq_flags: u64) {
        let p = self.addr(s, p);
        self.call(s, Op::Quiescent, &[p, deq_flags]);
    }

    fn yield_(&self, s: &mut Sched, from: TaskId, to: Option<TaskId>) -> bool {
        let (from, to) = (self.addr(s, from), to.map_or(0, |p| self.addr(s, p)));
        self.call(s, Op::Yield, &[from, to]) as u8 != 0
    }

    fn core_sched_before(&self, s: &mut Sched, a: TaskId, b: TaskId) -> bool {
        let (a, b) = (self.addr(s, a), self.addr(s, b));
        self.call(s, Op::CoreSchedBefore, &[a, b]) as u8 != 0
    }

    fn set_weight(&self, s: &mut Sched, p: TaskId, weight: u32) {
        let p = self.addr(s, p);
        self.call(s, Op::SetWeight, &[p, weight.into()]);
    }

    fn set_cpumask(&self, s: &mut Sched, p: TaskId) {
        let mask = self.mask_arg(s, p);
        let p = self.addr(s, p);
        self.call(s, Op::SetCpumask, &[p, mask]);
    }

    fn update_idle(&self, s: &mut Sched, cpu: CpuId, idle: bool) {
        self.call(s, Op::UpdateIdle, &[self.cpu_arg(s, cpu), idle.into()]);
    }

    fn cpu_acquire(&self, s: &mut Sched, cpu: CpuId) {
        self.call(s, Op::CpuAcquire, &[cpu.0.into(), 0]);
    }

    fn cpu_release(&self, s: &mut Sched, cpu: CpuId, reason: u32, task: TaskId) {
        let args = self.args.cpu_release;
        args.reason().set(&*s.mem, reason);
        args.task().set(&*s.mem, self.addr(s, task));
        self.call(s, Op::CpuRelease, &[cpu.0.into(), args.addr()]);
    }

    fn init_task(&self, s: &mut Sched, p: TaskId, fork: bool) -> i32 {
        let args = self.args.init_task;
        args.fork().set(&*s.mem, fork);
        args.cgroup().set(&*s.mem, s.task_cgroup_addr(p));
        let p = self.addr(s, p);
        self.call(s, Op::InitTask, &[p, args.addr()]) as i32
    }

    fn exit_task(&self, s: &mut Sched, p: TaskId, cancelled: bool) {
        let args = self.args.exit_task;
        args.cancelled().set(&*s.mem, cancelled);
        let p = self.addr(s, p);
        self.call(s, Op::ExitTask, &[p, args.addr()]);
    }

    fn enable(&self, s: &mut Sched, p: TaskId) {
        let (args, addr) = (self.args.enable, self.addr(s, p));
        if !self.params.cid_form {
            self.call(s, Op::Enable, &[addr]);
            return;
        }
        let mask = self.mask_arg(s, p);
        args.cmask_arena_addr().set(&*s.mem, mask);
        self.call(s, Op::Enable, &[addr, args.addr()]);
    }

    fn disable(&self, s: &mut Sched, p: TaskId) {
        let p = self.addr(s, p);
        self.call(s, Op::Disable, &[p]);
    }

    fn dump(&self, s: &mut Sched) {
        let ctx = self.args.dump_ctx(s);
        self.call(s, Op::Dump, &[ctx]);
    }

    fn dump_cpu(&self, s: &mut Sched, cpu: CpuId, idle: bool) {
        let ctx = self.args.dump_ctx(s);
        self.call(s, Op::DumpCpu, &[ctx, self.cpu_arg(s, cpu), idle.into()]);
    }

    fn dump_task(&self, s: &mut Sched, p: TaskId) {
        let ctx = self.args.dump_ctx(s);
        let p = self.addr(s, p);
        self.call(s, Op::DumpTask, &[ctx, p]);
    }

    fn cgroup_init(&self, s: &mut Sched, cgrp: u64) -> i32 {
        let args = self.args.cgroup_init;
        let knobs = s.cgroup_knobs(cgrp);
        args.weight().set(&*s.mem, knobs.weight);
        args.bw_period_us().set(&*s.mem, knobs.bw_period_us);
        args.bw_quota_us().set(&*s.mem, knobs.bw_quota_us);
        args.bw_burst_us().set(&*s.mem, knobs.bw_burst_us);
        args.sched_idle().set(&*s.mem, knobs.idle);
        self.call(s, Op::CgroupInit, &[cgrp, args.addr()]) as i32
    }

    fn cgroup_exit(&self, s: &mut Sched, cgrp: u64) {
        self.call(s, Op::CgroupExit, &[cgrp]);
    }

    fn cgroup_prep_move(&self, s: &mut Sched, p: TaskId, from: u64, to: u64) -> i32 {
        let p = self.addr(s, p);
        self.call(s, Op::CgroupPrepMove, &[p, from, to]) as i32
    }

    fn cgroup_move(&self, s: &mut Sched, p: TaskId, from: u64, to: u64) {
        let p = self.addr(s, p);
        self.call(s, Op::CgroupMove, &[p, from, to]);
    }

    fn cgroup_cancel_move(&self, s: &mut Sched, p: TaskId, from: u64, to: u64) {
        let p = self.addr(s, p);
        self.call(s, Op::CgroupCancelMove, &[p, from, to]);
    }

    fn cgroup_set_weight(&self, s: &mut Sched, cgrp: u64, weight: u32) {
        self.call(s, Op::CgroupSetWeight, &[cgrp, weight.into()]);
    }

    fn cgroup_set_bandwidth(&self, s: &mut Sched, cgrp: u64, period_us: u64, quota_us: u64, burst_us: u64) {
        self.call(s, Op::CgroupSetBandwidth, &[cgrp, period_us, quota_us, burst_us]);
    }

    fn cgroup_set_idle(&self, s: &mut Sched, cgrp: u64, idle: bool) {
        self.call(s, Op::CgroupSetIdle, &[cgrp, idle.into()]);
    }

    fn cgroup_freed(&self, s: &mut Sched, cgrp: u64) {
        self.vm.task_gone(cgrp);
        self.release_dropped(s);
    }

    fn cpu_online(&self, s: &mut Sched, cpu: CpuId) {
        self.call(s, Op::CpuOnline, &[self.cpu_arg(s, cpu)]);
    }

    fn cpu_offline(&self, s: &mut Sched, cpu: CpuId) {
        self.call(s, Op::CpuOffline, &[self.cpu_arg(s, cpu)]);
    }

    fn check(&self) -> Result<(), EnableError> {
        if self.params.cid_form { self.cid_arena().map(|_| ()) } else { Ok(()) }
    }

    fn alloc_arena_objs(&self, s: &mut Sched) -> Result<(), i32> {
        self.alloc_cmasks(s)
    }

    fn active_changed(&self, s: &Sched) {
        self.fill_online(s);
    }

    fn init_cids(&self, s: &mut Sched) -> i32 {
        self.call(s, Op::InitCids, &[]) as i32
    }

    fn init(&self, s: &mut Sched) -> i32 {
        self.call(s, Op::Init, &[]) as i32
    }

    fn exit(&self, s: &mut Sched) {
        let Some(info) = s.ext.exit_info().cloned() else { return };
        let ei = self.args.exit_info(s, &info, self.params.exit_dump_len);
        self.call(s, Op::Exit, &[ei]);
    }

    fn timer(&self, s: &mut Sched, timer: TimerId) {
        if self.setup_timer(s, timer) {
            return;
        }
        self.run(s, |vm, host| {
            let before = vm.insns();
            vm.timer_fire(timer.0, host)?;
            Ok((0, vm.insns() - before))
        });
    }

    fn task_freed(&self, s: &mut Sched, p: TaskId) {
        self.vm.task_gone(self.addr(s, p));
    }

    fn release(&self, s: &mut Sched) {
        self.free_all(s);
    }

    fn op_stats(&self) -> Vec<(Op, u64, u64)> {
        let stats = Op::ALL.iter().map(|&op| (op, self.stats[op.index()].get()));
        stats.filter(|(_, (calls, _))| *calls > 0).map(|(op, (calls, insns))| (op, calls, insns)).collect()
    }

    fn insns(&self) -> u64 {
        self.insns.get()
    }

    fn position(&self) -> Option<ProgPlace> {
        self.trapped.borrow().clone().or_else(|| self.vm.position())
    }

    fn clock(&self, s: &Sched) -> Ns {
        s.now
    }
}

//! The class's functions as the scheduler core calls them (`DEFINE_SCHED_CLASS(ext)` and the `scx_*` hooks).

use sextant_abi::CpuId;
use sextant_abi::tables::TracePoint;
use sextant_abi::types::SCX_OPS_ALLOW_QUEUED_WAKEUP;

use super::entity::Verdict;
use super::events::EventId;
use super::rq::RqFlags;
use crate::core::flags::{SCHED_EXT, WF_EXEC};
use crate::ops::Op;
use crate::sched::{Sched, Work};
use crate::task::{Class, TaskId};

/// EACCES, as a return value.
const EACCES: i32 = -13;

impl Sched {
    /// What a new task's entity starts as (call before `scx_fork`, memory zeroed).
    pub fn init_scx_entity(&mut self, p: TaskId) {
        self.do_init_scx_entity(p);
    }

    /// Whether a task of that policy belongs to the ext class now.
    pub fn task_should_scx(&self, policy: u32) -> bool {
        self.policy_should_scx(policy)
    }

    /// Whether all tasks are in the class, so that fair is not asked for one.
    pub fn scx_switched_all(&self) -> bool {
        self.ext.switched_all
    }

    /// `sched_fork` has set class and CPU: ops.init_task. Errno (negative) if refused.
    pub fn scx_fork(&mut self, p: TaskId) -> Result<(), i32> {
        self.do_scx_fork(p)
    }

    /// The fork has succeeded: enabled if of the ext class.
    pub fn scx_post_fork(&mut self, p: TaskId) {
        self.do_scx_post_fork(p);
    }

    /// The fork has failed after `scx_fork`.
    pub fn scx_cancel_fork(&mut self, p: TaskId) {
        if self.ext.init_task_enabled {
            self.scx_disable_and_exit_task(p);
        }
    }

    /// After the last context switch of a dead task.
    pub fn sched_ext_dead(&mut self, p: TaskId) {
        self.do_sched_ext_dead(p);
    }

    /// The `task_struct` of a dead task is about to be given back: what the scheduler keeps per task goes with it.
    pub fn scx_task_freed(&mut self, p: TaskId) {
        self.forget_tid(p);
        if let Some(ops) = self.ext.ops.clone() {
            ops.task_freed(self, p);
        }
    }

    /// `sched_setscheduler` may go on; errno (negative) if not.
    pub fn scx_check_setscheduler(&self, p: TaskId, policy: u32) -> Result<(), i32> {
        let ts = self.tasks[p].ts;
        let refused = self.ext.enabled
            && policy == SCHED_EXT
            && ts.policy().get(&*self.mem) != policy
            && ts.scx().disallow().get(&*self.mem);
        if refused { Err(EACCES) } else { Ok(()) }
    }

    /// Whether a wakeup may be queued to the task's CPU without select_cpu.
    pub fn scx_allow_ttwu_queue(&self, p: TaskId) -> bool {
        !self.ext.enabled
            || self.ext.flags & SCX_OPS_ALLOW_QUEUED_WAKEUP != 0
            || self.tasks[p].class != Class::Ext
    }

    /// Chooses a CPU; the core checks it against the affinity.
    pub fn select_task_rq_scx(&mut self, p: TaskId, prev_cpu: CpuId, wake_flags: u64) -> CpuId {
        if wake_flags & WF_EXEC != 0 {
            return prev_cpu;
        }
        if self.scx_bypassing(self.tasks[p].cpu) {
            self.ext.add_event(EventId::BypassDispatch, 1);
            self.set_selected_cpu(p, prev_cpu.0 as i32);
            return prev_cpu;
        }
        if self.ext.has(Op::SelectCpu) {
            let cpu = self.with_ddsp_subject(p, |s| s.op_select_cpu(p, prev_cpu, wake_flags));
            self.set_selected_cpu(p, cpu);
            return self.scx_cpu_valid(cpu, " from ops.select_cpu()").unwrap_or(prev_cpu);
        }
        self.select_task_rq_dfl(p, prev_cpu, wake_flags)
    }

    /// Without ops.select_cpu: an idle CPU found by default gets the task on its local DSQ.
    fn select_task_rq_dfl(&mut self, p: TaskId, prev_cpu: CpuId, wake_flags: u64) -> CpuId {
        let found = self.select_cpu_dfl(p, prev_cpu, wake_flags, None, 0);
        let cpu = if found < 0 { prev_cpu } else { CpuId(found as u32) };
        if found >= 0 {
            self.ext.add_event(EventId::RefillSliceDfl, 1);
            let (dsq_id, slice) = (sextant_abi::DsqId::LOCAL, self.ext.slice_dfl);
            let enq_flags = sextant_abi::types::SCX_ENQ_SLICE_DFL;
            self.set_direct_dispatch(p, Verdict { dsq_id, slice, vtime: 0, enq_flags });
        }
        self.set_selected_cpu(p, cpu.0 as i32);
        cpu
    }

    /// Puts a task on `cpu`'s runqueue.
    pub fn enqueue_task_scx(&mut self, cpu: CpuId, p: TaskId, flags: u64) {
        self.do_enqueue_task_scx(cpu, p, flags);
    }

    /// Takes a task off `cpu`'s runqueue.
    pub fn dequeue_task_scx(&mut self, cpu: CpuId, p: TaskId, flags: u64) {
        self.do_dequeue_task_scx(cpu, p, flags);
    }

    /// Dispatches and picks. May return `prev` itself.
    pub fn pick_task_scx(&mut self, cpu: CpuId, prev: TaskId) -> Option<TaskId> {
        self.do_pick_task_scx(cpu, prev)
    }

    /// `p` was running and is to be replaced by `next`.
    pub fn put_prev_task_scx(&mut self, cpu: CpuId, p: TaskId, next: Option<TaskId>) {
        self.do_put_prev_task_scx(cpu, p, next);
    }

    /// `p` is to run now.
    pub fn set_next_task_scx(&mut self, cpu: CpuId, p: TaskId, _first: bool) {
        self.do_set_next_task_scx(cpu, p);
    }

    /// The tick while `p` runs.
    pub fn task_tick_scx(&mut self, cpu: CpuId, p: TaskId) {
        self.do_task_tick_scx(cpu, p);
    }

    /// `sched_yield` by the running task.
    pub fn yield_task_scx(&mut self, cpu: CpuId) {
        self.do_yield_task_scx(cpu);
    }

    /// `sched_yield_to`; whether it was honoured.
    pub fn yield_to_task_scx(&mut self, cpu: CpuId, to: TaskId) -> bool {
        self.do_yield_to_task_scx(cpu, to)
    }

    /// A task of a class above becomes runnable here; ext tasks preempt each other only by slices.
    pub fn wakeup_preempt_scx(&mut self, cpu: CpuId, p: TaskId, _wake_flags: u64) {
        self.do_wakeup_preempt_scx(cpu, p);
    }

    /// The task is about to enter the class (dequeued).
    pub fn switching_to_scx(&mut self, p: TaskId) {
        self.do_switching_to_scx(p);
    }

    /// The task has left the class (dequeued).
    pub fn switched_from_scx(&mut self, p: TaskId) {
        self.do_switched_from_scx(p);
    }

    /// `static_prio` or policy changed: weight.
    pub fn reweight_task_scx(&mut self, p: TaskId) {
        self.do_reweight_task_scx(p);
    }

    /// `cpus_ptr` has changed.
    pub fn set_cpus_allowed_scx(&mut self, p: TaskId) {
        self.do_set_cpus_allowed_scx(p);
    }

    /// After the enqueue of a wakeup or of a new task.
    pub fn task_woken_scx(&mut self, cpu: CpuId) {
        self.run_deferred(cpu);
    }

    /// Every tick, whatever runs: the watchdog's own watchdog.
    pub fn scx_tick(&mut self, cpu: CpuId) {
        if self.ext.enabled {
            self.trace(TracePoint::ScxTick, &[self.rqs[cpu.idx()].addr]);
            self.do_scx_tick();
        }
    }

    /// The CPU goes idle, leaves idle (`do_notify`), or picked idle again (`!do_notify`).
    pub fn scx_update_idle(&mut self, cpu: CpuId, idle: bool, do_notify: bool) {
        if self.ext.enabled {
            self.do_update_idle(cpu, idle, do_notify);
        }
    }

    /// The irq_work asked for on this CPU: kicks, deferred transfers, the start of an exit.
    pub fn scx_irq_work(&mut self, cpu: CpuId) {
        self.rqs[cpu.idx()].ext.irq_work_pending = false;
        self.kick_cpus(cpu);
        self.run_deferred(cpu);
        if self.exit_work_on(cpu) {
            self.exit_irq_work();
        }
    }

    /// The balance callback asked for on this CPU: before the runqueue's lock is dropped after a pick.
    pub fn scx_balance_callback(&mut self, cpu: CpuId) {
        let rq = &mut self.rqs[cpu.idx()].ext;
        rq.kick_sync_pending = false;
        rq.kicks.sync = Default::default();
        let again = rq.flags.contains(RqFlags::RESCHED_NEXT);
        rq.flags.remove(RqFlags::BAL_CB_PENDING | RqFlags::RESCHED_NEXT);
        self.run_deferred(cpu);
        if again {
            self.resched_curr(cpu);
        }
    }

    /// A kthread's work.
    pub fn scx_work(&mut self, work: Work) {
        match work {
            Work::Watchdog => self.watchdog_workfn(),
            Work::Disable => self.disable_workfn(),
            Work::BypassLb => self.bypass_lb_timerfn(),
        }
    }

    /// The cached clock of this CPU is valid from now on (update_rq_clock).
    pub fn scx_rq_clock_update(&mut self, cpu: CpuId) {
        self.rqs[cpu.idx()].ext.flags.insert(RqFlags::CLK_VALID);
    }

    /// The runqueue is unpinned: the cached clock is no longer valid.
    pub fn scx_rq_clock_invalidate(&mut self, cpu: CpuId) {
        self.rqs[cpu.idx()].ext.flags.remove(RqFlags::CLK_VALID);
    }
}

//! Loading and unloading a scheduler: `scx_root_enable` and `scx_root_disable` (semantics §4.18).
//!
//! An attach that fails after the checks of `scx_enable` is a successful attach followed by an exit, as in the kernel.

use sextant_abi::tables::TRACE_TARGETS;
use std::rc::Rc;

use sextant_abi::CpuId;
use sextant_abi::exit::ExitKind;
use sextant_abi::types::*;

use super::EnableState;
use super::cid::CidTable;
use super::events::EventId;
use super::rq::{DdspSubject, RqFlags};
use crate::core::flags::*;
use crate::deadline::Server;
use crate::event::Event;
use crate::ops::{Op, Ops, OpsParams};
use crate::sched::Sched;
use crate::task::{Class, TaskId};

/// Why a scheduler was not attached at all.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EnableError {
    /// EBUSY
    #[error("a scheduler is loaded already: unload it first")]
    Busy,
    /// EINVAL
    #[error("ops.flags {0:#x} has bits that this kernel does not know (known: {known:#x})", known = SCX_OPS_ALL_FLAGS)]
    Flags(u64),
    /// EINVAL
    #[error("ops.name {0:?} must be 1 to 127 characters of [A-Za-z0-9_.]")]
    Name(String),
    /// EINVAL
    #[error("cid-form scheduler must use a BPF arena map")]
    NoArena,
    /// EINVAL
    #[error("cid-form scheduler uses multiple arena maps")]
    Arenas,
    /// ENODEV
    #[error("a sub-scheduler (ops.sub_cgroup_id {0}) needs a loaded scheduler above it")]
    NoParent(u64),
    /// EOPNOTSUPP
    #[error(
        "sub-schedulers (ops.sub_cgroup_id {0}) are not supported: load it on its own, with sub_cgroup_id 0"
    )]
    Sub(u64),
    /// E2BIG
    #[error("ops.timeout_ms {0} is more than 30000")]
    Timeout(u32),
    /// E2BIG
    #[error("ops.dispatch_max_batch {0} is more than 2147483647")]
    MaxBatch(u32),
    /// ENOMEM
    #[error("ops.{0} {1} needs more memory than the kernel can allocate (at most {2})")]
    NoMemory(&'static str, u32, u32),
    /// A program that was to run first did not do as it should.
    #[error("{0}")]
    Setup(String),
}

impl EnableError {
    /// The errno (positive) that the system call returns.
    pub fn errno(&self) -> i32 {
        match self {
            EnableError::Busy => 16,
            EnableError::Flags(_)
            | EnableError::Name(_)
            | EnableError::Setup(_)
            | EnableError::NoArena
            | EnableError::Arenas => 22,
            EnableError::NoParent(_) => 19,
            EnableError::Sub(_) => 95,
            EnableError::Timeout(_) | EnableError::MaxBatch(_) => 7,
            EnableError::NoMemory(..) => 12,
        }
    }
}

/// `bpf_scx_init_member`: the checks of a table's data members, before anything is attached.
pub fn check_ops_params(p: &OpsParams, hz: u64) -> Result<(), EnableError> {
    let ok = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    if p.name.is_empty() || p.name.len() >= SCX_OPS_NAME_LEN as usize || !p.name.chars().all(ok) {
        return Err(EnableError::Name(p.name.clone()));
    }
    if p.flags & !SCX_OPS_ALL_FLAGS != 0 {
        return Err(EnableError::Flags(p.flags));
    }
    if p.dispatch_max_batch > i32::MAX as u32 {
        return Err(EnableError::MaxBatch(p.dispatch_max_batch));
    }
    if msecs_to_jiffies(p.timeout_ms, hz) > max_timeout(hz) {
        return Err(EnableError::Timeout(p.timeout_ms));
    }
    Ok(())
}

/// The largest `dispatch_max_batch` that `__alloc_percpu()` has room for: entries of 48 bytes behind the 432 of `struct scx_sched_pcpu`
/// in 32 KiB.
const MAX_BATCH: u32 = (32768 - 432) / 48;
/// The largest dump that the emulated machine has memory for, bytes.
const MAX_DUMP: u32 = 1 << 30;

/// What `scx_alloc_and_add_sched()` cannot allocate.
fn check_memory(p: &OpsParams) -> Result<(), EnableError> {
    if p.exit_dump_len > MAX_DUMP {
        return Err(EnableError::NoMemory("exit_dump_len", p.exit_dump_len, MAX_DUMP));
    }
    if p.dispatch_max_batch > MAX_BATCH {
        return Err(EnableError::NoMemory("dispatch_max_batch", p.dispatch_max_batch, MAX_BATCH));
    }
    Ok(())
}

/// Rounded up.
fn msecs_to_jiffies(ms: u32, hz: u64) -> u64 {
    (u64::from(ms) * hz).div_ceil(1000)
}

/// SCX_WATCHDOG_MAX_TIMEOUT, jiffies.
fn max_timeout(hz: u64) -> u64 {
    30 * hz
}

impl Sched {
    /// Attaches a scheduler. Ok does not mean that it is in charge: a failing ops.init, a contradiction between flags and ops
    /// and the like are an exit right after the attach (see `exit_info`).
    pub fn scx_enable(&mut self, ops: Rc<dyn Ops>) -> Result<(), EnableError> {
        self.scx_enable_begin(ops)?;
        self.scx_finish_transition();
        Ok(())
    }

    /// The same in steps: the rest is `scx_step`'s.
    pub fn scx_enable_begin(&mut self, ops: Rc<dyn Ops>) -> Result<(), EnableError> {
        let params = ops.params();
        check_ops_params(&params, self.cfg.hz)?;
        ops.check()?;
        if params.sub_cgroup_id > 1 {
            let loaded = self.ext.enabled;
            return Err(if loaded { EnableError::Sub } else { EnableError::NoParent }(params.sub_cgroup_id));
        }
        if self.ext.state != EnableState::Disabled {
            return Err(EnableError::Busy);
        }
        ops.reg(self)?;
        check_memory(&params)?;
        self.alloc_sched(ops, &params);
        self.begin_enable(params);
        Ok(())
    }

    /// A scheduler that was attached does not come into charge: it exits at once.
    pub(super) fn enable_failed(&mut self, errno: i32) {
        self.scx_error(format!("scx_root_enable() failed ({errno})"));
        self.scx_flush_disable_work();
    }

    /// Whether somebody has claimed the exit of the scheduler.
    pub(super) fn scx_exit_claimed(&self) -> bool {
        self.ext.exit_kind != ExitKind::None
    }

    /// `scx_alloc_and_add_sched`
    pub(super) fn alloc_sched(&mut self, ops: Rc<dyn Ops>, params: &OpsParams) {
        let hz = self.cfg.hz;
        let e = &mut self.ext;
        e.state = EnableState::Enabling;
        e.flags = params.flags;
        if params.calls_switch_all {
            e.flags |= SCX_OPS_SWITCH_PARTIAL;
        }
        e.name = params.name.clone();
        e.cid_form = params.cid_form;
        e.max_batch =
            if params.dispatch_max_batch == 0 { SCX_DSP_DFL_MAX_BATCH } else { params.dispatch_max_batch };
        e.dump_len = if params.exit_dump_len == 0 { SCX_EXIT_DUMP_DFL_LEN } else { params.exit_dump_len };
        e.slice_dfl = SCX_SLICE_DFL;
        e.bypass_lb_due = None;
        e.stats = [0; EventId::COUNT];
        (e.exit_kind, e.exit_info, e.exit_flags, e.exit_work) = (ExitKind::None, None, 0, None);
        (e.aborting, e.disable_pending, e.dead, e.nr_rejected) = (false, false, false, 0);
        e.had_tasks = false;
        e.traces =
            TRACE_TARGETS.iter().filter(|t| ops.traces(t.point)).fold(0, |set, t| set | 1 << t.point as u32);
        e.ops = Some(ops);
        for rq in &mut self.rqs {
            rq.ext.cpuperf_target = SCX_CPUPERF_ONE;
            rq.ext.flags.set(RqFlags::ONLINE, rq.active);
            rq.ext.dsp.buf.clear();
            rq.ext.ddsp_subject = DdspSubject::Off;
        }
        let timeout = match params.timeout_ms {
            0 => max_timeout(hz),
            ms => msecs_to_jiffies(ms, hz),
        };
        self.start_watchdog(timeout);
    }

    /// `scx_root_enable_workfn` up to the beginning of bypass; Err is the errno that becomes the exit.
    pub(super) fn root_enable_begin(&mut self, params: &OpsParams) -> Result<(), i32> {
        let ops = self.ext.ops.clone().ok_or(super::idle::EBUSY)?;
        self.scx_idle_enable(ops.has(Op::UpdateIdle));
        self.build_cids(params.cid_shard_size);
        if params.cid_form && ops.has(Op::InitCids) {
            let ret = self.op_init_cids();
            self.init_failed("init_cids", ret)?;
        }
        ops.alloc_arena_objs(self)?;
        if ops.has(Op::Init) {
            let ret = self.op_init();
            self.init_failed("init", ret)?;
            self.ext.exit_flags |= SCX_EFLAG_INITIALIZED;
        }
        self.check_hotplug_seq(params.hotplug_seq)?;
        self.validate_ops(&*ops)?;
        self.dl_servers_attach_bw(Server::Ext)?;
        self.scx_bypass(true);
        self.ext.has_op = Op::ALL.iter().filter(|&&op| ops.has(op)).fold(0, |set, &op| set | 1 << op.index());
        if ops.has(Op::CpuAcquire) || ops.has(Op::CpuRelease) {
            self.ext.flags |= SCX_OPS_HAS_CPU_PREEMPT;
        }
        Ok(())
    }

    /// Every task is initialised: from now on tasks may be in the class.
    pub(super) fn let_tasks_in(&mut self) {
        self.ext.switching_all = self.ext.flags & SCX_OPS_SWITCH_PARTIAL == 0;
        self.ext.enabled = true;
    }

    /// What ops.init or ops.init_cids returned.
    fn init_failed(&mut self, op: &str, ret: i32) -> Result<(), i32> {
        if ret == 0 {
            return Ok(());
        }
        let ret = self.sanitize_err(op, ret);
        self.scx_error(format!("ops.{op}() failed ({ret})"));
        Err(ret)
    }

    pub(super) fn set_enabled(&mut self, params: &OpsParams) {
        self.ext.state = EnableState::Enabled;
        self.ext.switched_all = self.ext.switching_all;
        if self.ext.switched_all {
            self.dl_servers_detach_bw(Server::Fair); // nobody is left in that class
        }
        self.ext.enable_seq += 1;
        let partial = !self.ext.switched_all;
        self.emit(Event::Enabled { name: params.name.clone(), partial });
    }

    fn check_hotplug_seq(&mut self, expected: u64) -> Result<(), i32> {
        let actual = self.ext.hotplug_seq;
        if expected == 0 || expected == actual {
            return Ok(());
        }
        let code = (SCX_ECODE_ACT_RESTART | SCX_ECODE_RSN_HOTPLUG) as i64;
        let msg = format!("expected hotplug seq {expected} did not match actual {actual}");
        self.scx_exit(ExitKind::UnregKern, code, self.this_cpu.0 as i32, msg);
        Err(super::idle::EBUSY)
    }

    /// `scx_validate_ops`
    fn validate_ops(&mut self, ops: &dyn Ops) -> Result<(), i32> {
        let flags = self.ext.flags;
        let msg = if flags & SCX_OPS_ENQ_LAST != 0 && !ops.has(Op::Enqueue) {
            "SCX_OPS_ENQ_LAST requires ops.enqueue() to be implemented"
        } else if flags & SCX_OPS_BUILTIN_IDLE_PER_NODE != 0
            && ops.has(Op::UpdateIdle)
            && flags & SCX_OPS_KEEP_BUILTIN_IDLE == 0
        {
            "SCX_OPS_BUILTIN_IDLE_PER_NODE requires CPU idle selection enabled"
        } else if !self.ext.cid_form && (ops.has(Op::SubAttach) || ops.has(Op::SubDetach)) {
            "sub_attach/sub_detach requires cid-form struct_ops"
        } else {
            return Ok(());
        };
        self.scx_error(msg.into());
        Err(EINVAL)
    }

    /// All tasks but swapper/N and the dead, in creation order.
    pub(super) fn live_tasks(&self) -> Vec<TaskId> {
        self.tasks.iter().filter(|t| !t.dead && t.class != Class::Idle).map(|t| t.id).collect()
    }

    /// A task that was there before the scheduler; one that has exited meanwhile, or that a fork has initialised, is left alone.
    pub(super) fn init_one_task(&mut self, p: TaskId) -> Result<(), i32> {
        if self.tasks[p].dead || self.scx_task_state(p) != SCX_TASK_NONE {
            return Ok(());
        }
        self.set_scx_task_state(p, SCX_TASK_INIT_BEGIN);
        let ret = self.scx_init_task(p, false);
        if ret != 0 {
            self.set_scx_task_state(p, SCX_TASK_NONE);
            let name = self.task_name(p);
            self.scx_error(format!("ops.init_task() failed ({ret}) for {name}"));
            return Err(ret);
        }
        self.set_scx_task_state(p, SCX_TASK_INIT);
        self.set_scx_task_state(p, SCX_TASK_READY);
        Ok(())
    }

    /// Every READY task goes through a change, those that stay in their class too.
    pub(super) fn switch_to_new_class(&mut self, p: TaskId) {
        if self.tasks[p].dead || self.scx_task_state(p) != SCX_TASK_READY {
            return;
        }
        let new = self.scx_setscheduler_class(p);
        let class = if new != self.tasks[p].class { DEQUEUE_CLASS } else { 0 };
        let ctx = self.sched_change_begin(p, DEQUEUE_SAVE | DEQUEUE_MOVE | class);
        let slice = self.ext.slice_dfl;
        self.set_task_slice(p, slice);
        self.set_class(p, new);
        self.sched_change_end(ctx);
    }

    /// `scx_disable_workfn`
    pub(crate) fn disable_workfn(&mut self) {
        // A scheduler that is on its way in is thrown out when it is there (scx_enable_mutex).
        if self.ext.transition.is_some() || !std::mem::take(&mut self.ext.disable_pending) {
            return;
        }
        self.begin_disable();
        self.scx_finish_transition();
    }

    /// Unregisters the scheduler (exit kind UNREG) in steps: the rest is `scx_step`'s. One that exits already only goes on.
    pub fn scx_unregister_begin(&mut self) {
        self.scx_disable(ExitKind::Unreg);
        self.exit_irq_work();
        if std::mem::take(&mut self.ext.disable_pending) {
            self.begin_disable();
        }
    }

    /// `scx_root_disable`: nobody new comes into the class.
    pub(super) fn keep_tasks_out(&mut self) {
        self.ext.was_switched_all = self.ext.switched_all;
        (self.ext.switched_all, self.ext.switching_all) = (false, false);
        self.scx_cgroup_exit();
        self.ext.init_task_enabled = false;
    }

    /// The class is empty.
    pub(super) fn all_back(&mut self) {
        self.dl_servers_detach_bw(Server::Ext);
        if self.ext.was_switched_all {
            // -EBUSY if somebody has raised a runtime meanwhile: fair goes without.
            let _ = self.dl_servers_attach_bw(Server::Fair);
        }
        self.ext.enabled = false;
        self.ext.has_op = 0;
        self.ext.builtin_idle = false;
    }

    /// ops.exit, and the scheduler is gone.
    pub(super) fn scheduler_exit(&mut self) {
        if self.ext.ops.as_ref().is_some_and(|ops| ops.has(Op::Exit)) {
            self.op_exit();
        }
        self.ext.dead = true;
        self.ext.cids = CidTable::default();
        self.stop_watchdog();
        self.ext.ops = None;
        self.drop_seen_dsqs(None);
        self.ext.dsqs.clear_user();
    }

    /// The end of `scx_disable_workfn`.
    pub(super) fn disabled(&mut self) {
        self.ext.state = EnableState::Disabled;
        // An enable that failed has left its own; the depth is the scheduler's and goes with it.
        while self.ext.bypass_depth > 0 {
            self.scx_bypass(false);
        }
        self.emit(Event::Disabled);
    }

    pub(super) fn return_to_fair(&mut self, p: TaskId) {
        if self.tasks[p].dead {
            return;
        }
        let new = self.scx_setscheduler_class(p);
        let class = if new != self.tasks[p].class { DEQUEUE_CLASS } else { 0 };
        self.update_rq_clock(self.tasks[p].cpu);
        let ctx = self.sched_change_begin(p, DEQUEUE_SAVE | DEQUEUE_MOVE | DEQUEUE_NOCLOCK | class);
        self.set_class(p, new);
        self.sched_change_end(ctx);
        self.scx_disable_and_exit_task(p);
    }

    /// `cgrp->kn->id`
    pub(crate) fn cgroup_id(&self, cgrp: u64) -> u64 {
        Cgroup::at(cgrp).kn().deref(&*self.mem).id().get(&*self.mem)
    }

    /// `scx_rq_online`
    pub(crate) fn scx_rq_online(&self, cpu: CpuId) -> bool {
        self.cpu_active(cpu) && self.rqs[cpu.idx()].ext.flags.contains(RqFlags::ONLINE)
    }
}

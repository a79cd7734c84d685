//! A task's life under schedulers: init_task → (enable → … → disable)* → exit_task, and what fork, death and changes of
//! class, weight and affinity do to it.
//!
//! ```text
//! NONE ─► INIT_BEGIN ─► INIT ─► READY ⇄ ENABLED      exit_task leads back to NONE, death to DEAD
//! ```

use sextant_abi::types::*;

use super::EnableState;
use super::entity::ExtEntity;
use crate::core::flags::*;
use crate::ops::Op;
use crate::sched::Sched;
use crate::task::{Class, TaskId};

/// Thread ids are given out in chunks per CPU.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TidChunk {
    next: u64,
    end: u64,
}

impl Sched {
    /// `init_scx_entity`
    pub(super) fn do_init_scx_entity(&mut self, p: TaskId) {
        self.tasks[p].ext = ExtEntity::default();
        let now = self.jiffies();
        let tid = self.alloc_tid();
        self.ext.tid_to_task.insert(tid, p);
        let (scx, mem) = (self.scx(p), &*self.mem);
        scx.sticky_cpu().set(mem, -1);
        scx.holding_cpu().set(mem, -1);
        scx.runnable_cpu().set(mem, -1);
        scx.runnable_at().set(mem, now);
        scx.ddsp_dsq_id().set(mem, SCX_DSQ_INVALID);
        scx.slice().set(mem, SCX_SLICE_DFL);
        scx.tid().set(mem, tid);
    }

    /// The task is no longer found by its thread id.
    pub(super) fn forget_tid(&mut self, p: TaskId) {
        let tid = self.scx(p).tid().get(&*self.mem);
        self.ext.tid_to_task.remove(&tid);
    }

    /// `scx_alloc_tid`
    fn alloc_tid(&mut self) -> u64 {
        let chunk = &mut self.ext.tids[self.this_cpu.idx()];
        if chunk.next >= chunk.end {
            chunk.next = self.ext.tid_cursor;
            chunk.end = chunk.next + u64::from(SCX_TID_CHUNK);
            self.ext.tid_cursor = chunk.end;
        }
        let tid = chunk.next;
        chunk.next += 1;
        tid
    }

    /// `__scx_init_task`: 0 or a sanitised -errno.
    pub(crate) fn scx_init_task(&mut self, p: TaskId, fork: bool) -> i32 {
        self.scx(p).disallow().set(&*self.mem, false);
        let ret = self.op_init_task(p, fork);
        if ret != 0 {
            return self.sanitize_err("init_task", ret);
        }
        if self.scx(p).disallow().get(&*self.mem) {
            self.disallow(p, fork);
        }
        0
    }

    /// ops.init_task asked that `p` may never be in the class: legal while a scheduler loads.
    fn disallow(&mut self, p: TaskId, fork: bool) {
        let when = if fork {
            "during fork"
        } else if self.ext.state != EnableState::Enabling {
            "outside the enable path"
        } else {
            let policy = self.tasks[p].ts.policy();
            if policy.get(&*self.mem) == SCHED_EXT {
                policy.set(&*self.mem, SCHED_NORMAL);
                self.ext.nr_rejected += 1;
            }
            return;
        };
        let name = self.task_name(p);
        self.scx_error(format!("ops.init_task() set task->scx.disallow for {name} {when}"));
    }

    /// `scx_ops_sanitize_err`: what is no errno is the scheduler's error, and -EPROTO.
    pub(crate) fn sanitize_err(&mut self, op: &str, ret: i32) -> i32 {
        const EPROTO: i32 = -71;
        if (-4095..0).contains(&ret) {
            return ret;
        }
        self.scx_error(format!("ops.{op}() returned an invalid errno {ret}"));
        EPROTO
    }

    /// `p->scx.weight` from its load weight.
    fn update_scx_weight(&mut self, p: TaskId) -> u32 {
        let load = u64::from(self.load_weight(self.tasks[p].ts));
        let weight = ((load * 100 + 512) / 1024).clamp(1, 10_000) as u32;
        self.scx(p).weight().set(&*self.mem, weight);
        weight
    }

    /// `scx_enable_task`
    pub(super) fn scx_enable_task(&mut self, p: TaskId) {
        let weight = self.update_scx_weight(p);
        self.op_enable(p);
        if self.ext.cid_form {
            self.op_set_cpumask(p);
        }
        self.op_set_weight(p, weight);
        self.set_scx_task_state(p, SCX_TASK_ENABLED);
    }

    /// `scx_disable_task`
    fn scx_disable_task(&mut self, p: TaskId) {
        self.clear_direct_dispatch(p);
        self.op_disable(p);
        self.set_scx_task_state(p, SCX_TASK_READY);
        self.scx(p).dsq_vtime().set(&*self.mem, 0);
        self.set_task_slice(p, 0);
        self.tasks[p].ext.reenq_cnt = 0;
        self.set_scx_flags(p, SCX_TASK_RESET_RUNNABLE_AT);
    }

    /// `scx_disable_and_exit_task`
    pub(crate) fn scx_disable_and_exit_task(&mut self, p: TaskId) {
        let state = self.scx_task_state(p);
        match state {
            SCX_TASK_NONE | SCX_TASK_DEAD | SCX_TASK_INIT_BEGIN => return,
            SCX_TASK_ENABLED => self.scx_disable_task(p),
            _ => {}
        }
        self.op_exit_task(p, state == SCX_TASK_INIT);
        self.set_scx_task_state(p, SCX_TASK_NONE);
    }

    /// `scx_fork`
    pub(super) fn do_scx_fork(&mut self, p: TaskId) -> Result<(), i32> {
        if !self.ext.init_task_enabled {
            return Ok(());
        }
        self.set_scx_task_state(p, SCX_TASK_INIT_BEGIN);
        let ret = self.scx_init_task(p, true);
        if ret != 0 {
            self.set_scx_task_state(p, SCX_TASK_NONE);
            return Err(ret);
        }
        self.set_scx_task_state(p, SCX_TASK_INIT);
        Ok(())
    }

    /// `scx_post_fork`
    pub(super) fn do_scx_post_fork(&mut self, p: TaskId) {
        if self.ext.init_task_enabled {
            self.set_scx_task_state(p, SCX_TASK_READY);
            if self.tasks[p].class == Class::Ext {
                self.scx_enable_task(p);
            }
        }
    }

    /// `sched_ext_dead`
    pub(super) fn do_sched_ext_dead(&mut self, p: TaskId) {
        self.forget_tid(p);
        if self.scx_task_state(p) != SCX_TASK_NONE {
            self.scx_disable_and_exit_task(p);
            self.set_scx_task_state(p, SCX_TASK_DEAD);
        }
    }

    /// `task_dead_and_done`: past its last switch.
    fn task_dead_and_done(&self, p: TaskId) -> bool {
        let ts = self.tasks[p].ts;
        ts.__state().get(&*self.mem) == TASK_DEAD && ts.on_cpu().get(&*self.mem) == 0
    }

    /// `switching_to_scx`
    pub(super) fn do_switching_to_scx(&mut self, p: TaskId) {
        if !self.task_dead_and_done(p) {
            self.scx_enable_task(p);
            if !self.ext.cid_form {
                self.op_set_cpumask(p);
            }
        }
    }

    /// `switched_from_scx`
    pub(super) fn do_switched_from_scx(&mut self, p: TaskId) {
        if !self.task_dead_and_done(p) && self.scx_task_state(p) != SCX_TASK_NONE {
            self.scx_disable_task(p);
        }
    }

    /// `reweight_task_scx`
    pub(super) fn do_reweight_task_scx(&mut self, p: TaskId) {
        if !self.task_dead_and_done(p) && self.scx_task_state(p) == SCX_TASK_ENABLED {
            let weight = self.update_scx_weight(p);
            self.op_set_weight(p, weight);
        }
    }

    /// `set_cpus_allowed_scx`, after the core has set the mask.
    pub(super) fn do_set_cpus_allowed_scx(&mut self, p: TaskId) {
        if !self.task_dead_and_done(p) && self.ext.has(Op::SetCpumask) {
            self.op_set_cpumask(p);
        }
    }

    /// `task_should_scx`
    pub(super) fn policy_should_scx(&self, policy: u32) -> bool {
        self.ext.enabled
            && (self.ext.switching_all || (self.ext.state != EnableState::Disabling && policy == SCHED_EXT))
    }

    /// `scx_setscheduler_class`: the class a task belongs to now.
    pub(crate) fn scx_setscheduler_class(&self, p: TaskId) -> Class {
        let t = &self.tasks[p];
        let policy = t.ts.policy().get(&*self.mem);
        match t.class {
            Class::Stop | Class::Idle => t.class,
            _ if policy == SCHED_FIFO || policy == SCHED_RR => Class::Rt,
            _ if self.policy_should_scx(policy) => Class::Ext,
            _ => Class::Fair,
        }
    }
}

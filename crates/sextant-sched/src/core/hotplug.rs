//! CPUs that go offline and come back. Mirrors sched_cpu_activate(), sched_cpu_deactivate(), balance_push(),
//! set_rq_online()/offline() and handle_hotplug() of ext.
//!
//! ```text
//! online ── cpu_deactivate ──► dying: nothing new comes, migration/N pushes away whoever is picked
//!    ▲                            │ nobody is left: cpu_dead
//!    └─────── cpu_activate ◄── offline
//! ```
//! DIVERGES: the control thread of hotplug (cpuhp/N) is not a task; what it does is done by the CPU in between.

use sextant_abi::CpuId;
use sextant_abi::exit::ExitKind;
use sextant_abi::types::{SCX_ECODE_ACT_RESTART, SCX_ECODE_RSN_HOTPLUG};

use super::flags::*;
use crate::deadline::Server;
use crate::ext::rq::RqFlags;
use crate::ops::Op;
use crate::rq::StopWork;
use crate::sched::Sched;
use crate::task::{Class, TaskId};

/// Why a CPU cannot change.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HotplugError {
    /// EINVAL
    #[error("CPU {0} does not exist")]
    NoCpu(CpuId),
    /// EPERM: x86 needs it.
    #[error("CPU 0 cannot be taken offline on x86")]
    Boot,
    /// It is there already, or still on its way down.
    #[error("CPU {0} is {1} already")]
    Already(CpuId, &'static str),
}

impl Sched {
    /// `cpu_active`: tasks may come to it.
    pub fn cpu_active(&self, cpu: CpuId) -> bool {
        self.rqs.get(cpu.idx()).is_some_and(|rq| rq.active)
    }

    /// The executing CPU starts to go offline: its tasks are pushed away as they are picked; `cpu_dead` follows when none is left.
    pub fn cpu_deactivate(&mut self, cpu: CpuId) -> Result<(), HotplugError> {
        debug_assert_eq!(cpu, self.this_cpu);
        match self.rqs.get(cpu.idx()) {
            None => return Err(HotplugError::NoCpu(cpu)),
            Some(_) if cpu.0 == 0 => return Err(HotplugError::Boot),
            Some(rq) if !rq.active => return Err(HotplugError::Already(cpu, "offline")),
            Some(_) => {}
        }
        self.rqs[cpu.idx()].active = false;
        self.update_rq_clock(cpu);
        self.rq_offline_scx(cpu);
        self.set_rq_online(cpu, false);
        self.update_spans(cpu, false);
        self.handle_hotplug(cpu, false);
        self.resched_curr(cpu);
        Ok(())
    }

    /// Nobody is left on a CPU that goes offline: it is off.
    pub fn cpu_dead(&mut self, cpu: CpuId) {
        debug_assert!(!self.rqs[cpu.idx()].active && self.rqs[cpu.idx()].nr_running == 0);
        self.rqs[cpu.idx()].cpu_online = false;
        Server::ALL.into_iter().for_each(|server| self.dl_server_stop(cpu, server));
        self.masks().online.clear_cpu(&*self.mem, cpu.0);
    }

    /// Whether `cpu_dead` is due.
    pub fn cpu_is_vacated(&self, cpu: CpuId) -> bool {
        let rq = &self.rqs[cpu.idx()];
        !rq.active && rq.cpu_online && rq.curr == rq.idle && rq.nr_running == 0
    }

    /// The executing CPU, off until now, comes up.
    pub fn cpu_activate(&mut self, cpu: CpuId) -> Result<(), HotplugError> {
        debug_assert_eq!(cpu, self.this_cpu);
        match self.rqs.get(cpu.idx()) {
            None => return Err(HotplugError::NoCpu(cpu)),
            Some(rq) if rq.active => return Err(HotplugError::Already(cpu, "online")),
            Some(rq) if rq.cpu_online => return Err(HotplugError::Already(cpu, "on its way offline")),
            Some(_) => {}
        }
        self.masks().online.set_cpu(&*self.mem, cpu.0);
        let rq = &mut self.rqs[cpu.idx()];
        (rq.cpu_online, rq.active) = (true, true);
        self.update_rq_clock(cpu);
        // The domains are rebuilt before the scheduler is told.
        self.set_rq_online(cpu, true);
        self.update_spans(cpu, true);
        self.rqs[cpu.idx()].ext.flags.insert(RqFlags::ONLINE);
        self.handle_hotplug(cpu, true);
        self.resched_curr(cpu);
        Ok(())
    }

    fn set_rq_online(&mut self, cpu: CpuId, online: bool) {
        self.rqs[cpu.idx()].online = online;
        self.rq_struct(cpu).online().set(&*self.mem, i32::from(online));
    }

    /// `rq_offline_scx`: ops.dispatch is no longer called here, so what waits goes to the local DSQ, from where it is pushed.
    fn rq_offline_scx(&mut self, cpu: CpuId) {
        self.rqs[cpu.idx()].ext.flags.remove(RqFlags::ONLINE);
        let local = self.ext.dsqs.local(cpu);
        for p in self.runnable_tasks_reverse(cpu) {
            if self.tasks[p].ext.dsq != local {
                let ctx = self.sched_change_begin(p, DEQUEUE_SAVE | DEQUEUE_MOVE | DEQUEUE_NOCLOCK);
                self.sched_change_end(ctx);
            }
        }
    }

    /// `handle_hotplug`: the scheduler is told, or it ends.
    fn handle_hotplug(&mut self, cpu: CpuId, online: bool) {
        self.ext.hotplug_seq += 1;
        if self.ext.ops.is_none() || self.ext.dead {
            return;
        }
        if let Some(ops) = self.ext.ops.clone() {
            ops.active_changed(self);
        }
        if self.ext.enabled {
            self.update_selcpu_topology(self.idle_per_node());
        }
        match online {
            true if self.ext.has(Op::CpuOnline) => self.op_cpu_online(cpu),
            false if self.ext.has(Op::CpuOffline) => self.op_cpu_offline(cpu),
            _ => {
                let code = (SCX_ECODE_ACT_RESTART | SCX_ECODE_RSN_HOTPLUG) as i64;
                let what = if online { "online" } else { "offline" };
                let msg = format!("cpu {cpu} going {what}, exiting scheduler");
                self.scx_exit(ExitKind::UnregKern, code, self.this_cpu.0 as i32, msg);
            }
        }
    }

    /// `balance_push`, at the end of a pick: a CPU that goes offline sends away whom it has just picked.
    pub(super) fn balance_push(&mut self, cpu: CpuId) {
        let rq = &self.rqs[cpu.idx()];
        let p = rq.curr;
        if rq.active || matches!(self.tasks[p].class, Class::Stop | Class::Idle) {
            return;
        }
        if self.is_migration_disabled(p) || self.kthread_is_per_cpu(p) {
            return;
        }
        self.queue_stop_work(cpu, StopWork::Push(p));
    }

    /// `kthread_is_per_cpu`
    pub(super) fn kthread_is_per_cpu(&self, p: TaskId) -> bool {
        let bound = PF_KTHREAD | PF_NO_SETAFFINITY;
        self.tasks[p].ts.flags().get(&*self.mem) & bound == bound
    }
}

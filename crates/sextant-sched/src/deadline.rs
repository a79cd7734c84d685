//! Deadline servers: 5% of a CPU for the classes below rt, when a real-time task would take all of it. Mirrors the servers of
//! kernel/sched/deadline.c; deadline tasks are left out.
//!
//! Each runqueue has a server for fair and one for ext, 50 ms in 1 s each. A server stands above rt in the order of classes, but
//! only while it is queued, which it puts off as long as its class gets its time anyway:
//!
//! ```text
//!  inactive ──start──► waits for zero laxity (deadline - runtime) ──timer──► queued: its class is picked before rt
//!     ▲  ▲                │         ▲    the class has run enough: next period       │ runtime used up   ▲ timer
//!     │  └─idle, timer────┘         └──────────────────────────────────── waits for the next period ─────┘
//!     └───────────────────────── its class has nothing to run ──────────────────────┘
//! ```
//!
//! What must hold: a server that is active is queued or has its timer armed; only a server whose bandwidth is attached starts.
//! fair's is attached from boot on, ext's while a scheduler is loaded; fair's is detached while all tasks are switched to ext.

use sextant_abi::{CpuId, Ns};

use crate::core::flags::*;
use crate::sched::{Request, Sched};
use crate::task::{Class, TaskId};

/// Default runtime in a period, ns.
const RUNTIME: u64 = 50_000_000;
/// Default period, ns.
const PERIOD: u64 = 1_000_000_000;
/// Periods are within these, ns (`dl_server_period_min`, `_max`).
const PERIODS: std::ops::RangeInclusive<u64> = 100_000..=4_194_304_000;
/// A zero-laxity timer is not put off for less than that, ns (`dl_server_min_res`).
const MIN_RES: u64 = 1_000_000;
/// `BW_SHIFT`
const BW_SHIFT: u32 = 20;
/// `DL_SCALE`
const DL_SCALE: u32 = 10;
/// What deadline reservations may take of the machine: `sched_rt_runtime_us` of `sched_rt_period_us`.
const MAX_BW: u64 = to_ratio(1_000_000, 950_000);
/// EBUSY, as a return value.
const EBUSY: i32 = -16;

/// Whose server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Server {
    /// `rq->fair_server`
    Fair,
    /// `rq->ext_server`
    Ext,
}

impl Server {
    /// Both.
    pub const ALL: [Server; 2] = [Server::Fair, Server::Ext];
}

/// `struct sched_dl_entity` of a server.
#[derive(Debug)]
pub(crate) struct DlServer {
    /// Per period, ns; 0 switches the server off.
    dl_runtime: u64,
    /// ns; its deadline is the end of its period.
    dl_period: u64,
    /// Left in this period, ns; negative after an overrun.
    runtime: i64,
    /// End of this period, rq clock.
    deadline: u64,
    bw_attached: bool,
    active: bool,
    throttled: bool,
    defer_armed: bool,
    defer_running: bool,
    defer_idle: bool,
    /// Its class is picked before rt.
    queued: bool,
    /// Its timer is armed.
    timer: bool,
}

impl DlServer {
    fn new(attached: bool) -> Self {
        DlServer {
            dl_runtime: RUNTIME,
            dl_period: PERIOD,
            runtime: 0,
            deadline: 0,
            bw_attached: attached,
            active: false,
            throttled: false,
            defer_armed: false,
            defer_running: false,
            defer_idle: false,
            queued: false,
            timer: false,
        }
    }

    /// `dl_bw`
    fn bw(&self) -> u64 {
        to_ratio(self.dl_period, self.dl_runtime)
    }

    /// `deadline - runtime`: it can wait until then and still have its time.
    fn zero_laxity(&self) -> u64 {
        self.deadline.wrapping_sub(self.runtime as u64)
    }

    /// `dl_entity_overflow`: what is left is too much for the rest of the period.
    fn overflow(&self, clock: u64) -> bool {
        let left = (self.dl_period >> DL_SCALE) as i64 * (self.runtime >> DL_SCALE);
        let right =
            (self.deadline.wrapping_sub(clock) >> DL_SCALE) as i64 * (self.dl_runtime >> DL_SCALE) as i64;
        right < left
    }

    /// `replenish_dl_new_period`
    fn new_period(&mut self, clock: u64) {
        self.deadline = clock + self.dl_period;
        self.runtime = self.dl_runtime as i64;
        if !self.defer_running {
            self.defer();
        }
    }

    /// It waits for zero laxity.
    fn defer(&mut self) {
        (self.throttled, self.defer_armed) = (true, true);
    }

    /// `update_dl_entity`: what was left when it stopped is good if it fits in what is left of the period.
    fn wake_up(&mut self, clock: u64) {
        let late = self.deadline < clock || self.deadline == 0;
        if !late && !self.overflow(clock) {
            if !self.defer_running {
                self.defer();
            }
        } else if self.defer_running && !late {
            // The revised wakeup rule: at most its share of the rest.
            let density = to_ratio(self.dl_period, self.dl_runtime);
            self.runtime = ((density * (self.deadline - clock)) >> BW_SHIFT) as i64;
        } else {
            self.defer_running = false;
            self.new_period(clock);
        }
    }

    /// `replenish_dl_entity`, but for the timer that a deferred server needs: whether it does.
    fn replenish(&mut self, clock: u64) -> bool {
        if self.deadline == 0 || (self.defer_armed && self.overflow(clock)) {
            self.deadline = clock + self.dl_period;
            self.runtime = self.dl_runtime as i64;
        }
        while self.runtime <= 0 {
            self.deadline += self.dl_period;
            self.runtime += self.dl_runtime as i64;
        }
        if self.deadline < clock {
            self.new_period(clock);
        }
        self.throttled = false;
        if std::mem::take(&mut self.defer_armed) {
            return false;
        }
        !self.defer_running && clock < self.zero_laxity()
    }
}

/// `to_ratio`: runtime / period in units of 2^-20.
const fn to_ratio(period: u64, runtime: u64) -> u64 {
    (runtime << BW_SHIFT) / period
}

/// `struct dl_rq`: the servers of a CPU.
#[derive(Debug)]
pub struct DlRq {
    fair: DlServer,
    ext: DlServer,
}

impl Default for DlRq {
    fn default() -> Self {
        DlRq { fair: DlServer::new(true), ext: DlServer::new(false) }
    }
}

impl DlRq {
    fn server(&mut self, which: Server) -> &mut DlServer {
        match which {
            Server::Fair => &mut self.fair,
            Server::Ext => &mut self.ext,
        }
    }

    /// The queued server with the earliest deadline (`pick_next_dl_entity`).
    fn first(&self) -> Option<Server> {
        match (self.fair.queued, self.ext.queued) {
            (true, true) if self.ext.deadline < self.fair.deadline => Some(Server::Ext),
            (true, _) => Some(Server::Fair),
            (false, true) => Some(Server::Ext),
            (false, false) => None,
        }
    }
}

impl Sched {
    fn server(&mut self, cpu: CpuId, which: Server) -> &mut DlServer {
        self.rqs[cpu.idx()].dl.server(which)
    }

    /// `start_dl_timer`: for zero laxity, or for the next period; false if that is over.
    fn start_dl_timer(&mut self, cpu: CpuId, which: Server) -> bool {
        let (clock, now) = (self.rqs[cpu.idx()].clock.0, self.now.0);
        let server = self.server(cpu, which);
        let act = if server.defer_armed { server.zero_laxity() } else { server.deadline };
        if act + 1_000 <= clock {
            return false;
        }
        if !std::mem::replace(&mut server.timer, true) {
            let at = Some(Ns(act + now - clock));
            self.requests.push(Request::ServerTimer { cpu, server: which, at });
        }
        true
    }

    fn cancel_dl_timer(&mut self, cpu: CpuId, which: Server) {
        if std::mem::take(&mut self.server(cpu, which).timer) {
            self.requests.push(Request::ServerTimer { cpu, server: which, at: None });
        }
    }

    /// `enqueue_dl_entity`: queued, or put off with the timer armed.
    fn enqueue_dl_server(&mut self, cpu: CpuId, which: Server, replenish: bool) {
        let clock = self.rqs[cpu.idx()].clock.0;
        let server = self.server(cpu, which);
        if !replenish {
            server.wake_up(clock);
        } else if server.replenish(clock) {
            server.defer();
        }
        if self.server(cpu, which).throttled {
            if self.start_dl_timer(cpu, which) {
                return;
            }
            self.cancel_dl_timer(cpu, which);
        }
        let server = self.server(cpu, which);
        (server.defer_armed, server.throttled, server.queued) = (false, false, true);
    }

    /// `dl_server_start`: the class has something to run on this CPU.
    pub(crate) fn dl_server_start(&mut self, cpu: CpuId, which: Server) {
        let server = self.server(cpu, which);
        server.defer_idle = false;
        if server.active || server.dl_runtime == 0 || !server.bw_attached {
            return;
        }
        self.update_curr(cpu);
        if !self.cpu_online(cpu) {
            return;
        }
        self.server(cpu, which).active = true;
        self.enqueue_dl_server(cpu, which, false);
        self.resched_curr(cpu);
    }

    /// `dl_server_stop`
    pub(crate) fn dl_server_stop(&mut self, cpu: CpuId, which: Server) {
        let server = self.server(cpu, which);
        if !std::mem::take(&mut server.active) {
            return;
        }
        server.queued = false;
        (server.defer_armed, server.throttled, server.defer_idle) = (false, false, false);
        self.cancel_dl_timer(cpu, which);
    }

    /// `update_curr` of the running task's class.
    fn update_curr(&mut self, cpu: CpuId) {
        match self.tasks[self.rqs[cpu.idx()].curr].class {
            Class::Stop | Class::Rt => {
                self.update_curr_common(cpu);
            }
            Class::Fair => self.update_curr_fair(cpu),
            Class::Ext => self.update_curr_scx(cpu),
            Class::Idle => self.update_curr_idle(cpu),
        }
    }

    /// `dl_server_update` and, while the CPU idles, `dl_server_update_idle`: the class has run that long, or could have.
    pub(crate) fn dl_server_update(&mut self, cpu: CpuId, which: Server, delta: u64) {
        let rq = &mut self.rqs[cpu.idx()];
        let idle = rq.curr == rq.idle && rq.nr_running == 0;
        let clock = rq.clock.0;
        let server = rq.dl.server(which);
        if !server.active || server.dl_runtime == 0 || delta == 0 {
            return;
        }
        server.runtime -= delta as i64;
        server.defer_idle &= idle;
        if server.runtime > 0 {
            return;
        }
        if !server.throttled {
            return self.throttle_dl_server(cpu, which);
        }
        if server.defer_idle {
            server.runtime = 0;
            return;
        }
        // The class gets its time without help: this period needs no server.
        server.defer_running = false;
        self.cancel_dl_timer(cpu, which);
        let server = self.server(cpu, which);
        server.new_period(clock);
        server.defer_idle = idle;
        self.start_dl_timer(cpu, which);
    }

    /// The server has used up its runtime.
    fn throttle_dl_server(&mut self, cpu: CpuId, which: Server) {
        let clock = self.rqs[cpu.idx()].clock.0;
        let server = self.server(cpu, which);
        (server.throttled, server.queued) = (true, false);
        if !self.start_dl_timer(cpu, which) {
            self.server(cpu, which).new_period(clock);
            self.start_dl_timer(cpu, which);
        }
        self.resched_curr(cpu);
    }

    /// `dl_server_timer`: the timer of a server of `cpu` fires there.
    pub fn dl_server_timer(&mut self, cpu: CpuId, which: Server) {
        let server = self.server(cpu, which);
        server.timer = false;
        if !server.throttled || server.dl_runtime == 0 {
            return;
        }
        self.update_rq_clock(cpu);
        self.update_curr(cpu);
        let clock = self.rqs[cpu.idx()].clock.0;
        let server = self.server(cpu, which);
        if server.defer_idle {
            return self.dl_server_stop(cpu, which);
        }
        if server.defer_armed {
            if clock + MIN_RES < server.zero_laxity() {
                // It has had some of its time meanwhile.
                self.start_dl_timer(cpu, which);
                return;
            }
            server.defer_running = true;
        }
        self.enqueue_dl_server(cpu, which, true);
        self.resched_curr(cpu);
    }

    /// `pick_task_dl`: of the class whose server is due. A server whose class has nothing to run stops.
    pub(crate) fn pick_task_dl(&mut self, cpu: CpuId, prev: TaskId) -> Option<TaskId> {
        while let Some(which) = self.rqs[cpu.idx()].dl.first() {
            let p = match which {
                Server::Fair => self.pick_task_fair(cpu),
                Server::Ext => self.ext_server_pick_task(cpu, prev),
            };
            if p.is_some() {
                return p;
            }
            self.dl_server_stop(cpu, which);
        }
        None
    }

    /// `dl_server_attach_bw` of a class's servers, one CPU after the other; -EBUSY when the machine is reserved to more than 95%, with
    /// the CPUs before attached.
    pub(crate) fn dl_servers_attach_bw(&mut self, which: Server) -> Result<(), i32> {
        let (mut total, max) = (self.dl_total_bw(), self.dl_max_bw());
        for cpu in (0..self.cfg.nr_cpus).map(CpuId) {
            self.update_rq_clock(cpu);
            let active = self.cpu_active(cpu);
            let server = self.server(cpu, which);
            if server.bw_attached {
                continue;
            }
            total += if active { server.bw() } else { 0 };
            if total > max {
                return Err(EBUSY);
            }
            server.bw_attached = true;
            if self.cpu_online(cpu) {
                self.dl_server_start(cpu, which);
            }
        }
        Ok(())
    }

    /// `dl_server_detach_bw` of a class's servers.
    pub(crate) fn dl_servers_detach_bw(&mut self, which: Server) {
        for cpu in (0..self.cfg.nr_cpus).map(CpuId) {
            self.update_rq_clock(cpu);
            self.dl_server_stop(cpu, which);
            self.server(cpu, which).bw_attached = false;
        }
    }

    /// `total_bw` of the root domain: what servers have reserved, in 2^-20 of a CPU, over all active CPUs.
    pub fn dl_total_bw(&self) -> u64 {
        let attached = |server: &DlServer| if server.bw_attached { server.bw() } else { 0 };
        self.rqs.iter().filter(|rq| rq.active).map(|rq| attached(&rq.dl.fair) + attached(&rq.dl.ext)).sum()
    }

    /// What may be reserved of the active CPUs.
    fn dl_max_bw(&self) -> u64 {
        MAX_BW * self.rqs.iter().filter(|rq| rq.active).count() as u64
    }

    /// Runtime and period of a server, ns.
    pub fn dl_server_params(&self, cpu: CpuId, which: Server) -> (u64, u64) {
        let dl = &self.rqs[cpu.idx()].dl;
        let server = if which == Server::Fair { &dl.fair } else { &dl.ext };
        (server.dl_runtime, server.dl_period)
    }

    /// Writes debugfs' `sched/{fair,ext}_server/cpuN/{runtime,period}`, ns. Fails with -EINVAL for a period out of range or a runtime
    /// longer than it, and with -EBUSY for an offline CPU or when the machine would be reserved to more than 95%.
    pub fn dl_server_apply_params(
        &mut self,
        cpu: CpuId,
        which: Server,
        runtime: u64,
        period: u64,
    ) -> Result<(), i32> {
        if runtime > period || !PERIODS.contains(&period) {
            return Err(EINVAL);
        }
        if !self.cpu_online(cpu) {
            return Err(EBUSY);
        }
        self.update_rq_clock(cpu);
        self.dl_server_stop(cpu, which);
        let server = self.server(cpu, which);
        let old = if server.bw_attached { server.bw() } else { 0 };
        let overflow = self.dl_total_bw() - old + to_ratio(period, runtime) > self.dl_max_bw();
        if !overflow {
            let server = self.server(cpu, which);
            (server.dl_runtime, server.dl_period) = (runtime, period);
            (server.runtime, server.deadline) = (0, 0);
        }
        self.dl_server_start(cpu, which);
        if overflow { Err(EBUSY) } else { Ok(()) }
    }
}

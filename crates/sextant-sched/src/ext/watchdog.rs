//! The watchdog: a task that waits too long, or a watchdog that does, ends the scheduler with SCX_EXIT_ERROR_STALL.

use sextant_abi::exit::ExitKind;
use sextant_abi::{CpuId, Ns};

use super::list::NodeId;
use crate::sched::{Request, Sched, Work};
use crate::task::TaskId;

/// Its state; times in jiffies.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Watchdog {
    /// A runnable task may wait that long.
    pub timeout: u64,
    /// Between two scans; 0 when off.
    pub interval: u64,
    /// Last scan.
    pub timestamp: u64,
    /// Next scan; an earlier firing is a leftover.
    pub due: Ns,
}

impl Sched {
    /// `refresh_watchdog` when a scheduler comes.
    pub(crate) fn start_watchdog(&mut self, timeout: u64) {
        let timestamp = self.jiffies();
        let interval = (timeout / 2).max(1);
        self.ext.watchdog = Watchdog { timeout, interval, timestamp, due: Ns::ZERO };
        self.rearm_watchdog();
    }

    /// `refresh_watchdog` when it is gone.
    pub(crate) fn stop_watchdog(&mut self) {
        self.ext.watchdog = Watchdog::default();
    }

    fn rearm_watchdog(&mut self) {
        let at = Ns((self.jiffies() + self.ext.watchdog.interval) * (1_000_000_000 / self.cfg.hz));
        self.ext.watchdog.due = at;
        self.requests.push(Request::Work(Work::Watchdog, at));
    }

    /// `scx_watchdog_workfn`
    pub(crate) fn watchdog_workfn(&mut self) {
        if self.ext.watchdog.interval == 0 || self.now < self.ext.watchdog.due {
            return;
        }
        self.ext.watchdog.timestamp = self.jiffies();
        for cpu in (0..self.cfg.nr_cpus).map(CpuId) {
            if self.cpu_online(cpu) && self.check_rq_for_timeouts(cpu) {
                break;
            }
        }
        self.rearm_watchdog();
    }

    /// `check_rq_for_timeouts`: the first task that waits longer than the timeout is reported.
    fn check_rq_for_timeouts(&mut self, cpu: CpuId) -> bool {
        let now = self.jiffies();
        let mut at: NodeId = self.rqs[cpu.idx()].ext.runnable.first;
        while !at.is_nil() {
            let p = TaskId(at.0);
            let since = self.scx(p).runnable_at().get(&*self.mem);
            if now > since + self.ext.watchdog.timeout {
                let (name, wait) = (self.task_name(p), self.stall_time(now - since));
                let msg = format!("{name} failed to run for {wait}");
                self.scx_exit(ExitKind::ErrorStall, 0, cpu.0 as i32, msg);
                return true;
            }
            at = self.tasks[p].ext.runnable.next;
        }
        false
    }

    /// From every tick: whether the watchdog itself is starved.
    pub(super) fn do_scx_tick(&mut self) {
        let w = self.ext.watchdog;
        let now = self.jiffies();
        if w.interval != 0 && now > w.timestamp + w.timeout {
            let msg = format!("watchdog failed to check in for {}", self.stall_time(now - w.timestamp));
            self.scx_exit(ExitKind::ErrorStall, 0, self.this_cpu.0 as i32, msg);
        }
    }

    /// `%u.%03us` of so many jiffies.
    fn stall_time(&self, jiffies: u64) -> String {
        let ms = jiffies * 1000 / self.cfg.hz;
        format!("{}.{:03}s", ms / 1000, ms % 1000)
    }
}

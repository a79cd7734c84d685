//! Load balancing while bypassing: a scheduler may have left all tasks on a few CPUs, and their bypass queues would be served too slowly.
//!
//! A timer, each 500 ms while bypass lasts, per node: CPUs with more than 125% of the mean give tasks to those below it, if what waits
//! there takes long enough to matter. A task that was given away stays on its runqueue until the other CPU consumes it.
//!
//! Mirrors bypass_lb_cpu(), bypass_lb_node() and scx_bypass_lb_timerfn() of kernel/sched/ext/ext.c (7.3).

use sextant_abi::{CpuId, CpuMaskBits, Ns};

use crate::core::flags::EINVAL;
use crate::sched::{Request, Sched, Work};
use crate::task::TaskId;

/// `SCX_BYPASS_LB_DFL_INTV_US`
pub(super) const DFL_INTV_US: u32 = 500_000;
/// `SCX_BYPASS_LB_DONOR_PCT`
const DONOR_PCT: u32 = 125;
/// `SCX_BYPASS_LB_MIN_DELTA_DIV`
const MIN_DELTA_DIV: u32 = 4;

/// What a node's balancing works on.
struct Balance {
    /// CPUs below the mean.
    donees: CpuMaskBits,
    /// CPUs that were given tasks.
    resched: CpuMaskBits,
    /// A CPU gives until it has this many.
    donor_target: u32,
    /// A CPU takes until it has this many.
    donee_target: u32,
}

impl Sched {
    /// Writes the module parameter `slice_bypass_us`, 100..=100000; -EINVAL outside. It counts from the next bypass on.
    pub fn set_slice_bypass_us(&mut self, us: u32) -> Result<(), i32> {
        if !(100..=100_000).contains(&us) {
            return Err(EINVAL);
        }
        self.ext.slice_bypass = u64::from(us) * 1000;
        Ok(())
    }

    /// Writes the module parameter `bypass_lb_intv_us`, 0 (off) to 10 s; -EINVAL above.
    pub fn set_bypass_lb_intv_us(&mut self, us: u32) -> Result<(), i32> {
        if us > 10_000_000 {
            return Err(EINVAL);
        }
        self.ext.bypass_lb_intv_us = us;
        Ok(())
    }

    /// Arms the timer unless it is pending.
    pub(super) fn start_bypass_lb(&mut self) {
        if self.ext.bypass_lb_due.is_none() {
            self.rearm_bypass_lb();
        }
    }

    fn rearm_bypass_lb(&mut self) {
        let intv_us = u64::from(self.ext.bypass_lb_intv_us);
        if intv_us == 0 {
            return;
        }
        let jiffy = 1_000_000_000 / self.cfg.hz;
        let at = Ns((self.jiffies() + (intv_us * 1000).div_ceil(jiffy)) * jiffy);
        self.ext.bypass_lb_due = Some(at);
        self.requests.push(Request::Work(Work::BypassLb, at));
    }

    /// `scx_bypass_lb_timerfn`
    pub(super) fn bypass_lb_timerfn(&mut self) {
        if self.ext.bypass_lb_due.is_none_or(|due| self.now < due) {
            return;
        }
        self.ext.bypass_lb_due = None;
        if self.ext.bypass_depth == 0 {
            return;
        }
        for node in 0..self.topology.shape().nodes {
            self.bypass_lb_node(node);
        }
        self.rearm_bypass_lb();
    }

    fn bypass_nr(&self, cpu: CpuId) -> u32 {
        self.ext.dsqs[self.ext.dsqs.bypass(cpu)].nr
    }

    fn bypass_lb_node(&mut self, node: u32) {
        let in_node = |c: &CpuId| self.cpu_online(*c) && self.topology.node_of(*c) == node;
        let cpus: Vec<CpuId> = (0..self.cfg.nr_cpus).map(CpuId).filter(in_node).collect();
        if cpus.is_empty() {
            return;
        }
        let tasks: u32 = cpus.iter().map(|&c| self.bypass_nr(c)).sum();
        let donee_target = tasks.div_ceil(cpus.len() as u32);
        let donor_target = (donee_target * DONOR_PCT).div_ceil(100);
        let donees = cpus.iter().copied().filter(|&c| self.bypass_nr(c) < donee_target).collect();
        let mut b = Balance { donees, resched: CpuMaskBits::default(), donor_target, donee_target };
        for &cpu in &cpus {
            if !b.donees.test(cpu) && self.bypass_nr(cpu) > donor_target {
                self.bypass_lb_cpu(cpu, &mut b);
            }
        }
        for cpu in cpus.into_iter().filter(|&c| b.resched.test(c)) {
            self.resched_curr(cpu);
        }
    }

    /// Gives tasks of `donor` away, from the head of its queue.
    fn bypass_lb_cpu(&mut self, donor: CpuId, b: &mut Balance) {
        let dsq = self.ext.dsqs.bypass(donor);
        let threshold = u64::from(self.ext.bypass_lb_intv_us / MIN_DELTA_DIV) * 1000;
        if u64::from(self.bypass_nr(donor) - b.donor_target) < threshold.div_ceil(self.ext.slice_bypass) {
            return;
        }
        let mut at = self.dsq_first(dsq);
        while let Some(p) = at {
            at = self.dsq_next(p);
            if self.bypass_nr(donor) <= b.donor_target || b.donees.is_empty() {
                break;
            }
            // One that came from another CPU and was not consumed since is still on that CPU's runqueue.
            if self.tasks[p].cpu == donor
                && let Some(donee) = self.donee(p, &b.donees)
            {
                self.give_to_donee(p, donee, b);
            }
        }
    }

    /// A donee that may run `p`, in rotation.
    fn donee(&mut self, p: TaskId, donees: &CpuMaskBits) -> Option<CpuId> {
        let last = &mut self.ext.distribute_prev[self.this_cpu.idx()];
        let cpus = self.tasks[p].ts.cpus(&*self.mem);
        let mem = &*self.mem;
        let usable =
            || (0..self.cfg.nr_cpus).map(CpuId).filter(|&c| donees.test(c) && cpus.test_cpu(mem, c.0));
        let donee = usable().find(|c| c.0 > *last).or_else(|| usable().next())?;
        *last = donee.0;
        self.task_can_run_on_remote_rq(p, donee, false).then_some(donee)
    }

    fn give_to_donee(&mut self, p: TaskId, donee: CpuId, b: &mut Balance) {
        self.task_unlink_from_dsq(p);
        let dsq = self.ext.dsqs.bypass(donee);
        self.scx_dispatch_enqueue(donee, dsq, p, 0, 0, 0);
        b.resched.set(donee);
        if self.bypass_nr(donee) >= b.donee_target {
            b.donees.clear(donee);
        }
    }
}

//! Checks of the invariants, for tests and the machine's debug builds.

use crate::sched::Sched;
use crate::task::{Class, OnRq};

impl Sched {
    /// Panics with a description if a task is on no or two runqueues, runs on two CPUs, or a count does not add up. Slow:
    /// it looks at everything.
    ///
    /// # Panics
    /// When the state is inconsistent: a bug of this crate.
    pub fn check_invariants(&self) {
        let mut running = vec![0u32; self.tasks.len()];
        let mut waiting = vec![0u32; self.tasks.len()];
        let mut rt = vec![0u32; self.tasks.len()];
        let mut queued = vec![0u32; self.rqs.len()];
        for rq in &self.rqs {
            rq.fair.waiting().for_each(|p| waiting[p.0 as usize] += 1);
            rq.rt.tasks().for_each(|p| rt[p.0 as usize] += 1);
            running[rq.curr.0 as usize] += 1;
            assert_eq!(self.tasks[rq.curr].cpu, rq.cpu, "{:?} runs on a CPU that is not its own", rq.curr);
        }
        for t in self.tasks.iter() {
            let cpu = t.cpu.idx();
            let on_cpu = running[t.id.0 as usize];
            assert!(on_cpu <= 1, "{:?} runs on {on_cpu} CPUs", t.id);
            assert_ne!(t.on_rq, OnRq::Migrating, "{:?} was left between two runqueues", t.id);
            queued[cpu] += u32::from(t.on_rq == OnRq::Queued);
            if t.class == Class::Idle {
                continue;
            }
            assert!(on_cpu == 0 || t.on_rq == OnRq::Queued, "{:?} runs without being queued", t.id);
            let expect = u32::from(t.class == Class::Rt && t.on_rq == OnRq::Queued);
            assert_eq!(rt[t.id.0 as usize], expect, "{:?} is on that many rt lists", t.id);
            if t.class == Class::Fair {
                let places = waiting[t.id.0 as usize];
                let expect = u32::from(t.on_rq == OnRq::Queued && on_cpu == 0);
                assert_eq!(places, expect, "{:?} is on {places} fair runqueues", t.id);
            }
        }
        for rq in &self.rqs {
            assert_eq!(rq.nr_running, queued[rq.cpu.idx()], "nr_running of {}", rq.cpu);
            let charged = rq.exec_ns + rq.idle_ns;
            assert!(
                charged <= rq.clock.since(self.cfg.uptime).0,
                "{}: {charged} ns charged by {:?}",
                rq.cpu,
                rq.clock
            );
        }
        assert_eq!(waiting.iter().sum::<u32>(), self.fair_nr_waiting, "fair tasks waiting");
    }
}

//! How much CPU time each task wants: the same workload on a machine where nobody waits, with a CPU for every task.
//!
//! What a task would use alone cannot be read off its description when tasks wait for each other: the ends of a pipe
//! take turns, and how fast depends on both. So the machine is asked, under the fair class, for a short while.

use sextant_abi::Ns;
use sextant_sim::workload::SpecId;
use sextant_sim::{NoSink, SimConfig, Simulation, TaskResult, Workload};

use crate::cli::MAX_CPUS;
use crate::scheduler::vm;

/// Longest such run: patterns repeat sooner in any workload that is worth comparing.
const SPAN: Ns = Ns::from_ms(2_000);

/// CPU time and lifetime of the tasks of one description where nobody waits, ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    run_ns: u64,
    alive_ns: u64,
}

impl Wanted {
    /// What a task of this description wants in a life of that length.
    pub fn of_life(&self, alive_ns: u64) -> Option<u64> {
        let share = |n: u64| (u128::from(alive_ns) * u128::from(n) / u128::from(self.alive_ns)) as u64;
        (self.alive_ns > 0).then(|| share(self.run_ns).min(alive_ns))
    }
}

/// By description; None if there are more tasks than a machine has CPUs, or the machine cannot run it.
pub fn measure(workload: &Workload, config: &SimConfig) -> Option<Vec<Wanted>> {
    let tasks: u64 = workload.tasks.iter().map(|t| u64::from(t.instances)).sum();
    // Tasks that are bound to CPUs still find those they name.
    let nr_cpus = u32::try_from(tasks).ok()?.max(config.nr_cpus);
    if nr_cpus > MAX_CPUS {
        return None;
    }
    let duration = config.duration.map_or(SPAN, |d| d.min(SPAN));
    let config =
        SimConfig { nr_cpus, machine: None, duration: Some(duration), check: false, ..config.clone() };
    let vm = vm(nr_cpus, sextant_vm::Engine::default(), false, 0).ok()?;
    let mut sim = Simulation::new(config, workload, vm.region()).ok()?;
    let outcome = sim.run(&mut NoSink).ok()?;
    let mut wanted = vec![Wanted::default(); workload.tasks.len()];
    for TaskResult { spec, run_ns, alive_ns, .. } in &outcome.tasks {
        if let Some(w) = spec.and_then(|SpecId(i)| wanted.get_mut(i as usize)) {
            w.run_ns += run_ns;
            w.alive_ns += alive_ns;
        }
    }
    Some(wanted)
}

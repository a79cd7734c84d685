//! When the tasks of a workload start, and the generator that all random choices of a machine come from.

use sextant_abi::Ns;

use crate::machine::UPTIME;
use crate::workload::{SpecId, Workload};

/// Start offsets are below this, ns.
const MAX_START_OFFSET: u64 = 1_000_000;

/// A task of the workload that is to start.
#[derive(Clone, Copy)]
pub(crate) struct Start {
    pub at: Ns,
    pub spec: SpecId,
    pub instance: u32,
    pub pid: i32,
}

/// When each instance starts, latest first. Pids go by the order in the file.
pub(crate) fn starts(workload: &Workload, ideal: bool, seed: &mut SplitMix, first_pid: i32) -> Vec<Start> {
    let mut starts = Vec::new();
    for (i, spec) in workload.tasks.iter().enumerate() {
        for instance in 0..spec.instances {
            let after = Ns(if ideal { 0 } else { seed.next() % MAX_START_OFFSET });
            let pid = first_pid + starts.len() as i32;
            starts.push(Start { at: UPTIME + after, spec: SpecId(i as u32), instance, pid });
        }
    }
    starts.sort_by_key(|s| s.at); // stable: file order at the same instant
    starts.reverse();
    starts
}

/// SplitMix64.
pub(crate) struct SplitMix(pub u64);

impl SplitMix {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

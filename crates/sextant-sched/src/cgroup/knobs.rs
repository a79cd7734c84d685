//! The files of the CPU controller: cpu.weight, cpu.idle, cpu.max. Values are kept whether or not a scheduler is loaded; a
//! loaded one is told of changes.

use super::{CgroupError, CgroupId};
use crate::sched::Sched;

/// No bandwidth limit.
pub const RUNTIME_INF: u64 = u64::MAX;

/// What can be set for a cgroup.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CgroupKnobs {
    /// cpu.weight, 1..=10000.
    pub weight: u32,
    /// cpu.idle
    pub idle: bool,
    /// cpu.max, µs.
    pub bw_period_us: u64,
    /// cpu.max, µs; [`RUNTIME_INF`] for none.
    pub bw_quota_us: u64,
    /// cpu.max.burst, µs.
    pub bw_burst_us: u64,
}

impl Default for CgroupKnobs {
    fn default() -> Self {
        Self { weight: 100, idle: false, bw_period_us: 100_000, bw_quota_us: RUNTIME_INF, bw_burst_us: 0 }
    }
}

impl Sched {
    /// What is set for the cgroup whose object is at `addr`; the defaults for an unknown one.
    pub fn cgroup_knobs(&self, addr: u64) -> CgroupKnobs {
        self.cgroups.from_addr(addr).map_or_else(CgroupKnobs::default, |id| self.cgroups[id].knobs)
    }

    /// Writes cpu.weight.
    pub fn cgroup_set_weight(&mut self, id: CgroupId, weight: u32) -> Result<(), CgroupError> {
        self.not_root(id, "cpu.weight")?;
        if !(1..=10_000).contains(&weight) {
            return Err(CgroupError::Value(format!("cpu.weight {weight} is not 1 to 10000")));
        }
        if self.cgroups[id].knobs.idle {
            return Err(CgroupError::Value("cpu.weight of an idle cgroup (cpu.idle 1) cannot be set".into()));
        }
        self.scx_group_set_weight(id, weight);
        Ok(())
    }

    /// Writes cpu.idle.
    pub fn cgroup_set_idle(&mut self, id: CgroupId, idle: bool) -> Result<(), CgroupError> {
        self.not_root(id, "cpu.idle")?;
        self.scx_group_set_idle(id, idle);
        Ok(())
    }

    /// Writes cpu.max and cpu.max.burst, µs; quota None for "max".
    pub fn cgroup_set_bandwidth(
        &mut self,
        id: CgroupId,
        period_us: u64,
        quota_us: Option<u64>,
        burst_us: u64,
    ) -> Result<(), CgroupError> {
        self.not_root(id, "cpu.max")?;
        let value = |what: String| Err(CgroupError::Value(what));
        if !(1_000..=1_000_000).contains(&period_us) {
            return value(format!("cpu.max: a period of {period_us} us is not 1000 to 1000000"));
        }
        if let Some(quota) = quota_us.filter(|&q| q < 1_000) {
            return value(format!("cpu.max: a quota of {quota} us is below 1000"));
        }
        if quota_us.is_some_and(|q| burst_us > q) {
            return value(format!("cpu.max.burst: {burst_us} us is above the quota"));
        }
        self.scx_group_set_bandwidth(id, period_us, quota_us.unwrap_or(RUNTIME_INF), burst_us);
        Ok(())
    }

    fn not_root(&self, id: CgroupId, file: &'static str) -> Result<(), CgroupError> {
        if id == CgroupId::ROOT { Err(CgroupError::Root(file)) } else { Ok(()) }
    }
}

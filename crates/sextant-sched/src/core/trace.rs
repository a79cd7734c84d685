//! Programs on functions and tracepoints of the kernel's, beside the ops.

use sextant_abi::Mem as _;
use sextant_abi::tables::TracePoint;

use crate::sched::Sched;

/// Bytes of the text that cgroup tracepoints give their programs (`TRACE_CGROUP_PATH_LEN`).
pub(crate) const TRACE_CGROUP_PATH_LEN: u32 = 1024;

impl Sched {
    /// Whether the scheduler has programs there.
    pub(crate) fn traces(&self, point: TracePoint) -> bool {
        self.ext.traces >> point as u32 & 1 != 0
    }

    /// They run, if there are any.
    pub(crate) fn trace(&mut self, point: TracePoint, args: &[u64]) {
        if self.traces(point)
            && let Some(ops) = self.ext.ops.clone()
        {
            ops.trace(self, point, args);
        }
    }

    /// A tracepoint about a cgroup (`TRACE_CGROUP_PATH`): its object and its path come first.
    pub(crate) fn trace_cgroup(&mut self, point: TracePoint, id: crate::cgroup::CgroupId, args: &[u64]) {
        if !self.traces(point) {
            return;
        }
        let mut text = [0; TRACE_CGROUP_PATH_LEN as usize];
        let path = self.cgroups[id].path.as_bytes();
        let len = path.len().min(text.len() - 1);
        text[..len].copy_from_slice(&path[..len]);
        self.mem.write_bytes(self.root.trace_path, &text);
        let first = [self.cgroups[id].cgrp.addr(), self.root.trace_path];
        self.trace(point, &[&first, args].concat());
    }
}

//! The order of two tasks for core scheduling: who should get the core first. The core has no SCHED_CORE, so nothing here asks for
//! it; it is the hook a machine with core scheduling would call.
//!
//! Mirrors scx_prio_less() of kernel/sched/ext/ext.c (7.3).

use crate::ops::Op;
use crate::sched::Sched;
use crate::task::TaskId;

impl Sched {
    /// `scx_prio_less`: whether ext task `a` should run after `b`. The scheduler's ops.core_sched_before() says so if it has one and is not
    /// bypassed; else who has waited longer comes first, and who runs comes last.
    pub fn scx_prio_less(&mut self, a: TaskId, b: TaskId) -> bool {
        let bypassed = |p: TaskId| self.scx_bypassing(self.tasks[p].cpu);
        if self.ext.has(Op::CoreSchedBefore) && !bypassed(a) && !bypassed(b) {
            // The op says whether its first argument should run before the second.
            return self.op_core_sched_before(b, a, self.tasks[a].cpu);
        }
        let mem = &*self.mem;
        let running = |p: TaskId| self.tasks[p].ts.on_cpu().get(mem) != 0;
        if running(a) != running(b) {
            return running(a);
        }
        let since = |p: TaskId| self.tasks[p].ts.scx().runnable_at().get(mem);
        (since(b).wrapping_sub(since(a)) as i64) < 0
    }
}

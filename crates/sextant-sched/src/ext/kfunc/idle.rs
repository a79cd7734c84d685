//! Idle CPUs: the default selection, claims and picks, and the masks. CPU masks are addresses in BPF-visible memory.

use sextant_abi::CpuId;
use sextant_abi::types::*;

use super::{EINVAL, ENODEV, ENOENT, EOPNOTSUPP};
use crate::ext::idle::{EBUSY, IdleSet};
use crate::sched::Sched;
use crate::task::TaskId;

impl Sched {
    /// `check_builtin_idle_enabled` and, where per-node masks would be needed, their refusal.
    fn check_builtin_idle(&mut self) -> bool {
        if !self.ext.builtin_idle {
            self.scx_error("built-in idle tracking is disabled".into());
        }
        self.ext.builtin_idle
    }

    fn check_flat_masks(&mut self, msg: &str) -> bool {
        let per_node = self.idle_per_node();
        if per_node {
            self.scx_error(msg.into());
        }
        !per_node
    }

    /// `scx_bpf_select_cpu_dfl`: an idle CPU (claimed) and true, else `prev_cpu` and false.
    pub fn kf_scx_bpf_select_cpu_dfl(&mut self, p: TaskId, prev_cpu: i32, wake_flags: u64) -> (i32, bool) {
        if !self.has_sched() {
            return (ENODEV, false);
        }
        let cpu = self.select_cpu_from_kfunc(p, prev_cpu, wake_flags, None, 0);
        if cpu >= 0 { (cpu, true) } else { (prev_cpu, false) }
    }

    /// `scx_bpf_select_cpu_and`: an idle CPU of `allowed` (claimed), or a negative errno.
    pub fn kf_scx_bpf_select_cpu_and(
        &mut self,
        p: TaskId,
        prev_cpu: i32,
        wake_flags: u64,
        allowed: Cpumask,
        flags: u64,
    ) -> i32 {
        if !self.has_sched() {
            return ENODEV;
        }
        self.select_cpu_from_kfunc(p, prev_cpu, wake_flags, Some(allowed), flags)
    }

    fn select_cpu_from_kfunc(
        &mut self,
        p: TaskId,
        prev_cpu: i32,
        wake_flags: u64,
        allowed: Option<Cpumask>,
        flags: u64,
    ) -> i32 {
        let Some(prev) = self.scx_cpu_valid(prev_cpu, "") else { return EINVAL };
        if !self.check_builtin_idle() {
            return EBUSY;
        }
        if self.ext.ctx.in_select_cpu {
            if !self.kf_arg_task_ok(p) {
                return EINVAL;
            }
        } else if self.ext.ctx.locked_rq.is_some_and(|cpu| cpu != self.tasks[p].cpu) {
            let name = self.task_name(p);
            self.scx_error(format!("select_cpu kfunc called cross-task on {name}"));
            return EINVAL;
        }
        let pinned = self.is_migration_disabled(p);
        if pinned || self.tasks[p].ts.nr_cpus_allowed().get(&*self.mem) == 1 {
            return self.select_cpu_restricted(p, prev, allowed, flags, pinned);
        }
        self.select_cpu_dfl(p, prev, wake_flags, allowed, flags)
    }

    /// `select_cpu_restricted`: the one CPU the task may use, if idle.
    fn select_cpu_restricted(
        &mut self,
        p: TaskId,
        prev: CpuId,
        allowed: Option<Cpumask>,
        flags: u64,
        pinned: bool,
    ) -> i32 {
        let cpus = self.tasks[p].ts.cpus(&*self.mem);
        let nr = self.cfg.nr_cpus;
        let cpu = if pinned { self.tasks[p].cpu } else { CpuId(cpus.first(&*self.mem, nr)) };
        let ok = cpus.test_cpu(&*self.mem, cpu.0) && allowed.is_none_or(|a| a.test_cpu(&*self.mem, cpu.0));
        let near =
            flags & SCX_PICK_IDLE_IN_NODE == 0 || self.node_if_enabled(cpu) == self.node_if_enabled(prev);
        if ok && near && self.idle_test_and_clear_cpu(cpu) { cpu.0 as i32 } else { EBUSY }
    }

    /// `scx_kf_arg_task_ok`: `p` is an argument of the running op.
    pub(crate) fn kf_arg_task_ok(&mut self, p: TaskId) -> bool {
        let ok = self.ext.ctx.kf_tasks.contains(&Some(p));
        if !ok {
            self.scx_error("called on a task not being operated on".into());
        }
        ok
    }

    /// `scx_bpf_test_and_clear_cpu_idle`: claims an idle CPU; whether it was idle.
    pub fn kf_scx_bpf_test_and_clear_cpu_idle(&mut self, cpu: i32) -> bool {
        if !self.has_sched() || !self.check_builtin_idle() {
            return false;
        }
        match self.scx_cpu_valid(cpu, "") {
            Some(cpu) => self.idle_test_and_clear_cpu(cpu),
            None => false,
        }
    }

    /// `scx_bpf_pick_idle_cpu`: claims an idle CPU of `allowed`; -EBUSY if there is none.
    pub fn kf_scx_bpf_pick_idle_cpu(&mut self, allowed: Cpumask, flags: u64) -> i32 {
        if !self.has_sched() {
            return ENODEV;
        }
        if !self.check_flat_masks("per-node idle tracking is enabled") || !self.check_builtin_idle() {
            return EBUSY;
        }
        self.pick_idle_cpu(&[allowed], None, flags)
    }

    /// `scx_bpf_pick_any_cpu`: an idle CPU of `allowed` (claimed), else any; -EBUSY only when it is empty.
    pub fn kf_scx_bpf_pick_any_cpu(&mut self, allowed: Cpumask, flags: u64) -> i32 {
        if !self.has_sched() {
            return ENODEV;
        }
        if !self.check_flat_masks("per-node idle tracking is enabled") {
            return EBUSY;
        }
        if self.ext.builtin_idle {
            let cpu = self.pick_idle_cpu(&[allowed], None, flags);
            if cpu >= 0 {
                return cpu;
            }
        }
        self.any_and_distribute(allowed, &[]).map_or(EBUSY, |cpu| cpu.0 as i32)
    }

    /// `scx_bpf_get_idle_cpumask`: the live mask of idle CPUs; an empty one and an error when it is not kept.
    pub fn kf_scx_bpf_get_idle_cpumask(&mut self) -> Cpumask {
        let masks = self.masks();
        let ok = self.has_sched()
            && self.check_flat_masks("SCX_OPS_BUILTIN_IDLE_PER_NODE enabled")
            && self.check_builtin_idle();
        if ok { masks.idle } else { masks.empty }
    }

    /// `scx_bpf_get_idle_smtmask`: CPUs of fully idle cores; without SMT the idle CPUs.
    pub fn kf_scx_bpf_get_idle_smtmask(&mut self) -> Cpumask {
        let masks = self.masks();
        let cpus = self.kf_scx_bpf_get_idle_cpumask();
        if cpus == masks.idle && self.topology.smt() { masks.smt } else { cpus }
    }

    /// `validate_node`; Err is a negative errno. -1 is no node, without an error.
    fn validate_node(&mut self, node: i32) -> Result<u32, i32> {
        if !self.idle_per_node() {
            self.scx_error("per-node idle tracking is disabled".into());
            return Err(EOPNOTSUPP);
        }
        match u32::try_from(node) {
            Ok(n) if n < self.topology.shape().nodes => Ok(n),
            _ if node == -1 => Err(ENOENT),
            _ => {
                self.scx_error(format!("invalid node {node}"));
                Err(EINVAL)
            }
        }
    }

    /// `scx_bpf_pick_idle_cpu_node`: as `scx_bpf_pick_idle_cpu`, `node` first.
    pub fn kf_scx_bpf_pick_idle_cpu_node(&mut self, allowed: Cpumask, node: i32, flags: u64) -> i32 {
        if !self.has_sched() {
            return ENODEV;
        }
        match self.validate_node(node) {
            Ok(node) => self.pick_idle_cpu(&[allowed], Some(node), flags),
            Err(errno) => errno,
        }
    }

    /// `scx_bpf_pick_any_cpu_node`: as `scx_bpf_pick_any_cpu`, `node` first; only there with SCX_PICK_IDLE_IN_NODE.
    pub fn kf_scx_bpf_pick_any_cpu_node(&mut self, allowed: Cpumask, node: i32, flags: u64) -> i32 {
        let cpu = self.kf_scx_bpf_pick_idle_cpu_node(allowed, node, flags);
        if cpu != EBUSY {
            return cpu;
        }
        let span = u32::try_from(node).ok().and_then(|node| self.topology.node_span(node));
        let span = span.filter(|_| flags & SCX_PICK_IDLE_IN_NODE != 0);
        self.any_and_distribute(allowed, span.as_slice()).map_or(EBUSY, |cpu| cpu.0 as i32)
    }

    /// `scx_bpf_get_idle_cpumask_node`: the live mask of a node's idle CPUs; an empty one for no node and for an error.
    pub fn kf_scx_bpf_get_idle_cpumask_node(&mut self, node: i32) -> Cpumask {
        self.idle_set_of_node(node).map_or_else(|| self.masks().empty, |set| set.cpu)
    }

    /// `scx_bpf_get_idle_smtmask_node`: CPUs of fully idle cores of the node; without SMT the idle CPUs.
    pub fn kf_scx_bpf_get_idle_smtmask_node(&mut self, node: i32) -> Cpumask {
        let smt = self.topology.smt();
        self.idle_set_of_node(node)
            .map_or_else(|| self.masks().empty, |set| if smt { set.smt } else { set.cpu })
    }

    fn idle_set_of_node(&mut self, node: i32) -> Option<IdleSet> {
        if !self.has_sched() {
            return None;
        }
        let node = self.validate_node(node).ok()?;
        self.idle_set(Some(node))
    }

    /// `scx_bpf_get_possible_cpumask`
    pub fn kf_scx_bpf_get_possible_cpumask(&mut self) -> Cpumask {
        self.masks().possible
    }

    /// `scx_bpf_get_online_cpumask`
    pub fn kf_scx_bpf_get_online_cpumask(&mut self) -> Cpumask {
        self.masks().online
    }
}

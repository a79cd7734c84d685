//! What a scheduler is told about cgroups. Mirrors the EXT_GROUP_SCHED part of kernel/sched/ext/ext.c: scx_tg_online(),
//! scx_cgroup_can_attach(), scx_group_set_*(), scx_cgroup_init()/exit().

use super::CgroupId;
use crate::ops::Op;
use crate::sched::Sched;
use crate::task::TaskId;

impl Sched {
    fn addr(&self, id: CgroupId) -> u64 {
        self.cgroups[id].cgrp.addr()
    }

    /// `scx_tg_online`: 0 or a sanitised -errno.
    pub(super) fn scx_tg_online(&mut self, id: CgroupId) -> i32 {
        if !self.ext.cgroup_inited {
            return 0;
        }
        let ret = self.op_cgroup_init(self.addr(id));
        if ret != 0 {
            return self.sanitize_err("cgroup_init", ret);
        }
        self.cgroups[id].inited = true;
        0
    }

    /// `scx_tg_offline`
    pub(super) fn scx_tg_offline(&mut self, id: CgroupId) {
        if std::mem::take(&mut self.cgroups[id].inited) && self.ext.cgroup_inited {
            self.op_cgroup_exit(self.addr(id));
        }
    }

    /// `scx_cgroup_init`: every online cgroup, parents first; Err is the errno that ends the load.
    pub(crate) fn scx_cgroup_init(&mut self) -> Result<(), i32> {
        for id in self.cgroups.descendants_pre(CgroupId::ROOT) {
            let ret = self.op_cgroup_init(self.addr(id));
            if ret != 0 {
                self.scx_error(format!("ops.cgroup_init() failed ({ret})"));
                return Err(ret);
            }
            self.cgroups[id].inited = true;
        }
        self.ext.cgroup_inited = true;
        Ok(())
    }

    /// `scx_cgroup_exit`: those that have been initialised, children first.
    pub(crate) fn scx_cgroup_exit(&mut self) {
        self.ext.cgroup_inited = false;
        for id in self.cgroups.descendants_post(CgroupId::ROOT) {
            if std::mem::take(&mut self.cgroups[id].inited) {
                self.op_cgroup_exit(self.addr(id));
            }
        }
    }

    /// `scx_cgroup_can_attach`: ops.cgroup_prep_move of each; if one refuses, cancel_move of those before it.
    pub(crate) fn scx_cgroup_can_attach(&mut self, tasks: &[TaskId], to: CgroupId) -> i32 {
        if !self.ext.cgroup_inited {
            return 0;
        }
        for (i, &p) in tasks.iter().enumerate() {
            let from = self.tasks[p].cgroup;
            let ret = self.op_cgroup_prep_move(p, self.addr(from), self.addr(to));
            if ret != 0 {
                let ret = self.sanitize_err("cgroup_prep_move", ret);
                self.cancel_moves(&tasks[..i], to);
                return ret;
            }
        }
        0
    }

    fn cancel_moves(&mut self, tasks: &[TaskId], to: CgroupId) {
        for &p in tasks {
            let from = self.tasks[p].cgroup;
            self.op_cgroup_cancel_move(p, self.addr(from), self.addr(to));
        }
    }

    /// `scx_cgroup_move_task`
    pub(super) fn scx_cgroup_move_task(&mut self, p: TaskId, from: CgroupId, to: CgroupId) {
        if self.ext.cgroup_inited && self.ext.has(Op::CgroupMove) {
            self.op_cgroup_move(p, self.addr(from), self.addr(to));
        }
    }

    /// `scx_group_set_weight`
    pub(super) fn scx_group_set_weight(&mut self, id: CgroupId, weight: u32) {
        if self.ext.cgroup_inited && self.cgroups[id].knobs.weight != weight {
            self.op_cgroup_set_weight(self.addr(id), weight);
        }
        self.cgroups[id].knobs.weight = weight;
        self.show_group(id);
    }

    /// `scx_group_set_idle`
    pub(super) fn scx_group_set_idle(&mut self, id: CgroupId, idle: bool) {
        if self.ext.cgroup_inited && self.cgroups[id].knobs.idle != idle {
            self.op_cgroup_set_idle(self.addr(id), idle);
        }
        self.cgroups[id].knobs.idle = idle;
        self.show_group(id);
    }

    /// `scx_group_set_bandwidth`
    pub(super) fn scx_group_set_bandwidth(
        &mut self,
        id: CgroupId,
        period_us: u64,
        quota_us: u64,
        burst_us: u64,
    ) {
        let knobs = &self.cgroups[id].knobs;
        let old = (knobs.bw_period_us, knobs.bw_quota_us, knobs.bw_burst_us);
        if self.ext.cgroup_inited && old != (period_us, quota_us, burst_us) {
            self.op_cgroup_set_bandwidth(self.addr(id), period_us, quota_us, burst_us);
        }
        let knobs = &mut self.cgroups[id].knobs;
        (knobs.bw_period_us, knobs.bw_quota_us, knobs.bw_burst_us) = (period_us, quota_us, burst_us);
        self.show_group(id);
    }
}

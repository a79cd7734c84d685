//! The objects behind a cgroup that programs see: its state in the cpu controller, the root's in cpuset, the reference count that says
//! whether it was removed.

use sextant_abi::types::{
    CPU_CGRP_ID, CPUSET_CGRP_ID, Cgroup, Cpumask, Cpuset, PERCPU_REF_ATOMIC, PERCPU_REF_DEAD, TaskGroup,
};
use sextant_abi::{Mem, ObjKind};

use super::{CSS_ONLINE, CgroupId, CgroupKnobs};
use crate::sched::{KMem, Sched};

/// Bytes of what a reference count points to.
const COUNT: u32 = 8;

/// A new cgroup's objects.
pub(crate) fn new_css(mem: &KMem, cgrp: Cgroup, parent: Option<Cgroup>) {
    cgrp.self_().refcnt().percpu_count_ptr().set(mem, mem.alloc(ObjKind::Kernel, COUNT));
    let group = TaskGroup::at(mem.alloc(ObjKind::Kernel, TaskGroup::SIZE));
    let css = group.css();
    css.cgroup().set(mem, cgrp.addr());
    css.flags().set(mem, CSS_ONLINE);
    css.serial_nr().set(mem, cgrp.self_().serial_nr().get(mem));
    css.refcnt().percpu_count_ptr().set(mem, cgrp.self_().refcnt().percpu_count_ptr().get(mem));
    css.parent().set(mem, parent.map_or(0, |up| up.subsys().at(CPU_CGRP_ID).get(mem)));
    cgrp.subsys().at(CPU_CGRP_ID).set(mem, css.addr());
    show_knobs(mem, cgrp, &CgroupKnobs::default());
}

/// What programs see of a cgroup's settings.
pub(super) fn show_knobs(mem: &KMem, cgrp: Cgroup, knobs: &CgroupKnobs) {
    let scx = TaskGroup::at(cgrp.subsys().at(CPU_CGRP_ID).get(mem)).scx();
    scx.weight().set(mem, knobs.weight);
    scx.bw_period_us().set(mem, knobs.bw_period_us);
    scx.bw_quota_us().set(mem, knobs.bw_quota_us);
    scx.bw_burst_us().set(mem, knobs.bw_burst_us);
    scx.idle().set(mem, knobs.idle);
}

/// It was removed (`percpu_ref_kill`).
pub(super) fn kill_css(mem: &KMem, cgrp: Cgroup) {
    let group = TaskGroup::at(cgrp.subsys().at(CPU_CGRP_ID).get(mem));
    for css in [cgrp.self_(), group.css()] {
        let count = css.refcnt().percpu_count_ptr();
        count.set(mem, count.get(mem) | PERCPU_REF_ATOMIC | PERCPU_REF_DEAD);
        css.flags().set(mem, css.flags().get(mem) & !CSS_ONLINE);
    }
}

/// Nobody refers to it any more.
pub(super) fn free_css(mem: &KMem, cgrp: Cgroup) {
    let count = cgrp.self_().refcnt().percpu_count_ptr().get(mem) & !(PERCPU_REF_ATOMIC | PERCPU_REF_DEAD);
    mem.free(ObjKind::Kernel, count, COUNT);
    mem.free(ObjKind::Kernel, cgrp.subsys().at(CPU_CGRP_ID).get(mem), TaskGroup::SIZE);
}

impl Sched {
    /// The cpuset of the root, of all CPUs (`cpuset_init`).
    pub(crate) fn init_cpuset(&mut self) {
        let (mem, nr_cpus) = (&*self.mem, self.cfg.nr_cpus);
        let set = Cpuset::at(mem.alloc(ObjKind::Kernel, Cpuset::SIZE));
        for mask in [set.cpus_allowed(), set.effective_cpus()] {
            let cpus = Cpumask::at(mem.alloc(ObjKind::Kernel, Cpumask::SIZE));
            cpus.setall(mem, nr_cpus);
            mask.set(mem, cpus.addr());
        }
        let root = self.root.cgrp;
        set.css().cgroup().set(mem, root.addr());
        set.css().flags().set(mem, CSS_ONLINE);
        let count = root.self_().refcnt().percpu_count_ptr().get(mem);
        set.css().refcnt().percpu_count_ptr().set(mem, count);
        root.subsys().at(CPUSET_CGRP_ID).set(mem, set.css().addr());
    }

    /// CPUs of the root's cpuset that are online.
    pub(crate) fn effective_cpus(&self) -> Cpumask {
        let css = self.root.cgrp.subsys().at(CPUSET_CGRP_ID).get(&*self.mem);
        Cpumask::at(Cpuset::at(css).effective_cpus().get(&*self.mem))
    }

    /// What programs see of a cgroup's settings is brought up to date.
    pub(super) fn show_group(&self, id: CgroupId) {
        show_knobs(&self.mem, self.cgroups[id].cgrp, &self.cgroups[id].knobs);
    }
}

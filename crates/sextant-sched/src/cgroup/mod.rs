//! Cgroups: the tree of the v2 hierarchy with its CPU controller, as programs see it. Mirrors kernel/cgroup/cgroup.c and the
//! task groups of kernel/sched/core.c.
//!
//! What must hold: a cgroup lives while it is online, has a task that is not freed, or a program holds it; ids are given out
//! once, in order of creation; a child's object points to all its ancestors.
//!
//! Left out: other controllers, threaded and v1 hierarchies, delegation. DIVERGES: the fair class is flat: weight, idle and
//! bandwidth are kept and told to a scheduler, but shares among fair tasks do not follow them.

mod css;
mod knobs;
mod ops;

use std::collections::BTreeMap;

use sextant_abi::tables::TracePoint;
use sextant_abi::types::{CType, Cgroup, CssSet, KernfsNode};
use sextant_abi::{Mem, ObjKind};

use crate::core::RootCgroup;
use crate::sched::{KMem, Sched};
use crate::task::TaskId;

pub(crate) use css::new_css;
pub use knobs::{CgroupKnobs, RUNTIME_INF};

/// CSS_ONLINE
const CSS_ONLINE: u32 = 2;

/// Why a cgroup cannot be made, removed, entered or set.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CgroupError {
    /// ENOENT
    #[error("there is no cgroup {0}")]
    NotFound(String),
    /// EEXIST
    #[error("cgroup {0} exists")]
    Exists(String),
    /// EINVAL
    #[error(
        "{0:?} is no path of a cgroup: it starts with \"/\", and its names are 1 to 255 bytes without \"/\""
    )]
    Path(String),
    /// EBUSY
    #[error("cgroup {0} has tasks or children")]
    Busy(String),
    /// EPERM
    #[error("the root cgroup has no {0}")]
    Root(&'static str),
    /// ERANGE, EINVAL
    #[error("{0}")]
    Value(String),
    /// What ops.cgroup_init or ops.cgroup_prep_move answered.
    #[error("the scheduler refuses (errno {errno})", errno = -.0)]
    Refused(i32),
}

/// Index of a cgroup; the root is 0. Never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CgroupId(pub u32);

impl CgroupId {
    /// The root.
    pub const ROOT: CgroupId = CgroupId(0);
}

/// A cgroup with its task group.
#[derive(Debug)]
pub struct CgroupEntry {
    /// Its `struct cgroup` in BPF-visible memory.
    pub cgrp: Cgroup,
    /// What `p->cgroups` of its tasks points to.
    pub css_set: CssSet,
    /// Absolute path.
    pub path: String,
    /// None for the root.
    pub parent: Option<CgroupId>,
    /// 0 for the root.
    pub level: u32,
    /// Tasks in it that have not died.
    pub nr_tasks: u32,
    /// Weight, idle, bandwidth.
    pub knobs: CgroupKnobs,
    /// Not removed.
    pub online: bool,
    /// Online ones, in order of creation.
    children: Vec<CgroupId>,
    /// ops.cgroup_init of the current scheduler has succeeded (SCX_TG_INITED).
    inited: bool,
    refs: u32,
}

/// All cgroups ever made.
#[derive(Debug)]
pub struct CgroupTable {
    slots: Vec<CgroupEntry>,
    by_addr: BTreeMap<u64, CgroupId>,
    /// Whose last reference is gone; freed by `rcu_flush`.
    pub(crate) rcu_pending: Vec<CgroupId>,
}

impl CgroupTable {
    /// The root alone.
    pub(crate) fn new(root: &RootCgroup) -> Self {
        let entry = CgroupEntry {
            cgrp: root.cgrp,
            css_set: root.css_set,
            path: "/".into(),
            parent: None,
            level: 0,
            nr_tasks: 0,
            knobs: CgroupKnobs::default(),
            online: true,
            children: Vec::new(),
            inited: false,
            refs: 1,
        };
        let by_addr = BTreeMap::from([(root.cgrp.addr(), CgroupId::ROOT)]);
        Self { slots: vec![entry], by_addr, rcu_pending: Vec::new() }
    }

    /// The cgroup whose `struct cgroup` is at this address.
    pub fn from_addr(&self, addr: u64) -> Option<CgroupId> {
        self.by_addr.get(&addr).copied()
    }

    /// The online cgroup with this id (`kn->id`).
    pub fn from_kn_id(&self, id: u64) -> Option<CgroupId> {
        let index = CgroupId(u32::try_from(id.checked_sub(1)?).ok()?);
        self.slots.get(index.0 as usize).filter(|c| c.online).map(|_| index)
    }

    /// The online cgroup with this absolute path.
    pub fn from_path(&self, path: &str) -> Option<CgroupId> {
        let mut at = CgroupId::ROOT;
        for name in path.split('/').filter(|n| !n.is_empty()) {
            at = self[at].children.iter().copied().find(|&c| self[c].name() == name)?;
        }
        Some(at)
    }

    /// Online cgroups below and with `top`, parents first.
    pub(crate) fn descendants_pre(&self, top: CgroupId) -> Vec<CgroupId> {
        let mut order = vec![top];
        for &child in &self[top].children {
            order.extend(self.descendants_pre(child));
        }
        order
    }

    /// Online cgroups below and with `top`, children first.
    pub(crate) fn descendants_post(&self, top: CgroupId) -> Vec<CgroupId> {
        let mut order = Vec::new();
        for &child in &self[top].children {
            order.extend(self.descendants_post(child));
        }
        order.push(top);
        order
    }
}

impl std::ops::Index<CgroupId> for CgroupTable {
    type Output = CgroupEntry;
    fn index(&self, id: CgroupId) -> &CgroupEntry {
        &self.slots[id.0 as usize]
    }
}

impl std::ops::IndexMut<CgroupId> for CgroupTable {
    fn index_mut(&mut self, id: CgroupId) -> &mut CgroupEntry {
        &mut self.slots[id.0 as usize]
    }
}

impl CgroupEntry {
    /// Online ones, in order of creation.
    pub(crate) fn children(&self) -> &[CgroupId] {
        &self.children
    }

    /// The last part of the path.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

/// Parent path and name.
fn split_path(path: &str) -> Result<(&str, &str), CgroupError> {
    let bad = || CgroupError::Path(path.into());
    let ok = |name: &str| {
        !name.is_empty() && name.len() <= 255 && name != "." && name != ".." && !name.contains('\0')
    };
    let rest = path.strip_prefix('/').ok_or_else(bad)?;
    if !rest.split('/').all(ok) {
        return Err(bad());
    }
    let (parent, name) = path.rsplit_once('/').ok_or_else(bad)?;
    Ok((parent, name))
}

impl Sched {
    /// The online cgroup at `path`.
    pub fn cgroup_lookup(&self, path: &str) -> Result<CgroupId, CgroupError> {
        if path != "/" {
            split_path(path)?;
        }
        self.cgroups.from_path(path).ok_or_else(|| CgroupError::NotFound(path.into()))
    }

    /// `mkdir`: a cgroup at `path`, whose parent exists. A scheduler's ops.cgroup_init may refuse it.
    pub fn cgroup_mkdir(&mut self, path: &str) -> Result<CgroupId, CgroupError> {
        let (parent, _) = split_path(path)?;
        let parent_path = if parent.is_empty() { "/" } else { parent };
        let parent = self.cgroup_lookup(parent_path)?;
        if self.cgroups.from_path(path).is_some() {
            return Err(CgroupError::Exists(path.into()));
        }
        let id = self.alloc_cgroup(path, parent);
        let ret = self.scx_tg_online(id);
        if ret != 0 {
            self.cgroups[id].online = false;
            self.cgroup_put(id);
            return Err(CgroupError::Refused(ret));
        }
        self.cgroups[parent].children.push(id);
        self.trace_cgroup(TracePoint::CgroupMkdir, id, &[]);
        Ok(id)
    }

    /// `mkdir -p`: what exists is left as it is.
    pub fn cgroup_mkdir_all(&mut self, path: &str) -> Result<CgroupId, CgroupError> {
        if let Some(id) = self.cgroups.from_path(path) {
            return Ok(id);
        }
        let (parent, _) = split_path(path)?;
        if !parent.is_empty() {
            self.cgroup_mkdir_all(parent)?;
        }
        self.cgroup_mkdir(path)
    }

    /// `rmdir`: offline at once; the object goes when nobody refers to it any more.
    pub fn cgroup_rmdir(&mut self, id: CgroupId) -> Result<(), CgroupError> {
        let c = &self.cgroups[id];
        let Some(parent) = c.parent else { return Err(CgroupError::Root("parent")) };
        if c.nr_tasks != 0 || !c.children.is_empty() {
            return Err(CgroupError::Busy(c.path.clone()));
        }
        self.scx_tg_offline(id);
        self.cgroups[id].online = false;
        css::kill_css(&self.mem, self.cgroups[id].cgrp);
        self.cgroups[parent].children.retain(|&c| c != id);
        self.trace_cgroup(TracePoint::CgroupRmdir, id, &[]);
        self.cgroup_put(id);
        Ok(())
    }

    fn alloc_cgroup(&mut self, path: &str, parent: CgroupId) -> CgroupId {
        let mem = self.mem.clone();
        let mem: &KMem = &mem;
        let id = CgroupId(self.cgroups.slots.len() as u32);
        let level = self.cgroups[parent].level + 1;
        let up = self.cgroups[parent].cgrp;
        let cgrp = Cgroup::at(mem.alloc(ObjKind::Kernel, Cgroup::size_at_level(level)));
        let kn = KernfsNode::at(mem.alloc(ObjKind::Kernel, <KernfsNode as CType>::SIZE));
        let css_set = CssSet::at(mem.alloc(ObjKind::Kernel, <CssSet as CType>::SIZE));
        let name = path.rsplit('/').next().unwrap_or_default();
        let name_at = mem.alloc(ObjKind::Kernel, name.len() as u32 + 1);
        mem.write_bytes(name_at, name.as_bytes());
        kn.id().set(mem, u64::from(id.0) + 1);
        kn.name().set(mem, name_at);
        kn.__parent().set(mem, up.kn().get(mem));
        cgrp.level().set(mem, level as i32);
        cgrp.max_depth().set(mem, i32::MAX);
        cgrp.kn().set(mem, kn.addr());
        cgrp.dom_cgrp().set(mem, cgrp.addr());
        let css = cgrp.self_();
        css.cgroup().set(mem, cgrp.addr());
        css.flags().set(mem, CSS_ONLINE);
        css.serial_nr().set(mem, u64::from(id.0) + 1);
        css.parent().set(mem, up.self_().addr());
        new_css(mem, cgrp, Some(up));
        for l in 0..level {
            cgrp.ancestors().at(l as usize).set(mem, up.ancestors().at(l as usize).get(mem));
        }
        cgrp.ancestors().at(level as usize).set(mem, cgrp.addr());
        css_set.dfl_cgrp().set(mem, cgrp.addr());
        self.cgroups[parent].refs += 1; // its object outlives this one's
        self.cgroups.by_addr.insert(cgrp.addr(), id);
        self.cgroups.slots.push(CgroupEntry {
            cgrp,
            css_set,
            path: path.into(),
            parent: Some(parent),
            level,
            nr_tasks: 0,
            knobs: CgroupKnobs::default(),
            online: true,
            children: Vec::new(),
            inited: false,
            refs: 1,
        });
        id
    }

    /// `cgroup_tryget`: takes a reference; false when the cgroup is gone.
    pub fn cgroup_get(&mut self, id: CgroupId) -> bool {
        let c = &mut self.cgroups[id];
        if c.refs == 0 {
            return false;
        }
        c.refs += 1;
        true
    }

    /// Drops a reference.
    pub fn cgroup_put(&mut self, id: CgroupId) {
        let c = &mut self.cgroups[id];
        c.refs = c.refs.checked_sub(1).expect("a reference is dropped once");
        if c.refs == 0 {
            self.cgroups.rcu_pending.push(id);
        }
    }

    /// Gives back the objects of cgroups that nobody refers to.
    pub(crate) fn free_cgroups(&mut self) {
        while let Some(id) = self.cgroups.rcu_pending.pop() {
            let c = &self.cgroups[id];
            let (cgrp, css_set, level, parent) = (c.cgrp, c.css_set, c.level, c.parent);
            if let Some(ops) = self.ext.ops.clone() {
                ops.cgroup_freed(self, cgrp.addr());
            }
            self.cgroups.by_addr.remove(&cgrp.addr());
            let mem = &*self.mem;
            let kn = cgrp.kn().deref(mem);
            let name_len = self.cgroups[id].name().len() as u32 + 1;
            mem.free(ObjKind::Kernel, kn.name().get(mem), name_len);
            css::free_css(mem, cgrp);
            mem.free(ObjKind::Kernel, kn.addr(), <KernfsNode as CType>::SIZE);
            mem.free(ObjKind::Kernel, css_set.addr(), <CssSet as CType>::SIZE);
            mem.free(ObjKind::Kernel, cgrp.addr(), Cgroup::size_at_level(level));
            if let Some(parent) = parent {
                self.cgroup_put(parent);
            }
        }
    }

    /// A new task is in `id` from its birth (`cgroup_post_fork`).
    pub(crate) fn cgroup_fork(&mut self, p: TaskId, id: CgroupId) {
        self.cgroups[id].refs += 1;
        self.cgroup_enter(p, id);
    }

    fn cgroup_enter(&mut self, p: TaskId, id: CgroupId) {
        let c = &mut self.cgroups[id];
        c.nr_tasks += 1;
        c.css_set.nr_tasks().set(&*self.mem, c.nr_tasks as i32);
        self.tasks[p].cgroup = id;
        self.tasks[p].ts.cgroups().set(&*self.mem, c.css_set.addr());
    }

    /// A task is dead: it no longer keeps its cgroup from being removed (`cgroup_task_dead`).
    pub(crate) fn cgroup_leave(&mut self, p: TaskId) {
        let c = &mut self.cgroups[self.tasks[p].cgroup];
        c.nr_tasks -= 1;
        c.css_set.nr_tasks().set(&*self.mem, c.nr_tasks as i32);
    }

    /// A task's cgroup object: what ops and kfuncs say about it.
    pub fn task_cgroup_addr(&self, p: TaskId) -> u64 {
        self.cgroups[self.tasks[p].cgroup].cgrp.addr()
    }

    /// Moves tasks into a cgroup (`cgroup.procs`): all or none. ops.cgroup_prep_move may refuse.
    pub fn cgroup_attach(&mut self, tasks: &[TaskId], to: CgroupId) -> Result<(), CgroupError> {
        if !self.cgroups[to].online {
            return Err(CgroupError::NotFound(self.cgroups[to].path.clone()));
        }
        let moving: Vec<TaskId> =
            tasks.iter().copied().filter(|&p| !self.tasks[p].dead && self.tasks[p].cgroup != to).collect();
        let ret = self.scx_cgroup_can_attach(&moving, to);
        if ret != 0 {
            return Err(CgroupError::Refused(ret));
        }
        for p in moving {
            self.sched_move_task(p, Some(to));
        }
        self.trace_attach(tasks, to);
        Ok(())
    }

    /// Whole processes have moved, each by its leader, or single threads.
    fn trace_attach(&mut self, tasks: &[TaskId], to: CgroupId) {
        if !self.traces(TracePoint::CgroupAttachTask) {
            return;
        }
        let leader = |s: &Self, p: TaskId| s.tasks[p].ts.group_leader().get(&*s.mem);
        for (i, &p) in tasks.iter().enumerate() {
            let of = leader(self, p);
            let moved = tasks.iter().filter(|&&q| leader(self, q) == of).count() as i32;
            let ts = self.tasks[p].ts;
            let whole = moved == ts.signal().deref(&*self.mem).nr_threads().get(&*self.mem);
            if !whole {
                self.trace_cgroup(TracePoint::CgroupAttachTask, to, &[ts.addr(), 0]);
            } else if tasks[..i].iter().all(|&q| leader(self, q) != of) {
                self.trace_cgroup(TracePoint::CgroupAttachTask, to, &[of, 1]);
            }
        }
    }

    /// The task changes its group, while it is dequeued.
    pub(crate) fn sched_change_group(&mut self, p: TaskId, to: CgroupId) {
        let from = self.tasks[p].cgroup;
        self.cgroup_leave(p);
        self.cgroups[to].refs += 1;
        self.cgroup_enter(p, to);
        self.cgroup_put(from);
        self.scx_cgroup_move_task(p, from, to);
    }
}

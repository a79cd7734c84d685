//! Dispatch queues: FIFO or ordered by vtime, built in (local, bypass, global) or made by the scheduler.
//!
//! All DSQs are in one table. With N CPUs the indices are: `0..N` local, `N..2N` bypass, then one global per node, then user DSQs, found by id. A task is on at most one DSQ; the list is always in serving order, the tree
//! exists beside it while tasks are queued by vtime. Insertion is O(1) for FIFO and O(log n) for vtime, removal likewise.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use sextant_abi::types::*;
use sextant_abi::{CpuId, DsqId, Mem as _, ObjKind, Vtime};

use super::entity::DsqIdx;
use super::list::{Ends, Link, Links, NodeId};
use super::tree::{Nodes, TreeNode};
use crate::event::Event;
use crate::sched::{KMem, Sched};
use crate::task::{TaskId, TaskTable};

/// `struct scx_dispatch_q`
#[derive(Debug)]
pub(crate) struct Dsq {
    /// `INVALID` once destroyed.
    pub id: DsqId,
    /// Of a local DSQ.
    pub cpu: Option<CpuId>,
    pub list: Ends,
    pub root: NodeId,
    pub nr: u32,
    /// Insertions so far.
    pub seq: u32,
    /// What programs see of it; NULL until the first insertion.
    pub seen: ScxDispatchQ,
}

impl Dsq {
    fn new(id: DsqId, cpu: Option<CpuId>) -> Self {
        Self { id, cpu, list: Ends::EMPTY, root: NodeId::NIL, nr: 0, seq: 0, seen: ScxDispatchQ::at(0) }
    }

    /// How events name it: a local DSQ by its CPU.
    pub fn event_id(&self) -> DsqId {
        self.cpu.map_or(self.id, |cpu| DsqId(DsqId::LOCAL_ON.0 | u64::from(cpu.0)))
    }

    /// Whether a CPU's runqueue owns it.
    pub fn is_local(&self) -> bool {
        self.cpu.is_some()
    }
}

/// A place of an iterator in a DSQ's list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor {
    pub link: Link,
    pub dsq: DsqIdx,
    /// `seq` of the DSQ when made: later insertions are not seen.
    pub seq: u32,
    pub rev: bool,
    /// For the next move through this iterator.
    pub slice: Option<u64>,
    pub vtime: Option<u64>,
    /// Handed out.
    pub used: bool,
}

/// A fixed hash of a DSQ id, so that nothing depends on a random seed.
#[derive(Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &b in bytes {
            self.write_u64(u64::from(b));
        }
    }
    fn write_u64(&mut self, v: u64) {
        let x = (self.0 ^ v).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = x ^ x >> 32;
    }
}

/// All DSQs.
#[derive(Debug)]
pub(crate) struct DsqTable {
    pub dsqs: Vec<Dsq>,
    pub cursors: Vec<Cursor>,
    nr_cpus: u32,
    nr_nodes: u32,
    cpus_per_node: u32,
    /// Only looked up, never walked.
    user: HashMap<u64, DsqIdx, BuildHasherDefault<IdHasher>>,
    free: Vec<DsqIdx>,
}

impl DsqTable {
    /// The built-in ones.
    pub fn new(nr_cpus: u32) -> Self {
        let local = (0..nr_cpus).map(|c| Dsq::new(DsqId::LOCAL, Some(CpuId(c))));
        let bypass = (0..nr_cpus).map(|_| Dsq::new(DsqId::BYPASS, None));
        let global = std::iter::once(Dsq::new(DsqId::GLOBAL, None));
        Self {
            dsqs: local.chain(bypass).chain(global).collect(),
            cursors: Vec::new(),
            nr_cpus,
            nr_nodes: 1,
            cpus_per_node: nr_cpus,
            user: HashMap::default(),
            free: Vec::new(),
        }
    }

    /// The machine has several nodes (before there are user DSQs).
    pub fn set_nodes(&mut self, nr_nodes: u32, cpus_per_node: u32) {
        (self.nr_nodes, self.cpus_per_node) = (nr_nodes, cpus_per_node);
        self.dsqs.resize_with((2 * self.nr_cpus + nr_nodes) as usize, || Dsq::new(DsqId::GLOBAL, None));
    }

    /// The local DSQ of a CPU.
    pub fn local(&self, cpu: CpuId) -> DsqIdx {
        DsqIdx(cpu.0)
    }

    /// The bypass DSQ of a CPU.
    pub fn bypass(&self, cpu: CpuId) -> DsqIdx {
        DsqIdx(self.nr_cpus + cpu.0)
    }

    /// The global DSQ of the node of a CPU.
    pub fn global(&self, cpu: CpuId) -> DsqIdx {
        let node = if self.nr_nodes == 1 { 0 } else { cpu.0 / self.cpus_per_node };
        DsqIdx(2 * self.nr_cpus + node)
    }

    /// The user DSQ with that id.
    pub fn find_user(&self, id: DsqId) -> Option<DsqIdx> {
        self.user.get(&id.0).copied()
    }

    /// Adds an empty user DSQ; false if there is one with that id.
    pub fn create(&mut self, id: DsqId) -> bool {
        if self.user.contains_key(&id.0) {
            return false;
        }
        let dsq = Dsq::new(id, None);
        let idx = match self.free.pop() {
            Some(idx) => {
                self.dsqs[idx.idx()] = dsq;
                idx
            }
            None => {
                self.dsqs.push(dsq);
                DsqIdx(self.dsqs.len() as u32 - 1)
            }
        };
        self.user.insert(id.0, idx);
        true
    }

    /// Forgets an empty user DSQ. Its slot is reused unless an iterator is still on it.
    pub fn destroy(&mut self, idx: DsqIdx) {
        let id = std::mem::replace(&mut self.dsqs[idx.idx()].id, DsqId::INVALID);
        self.user.remove(&id.0);
        if !self.cursors.iter().any(|c| c.used && c.dsq == idx) {
            self.free.push(idx);
        }
    }

    /// Forgets all user DSQs (the scheduler is freed).
    pub fn clear_user(&mut self) {
        self.user.clear();
        self.free.clear();
        self.cursors.clear();
        self.dsqs.truncate((2 * self.nr_cpus + self.nr_nodes) as usize);
    }
}

impl std::ops::Index<DsqIdx> for DsqTable {
    type Output = Dsq;
    fn index(&self, i: DsqIdx) -> &Dsq {
        &self.dsqs[i.idx()]
    }
}

impl std::ops::IndexMut<DsqIdx> for DsqTable {
    fn index_mut(&mut self, i: DsqIdx) -> &mut Dsq {
        &mut self.dsqs[i.idx()]
    }
}

/// Where list and tree nodes of DSQs are.
pub(crate) struct DsqNodes<'a> {
    pub tasks: &'a mut TaskTable,
    pub cursors: &'a mut [Cursor],
    pub mem: &'a KMem,
}

impl Links for DsqNodes<'_> {
    fn link(&mut self, node: NodeId) -> &mut Link {
        match node.as_cursor() {
            None => &mut self.tasks[TaskId(node.0)].ext.link,
            Some(c) => &mut self.cursors[c as usize].link,
        }
    }
}

impl Nodes for DsqNodes<'_> {
    fn node(&mut self, id: NodeId) -> &mut TreeNode {
        &mut self.tasks[TaskId(id.0)].ext.node
    }
    fn less(&self, a: NodeId, b: NodeId) -> bool {
        let vtime = |n: NodeId| Vtime(self.tasks[TaskId(n.0)].ts.scx().dsq_vtime().get(self.mem));
        vtime(a).before(vtime(b))
    }
}

impl Sched {
    /// The first task of a DSQ.
    pub(crate) fn dsq_first(&self, dsq: DsqIdx) -> Option<TaskId> {
        self.skip_cursors(self.ext.dsqs[dsq].list.first, false)
    }

    /// The task behind `p` on its DSQ.
    pub(crate) fn dsq_next(&self, p: TaskId) -> Option<TaskId> {
        self.skip_cursors(self.tasks[p].ext.link.next, false)
    }

    /// The first task at or behind a node (before it with `rev`).
    pub(crate) fn skip_cursors(&self, mut at: NodeId, rev: bool) -> Option<TaskId> {
        while let Some(c) = at.as_cursor() {
            if at.is_nil() {
                return None;
            }
            let link = self.ext.dsqs.cursors[c as usize].link;
            at = if rev { link.prev } else { link.next };
        }
        Some(TaskId(at.0))
    }

    /// The DSQ lists' nodes and one DSQ, borrowed apart.
    pub(crate) fn dsq_nodes(&mut self, dsq: DsqIdx) -> (DsqNodes<'_>, &mut Dsq) {
        let DsqTable { dsqs, cursors, .. } = &mut self.ext.dsqs;
        (DsqNodes { tasks: &mut self.tasks, cursors, mem: &self.mem }, &mut dsqs[dsq.idx()])
    }

    /// Links `p` at the head or the tail, or by vtime; counts it.
    pub(super) fn dsq_link(&mut self, dsq: DsqIdx, p: TaskId, enq_flags: u64) {
        let node = NodeId::task(p.0);
        let (mut nodes, d) = self.dsq_nodes(dsq);
        d.nr += 1;
        if enq_flags & SCX_ENQ_DSQ_PRIQ != 0 {
            let before = nodes.tree_insert(&mut d.root, node, d.seq);
            nodes.insert_after(&mut d.list, node, before);
        } else if enq_flags & (SCX_ENQ_HEAD | SCX_ENQ_PREEMPT) != 0 {
            nodes.insert_after(&mut d.list, node, NodeId::NIL);
        } else {
            nodes.push_back(&mut d.list, node);
        }
        let ent = &mut self.tasks[p].ext;
        ent.on_priq = enq_flags & SCX_ENQ_DSQ_PRIQ != 0;
        ent.dsq = dsq;
        let seen = self.dsq_seen(dsq);
        self.scx(p).dsq().set(&*self.mem, seen.addr());
        self.show_dsq(dsq);
    }

    /// `struct scx_dispatch_q` of a DSQ in BPF-visible memory.
    fn dsq_seen(&mut self, dsq: DsqIdx) -> ScxDispatchQ {
        let d = &self.ext.dsqs[dsq];
        if d.seen.addr() != 0 {
            return d.seen;
        }
        let seen = match d.cpu {
            Some(cpu) => self.rq_struct(cpu).scx().local_dsq(),
            None => ScxDispatchQ::at(self.mem.alloc(ObjKind::Kernel, ScxDispatchQ::SIZE)),
        };
        if seen.addr() == 0 {
            return seen;
        }
        seen.id().set(&*self.mem, d.id.0);
        self.ext.dsqs[dsq].seen = seen;
        seen
    }

    /// What programs see of it is brought up to date.
    pub(crate) fn show_dsq(&mut self, dsq: DsqIdx) {
        let d = &self.ext.dsqs[dsq];
        let (seen, nr, seq) = (d.seen, d.nr, d.seq);
        if seen.addr() == 0 {
            return;
        }
        seen.nr().set(&*self.mem, nr);
        seen.seq().set(&*self.mem, seq);
        if !d.id.is_builtin() {
            let first = self.dsq_first(dsq).map_or(0, |p| self.tasks[p].ts.addr());
            seen.first_task().set(&*self.mem, first);
        }
    }

    /// What programs see of the scheduler's own DSQs goes with them.
    pub(crate) fn drop_seen_dsqs(&mut self, only: Option<DsqIdx>) {
        let all = &mut self.ext.dsqs.dsqs;
        let range = only.map_or(0..all.len(), |dsq| dsq.idx()..dsq.idx() + 1);
        for d in &mut all[range] {
            if d.cpu.is_none() && d.seen.addr() != 0 {
                self.mem.free(ObjKind::Kernel, d.seen.addr(), ScxDispatchQ::SIZE);
                d.seen = ScxDispatchQ::at(0);
            }
        }
    }

    /// `scx_task_unlink_from_dsq`: off list and tree; `p` no longer names the DSQ.
    pub(crate) fn task_unlink_from_dsq(&mut self, p: TaskId) {
        let ent = &mut self.tasks[p].ext;
        let dsq = std::mem::replace(&mut ent.dsq, DsqIdx::NONE);
        let on_priq = std::mem::take(&mut ent.on_priq);
        let node = NodeId::task(p.0);
        let (mut nodes, d) = self.dsq_nodes(dsq);
        if on_priq {
            nodes.tree_remove(&mut d.root, node);
        }
        nodes.unlink(&mut d.list, node);
        d.nr -= 1;
        let id = d.event_id();
        self.scx(p).dsq().set(&*self.mem, 0);
        self.show_dsq(dsq);
        self.immed_removed(dsq, p);
        self.emit(Event::DsqRemove { p, dsq: id });
    }
}

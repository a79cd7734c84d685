//! DSQ iterators: a cursor in the list, so that tasks may come and go between two steps. Tasks queued after the iterator
//! was made are not seen.

use sextant_abi::DsqId;
use sextant_abi::types::*;

use super::{EINVAL, ENODEV, ENOENT};
use crate::ext::dsq::Cursor;
use crate::ext::entity::DsqIdx;
use crate::ext::list::{Link, Links, NodeId};
use crate::sched::Sched;
use crate::task::TaskId;

/// Handle of an iterator; what `struct bpf_iter_scx_dsq` holds, never 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DsqIter(pub u32);

impl DsqIter {
    fn idx(self) -> usize {
        self.0 as usize - 1
    }
}

/// Whether insertion number `a` came before `b`; the numbers wrap.
fn u32_before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

impl Sched {
    /// `bpf_iter_scx_dsq_new` on a user DSQ; SCX_DSQ_ITER_REV goes backwards. Err is a negative errno.
    pub fn kf_bpf_iter_scx_dsq_new(&mut self, dsq: DsqId, flags: u64) -> Result<DsqIter, i32> {
        if !self.has_sched() {
            return Err(ENODEV);
        }
        if flags & !__SCX_DSQ_ITER_USER_FLAGS != 0 {
            return Err(EINVAL);
        }
        let dsq = self.ext.dsqs.find_user(dsq).ok_or(ENOENT)?;
        let cursor = Cursor {
            link: Link::UNLINKED,
            dsq,
            seq: self.ext.dsqs[dsq].seq,
            rev: flags & SCX_DSQ_ITER_REV != 0,
            slice: None,
            vtime: None,
            used: true,
        };
        let cursors = &mut self.ext.dsqs.cursors;
        let idx = cursors.iter().position(|c| !c.used).unwrap_or(cursors.len());
        if idx == cursors.len() {
            cursors.push(cursor);
        } else {
            cursors[idx] = cursor;
        }
        Ok(DsqIter(idx as u32 + 1))
    }

    /// `bpf_iter_scx_dsq_next`
    pub fn kf_bpf_iter_scx_dsq_next(&mut self, it: DsqIter) -> Option<TaskId> {
        let dsq = self.iter_dsq(it)?;
        let c = self.ext.dsqs.cursors[it.idx()];
        let d = &self.ext.dsqs[dsq];
        let from = match (c.link.is_linked(), c.rev) {
            (false, false) => d.list.first,
            (false, true) => d.list.last,
            (true, false) => c.link.next,
            (true, true) => c.link.prev,
        };
        let mut at = self.skip_cursors(from, c.rev);
        while let Some(p) = at
            && u32_before(c.seq, self.tasks[p].ext.dsq_seq)
        {
            let link = self.tasks[p].ext.link;
            at = self.skip_cursors(if c.rev { link.prev } else { link.next }, c.rev);
        }
        self.park_cursor(it, dsq, at);
        at
    }

    /// Moves the cursor next to the task just given (before it when going backwards), or off the list.
    fn park_cursor(&mut self, it: DsqIter, dsq: DsqIdx, at: Option<TaskId>) {
        let c = self.ext.dsqs.cursors[it.idx()];
        let node = NodeId::cursor(it.idx() as u32);
        let (mut nodes, d) = self.dsq_nodes(dsq);
        if c.link.is_linked() {
            nodes.unlink(&mut d.list, node);
        }
        if let Some(p) = at {
            let p = NodeId::task(p.0);
            let after = if c.rev { nodes.link(p).prev } else { p };
            nodes.insert_after(&mut d.list, node, after);
        }
    }

    /// `bpf_iter_scx_dsq_destroy`; an unknown handle is ignored.
    pub fn kf_bpf_iter_scx_dsq_destroy(&mut self, it: DsqIter) {
        if let Some(dsq) = self.iter_dsq(it) {
            self.park_cursor(it, dsq, None);
            self.ext.dsqs.cursors[it.idx()].used = false;
        }
    }

    /// `scx_bpf_dsq_move_set_slice`: for the next move through this iterator.
    pub fn kf_scx_bpf_dsq_move_set_slice(&mut self, it: DsqIter, slice: u64) {
        if self.iter_dsq(it).is_some() {
            self.ext.dsqs.cursors[it.idx()].slice = Some(slice);
        }
    }

    /// `scx_bpf_dsq_move_set_vtime`: for the next move through this iterator.
    pub fn kf_scx_bpf_dsq_move_set_vtime(&mut self, it: DsqIter, vtime: u64) {
        if self.iter_dsq(it).is_some() {
            self.ext.dsqs.cursors[it.idx()].vtime = Some(vtime);
        }
    }

    /// The DSQ an iterator is on.
    pub(crate) fn iter_dsq(&self, it: DsqIter) -> Option<DsqIdx> {
        if it.0 == 0 {
            return None;
        }
        self.ext.dsqs.cursors.get(it.idx()).filter(|c| c.used).map(|c| c.dsq)
    }

    /// `nldsq_cursor_lost_task`: it has left the DSQ, or was queued after the iterator was made.
    pub(crate) fn iter_lost_task(&self, it: DsqIter, dsq: DsqIdx, p: TaskId) -> bool {
        let ent = &self.tasks[p].ext;
        ent.dsq != dsq || u32_before(self.ext.dsqs.cursors[it.idx()].seq, ent.dsq_seq)
    }

    /// The overrides for this move; they are used up by the attempt.
    pub(crate) fn take_iter_overrides(&mut self, it: DsqIter) -> (Option<u64>, Option<u64>) {
        if self.iter_dsq(it).is_none() {
            return (None, None);
        }
        let c = &mut self.ext.dsqs.cursors[it.idx()];
        (c.slice.take(), c.vtime.take())
    }
}

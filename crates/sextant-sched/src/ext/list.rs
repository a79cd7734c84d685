//! Intrusive lists by index: a node is a task or an iterator's cursor, a list is its two ends.
//!
//! What must hold: a node is on one list at most; `UNLINKED` marks a node that is on none. The links sit in the nodes, so
//! every operation takes the store that finds them.

/// Name of a list node: a task's index, or a cursor's with `CURSOR` set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NodeId(pub u32);

impl NodeId {
    /// No node: the end of a list.
    pub const NIL: NodeId = NodeId(u32::MAX);
    /// Bit that tells cursors from tasks (SCX_DSQ_LNODE_ITER_CURSOR).
    const CURSOR: u32 = 1 << 31;
    /// Marks `Link::UNLINKED`.
    const POISON: NodeId = NodeId(u32::MAX - 1);

    /// The node of the task with that index.
    pub const fn task(idx: u32) -> NodeId {
        NodeId(idx)
    }

    /// The node of the cursor with that index.
    pub const fn cursor(idx: u32) -> NodeId {
        NodeId(idx | Self::CURSOR)
    }

    /// Index of the cursor, if it is one.
    pub const fn as_cursor(self) -> Option<u32> {
        if self.0 & Self::CURSOR != 0 { Some(self.0 & !Self::CURSOR) } else { None }
    }

    /// Whether it is the end of a list.
    pub fn is_nil(self) -> bool {
        self == Self::NIL
    }
}

/// Neighbours of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Link {
    pub prev: NodeId,
    pub next: NodeId,
}

impl Link {
    /// Of a node that is on no list.
    pub const UNLINKED: Link = Link { prev: NodeId::POISON, next: NodeId::POISON };

    /// Whether the node is on a list.
    pub fn is_linked(self) -> bool {
        self.next != NodeId::POISON
    }
}

/// First and last node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ends {
    pub first: NodeId,
    pub last: NodeId,
}

impl Default for Ends {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl Ends {
    /// Of an empty list.
    pub const EMPTY: Ends = Ends { first: NodeId::NIL, last: NodeId::NIL };

    /// Whether nothing is on the list.
    pub fn is_empty(self) -> bool {
        self.first.is_nil()
    }
}

/// Where the links of nodes are.
pub(crate) trait Links {
    /// The node's link.
    fn link(&mut self, node: NodeId) -> &mut Link;

    /// Puts `node` behind `after`, or at the head when that is NIL.
    fn insert_after(&mut self, ends: &mut Ends, node: NodeId, after: NodeId) {
        let next = if after.is_nil() { ends.first } else { self.link(after).next };
        *self.link(node) = Link { prev: after, next };
        if after.is_nil() {
            ends.first = node;
        } else {
            self.link(after).next = node;
        }
        if next.is_nil() {
            ends.last = node;
        } else {
            self.link(next).prev = node;
        }
    }

    /// Puts `node` at the tail.
    fn push_back(&mut self, ends: &mut Ends, node: NodeId) {
        let last = ends.last;
        self.insert_after(ends, node, last);
    }

    /// Takes `node` off.
    fn unlink(&mut self, ends: &mut Ends, node: NodeId) {
        let Link { prev, next } = std::mem::replace(self.link(node), Link::UNLINKED);
        if prev.is_nil() {
            ends.first = next;
        } else {
            self.link(prev).next = next;
        }
        if next.is_nil() {
            ends.last = prev;
        } else {
            self.link(next).prev = prev;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Links for Vec<Link> {
        fn link(&mut self, node: NodeId) -> &mut Link {
            &mut self[node.0 as usize]
        }
    }

    fn order(links: &mut Vec<Link>, ends: Ends) -> Vec<u32> {
        let mut out = Vec::new();
        let mut at = ends.first;
        while !at.is_nil() {
            out.push(at.0);
            at = links.link(at).next;
        }
        out
    }

    #[test]
    fn head_tail_middle_and_removal() {
        let mut l = vec![Link::UNLINKED; 4];
        let mut e = Ends::EMPTY;
        l.push_back(&mut e, NodeId(0));
        l.push_back(&mut e, NodeId(1));
        l.insert_after(&mut e, NodeId(2), NodeId::NIL);
        l.insert_after(&mut e, NodeId(3), NodeId(0));
        assert_eq!(order(&mut l, e), [2, 0, 3, 1]);
        l.unlink(&mut e, NodeId(2));
        l.unlink(&mut e, NodeId(1));
        assert_eq!(order(&mut l, e), [0, 3]);
        assert_eq!(e.last, NodeId(3));
        assert!(!l[1].is_linked() && l[3].is_linked());
    }
}

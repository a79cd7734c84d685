//! The tree of a priority DSQ: a treap by task index, its nodes in the tasks.
//!
//! What must hold: removal never compares keys, because a program may rewrite `dsq_vtime` of a queued task, and because the
//! wrapping order is not transitive over more than half its range. Equal keys keep insertion order. Heap priorities come
//! from the DSQ's insertion number, so the shape is the same in every run.
//!
//! The kernel uses an rbtree; the order that comes out is the same whenever keys do not change while queued.

use super::list::NodeId;

/// A task's place in the tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TreeNode {
    parent: NodeId,
    child: [NodeId; 2],
    heap: u32,
}

impl Default for TreeNode {
    fn default() -> Self {
        Self { parent: NodeId::NIL, child: [NodeId::NIL; 2], heap: 0 }
    }
}

/// Where tree nodes and their order are.
pub(crate) trait Nodes {
    /// The node of a task.
    fn node(&mut self, id: NodeId) -> &mut TreeNode;
    /// Whether `a` is to be served before `b`.
    fn less(&self, a: NodeId, b: NodeId) -> bool;

    /// Inserts `id`; gives the node just before it in order, NIL for none. `seq` seeds its heap priority.
    fn tree_insert(&mut self, root: &mut NodeId, id: NodeId, seq: u32) -> NodeId {
        let (mut at, mut parent, mut side, mut before) = (*root, NodeId::NIL, 0, NodeId::NIL);
        while !at.is_nil() {
            parent = at;
            if self.less(id, at) {
                side = 0;
            } else {
                side = 1;
                before = at;
            }
            at = self.node(at).child[side];
        }
        let heap = seq.wrapping_mul(0x9e37_79b1);
        *self.node(id) = TreeNode { parent, child: [NodeId::NIL; 2], heap: heap ^ heap >> 15 };
        if parent.is_nil() {
            *root = id;
        } else {
            self.node(parent).child[side] = id;
        }
        self.sift_up(root, id);
        before
    }

    /// Takes `id` out.
    fn tree_remove(&mut self, root: &mut NodeId, id: NodeId) {
        loop {
            let [left, right] = self.node(id).child;
            let up = match (left.is_nil(), right.is_nil()) {
                (true, _) => return self.replace(root, id, right),
                (_, true) => return self.replace(root, id, left),
                _ if self.node(left).heap < self.node(right).heap => left,
                _ => right,
            };
            self.rotate_up(root, up);
        }
    }

    /// Lifts `id` while its heap priority is smaller than its parent's.
    fn sift_up(&mut self, root: &mut NodeId, id: NodeId) {
        loop {
            let TreeNode { parent, heap, .. } = *self.node(id);
            if parent.is_nil() || self.node(parent).heap <= heap {
                return;
            }
            self.rotate_up(root, id);
        }
    }

    /// Makes `id` the parent of its parent.
    fn rotate_up(&mut self, root: &mut NodeId, id: NodeId) {
        let parent = self.node(id).parent;
        let side = usize::from(self.node(parent).child[1] == id);
        let inner = self.node(id).child[1 - side];
        self.replace(root, parent, id);
        self.node(id).child[1 - side] = parent;
        self.node(parent).parent = id;
        self.node(parent).child[side] = inner;
        if !inner.is_nil() {
            self.node(inner).parent = parent;
        }
    }

    /// Puts `new` (or nothing) where `old` hangs.
    fn replace(&mut self, root: &mut NodeId, old: NodeId, new: NodeId) {
        let parent = self.node(old).parent;
        if parent.is_nil() {
            *root = new;
        } else {
            let side = usize::from(self.node(parent).child[1] == old);
            self.node(parent).child[side] = new;
        }
        if !new.is_nil() {
            self.node(new).parent = parent;
        }
    }
}

#[cfg(test)]
mod tests {
    use sextant_abi::Vtime;

    use super::*;

    struct Store(Vec<(TreeNode, u64)>);

    impl Nodes for Store {
        fn node(&mut self, id: NodeId) -> &mut TreeNode {
            &mut self.0[id.0 as usize].0
        }
        fn less(&self, a: NodeId, b: NodeId) -> bool {
            Vtime(self.0[a.0 as usize].1).before(Vtime(self.0[b.0 as usize].1))
        }
    }

    fn walk(s: &mut Store, at: NodeId, depth: u32, out: &mut Vec<u32>) -> u32 {
        if at.is_nil() {
            return depth;
        }
        let [l, r] = s.node(at).child;
        let a = walk(s, l, depth + 1, out);
        out.push(at.0);
        a.max(walk(s, r, depth + 1, out))
    }

    fn build(keys: &[u64]) -> (Store, NodeId) {
        let mut s = Store(keys.iter().map(|&k| (TreeNode::default(), k)).collect());
        let mut root = NodeId::NIL;
        for i in 0..keys.len() as u32 {
            s.tree_insert(&mut root, NodeId(i), i + 1);
        }
        (s, root)
    }

    #[test]
    fn order_wraps_and_equal_keys_keep_theirs() {
        let (mut s, root) = build(&[5, u64::MAX, 5, 0, 5]);
        let mut out = Vec::new();
        walk(&mut s, root, 0, &mut out);
        assert_eq!(out, [1, 3, 0, 2, 4]);
    }

    #[test]
    fn predecessor_is_given() {
        let (mut s, mut root) = build(&[10, 30, 20]);
        s.0.push((TreeNode::default(), 25));
        s.0.push((TreeNode::default(), 1));
        assert_eq!(s.tree_insert(&mut root, NodeId(3), 4), NodeId(2));
        assert_eq!(s.tree_insert(&mut root, NodeId(4), 5), NodeId::NIL);
    }

    #[test]
    fn removal_does_not_need_the_key_and_depth_stays_small() {
        let keys: Vec<u64> = (0..4096).collect();
        let (mut s, mut root) = build(&keys);
        assert!(walk(&mut s, root, 0, &mut Vec::new()) < 48);
        for i in (0..4096u32).step_by(2) {
            s.0[i as usize].1 = u64::from(i) << 40; // a program rewrote it
            s.tree_remove(&mut root, NodeId(i));
        }
        let mut out = Vec::new();
        walk(&mut s, root, 0, &mut out);
        assert_eq!(out, (0..4096u32).filter(|i| i % 2 == 1).collect::<Vec<_>>());
    }
}

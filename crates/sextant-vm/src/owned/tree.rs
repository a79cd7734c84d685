//! A red-black tree of node addresses. Where a new node hangs is the caller's business (the program compares); this
//! keeps the tree balanced, as the textbooks do it.
//!
//! Must hold: 0 is no node; the root is black; a red node has black children; every path down has as many black nodes.
//! The shape is what the kernel's lib/rbtree.c gives for insertions, so programs compare as often as there.

use std::collections::BTreeMap;

#[derive(Clone, Copy, Default)]
struct Links {
    parent: u64,
    /// Left, right.
    child: [u64; 2],
    red: bool,
}

/// The tree.
#[derive(Default)]
pub(crate) struct Tree {
    root: u64,
    links: BTreeMap<u64, Links>,
}

fn some(node: u64) -> Option<u64> {
    (node != 0).then_some(node)
}

impl Tree {
    pub(crate) fn is_empty(&self) -> bool {
        self.root == 0
    }

    /// The node at the top.
    pub(crate) fn root(&self) -> Option<u64> {
        some(self.root)
    }

    /// A node's left or right child.
    pub(crate) fn child(&self, node: u64, right: bool) -> Option<u64> {
        some(self.get(node).child[usize::from(right)])
    }

    /// The leftmost node.
    pub(crate) fn first(&self) -> Option<u64> {
        self.end(self.root, 0)
    }

    fn end(&self, top: u64, side: usize) -> Option<u64> {
        let mut at = some(top)?;
        while let Some(next) = some(self.get(at).child[side]) {
            at = next;
        }
        Some(at)
    }

    /// All nodes from left to right.
    pub(crate) fn in_order(&self) -> Vec<u64> {
        let mut nodes = Vec::with_capacity(self.links.len());
        let mut next = self.first();
        while let Some(node) = next {
            nodes.push(node);
            next = self.successor(node);
        }
        nodes
    }

    fn successor(&self, node: u64) -> Option<u64> {
        if let Some(right) = self.child(node, true) {
            return self.end(right, 0);
        }
        let mut at = node;
        loop {
            let parent = some(self.get(at).parent)?;
            if self.get(parent).child[0] == at {
                return Some(parent);
            }
            at = parent;
        }
    }

    fn get(&self, node: u64) -> Links {
        self.links.get(&node).copied().unwrap_or_default()
    }

    fn set(&mut self, node: u64, change: impl FnOnce(&mut Links)) {
        if let Some(links) = self.links.get_mut(&node) {
            change(links);
        }
    }

    fn is_red(&self, node: u64) -> bool {
        self.get(node).red
    }

    fn paint(&mut self, node: u64, red: bool) {
        self.set(node, |n| n.red = red);
    }

    /// Which child of its parent a node is.
    fn side(&self, node: u64) -> usize {
        usize::from(self.get(self.get(node).parent).child[1] == node)
    }

    /// Puts `new` where `old` is below `parent`.
    fn replace_child(&mut self, parent: u64, old: u64, new: u64) {
        if parent == 0 {
            self.root = new;
        } else {
            let side = usize::from(self.get(parent).child[1] == old);
            self.set(parent, |n| n.child[side] = new);
        }
    }

    /// Turns a node down towards `side`; its other child comes up.
    fn rotate(&mut self, node: u64, side: usize) {
        let up = self.get(node).child[1 - side];
        let inner = self.get(up).child[side];
        let parent = self.get(node).parent;
        self.replace_child(parent, node, up);
        self.set(up, |n| (n.parent, n.child[side]) = (parent, node));
        self.set(node, |n| (n.parent, n.child[1 - side]) = (up, inner));
        self.set(inner, |n| n.parent = node);
    }

    /// Hangs a node at a free place; false if there is none.
    pub(crate) fn insert(&mut self, node: u64, parent: u64, left: bool) -> bool {
        let side = usize::from(!left);
        let free = if parent == 0 {
            self.root == 0
        } else {
            self.links.get(&parent).is_some_and(|p| p.child[side] == 0)
        };
        if !free || node == 0 || self.links.contains_key(&node) {
            return false;
        }
        self.links.insert(node, Links { parent, child: [0; 2], red: true });
        if parent == 0 {
            self.root = node;
        } else {
            self.set(parent, |n| n.child[side] = node);
        }
        self.balance_insert(node);
        true
    }

    fn balance_insert(&mut self, mut node: u64) {
        while self.is_red(self.get(node).parent) {
            let parent = self.get(node).parent;
            let grand = self.get(parent).parent;
            let side = self.side(parent);
            let uncle = self.get(grand).child[1 - side];
            if self.is_red(uncle) {
                self.paint(parent, false);
                self.paint(uncle, false);
                self.paint(grand, true);
                node = grand;
                continue;
            }
            let mut top = parent;
            if self.side(node) != side {
                self.rotate(parent, side);
                top = node;
            }
            self.paint(top, false);
            self.paint(grand, true);
            self.rotate(grand, 1 - side);
            break;
        }
        let root = self.root;
        self.paint(root, false);
    }

    /// Takes a node out.
    pub(crate) fn remove(&mut self, node: u64) {
        let Some(&links) = self.links.get(&node) else { return };
        let [left, right] = links.child;
        // What leaves its place, what moves into it, and below what that hangs then.
        let (black, moved, below);
        if left == 0 || right == 0 {
            moved = left | right;
            below = links.parent;
            black = !links.red;
            self.replace_child(links.parent, node, moved);
            self.set(moved, |n| n.parent = below);
        } else {
            let next = self.end(right, 0).unwrap_or(right);
            let next_links = self.get(next);
            moved = next_links.child[1];
            black = !next_links.red;
            below = if next == right { next } else { next_links.parent };
            if next != right {
                self.set(next_links.parent, |n| n.child[0] = moved);
                self.set(moved, |n| n.parent = next_links.parent);
                self.set(right, |n| n.parent = next);
                self.set(next, |n| n.child[1] = right);
            }
            self.replace_child(links.parent, node, next);
            self.set(left, |n| n.parent = next);
            self.set(next, |n| (n.parent, n.child[0], n.red) = (links.parent, left, links.red));
        }
        self.links.remove(&node);
        if black {
            self.balance_remove(moved, below);
        }
    }

    /// `node` (perhaps none) below `parent` has one black node too few above it.
    fn balance_remove(&mut self, mut node: u64, mut parent: u64) {
        while node != self.root && !self.is_red(node) {
            let side = usize::from(self.get(parent).child[1] == node && self.get(parent).child[0] != node);
            let mut sibling = self.get(parent).child[1 - side];
            if self.is_red(sibling) {
                self.paint(sibling, false);
                self.paint(parent, true);
                self.rotate(parent, side);
                sibling = self.get(parent).child[1 - side];
            }
            let far = |tree: &Tree, s: u64| tree.get(s).child[1 - side];
            let near = self.get(sibling).child[side];
            if !self.is_red(near) && !self.is_red(far(self, sibling)) {
                self.paint(sibling, true);
                node = parent;
                parent = self.get(node).parent;
                continue;
            }
            if !self.is_red(far(self, sibling)) {
                self.paint(near, false);
                self.paint(sibling, true);
                self.rotate(sibling, 1 - side);
                sibling = near;
            }
            let red = self.is_red(parent);
            self.paint(sibling, red);
            self.paint(parent, false);
            let outer = far(self, sibling);
            self.paint(outer, false);
            self.rotate(parent, side);
            break;
        }
        self.paint(node, false);
        let root = self.root;
        self.paint(root, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(tree: &mut Tree, node: u64) {
        let (mut parent, mut left, mut at) = (0, false, tree.root());
        while let Some(here) = at {
            (parent, left) = (here, node < here);
            at = tree.child(here, !left);
        }
        assert!(tree.insert(node, parent, left));
    }

    /// Black height; panics where a rule is broken.
    fn check(tree: &Tree, node: u64, parent: u64) -> u32 {
        if node == 0 {
            return 0;
        }
        let links = tree.get(node);
        assert_eq!(links.parent, parent);
        assert!(!(links.red && tree.is_red(parent)), "two red nodes in a row");
        let [a, b] = links.child.map(|child| check(tree, child, node));
        assert_eq!(a, b, "black heights differ");
        a + u32::from(!links.red)
    }

    #[test]
    fn stays_a_red_black_tree() {
        let (mut tree, mut have, mut seed) = (Tree::default(), std::collections::BTreeSet::new(), 1u64);
        for round in 0..4000 {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let node = 1 + (seed >> 33) % 200;
            if have.insert(node) {
                add(&mut tree, node);
            } else {
                have.remove(&node);
                tree.remove(node);
            }
            check(&tree, tree.root, 0);
            assert!(!tree.is_red(tree.root));
            assert_eq!(tree.in_order(), have.iter().copied().collect::<Vec<_>>(), "round {round}");
            assert_eq!(tree.first(), have.first().copied());
        }
        let rest: Vec<u64> = have.into_iter().collect();
        rest.iter().for_each(|&node| tree.remove(node));
        assert!(tree.is_empty() && tree.links.is_empty());
    }

    #[test]
    fn a_taken_place_is_refused() {
        let mut tree = Tree::default();
        assert!(!tree.insert(0, 0, true), "0 is no node");
        assert!(tree.insert(5, 0, false));
        assert!(!tree.insert(6, 0, false), "there is a root");
        assert!(!tree.insert(6, 9, false), "no such parent");
        assert!(tree.insert(6, 5, false));
        assert!(!tree.insert(7, 5, false), "taken");
        assert!(!tree.insert(6, 5, true), "in the tree already");
        tree.remove(99);
        assert_eq!(tree.in_order(), [5, 6]);
    }
}

//! Where values come from, and which of them matter.
//!
//! A path's safety often does not depend on a number: a counter that is only stored may be anything. The kernel finds out which
//! numbers matter by walking back the instructions ("precision"); here every value has a node that knows what it was
//! computed from, so that [`Nodes::mark`] follows the arrows instead. What must hold: when a number decided anything (a branch
//! taken for certain, a pointer's offset, a size), its node and all it came from are marked; a state that was seen is compared by the
//! numbers that are marked.

/// Where a value comes from.
#[derive(Clone, Copy, Debug)]
struct Node {
    /// Values it was computed from; 0: none.
    from: [u32; 2],
    /// What it was loaded through, which it does not depend on as a number. 0: none.
    via: u32,
    /// The instruction that made it.
    pc: u32,
    marked: bool,
}

/// All values of a verification. Node 0 is "nothing known of its origin".
#[derive(Debug)]
pub struct Nodes {
    nodes: Vec<Node>,
    work: Vec<u32>,
}

impl Default for Nodes {
    fn default() -> Nodes {
        let none = Node { from: [0; 2], via: 0, pc: 0, marked: false };
        Nodes { nodes: vec![none], work: Vec::new() }
    }
}

impl Nodes {
    /// A value made at `pc`.
    pub fn new_at(&mut self, pc: usize, from: [u32; 2], via: u32) -> u32 {
        self.nodes.push(Node { from, via, pc: pc as u32, marked: false });
        (self.nodes.len() - 1) as u32
    }

    /// The same value in another state.
    pub fn copy(&mut self, of: u32) -> u32 {
        let pc = self.nodes[of as usize].pc;
        self.new_at(pc as usize, [of, 0], 0)
    }

    /// The instruction that made a pointer a number, because what it pointed to was given back there.
    pub fn spoiled(&self, mut node: u32) -> Option<usize> {
        loop {
            let Node { from, via, pc, .. } = self.nodes[node as usize];
            match (from, via) {
                // The same value in another state.
                ([of, 0], 0) if of != 0 && self.nodes[of as usize].pc == pc => node = of,
                ([0, 0], via) if via != 0 => return Some(pc as usize),
                _ => return None,
            }
        }
    }

    /// Whether it matters.
    pub fn is_marked(&self, node: u32) -> bool {
        self.nodes[node as usize].marked
    }

    /// It matters, hence all it came from.
    pub fn mark(&mut self, node: u32) {
        self.work.push(node);
        while let Some(at) = self.work.pop() {
            let node = &mut self.nodes[at as usize];
            if at == 0 || node.marked {
                continue;
            }
            node.marked = true;
            self.work.extend(node.from.iter().filter(|n| **n != 0));
        }
    }

    /// Of pairs of a value that is kept and one of a path that was cut because of it: what matters there matters here. Whether that
    /// told anything.
    pub fn join(&mut self, pairs: &[(u32, u32)]) -> bool {
        let mut told = false;
        for (kept, cut) in pairs {
            if self.is_marked(*kept) && !self.is_marked(*cut) {
                self.mark(*cut);
                told = true;
            }
        }
        told
    }

    /// The instructions that made a value, ascending, at most `limit`, nearest first taken.
    pub fn slice(&self, node: u32, limit: usize) -> Vec<usize> {
        let mut seen = std::collections::BTreeSet::new();
        let mut out = std::collections::BTreeSet::new();
        let mut ring = std::collections::VecDeque::from([node]);
        while let Some(at) = ring.pop_front() {
            if at == 0 || out.len() >= limit || !seen.insert(at) {
                continue;
            }
            let node = self.nodes[at as usize];
            out.insert(node.pc as usize);
            ring.extend(node.from);
            ring.push_back(node.via);
        }
        out.into_iter().collect()
    }
}

//! Objects of programs' own (`bpf_obj_new`) and the lists and trees that own them.
//!
//! ```text
//!  bpf_obj_new ─► object (references: 1) ─┬─► bpf_obj_drop: one reference less, at 0 freed with all it owns
//!                                         ├─► linked into a list or tree: the root owns the reference
//!                                         └─► bpf_kptr_xchg into a map value: the map owns it
//! ```
//!
//! Must hold: links, owners and counts are kept here, not in program-visible memory, whose node and root fields stay as they
//! are (opaque to programs). A node is in at most one list or tree. Mirrors kernel/bpf/helpers.c, 7.3.

mod tree;

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use sextant_abi::{LocalType, Mem, SpecialField};

use crate::map::DroppedKptr;
use crate::{Errno, Vm};
pub(crate) use tree::Tree;

/// What `bpf_mem_alloc()` can give in one piece, bytes.
const MAX_UNIT: u32 = 4096;

/// Live objects and what links them.
#[derive(Default)]
pub(crate) struct Owned {
    /// By address.
    objects: BTreeMap<u64, Object>,
    /// Nodes of each list that is not empty, by the address of its head.
    lists: BTreeMap<u64, VecDeque<u64>>,
    /// Trees that are not empty, by the address of their root.
    trees: BTreeMap<u64, Tree>,
    /// Linked nodes: the address of the head or root.
    owners: BTreeMap<u64, u64>,
}

struct Object {
    ty: Rc<LocalType>,
    refs: u32,
}

/// Where a node goes in a list.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    Front,
    Back,
    After(u64),
}

impl Owned {
    /// The live object that a node lies in, if its type has that field there.
    fn container(&self, node: u64, want: SpecialField) -> Option<u64> {
        let (&start, object) = self.objects.range(..=node).next_back()?;
        let off = u32::try_from(node - start).ok()?;
        let at = object.ty.fields.binary_search_by_key(&off, |f| f.0).ok()?;
        (object.ty.fields[at].1 == want).then_some(start)
    }

    /// Takes a node out of whatever holds it.
    fn unlink(&mut self, node: u64) -> Option<u64> {
        let owner = self.owners.remove(&node)?;
        if let Some(list) = self.lists.get_mut(&owner)
            && let Some(at) = list.iter().position(|&n| n == node)
        {
            list.remove(at);
            if list.is_empty() {
                self.lists.remove(&owner);
            }
        } else if let Some(tree) = self.trees.get_mut(&owner) {
            tree.remove(node);
            if tree.is_empty() {
                self.trees.remove(&owner);
            }
        }
        Some(owner)
    }

    /// Empties a list or tree: its nodes, in order.
    fn drain(&mut self, root: u64) -> Vec<u64> {
        let mut nodes: Vec<u64> = self.lists.remove(&root).unwrap_or_default().into();
        nodes.extend(self.trees.remove(&root).map(|tree| tree.in_order()).unwrap_or_default());
        for node in &nodes {
            self.owners.remove(node);
        }
        nodes
    }

    fn list(&self, head: u64) -> Option<&VecDeque<u64>> {
        self.lists.get(&head)
    }
}

impl Vm {
    /// `bpf_obj_new`: a zeroed object with one reference. ENOMEM, also for a type without bytes and for one of more than the
    /// allocator's largest unit less its link (`bpf_mem_alloc()`).
    pub(crate) fn obj_new(&self, ty: &Rc<LocalType>) -> Result<u64, Errno> {
        if ty.size == 0 || ty.size > MAX_UNIT - 8 {
            return Err(Errno::ENOMEM);
        }
        self.new_object(ty)
    }

    fn new_object(&self, ty: &Rc<LocalType>) -> Result<u64, Errno> {
        let addr = self.region.heap_alloc(ty.size)?;
        self.owned.borrow_mut().objects.insert(addr, Object { ty: ty.clone(), refs: 1 });
        Ok(addr)
    }

    /// `bpf_percpu_obj_new`: zeroed copies for every CPU, one object. ENOMEM.
    pub(crate) fn percpu_obj_new(&self, ty: &LocalType) -> Result<u64, Errno> {
        if ty.size == 0 {
            return Err(Errno::ENOMEM);
        }
        let stride = ty.size.next_multiple_of(8);
        let all = Rc::new(LocalType { size: stride * self.cfg.nr_cpus, fields: Vec::new() });
        let addr = self.new_object(&all)?;
        let copies = crate::helper::PercpuCopies::apart(addr, stride.into(), self.cfg.nr_cpus);
        self.percpu.borrow_mut().insert(addr, copies);
        Ok(addr)
    }

    /// Whether a live object of a program's own starts there.
    pub(crate) fn is_object(&self, addr: u64) -> bool {
        self.owned.borrow().objects.contains_key(&addr)
    }

    /// Live objects of programs' own, for tests and statistics.
    pub fn nr_objects(&self) -> usize {
        self.owned.borrow().objects.len()
    }

    /// `bpf_refcount_acquire`: false if no live, counted object starts there.
    pub(crate) fn obj_acquire(&self, addr: u64) -> bool {
        let mut owned = self.owned.borrow_mut();
        let Some(object) = owned.objects.get_mut(&addr) else { return false };
        let counted = object.ty.fields.iter().any(|f| f.1 == SpecialField::Refcount);
        // Saturates, as refcount_t does.
        object.refs = object.refs.saturating_add(u32::from(counted));
        counted
    }

    /// One reference less; the last one frees the object and what it owns. False if no live object starts there.
    pub(crate) fn obj_drop(&self, addr: u64) -> bool {
        let live = self.is_object(addr);
        self.drop_objects(vec![addr]);
        live
    }

    fn drop_objects(&self, mut work: Vec<u64>) {
        while let Some(addr) = work.pop() {
            let Some(ty) = self.obj_put(addr) else { continue };
            self.percpu.borrow_mut().remove(&addr);
            self.end_fields(&ty.fields, addr, &mut work);
            self.region.heap_free(addr, ty.size);
        }
    }

    /// Takes one reference; the type when it was the last one.
    fn obj_put(&self, addr: u64) -> Option<Rc<LocalType>> {
        let mut owned = self.owned.borrow_mut();
        let object = owned.objects.get_mut(&addr)?;
        object.refs -= 1;
        if object.refs > 0 {
            return None;
        }
        let ty = owned.objects.remove(&addr)?.ty;
        // Only a program that no verifier saw drops an object that is still linked.
        for &(off, _) in &ty.fields {
            owned.unlink(addr + u64::from(off));
        }
        Some(ty)
    }

    /// Ends what the special fields of a dying map value own.
    pub(crate) fn drop_special(&self, fields: &[(u32, SpecialField)], base: u64) {
        let mut work = Vec::new();
        self.end_fields(fields, base, &mut work);
        self.drop_objects(work);
    }

    /// Ends what special fields own; objects that lose a reference go to `work`.
    fn end_fields(&self, fields: &[(u32, SpecialField)], base: u64, work: &mut Vec<u64>) {
        for &(off, field) in fields {
            let at = base + u64::from(off);
            match field {
                SpecialField::Timer => self.timer_drop(at),
                SpecialField::Wq => self.wq_drop(at),
                SpecialField::ListHead => self.end_root(at, SpecialField::ListNode, work),
                SpecialField::RbRoot => self.end_root(at, SpecialField::RbNode, work),
                SpecialField::Kptr { btf_id } => {
                    let addr = self.region.load(at, 8);
                    if addr == 0 {
                        continue;
                    }
                    self.region.store(at, 8, 0);
                    if self.is_object(addr) {
                        work.push(addr);
                    } else {
                        self.dropped_kptrs.borrow_mut().push(DroppedKptr { btf_id, addr });
                    }
                }
                _ => {}
            }
        }
    }

    fn end_root(&self, root: u64, node: SpecialField, work: &mut Vec<u64>) {
        let mut owned = self.owned.borrow_mut();
        let nodes = owned.drain(root);
        work.extend(nodes.into_iter().rev().filter_map(|n| owned.container(n, node)));
    }

    /// The object of a node, `None` if it is not the `want` field of a live one.
    pub(crate) fn node_container(&self, node: u64, want: SpecialField) -> Option<u64> {
        self.owned.borrow().container(node, want)
    }

    /// Whose a linked node is.
    pub(crate) fn node_owner(&self, node: u64) -> Option<u64> {
        self.owned.borrow().owners.get(&node).copied()
    }

    /// Links a node of a live object; EINVAL when it is linked already or `After` is not in this list.
    pub(crate) fn list_add(&self, head: u64, node: u64, place: Place) -> Result<(), Errno> {
        let mut owned = self.owned.borrow_mut();
        if owned.owners.contains_key(&node) {
            return Err(Errno::EINVAL);
        }
        let list = owned.lists.entry(head).or_default();
        let at = match place {
            Place::Front => Some(0),
            Place::Back => Some(list.len()),
            Place::After(prev) if prev == head => Some(0),
            Place::After(prev) => list.iter().position(|&n| n == prev).map(|at| at + 1),
        };
        match at {
            Some(at) => list.insert(at, node),
            None => {
                if list.is_empty() {
                    owned.lists.remove(&head);
                }
                return Err(Errno::EINVAL);
            }
        }
        owned.owners.insert(node, head);
        Ok(())
    }

    /// A list's end, not taken out.
    pub(crate) fn list_end(&self, head: u64, back: bool) -> Option<u64> {
        let owned = self.owned.borrow();
        let list = owned.list(head)?;
        if back { list.back().copied() } else { list.front().copied() }
    }

    /// Takes a node out of this list or tree; `None` if it is not in it.
    pub(crate) fn node_remove(&self, root: u64, node: u64) -> Option<u64> {
        let mut owned = self.owned.borrow_mut();
        if owned.owners.get(&node) != Some(&root) {
            return None;
        }
        owned.unlink(node).map(|_| node)
    }

    /// Asks a tree; an empty one is `None`.
    pub(crate) fn tree<T>(&self, root: u64, ask: impl FnOnce(&Tree) -> Option<T>) -> Option<T> {
        ask(self.owned.borrow().trees.get(&root)?)
    }

    /// Hangs a node below `parent` (0: it becomes the root). EINVAL when that place is taken or gone.
    pub(crate) fn tree_add(&self, root: u64, node: u64, parent: u64, left: bool) -> Result<(), Errno> {
        let mut owned = self.owned.borrow_mut();
        if owned.owners.contains_key(&node) {
            return Err(Errno::EINVAL);
        }
        let tree = owned.trees.entry(root).or_default();
        let done = tree.insert(node, parent, left);
        if tree.is_empty() {
            owned.trees.remove(&root);
        }
        if !done {
            return Err(Errno::EINVAL);
        }
        owned.owners.insert(node, root);
        Ok(())
    }
}

//! `bpf_obj_*`, `bpf_list_*`, `bpf_rbtree_*`; the state is [`crate::owned`]'s.

use std::rc::Rc;

use sextant_abi::{LocalType, SpecialField};

use crate::error::TrapKind;
use crate::exec::Exec;
use crate::map::Kind;
use crate::owned::Place;
use crate::{Access, Errno};

type Ret = Result<u64, TrapKind>;

/// Bytes of a list head and of a tree's root.
const ROOT_SIZE: u64 = 16;

/// The type is a constant; what it means came with the program.
pub(super) fn new(exec: &mut Exec<'_>, [type_id, ..]: [u64; 5]) -> Ret {
    let ty = local_type(exec, "bpf_obj_new", type_id)?;
    Ok(exec.vm.obj_new(&ty).unwrap_or(0))
}

fn local_type(exec: &Exec<'_>, kfunc: &'static str, id: u64) -> Result<Rc<LocalType>, TrapKind> {
    let types = &exec.prog.local_types;
    let found = u32::try_from(id).ok().and_then(|id| types.binary_search_by_key(&id, |t| t.0).ok());
    let at = found.ok_or(TrapKind::BadArg(kfunc, "not the type of a struct of this program's"))?;
    Ok(types[at].1.clone())
}

/// One for each CPU: the address of CPU 0's, good for `bpf_per_cpu_ptr` and `bpf_this_cpu_ptr`.
pub(super) fn percpu_new(exec: &mut Exec<'_>, [type_id, ..]: [u64; 5]) -> Ret {
    let ty = local_type(exec, "bpf_percpu_obj_new", type_id)?;
    Ok(exec.vm.percpu_obj_new(&ty).unwrap_or(0))
}

pub(super) fn percpu_drop(exec: &mut Exec<'_>, [object, ..]: [u64; 5]) -> Ret {
    match exec.vm.obj_drop(object) {
        true => Ok(0),
        false => Err(TrapKind::BadArg("bpf_percpu_obj_drop", "not a live object of this program's")),
    }
}

/// The program ends here, however deep it is in its calls, with the cookie as its result. DIVERGES: exception callbacks of a
/// program's own are not called.
pub(super) fn throw(exec: &mut Exec<'_>, [cookie, ..]: [u64; 5]) -> Ret {
    exec.thrown = Some(cookie);
    Err(TrapKind::BadInsn("bpf_throw"))
}

pub(super) fn drop(exec: &mut Exec<'_>, [object, ..]: [u64; 5]) -> Ret {
    match exec.vm.obj_drop(object) {
        true => Ok(0),
        false => Err(TrapKind::BadArg("bpf_obj_drop", "not a live object of this program's")),
    }
}

pub(super) fn acquire(exec: &mut Exec<'_>, [object, ..]: [u64; 5]) -> Ret {
    Ok(if exec.vm.obj_acquire(object) { object } else { 0 })
}

fn root(exec: &Exec<'_>, root: u64) -> Result<u64, TrapKind> {
    exec.region.check(root, ROOT_SIZE, Access::Write)?;
    Ok(root)
}

/// Adds the node, or drops its object when that cannot be.
fn add_list(exec: &mut Exec<'_>, head: u64, node: u64, place: Place) -> Ret {
    root(exec, head)?;
    let object = exec
        .vm
        .node_container(node, SpecialField::ListNode)
        .ok_or(TrapKind::BadArg("bpf_list_add", "not the list node of a live object"))?;
    let added = exec.vm.list_add(head, node, place);
    if added.is_err() {
        exec.vm.obj_drop(object);
    }
    super::status(added)
}

pub(super) fn push_front(exec: &mut Exec<'_>, [head, node, ..]: [u64; 5]) -> Ret {
    add_list(exec, head, node, Place::Front)
}

pub(super) fn push_back(exec: &mut Exec<'_>, [head, node, ..]: [u64; 5]) -> Ret {
    add_list(exec, head, node, Place::Back)
}

pub(super) fn list_add(exec: &mut Exec<'_>, [head, node, prev, ..]: [u64; 5]) -> Ret {
    add_list(exec, head, node, Place::After(prev))
}

fn end(exec: &mut Exec<'_>, head: u64, back: bool) -> Result<Option<u64>, TrapKind> {
    root(exec, head)?;
    Ok(exec.vm.list_end(head, back))
}

fn pop(exec: &mut Exec<'_>, head: u64, back: bool) -> Ret {
    let node = end(exec, head, back)?;
    Ok(node.and_then(|node| exec.vm.node_remove(head, node)).unwrap_or(0))
}

pub(super) fn pop_front(exec: &mut Exec<'_>, [head, ..]: [u64; 5]) -> Ret {
    pop(exec, head, false)
}

pub(super) fn pop_back(exec: &mut Exec<'_>, [head, ..]: [u64; 5]) -> Ret {
    pop(exec, head, true)
}

/// NULL when the node is not in this list.
pub(super) fn list_del(exec: &mut Exec<'_>, [head, node, ..]: [u64; 5]) -> Ret {
    root(exec, head)?;
    Ok(exec.vm.node_remove(head, node).unwrap_or(0))
}

pub(super) fn front(exec: &mut Exec<'_>, [head, ..]: [u64; 5]) -> Ret {
    Ok(end(exec, head, false)?.unwrap_or(0))
}

pub(super) fn back(exec: &mut Exec<'_>, [head, ..]: [u64; 5]) -> Ret {
    Ok(end(exec, head, true)?.unwrap_or(0))
}

pub(super) fn is_first(exec: &mut Exec<'_>, [head, node, ..]: [u64; 5]) -> Ret {
    Ok((end(exec, head, false)? == Some(node)).into())
}

pub(super) fn is_last(exec: &mut Exec<'_>, [head, node, ..]: [u64; 5]) -> Ret {
    Ok((end(exec, head, true)? == Some(node)).into())
}

pub(super) fn list_empty(exec: &mut Exec<'_>, [head, ..]: [u64; 5]) -> Ret {
    Ok(end(exec, head, false)?.is_none().into())
}

/// Walks down asking the program's `less(new, here)`, hangs the node there and balances. -EINVAL, and one reference less,
/// when the node is linked already.
pub(super) fn rbtree_add(exec: &mut Exec<'_>, [tree, node, less, ..]: [u64; 5]) -> Ret {
    root(exec, tree)?;
    let object = exec
        .vm
        .node_container(node, SpecialField::RbNode)
        .ok_or(TrapKind::BadArg("bpf_rbtree_add", "not the tree node of a live object"))?;
    if exec.vm.node_owner(node).is_some() {
        exec.vm.obj_drop(object);
        return Ok(Errno::EINVAL.ret());
    }
    let (mut parent, mut left) = (0, false);
    let mut at = exec.vm.tree(tree, |t| t.root());
    while let Some(here) = at {
        left = exec.callback(less, [node, here, 0, 0, 0])? != 0;
        parent = here;
        at = exec.vm.tree(tree, |t| t.child(here, !left));
    }
    match exec.vm.tree_add(tree, node, parent, left) {
        Ok(()) => Ok(0),
        Err(_) => Err(TrapKind::BadArg("bpf_rbtree_add", "the callback changed the tree")),
    }
}

/// NULL when the node is not in this tree.
pub(super) fn rbtree_remove(exec: &mut Exec<'_>, [tree, node, ..]: [u64; 5]) -> Ret {
    root(exec, tree)?;
    Ok(exec.vm.node_remove(tree, node).unwrap_or(0))
}

pub(super) fn rbtree_first(exec: &mut Exec<'_>, [tree, ..]: [u64; 5]) -> Ret {
    root(exec, tree)?;
    Ok(exec.vm.tree(tree, |t| t.first()).unwrap_or(0))
}

pub(super) fn rbtree_root(exec: &mut Exec<'_>, [tree, ..]: [u64; 5]) -> Ret {
    root(exec, tree)?;
    Ok(exec.vm.tree(tree, |t| t.root()).unwrap_or(0))
}

fn child(exec: &mut Exec<'_>, tree: u64, node: u64, right: bool) -> Ret {
    root(exec, tree)?;
    if exec.vm.node_owner(node) != Some(tree) {
        return Ok(0);
    }
    Ok(exec.vm.tree(tree, |t| t.child(node, right)).unwrap_or(0))
}

pub(super) fn rbtree_left(exec: &mut Exec<'_>, [tree, node, ..]: [u64; 5]) -> Ret {
    child(exec, tree, node, false)
}

pub(super) fn rbtree_right(exec: &mut Exec<'_>, [tree, node, ..]: [u64; 5]) -> Ret {
    child(exec, tree, node, true)
}

/// Elements of a hash map; 0 for map types that do not count.
pub(super) fn sum_elem_count(exec: &mut Exec<'_>, [map, ..]: [u64; 5]) -> Ret {
    let map = exec.vm.map_by_addr(map).ok_or(TrapKind::BadArg("bpf_map_sum_elem_count", "not a map"))?;
    Ok(match &map.kind {
        Kind::Hash(hash) => hash.borrow().elems().len() as u64,
        _ => 0,
    })
}

/// Only the verifier's view of a pointer changes.
pub(super) fn cast(_: &mut Exec<'_>, [pointer, ..]: [u64; 5]) -> Ret {
    Ok(pointer)
}

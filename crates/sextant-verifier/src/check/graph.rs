//! Lists and trees of owned objects: nodes are added and taken out while the lock beside the root is held. Mirrors
//! `process_kf_arg_ptr_to_list_node()` and its kin in kernel/bpf/verifier.c, 7.3.

use sextant_abi::tables::KfuncId;
use sextant_bpf::btf::TypeId;

use super::callback::Form;
use super::kfunc::Told;
use super::lock::Holder;
use super::reg::{ALLOC, NON_OWN, OR_NULL, RCU, Reg, Ty, UNTRUSTED, What};
use super::state::{Callback, RefKind};
use super::*;
use crate::fields::FieldKind;
use crate::range::Scalar;

/// A root: where it is, what it holds.
#[derive(Clone, Copy)]
struct Root {
    ty: TypeId,
    node: u32,
}

/// Whose a node must be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Node {
    /// The program's, which gives it away.
    Owned,
    /// The program's or the list's.
    Any,
    /// The tree's, or one with a reference.
    InTree,
}

impl Env<'_> {
    /// The graph kfuncs. `None`: not one of them.
    pub(super) fn graph_call(&mut self, id: KfuncId, _told: &Told) -> Res<Option<Next>> {
        use KfuncId as K;
        let pc = self.st.pc;
        match id {
            K::bpf_rbtree_add | K::bpf_rbtree_add_impl => {
                let root = self.root(true)?;
                let func = self.func_arg(3)?;
                let node = self.node_arg(2, root, Node::Owned)?;
                let arg = Reg {
                    s: Scalar::constant(root.node.into()),
                    ..Reg::ptr(What::Obj(Ty::Local(root.ty)), ALLOC | self.non_owning(root.ty))
                };
                let less = Callback { ret: (0, 1), is_async: false, is_less: true, held: 0 };
                self.run_callback(func, Form { args: vec![arg, arg], callback: less })?;
                self.st.top_mut().callback_depth = 0;
                self.given(node)?;
                self.finish_number();
            }
            K::bpf_list_push_front
            | K::bpf_list_push_front_impl
            | K::bpf_list_push_back
            | K::bpf_list_push_back_impl
            | K::bpf_list_add => {
                let root = self.root(false)?;
                let node = self.node_arg(2, root, Node::Owned)?;
                if id == K::bpf_list_add {
                    self.node_arg(3, root, Node::Any)?;
                }
                self.given(node)?;
                self.finish_number();
            }
            K::bpf_rbtree_remove | K::bpf_list_del => {
                let tree = id == K::bpf_rbtree_remove;
                let root = self.root(tree)?;
                self.node_arg(2, root, if tree { Node::InTree } else { Node::Any })?;
                self.finish_node(root, true);
            }
            K::bpf_list_pop_front | K::bpf_list_pop_back => {
                let root = self.root(false)?;
                self.finish_node(root, true);
            }
            K::bpf_rbtree_first | K::bpf_rbtree_root | K::bpf_rbtree_left | K::bpf_rbtree_right => {
                let root = self.root(true)?;
                if matches!(id, K::bpf_rbtree_left | K::bpf_rbtree_right) {
                    self.node_arg(2, root, Node::InTree)?;
                }
                self.finish_node(root, false);
            }
            K::bpf_list_front | K::bpf_list_back => {
                let root = self.root(false)?;
                self.finish_node(root, false);
            }
            K::bpf_list_empty | K::bpf_list_is_first | K::bpf_list_is_last => {
                let root = self.root(false)?;
                if id != K::bpf_list_empty {
                    self.node_arg(2, root, Node::Any)?;
                }
                self.finish_number();
            }
            _ => return Ok(None),
        }
        Ok(Some(Next::Goto(pc + 1)))
    }

    /// The root in r1; the lock beside it is held.
    fn root(&mut self, tree: bool) -> Res<Root> {
        let name = if tree { "bpf_rb_root" } else { "bpf_list_head" };
        let (holder, kind) = self.field_arg(1, name, Holder::Owner, |k| match k {
            FieldKind::RbRoot(..) => tree,
            FieldKind::ListHead(..) => !tree,
            _ => false,
        })?;
        let id = if holder.ref_id != 0 { holder.ref_id } else { holder.id };
        if holder.what.is_obj() && !self.st.refs.iter().any(|r| r.id == holder.ref_id) {
            return refuse_reg(Code::Owned, 1, "allocated object must be referenced");
        }
        // Any lock of those held, of the allocation that the root is in.
        let mut held = self.st.refs.iter().filter_map(|r| r.kind.lock()).peekable();
        let any = held.peek().is_some();
        if !held.any(|lock| lock.what == holder.what && lock.id == id) {
            let text = if any {
                format!("held lock and object are not in the same allocation ({name})")
            } else {
                format!("bpf_spin_lock at off must be held for {name}")
            };
            return refuse_reg(Code::Owned, 1, text);
        }
        match kind {
            FieldKind::RbRoot(ty, node) | FieldKind::ListHead(ty, node) => Ok(Root { ty, node }),
            _ => refuse_reg(Code::ArgType, 1, format!("R1 is no {name}")),
        }
    }

    /// The node in argument `n`: of the root's kind, at its place in the struct, and ours or the graph's as the kfunc wants it.
    fn node_arg(&mut self, n: u8, root: Root, wanted: Node) -> Res<Reg> {
        let reg = self.read(n)?;
        if reg.has(OR_NULL) {
            return self.null_arg(n, &reg);
        }
        let referenced = self.st.refs.iter().any(|r| r.id == reg.ref_id);
        let shared = reg.has(NON_OWN) && reg.has(ALLOC) && !reg.has(UNTRUSTED);
        let owned = reg.type_flags() == ALLOC && reg.what.is_obj();
        let good = match wanted {
            Node::Owned => owned && referenced,
            Node::Any => (shared && !referenced) || (owned && referenced),
            Node::InTree => shared || (reg.what.is_obj() && referenced),
        };
        if !good {
            let text = match wanted {
                Node::InTree => format!("R{n} can only be a non-owning or refcounted bpf_rb_node pointer"),
                _ if owned => "allocated object must be referenced".into(),
                _ => format!("R{n} expected pointer to allocated object"),
            };
            return refuse_reg(Code::Owned, n, text);
        }
        let fits = matches!(reg.what, What::Obj(Ty::Local(id)) if self.same_local(id, root.ty))
            && reg.offset() == Some(root.node.into());
        if !fits {
            let text = format!(
                "operation on graph expects arg#{} node at offset={} in struct {}, but arg is {}",
                n - 1,
                root.node,
                self.ty_name(Ty::Local(root.ty)),
                self.describe(&reg)
            );
            return refuse_reg(Code::Owned, n, text);
        }
        Ok(reg)
    }

    fn same_local(&self, a: TypeId, b: TypeId) -> bool {
        a == b || self.prog.btf.is_some_and(|btf| btf.name(a) == btf.name(b) && !btf.name(a).is_empty())
    }

    /// The node belongs to the graph now: the program's pointers to it are good until the lock is released.
    fn given(&mut self, node: Reg) -> Res {
        self.forget_ref(node.ref_id)?;
        let What::Obj(Ty::Local(ty)) = node.what else { return Ok(()) };
        let flags = self.non_owning(ty);
        self.st.each_reg(|r| {
            if r.ref_id == node.ref_id && r.is_ptr() {
                r.ref_id = 0;
                r.flags |= flags;
            }
        });
        Ok(())
    }

    /// The flags of a pointer to a node that the graph owns: one with a reference count is freed only after an RCU grace period.
    fn non_owning(&self, ty: TypeId) -> u16 {
        let counted = self.fields_of(ty).any(|k| k == FieldKind::Refcount);
        if counted { NON_OWN | RCU } else { NON_OWN }
    }

    fn finish_number(&mut self) {
        self.clobber();
        let result = self.number(Scalar::UNKNOWN);
        self.set(0, result);
    }

    fn finish_node(&mut self, root: Root, owned: bool) {
        let via = self.st.reg(1).node;
        self.clobber();
        let (id, ref_id, flags) = if owned {
            let id = self.acquire(RefKind::Object);
            (id, id, ALLOC)
        } else {
            (self.fresh_id(), 0, ALLOC | self.non_owning(root.ty))
        };
        let node = self.node([0, 0], via);
        let s = Scalar::constant(root.node.into());
        let reg = Reg { id, ref_id, node, s, ..Reg::ptr(What::Obj(Ty::Local(root.ty)), flags | OR_NULL) };
        self.set(0, reg);
    }
}

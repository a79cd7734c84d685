//! Lists and trees of owned objects: nodes are added and taken out while the lock beside the root is held. Mirrors
//! `process_kf_arg_ptr_to_list_node()` and its kin in kernel/bpf/verifier.c, 7.3.

use sextant_abi::tables::KfuncId;
use sextant_bpf::btf::TypeId;

use super::callback::Form;
use super::kfunc::Told;
use super::reg::{ALLOC, NON_OWN, OR_NULL, Reg, Ty, What};
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

impl Env<'_> {
    /// The graph kfuncs. `None`: not one of them.
    pub(super) fn graph_call(&mut self, id: KfuncId, _told: &Told) -> Res<Option<Next>> {
        use KfuncId as K;
        let pc = self.st.pc;
        match id {
            K::bpf_rbtree_add | K::bpf_rbtree_add_impl => {
                let root = self.root(true)?;
                let func = self.func_arg(3)?;
                let node = self.node_arg(2, root, true)?;
                let arg = Reg {
                    s: Scalar::constant(root.node.into()),
                    ..Reg::ptr(What::Obj(Ty::Local(root.ty)), ALLOC | NON_OWN)
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
                let node = self.node_arg(2, root, true)?;
                self.given(node)?;
                self.finish_number();
            }
            K::bpf_rbtree_remove | K::bpf_list_del => {
                let root = self.root(id == K::bpf_rbtree_remove)?;
                self.node_arg(2, root, false)?;
                self.finish_node(root, true);
            }
            K::bpf_list_pop_front | K::bpf_list_pop_back => {
                let root = self.root(false)?;
                self.finish_node(root, true);
            }
            K::bpf_rbtree_first | K::bpf_rbtree_root | K::bpf_rbtree_left | K::bpf_rbtree_right => {
                let root = self.root(true)?;
                if matches!(id, K::bpf_rbtree_left | K::bpf_rbtree_right) {
                    self.node_arg(2, root, false)?;
                }
                self.finish_node(root, false);
            }
            K::bpf_list_front | K::bpf_list_back => {
                let root = self.root(false)?;
                self.finish_node(root, false);
            }
            K::bpf_list_empty | K::bpf_list_is_first | K::bpf_list_is_last => {
                self.root(false)?;
                self.finish_number();
            }
            _ => return Ok(None),
        }
        Ok(Some(Next::Goto(pc + 1)))
    }

    /// The root in r1; the lock beside it is held.
    fn root(&mut self, tree: bool) -> Res<Root> {
        let name = if tree { "bpf_rb_root" } else { "bpf_list_head" };
        let (holder, kind) = self.field_arg(1, name, |k| match k {
            FieldKind::RbRoot(..) => tree,
            FieldKind::ListHead(..) => !tree,
            _ => false,
        })?;
        let id = if holder.ref_id != 0 { holder.ref_id } else { holder.id };
        match self.st.lock() {
            Some(lock) if lock.what == holder.what && lock.id == id => {}
            Some(_) => {
                let text = format!("held lock and object are not in the same allocation ({name})");
                return refuse_reg(Code::Owned, 1, text);
            }
            None => {
                let text = format!("bpf_spin_lock at off must be held for {name}");
                return refuse_reg(Code::Owned, 1, text);
            }
        }
        match kind {
            FieldKind::RbRoot(ty, node) | FieldKind::ListHead(ty, node) => Ok(Root { ty, node }),
            _ => refuse_reg(Code::ArgType, 1, format!("R1 is no {name}")),
        }
    }

    /// The node in argument `n`: owned when it is added, in the graph when it is taken out.
    fn node_arg(&mut self, n: u8, root: Root, owned: bool) -> Res<Reg> {
        let reg = self.read(n)?;
        if reg.has(OR_NULL) {
            return self.null_arg(n, &reg);
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
        if owned {
            if reg.ref_id == 0 || reg.has(NON_OWN) || !reg.has(ALLOC) {
                return refuse_reg(
                    Code::Owned,
                    n,
                    format!("arg#{} expected pointer to allocated object", n - 1),
                );
            }
        } else if !reg.has(NON_OWN) {
            return refuse_reg(
                Code::Owned,
                n,
                "node must be a non-owning reference from the same tree or list",
            );
        }
        Ok(reg)
    }

    fn same_local(&self, a: TypeId, b: TypeId) -> bool {
        a == b || self.prog.btf.is_some_and(|btf| btf.name(a) == btf.name(b) && !btf.name(a).is_empty())
    }

    /// The node belongs to the graph now: the program's pointers to it are good until the lock is released.
    fn given(&mut self, node: Reg) -> Res {
        self.forget_ref(node.ref_id)?;
        self.st.each_reg(|r| {
            if r.ref_id == node.ref_id && r.is_ptr() {
                r.ref_id = 0;
                r.flags |= NON_OWN;
            }
        });
        Ok(())
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
            (self.fresh_id(), 0, ALLOC | NON_OWN)
        };
        let node = self.node([0, 0], via);
        let s = Scalar::constant(root.node.into());
        let reg = Reg { id, ref_id, node, s, ..Reg::ptr(What::Obj(Ty::Local(root.ty)), flags | OR_NULL) };
        self.set(0, reg);
    }
}

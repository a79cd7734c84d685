//! Objects of the program's own: allocated, counted, in lists, in a tree, owned by a map; and references to the kernel's.

use sextant_abi::tables::{HelperId as H, KfuncId as K};
use sextant_bpf::opcode::{Cond, Size};

use super::mem::Span;
use super::{Gen, HELD};
use crate::asm::{Form, FuncId, Src};
use crate::world::{KPTR_AT, LIST_AT, NODE_LIST, NODE_TREE, Of, ROOTS_DATA, TREE_AT};

impl Gen<'_> {
    pub(super) fn object(&mut self) {
        match self.rng.below(11) {
            10 => self.percpu(),
            0 => self.plain(),
            1 => self.kptr(),
            2 => self.task_ref(),
            3 | 4 => {
                self.list_add();
                if self.rng.coin() {
                    self.list_take();
                }
            }
            5 => self.list_take(),
            6 | 7 => self.tree_add(),
            _ => self.tree_take(),
        }
    }

    /// r0 = a new object, or NULL: then it leaves for `none`.
    fn new_object(&mut self, ty: u32, none: crate::asm::Label) {
        let old = self.rng.below(3) == 0;
        self.asm.imm(1, ty as i32);
        if old {
            self.asm.imm(2, 0);
        }
        self.kfunc(if old { K::bpf_obj_new_impl } else { K::bpf_obj_new });
        self.asm.jump_null(0, none);
        self.asm.store(Size::Dw, 10, HELD, Src::Reg(0));
    }

    /// Drops the object in r1.
    fn drop_object(&mut self) {
        let old = self.rng.below(3) == 0;
        if old {
            self.asm.imm(2, 0);
        }
        if !self.slip() {
            self.kfunc(if old { K::bpf_obj_drop_impl } else { K::bpf_obj_drop });
        }
    }

    fn plain(&mut self) {
        let none = self.asm.label();
        let counted = self.rng.coin();
        let ty = if counted { self.world.node.0 } else { self.world.plain.0 };
        self.new_object(ty, none);
        self.asm.mov(2, 0);
        let len = if counted { 8 } else { 16 };
        self.access(2, Span::of(0, len));
        if counted {
            let old = self.rng.below(3) == 0;
            let same = self.asm.label();
            self.asm.ldx(1, 10, HELD);
            if old {
                self.asm.imm(2, 0);
            }
            self.kfunc(if old { K::bpf_refcount_acquire_impl } else { K::bpf_refcount_acquire });
            self.asm.jump_null(0, same);
            self.asm.mov(1, 0);
            self.drop_object();
            self.asm.bind(same);
        } else if self.rng.coin() {
            self.inner(false, true);
        }
        self.asm.ldx(1, 10, HELD);
        self.drop_object();
        self.asm.bind(none);
    }

    /// An object for each CPU.
    fn percpu(&mut self) {
        let (none, old) = (self.asm.label(), self.rng.below(3) == 0);
        self.asm.imm(1, self.world.plain.0 as i32);
        if old {
            self.asm.imm(2, 0);
        }
        self.kfunc(if old { K::bpf_percpu_obj_new_impl } else { K::bpf_percpu_obj_new });
        self.asm.jump_null(0, none);
        self.asm.store(Size::Dw, 10, HELD, Src::Reg(0));
        for _ in 0..2 {
            let (this, cpu) = (self.rng.coin(), self.rng.below(4) as i32);
            self.asm.ldx(1, 10, HELD);
            self.asm.imm(2, cpu);
            self.helper(if this { H::this_cpu_ptr } else { H::per_cpu_ptr });
            let skip = self.unless_null(0);
            self.asm.mov(2, 0);
            self.access(2, Span::of(0, 16));
            self.asm.bind(skip);
        }
        self.asm.ldx(1, 10, HELD);
        if old {
            self.asm.imm(2, 0);
        }
        if !self.slip() {
            self.kfunc(if old { K::bpf_percpu_obj_drop_impl } else { K::bpf_percpu_obj_drop });
        }
        self.asm.bind(none);
    }

    fn kptr(&mut self) {
        let (none, old) = (self.asm.label(), self.asm.label());
        if self.rng.coin() {
            self.new_object(self.world.plain.0, none);
            self.asm.mov(2, 0);
        } else {
            self.asm.imm(2, 0);
        }
        self.value_addr(1, Of::Roots, KPTR_AT as u32);
        self.helper(H::kptr_xchg);
        self.asm.jump_null(0, old);
        self.asm.mov(1, 0);
        let x = self.num();
        self.asm.ldx(x, 1, 8);
        self.drop_object();
        self.asm.bind(old);
        self.asm.bind(none);
    }

    fn task_ref(&mut self) {
        let none = self.asm.label();
        if self.syscall || !self.here.main {
            let pid = self.rng.below(3) as i32;
            self.asm.imm(1, pid);
            self.kfunc(K::bpf_task_from_pid);
        } else {
            self.asm.mov(1, 9);
            self.kfunc(K::bpf_task_acquire);
        }
        self.asm.jump_null(0, none);
        self.asm.store(Size::Dw, 10, HELD, Src::Reg(0));
        self.inner(false, true);
        self.asm.ldx(1, 10, HELD);
        if !self.slip() {
            self.kfunc(K::bpf_task_release);
        }
        self.asm.bind(none);
    }

    fn lock_roots(&mut self) {
        self.value_addr(1, Of::Roots, 0);
        self.helper(H::spin_lock);
    }

    fn unlock_roots(&mut self) {
        self.value_addr(1, Of::Roots, 0);
        self.helper(H::spin_unlock);
    }

    fn list_add(&mut self) {
        let none = self.asm.label();
        self.new_object(self.world.node.0, none);
        let num = self.num();
        self.asm.store(Size::Dw, 0, 0, Src::Reg(num));
        self.lock_roots();
        self.value_addr(1, Of::Roots, LIST_AT as u32);
        self.asm.ldx(2, 10, HELD);
        self.asm.add(2, NODE_LIST);
        let push = self.rng.of(&[
            K::bpf_list_push_front,
            K::bpf_list_push_back,
            K::bpf_list_push_front_impl,
            K::bpf_list_push_back_impl,
        ]);
        if matches!(push, K::bpf_list_push_front_impl | K::bpf_list_push_back_impl) {
            self.asm.imm(3, 0);
            self.asm.imm(4, 0);
        }
        self.kfunc(push);
        self.ordinary_bytes();
        self.unlock_roots();
        self.asm.bind(none);
    }

    /// Under the lock: the value's bytes behind the roots.
    fn ordinary_bytes(&mut self) {
        self.value_addr(2, Of::Roots, 0);
        self.access(2, Span::of(ROOTS_DATA, Of::Roots.value() - ROOTS_DATA));
    }

    /// Takes a node out and drops it; or looks at one.
    fn list_take(&mut self) {
        let (none, empty) = (self.asm.label(), self.asm.label());
        self.lock_roots();
        self.value_addr(1, Of::Roots, LIST_AT as u32);
        match self.rng.below(3) {
            0 => {
                let look = self.rng.of(&[K::bpf_list_front, K::bpf_list_back]);
                self.kfunc(look);
                let skip = self.unless_null(0);
                let x = self.num();
                self.asm.ldx(x, 0, -NODE_LIST as i16);
                let ask = self.rng.of(&[K::bpf_list_is_first, K::bpf_list_is_last, K::bpf_list_del]);
                self.asm.mov(2, 0);
                self.value_addr(1, Of::Roots, LIST_AT as u32);
                self.kfunc(ask);
                if ask == K::bpf_list_del {
                    self.asm.store(Size::Dw, 10, HELD, Src::Reg(0));
                    self.unlock_roots();
                    self.drop_node(NODE_LIST, none);
                    let long = self.rng.coin();
                    self.asm.ja(long, none);
                }
                self.asm.bind(skip);
                self.unlock_roots();
            }
            1 => {
                self.kfunc(K::bpf_list_empty);
                self.result();
                self.unlock_roots();
            }
            _ => {
                let pop = self.rng.of(&[K::bpf_list_pop_front, K::bpf_list_pop_back]);
                self.kfunc(pop);
                self.asm.store(Size::Dw, 10, HELD, Src::Reg(0));
                self.unlock_roots();
                self.drop_node(NODE_LIST, none);
            }
        }
        self.asm.bind(empty);
        self.asm.bind(none);
    }

    /// Drops the object whose node, or NULL, is in `HELD`.
    fn drop_node(&mut self, node: i32, none: crate::asm::Label) {
        self.asm.ldx(1, 10, HELD);
        self.asm.jump(Cond::Eq, true, 1, Src::Imm(0), none);
        let x = self.num();
        self.asm.ldx(x, 1, -node as i16);
        self.asm.add(1, -node);
        self.drop_object();
    }

    fn less(&mut self) -> FuncId {
        let (cond, key) = (self.rng.of(&[Cond::Lt, Cond::Slt, Cond::Ge]), -NODE_TREE as i16);
        self.function(
            Some(Form::Less),
            |_| {},
            |g| {
                let no = g.asm.label();
                g.asm.ldx(1, 1, key);
                g.asm.ldx(2, 2, key);
                g.asm.imm(0, 0);
                g.asm.jump(cond, true, 1, Src::Reg(2), no);
                g.asm.imm(0, 1);
                g.asm.bind(no);
            },
            |_| {},
        )
    }

    fn tree_add(&mut self) {
        let none = self.asm.label();
        let less = self.less();
        self.new_object(self.world.node.0, none);
        let num = self.num();
        self.asm.store(Size::Dw, 0, 0, Src::Reg(num));
        self.lock_roots();
        self.value_addr(1, Of::Roots, TREE_AT as u32);
        self.asm.ldx(2, 10, HELD);
        self.asm.add(2, NODE_TREE);
        self.asm.func(3, less);
        let old = self.rng.coin();
        if old {
            self.asm.imm(4, 0);
            self.asm.imm(5, 0);
        }
        self.kfunc(if old { K::bpf_rbtree_add_impl } else { K::bpf_rbtree_add });
        self.unlock_roots();
        self.asm.bind(none);
    }

    fn tree_take(&mut self) {
        let none = self.asm.label();
        self.lock_roots();
        self.value_addr(1, Of::Roots, TREE_AT as u32);
        let first = self.rng.of(&[K::bpf_rbtree_first, K::bpf_rbtree_root]);
        self.kfunc(first);
        let skip = self.unless_null(0);
        let x = self.num();
        self.asm.ldx(x, 0, -NODE_TREE as i16);
        self.asm.mov(2, 0);
        self.value_addr(1, Of::Roots, TREE_AT as u32);
        if self.rng.coin() {
            let child = self.rng.of(&[K::bpf_rbtree_left, K::bpf_rbtree_right]);
            self.kfunc(child);
            let leaf = self.unless_null(0);
            self.asm.ldx(x, 0, -NODE_TREE as i16);
            self.asm.bind(leaf);
        } else {
            self.kfunc(K::bpf_rbtree_remove);
            self.asm.store(Size::Dw, 10, HELD, Src::Reg(0));
            self.unlock_roots();
            self.drop_node(NODE_TREE, none);
            let long = self.rng.coin();
            self.asm.ja(long, none);
        }
        self.asm.bind(skip);
        self.unlock_roots();
        self.asm.bind(none);
    }
}

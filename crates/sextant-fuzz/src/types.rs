//! The programs' BTF: what they allocate, what lies in the values of the maps, and the type of their functions.

use sextant_bpf::btf::{Btf, Builder, IntEncoding, Kind, Member, Param, TypeId};

use crate::world::{
    KPTR_AT, LIST_AT, NODE_LIST, NODE_REF, NODE_SIZE, NODE_TREE, Of, RES_DATA, ROOTS_DATA, TIMER_AT,
    TIMERS_DATA, TREE_AT, WQ_AT,
};

/// The BTF and what the world needs to know of it.
pub(crate) struct Own {
    pub(crate) btf: Btf,
    pub(crate) node: TypeId,
    pub(crate) plain: TypeId,
    pub(crate) funcs: [TypeId; 3],
    pub(crate) values: (TypeId, Vec<Option<TypeId>>),
}

/// A builder with the types that others are made of.
struct Types {
    b: Builder,
    u64_: TypeId,
    u32_: TypeId,
}

impl Types {
    /// A struct of the kernel's own, of which programs know the size alone.
    fn opaque(&mut self, name: &str, size: u32) -> TypeId {
        let elem = if size < 8 { self.u32_ } else { self.u64_ };
        self.structure(name, size, &[("opaque", elem, 0)])
    }

    /// Members by name, type, and offset in bytes.
    fn structure(&mut self, name: &str, size: u32, parts: &[(&str, TypeId, u32)]) -> TypeId {
        let members = parts
            .iter()
            .map(|&(name, ty, at)| Member { name: self.b.str(name), ty, bit_offset: at * 8, bits: 0 })
            .collect();
        self.b.add(name, Kind::Struct { union: false, size, members })
    }

    fn tag(&mut self, text: &str, ty: TypeId, component: i32) {
        self.b.add(text, Kind::DeclTag { ty, component, attribute: false });
    }

    /// Static; global of a struct and a number; the same with a tag that says the struct is there.
    fn functions(&mut self, plain: TypeId) -> [TypeId; 3] {
        let proto = self.b.add("", Kind::FuncProto { ret: self.u64_, params: Vec::new() });
        let part = self.b.add("part", Kind::Func { proto, linkage: 0 });
        let ptr = self.b.add("", Kind::Ptr(plain));
        let params = [("p", ptr), ("n", self.u64_)].map(|(name, ty)| Param { name: self.b.str(name), ty });
        let proto = self.b.add("", Kind::FuncProto { ret: self.u64_, params: params.to_vec() });
        let [may, never] =
            ["may_be_null", "never_null"].map(|name| self.b.add(name, Kind::Func { proto, linkage: 1 }));
        self.tag("arg:nonnull", never, 0);
        [part, may, never]
    }

    /// The values with special fields, by map.
    fn values(&mut self, plain: TypeId) -> Vec<Option<TypeId>> {
        let (u64_, lock) = (self.u64_, self.opaque("bpf_spin_lock", 4));
        let (timer, wq) = (self.opaque("bpf_timer", 16), self.opaque("bpf_wq", 16));
        let parts =
            [("lock", lock, 0), ("timer", timer, TIMER_AT), ("wq", wq, WQ_AT), ("x", u64_, TIMERS_DATA)];
        let timers =
            self.structure("timers", Of::Timers.value() as u32, &parts.map(|(n, t, at)| (n, t, at as u32)));
        let (root, head) = (self.opaque("bpf_rb_root", 16), self.opaque("bpf_list_head", 16));
        let kptr = self.b.add("kptr", Kind::TypeTag { ty: plain, attribute: false });
        let kptr = self.b.add("", Kind::Ptr(kptr));
        let parts = [
            ("lock", lock, 0),
            ("tree", root, TREE_AT),
            ("list", head, LIST_AT),
            ("own", kptr, KPTR_AT),
            ("x", u64_, ROOTS_DATA),
        ];
        let roots =
            self.structure("roots", Of::Roots.value() as u32, &parts.map(|(n, t, at)| (n, t, at as u32)));
        self.tag("contains:node:tree", roots, 1);
        self.tag("contains:node:list", roots, 2);
        let lock = self.opaque("bpf_res_spin_lock", 4);
        let parts = [("lock", lock, 0), ("x", u64_, RES_DATA as u32)];
        let res_lock = self.structure("res_lock", Of::ResLock.value() as u32, &parts);
        let stored = self.structure("stored", 24, &[("x", u64_, 0)]);
        let value = |map: u32| match map {
            _ if map == Of::Timers.id() => Some(timers),
            _ if map == Of::Roots.id() => Some(roots),
            _ if map == Of::ResLock.id() => Some(res_lock),
            _ if map == Of::TaskStorage.id() || map == Of::CgrpStorage.id() => Some(stored),
            _ => None,
        };
        (1..=Of::ResLock.id()).map(value).collect()
    }
}

/// Makes the BTF.
pub(crate) fn own_types() -> Own {
    let mut b = Builder::new();
    let encoding = IntEncoding::UNSIGNED;
    let u64_ = b.add("long long", Kind::Int { size: 8, encoding, offset: 0, bits: 64 });
    let u32_ = b.add("int", Kind::Int { size: 4, encoding, offset: 0, bits: 32 });
    let mut t = Types { b, u64_, u32_ };
    let (tree, list) = (t.opaque("bpf_rb_node", 32), t.opaque("bpf_list_node", 24));
    let count = t.opaque("bpf_refcount", 4);
    let parts = [
        ("key", u64_, 0),
        ("tree", tree, NODE_TREE as u32),
        ("list", list, NODE_LIST as u32),
        ("refs", count, NODE_REF),
    ];
    let node = t.structure("node", NODE_SIZE, &parts);
    let plain = t.structure("plain", 16, &[("a", u64_, 0), ("b", u64_, 8)]);
    let values = (u32_, t.values(plain));
    let funcs = t.functions(plain);
    Own { btf: t.b.finish().expect("BTF of our own is well-formed"), node, plain, funcs, values }
}

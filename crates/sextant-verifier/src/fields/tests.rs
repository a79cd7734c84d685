//! Broken values, one for each rule of `btf_parse_fields()`, and the error that the kernel has for it.

use sextant_bpf::btf::{Btf, Builder, IntEncoding, Kind, Member, SecVar, TypeId};

use super::*;

/// Types that the values are made of.
struct Types {
    b: Builder,
    int: TypeId,
    u64: TypeId,
}

/// A member: its name, type and offset in bytes.
type At<'a> = (&'a str, TypeId, u32);

impl Types {
    fn new() -> Types {
        let mut b = Builder::new();
        let int = |size: u32| Kind::Int { size, encoding: IntEncoding(0), offset: 0, bits: size as u8 * 8 };
        let (word, wide) = (b.add("int", int(4)), b.add("u64", int(8)));
        Types { b, int: word, u64: wide }
    }

    fn structure(&mut self, name: &str, size: u32, members: &[At<'_>]) -> TypeId {
        let members = members.iter().map(|(name, ty, at)| Member {
            name: self.b.str(name),
            ty: *ty,
            bit_offset: at * 8,
            bits: 0,
        });
        let members = members.collect();
        self.b.add(name, Kind::Struct { union: false, size, members })
    }

    /// A struct of the kernel's that is a special field.
    fn special(&mut self, name: &str, size: u32) -> TypeId {
        let ty = if size == 4 { self.int } else { self.u64 };
        self.structure(name, size, &[("__opaque", ty, 0)])
    }

    fn array(&mut self, elem: TypeId, nelems: u32) -> TypeId {
        let index = self.int;
        self.b.add("", Kind::Array { elem, index, nelems })
    }

    fn pointer(&mut self, tags: &[&str], to: TypeId) -> TypeId {
        let tag = |to, tag: &&str| self.b.add(tag, Kind::TypeTag { ty: to, attribute: false });
        let to = tags.iter().fold(to, tag);
        self.b.add("", Kind::Ptr(to))
    }

    fn contains(&mut self, owner: TypeId, component: i32, what: &str) {
        let tag = Kind::DeclTag { ty: owner, component, attribute: false };
        self.b.add(&format!("contains:{what}"), tag);
    }

    fn done(self) -> Btf {
        self.b.finish().expect("a BTF")
    }
}

/// A kernel that knows two structs: one can be owned by a map, the other cannot.
fn kernel() -> Btf {
    let mut t = Types::new();
    let int = t.int;
    t.structure("task_struct", 8, &[("pid", int, 0)]);
    t.structure("rq", 8, &[("nr_running", int, 0)]);
    t.done()
}

/// What becomes of a value: the error number, or how many special fields it has.
fn value(make: impl FnOnce(&mut Types) -> TypeId) -> Result<usize, i32> {
    let mut t = Types::new();
    let ty = make(&mut t);
    let btf = t.done();
    let fields = SpecialFields::parse(&btf, ty, Holder::MapValue, Some(&kernel())).map_err(|e| e.errno)?;
    fields.fixup(&btf, &kernel()).map_err(|e| e.errno)?;
    Ok(fields.0.len())
}

#[test]
fn one_of_each_kind() {
    let fields = value(|t| {
        let (lock, timer) = (t.special("bpf_spin_lock", 4), t.special("bpf_timer", 16));
        let (wq, refs) = (t.special("bpf_wq", 16), t.special("bpf_refcount", 4));
        let task = t.structure("task_struct", 8, &[]);
        let kptr = t.pointer(&["kptr"], task);
        let at = [("l", lock, 0), ("r", refs, 4), ("t", timer, 8), ("w", wq, 24), ("k", kptr, 40)];
        t.structure("value", 48, &at)
    });
    assert_eq!(fields, Ok(5));
}

#[test]
fn a_second_one_of_a_kind_of_which_there_is_one() {
    for (name, size) in [("bpf_spin_lock", 4), ("bpf_res_spin_lock", 4), ("bpf_timer", 16), ("bpf_wq", 16)] {
        let two = value(|t| {
            let field = t.special(name, size);
            t.structure("value", 32, &[("a", field, 0), ("b", field, 16)])
        });
        assert_eq!(two, Err(7), "{name}: -E2BIG");
        let array = value(|t| {
            let field = t.special(name, size);
            let array = t.array(field, 2);
            t.structure("value", size * 2, &[("a", array, 0)])
        });
        assert_eq!(array, Err(22), "an array of {name}: -EINVAL");
    }
}

#[test]
fn both_kinds_of_locks() {
    let both = value(|t| {
        let (lock, res) = (t.special("bpf_spin_lock", 4), t.special("bpf_res_spin_lock", 4));
        t.structure("value", 8, &[("a", lock, 0), ("b", res, 4)])
    });
    assert_eq!(both, Err(22));
}

#[test]
fn fields_that_overlap() {
    let over = value(|t| {
        let (lock, timer) = (t.special("bpf_spin_lock", 4), t.special("bpf_timer", 16));
        t.structure("value", 24, &[("t", timer, 8), ("l", lock, 8)])
    });
    assert_eq!(over, Err(17), "-EEXIST");
}

/// A value with a list: `tag` says what it contains, `node` is the type of the nodes' member.
fn listed(lock: bool, tag: Option<&str>, node: &str) -> Result<usize, i32> {
    value(|t| {
        let node = t.special(node, 24);
        t.structure("node", 32, &[("n", node, 0)]);
        let (head, l) = (t.special("bpf_list_head", 16), t.special("bpf_spin_lock", 4));
        let ty = match lock {
            true => t.structure("value", 24, &[("l", l, 0), ("h", head, 8)]),
            false => t.structure("value", 24, &[("l", t.int, 0), ("h", head, 8)]),
        };
        if let Some(tag) = tag {
            t.contains(ty, 1, tag);
        }
        ty
    })
}

#[test]
fn roots() {
    assert_eq!(listed(true, Some("node:n"), "bpf_list_node"), Ok(2));
    assert_eq!(listed(false, Some("node:n"), "bpf_list_node"), Err(22), "no lock");
    assert_eq!(listed(true, None, "bpf_list_node"), Err(22), "no tag");
    assert_eq!(listed(true, Some("node"), "bpf_list_node"), Err(22), "no member");
    assert_eq!(listed(true, Some("gone:n"), "bpf_list_node"), Err(2), "no such struct");
    assert_eq!(listed(true, Some("node:m"), "bpf_list_node"), Err(2), "no such member");
    assert_eq!(listed(true, Some("node:n"), "bpf_rb_node"), Err(22), "a node of a tree");
}

#[test]
fn pointers() {
    let of = |tags: &'static [&'static str], name: &'static str, declared: bool| {
        value(move |t| {
            let to = match declared {
                true => t.b.add(name, Kind::Fwd { union: false }),
                false => t.structure(name, 8, &[]),
            };
            let kptr = t.pointer(tags, to);
            t.structure("value", 8, &[("k", kptr, 0)])
        })
    };
    assert_eq!(of(&["kptr"], "task_struct", false), Ok(1));
    assert_eq!(of(&["kptr"], "task_struct", true), Err(22), "only declared");
    assert_eq!(of(&["kptr"], "rq", false), Err(2), "nothing destroys it");
    assert_eq!(of(&["kptr_untrusted"], "rq", false), Ok(1));
    assert_eq!(of(&["kptr"], "mine", false), Ok(1));
    assert_eq!(of(&["kptr", "percpu_kptr"], "mine", false), Err(22), "two tags");
    assert_eq!(of(&["uptr"], "mine", false), Ok(1));
    assert_eq!(of(&["uptr"], "task_struct", false), Err(22), "a uptr into the kernel");
    assert_eq!(of(&["user"], "mine", true), Ok(0), "none of our tags");
}

#[test]
fn elements_of_arrays_count_one_by_one() {
    let many = |n: u32| {
        value(move |t| {
            let task = t.structure("task_struct", 8, &[]);
            let kptr = t.pointer(&["kptr"], task);
            let array = t.array(kptr, n);
            t.structure("value", 8 * n, &[("k", array, 0)])
        })
    };
    assert_eq!(many(11), Ok(11));
    assert_eq!(many(12), Err(7));
}

#[test]
fn a_variable_is_as_large_as_its_section_says() {
    let section = |size: u32| {
        value(move |t| {
            let lock = t.special("bpf_spin_lock", 4);
            let var = t.b.add("lock", Kind::Var { ty: lock, linkage: 1 });
            t.b.add(".bss", Kind::DataSec { size: 8, vars: vec![SecVar { var, offset: 0, size }] })
        })
    };
    assert_eq!(section(4), Ok(1));
    assert_eq!(section(8), Ok(0));
}

/// Structs that own one another, each the next, `n` of them.
fn chain(n: usize, circle: bool) -> Result<(), i32> {
    let mut t = Types::new();
    let ids: Vec<TypeId> = (0..n).map(|_| t.b.reserve()).collect();
    let refs = t.special("bpf_refcount", 4);
    for (i, id) in ids.iter().enumerate() {
        let next = ids.get(i + 1).copied().or(circle.then_some(ids[0]));
        let kptr = next.map(|next| t.pointer(&["kptr"], next));
        let member = |t: &mut Types, name: &str, ty, at: u32| Member {
            name: t.b.str(name),
            ty,
            bit_offset: at * 8,
            bits: 0,
        };
        let mut members = vec![member(&mut t, "refs", refs, 0)];
        members.extend(kptr.map(|kptr| member(&mut t, "next", kptr, 8)));
        t.b.set(*id, &format!("s{i}"), Kind::Struct { union: false, size: 16, members });
    }
    check_objects(&t.done(), &kernel()).map_err(|(_, error)| error.errno)
}

#[test]
fn what_owns_what_ends() {
    assert_eq!(chain(8, false), Ok(()));
    assert_eq!(chain(9, false), Err(40));
    assert_eq!(chain(2, true), Err(40));
}

#[test]
fn a_node_of_both_kinds_needs_a_refcount() {
    let mut t = Types::new();
    let (list, tree) = (t.special("bpf_list_node", 24), t.special("bpf_rb_node", 32));
    t.structure("node", 56, &[("l", list, 0), ("r", tree, 24)]);
    let error = check_objects(&t.done(), &kernel()).expect_err("no refcount");
    assert_eq!(error.1.errno, 22);
}

//! The BTF reader and writer against a BTF of every kind, mutations of it, and real ones where there are any.

use std::path::Path;

use object::{Object, ObjectSection};
use sextant_bpf::btf::{
    Btf, BtfError, Builder, Enumerator, IntEncoding, Kind, KindTag, MAX_RESOLVE_DEPTH, Member, Param, SecVar,
    Str, TypeId, ext,
};

struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

fn int(b: &mut Builder, name: &str, size: u32, encoding: IntEncoding) -> TypeId {
    b.add(name, Kind::Int { size, encoding, offset: 0, bits: (size * 8) as u8 })
}

/// One of every kind.
fn every_kind() -> Btf {
    let mut b = Builder::new();
    let u32_ = int(&mut b, "u32", 4, IntEncoding::UNSIGNED);
    let char_ = int(&mut b, "char", 1, IntEncoding::SIGNED);
    let konst = b.add("", Kind::Const(char_));
    let text = b.add("", Kind::Ptr(konst));
    let array = b.add("", Kind::Array { elem: u32_, index: u32_, nelems: 4 });
    let (x, y, raw, tail, flag) = (b.str("x"), b.str("y"), b.str("raw"), b.str("tail"), b.str("flag"));
    let plain = |name, ty, bit_offset| Member { name, ty, bit_offset, bits: 0 };
    let union = b.add(
        "",
        Kind::Struct { union: true, size: 8, members: vec![plain(x, u32_, 0), plain(raw, text, 0)] },
    );
    let this = b.next_id();
    let ptr = TypeId(this.0 + 1);
    let members = vec![
        plain(y, array, 0),
        plain(Str(0), union, 128),
        plain(tail, ptr, 192),
        Member { name: flag, ty: u32_, bit_offset: 259, bits: 3 },
    ];
    b.add("foo", Kind::Struct { union: false, size: 40, members });
    b.add("", Kind::Ptr(this));
    let alias = b.add("foo_t", Kind::Typedef(this));
    b.add("", Kind::Volatile(alias));
    b.add("", Kind::Restrict(ptr));
    let (a, c, big) = (b.str("A"), b.str("B"), b.str("BIG"));
    let values = vec![Enumerator { name: a, value: 0 }, Enumerator { name: c, value: -7i64 as u64 }];
    b.add("e", Kind::Enum { wide: false, size: 4, signed: true, values });
    let values = vec![Enumerator { name: big, value: 1 << 63 }];
    b.add("e64", Kind::Enum { wide: true, size: 8, signed: false, values });
    b.add("later", Kind::Fwd { union: true });
    let p = b.str("p");
    let params = vec![Param { name: p, ty: ptr }, Param { name: Str(0), ty: TypeId::VOID }];
    let proto = b.add("", Kind::FuncProto { ret: u32_, params });
    let func = b.add("do_it", Kind::Func { proto, linkage: 1 });
    let var = b.add("counter", Kind::Var { ty: array, linkage: 0 });
    b.add(".bss", Kind::DataSec { size: 16, vars: vec![SecVar { var, offset: 0, size: 16 }] });
    b.add("double", Kind::Float { size: 8 });
    b.add("bpf_kfunc", Kind::DeclTag { ty: func, component: -1, attribute: false });
    let tagged = b.add("rcu", Kind::TypeTag { ty: this, attribute: false });
    b.add("", Kind::Ptr(tagged));
    let fp = b.add("", Kind::Ptr(proto));
    b.add("", Kind::Array { elem: fp, index: u32_, nelems: 2 });
    b.finish().unwrap()
}

#[test]
fn bytes_and_back() {
    let btf = every_kind();
    assert_eq!(Btf::parse(&btf.to_bytes()).unwrap(), btf);
}

#[test]
fn queries() {
    let btf = every_kind();
    let foo = btf.find("foo", KindTag::Struct).unwrap();
    let alias = btf.find("foo_t", KindTag::Typedef).unwrap();
    assert_eq!(btf.find("foo", KindTag::Union), None);
    assert_eq!(btf.resolve(alias), Ok(foo));
    assert_eq!(btf.size_of(alias), Ok(40));
    assert_eq!(btf.size_of(btf.find("counter", KindTag::Var).unwrap()), Ok(16));
    assert_eq!(btf.size_of(TypeId::VOID), Err(BtfError::NoSize { id: TypeId::VOID }));
    let names: Vec<&str> = btf.fields(foo).unwrap().iter().map(|f| btf.str(f.name)).collect();
    assert_eq!(names, ["y", "x", "raw", "tail", "flag"]);
    assert_eq!(btf.field(foo, "raw").unwrap().unwrap().byte_offset(), 16);
    assert_eq!(btf.field(foo, "flag").unwrap().unwrap().bits, 3);
    assert_eq!(btf.field(foo, "nope").unwrap(), None);
    assert_eq!(btf.enumerator("B"), Some(-7i64 as u64));
    assert_eq!(btf.enumerator("BIG"), Some(1 << 63));
    let func = btf.find("do_it", KindTag::Func).unwrap();
    assert_eq!(btf.decl_tags(func).collect::<Vec<_>>(), [("bpf_kfunc", -1)]);
}

#[test]
fn types_read_as_c() {
    let btf = every_kind();
    let texts: Vec<String> = btf.types().map(|(id, _)| btf.declare(id, "")).collect();
    for expected in [
        "const char *",
        "u32 [4]",
        "union {…}",
        "struct foo *",
        "foo_t",
        "volatile foo_t",
        "struct foo *restrict",
        "enum e",
        "union later",
        "u32 (struct foo *p, ...)",
        "u32 do_it(struct foo *p, ...)",
        "u32 counter[4]",
        "double",
        "u32 (*)(struct foo *p, ...)",
        "u32 (*[2])(struct foo *p, ...)",
    ] {
        assert!(texts.iter().any(|t| t == expected), "no `{expected}` in {texts:#?}");
    }
    let foo = btf.find("foo", KindTag::Struct).unwrap();
    assert_eq!(btf.declare(btf.members(foo)[0].ty, "y"), "u32 y[4]");
}

#[test]
fn loops_are_errors_not_hangs() {
    let mut b = Builder::new();
    let one = b.reserve();
    let two = b.add("t", Kind::Typedef(one));
    b.set(one, "", Kind::Const(two));
    let array = b.reserve();
    b.set(array, "", Kind::Array { elem: array, index: array, nelems: 2 });
    let own = b.reserve();
    let inside = Member { name: Str(0), ty: own, bit_offset: 0, bits: 0 };
    b.set(own, "s", Kind::Struct { union: false, size: 8, members: vec![inside; 9] });
    let proto = b.reserve();
    let params = vec![Param { name: Str(0), ty: proto }; 50];
    b.set(proto, "", Kind::FuncProto { ret: proto, params });
    let btf = b.finish().unwrap();
    assert_eq!(btf.resolve(one), Err(BtfError::Depth { id: one }));
    assert!(btf.size_of(array).is_err());
    assert!(btf.fields(own).is_err());
    for id in [one, array, own, proto] {
        assert!(btf.declare(id, "x").len() < 3000, "{}", MAX_RESOLVE_DEPTH);
    }
}

#[test]
fn errors_name_the_type() {
    let good = every_kind().to_bytes();
    let error = |data: &[u8]| Btf::parse(data).unwrap_err().to_string();
    assert_eq!(error(&good[..10]), "BTF header: shorter than 24 bytes");
    assert_eq!(error(&[0; 24]), "BTF header: wrong magic, this is not BTF");
    let with = |at: usize, word: u32| {
        let mut data = good.clone();
        data[at..at + 4].copy_from_slice(&word.to_le_bytes());
        error(&data)
    };
    assert!(with(0, 0x01_9feb).starts_with("BTF header: big-endian"));
    assert_eq!(with(12, u32::MAX), "BTF header: type section beyond the data");
    assert_eq!(with(16, u32::MAX), "BTF header: string section beyond the data");
    assert_eq!(with(24, 99_999), "BTF type 1: invalid name at string offset 99999");
    assert_eq!(with(28, 99 << 24), "BTF type 1: unknown kind 99");
    assert_eq!(
        with(28, 4 << 24 | 0xffff),
        format!("BTF type 1: cut off at byte {} of the type section", len_of(&good))
    );
    assert_eq!(with(32, 3), "BTF type 1: INT of a size that is not 1, 2, 4, 8 or 16");
}

fn len_of(data: &[u8]) -> u32 {
    u32::from_le_bytes(data[12..16].try_into().unwrap())
}

/// Asks everything there is to ask.
fn exercise(btf: &Btf) {
    for (id, ty) in btf.types() {
        let _ = (btf.name(id), btf.size_of(id), btf.fields(id), btf.type_name(id), btf.field(id, "a.b"));
        let _ = btf.find(btf.str(ty.name), ty.kind.tag());
    }
    let again = Btf::parse(&btf.to_bytes()).unwrap();
    assert_eq!(again.len(), btf.len());
}

#[test]
fn mutated_input_never_panics() {
    let good = every_kind().to_bytes();
    let mut rng = Rng(0x5e47_a417_0001);
    let mut accepted = 0;
    for _ in 0..20_000 {
        let mut data = good.clone();
        for _ in 0..1 + rng.below(4) {
            let at = rng.below(data.len());
            data[at] = if rng.below(2) == 0 { rng.next() as u8 } else { data[at] ^ (1 << rng.below(8)) };
        }
        if rng.below(8) == 0 {
            data.truncate(rng.below(data.len()));
        }
        if let Ok(btf) = Btf::parse(&data) {
            accepted += 1;
            exercise(&btf);
        }
        let _ = ext::Ext::parse(&data);
        let _ = ext::func_info(&data, rng.below(20) as u32);
    }
    assert!(accepted > 100, "the mutations are too wild to reach the queries: {accepted}");
}

fn kernel_dir() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/kernel-examples")
}

#[test]
fn a_real_kernels_btf() {
    let Ok(data) = std::fs::read(kernel_dir().join("vmlinux.btf")) else {
        println!("SKIPPED a_real_kernels_btf: no target/kernel-examples (cargo xtask kernel-examples)");
        return;
    };
    let btf = Btf::parse(&data).unwrap();
    let task = btf.find("task_struct", KindTag::Struct).unwrap();
    let field = btf.field(task, "scx.dsq_vtime").unwrap().unwrap();
    assert_eq!(btf.type_name(field.ty), "u64");
    assert_eq!(Btf::parse(&btf.to_bytes()).unwrap(), btf);
    let kick = btf.find("scx_bpf_kick_cpu", KindTag::Func).unwrap();
    assert_eq!(btf.type_name(kick), "void scx_bpf_kick_cpu(s32 cpu, u64 flags)");
}

#[test]
fn real_objects() {
    let mut seen = 0;
    for dir in ["examples", "selftests"] {
        let Ok(entries) = std::fs::read_dir(kernel_dir().join(dir)) else { continue };
        for path in entries.map(|e| e.unwrap().path()).filter(|p| p.to_string_lossy().ends_with(".bpf.o")) {
            let file = std::fs::read(&path).unwrap();
            let elf = object::File::parse(&*file).unwrap();
            let section = |name| elf.section_by_name(name).unwrap().data().unwrap();
            let btf = Btf::parse(section(".BTF")).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            exercise(&btf);
            let ext =
                ext::Ext::parse(section(".BTF.ext")).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            assert!(!ext.funcs.is_empty(), "{}", path.display());
            for s in &ext.funcs {
                let start = ext.func_at(&btf, btf.str(s.name), 0).expect("a function at the section's start");
                assert_eq!(btf.kind(start).tag(), KindTag::Func);
            }
            seen += 1;
        }
    }
    if seen == 0 {
        println!("SKIPPED real_objects: no target/kernel-examples (cargo xtask kernel-examples)");
    }
}

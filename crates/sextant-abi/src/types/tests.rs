//! Layout against gcc, accessors over a Vec-backed memory, and what an encoder relies on.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::Command;

use super::declare::kernel_types;
use super::*;
use crate::mem::{Mem, ObjKind};
use crate::units::CpuId;
use crate::{CpuMaskBits, tables::kconfig::NR_CPUS};

/// Types with every difficulty of layout; not all of their accessors are used.
#[allow(dead_code)]
mod tricky {
    use super::super::ctype::*;
    use super::kernel_types;

    kernel_types! {
        /// Bit fields that share, straddle and end units.
        pub struct Tricky = "tricky" {
            a: U8,
            b: UInt : 3,
            c: UInt : 22,
            d: UInt : 1,
            e: U64 : 40,
            f: UInt : 12,
            g: UShort,
            h: U8 : 7,
            i: U8 : 2,
            j: Array<Char, 3>,
            (anon) k: TrickyUnion,
            l: Bool,
            m: Array<U32, 0>,
        }

        /// An anonymous union with a struct inside.
        pub union TrickyUnion = "" {
            wide: U64,
            parts: TrickyParts,
            byte: U8,
        }

        /// Padded at its end.
        pub struct TrickyParts = "tricky_parts" {
            x: U32,
            y: U64,
            z: U8,
        }
    }
}

use tricky::{TYPES, Tricky};

struct VecMem(RefCell<Vec<u8>>);

impl VecMem {
    fn new(size: usize) -> Self {
        Self(RefCell::new(vec![0; size]))
    }
}

impl Mem for VecMem {
    fn load(&self, addr: u64, size: u32) -> u64 {
        let mut bytes = [0; 8];
        self.read_bytes(addr, &mut bytes[..size as usize]);
        u64::from_le_bytes(bytes)
    }
    fn store(&self, addr: u64, size: u32, val: u64) {
        self.write_bytes(addr, &val.to_le_bytes()[..size as usize]);
    }
    fn read_bytes(&self, addr: u64, out: &mut [u8]) {
        out.copy_from_slice(&self.0.borrow()[addr as usize..][..out.len()]);
    }
    fn write_bytes(&self, addr: u64, data: &[u8]) {
        self.0.borrow_mut()[addr as usize..][..data.len()].copy_from_slice(data);
    }
    fn alloc(&self, _: ObjKind, _: u32) -> u64 {
        unreachable!("tests place objects themselves")
    }
    fn try_alloc(&self, _: ObjKind, _: u32) -> Option<u64> {
        unreachable!("tests place objects themselves")
    }
    fn free(&self, _: ObjKind, _: u64, _: u32) {}
}

/// Writes the declaration of a type expression around `inner`, inside out.
fn declare(ty: TypeRef, inner: String) -> String {
    match ty {
        TypeRef::Void => format!("void {inner}"),
        TypeRef::Int(name, ..) => format!("{name} {inner}"),
        TypeRef::Ptr(to) => match to.strip() {
            TypeRef::Func(_) | TypeRef::Array(..) => declare(*to, format!("(*{inner})")),
            _ => declare(*to, format!("*{inner}")),
        },
        TypeRef::Const(of) | TypeRef::Volatile(of) | TypeRef::TypeTag(_, of) | TypeRef::Typedef(_, of) => {
            declare(*of, inner)
        }
        TypeRef::Array(of, n) => declare(*of, format!("{inner}[{n}]")),
        TypeRef::Struct(name) => format!("struct {name} {inner}"),
        TypeRef::Union(name) => format!("union {name} {inner}"),
        TypeRef::Enum(name) => format!("enum {name} {inner}"),
        TypeRef::Anon(desc) => format!("{} {inner}", body(desc)),
        TypeRef::Func(proto) => {
            let params: Vec<_> = proto.params.iter().map(|p| declare(p.ty, String::new())).collect();
            let params = if params.is_empty() { "void".into() } else { params.join(", ") };
            declare(proto.ret, format!("{inner}({params})"))
        }
    }
}

fn body(desc: &TypeDesc) -> String {
    let (keyword, members) = match desc.body {
        Body::Struct(members) => ("struct", members),
        Body::Union(members) => ("union", members),
        Body::Enum { values, .. } => {
            let list: Vec<_> = values.iter().map(|(name, value)| format!("{name} = {value:#x}")).collect();
            return format!("enum {} {{ {} }}", desc.name, list.join(", "));
        }
    };
    let mut text = format!("{keyword} {} {{ ", desc.name);
    for m in members {
        let bits = if m.bits > 0 { format!(" : {}", m.bits) } else { String::new() };
        // `data` of a struct_ops value is the one member with an alignment of its own.
        let align = if desc.name.starts_with("bpf_struct_ops_sched") && m.name == "data" {
            " __attribute__((aligned(64)))"
        } else {
            ""
        };
        let _ = write!(text, "{}{bits}{align}; ", declare(m.ty, m.name.into()));
    }
    text + "}"
}

/// The descriptions in an order in which each comes after what it holds by value.
fn in_order(mut descs: Vec<TypeDesc>) -> Vec<TypeDesc> {
    fn needs(ty: TypeRef, out: &mut Vec<&'static str>) {
        match ty.strip() {
            TypeRef::Struct(name) | TypeRef::Union(name) | TypeRef::Enum(name) => out.push(name),
            TypeRef::Array(of, _) => needs(*of, out),
            TypeRef::Anon(desc) => desc.members().iter().for_each(|m| needs(m.ty, out)),
            _ => {}
        }
    }
    let mut done = Vec::<TypeDesc>::new();
    while !descs.is_empty() {
        let before = descs.len();
        descs.retain(|desc| {
            let mut names = Vec::new();
            desc.members().iter().for_each(|m| needs(m.ty, &mut names));
            let ready = names.iter().all(|name| done.iter().any(|d| d.name == *name));
            if ready {
                done.push(*desc);
            }
            !ready
        });
        assert!(
            descs.len() < before,
            "by value and not declared: {:?}",
            descs.iter().map(|d| d.name).collect::<Vec<_>>()
        );
    }
    done
}

#[test]
fn layout_is_that_of_gcc() {
    let named: Vec<_> =
        all_types().iter().chain(TYPES).filter(|desc| !desc.name.is_empty()).copied().collect();
    let mut text = String::from("typedef _Bool bool_t;\n");
    for desc in in_order(named) {
        // A member keeps a prototype's struct from being local to it.
        let _ = writeln!(text, "{};", body(&desc));
        let Body::Struct(members) = desc.body else { continue };
        let tag = desc.name;
        let _ = writeln!(text, "_Static_assert(sizeof(struct {tag}) == {}, \"size of {tag}\");", desc.size);
        let _ = writeln!(
            text,
            "_Static_assert(_Alignof(struct {tag}) == {}, \"alignment of {tag}\");",
            desc.align
        );
        for m in members.iter().filter(|m| m.bits == 0 && !m.name.is_empty()) {
            let (name, at) = (m.name, m.bit_offset / 8);
            let _ = writeln!(
                text,
                "_Static_assert(__builtin_offsetof(struct {tag}, {name}) == {at}, \"{tag}.{name}\");"
            );
        }
    }
    let dir = std::env::temp_dir().join(format!("sextant-abi-layout-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join("layout.c");
    std::fs::write(&file, text).unwrap();
    let out =
        Command::new("cc").args(["-std=gnu11", "-fsyntax-only", "-w", "-Wno-error"]).arg(&file).output();
    let Ok(out) = out else {
        println!("SKIPPED layout_is_that_of_gcc: no C compiler `cc`");
        return;
    };
    assert!(out.status.success(), "{}\nin {}", String::from_utf8_lossy(&out.stderr), file.display());
    std::fs::remove_dir_all(&dir).unwrap();
}

/// Bit positions as gcc 12 -m64 gives them (found by writing each field and looking at the bytes).
#[test]
fn bit_fields_are_placed_as_in_c() {
    let at = |name| Tricky::DESC.member(name).map(|m| m.bit_offset);
    assert_eq!(at("b"), Some(8)); // right behind the u8, in the same unsigned int
    assert_eq!(at("c"), Some(32)); // 22 bits do not fit into bits 11..32
    assert_eq!(at("d"), Some(54));
    assert_eq!(at("e"), Some(64)); // 40 bits from 55 would cross the u64
    assert_eq!(at("f"), Some(104)); // 104..116 fits
    assert_eq!(at("g"), Some(128)); // an ordinary member starts at its alignment: bits 116..128 are lost
    assert_eq!(at("h"), Some(144));
    assert_eq!(at("i"), Some(152)); // 2 bits do not fit into the byte
    assert_eq!(at("j"), Some(160));
    assert_eq!(at(""), Some(192));
    assert_eq!(at("l"), Some(384));
    assert_eq!((Tricky::SIZE, Tricky::offset_of("m")), (56, 52));
}

#[test]
fn bit_fields_keep_their_neighbours() {
    let mem = VecMem::new(64);
    mem.write_bytes(0, &[0xff; 64]);
    let t = Tricky::at(0);
    t.e().set(&mem, 0x12_3456_789a);
    t.b().set(&mem, 2);
    t.i().set(&mem, 5); // cut to 2 bits
    t.d().set(&mem, 0);
    t.c().set(&mem, u32::MAX); // cut to 22 bits, which end at `d`
    assert_eq!((t.e().get(&mem), t.b().get(&mem), t.i().get(&mem)), (0x12_3456_789a, 2, 1));
    assert_eq!((t.a().get(&mem), t.c().get(&mem), t.d().get(&mem)), (0xff, 0x3f_ffff, 0));
    assert_eq!((t.f().get(&mem), t.g().get(&mem), t.h().get(&mem)), (0xfff, 0xffff, 0x7f));
}

#[test]
fn accessors_reach_nested_and_pointed_to_members() {
    let mem = VecMem::new(65536);
    let p = TaskStruct::at(1024);
    p.scx().slice().set(&mem, 20_000_000);
    p.scx().disallow().set(&mem, true);
    p.pid().set(&mem, -7);
    p.comm().set_str(&mem, "a name longer than fifteen");
    p.in_iowait().set(&mem, 1);
    assert_eq!(
        mem.load(1024 + (TaskStruct::offset_of("scx") + SchedExtEntity::offset_of("slice")) as u64, 8),
        20_000_000
    );
    assert!(p.scx().disallow().get(&mem));
    assert_eq!((p.pid().get(&mem), p.tgid().get(&mem), p.in_iowait().get(&mem)), (-7, 0, 1));
    assert_eq!(p.comm().get_str(&mem), "a name longer t");

    p.cpus_ptr().set(&mem, p.cpus_mask().addr());
    p.cpus_mask().set_cpu(&mem, 130);
    assert!(p.cpus_ptr().deref(&mem).test_cpu(&mem, 130) && p.cpus(&mem).first(&mem, 200) == 130);

    let rq = Rq::at(32768);
    rq.running().curr().set(&mem, p.addr());
    assert_eq!(rq.running().donor().deref(&mem), p);

    let root = Cgroup::at(49152);
    root.ancestors().at(0).set(&mem, root.addr());
    assert_eq!(root.ancestors().at(0).deref(&mem), root);
    assert_eq!(Cgroup::size_at_level(0), Cgroup::offset_of("ancestors") + 8);
}

#[test]
fn cpumask_handles_agree_with_sets() {
    let mem = VecMem::new(4096);
    let (a, b, c) = (Cpumask::at(0), Cpumask::at(1024), Cpumask::at(2048));
    let nr = 130;
    let set: CpuMaskBits = [0, 63, 64, 129, 150, 400].map(CpuId).into_iter().collect();
    a.store(&mem, &set);
    assert_eq!((a.weight(&mem, nr), a.weight(&mem, 512)), (4, 6)); // 150 (in the last word) and 400 are behind nr_cpu_ids
    assert_eq!(a.load(&mem, 512), set);
    b.setall(&mem, nr);
    assert!(b.is_full(&mem, nr) && !b.test_cpu(&mem, nr) && a.subset(&mem, b, nr) && !b.subset(&mem, a, nr));
    b.clear_cpu(&mem, 0);
    assert_eq!((a.first(&mem, nr), a.first_zero(&mem, nr), a.first_and(&mem, b, nr)), (0, 1, 63));
    assert!(c.assign(&mem, a, b, nr, |x, y| x & y) && c.weight(&mem, nr) == 3);
    assert!(!c.assign(&mem, c, c, nr, |x, y| x ^ y) && c.is_empty(&mem, nr));
    assert_eq!((c.first(&mem, nr), b.first_zero(&mem, nr)), (nr, 0));
    c.set_cpu(&mem, NR_CPUS as u32); // outside: ignored
    assert!(c.is_empty(&mem, NR_CPUS as u32) && !c.test_cpu(&mem, u32::MAX));
    assert!(a.intersects(&mem, b, nr) && !a.equal(&mem, b, nr) && a.equal(&mem, a, nr));
}

/// What an encoder relies on: names are unique, and a struct without a description is only pointed to (a FWD).
#[test]
fn descriptions_are_complete() {
    fn check(ty: TypeRef, pointed_to: bool, forward: &mut BTreeSet<&'static str>) {
        match ty {
            TypeRef::Void | TypeRef::Int(..) => {}
            TypeRef::Ptr(to) => check(*to, true, forward),
            TypeRef::Const(of)
            | TypeRef::Volatile(of)
            | TypeRef::TypeTag(_, of)
            | TypeRef::Typedef(_, of) => check(*of, pointed_to, forward),
            TypeRef::Array(of, _) => check(*of, false, forward),
            TypeRef::Struct(name) | TypeRef::Union(name) | TypeRef::Enum(name) => {
                if find_type(name).is_none() {
                    assert!(pointed_to, "{name} is used by value and not declared");
                    forward.insert(name);
                }
            }
            TypeRef::Anon(desc) => desc.members().iter().for_each(|m| check(m.ty, false, forward)),
            TypeRef::Func(proto) => {
                assert!(pointed_to);
                check(proto.ret, false, forward);
                proto.params.iter().for_each(|p| check(p.ty, false, forward));
            }
        }
    }
    let mut names = BTreeSet::new();
    let mut forward = BTreeSet::new();
    for desc in all_types() {
        assert!(desc.name.is_empty() || names.insert(desc.name), "{} twice", desc.name);
        let named = || desc.members().iter().filter(|m| !m.name.is_empty());
        let members: BTreeSet<_> = named().map(|m| m.name).collect();
        assert_eq!(members.len(), named().count(), "a member of {} twice", desc.name);
        desc.members().iter().for_each(|m| check(m.ty, false, &mut forward));
    }
    for kfunc in crate::tables::KFUNCS {
        check(TypeRef::Func(&kfunc.proto), true, &mut forward);
    }
    assert!(find_type("").is_none() && find_type("rq").is_some());
    assert_eq!(Vec::from_iter(forward), ["bpf_map", "mm_struct", "sched_class", "seq_file"]);
}

#[test]
fn struct_ops_value_is_what_loaders_write() {
    assert_eq!(BpfStructOpsSchedExtOps::offset_of("data"), 64);
    assert_eq!(BpfStructOpsSchedExtOps::SIZE % 64, 0);
    assert_eq!(BpfStructOpsSchedExtOps::SIZE, 64 + 512);
    assert_eq!((SchedExtOps::SIZE, SchedExtOpsCid::SIZE), (512, 496)); // as in Debian's 7.3.4
    assert_eq!(SchedExtOps::offset_of("dispatch_max_batch"), 38 * 8);
    assert_eq!(SchedExtOps::DESC.member("yield").map(|m| m.name), Some("yield"));
    assert_eq!(BpfIterScxDsq::SIZE, 48);
    assert_eq!(Cpumask::SIZE, 1024);
}

#[test]
fn enumerators_have_their_73_values() {
    assert_eq!(SCX_DSQ_LOCAL_ON, 0xc000_0000_0000_0000);
    assert_eq!(SCX_ENQ_HEAD, 0x10000);
    assert_eq!(SCX_ENQ_LAST, 1 << 41);
    assert_eq!(SCX_TASK_CURSOR, 1 << 31);
    assert_eq!(SCX_OPS_ALL_FLAGS, 0x1ff);
    assert_eq!(SCX_SLICE_INF, u64::MAX);
    assert_eq!(SCX_WATCHDOG_MAX_TIMEOUT as u64, 30 * crate::tables::kconfig::HZ);
    assert_eq!(ScxExitKind::name_of(1026), Some("SCX_EXIT_ERROR_STALL"));
    assert_eq!((ScxEnqFlags::DESC.size, ScxKickFlags::DESC.size), (8, 4));
    assert_eq!(crate::DsqId::LOCAL.0, SCX_DSQ_LOCAL);
    assert_eq!(crate::DsqId::LOCAL_ON.0, SCX_DSQ_LOCAL_ON);
    assert_eq!(crate::DsqId::BYPASS.0, SCX_DSQ_BYPASS);
}

//! Our kernel's BTF: sound, the same every time, and readable by the tools everybody uses.

use std::process::Command;

use sextant_abi::tables::KfuncId;
use sextant_abi::types::all_types;
use sextant_bpf::btf::{Btf, Kind, KindTag};
use sextant_bpf::vmlinux::{self, Vmlinux};

#[test]
fn the_bytes_are_always_the_same_and_parse() {
    let bytes = vmlinux::btf(&|_| true);
    assert_eq!(bytes, vmlinux::btf(&|_| true));
    let btf = Btf::parse(&bytes).unwrap();
    assert_eq!(btf, Vmlinux::build(&|_| true).btf);
}

#[test]
fn every_described_type_is_there_with_its_layout() {
    let btf = Vmlinux::build(&|_| true).btf;
    for desc in all_types().iter().filter(|d| !d.name.is_empty()) {
        let found: Vec<_> = btf
            .find_all(desc.name)
            .filter(|id| !btf.members(*id).is_empty() || desc.members().is_empty())
            .collect();
        let id = found.first().unwrap_or_else(|| panic!("no {}", desc.name));
        assert_eq!(btf.size_of(*id).unwrap(), u64::from(desc.size), "{}", desc.name);
        for (m, d) in btf.members(*id).iter().zip(desc.members()) {
            assert_eq!((btf.str(m.name), m.bit_offset, u32::from(m.bits)), (d.name, d.bit_offset, d.bits));
        }
    }
    let task = btf.find("task_struct", KindTag::Struct).unwrap();
    assert_eq!(btf.type_name(btf.field(task, "scx.dsq_vtime").unwrap().unwrap().ty), "u64");
    let value = btf.find("bpf_struct_ops_sched_ext_ops", KindTag::Struct).unwrap();
    assert_eq!(btf.field(value, "data").unwrap().unwrap().byte_offset(), 64);
}

#[test]
fn kfuncs_are_functions_with_the_tag() {
    let all = Vmlinux::build(&|_| true);
    assert_eq!(all.kfuncs().count(), KfuncId::ALL.len());
    for (id, kfunc) in all.kfuncs() {
        assert_eq!(all.btf.name(id), kfunc.info().name);
        assert!(all.btf.decl_tags(id).any(|tag| tag == ("bpf_kfunc", -1)));
        let Kind::Func { proto, .. } = all.btf.kind(id) else { panic!("{kfunc:?} is no FUNC") };
        assert_eq!(all.btf.kind(*proto).tag(), KindTag::FuncProto);
    }
    let kick = all.btf.find("scx_bpf_kick_cpu", KindTag::Func).unwrap();
    assert_eq!(all.btf.type_name(kick), "void scx_bpf_kick_cpu(s32 cpu, u64 flags)");
    let few = Vmlinux::build(&|name| name == "scx_bpf_kick_cpu");
    assert_eq!(few.btf.find("scx_bpf_create_dsq", KindTag::Func), None);
    assert_eq!(few.kfuncs().count(), 1);
}

#[test]
fn bpftool_and_clang_read_it() {
    let file = std::env::temp_dir().join(format!("sextant-vmlinux-{}.btf", std::process::id()));
    std::fs::write(&file, vmlinux::btf(&|_| true)).unwrap();
    let bpftool = ["bpftool", "/usr/sbin/bpftool"]
        .into_iter()
        .find(|b| Command::new(b).arg("version").output().is_ok());
    let Some(bpftool) = bpftool else {
        println!("SKIPPED bpftool_and_clang_read_it: no bpftool");
        return;
    };
    // Kfunc prototypes are in the C dump of newer versions only; every version has them in the raw one.
    let raw = Command::new(bpftool).args(["btf", "dump", "file"]).arg(&file).output().unwrap();
    assert!(String::from_utf8_lossy(&raw.stdout).contains("FUNC 'scx_bpf_kick_cpu' type_id="));
    let dump = Command::new(bpftool)
        .args(["btf", "dump", "file"])
        .arg(&file)
        .args(["format", "c"])
        .output()
        .unwrap();
    std::fs::remove_file(&file).unwrap();
    let text = String::from_utf8(dump.stdout).unwrap();
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    for part in ["struct sched_ext_ops {", "struct task_struct {", "SCX_DSQ_LOCAL = "] {
        assert!(text.contains(part), "no `{part}` in bpftool's header");
    }
    let header = file.with_extension("h");
    std::fs::write(&header, text).unwrap();
    let clang = Command::new("clang-19")
        .args(["-target", "bpf", "-fsyntax-only", "-x", "c", "-std=gnu11"])
        .arg(&header)
        .output();
    std::fs::remove_file(&header).unwrap();
    match clang {
        Ok(out) => assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr)),
        Err(_) => println!("SKIPPED the clang half of bpftool_and_clang_read_it: no clang-19"),
    }
}

/// What CO-RE relocations ask for is there or not, as libbpf's matching has it.
#[test]
fn needs_of_objects() {
    use sextant_bpf::btf::ext::CoreRelo;
    use sextant_bpf::btf::{Builder, Enumerator, IntEncoding, Member, TypeId, core};

    let kernel = Vmlinux::build(&|_| true).btf;
    let mut b = Builder::new();
    let u32_ =
        b.add("unsigned int", Kind::Int { size: 4, encoding: IntEncoding::UNSIGNED, offset: 0, bits: 32 });
    let mut structure = |name: &str, members: &[(&str, TypeId)]| {
        let members = members
            .iter()
            .enumerate()
            .map(|(i, (name, ty))| Member { name: b.str(name), ty: *ty, bit_offset: 64 * i as u32, bits: 0 })
            .collect();
        b.add(name, Kind::Struct { union: false, size: 64, members })
    };
    let scx = structure("scx_rq___old", &[("nr_running", u32_), ("bogus", u32_)]);
    let rq = structure("rq___mine", &[("cpu", u32_), ("scx", scx), ("nr_running", scx)]);
    let gone = structure("no_such_struct", &[("a", u32_)]);
    let (last, nope) = (b.str("SCX_ENQ_LAST"), b.str("SCX_ENQ_NOPE"));
    let values = vec![Enumerator { name: last, value: 1 }, Enumerator { name: nope, value: 2 }];
    let flags = b.add("scx_enq_flags", Kind::Enum { wide: true, size: 8, signed: false, values });
    let paths = ["0:0", "0:1:0", "0:1:1", "0:2", "0", "1"].map(|path| b.str(path));
    let object = b.finish().expect("a sound BTF");
    // Kinds: 0 offset, 2 exists, 8 type exists, 10 and 11 enumerators.
    let table = [
        (rq, 0, 0, Some(("struct rq.cpu", false, true))),
        (rq, 1, 0, Some(("struct rq.scx.nr_running", false, true))),
        (rq, 2, 2, Some(("struct rq.scx.bogus", true, false))),
        (rq, 3, 0, Some(("struct rq.nr_running", false, false))), // a struct here, a number there
        (gone, 0, 0, Some(("struct no_such_struct.a", false, false))),
        (gone, 4, 8, Some(("struct no_such_struct", true, false))),
        (rq, 4, 8, Some(("struct rq", true, true))),
        (flags, 4, 11, Some(("enum scx_enq_flags.SCX_ENQ_LAST", false, true))),
        (flags, 5, 10, Some(("enum scx_enq_flags.SCX_ENQ_NOPE", true, false))),
        (rq, 4, 6, None),
    ];
    for (ty, path, kind, want) in table {
        let need = core::need(&object, &CoreRelo { insn_off: 0, ty, access: paths[path], kind }, &kernel);
        let need = need.as_ref().map(|n| (n.what.as_str(), n.asks, n.there));
        assert_eq!(need, want, "kind {kind}, path {path}");
    }
}

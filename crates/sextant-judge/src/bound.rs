//! What a program is bound to by its section or by a struct_ops map: types, functions and tracepoints of kernel modules are not in the
//! kernel's BTF, and some sections are younger than the libbpf that Sextant is built with. Decided from the object alone.

use std::collections::BTreeMap;

use object::{File, Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget, SymbolKind};
use sextant_bpf::btf::{Btf, Kind, KindTag};

use crate::scope::Beyond;

/// Section prefixes of programs that libbpf 1.7 does not know.
const LATER_PROGRAMS: [&str; 7] =
    ["tp_btf.s/", "raw_tp.s/", "tp.s/", "tracepoint.s/", "fentry.multi", "fexit.multi", "fsession.multi"];
/// A section of data that libbpf 1.7 does not know: with it the object does not open.
const LATER_DATA: &str = ".percpu";
/// Sections of programs that attach to a function or tracepoint of the kernel's BTF, and the prefix of its name there.
const TARGETS: [(&str, &str, KindTag); 10] = [
    ("tp_btf/", "btf_trace_", KindTag::Typedef),
    ("fentry/", "", KindTag::Func),
    ("fentry.s/", "", KindTag::Func),
    ("fexit/", "", KindTag::Func),
    ("fexit.s/", "", KindTag::Func),
    ("fmod_ret/", "", KindTag::Func),
    ("fmod_ret.s/", "", KindTag::Func),
    ("fsession/", "", KindTag::Func),
    ("lsm/", "bpf_lsm_", KindTag::Func),
    ("lsm.s/", "bpf_lsm_", KindTag::Func),
];

/// The programs that are bound to what is not here, by name, with the reason.
pub fn unbound(elf: &File<'_>, btf: &Btf, kernel: &Btf) -> BTreeMap<String, Beyond> {
    let later = elf.section_by_name(LATER_DATA).is_some();
    let mut out = BTreeMap::new();
    for symbol in elf.symbols().filter(|s| s.kind() == SymbolKind::Text && s.is_global()) {
        let (Ok(name), Some(index)) = (symbol.name(), symbol.section_index()) else { continue };
        let Ok(section) = elf.section_by_index(index).and_then(|s| s.name()) else { continue };
        let section = section.strip_prefix('?').unwrap_or(section);
        let why = match later || LATER_PROGRAMS.iter().any(|prefix| section.starts_with(prefix)) {
            true => Some(Beyond::Loader),
            false => lacks_target(section, kernel).then_some(Beyond::Module),
        };
        out.extend(why.map(|why| (name.to_owned(), why)));
    }
    for (name, here) in struct_ops(elf, btf, kernel) {
        if !here {
            out.entry(name).or_insert(Beyond::Module);
        }
    }
    out
}

fn lacks_target(section: &str, kernel: &Btf) -> bool {
    let target = TARGETS
        .iter()
        .find_map(|(prefix, before, kind)| Some((section.strip_prefix(prefix)?, *before, *kind)));
    target.is_some_and(|(name, before, kind)| kernel.find(&format!("{before}{name}"), kind).is_none())
}

/// The programs that struct_ops maps name, and whether the kernel has the type of one of these maps.
fn struct_ops(elf: &File<'_>, btf: &Btf, kernel: &Btf) -> BTreeMap<String, bool> {
    let mut out: BTreeMap<String, bool> = BTreeMap::new();
    for section in elf.sections() {
        let Ok(section_name) = section.name() else { continue };
        if !section_name.trim_start_matches('?').starts_with(".struct_ops") {
            continue;
        }
        let Some(id) = btf.find(section_name, KindTag::DataSec) else { continue };
        let Kind::DataSec { vars, .. } = btf.kind(id) else { continue };
        for (at, reloc) in section.relocations() {
            let RelocationTarget::Symbol(symbol) = reloc.target() else { continue };
            let Ok(prog) = elf.symbol_by_index(symbol).and_then(|s| s.name()) else { continue };
            let var = vars
                .iter()
                .find(|v| (v.offset.into()..u64::from(v.offset) + u64::from(v.size)).contains(&at));
            let Some(Kind::Var { ty, .. }) = var.map(|v| btf.kind(v.var)) else { continue };
            // A flavor: the kernel's name ends at three underscores.
            let ty = btf.resolve(*ty).map(|ty| btf.name(ty).split("___").next().unwrap_or_default());
            let value = format!("bpf_struct_ops_{}", ty.unwrap_or_default());
            *out.entry(prog.to_owned()).or_default() |= kernel.find(&value, KindTag::Struct).is_some();
        }
    }
    out
}

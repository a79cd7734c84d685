//! Looks at an object's types and symbols before libbpf does, for what libbpf 1.7 does not survive: it follows chains of typedefs and
//! modifiers without counting, adds offsets and sizes in 32 bits, and takes a map of type STRUCT_OPS in `.maps` for one that it
//! made itself.
//!
//! What must hold: what a compiler or `bpftool gen object` makes passes. The kernel's own rules for BTF are kept at BPF_BTF_LOAD.

use object::Endianness;
use object::elf::{FileHeader64, SHN_LORESERVE, SHN_UNDEF, SHT_SYMTAB, STT_FUNC, STT_OBJECT};
use object::read::elf::{FileHeader, SectionHeader, Sym};
use sextant_bpf::btf::{Btf, Kind, KindTag, TypeId};

use crate::elf::ElfError;

const LE: Endianness = Endianness::Little;
/// `BPF_MAP_TYPE_STRUCT_OPS`
const STRUCT_OPS: u32 = 26;

/// Checks the types and symbols of a file that passed the ELF check.
///
/// # Errors
/// Says which type, variable or symbol libbpf would stumble over.
pub(crate) fn check(bytes: &[u8]) -> Result<(), ElfError> {
    let header = FileHeader64::<Endianness>::parse(bytes).map_err(damaged)?;
    let sections = header.sections(LE, bytes).map_err(damaged)?;
    let Some((_, section)) = sections.section_by_name(LE, b".BTF") else { return Err(ElfError::NoBtf) };
    let data = section.data(LE, bytes).map_err(damaged)?;
    let btf = Btf::parse(data).map_err(|e| ElfError::Btf { why: e.to_string() })?;
    no_circles(&btf)?;
    no_struct_ops_maps(&btf)?;
    for (id, _) in btf.types() {
        if let Kind::DataSec { .. } = btf.kind(id) {
            let name = btf.name(id);
            let found = sections.section_by_name(LE, name.as_bytes());
            variables_inside(&btf, id, found.map(|(_, s)| s.sh_size(LE)))?;
        }
    }
    symbols_inside(bytes)
}

fn damaged(error: object::read::Error) -> ElfError {
    ElfError::Damaged { what: error.to_string() }
}

/// No type is made of itself: neither by value (structs, arrays and what only renames them) nor through pointers that lead to no struct
/// on the way. The kernel answers -ELOOP (kernel/bpf/btf.c env_type_is_resolve_sink(), 7.3).
fn no_circles(btf: &Btf) -> Result<(), ElfError> {
    let renames = |tag| {
        use KindTag::{Const, Restrict, TypeTag, Typedef, Volatile};
        matches!(tag, Typedef | Const | Volatile | Restrict | TypeTag)
    };
    let by_value = |tag| renames(tag) || matches!(tag, KindTag::Array | KindTag::Struct | KindTag::Union);
    let by_pointer = |tag| renames(tag) || tag == KindTag::Ptr;
    no_circle_among(btf, &by_value)?;
    no_circle_among(btf, &by_pointer)
}

/// How far the search has come with a type.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Search {
    New,
    Open,
    Done,
}

/// No type of the kinds that `counts` selects leads back to itself through such types only. Without recursion: a chain may be long.
fn no_circle_among(btf: &Btf, counts: &dyn Fn(KindTag) -> bool) -> Result<(), ElfError> {
    let parts = |id: TypeId| -> Vec<TypeId> {
        let mut parts = btf.kind(id).references();
        if let Kind::Array { elem, .. } = btf.kind(id) {
            parts = vec![*elem];
        }
        parts.retain(|&part| counts(btf.kind(part).tag()));
        parts
    };
    let mut search = vec![Search::New; btf.types().map(|(id, _)| id.0 as usize + 1).max().unwrap_or(0)];
    for (from, ty) in btf.types() {
        if search[from.0 as usize] != Search::New || !counts(ty.kind.tag()) {
            continue;
        }
        search[from.0 as usize] = Search::Open;
        let mut way = vec![(from, parts(from))];
        while let Some((id, left)) = way.last_mut() {
            let id = *id;
            match left.pop() {
                None => {
                    search[id.0 as usize] = Search::Done;
                    way.pop();
                }
                Some(part) => match search[part.0 as usize] {
                    Search::Done => {}
                    Search::Open => {
                        let name = btf.name(part);
                        return Err(ElfError::Btf { why: format!("type {part} '{name}' is made of itself") });
                    }
                    Search::New => {
                        search[part.0 as usize] = Search::Open;
                        way.push((part, parts(part)));
                    }
                },
            }
        }
    }
    Ok(())
}

/// A map in `.maps` is none of the type that libbpf makes for ops tables.
fn no_struct_ops_maps(btf: &Btf) -> Result<(), ElfError> {
    let Some(section) = btf.find(".maps", KindTag::DataSec) else { return Ok(()) };
    let Kind::DataSec { vars, .. } = btf.kind(section) else { return Ok(()) };
    for var in vars {
        let Kind::Var { ty, .. } = btf.kind(var.var) else { continue };
        let members = btf.members(*ty).iter();
        let types = members.filter(|m| btf.str(m.name) == "type").filter_map(|m| number(btf, m.ty));
        if types.into_iter().any(|map_type| map_type == STRUCT_OPS) {
            let name = btf.name(var.var).to_string();
            return Err(ElfError::StructOpsMap { name });
        }
    }
    Ok(())
}

/// The number in `__uint(name, number)`: a pointer to an array of so many elements.
fn number(btf: &Btf, ty: TypeId) -> Option<u32> {
    let Kind::Ptr(array) = btf.kind(btf.resolve(ty).ok()?) else { return None };
    match btf.kind(btf.resolve(*array).ok()?) {
        Kind::Array { nelems, .. } => Some(*nelems),
        _ => None,
    }
}

/// The variables of a section lie inside it. A compiler leaves size and offsets 0, libbpf fills them in from the symbols.
fn variables_inside(btf: &Btf, section: TypeId, elf_size: Option<u64>) -> Result<(), ElfError> {
    let Kind::DataSec { size, vars } = btf.kind(section) else { return Ok(()) };
    let name = btf.name(section);
    let outside = |what: String| Err(ElfError::Btf { why: format!("section {name}: {what}") });
    if let Some(elf_size) = elf_size
        && u64::from(*size) > elf_size
    {
        return outside(format!("its types say {size} bytes, the file has {elf_size}"));
    }
    let limit = if *size == 0 { elf_size } else { Some(u64::from(*size)) };
    for var in vars {
        let end = u64::from(var.offset) + u64::from(var.size);
        let declared = match btf.kind(var.var) {
            Kind::Var { ty, .. } => btf.size_of(*ty).unwrap_or(0),
            _ => 0,
        };
        let end = end.max(u64::from(var.offset).saturating_add(declared));
        if limit.is_some_and(|limit| end > limit) {
            return outside(format!(
                "variable '{}' ends at {end}, the section at {}",
                btf.name(var.var),
                limit.unwrap_or(0)
            ));
        }
    }
    Ok(())
}

/// Functions and variables lie inside their sections.
fn symbols_inside(bytes: &[u8]) -> Result<(), ElfError> {
    let header = FileHeader64::<Endianness>::parse(bytes).map_err(damaged)?;
    let sections = header.sections(LE, bytes).map_err(damaged)?;
    let symbols = sections.symbols(LE, bytes, SHT_SYMTAB).map_err(damaged)?;
    for symbol in symbols.iter() {
        let index = symbol.st_shndx(LE);
        let placed = index != SHN_UNDEF && index < SHN_LORESERVE;
        if !placed || !matches!(symbol.st_type(), STT_FUNC | STT_OBJECT) {
            continue;
        }
        let section = sections.section(object::SectionIndex(index.into())).map_err(damaged)?;
        let end = symbol.st_value(LE).saturating_add(symbol.st_size(LE));
        if end > section.sh_size(LE) {
            let name = symbol.name(LE, symbols.strings()).map_err(damaged)?;
            let name = String::from_utf8_lossy(name);
            let size = section.sh_size(LE);
            return Err(ElfError::Damaged {
                what: format!("symbol '{name}' ends at {end}, its section at {size}"),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use sextant_bpf::btf::{Builder, IntEncoding, Member};

    use super::*;

    fn int(b: &mut Builder) -> TypeId {
        b.add("int", Kind::Int { size: 4, encoding: IntEncoding::SIGNED, offset: 0, bits: 32 })
    }

    fn member(b: &mut Builder, name: &str, ty: TypeId) -> Member {
        Member { name: b.str(name), ty, bit_offset: 0, bits: 0 }
    }

    #[test]
    fn circles_of_every_form_are_found() {
        let forms: [fn(&mut Builder, TypeId) -> Kind; 5] = [
            |_, me| Kind::Typedef(me),
            |_, me| Kind::Const(me),
            |_, me| Kind::Ptr(me),
            |b, me| Kind::Array { elem: me, index: int(b), nelems: 1 },
            |b, me| {
                let members = vec![member(b, "m", me)];
                Kind::Struct { union: false, size: 4, members }
            },
        ];
        for (i, form) in forms.iter().enumerate() {
            let mut b = Builder::new();
            let (me, between) = (b.reserve(), b.reserve());
            b.set(between, "", Kind::Volatile(me));
            let kind = form(&mut b, between);
            let name = if matches!(kind, Kind::Typedef(_)) { "loop_t" } else { "" };
            b.set(me, name, kind);
            let btf = b.finish().expect("the ids are in range");
            assert!(no_circles(&btf).is_err(), "form {i}");
        }
    }

    #[test]
    fn a_list_through_pointers_is_no_circle() {
        let mut b = Builder::new();
        let node = b.reserve();
        let pointer = b.add("", Kind::Ptr(node));
        let members = vec![member(&mut b, "next", pointer)];
        b.set(node, "node", Kind::Struct { union: false, size: 8, members });
        let btf = b.finish().expect("the ids are in range");
        assert_eq!(no_circles(&btf), Ok(()));
    }

    #[test]
    fn a_long_chain_needs_no_stack() {
        let mut b = Builder::new();
        let mut at = int(&mut b);
        for _ in 0..200_000 {
            at = b.add("", Kind::Const(at));
        }
        assert_eq!(no_circles(&b.finish().expect("the ids are in range")), Ok(()));
    }
}

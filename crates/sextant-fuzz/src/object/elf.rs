//! Changes of the ELF: header, section table, symbols, relocations, instructions. Layouts: the System V ABI's ELF-64.

use super::{get, put};
use crate::rng::Rng;

/// A section as its table entry says.
pub(super) struct Section {
    pub(super) name: String,
    pub(super) kind: u64,
    pub(super) offset: usize,
    pub(super) size: usize,
    /// Of its table entry in the file.
    header: usize,
}

const SHT_SYMTAB: u64 = 2;
const SHT_REL: u64 = 9;

/// Fields of a table entry: offset, size, name.
const SECTION_FIELDS: [(usize, usize, &str); 9] = [
    (0, 4, "name"),
    (4, 4, "type"),
    (8, 8, "flags"),
    (24, 8, "offset"),
    (32, 8, "size"),
    (40, 4, "link"),
    (44, 4, "info"),
    (48, 8, "addralign"),
    (56, 8, "entsize"),
];
/// Fields of a symbol.
const SYMBOL_FIELDS: [(usize, usize, &str); 6] =
    [(0, 4, "name"), (4, 1, "info"), (5, 1, "other"), (6, 2, "shndx"), (8, 8, "value"), (16, 8, "size")];
/// Fields of a relocation without addend.
const REL_FIELDS: [(usize, usize, &str); 3] = [(0, 8, "offset"), (8, 4, "type"), (12, 4, "symbol")];
/// Fields of the header that say where the section table is.
const HEADER_FIELDS: [(usize, usize, &str); 6] = [
    (16, 2, "type"),
    (18, 2, "machine"),
    (40, 8, "shoff"),
    (58, 2, "shentsize"),
    (60, 2, "shnum"),
    (62, 2, "shstrndx"),
];

/// The section table; `None` when there is none to be read.
pub(super) fn sections(bytes: &[u8]) -> Option<Vec<Section>> {
    let table = get(bytes, 40, 8)? as usize;
    let (count, names) = (get(bytes, 60, 2)? as usize, get(bytes, 62, 2)? as usize);
    let header = |i: usize| table.checked_add(i * 64).filter(|at| get(bytes, *at, 8).is_some());
    let names_at = get(bytes, header(names)?.checked_add(24)?, 8)? as usize;
    let mut sections = Vec::new();
    for header in (0..count).map_while(header) {
        let name_at = names_at.checked_add(get(bytes, header, 4)? as usize)?;
        let name: Vec<u8> = bytes.get(name_at..)?.iter().copied().take_while(|&b| b != 0).take(64).collect();
        sections.push(Section {
            name: String::from_utf8_lossy(&name).into_owned(),
            kind: get(bytes, header + 4, 4)?,
            offset: get(bytes, header + 24, 8)? as usize,
            size: get(bytes, header + 32, 8)? as usize,
            header,
        });
    }
    Some(sections)
}

/// One change; says what it was.
pub(super) fn change(bytes: &mut [u8], rng: &mut Rng) -> Option<String> {
    let sections = sections(bytes)?;
    let some = |rng: &mut Rng, kind: u64| {
        let of: Vec<&Section> = sections.iter().filter(|s| s.kind == kind && s.size > 0).collect();
        (!of.is_empty()).then(|| of[rng.below(of.len() as u64) as usize])
    };
    match rng.below(10) {
        0 => field(bytes, rng, 0, &HEADER_FIELDS, "header".into()),
        1..=3 if !sections.is_empty() => {
            let section = &sections[rng.below(sections.len() as u64) as usize];
            field(bytes, rng, section.header, &SECTION_FIELDS, format!("section {}", section.name))
        }
        4..=5 => {
            let table = some(rng, SHT_SYMTAB)?;
            let nth = rng.below((table.size / 24).max(1) as u64) as usize;
            field(bytes, rng, table.offset.checked_add(nth * 24)?, &SYMBOL_FIELDS, format!("symbol {nth}"))
        }
        6..=7 => {
            let table = some(rng, SHT_REL)?;
            let nth = rng.below((table.size / 16).max(1) as u64) as usize;
            let what = format!("relocation {nth} of {}", table.name);
            field(bytes, rng, table.offset.checked_add(nth * 16)?, &REL_FIELDS, what)
        }
        _ => instruction(bytes, rng, &sections),
    }
}

/// A field of an instruction: opcode, registers, offset, immediate.
fn instruction(bytes: &mut [u8], rng: &mut Rng, sections: &[Section]) -> Option<String> {
    const PROGBITS: u64 = 1;
    const FIELDS: [(usize, usize, &str); 4] =
        [(0, 1, "opcode"), (1, 1, "registers"), (2, 2, "offset"), (4, 4, "imm")];
    let code: Vec<&Section> = sections
        .iter()
        .filter(|s| {
            s.kind == PROGBITS && s.size >= 8 && (s.name == ".text" || s.name.starts_with("struct_ops"))
        })
        .collect();
    if code.is_empty() {
        return None;
    }
    let section = code[rng.below(code.len() as u64) as usize];
    let nth = rng.below(section.size as u64 / 8) as usize;
    field(
        bytes,
        rng,
        section.offset.checked_add(nth * 8)?,
        &FIELDS,
        format!("instruction {nth} of {}", section.name),
    )
}

/// Another number in one of the fields at `at`.
pub(super) fn field(
    bytes: &mut [u8],
    rng: &mut Rng,
    at: usize,
    fields: &[(usize, usize, &str)],
    what: String,
) -> Option<String> {
    let (offset, size, name) = rng.of(fields);
    let at = at.checked_add(offset)?;
    let before = get(bytes, at, size)?;
    let value = match rng.below(4) {
        0 => before.wrapping_add(rng.below(9)).wrapping_sub(4),
        1 => before ^ 1 << rng.below(size as u64 * 8),
        _ => rng.number(),
    };
    put(bytes, at, size, value).then(|| format!("{what}: {name} {before:#x} -> {value:#x}"))
}

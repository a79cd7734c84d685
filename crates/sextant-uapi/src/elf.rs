//! Looks at the ELF before libbpf does: libbpf says little about a broken file, and libelf trusts what it is given.
//!
//! Leaves out what libbpf checks well: symbols, relocations, section contents.

use object::elf::{EM_BPF, ET_REL, FileHeader64, SHT_NOBITS};
use object::read::elf::{FileHeader, SectionHeader};
use object::{Endianness, LittleEndian};

/// Why a file is not an object that could be loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // the messages say what the fields are
pub enum ElfError {
    #[error("the file is empty: a BPF object was expected (scheduler.bpf.o)")]
    Empty,
    #[error(
        "not an ELF file (it starts with {start}): a compiled BPF object was expected, such as clang-19 -target bpf -g -O2 -c makes"
    )]
    NotElf { start: String },
    #[error("a {bits}-bit ELF file: BPF objects are 64-bit; is this a program for another machine?")]
    Class { bits: u32 },
    #[error(
        "a big-endian BPF object: Sextant's machine is little-endian x86-64; compile with -target bpfel (or bpf on a little-endian machine)"
    )]
    BigEndian,
    #[error(
        "an ELF file for machine {machine}, not BPF: give the scheduler's BPF object (*.bpf.o), not the program that loads it"
    )]
    Machine { machine: String },
    #[error("an ELF {kind}, not a relocatable object: give the output of clang -c or bpftool gen object")]
    NotRelocatable { kind: String },
    #[error("truncated: {what} needs bytes {start}..{end}, the file has {len}; copy or build it again")]
    Truncated { what: String, start: u64, end: u64, len: u64 },
    #[error("damaged: {what}; build it again")]
    Damaged { what: String },
    #[error("no BTF (section .BTF): compile with -g, and strip with llvm-strip -g, which keeps it")]
    NoBtf,
    #[error("damaged BTF: {why}; build it again")]
    Btf { why: String },
    #[error(
        "map '{name}' is of type BPF_MAP_TYPE_STRUCT_OPS: libbpf makes such maps itself, of the ops tables in section .struct_ops.link; \
         give the map another type"
    )]
    StructOpsMap { name: String },
    #[error(
        "no struct_ops map (section .struct_ops.link): this is not a sched_ext scheduler; its sections are {sections}. \
         A scheduler has a table of its ops: SCX_OPS_DEFINE(x_ops, .enqueue = (void *)x_enqueue, .name = \"x\");"
    )]
    NoStructOps { sections: String },
}

type Header = FileHeader64<Endianness>;
const LE: Endianness = Endianness::Little;

/// Checks that `bytes` are a whole little-endian BPF object with BTF and a struct_ops map.
///
/// # Errors
/// Says what is wrong, where, and what to try.
pub fn check(bytes: &[u8]) -> Result<(), ElfError> {
    check_ident(bytes)?;
    let header = Header::parse(bytes).map_err(|e| ElfError::Damaged { what: e.to_string() })?;
    check_header(header)?;
    check_sections(header, bytes)
}

fn check_ident(bytes: &[u8]) -> Result<(), ElfError> {
    if bytes.is_empty() {
        return Err(ElfError::Empty);
    }
    if !bytes.starts_with(b"\x7fELF") {
        return Err(ElfError::NotElf { start: start_of(bytes) });
    }
    let header = size_of::<Header>() as u64;
    if (bytes.len() as u64) < header {
        return Err(truncated("the ELF header", 0, header, bytes));
    }
    match bytes[4] {
        2 => {}
        1 => return Err(ElfError::Class { bits: 32 }),
        other => return Err(ElfError::Damaged { what: format!("ELF class {other}") }),
    }
    match bytes[5] {
        1 => Ok(()),
        2 => Err(ElfError::BigEndian),
        other => Err(ElfError::Damaged { what: format!("ELF byte order {other}") }),
    }
}

fn start_of(bytes: &[u8]) -> String {
    let head = &bytes[..bytes.len().min(4)];
    let text = head.iter().all(|b| b.is_ascii_graphic() || *b == b' ');
    match text {
        true => format!("{:?}", String::from_utf8_lossy(head)),
        false => head.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" "),
    }
}

fn check_header(header: &Header) -> Result<(), ElfError> {
    match header.e_machine.get(LE) {
        EM_BPF => {}
        object::elf::EM_X86_64 => return Err(ElfError::Machine { machine: "x86-64".into() }),
        object::elf::EM_AARCH64 => return Err(ElfError::Machine { machine: "aarch64".into() }),
        other => return Err(ElfError::Machine { machine: other.to_string() }),
    }
    match header.e_type.get(LE) {
        ET_REL => Ok(()),
        object::elf::ET_EXEC | object::elf::ET_DYN => {
            Err(ElfError::NotRelocatable { kind: "executable".into() })
        }
        other => Err(ElfError::NotRelocatable { kind: format!("file of type {other}") }),
    }
}

fn check_sections(header: &Header, bytes: &[u8]) -> Result<(), ElfError> {
    let (shoff, shnum) = (header.e_shoff.get(LE), u64::from(header.e_shnum.get(LE)));
    if shoff == 0 || shnum == 0 {
        return Err(ElfError::Damaged { what: "no section table".into() });
    }
    let end = shoff.saturating_add(shnum.saturating_mul(u64::from(header.e_shentsize.get(LE))));
    if end > bytes.len() as u64 {
        return Err(truncated("the section table", shoff, end, bytes));
    }
    let table = header.section_headers(LE, bytes).map_err(|e| damaged(&e))?;
    for (index, section) in table.iter().enumerate() {
        check_section(index, section, table.len(), bytes)?;
    }
    let sections = header.sections(LE, bytes).map_err(|e| damaged(&e))?;
    let mut names = Vec::new();
    for section in sections.iter() {
        let name = sections.section_name(LE, section).map_err(|e| damaged(&e))?;
        names.push(String::from_utf8_lossy(name).into_owned());
    }
    if !names.iter().any(|n| n == ".BTF") {
        return Err(ElfError::NoBtf);
    }
    match names.iter().any(|n| is_struct_ops(n)) {
        true => Ok(()),
        false => Err(ElfError::NoStructOps { sections: list_programs(&names) }),
    }
}

/// Whether a section holds ops tables.
fn is_struct_ops(name: &str) -> bool {
    matches!(name.strip_prefix('?').unwrap_or(name), ".struct_ops" | ".struct_ops.link")
}

fn list_programs(names: &[String]) -> String {
    let known = |n: &&String| !n.is_empty() && !n.starts_with(".rel") && !n.starts_with(".debug");
    names.iter().filter(known).map(String::as_str).collect::<Vec<_>>().join(" ")
}

fn check_section(
    index: usize,
    section: &object::elf::SectionHeader64<Endianness>,
    count: usize,
    bytes: &[u8],
) -> Result<(), ElfError> {
    let link = section.sh_link.get(LE) as usize;
    if link >= count {
        return Err(ElfError::Damaged {
            what: format!("section {index} refers to section {link} of {count}"),
        });
    }
    if section.sh_type(LE) == SHT_NOBITS {
        return Ok(());
    }
    let (start, size) = (section.sh_offset.get(LE), section.sh_size.get(LE));
    let end = start.saturating_add(size);
    if end > bytes.len() as u64 {
        return Err(truncated(&format!("section {index}"), start, end, bytes));
    }
    Ok(())
}

fn truncated(what: &str, start: u64, end: u64, bytes: &[u8]) -> ElfError {
    ElfError::Truncated { what: what.into(), start, end, len: bytes.len() as u64 }
}

fn damaged(error: &object::read::Error) -> ElfError {
    ElfError::Damaged { what: error.to_string() }
}

const _: () = assert!(size_of::<FileHeader64<LittleEndian>>() == 64);

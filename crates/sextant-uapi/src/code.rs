//! The functions of an object file as its compiler left them, with the names of what they refer to: what
//! `sextant inspect --disasm` prints. Nothing is relocated, so this works for objects that cannot be loaded.
//!
//! What must hold: any file that passed [`crate::elf::check`] gives functions or an error, never a panic.

use std::collections::BTreeMap;

use object::elf::{self, FileHeader64, SHF_EXECINSTR, STT_FUNC, STT_SECTION};
use object::read::elf::{FileHeader, Rel, SectionHeader, SectionTable, Sym, SymbolTable};
use object::{Endianness, SectionIndex};
use sextant_abi::Insn;
use sextant_bpf::insn;

use crate::elf::ElfError;

const LE: Endianness = Endianness::Little;

type Header = FileHeader64<Endianness>;

/// A function: a program, or a subprogram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its symbol.
    pub name: String,
    /// Its ELF section.
    pub section: String,
    /// Its instructions, unrelocated.
    pub insns: Vec<Insn>,
    /// By slot: what the instruction there refers to (a kfunc, a function, a map, a variable).
    pub names: BTreeMap<usize, String>,
}

/// All functions, in the order of the file.
///
/// # Errors
/// When tables or code of the file cannot be read.
pub fn functions(bytes: &[u8]) -> Result<Vec<Function>, ElfError> {
    let aligned;
    let bytes = match bytes.as_ptr().align_offset(8) {
        0 => bytes,
        _ => {
            aligned = bytes.to_vec();
            &aligned
        }
    };
    let header = Header::parse(bytes).map_err(damaged)?;
    let sections = header.sections(LE, bytes).map_err(damaged)?;
    let symbols = sections.symbols(LE, bytes, elf::SHT_SYMTAB).map_err(damaged)?;
    let file = File { bytes, sections, symbols };
    let mut found = Vec::new();
    for (index, section) in file.sections.enumerate() {
        if section.sh_flags(LE) & u64::from(SHF_EXECINSTR) != 0 {
            file.functions_in(index, section, &mut found)?;
        }
    }
    Ok(found)
}

fn damaged(e: object::read::Error) -> ElfError {
    ElfError::Damaged { what: e.to_string() }
}

struct File<'a> {
    bytes: &'a [u8],
    sections: SectionTable<'a, Header>,
    symbols: SymbolTable<'a, Header>,
}

impl File<'_> {
    fn functions_in(
        &self,
        index: SectionIndex,
        section: &elf::SectionHeader64<Endianness>,
        found: &mut Vec<Function>,
    ) -> Result<(), ElfError> {
        let code = section.data(LE, self.bytes).map_err(damaged)?;
        let all = insn::decode(&code[..code.len() / 8 * 8])
            .map_err(|e| ElfError::Damaged { what: format!("code of {}: {e}", self.section_name(index)) })?;
        let starts = self.starts(index);
        let names = self.names(index, &all, &starts)?;
        for (&start, (name, len)) in &starts {
            let end = start.saturating_add(*len).min(all.len());
            let Some(insns) = all.get(start..end) else { continue };
            let own = names.range(start..end).map(|(slot, name)| (slot - start, name.clone()));
            found.push(Function {
                name: name.clone(),
                section: self.section_name(index),
                insns: insns.to_vec(),
                names: own.collect(),
            });
        }
        Ok(())
    }

    /// Functions of a section: first slot, name, slots.
    fn starts(&self, section: SectionIndex) -> BTreeMap<usize, (String, usize)> {
        let functions = self.symbols.iter().filter(|s| s.st_type() == STT_FUNC);
        let here = functions.filter(|s| usize::from(s.st_shndx(LE)) == section.0);
        here.map(|s| {
            let name = self.symbols.symbol_name(LE, s).map(String::from_utf8_lossy).unwrap_or_default();
            ((s.st_value(LE) / 8) as usize, (name.into_owned(), (s.st_size(LE) / 8) as usize))
        })
        .collect()
    }

    /// What the instructions of a section refer to: by relocation, and calls inside the section.
    fn names(
        &self,
        section: SectionIndex,
        insns: &[Insn],
        starts: &BTreeMap<usize, (String, usize)>,
    ) -> Result<BTreeMap<usize, String>, ElfError> {
        let mut names = BTreeMap::new();
        for (slot, insn) in insns.iter().enumerate() {
            let target = slot as i64 + 1 + i64::from(insn.imm);
            if insn.code == insn::BPF_JMP | insn::BPF_CALL
                && insn.src == 1
                && let Some((name, _)) = usize::try_from(target).ok().and_then(|t| starts.get(&t))
            {
                names.insert(slot, name.clone());
            }
        }
        for table in self.sections.iter() {
            let Some((relocations, _)) = table.rel(LE, self.bytes).map_err(damaged)? else { continue };
            if table.sh_info(LE) as usize != section.0 {
                continue;
            }
            for rel in relocations {
                let slot = (rel.r_offset(LE) / 8) as usize;
                if let Some(insn) = insns.get(slot)
                    && let Some(name) = self.target(rel, insn)
                {
                    names.insert(slot, name);
                }
            }
        }
        Ok(names)
    }

    /// The name of what a relocation points to.
    fn target(&self, rel: &elf::Rel64<Endianness>, insn: &Insn) -> Option<String> {
        let symbol = self.symbols.symbol(rel.symbol(LE)?).ok()?;
        if symbol.st_type() != STT_SECTION {
            let name = self.symbols.symbol_name(LE, symbol).ok()?;
            return Some(String::from_utf8_lossy(name).into_owned());
        }
        let section = SectionIndex(usize::from(symbol.st_shndx(LE)));
        if insn.code == insn::BPF_JMP | insn::BPF_CALL {
            let slot = usize::try_from(i64::from(insn.imm) + 1).ok()?;
            return self.starts(section).get(&slot).map(|(name, _)| name.clone());
        }
        Some(format!("{}+{:#x}", self.section_name(section), insn.imm))
    }

    fn section_name(&self, index: SectionIndex) -> String {
        let name = self.sections.section(index).and_then(|s| self.sections.section_name(LE, s));
        name.map(|n| String::from_utf8_lossy(n).into_owned()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn simple() -> Vec<u8> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schedulers/built/simple.bpf.o");
        std::fs::read(path).expect("a committed file")
    }

    #[test]
    fn programs_with_the_names_they_use() {
        let all = functions(&simple()).unwrap();
        let f = all.iter().find(|f| f.name == "simple_select_cpu").expect("a program");
        assert_eq!(f.section, "struct_ops/simple_select_cpu");
        assert!(f.names.values().any(|n| n == "scx_bpf_select_cpu_dfl"), "{:?}", f.names);
        assert!(f.names.keys().all(|&slot| slot < f.insns.len()));
        assert_eq!(f.insns.last().map(|i| i.code), Some(0x95));
    }

    #[test]
    fn any_alignment_does() {
        let mut shifted = vec![0];
        shifted.extend(simple());
        assert_eq!(functions(&shifted[1..]).unwrap(), functions(&simple()).unwrap());
    }

    #[test]
    fn damage_does_not_panic() {
        let object = simple();
        for at in 0..object.len() {
            let mut damaged = object.clone();
            damaged[at] ^= 0xff;
            let _ = functions(&damaged);
        }
    }
}

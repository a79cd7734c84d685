//! What only the ELF file says: which symbols the object lacks and how much it needs them, which helpers its code calls.

use std::collections::{BTreeMap, BTreeSet};

use object::elf::{SHF_EXECINSTR, STB_WEAK};
use object::read::elf::{FileHeader, SectionHeader, Sym};
use object::{Endianness, elf};
use sextant_bpf::btf::core;
use sextant_bpf::btf::ext::{CoreRelo, Ext};
use sextant_bpf::insn::{self, BPF_CALL, BPF_JMP, is_ld_imm64};

use crate::elf::ElfError;

const LE: Endianness = Endianness::Little;

/// Facts of an ELF file that passed [`crate::elf::check`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Symbols somebody else must define (kfuncs, kernel variables, CONFIG_…): name, and whether the object can do without.
    pub externs: BTreeMap<String, bool>,
    /// Numbers of the helpers called, reachable or not.
    pub helpers: BTreeSet<u32>,
    /// CO-RE relocations, in file order; none where `.BTF.ext` cannot be read, which libbpf then says.
    pub relos: Vec<CoreRelo>,
}

/// Reads them.
///
/// # Errors
/// When the symbol table cannot be read.
pub fn read(bytes: &[u8]) -> Result<Facts, ElfError> {
    let damaged = |e: object::read::Error| ElfError::Damaged { what: e.to_string() };
    let header = elf::FileHeader64::<Endianness>::parse(bytes).map_err(damaged)?;
    let sections = header.sections(LE, bytes).map_err(damaged)?;
    let symbols = sections.symbols(LE, bytes, elf::SHT_SYMTAB).map_err(damaged)?;
    let mut facts = Facts::default();
    for symbol in symbols.iter() {
        let name = symbol.name(LE, symbols.strings()).map_err(damaged)?;
        if symbol.is_undefined(LE) && !name.is_empty() {
            let weak = symbol.st_bind() == STB_WEAK;
            facts.externs.insert(String::from_utf8_lossy(name).into_owned(), weak);
        }
    }
    for section in sections.iter() {
        if section.sh_flags(LE) & u64::from(SHF_EXECINSTR) != 0 {
            let code = section.data(LE, bytes).map_err(damaged)?;
            helpers_in(code, &mut facts.helpers);
        }
        if sections.section_name(LE, section).map_err(damaged)? == b".BTF.ext" {
            let ext = Ext::parse(section.data(LE, bytes).map_err(damaged)?).unwrap_or_default();
            facts.relos = ext.relos.into_iter().flat_map(|s| s.infos).collect();
        }
    }
    Ok(facts)
}

fn helpers_in(code: &[u8], helpers: &mut BTreeSet<u32>) {
    let Ok(insns) = insn::decode(&code[..code.len() / 8 * 8]) else { return };
    let mut pc = 0;
    while let Some(insn) = insns.get(pc) {
        if insn.code == BPF_JMP | BPF_CALL && insn.src == 0 {
            helpers.insert(insn.imm as u32);
        }
        pc += if is_ld_imm64(insn) { 2 } else { 1 };
    }
}

/// A symbol's name as libbpf looks for it in the kernel: without its last `___suffix`.
pub fn essential_name(name: &str) -> &str {
    core::essential(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_suffix_is_stripped() {
        assert_eq!(essential_name("scx_bpf_dsq_insert___v2___compat"), "scx_bpf_dsq_insert___v2");
        assert_eq!(essential_name("scx_bpf_dsq_insert___v2"), "scx_bpf_dsq_insert");
        assert_eq!(essential_name("scx_bpf_now"), "scx_bpf_now");
        assert_eq!(essential_name("a___b"), "a");
        assert_eq!(essential_name("___b"), "___b");
        assert_eq!(essential_name(""), "");
    }
}

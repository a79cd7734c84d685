//! `func_info` and `line_info`: which function and source line an instruction belongs to.
//!
//! Two carriers: the arrays of BPF_PROG_LOAD ([`func_info`], [`line_info`]: offsets in slots) and the `.BTF.ext` section of an object
//! ([`Ext::parse`]: per ELF section, offsets in bytes). Longer records of newer compilers are read by their first fields. CO-RE
//! relocations are applied by libbpf; [`core`](super::core) only says what they ask for.

use super::{BTF_MAGIC, Btf, Str, TypeId};
use thiserror::Error;

/// A function begins here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FuncInfo {
    /// Slot (PROG_LOAD) or byte (`.BTF.ext`) of its first instruction.
    pub insn_off: u32,
    /// Its FUNC.
    pub ty: TypeId,
}

/// A source line begins here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LineInfo {
    /// Slot (PROG_LOAD) or byte (`.BTF.ext`).
    pub insn_off: u32,
    /// File name.
    pub file: Str,
    /// Text of the line.
    pub text: Str,
    /// Line number, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
}

/// An instruction is adapted to the kernel's types.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CoreRelo {
    /// Byte of the instruction in its ELF section.
    pub insn_off: u32,
    /// Type in the object's BTF from which the access starts.
    pub ty: TypeId,
    /// Members or enumerator by number: `0:3:1`.
    pub access: Str,
    /// `enum bpf_core_relo_kind`
    pub kind: u32,
}

/// What is wrong with an info array or a `.BTF.ext`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ExtError {
    /// The header of `.BTF.ext`.
    #[error(".BTF.ext header: {0}")]
    Header(&'static str),
    /// Records shorter than their known fields, or not on whole words.
    #[error("info records of {size} bytes, need a multiple of 4 from {least} on")]
    RecordSize {
        /// As given.
        size: u32,
        /// Bytes of the known fields.
        least: u32,
    },
    /// The bytes end inside a record.
    #[error("info records are cut off")]
    Torn,
}

const FUNC_BYTES: u32 = 8;
const LINE_BYTES: u32 = 16;
const CORE_BYTES: u32 = 16;
/// Of a header that names the relocations.
const CORE_HEADER: u32 = 32;

/// The `func_info` array of PROG_LOAD.
pub fn func_info(data: &[u8], rec_size: u32) -> Result<Vec<FuncInfo>, ExtError> {
    let records = records(data, rec_size, FUNC_BYTES)?;
    Ok(records.map(|r| FuncInfo { insn_off: word(r, 0), ty: TypeId(word(r, 4)) }).collect())
}

/// The `line_info` array of PROG_LOAD.
pub fn line_info(data: &[u8], rec_size: u32) -> Result<Vec<LineInfo>, ExtError> {
    let line = |r: &[u8]| LineInfo {
        insn_off: word(r, 0),
        file: Str(word(r, 4)),
        text: Str(word(r, 8)),
        line: word(r, 12) >> 10,
        column: word(r, 12) & 0x3ff,
    };
    Ok(records(data, rec_size, LINE_BYTES)?.map(line).collect())
}

fn core_relos(data: &[u8], rec_size: u32) -> Result<Vec<CoreRelo>, ExtError> {
    let relo = |r: &[u8]| CoreRelo {
        insn_off: word(r, 0),
        ty: TypeId(word(r, 4)),
        access: Str(word(r, 8)),
        kind: word(r, 12),
    };
    Ok(records(data, rec_size, CORE_BYTES)?.map(relo).collect())
}

/// The infos of one ELF section.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Section<T> {
    /// The ELF section's name.
    pub name: Str,
    /// Its records, as in the file.
    pub infos: Vec<T>,
}

/// A `.BTF.ext` section.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ext {
    /// Functions, per ELF section.
    pub funcs: Vec<Section<FuncInfo>>,
    /// Lines, per ELF section.
    pub lines: Vec<Section<LineInfo>>,
    /// CO-RE relocations, per ELF section.
    pub relos: Vec<Section<CoreRelo>>,
}

impl Ext {
    /// Reads a `.BTF.ext` section.
    pub fn parse(data: &[u8]) -> Result<Ext, ExtError> {
        let bad = ExtError::Header;
        if data.len() < 24 {
            return Err(bad("shorter than 24 bytes"));
        }
        if u16::from_le_bytes([data[0], data[1]]) != BTF_MAGIC || data[2] != 1 {
            return Err(bad("wrong magic or version"));
        }
        let body = data.get(word(data, 4) as usize..).ok_or(bad("header length beyond the data"))?;
        let part = |off: u32, len: u32| {
            let (off, len) = (off as usize, len as usize);
            body.get(off..off.saturating_add(len)).ok_or(bad("section beyond the data"))
        };
        let funcs = part(word(data, 8), word(data, 12))?;
        let lines = part(word(data, 16), word(data, 20))?;
        let relos = match word(data, 4) >= CORE_HEADER {
            true => part(word(data, 24), word(data, 28))?,
            false => &[],
        };
        Ok(Ext {
            funcs: sections(funcs, func_info)?,
            lines: sections(lines, line_info)?,
            relos: sections(relos, core_relos)?,
        })
    }

    /// The function that starts at byte `offset` of the ELF section `section`.
    pub fn func_at(&self, btf: &Btf, section: &str, offset: u32) -> Option<TypeId> {
        let infos = self.funcs.iter().filter(|s| btf.str(s.name) == section).flat_map(|s| &s.infos);
        infos.into_iter().find(|i| i.insn_off == offset).map(|i| i.ty)
    }
}

fn sections<T>(
    mut data: &[u8],
    read: impl Fn(&[u8], u32) -> Result<Vec<T>, ExtError>,
) -> Result<Vec<Section<T>>, ExtError> {
    let mut out = Vec::new();
    if data.is_empty() {
        return Ok(out);
    }
    let rec_size = take(&mut data, 4).map(|b| word(b, 0))?;
    while !data.is_empty() {
        let head = take(&mut data, 8)?;
        let bytes = u64::from(word(head, 4)) * u64::from(rec_size);
        let infos = take(&mut data, usize::try_from(bytes).map_err(|_| ExtError::Torn)?)?;
        out.push(Section { name: Str(word(head, 0)), infos: read(infos, rec_size)? });
    }
    Ok(out)
}

fn take<'a>(data: &mut &'a [u8], len: usize) -> Result<&'a [u8], ExtError> {
    let (head, rest) = data.split_at_checked(len).ok_or(ExtError::Torn)?;
    *data = rest;
    Ok(head)
}

fn records(data: &[u8], size: u32, least: u32) -> Result<impl Iterator<Item = &[u8]>, ExtError> {
    if size < least || !size.is_multiple_of(4) {
        return Err(ExtError::RecordSize { size, least });
    }
    if !data.len().is_multiple_of(size as usize) {
        return Err(ExtError::Torn);
    }
    Ok(data.chunks_exact(size as usize))
}

/// The word at `at`, 0 beyond the end.
fn word(data: &[u8], at: usize) -> u32 {
    data.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}

//! Where inlined code was called from, out of an object's DWARF: messages are to point at the author's line, not into the header that
//! has the wrapper. Objects without DWARF (stripped ones) keep the places that their BTF tells.

use std::path::Path;

use gimli::{
    AttributeValue, DW_AT_call_column, DW_AT_call_file, DW_AT_call_line, DW_AT_decl_line, DW_AT_name,
};
use gimli::{DW_TAG_inlined_subroutine, DW_TAG_subprogram, EndianSlice, LittleEndian};
use object::{Object, ObjectSection};
use sextant_uapi::Verdict;
use sextant_verifier::diag::Source;

type Bytes<'a> = EndianSlice<'a, LittleEndian>;
type Unit<'a> = gimli::Unit<Bytes<'a>>;
type Entry<'a, 'b> = gimli::DebuggingInformationEntry<'b, 'b, Bytes<'a>>;

/// Bytes of an instruction slot.
const SLOT: u64 = 8;

/// Fills in the calls of each refusal. What cannot be read is left out.
pub fn fill(object: &[u8], verdicts: &mut [Verdict]) {
    if verdicts.iter().all(|verdict| verdict.result.is_ok()) {
        return;
    }
    let Ok(file) = object::File::parse(object) else { return };
    // Every reference between the sections is an offset that stands in place: BPF objects have relocations without addends.
    let section = |id: gimli::SectionId| -> Result<&[u8], gimli::Error> {
        let data = file.section_by_name(id.name()).and_then(|section| section.data().ok());
        Ok(data.unwrap_or_default())
    };
    let Ok(sections) = gimli::DwarfSections::load(section) else { return };
    let dwarf = sections.borrow(|bytes| EndianSlice::new(bytes, LittleEndian));
    for rejection in verdicts.iter_mut().filter_map(|verdict| verdict.result.as_mut().err()) {
        let Some(function) = rejection.chain.last() else { continue };
        let Some(slots) = rejection.at.insn.checked_sub(rejection.at.start) else { continue };
        if let Ok(calls) = calls(&dwarf, function, slots as u64 * SLOT) {
            rejection.at.called_at = calls.into();
        }
        if let Some(source) = rejection.at.source.as_mut().filter(|source| source.text.is_empty()) {
            source.text = crate::header::line(&source.file, source.line).unwrap_or_default();
        }
    }
}

/// The calls around byte `offset` of a function, innermost first.
fn calls(dwarf: &gimli::Dwarf<Bytes>, function: &str, offset: u64) -> Result<Vec<Source>, gimli::Error> {
    let mut units = dwarf.units();
    while let Some(header) = units.next()? {
        let unit = dwarf.unit(header)?;
        let mut found: Option<(isize, u64, Vec<Source>)> = None;
        let mut declared = None;
        let mut depth = 0;
        let mut entries = unit.entries();
        while let Some((delta, entry)) = entries.next_dfs()? {
            depth += delta;
            match &mut found {
                None if entry.tag() == DW_TAG_subprogram && name(dwarf, &unit, entry)? == Some(function) => {
                    if let Some(range) = dwarf.die_ranges(&unit, entry)?.next()? {
                        found = Some((depth, range.begin + offset, Vec::new()));
                        declared = entry.attr_value(DW_AT_decl_line)?.and_then(|line| line.udata_value());
                    }
                }
                None => {}
                // The function's own entries are over.
                Some((of, ..)) if depth <= *of => break,
                Some((_, address, calls))
                    if entry.tag() == DW_TAG_inlined_subroutine && has(dwarf, &unit, entry, *address)? =>
                {
                    calls.extend(call(dwarf, &unit, entry)?);
                }
                Some(_) => {}
            }
        }
        if let Some((_, _, mut calls)) = found {
            // BPF_PROG() makes two functions of one: the call of the one from the other is on the line of both.
            calls.retain(|call| Some(u64::from(call.line)) != declared);
            calls.reverse();
            return Ok(calls);
        }
    }
    Ok(Vec::new())
}

fn name<'a>(
    dwarf: &gimli::Dwarf<Bytes<'a>>,
    unit: &Unit<'a>,
    entry: &Entry<'a, '_>,
) -> Result<Option<&'a str>, gimli::Error> {
    let Some(value) = entry.attr_value(DW_AT_name)? else { return Ok(None) };
    Ok(std::str::from_utf8(dwarf.attr_string(unit, value)?.slice()).ok())
}

fn has<'a>(
    dwarf: &gimli::Dwarf<Bytes<'a>>,
    unit: &Unit<'a>,
    entry: &Entry<'a, '_>,
    address: u64,
) -> Result<bool, gimli::Error> {
    let mut ranges = dwarf.die_ranges(unit, entry)?;
    while let Some(range) = ranges.next()? {
        if (range.begin..range.end).contains(&address) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Where an inlined function was called.
fn call<'a>(
    dwarf: &gimli::Dwarf<Bytes<'a>>,
    unit: &Unit<'a>,
    entry: &Entry<'a, '_>,
) -> Result<Option<Source>, gimli::Error> {
    let number = |name| -> Result<Option<u64>, gimli::Error> {
        Ok(entry.attr_value(name)?.and_then(|v| v.udata_value()))
    };
    let Some(line) = number(DW_AT_call_line)? else { return Ok(None) };
    let file = match entry.attr_value(DW_AT_call_file)? {
        Some(AttributeValue::FileIndex(index)) => path(dwarf, unit, index)?,
        Some(other) => path(dwarf, unit, other.udata_value().unwrap_or_default())?,
        None => None,
    };
    let Some(file) = file else { return Ok(None) };
    let column = number(DW_AT_call_column)?.unwrap_or_default() as u32;
    let text =
        crate::header::line(&file, line as u32).or_else(|| text(&file, line as usize)).unwrap_or_default();
    Ok(Some(Source { file, line: line as u32, column, text }))
}

/// A file of the unit's line table, from the root unless it is one of the program's own headers.
fn path(dwarf: &gimli::Dwarf<Bytes>, unit: &Unit, index: u64) -> Result<Option<String>, gimli::Error> {
    let Some(header) = unit.line_program.as_ref().map(|program| program.header()) else { return Ok(None) };
    let Some(file) = header.file(index) else { return Ok(None) };
    let text = |value| -> Result<String, gimli::Error> {
        Ok(dwarf.attr_string(unit, value)?.to_string_lossy().into_owned())
    };
    let mut path = std::path::PathBuf::from(text(file.path_name())?);
    if let Some(dir) = file.directory(header) {
        path = Path::new(&text(dir)?).join(path);
    }
    if !path.is_absolute() && !path.starts_with(crate::header::SHOWN) {
        let dir = unit.comp_dir.map(|dir| dir.to_string_lossy().into_owned()).unwrap_or_default();
        path = Path::new(&dir).join(path);
    }
    Ok(Some(path.display().to_string()))
}

/// A line of a source that is still there.
fn text(file: &str, line: usize) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    text.lines().nth(line.checked_sub(1)?).map(|line| line.trim_end().to_owned())
}

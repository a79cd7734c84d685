//! The object's global variables, by name and type: `--set` before the load, reading before and after it.
//!
//! ```text
//!  path  = name { "." field | "[" index "]" }
//!  value = number | true | false | 'c' | ENUMERATOR { "|" ENUMERATOR } | "text" | @cpus
//!        | "[" value, … "]"          exactly these elements   ┐ both resize a .data.X/.rodata.X/.bss.X section
//!        | "[" value ";" count "]"   count times the value    ┘ that holds nothing but this array
//! ```
//!
//! Types come from the BTF libbpf has fixed up at open (a section's offsets are zero in the file).

mod render;
mod show;
mod value;

use sextant_bpf::btf::{Btf, Kind, KindTag, TypeId};

pub use render::{render, render_bits};
pub use show::{Value, bits_value, value};
pub use value::{Enumerators, element_count, parse_i128, parse_into, parse_u32};

/// Why a global could not be set or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // the messages say what the fields are
pub enum SetError {
    #[error("the object has no global variable '{name}'{}", did_you_mean(.near))]
    UnknownName { name: String, near: Vec<String> },
    #[error("'{path}' ({ty}) has no field '{field}'{}", did_you_mean(.near))]
    UnknownField { path: String, ty: String, field: String, near: Vec<String> },
    #[error("the object has no program '{name}'{}", did_you_mean(.near))]
    UnknownProgram { name: String, near: Vec<String> },
    #[error("the object has no map '{name}'{}", did_you_mean(.near))]
    UnknownMap { name: String, near: Vec<String> },
    #[error("'{path}' is {ty}, not an array: it has no element [{index}]")]
    NotAnArray { path: String, ty: String, index: u64 },
    #[error("'{path}' has {len} elements: there is no [{index}]")]
    Index { path: String, len: u64, index: u64 },
    #[error("'{path}' cannot be read as a variable: {why}; examples: var, arr[3], s.field")]
    Path { path: String, why: String },
    #[error("'{path}' is {ty}: '{value}' is not one: {why}")]
    Value { path: String, ty: String, value: String, why: String },
    #[error("'{path}' cannot be set: {why}")]
    ReadOnly { path: String, why: String },
}

fn did_you_mean(near: &[String]) -> String {
    match near {
        [] => String::new(),
        _ => format!("; did you mean {}?", near.join(", ")),
    }
}

/// A step into a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// `.field`
    Field(String),
    /// `[index]`
    Index(u64),
}

/// `name.field[3]` taken apart.
pub fn parse_path(path: &str) -> Result<(String, Vec<Step>), SetError> {
    let bad = |why: &str| SetError::Path { path: path.to_string(), why: why.to_string() };
    let end = path.find(['.', '[']).unwrap_or(path.len());
    let (name, mut rest) = path.split_at(end);
    if name.is_empty() {
        return Err(bad("no name"));
    }
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            if end == 0 {
                return Err(bad("no field name behind '.'"));
            }
            steps.push(Step::Field(after[..end].to_string()));
            rest = &after[end..];
        } else if let Some(after) = rest.strip_prefix('[') {
            let (index, after) = after.split_once(']').ok_or_else(|| bad("no ']'"))?;
            let index = index.trim().parse().map_err(|_| bad("an index must be a number"))?;
            steps.push(Step::Index(index));
            rest = after;
        } else {
            return Err(bad("'.' or '[' expected behind ']'"));
        }
    }
    Ok((name.to_string(), steps))
}

/// A variable in a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Var {
    /// Its name.
    pub name: String,
    /// Section, such as `.rodata`.
    pub section: String,
    /// The section's DATASEC.
    pub section_id: TypeId,
    /// Its type.
    pub ty: TypeId,
    /// In the section, bytes.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
    /// The only variable of its section.
    pub alone: bool,
}

/// Every variable of the object, in the order of its BTF.
pub fn vars(btf: &Btf) -> Vec<Var> {
    let mut found = Vec::new();
    for (section_id, ty) in btf.types() {
        let Kind::DataSec { vars, .. } = &ty.kind else { continue };
        let section = btf.str(ty.name);
        if !is_data(section) {
            continue;
        }
        for v in vars {
            if let Kind::Var { ty, .. } = btf.kind(v.var) {
                found.push(Var {
                    name: btf.name(v.var).to_string(),
                    section: section.to_string(),
                    section_id,
                    ty: *ty,
                    offset: v.offset,
                    size: v.size,
                    alone: vars.len() == 1,
                });
            }
        }
    }
    found
}

fn is_data(section: &str) -> bool {
    let has =
        |prefix: &str| section == prefix || section.strip_prefix(prefix).is_some_and(|s| s.starts_with('.'));
    has(".data") || has(".rodata") || has(".bss") || section.starts_with(".addr_space")
}

/// The variable of that name, or the names closest to it.
pub fn find_var(btf: &Btf, name: &str) -> Result<Var, SetError> {
    let all = vars(btf);
    if let Some(var) = all.iter().find(|var| var.name == name) {
        return Ok(var.clone());
    }
    let near = nearest(name, all.iter().map(|var| var.name.as_str()));
    Err(SetError::UnknownName { name: name.to_string(), near })
}

/// A place inside a value: type, bit offset from its start, bits of a bit field (0: none).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Type of what is there.
    pub ty: TypeId,
    /// From the start, bits.
    pub bit_offset: u64,
    /// Width of a bit field, 0 for anything else.
    pub bits: u8,
}

/// Follows steps from a value of type `ty`.
pub fn walk(btf: &Btf, path: &str, ty: TypeId, steps: &[Step]) -> Result<Place, SetError> {
    let mut place = Place { ty, bit_offset: 0, bits: 0 };
    for step in steps {
        let resolved = btf.resolve(place.ty).unwrap_or(place.ty);
        let so_far = || (path.to_string(), btf.type_name(place.ty));
        match (step, btf.kind(resolved)) {
            (Step::Index(index), Kind::Array { elem, nelems, .. }) => {
                if *index >= u64::from(*nelems) {
                    let len = u64::from(*nelems);
                    return Err(SetError::Index { path: path.to_string(), len, index: *index });
                }
                let size = btf.size_of(*elem).unwrap_or(0);
                place = Place { ty: *elem, bit_offset: place.bit_offset + index * size * 8, bits: 0 };
            }
            (Step::Index(index), _) => {
                let (path, ty) = so_far();
                return Err(SetError::NotAnArray { path, ty, index: *index });
            }
            (Step::Field(field), _) => {
                let fields = btf.fields(resolved).unwrap_or_default();
                let Some(f) = fields.iter().find(|f| btf.str(f.name) == field) else {
                    let near = nearest(field, fields.iter().map(|f| btf.str(f.name)));
                    let (path, ty) = so_far();
                    return Err(SetError::UnknownField { path, ty, field: field.clone(), near });
                };
                place = Place { ty: f.ty, bit_offset: place.bit_offset + f.bit_offset, bits: f.bits };
            }
        }
    }
    Ok(place)
}

/// The element type and length, if this is an array.
pub fn array(btf: &Btf, ty: TypeId) -> Option<(TypeId, u32)> {
    match btf.resolve(ty).map(|ty| btf.kind(ty)) {
        Ok(Kind::Array { elem, nelems, .. }) => Some((*elem, *nelems)),
        _ => None,
    }
}

/// Up to three candidates within a third of the name's length.
pub fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Vec<String> {
    let limit = (name.len() / 3).max(2);
    let mut near: Vec<(usize, &str)> = candidates
        .filter(|c| !c.is_empty())
        .map(|c| if c.contains(name) || name.contains(c) { (1, c) } else { (distance(name, c), c) })
        .filter(|&(d, _)| d <= limit)
        .collect();
    near.sort();
    near.dedup();
    near.into_iter().take(3).map(|(_, c)| c.to_string()).collect()
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &cb) in b.iter().enumerate() {
            let cost = diagonal + usize::from(ca != cb);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// Whether the object refers to the kernel function `name`.
pub fn refers_to_kfunc(btf: &Btf, name: &str) -> bool {
    btf.find_all(name).any(|id| btf.kind(id).tag() == KindTag::Func)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart() {
        let (name, steps) = parse_path("a.b[3].c").unwrap();
        assert_eq!(name, "a");
        assert_eq!(steps, [Step::Field("b".into()), Step::Index(3), Step::Field("c".into())]);
        for bad in ["", ".a", "a.", "a[", "a[x]", "a[1]b", "a..b"] {
            assert!(matches!(parse_path(bad), Err(SetError::Path { .. })), "{bad}");
        }
    }

    #[test]
    fn a_typo_finds_its_neighbours() {
        let names = ["slice_ns", "fifo_sched", "nr_cpus"];
        assert_eq!(nearest("slice_n", names.into_iter()), ["slice_ns"]);
        assert_eq!(nearest("fifo_shced", names.into_iter()), ["fifo_sched"]);
        assert!(nearest("zzz", names.into_iter()).is_empty());
    }
}

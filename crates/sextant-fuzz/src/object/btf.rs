//! Changes of the BTF: header, types and what is in them, `.BTF.ext`. Layouts: include/uapi/linux/btf.h, 7.3.

use super::elf::field;
use super::{get, put, section};
use crate::rng::Rng;

/// Fields of the header.
const HEADER: [(usize, usize, &str); 7] = [
    (0, 2, "magic"),
    (2, 1, "version"),
    (4, 4, "hdr_len"),
    (8, 4, "type_off"),
    (12, 4, "type_len"),
    (16, 4, "str_off"),
    (20, 4, "str_len"),
];
/// Fields of `.BTF.ext`'s header.
const EXT_HEADER: [(usize, usize, &str); 8] = [
    (4, 4, "hdr_len"),
    (8, 4, "func_info_off"),
    (12, 4, "func_info_len"),
    (16, 4, "line_info_off"),
    (20, 4, "line_info_len"),
    (24, 4, "core_relo_off"),
    (28, 4, "core_relo_len"),
    (0, 2, "magic"),
];

/// A type in the file.
struct At {
    /// Of its first byte in the file.
    at: usize,
    kind: u64,
    /// Bytes behind the common ones.
    rest: usize,
}

/// One change; says what it was.
pub(super) fn change(bytes: &mut [u8], rng: &mut Rng) -> Option<String> {
    let (start, _) = section(bytes, ".BTF")?;
    match rng.below(12) {
        0 => field(bytes, rng, start, &HEADER, "BTF header".into()),
        1..=2 => ext(bytes, rng),
        _ => {
            let types = types(bytes, start)?;
            let nth = rng.below(types.len() as u64) as usize;
            a_type(bytes, rng, &types, nth)
        }
    }
}

/// The types that lie in the file as they should.
fn types(bytes: &[u8], start: usize) -> Option<Vec<At>> {
    let header = get(bytes, start + 4, 4)? as usize;
    let first = start.checked_add(header)?.checked_add(get(bytes, start + 8, 4)? as usize)?;
    let end = first.checked_add(get(bytes, start + 12, 4)? as usize)?;
    let mut types = Vec::new();
    let mut at = first;
    while at < end {
        let Some(info) = get(bytes, at + 4, 4) else { break };
        let (kind, vlen) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
        let rest = match kind {
            1 | 14 | 17 => 4,
            3 => 12,
            4 | 5 | 15 | 19 => 12 * vlen,
            6 | 13 => 8 * vlen,
            _ => 0,
        };
        types.push(At { at, kind, rest });
        at = at.checked_add(12 + rest)?;
    }
    (!types.is_empty()).then_some(types)
}

/// Another kind, count, size, reference or member. References often go to the type itself, to a neighbour, or past the end: that is what
/// makes circles.
fn a_type(bytes: &mut [u8], rng: &mut Rng, types: &[At], nth: usize) -> Option<String> {
    let At { at, kind, rest } = types[nth];
    let id = nth as u64 + 1;
    let reference = match rng.below(5) {
        0 => id,
        1 => id.wrapping_add(rng.below(5)).wrapping_sub(2),
        2 => types.len() as u64 + rng.below(3),
        3 => rng.below(types.len() as u64 + 1),
        _ => rng.number(),
    };
    let what = format!("type {id} (kind {kind})");
    match rng.below(6) {
        0 => field(bytes, rng, at, &[(0, 4, "name_off")], what),
        1 => field(bytes, rng, at, &[(4, 2, "vlen"), (7, 1, "kind"), (4, 4, "info")], what),
        2 => field(bytes, rng, at, &[(8, 4, "size or type")], what),
        3 => put(bytes, at + 8, 4, reference).then(|| format!("{what}: type -> {reference:#x}")),
        _ if rest >= 4 => {
            let word = at + 12 + 4 * rng.below(rest as u64 / 4) as usize;
            if rng.coin() {
                return put(bytes, word, 4, reference)
                    .then(|| format!("{what}: a word behind it -> {reference:#x}"));
            }
            field(bytes, rng, word, &[(0, 4, "a word behind it")], what)
        }
        _ => put(bytes, at + 8, 4, reference).then(|| format!("{what}: type -> {reference:#x}")),
    }
}

/// `.BTF.ext`: its header, or a word of its records.
fn ext(bytes: &mut [u8], rng: &mut Rng) -> Option<String> {
    let (start, size) = section(bytes, ".BTF.ext")?;
    if rng.below(4) == 0 || size < 40 {
        return field(bytes, rng, start, &EXT_HEADER, "BTF.ext header".into());
    }
    let word = rng.below(size as u64 / 4) as usize;
    field(bytes, rng, start.checked_add(word * 4)?, &[(0, 4, "value")], format!("BTF.ext word {word}"))
}

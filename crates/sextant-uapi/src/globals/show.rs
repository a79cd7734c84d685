//! Bytes of a type as a tree of named values, whole: for reports.

use sextant_bpf::btf::{Btf, Kind, TypeId};

/// Deeper than any type that a compiler makes.
const MAX_DEPTH: usize = 24;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A whole number, a character, or an enumerator without a name.
    Int(i128),
    /// A truth value.
    Bool(bool),
    /// An enumerator.
    Enumerator(String),
    /// An address.
    Pointer(u64),
    /// Characters up to the first NUL.
    Text(String),
    /// Bytes of which nobody says what they are.
    Bytes(Vec<u8>),
    /// Elements.
    Array(Vec<Value>),
    /// Fields, those of anonymous members among them.
    Struct(Vec<(String, Value)>),
}

/// The value of type `ty` in `bytes`.
pub fn value(btf: &Btf, ty: TypeId, bytes: &[u8]) -> Value {
    read(btf, ty, bytes, None, MAX_DEPTH)
}

/// The value of a bit field of `bits` bits that starts at bit `shift` of `bytes`.
pub fn bits_value(btf: &Btf, ty: TypeId, bytes: &[u8], shift: u32, bits: u8) -> Value {
    read(btf, ty, bytes, Some((shift, bits)), MAX_DEPTH)
}

fn read(btf: &Btf, ty: TypeId, bytes: &[u8], field: Option<(u32, u8)>, depth: usize) -> Value {
    let resolved = btf.resolve(ty).unwrap_or(ty);
    if depth == 0 {
        return Value::Bytes(bytes.to_vec());
    }
    match btf.kind(resolved) {
        Kind::Int { size, encoding, .. } => {
            let raw = load(bytes, *size, field);
            let bits = field.map_or(size * 8, |(_, bits)| u32::from(bits));
            match (encoding.is_bool(), encoding.is_signed()) {
                (true, _) => Value::Bool(raw != 0),
                (_, true) => Value::Int(signed(raw, bits)),
                _ => Value::Int(raw as i128),
            }
        }
        Kind::Enum { size, signed: is_signed, values, .. } => {
            let raw = load(bytes, *size, field);
            let number = if *is_signed { signed(raw, size * 8) } else { raw as i128 };
            let known = values.iter().find(|v| v.value == number as u64);
            known.map_or(Value::Int(number), |v| Value::Enumerator(btf.str(v.name).to_string()))
        }
        Kind::Ptr(_) => Value::Pointer(load(bytes, 8, None) as u64),
        Kind::Array { elem, nelems, .. } => array(btf, *elem, *nelems as usize, bytes, depth),
        Kind::Struct { members, .. } => {
            let mut fields = Vec::new();
            for m in members {
                let field = (m.bits > 0).then_some((m.bit_offset % 8, m.bits));
                let Some(rest) = bytes.get((m.bit_offset / 8) as usize..) else { continue };
                let value = read(btf, m.ty, rest, field, depth - 1);
                match (btf.str(m.name), value) {
                    ("", Value::Struct(inner)) => fields.extend(inner),
                    (name, value) => fields.push((name.to_string(), value)),
                }
            }
            Value::Struct(fields)
        }
        _ => Value::Bytes(bytes.to_vec()),
    }
}

fn array(btf: &Btf, elem: TypeId, nelems: usize, bytes: &[u8], depth: usize) -> Value {
    let size = btf.size_of(elem).unwrap_or(0) as usize;
    if size == 0 {
        return Value::Array(Vec::new());
    }
    let total = nelems.min(bytes.len() / size);
    if size == 1 && btf.resolve(elem).is_ok_and(|id| btf.name(id) == "char") {
        let end = bytes[..total].iter().position(|&b| b == 0).unwrap_or(total);
        return Value::Text(String::from_utf8_lossy(&bytes[..end]).into_owned());
    }
    Value::Array(bytes.chunks_exact(size).take(total).map(|c| read(btf, elem, c, None, depth - 1)).collect())
}

fn load(bytes: &[u8], size: u32, field: Option<(u32, u8)>) -> u128 {
    let mut unit = [0; 16];
    let len = bytes.len().min(if field.is_some() { 16 } else { size as usize }).min(16);
    unit[..len].copy_from_slice(&bytes[..len]);
    let raw = u128::from_le_bytes(unit);
    field.map_or(raw, |(shift, bits)| raw >> shift & ((1 << bits) - 1))
}

fn signed(raw: u128, bits: u32) -> i128 {
    let shift = 128 - bits.clamp(1, 128);
    ((raw << shift) as i128) >> shift
}

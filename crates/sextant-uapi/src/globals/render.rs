//! Bytes of a type as text, in the syntax `--set` reads where that is possible.

use sextant_bpf::btf::{Btf, Kind, TypeId};

/// Array elements shown before `…`.
const SHOWN: usize = 8;
/// Arrays up to this many bytes are looked through for equal elements.
const COMPARED: usize = 1 << 16;
const MAX_DEPTH: usize = 4;

/// The value in `bytes`.
pub fn render(btf: &Btf, ty: TypeId, bytes: &[u8]) -> String {
    value(btf, ty, bytes, None, MAX_DEPTH)
}

/// The value of a bit field of `bits` bits that starts at bit `shift` of `bytes`.
pub fn render_bits(btf: &Btf, ty: TypeId, bytes: &[u8], shift: u32, bits: u8) -> String {
    value(btf, ty, bytes, Some((shift, bits)), MAX_DEPTH)
}

fn value(btf: &Btf, ty: TypeId, bytes: &[u8], bit_field: Option<(u32, u8)>, depth: usize) -> String {
    let resolved = btf.resolve(ty).unwrap_or(ty);
    if depth == 0 {
        return "…".into();
    }
    match btf.kind(resolved) {
        Kind::Int { size, encoding, .. } => {
            let raw = load(bytes, *size, bit_field);
            let bits = bit_field.map_or(size * 8, |(_, bits)| u32::from(bits));
            match (encoding.is_bool(), encoding.is_signed()) {
                (true, _) => (raw != 0).to_string(),
                (_, true) => signed(raw, bits).to_string(),
                _ => raw.to_string(),
            }
        }
        Kind::Enum { size, signed: is_signed, values, .. } => {
            let raw = load(bytes, *size, bit_field);
            let number = if *is_signed { signed(raw, size * 8) as u64 } else { raw as u64 };
            let known = values.iter().find(|v| v.value == number);
            known.map_or_else(|| raw.to_string(), |v| btf.str(v.name).to_string())
        }
        Kind::Ptr(_) => format!("{:#x}", load(bytes, 8, None)),
        Kind::Array { elem, nelems, .. } => array(btf, *elem, *nelems as usize, bytes, depth),
        Kind::Struct { members, .. } => {
            let mut parts = Vec::new();
            for m in members.iter().take(SHOWN) {
                let at = (m.bit_offset / 8) as usize;
                let field = (m.bits > 0).then_some((m.bit_offset % 8, m.bits));
                let Some(rest) = bytes.get(at..) else { continue };
                parts.push(format!("{}: {}", btf.str(m.name), value(btf, m.ty, rest, field, depth - 1)));
            }
            if members.len() > SHOWN {
                parts.push("…".into());
            }
            format!("{{{}}}", parts.join(", "))
        }
        _ => "?".into(),
    }
}

fn array(btf: &Btf, elem: TypeId, nelems: usize, bytes: &[u8], depth: usize) -> String {
    let size = btf.size_of(elem).unwrap_or(0) as usize;
    if size == 0 {
        return "[]".into();
    }
    let name = btf.resolve(elem).map(|id| btf.name(id).to_string()).unwrap_or_default();
    if size == 1 && name == "char" {
        let text = &bytes[..nelems.min(bytes.len())];
        let end = text.iter().position(|&b| b == 0).unwrap_or(text.len());
        return format!("{:?}", String::from_utf8_lossy(&text[..end.min(80)]));
    }
    let total = nelems.min(bytes.len() / size);
    let element = |chunk: &[u8]| value(btf, elem, chunk, None, depth - 1);
    let mut chunks = bytes.chunks_exact(size).take(total);
    let small = total * size <= COMPARED;
    if total > SHOWN && small && bytes[..total * size].chunks_exact(size).all(|c| c == &bytes[..size]) {
        return format!("[{}; {total}]", element(&bytes[..size]));
    }
    let mut parts: Vec<String> = chunks.by_ref().take(SHOWN).map(element).collect();
    if total > SHOWN {
        parts.push(format!("… {total} in all"));
    }
    format!("[{}]", parts.join(", "))
}

fn load(bytes: &[u8], size: u32, bit_field: Option<(u32, u8)>) -> u128 {
    let mut unit = [0; 16];
    let len = bytes.len().min(if bit_field.is_some() { 16 } else { size as usize });
    unit[..len].copy_from_slice(&bytes[..len]);
    let raw = u128::from_le_bytes(unit);
    bit_field.map_or(raw, |(shift, bits)| raw >> shift & ((1 << bits) - 1))
}

fn signed(raw: u128, bits: u32) -> i128 {
    let shift = 128 - bits.clamp(1, 128);
    ((raw << shift) as i128) >> shift
}

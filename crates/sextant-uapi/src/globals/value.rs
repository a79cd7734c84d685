//! A value as text into the bytes of a typed place.

use sextant_bpf::btf::{Btf, Kind, TypeId};

use super::{SetError, array};

/// Where names in a value may come from.
pub struct Enumerators<'a> {
    /// The object's types.
    pub object: &'a Btf,
    /// The kernel's types.
    pub kernel: &'a Btf,
    /// What `@cpus` stands for.
    pub nr_cpus: u32,
}

/// What a number-like text stands for.
struct Number {
    value: i128,
}

/// Writes `text` as a value of type `ty` into `out`, which is exactly as long. `bits` is the width of a bit field whose
/// first bit is bit `shift` of `out`.
pub fn parse_into(
    names: &Enumerators<'_>,
    path: &str,
    ty: TypeId,
    bit_field: Option<(u32, u8)>,
    text: &str,
    out: &mut [u8],
) -> Result<(), SetError> {
    let btf = names.object;
    let text = text.trim();
    let bad = |why: String| SetError::Value {
        path: path.to_string(),
        ty: btf.type_name(ty),
        value: text.to_string(),
        why,
    };
    let resolved = btf.resolve(ty).map_err(|e| bad(e.to_string()))?;
    match btf.kind(resolved) {
        Kind::Int { size, encoding, .. } => {
            let number = number(names, text).map_err(bad)?;
            let (bytes, bits) = (*size, bit_field.map_or(size * 8, |(_, bits)| u32::from(bits)));
            if encoding.is_bool() && !(0..=1).contains(&number.value) {
                return Err(bad("true or false expected".into()));
            }
            in_range(number.value, bits, encoding.is_signed()).map_err(bad)?;
            store(number.value, bytes, bit_field, out);
            Ok(())
        }
        Kind::Enum { size, signed, .. } => {
            let number = number(names, text).map_err(bad)?;
            in_range(number.value, size * 8, *signed).map_err(bad)?;
            store(number.value, *size, bit_field, out);
            Ok(())
        }
        Kind::Array { elem, nelems, .. } => into_array(names, path, ty, (*elem, *nelems), text, out),
        Kind::Struct { .. } => {
            let fields = btf.fields(resolved).unwrap_or_default();
            let list: Vec<&str> = fields.iter().take(12).map(|f| btf.str(f.name)).collect();
            Err(bad(format!("set its fields one by one: {path}.{}", list.join(&format!(", {path}.")))))
        }
        Kind::Ptr(_) => Err(bad("a pointer cannot be set".into())),
        _ => Err(bad("values of this type cannot be set".into())),
    }
}

fn into_array(
    names: &Enumerators<'_>,
    path: &str,
    ty: TypeId,
    (elem, nelems): (TypeId, u32),
    text: &str,
    out: &mut [u8],
) -> Result<(), SetError> {
    let btf = names.object;
    let bad = |why: String| SetError::Value {
        path: path.to_string(),
        ty: btf.type_name(ty),
        value: text.to_string(),
        why,
    };
    if let Some(string) = quoted(text) {
        if btf.size_of(elem) != Ok(1) || array(btf, elem).is_some() {
            return Err(bad("text needs an array of char".into()));
        }
        let bytes = string.map_err(bad)?;
        if bytes.len() >= out.len() {
            return Err(bad(format!(
                "{} bytes and the terminating 0 do not fit into {}",
                bytes.len(),
                out.len()
            )));
        }
        out.fill(0);
        out[..bytes.len()].copy_from_slice(&bytes);
        return Ok(());
    }
    let values = list(names, text).map_err(bad)?;
    // Fewer are the first elements; the others stay as they are.
    if values.len() > nelems as usize {
        let n = values.len();
        return Err(bad(format!("{n} values for {nelems} elements, and the section cannot be resized")));
    }
    let size = btf.size_of(elem).map_err(|e| bad(e.to_string()))? as usize;
    for (i, (value, out)) in values.iter().zip(out.chunks_exact_mut(size)).enumerate() {
        parse_into(names, &format!("{path}[{i}]"), elem, None, value, out)?;
    }
    Ok(())
}

/// A plain number, such as a map's size.
pub fn parse_u32(names: &Enumerators<'_>, path: &str, text: &str) -> Result<u32, SetError> {
    let parsed = number(names, text.trim())
        .and_then(|n| u32::try_from(n.value).map_err(|_| format!("{} is outside 0..={}", n.value, u32::MAX)));
    parsed.map_err(|why| SetError::Value {
        path: path.into(),
        ty: "unsigned int".into(),
        value: text.into(),
        why,
    })
}

/// A number in any of the ways that values have.
pub fn parse_i128(names: &Enumerators<'_>, text: &str) -> Result<i128, String> {
    number(names, text.trim()).map(|n| n.value)
}

/// How many elements `[a, b]` or `[a; n]` has.
pub fn element_count(names: &Enumerators<'_>, text: &str) -> Result<usize, String> {
    list(names, text).map(|values| values.len())
}

/// `[a, b]` or `[a; n]` as one text per element.
fn list(names: &Enumerators<'_>, text: &str) -> Result<Vec<String>, String> {
    let inner = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    let inner = inner.ok_or("an array is set as [v, …] or [v; N], one element as name[i]=v")?;
    if let Some((value, count)) = split_top(inner, ';') {
        let count = number(names, count.trim())?.value;
        let count = usize::try_from(count).ok().filter(|&n| n <= MAX_ELEMENTS);
        let count = count.ok_or(format!("the count must be 0..={MAX_ELEMENTS}"))?;
        return Ok(vec![value.trim().to_string(); count]);
    }
    let mut values = Vec::new();
    let mut rest = inner.trim();
    while !rest.is_empty() {
        let (value, after) = split_top(rest, ',').unwrap_or((rest, ""));
        values.push(value.trim().to_string());
        rest = after.trim_start();
    }
    Ok(values)
}

/// More than any scheduler sizes an array to, so that a typo does not eat the memory.
const MAX_ELEMENTS: usize = 1 << 24;

/// Splits at the first `separator` outside of brackets and quotes.
fn split_top(text: &str, separator: char) -> Option<(&str, &str)> {
    let (mut depth, mut quote, mut escaped) = (0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote => escaped = true,
            '"' => quote = !quote,
            '[' if !quote => depth += 1,
            ']' if !quote => depth -= 1,
            c if c == separator && depth == 0 && !quote => {
                return Some((&text[..at], &text[at + c.len_utf8()..]));
            }
            _ => {}
        }
    }
    None
}

/// `"text"` with \n, \t, \0, \\ and \".
fn quoted(text: &str) -> Option<Result<Vec<u8>, String>> {
    let inner = text.strip_prefix('"')?;
    let Some(inner) = inner.strip_suffix('"') else { return Some(Err("no closing '\"'".into())) };
    let mut bytes = Vec::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        let c = match c {
            '\\' => match chars.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('0') => '\0',
                Some(c @ ('\\' | '"')) => c,
                other => return Some(Err(format!("unknown escape \\{}", other.unwrap_or(' ')))),
            },
            c => c,
        };
        bytes.extend(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
    Some(Ok(bytes))
}

/// Numbers, `true`, `false`, `'c'`, `@cpus`, enumerators, and these joined by `|`.
fn number(names: &Enumerators<'_>, text: &str) -> Result<Number, String> {
    let mut value = 0;
    let parts: Vec<&str> = if text.contains("'|'") { vec![text] } else { text.split('|').collect() };
    let many = parts.len() > 1;
    for part in parts {
        let one = single(names, part.trim())?;
        if many && one < 0 {
            return Err("a negative number cannot be joined with |".into());
        }
        value |= one;
    }
    Ok(Number { value })
}

fn single(names: &Enumerators<'_>, text: &str) -> Result<i128, String> {
    match text {
        "" => return Err("nothing there".into()),
        "true" => return Ok(1),
        "false" => return Ok(0),
        "@cpus" => return Ok(names.nr_cpus.into()),
        _ => {}
    }
    if let Some(c) = text.strip_prefix('\'').and_then(|t| t.strip_suffix('\'')) {
        let mut chars = c.chars();
        return match (chars.next(), chars.next()) {
            (Some(c), None) if c.is_ascii() => Ok(c as i128),
            _ => Err("one ASCII character expected between quotes".into()),
        };
    }
    let first = text.trim_start_matches(['-', '+']).chars().next();
    if first.is_some_and(|c| c.is_ascii_digit()) {
        return parse_int(text).ok_or_else(|| format!("'{text}' is not a number"));
    }
    enumerator(names, text)
        .ok_or_else(|| format!("'{text}' is neither a number nor an enumerator of the object or the kernel"))
}

fn parse_int(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = digits.replace('_', "");
    let lower = digits.to_ascii_lowercase();
    let value = match lower.get(..2) {
        Some("0x") => i128::from_str_radix(&lower[2..], 16),
        Some("0b") => i128::from_str_radix(&lower[2..], 2),
        Some("0o") => i128::from_str_radix(&lower[2..], 8),
        _ => lower.parse(),
    };
    let value = value.ok().filter(|v| *v >= 0)?;
    Some(if negative { -value } else { value })
}

/// An enumerator of the object, else of the kernel (the kernel's values are what a scheduler runs with, so `SCX_*` come from there first).
fn enumerator(names: &Enumerators<'_>, name: &str) -> Option<i128> {
    let order = match name.starts_with("SCX_") {
        true => [names.kernel, names.object],
        false => [names.object, names.kernel],
    };
    order.into_iter().find_map(|btf| {
        btf.types().find_map(|(_, ty)| match &ty.kind {
            Kind::Enum { signed, values, .. } => {
                let found = values.iter().find(|v| btf.str(v.name) == name)?;
                Some(if *signed { i128::from(found.value as i64) } else { i128::from(found.value) })
            }
            _ => None,
        })
    })
}

fn in_range(value: i128, bits: u32, signed: bool) -> Result<(), String> {
    let (min, max) = match signed {
        true => (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1),
        false => (0, (1i128 << bits) - 1),
    };
    if (min..=max).contains(&value) { Ok(()) } else { Err(format!("{value} is outside {min}..={max}")) }
}

fn store(value: i128, size: u32, bit_field: Option<(u32, u8)>, out: &mut [u8]) {
    let Some((shift, bits)) = bit_field else {
        let bytes = (value as u128).to_le_bytes();
        let size = (size as usize).min(out.len());
        out[..size].copy_from_slice(&bytes[..size]);
        return;
    };
    let mut unit = [0; 16];
    let len = out.len().min(16);
    unit[..len].copy_from_slice(&out[..len]);
    let mask = ((1u128 << bits) - 1) << shift;
    let unit = u128::from_le_bytes(unit) & !mask | ((value as u128) << shift) & mask;
    out[..len].copy_from_slice(&unit.to_le_bytes()[..len]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use sextant_bpf::btf::{Builder, Enumerator, IntEncoding, Member};

    fn int(b: &mut Builder, name: &str, size: u32, encoding: IntEncoding) -> TypeId {
        b.add(name, Kind::Int { size, encoding, offset: 0, bits: (size * 8) as u8 })
    }

    struct Types {
        btf: Btf,
        u32_: TypeId,
        s32_: TypeId,
        bool_: TypeId,
        text: TypeId,
        arr: TypeId,
        mode: TypeId,
        s: TypeId,
    }

    fn types() -> Types {
        let mut b = Builder::new();
        let u32_ = int(&mut b, "unsigned int", 4, IntEncoding::UNSIGNED);
        let s32_ = int(&mut b, "int", 4, IntEncoding::SIGNED);
        let bool_ = int(&mut b, "_Bool", 1, IntEncoding::BOOL);
        let char_ = int(&mut b, "char", 1, IntEncoding::SIGNED);
        let text = b.add("", Kind::Array { elem: char_, index: u32_, nelems: 8 });
        let arr = b.add("", Kind::Array { elem: s32_, index: u32_, nelems: 3 });
        let (one, two) = (b.str("MODE_ONE"), b.str("MODE_TWO"));
        let values = vec![Enumerator { name: one, value: 1 }, Enumerator { name: two, value: 2 }];
        let mode = b.add("mode", Kind::Enum { wide: false, size: 4, signed: false, values });
        let (lo, hi) = (b.str("lo"), b.str("hi"));
        let members = vec![
            Member { name: lo, ty: u32_, bit_offset: 0, bits: 3 },
            Member { name: hi, ty: u32_, bit_offset: 3, bits: 5 },
        ];
        let s = b.add("s", Kind::Struct { union: false, size: 4, members });
        Types { btf: b.finish().unwrap(), u32_, s32_, bool_, text, arr, mode, s }
    }

    fn set(t: &Types, ty: TypeId, text: &str) -> Result<Vec<u8>, SetError> {
        let names = Enumerators { object: &t.btf, kernel: &t.btf, nr_cpus: 6 };
        let mut out = vec![0xff; t.btf.size_of(ty).unwrap() as usize];
        parse_into(&names, "x", ty, None, text, &mut out).map(|()| out)
    }

    #[test]
    fn numbers_in_every_spelling() {
        let t = types();
        for (text, want) in [
            ("7", 7),
            ("0x1f", 31),
            ("0b101", 5),
            ("1_000", 1000),
            ("true", 1),
            ("'A'", 65),
            ("@cpus", 6),
            ("MODE_TWO", 2),
            ("MODE_ONE|0x4", 5),
        ] {
            assert_eq!(set(&t, t.u32_, text).unwrap(), u32::to_le_bytes(want), "{text}");
        }
        assert_eq!(set(&t, t.s32_, "-1").unwrap(), [0xff; 4]);
        assert_eq!(set(&t, t.mode, "MODE_TWO").unwrap(), [2, 0, 0, 0]);
    }

    #[test]
    fn ill_typed_values_name_the_type() {
        let t = types();
        for (ty, text) in [
            (t.u32_, "-1"),
            (t.u32_, "0x1_0000_0000"),
            (t.u32_, "12x"),
            (t.u32_, ""),
            (t.u32_, "SCX_NOPE"),
            (t.s32_, "0x80000000"),
            (t.bool_, "2"),
            (t.bool_, "yes"),
            (t.text, "5"),
            (t.text, "\"eight ch\""),
            (t.arr, "[1,2,3,4]"),
            (t.arr, "[1,2,\"x\"]"),
            (t.arr, "7"),
            (t.s, "1"),
        ] {
            let error = set(&t, ty, text).unwrap_err();
            assert!(matches!(error, SetError::Value { .. }), "{text}: {error}");
        }
        let error = set(&t, t.u32_, "-1").unwrap_err().to_string();
        assert_eq!(error, "'x' is unsigned int: '-1' is not one: -1 is outside 0..=4294967295");
    }

    #[test]
    fn arrays_and_text() {
        let t = types();
        assert_eq!(set(&t, t.text, "\"ab\\n\"").unwrap(), *b"ab\n\0\0\0\0\0");
        assert_eq!(set(&t, t.arr, "[1, -1, 3]").unwrap(), [1, 0, 0, 0, 255, 255, 255, 255, 3, 0, 0, 0]);
        assert_eq!(set(&t, t.arr, "[2; 3]").unwrap(), [2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0]);
        assert!(set(&t, t.arr, "[2; 99999999999]").is_err());
    }

    #[test]
    fn bit_fields_keep_their_neighbours() {
        let t = types();
        let names = Enumerators { object: &t.btf, kernel: &t.btf, nr_cpus: 6 };
        let mut out = [0b101, 0, 0, 0];
        parse_into(&names, "s.hi", t.u32_, Some((3, 5)), "17", &mut out).unwrap();
        assert_eq!(out, [0b1000_1101, 0, 0, 0]);
        assert!(parse_into(&names, "s.hi", t.u32_, Some((3, 5)), "32", &mut out).is_err());
    }
}

//! `bpf_strtol` and `bpf_strtoul`. Mirrors kernel/bpf/helpers.c and lib/kstrtox.c, 7.3.

use crate::Errno;
use crate::error::TrapKind;
use crate::exec::Exec;

/// BPF_STRTOX_BASE_MASK
const BASE_MASK: u64 = 0x1f;
/// What is looked at behind white space and sign, bytes.
const MAX_DIGITS: usize = 63;

/// A number at the start of a text.
struct Parsed {
    value: u64,
    negative: bool,
    /// Bytes up to the number's end.
    len: usize,
}

/// The kernel's `isspace`.
fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | b' ' | 0xa0)
}

/// EINVAL for flags other than a base of 0, 8, 10 or 16, and for no digit; ERANGE for what does not fit in 64 bits.
fn parse(text: &[u8], flags: u64) -> Result<Parsed, Errno> {
    let mut base = (flags & BASE_MASK) as u32;
    if text.is_empty() || !matches!(base, 0 | 8 | 10 | 16) || flags & !BASE_MASK != 0 {
        return Err(Errno::EINVAL);
    }
    let space = text.iter().take_while(|b| is_space(**b)).count();
    let negative = text.get(space) == Some(&b'-');
    let start = space + usize::from(negative);
    let rest = &text[start..];
    if rest.is_empty() {
        return Err(Errno::EINVAL);
    }
    let rest = &rest[..rest.len().min(MAX_DIGITS)];
    let hex_prefix = rest.len() > 1 && rest[0] == b'0' && rest[1] | 0x20 == b'x';
    if base == 0 {
        base = match rest[0] {
            b'0' if hex_prefix && rest.get(2).is_some_and(u8::is_ascii_hexdigit) => 16,
            b'0' => 8,
            _ => 10,
        };
    }
    let prefix = if base == 16 && hex_prefix { 2 } else { 0 };
    let digit = |b: &u8| char::from(*b).to_digit(16).filter(|d| *d < base).map(u64::from);
    let digits: Vec<u64> = rest[prefix..].iter().map_while(digit).collect();
    let mut value = Some(0u64);
    for d in &digits {
        value = value.and_then(|v| v.checked_mul(base.into())).and_then(|v| v.checked_add(*d));
    }
    let value = value.ok_or(Errno::ERANGE)?;
    if digits.is_empty() {
        return Err(Errno::EINVAL);
    }
    Ok(Parsed { value, negative, len: start + prefix + digits.len() })
}

/// `bpf_strtol(buf, buf_len, flags, res)`: bytes consumed.
pub(super) fn strtol(exec: &mut Exec<'_>, args: [u64; 5]) -> Result<u64, TrapKind> {
    convert(exec, args, |parsed| match i128::from(parsed.value) * if parsed.negative { -1 } else { 1 } {
        n if (i64::MIN.into()..=i64::MAX.into()).contains(&n) => Ok(n as i64 as u64),
        _ => Err(Errno::ERANGE),
    })
}

/// `bpf_strtoul(buf, buf_len, flags, res)`: bytes consumed; EINVAL for a minus.
pub(super) fn strtoul(exec: &mut Exec<'_>, args: [u64; 5]) -> Result<u64, TrapKind> {
    convert(exec, args, |parsed| if parsed.negative { Err(Errno::EINVAL) } else { Ok(parsed.value) })
}

fn convert(
    exec: &mut Exec<'_>,
    [buf, len, flags, res, _]: [u64; 5],
    result: impl Fn(&Parsed) -> Result<u64, Errno>,
) -> Result<u64, TrapKind> {
    exec.region.bpf_store(res, 8, 0)?;
    // White space may be long; what follows it is short.
    let mut text = Vec::new();
    for at in 0..len {
        let byte = exec.region.bpf_load(buf.wrapping_add(at), 1)? as u8;
        text.push(byte);
        let digits = text.iter().skip_while(|b| is_space(**b)).count();
        if digits > MAX_DIGITS + 1 {
            break;
        }
    }
    let done = parse(&text, flags).and_then(|parsed| result(&parsed).map(|value| (value, parsed.len)));
    match done {
        Ok((value, len)) => {
            exec.region.bpf_store(res, 8, value)?;
            Ok(len as u64)
        }
        Err(errno) => Ok(errno.ret()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str, flags: u64) -> Result<(u64, bool, usize), i32> {
        parse(text.as_bytes(), flags).map(|p| (p.value, p.negative, p.len)).map_err(|e| e.0)
    }

    #[test]
    fn numbers_as_the_kernel_reads_them() {
        assert_eq!(number("42", 0), Ok((42, false, 2)));
        assert_eq!(number(" \t-17x", 10), Ok((17, true, 5)));
        assert_eq!(number("0x1fz", 0), Ok((31, false, 4)));
        assert_eq!(number("0x1f", 16), Ok((31, false, 4)));
        assert_eq!(number("1F", 16), Ok((31, false, 2)));
        assert_eq!(number("0x1f", 10), Ok((0, false, 1)));
        assert_eq!(number("0xg", 0), Ok((0, false, 1)));
        assert_eq!(number("0xg", 16), Err(22));
        assert_eq!(number("017", 0), Ok((15, false, 3)));
        assert_eq!(number("09", 0), Ok((0, false, 1)));
        assert_eq!(number("18446744073709551615", 0), Ok((u64::MAX, false, 20)));
        assert_eq!(number("18446744073709551616", 0), Err(34));
        for (text, flags) in
            [("", 0), (" ", 0), ("-", 0), ("--1", 0), ("+1", 0), ("x", 0), ("1", 7), ("1", 1 << 5)]
        {
            assert_eq!(number(text, flags), Err(22), "{text:?} {flags}");
        }
    }
}

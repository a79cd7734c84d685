//! The format language of BPF's printing helpers: a checked subset of printk's.
//!
//! ```text
//!  %[0+- ]*[width](d|i|u|x|X|ld|lld|…)     %[..]s  %[..]c  %[..]p  %pK %px %ps %pS %pB  %pks %pus  %pi4 %pI4   %%
//! ```
//!
//! Anything else is EINVAL before a character is printed, as in the kernel. A pointer prints as the program sees it:
//! DIVERGES from %p's hash (and is the same on every run). Leaves out %pi6 and %pI6 (EINVAL).
//! Mirrors bpf_bprintf_prepare of kernel/bpf/helpers.c and lib/vsprintf.c, 7.3.

use crate::Errno;
use crate::region::Region;

/// Longest output, with the NUL (MAX_BPRINTF_BUF).
pub(crate) const MAX_OUTPUT: usize = 1024;
/// Longest string argument.
const MAX_STRING: usize = 511;

/// What a specification prints.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Conv {
    Signed,
    Unsigned,
    Hex,
    UpperHex,
    Char,
    /// A kernel string.
    Str,
    /// A user string: there is no user memory.
    UserStr,
    Pointer,
    Symbol,
    Ip4 {
        /// Leading zeros (`%pi4`).
        padded: bool,
    },
}

#[derive(Clone, Copy, Debug)]
struct Spec {
    conv: Conv,
    wide: bool,
    left: bool,
    zero: bool,
    plus: bool,
    space: bool,
    width: usize,
    /// Bytes of the format behind the `%`.
    len: usize,
}

/// Formats `fmt` (without a NUL) with its arguments. EINVAL for an unsupported format or too few arguments.
pub(crate) fn format(region: &Region, fmt: &[u8], args: &[u64]) -> Result<Vec<u8>, Errno> {
    let mut out = Vec::with_capacity(fmt.len() + 16);
    let mut args = args.iter();
    let mut at = 0;
    while at < fmt.len() {
        let byte = fmt[at];
        if !(byte.is_ascii_graphic() || byte == b' ' || (9..=13).contains(&byte)) {
            return Err(Errno::EINVAL);
        }
        at += 1;
        if byte != b'%' {
            out.push(byte);
        } else if fmt.get(at) == Some(&b'%') {
            out.push(b'%');
            at += 1;
        } else {
            let arg = args.next().ok_or(Errno::EINVAL)?;
            let spec = parse(&fmt[at..])?;
            at += spec.len;
            print(region, spec, *arg, &mut out)?;
        }
    }
    Ok(out)
}

/// Whether a specification may end before this byte.
fn ends(rest: &[u8]) -> bool {
    rest.first().is_none_or(|b| b.is_ascii_punctuation() || b.is_ascii_whitespace() || *b == 11)
}

fn parse(text: &[u8]) -> Result<Spec, Errno> {
    let flags = text.iter().take_while(|b| b"0+- ".contains(b)).count();
    let has = |flag| text[..flags].contains(&flag);
    let digits = text[flags..].iter().take_while(|b| b.is_ascii_digit()).count();
    let width =
        text[flags..flags + digits].iter().fold(0usize, |w, b| w * 10 % 100_000 + usize::from(b - b'0'));
    let rest = &text[flags + digits..];
    let (conv, wide, len) = conversion(rest)?;
    Ok(Spec {
        conv,
        wide,
        left: has(b'-'),
        zero: has(b'0') && !has(b'-'),
        plus: has(b'+'),
        space: has(b' '),
        width: width.min(MAX_OUTPUT),
        len: flags + digits + len,
    })
}

fn conversion(rest: &[u8]) -> Result<(Conv, bool, usize), Errno> {
    match rest.first() {
        Some(b'p') => pointer(&rest[1..]).map(|(conv, len)| (conv, true, len + 1)),
        Some(b's') if ends(&rest[1..]) => Ok((Conv::Str, true, 1)),
        Some(b'c') if ends(&rest[1..]) => Ok((Conv::Char, false, 1)),
        _ => {
            let longs = rest.iter().take(2).take_while(|b| **b == b'l').count();
            let conv = match rest.get(longs) {
                Some(b'd' | b'i') => Conv::Signed,
                Some(b'u') => Conv::Unsigned,
                Some(b'x') => Conv::Hex,
                Some(b'X') => Conv::UpperHex,
                _ => return Err(Errno::EINVAL),
            };
            Ok((conv, longs > 0, longs + 1))
        }
    }
}

/// What follows `%p`.
fn pointer(rest: &[u8]) -> Result<(Conv, usize), Errno> {
    match rest {
        rest if ends(rest) => Ok((Conv::Pointer, 0)),
        [b'k', b's', rest @ ..] if ends(rest) => Ok((Conv::Str, 2)),
        [b'u', b's', rest @ ..] if ends(rest) => Ok((Conv::UserStr, 2)),
        [b'K' | b'x', ..] => Ok((Conv::Pointer, 1)),
        [b's' | b'S' | b'B', ..] => Ok((Conv::Symbol, 1)),
        [b'i', b'4', ..] => Ok((Conv::Ip4 { padded: true }, 2)),
        [b'I', b'4', ..] => Ok((Conv::Ip4 { padded: false }, 2)),
        _ => Err(Errno::EINVAL),
    }
}

fn print(region: &Region, spec: Spec, arg: u64, out: &mut Vec<u8>) -> Result<(), Errno> {
    let value = if spec.wide { arg } else { u64::from(arg as u32) };
    let signed = if spec.wide { arg as i64 } else { i64::from(arg as i32) };
    match spec.conv {
        Conv::Signed => {
            let sign = match () {
                () if signed < 0 => "-",
                () if spec.plus => "+",
                () if spec.space => " ",
                () => "",
            };
            number(spec, sign, signed.unsigned_abs().to_string(), out);
        }
        Conv::Unsigned => number(spec, "", value.to_string(), out),
        Conv::Hex => number(spec, "", format!("{value:x}"), out),
        Conv::UpperHex => number(spec, "", format!("{value:X}"), out),
        Conv::Pointer => pad(spec, format!("{arg:016x}").as_bytes(), out),
        Conv::Symbol => pad(spec, format!("0x{arg:x}").as_bytes(), out),
        Conv::Char => pad(spec, &[arg as u8], out),
        Conv::Str => pad(spec, &region.read_cstr(arg, MAX_STRING).unwrap_or_default(), out),
        Conv::UserStr => pad(spec, b"", out),
        Conv::Ip4 { padded } => {
            let mut ip = [0u8; 4];
            region.bpf_read(arg, &mut ip).map_err(|_| Errno::EFAULT)?;
            let part = |b: &u8| if padded { format!("{b:03}") } else { b.to_string() };
            pad(spec, ip.iter().map(part).collect::<Vec<_>>().join(".").as_bytes(), out);
        }
    }
    Ok(())
}

fn number(spec: Spec, sign: &str, digits: String, out: &mut Vec<u8>) {
    let zeros = if spec.zero { spec.width.saturating_sub(sign.len() + digits.len()) } else { 0 };
    pad(spec, format!("{sign}{}{digits}", "0".repeat(zeros)).as_bytes(), out);
}

fn pad(spec: Spec, text: &[u8], out: &mut Vec<u8>) {
    let fill = std::iter::repeat_n(b' ', spec.width.saturating_sub(text.len()));
    if spec.left {
        out.extend_from_slice(text);
        out.extend(fill);
    } else {
        out.extend(fill);
        out.extend_from_slice(text);
    }
}

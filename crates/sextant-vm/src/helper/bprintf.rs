//! The format language of BPF's printing helpers: a checked subset of printk's.
//!
//! ```text
//!  %[0+- ]*[width](d|i|u|x|X|ld|lld|…)     %[..]s  %[..]c  %[..]p  %pK %px %ps %pS %pB  %pks %pus  %pi4 %pI4   %%
//! ```
//!
//! Anything else is EINVAL before a character is printed, as in the kernel. Bytes from 0x80 on are plain text. The arguments, strings
//! copied, must fit in 512 bytes; a string is cut to what is left, and ENOSPC where nothing is. A pointer prints as the program sees it:
//! DIVERGES from %p's hash (and is the same on every run).
//! Mirrors bpf_bprintf_prepare of kernel/bpf/helpers.c and bstr_printf of lib/vsprintf.c, 7.3.

use crate::Errno;
use crate::region::Region;

/// Longest output, with the NUL (MAX_BPRINTF_BUF).
pub(crate) const MAX_OUTPUT: usize = 1024;
/// Room for the arguments of one call, bytes (MAX_BPRINTF_BIN_ARGS).
const MAX_ARGS: usize = 512;
/// Widest field (FIELD_WIDTH_MAX).
const MAX_WIDTH: usize = (1 << 23) - 1;

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
    Ip6 {
        /// Without colons (`%pi6`).
        bare: bool,
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

/// What is printed: as much of it as anybody will see, and its length.
pub(crate) struct Text {
    bytes: Vec<u8>,
    keep: usize,
    len: usize,
}

impl Text {
    fn push(&mut self, bytes: &[u8]) {
        let room = self.keep - self.bytes.len();
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.len += bytes.len();
    }

    fn fill(&mut self, count: usize) {
        let room = self.keep - self.bytes.len();
        self.bytes.extend(std::iter::repeat_n(b' ', count.min(room)));
        self.len += count;
    }

    /// The first bytes of it.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Its whole length, bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

/// The buffer into which the arguments of one call are copied.
struct Room(usize);

impl Room {
    /// Takes a word of 4 or 8 bytes, aligned to 4.
    fn word(&mut self, size: usize) -> Result<(), Errno> {
        self.0 -= self.0 % 4; // MAX_ARGS is a multiple of 4
        self.0 = self.0.checked_sub(size).ok_or(Errno::ENOSPC)?;
        Ok(())
    }

    fn bytes(&mut self, size: usize) -> Result<(), Errno> {
        if self.0 == 0 {
            return Err(Errno::ENOSPC);
        }
        self.0 -= size.min(self.0);
        Ok(())
    }
}

/// Formats `fmt` (without a NUL) with its arguments; the first `keep` bytes are kept. EINVAL for an unsupported format or too few
/// arguments, ENOSPC for arguments that are too long.
pub(crate) fn format(region: &Region, fmt: &[u8], args: &[u64], keep: usize) -> Result<Text, Errno> {
    let mut out = Text { bytes: Vec::with_capacity((fmt.len() + 16).min(keep)), keep, len: 0 };
    let (mut args, mut room) = (args.iter(), Room(MAX_ARGS));
    let mut at = 0;
    while at < fmt.len() {
        let byte = fmt[at];
        if !(byte.is_ascii_graphic() || byte == b' ' || (9..=13).contains(&byte) || byte >= 0x80) {
            return Err(Errno::EINVAL);
        }
        at += 1;
        if byte != b'%' {
            out.push(&[byte]);
        } else if fmt.get(at) == Some(&b'%') {
            out.push(b"%");
            at += 1;
        } else {
            let arg = args.next().ok_or(Errno::EINVAL)?;
            let spec = parse(&fmt[at..])?;
            at += spec.len;
            print(region, spec, *arg, &mut room, &mut out)?;
        }
    }
    Ok(out)
}

/// Whether a specification may end before this byte: the kernel's `isspace` or `ispunct`, which know Latin-1.
fn ends(rest: &[u8]) -> bool {
    rest.first()
        .is_none_or(|b| b.is_ascii_punctuation() || matches!(b, 9..=13 | b' ' | 0xa0..=0xbf | 0xd7 | 0xf7))
}

fn parse(text: &[u8]) -> Result<Spec, Errno> {
    let flags = text.iter().take_while(|b| b"0+- ".contains(b)).count();
    let has = |flag| text[..flags].contains(&flag);
    let digits = text[flags..].iter().take_while(|b| b.is_ascii_digit()).count();
    let digit = |w: usize, b: &u8| w.saturating_mul(10).saturating_add(usize::from(b - b'0'));
    let width = text[flags..flags + digits].iter().fold(0, digit);
    let rest = &text[flags + digits..];
    let (conv, wide, len) = conversion(rest)?;
    Ok(Spec {
        conv,
        wide,
        left: has(b'-'),
        zero: has(b'0') && !has(b'-'),
        plus: has(b'+'),
        space: has(b' '),
        width: width.min(MAX_WIDTH),
        len: flags + digits + len,
    })
}

fn conversion(rest: &[u8]) -> Result<(Conv, bool, usize), Errno> {
    match rest.first() {
        Some(b'p') => pointer(&rest[1..]).map(|(conv, len)| (conv, true, len + 1)),
        Some(b's') if ends(&rest[1..]) => Ok((Conv::Str, true, 1)),
        Some(b'c') => Ok((Conv::Char, false, 1)),
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

/// What follows `%p`. Letters and digits behind an extension belong to it.
fn pointer(rest: &[u8]) -> Result<(Conv, usize), Errno> {
    let extension = rest.iter().take_while(|b| b.is_ascii_alphanumeric()).count();
    match rest {
        rest if ends(rest) => Ok((Conv::Pointer, 0)),
        [b'k', b's', rest @ ..] if ends(rest) => Ok((Conv::Str, 2)),
        [b'u', b's', rest @ ..] if ends(rest) => Ok((Conv::UserStr, 2)),
        [b'k' | b'u', b's', ..] => Err(Errno::EINVAL),
        [b'K' | b'x', ..] => Ok((Conv::Pointer, extension)),
        [b's' | b'S' | b'B', ..] => Ok((Conv::Symbol, extension)),
        [b'i', b'4', ..] => Ok((Conv::Ip4 { padded: true }, extension)),
        [b'I', b'4', ..] => Ok((Conv::Ip4 { padded: false }, extension)),
        [b'i', b'6', ..] => Ok((Conv::Ip6 { bare: true }, extension)),
        [b'I', b'6', ..] => Ok((Conv::Ip6 { bare: false }, extension)),
        _ => Err(Errno::EINVAL),
    }
}

fn print(region: &Region, spec: Spec, arg: u64, room: &mut Room, out: &mut Text) -> Result<(), Errno> {
    let value = if spec.wide { arg } else { u64::from(arg as u32) };
    let signed = if spec.wide { arg as i64 } else { i64::from(arg as i32) };
    match spec.conv {
        Conv::Char | Conv::Str | Conv::UserStr | Conv::Ip4 { .. } | Conv::Ip6 { .. } => {}
        _ => room.word(if spec.wide { 8 } else { 4 })?,
    }
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
        Conv::Char => {
            room.bytes(1)?;
            pad(spec, &[arg as u8], out);
        }
        Conv::Str => {
            let text = region.read_cstr(arg, room.0.saturating_sub(1)).unwrap_or_default();
            room.bytes(text.len() + 1)?;
            pad(spec, &text, out);
        }
        Conv::UserStr => {
            room.bytes(1)?;
            pad(spec, b"", out);
        }
        Conv::Ip4 { padded } => {
            let ip = address::<4>(region, arg, room)?;
            let part = |b: &u8| if padded { format!("{b:03}") } else { b.to_string() };
            ip_text(spec, ip.iter().map(part).collect::<Vec<_>>().join("."), room, out)?;
        }
        Conv::Ip6 { bare } => {
            let ip = address::<16>(region, arg, room)?;
            let parts: Vec<String> = ip.chunks(2).map(|b| format!("{:02x}{:02x}", b[0], b[1])).collect();
            ip_text(spec, parts.join(if bare { "" } else { ":" }), room, out)?;
        }
    }
    Ok(())
}

/// An IP address; zeroes where there is no memory.
fn address<const N: usize>(region: &Region, at: u64, room: &Room) -> Result<[u8; N], Errno> {
    if room.0 < N {
        return Err(Errno::ENOSPC);
    }
    let mut ip = [0u8; N];
    if region.bpf_read(at, &mut ip).is_err() {
        ip = [0; N];
    }
    Ok(ip)
}

fn ip_text(spec: Spec, text: String, room: &mut Room, out: &mut Text) -> Result<(), Errno> {
    room.bytes(text.len() + 1)?;
    pad(spec, text.as_bytes(), out);
    Ok(())
}

fn number(spec: Spec, sign: &str, digits: String, out: &mut Text) {
    let zeros = if spec.zero { spec.width.saturating_sub(sign.len() + digits.len()) } else { 0 };
    pad(spec, format!("{sign}{}{digits}", "0".repeat(zeros)).as_bytes(), out);
}

fn pad(spec: Spec, text: &[u8], out: &mut Text) {
    let fill = spec.width.saturating_sub(text.len());
    if spec.left {
        out.push(text);
        out.fill(fill);
    } else {
        out.fill(fill);
        out.push(text);
    }
}

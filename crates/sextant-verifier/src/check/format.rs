//! Format strings that are known when the program is loaded. Mirrors `check_bpf_snprintf_call()` of kernel/bpf/verifier.c and
//! `bpf_bprintf_prepare()` of kernel/bpf/helpers.c, 7.3. The formats of other helpers and kfuncs are looked at when they are called.

use super::reg::{Reg, What};
use super::*;

impl Env<'_> {
    /// bpf_snprintf(): the format in r3 with as many numbers as r5 bytes hold.
    pub(super) fn check_format(&mut self, old: &[Reg; 11]) -> Res {
        let len = old[5].s.bits.value;
        if !len.is_multiple_of(8) {
            let text = format!("R5 is {len} bytes of data, which must be a multiple of 8");
            return refuse_reg(Code::ArgConst, 5, text);
        }
        let (What::MapValue(map), Some(start)) = (old[3].what, old[3].offset()) else { return Ok(()) };
        let desc = self.map(map);
        let text: Vec<u8> = (start as u32..desc.value_size)
            .map_while(|at| (self.prog.read_only)(desc.id, at, 1))
            .map(|byte| byte as u8)
            .take_while(|byte| *byte != 0)
            .collect();
        match conversions(&text) {
            Some(wanted) if wanted as u64 <= len / 8 => Ok(()),
            Some(wanted) => {
                let text = format!("Invalid format string: {wanted} conversions, {} numbers", len / 8);
                refuse_reg(Code::ArgConst, 3, text)
            }
            None => refuse_reg(Code::ArgConst, 3, "Invalid format string"),
        }
    }
}

/// How many numbers a format takes; `None`: it has a conversion that the kernel does not know, or a control character.
fn conversions(text: &[u8]) -> Option<usize> {
    let at = |i: usize| text.get(i).copied().unwrap_or(0);
    let ends = |c: u8| c == 0 || is_space(c) || c.is_ascii_punctuation();
    let (mut i, mut count) = (0, 0);
    while i < text.len() {
        let c = at(i);
        if c.is_ascii() && !(c.is_ascii_graphic() || c == b' ' || is_space(c)) {
            return None;
        }
        if c != b'%' {
            i += 1;
            continue;
        }
        if at(i + 1) == b'%' {
            i += 2;
            continue;
        }
        i += 1;
        while matches!(at(i), b'0' | b'+' | b'-' | b' ') {
            i += 1;
        }
        if matches!(at(i), b'1'..=b'9') {
            while at(i).is_ascii_digit() {
                i += 1;
            }
        }
        i = match at(i) {
            b'p' => pointer(text, i, ends)?,
            b's' if ends(at(i + 1)) => i,
            b'c' => i,
            b'l' if at(i + 1) == b'l' => integer(at(i + 2), i + 2)?,
            b'l' => integer(at(i + 1), i + 1)?,
            c => integer(c, i)?,
        } + 1;
        count += 1;
    }
    Some(count)
}

/// `isspace()` of the kernel's ASCII.
fn is_space(c: u8) -> bool {
    matches!(c, b' ' | b'\t'..=b'\r')
}

fn integer(c: u8, at: usize) -> Option<usize> {
    matches!(c, b'i' | b'd' | b'u' | b'x' | b'X').then_some(at)
}

/// What follows `%p`: the last byte of the conversion.
fn pointer(text: &[u8], i: usize, ends: impl Fn(u8) -> bool) -> Option<usize> {
    let at = |i: usize| text.get(i).copied().unwrap_or(0);
    match (at(i + 1), at(i + 2)) {
        (c, _) if ends(c) => Some(i),
        (b'k' | b'u', b's') => ends(at(i + 3)).then_some(i + 2),
        (b'K' | b'x' | b's' | b'S' | b'B', _) => Some(i + 1),
        (b'i' | b'I', b'4' | b'6') => Some(i + 2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::conversions;

    #[test]
    fn formats_are_read_as_the_kernel_reads_them() {
        let count = |text: &str| conversions(text.as_bytes());
        for (text, wanted) in [
            ("", 0),
            ("%%", 0),
            ("%d %u", 2),
            ("%5d%-08llx", 2),
            ("%s, %c", 2),
            ("%p %px %pK %ps %pS %pB", 6),
            ("%pks %pus", 2),
            ("%pI4 %pi6", 2),
            ("\u{e9} %i\n", 1),
            ("%li%lu", 2),
        ] {
            assert_eq!(count(text), Some(wanted), "{text:?}");
        }
        for text in ["%", "%Q", "%n", "%sx", "%5.3s", "%f", "%pZ", "%pksx", "%hd", "%l", "\u{1}", "%*d", "%o"]
        {
            assert_eq!(count(text), None, "{text:?}");
        }
    }
}

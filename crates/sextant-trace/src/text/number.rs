//! Integers as text, appended to a byte buffer without allocation: a trace has millions of them.

/// "00" to "99".
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut i = 0;
    while i < 100 {
        pairs[i] = [b'0' + (i / 10) as u8, b'0' + (i % 10) as u8];
        i += 1;
    }
    pairs
};

/// Appends `n` in decimal.
pub(super) fn decimal(out: &mut Vec<u8>, mut n: u64) {
    if n < 10 {
        out.push(b'0' + n as u8);
        return;
    }
    let mut buf = [0u8; 20];
    let mut at = buf.len();
    while n >= 10 {
        at -= 2;
        buf[at..at + 2].copy_from_slice(&PAIRS[(n % 100) as usize]);
        n /= 100;
    }
    if n > 0 {
        at -= 1;
        buf[at] = b'0' + n as u8;
    }
    out.extend_from_slice(&buf[at..]);
}

/// Appends `n` with at least `width` digits (at most 9), zeros in front.
pub(super) fn padded(out: &mut Vec<u8>, mut n: u32, width: usize) {
    if width == 3 && n < 1000 {
        // Every line's CPU. Built in registers: what was just stored byte by byte is slow to copy.
        let [tens, ones] = PAIRS[(n % 100) as usize];
        return out.extend_from_slice(&[b'0' + (n / 100) as u8, tens, ones]);
    }
    let mut buf = [b'0'; 10];
    let mut at = buf.len();
    while n > 0 {
        at -= 1;
        buf[at] = b'0' + (n % 10) as u8;
        n /= 10;
    }
    let at = at.min(buf.len() - width);
    out.extend_from_slice(&buf[at..]);
}

/// Appends a time in seconds with nine decimals.
pub(super) fn seconds(out: &mut Vec<u8>, ns: u64) {
    decimal(out, ns / 1_000_000_000);
    let fraction = (ns % 1_000_000_000) as u32;
    let (high, low) = (fraction / 100_000, fraction % 100_000);
    let (a, b) = (high / 100, high % 100);
    let (c, d) = (low / 1000, low % 1000);
    let (pa, pb, pc) = (PAIRS[a as usize], PAIRS[b as usize], PAIRS[c as usize]);
    let tail = [b'0' + (d / 100) as u8, PAIRS[(d % 100) as usize][0], PAIRS[(d % 100) as usize][1]];
    out.extend_from_slice(&[b'.', pa[0], pa[1], pb[0], pb[1], pc[0], pc[1], tail[0], tail[1], tail[2]]);
}

/// Appends `n` as `0x…`.
pub(super) fn hex(out: &mut Vec<u8>, n: u64) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(b"0x");
    let digits = (64 - n.leading_zeros()).div_ceil(4).max(1);
    out.extend((0..digits).rev().map(|i| DIGITS[(n >> (4 * i)) as usize & 15]));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(f: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        f(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_same_as_the_standard_library() {
        let mut samples = vec![0, 1, 9, 10, 11, 99, 100, 101, 999, 1000, 123_456_789, u64::MAX, u64::MAX - 1];
        samples.extend((0..64).map(|i| 1u64 << i));
        samples.extend((1..20).map(|i| 10u64.pow(i) - 1));
        for n in samples {
            assert_eq!(text(|o| decimal(o, n)), n.to_string());
            assert_eq!(text(|o| hex(o, n)), format!("{n:#x}"));
            assert_eq!(text(|o| seconds(o, n)), format!("{}.{:09}", n / 1_000_000_000, n % 1_000_000_000));
            let n = (n % 1_000_000_000) as u32;
            assert_eq!(text(|o| padded(o, n, 3)), format!("{n:03}"));
        }
    }
}

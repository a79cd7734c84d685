//! `bpf_str*`: strings that need not end and may not be readable.
//!
//! Results are indices; -ENOENT not found, -EFAULT a byte that cannot be read, -ERANGE not a kernel address, -E2BIG no end
//! within 64 KiB.

use crate::error::TrapKind;
use crate::exec::Exec;
use crate::{Errno, region};

type Ret = Result<u64, TrapKind>;
type Found = Result<u64, Errno>;

/// XATTR_SIZE_MAX: the kernel looks no further, bytes.
const MAX: u64 = 65536;
/// Most byte comparisons of one search. DIVERGES: the kernel may take MAX × MAX, which would stop the simulation.
const MAX_STEPS: u64 = 1 << 22;

fn ret(found: Found) -> Ret {
    Ok(found.unwrap_or_else(Errno::ret))
}

fn byte(exec: &Exec<'_>, addr: u64, at: u64) -> Result<u8, Errno> {
    exec.region.bpf_load(addr.wrapping_add(at), 1).map(|b| b as u8).map_err(|_| Errno::EFAULT)
}

/// Whether an address could be the kernel's at all.
fn in_range(addrs: &[u64]) -> Result<(), Errno> {
    if addrs.iter().all(|&addr| addr >= region::TAG) { Ok(()) } else { Err(Errno::ERANGE) }
}

fn fold(byte: u8, case: bool) -> u8 {
    if case { byte.to_ascii_lowercase() } else { byte }
}

fn compare(exec: &Exec<'_>, a: u64, b: u64, case: bool, len: u64) -> Found {
    in_range(&[a, b])?;
    for i in 0..len.min(MAX) {
        let (x, y) = (fold(byte(exec, a, i)?, case), fold(byte(exec, b, i)?, case));
        if x != y {
            // `char` is signed.
            return Ok(if (x as i8) < (y as i8) { -1i64 as u64 } else { 1 });
        }
        if x == 0 {
            return Ok(0);
        }
    }
    if len >= MAX { Err(Errno::E2BIG) } else { Ok(0) }
}

pub(super) fn strcmp(exec: &mut Exec<'_>, [a, b, ..]: [u64; 5]) -> Ret {
    ret(compare(exec, a, b, false, MAX))
}

pub(super) fn strcasecmp(exec: &mut Exec<'_>, [a, b, ..]: [u64; 5]) -> Ret {
    ret(compare(exec, a, b, true, MAX))
}

pub(super) fn strncasecmp(exec: &mut Exec<'_>, [a, b, len, ..]: [u64; 5]) -> Ret {
    ret(compare(exec, a, b, true, len))
}

/// The first index below `len` where `hit` says so; `Ok(None)` at the end of the string or at `len`.
fn scan(
    exec: &Exec<'_>,
    s: u64,
    len: u64,
    mut hit: impl FnMut(u8) -> Result<bool, Errno>,
) -> Result<Option<u64>, Errno> {
    in_range(&[s])?;
    for i in 0..len.min(MAX) {
        let b = byte(exec, s, i)?;
        if hit(b)? {
            return Ok(Some(i));
        }
        if b == 0 {
            return Ok(None);
        }
    }
    if len >= MAX { Err(Errno::E2BIG) } else { Ok(None) }
}

fn chr(exec: &Exec<'_>, s: u64, len: u64, c: u64) -> Found {
    scan(exec, s, len, |b| Ok(b == c as u8))?.ok_or(Errno::ENOENT)
}

pub(super) fn strchr(exec: &mut Exec<'_>, [s, c, ..]: [u64; 5]) -> Ret {
    ret(chr(exec, s, MAX, c))
}

pub(super) fn strnchr(exec: &mut Exec<'_>, [s, len, c, ..]: [u64; 5]) -> Ret {
    ret(chr(exec, s, len, c))
}

pub(super) fn strchrnul(exec: &mut Exec<'_>, [s, c, ..]: [u64; 5]) -> Ret {
    ret(scan(exec, s, MAX, |b| Ok(b == 0 || b == c as u8)).and_then(|at| at.ok_or(Errno::ENOENT)))
}

pub(super) fn strrchr(exec: &mut Exec<'_>, [s, c, ..]: [u64; 5]) -> Ret {
    let (mut last, mut i) = (None, 0);
    let end = scan(exec, s, MAX, |b| {
        if b == c as u8 {
            last = Some(i);
        }
        i += 1;
        Ok(false)
    });
    ret(end.and_then(|_| last.ok_or(Errno::ENOENT)))
}

fn length(exec: &Exec<'_>, s: u64, max: u64) -> Found {
    Ok(scan(exec, s, max, |b| Ok(b == 0))?.unwrap_or(max))
}

pub(super) fn strlen(exec: &mut Exec<'_>, [s, ..]: [u64; 5]) -> Ret {
    ret(length(exec, s, MAX))
}

pub(super) fn strnlen(exec: &mut Exec<'_>, [s, max, ..]: [u64; 5]) -> Ret {
    ret(length(exec, s, max))
}

/// Bytes at the start that are (or are not) in a set.
fn span(exec: &Exec<'_>, s: u64, set: u64, inside: bool) -> Found {
    in_range(&[s, set])?;
    let mut members = [false; 256];
    scan(exec, set, MAX, |c| {
        members[usize::from(c)] = c != 0;
        Ok(false)
    })?;
    scan(exec, s, MAX, |b| Ok(b == 0 || members[usize::from(b)] != inside))
        .and_then(|at| at.ok_or(Errno::E2BIG))
}

pub(super) fn strspn(exec: &mut Exec<'_>, [s, set, ..]: [u64; 5]) -> Ret {
    ret(span(exec, s, set, true))
}

pub(super) fn strcspn(exec: &mut Exec<'_>, [s, set, ..]: [u64; 5]) -> Ret {
    ret(span(exec, s, set, false))
}

/// Where `sub` starts within the first `len` bytes.
fn find(exec: &Exec<'_>, s: u64, sub: u64, len: u64, case: bool) -> Found {
    in_range(&[s, sub])?;
    let mut steps = 0;
    for start in 0..MAX {
        for i in 0..MAX {
            steps += 1;
            if steps > MAX_STEPS {
                return Err(Errno::E2BIG);
            }
            let want = fold(byte(exec, sub, i)?, case);
            if want == 0 {
                return Ok(start);
            }
            if start + i >= len {
                return Err(Errno::ENOENT);
            }
            let have = fold(byte(exec, s, start + i)?, case);
            if have == 0 {
                return Err(Errno::ENOENT);
            }
            if have != want {
                break;
            }
        }
    }
    Err(Errno::E2BIG)
}

pub(super) fn strstr(exec: &mut Exec<'_>, [s, sub, ..]: [u64; 5]) -> Ret {
    ret(find(exec, s, sub, MAX, false))
}

pub(super) fn strcasestr(exec: &mut Exec<'_>, [s, sub, ..]: [u64; 5]) -> Ret {
    ret(find(exec, s, sub, MAX, true))
}

pub(super) fn strnstr(exec: &mut Exec<'_>, [s, sub, len, ..]: [u64; 5]) -> Ret {
    ret(find(exec, s, sub, len, false))
}

pub(super) fn strncasestr(exec: &mut Exec<'_>, [s, sub, len, ..]: [u64; 5]) -> Ret {
    ret(find(exec, s, sub, len, true))
}

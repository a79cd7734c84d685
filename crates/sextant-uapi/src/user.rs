//! The caller's memory. libbpf runs in this process, so its addresses are ours; they are still read by
//! process_vm_readv(2), so that a wrong one is -EFAULT and not a crash, and nothing here trusts a pointer.

use std::cell::Cell;
use std::io;

use crate::errno::Errno;

type Result<T> = std::result::Result<T, Errno>;

thread_local! {
    /// All that this thread's caller has, when it is not the whole process: first address, bytes.
    static ALL: Cell<Option<(u64, u64)>> = const { Cell::new(None) };
}

/// This process may not read its own memory as bpf(2) needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this process may not call process_vm_readv(2) on itself, through which Sextant's bpf(2) reads what libbpf passes (errno {errno}): a \
     container's seccomp profile or a security module forbids it; allow the call (docker run --cap-add SYS_PTRACE, or a profile that has \
     process_vm_readv and process_vm_writev)"
)]
pub struct NotAllowed {
    /// The host's answer.
    pub errno: i32,
}

/// Reads a few bytes of our own as bpf(2) does.
///
/// # Errors
/// When the host forbids it.
pub fn prove() -> std::result::Result<(), NotAllowed> {
    let (there, mut here) = ([7u8; 8], [0; 8]);
    match read(there.as_ptr() as u64, &mut here) {
        Ok(()) if here == there => Ok(()),
        Ok(()) => Err(NotAllowed { errno: libc::EFAULT }),
        Err(errno) => Err(NotAllowed { errno: errno.0 }),
    }
}

/// Runs `f` for a caller that has only these bytes, `memory`; every other address is EFAULT to it.
pub fn only(memory: &mut [u8], f: impl FnOnce(u64)) {
    let start = memory.as_mut_ptr() as u64;
    let outer = ALL.replace(Some((start, memory.len() as u64)));
    f(start);
    ALL.set(outer);
}

/// EFAULT for bytes that the caller does not have.
fn has(addr: u64, len: usize) -> Result<()> {
    match ALL.get() {
        Some((start, all)) if addr < start || addr - start > all || len as u64 > all - (addr - start) => {
            Err(Errno::EFAULT)
        }
        _ => Ok(()),
    }
}

/// Fills `out` from `addr`.
///
/// # Errors
/// EFAULT.
pub fn read(addr: u64, out: &mut [u8]) -> Result<()> {
    has(addr, out.len())?;
    let local = libc::iovec { iov_base: out.as_mut_ptr().cast(), iov_len: out.len() };
    let remote = libc::iovec { iov_base: addr as *mut _, iov_len: out.len() };
    // SAFETY: the kernel checks both ranges; `local` is the whole of `out`.
    let n = unsafe { libc::process_vm_readv(libc::getpid(), &local, 1, &remote, 1, 0) };
    done(n, out.len())
}

/// Writes `data` to `addr`.
///
/// # Errors
/// EFAULT.
pub fn write(addr: u64, data: &[u8]) -> Result<()> {
    has(addr, data.len())?;
    let local = libc::iovec { iov_base: data.as_ptr() as *mut _, iov_len: data.len() };
    let remote = libc::iovec { iov_base: addr as *mut _, iov_len: data.len() };
    // SAFETY: the kernel checks both ranges; `local` is only read. The remote range is what the caller of bpf(2) handed
    // over to be written (libbpf's own buffers), never memory that Rust holds a reference to.
    let n = unsafe { libc::process_vm_writev(libc::getpid(), &local, 1, &remote, 1, 0) };
    done(n, data.len())
}

fn done(n: isize, wanted: usize) -> Result<()> {
    match usize::try_from(n) {
        Ok(n) if n == wanted => Ok(()),
        Ok(_) => Err(Errno::EFAULT),
        Err(_) => Err(errno_of(&io::Error::last_os_error())),
    }
}

fn errno_of(error: &io::Error) -> Errno {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::ENOSYS) => Errno(libc::EPERM),
        _ => Errno::EFAULT,
    }
}

/// `len` bytes at `addr`.
///
/// # Errors
/// EFAULT; E2BIG when nobody could mean it (1 GiB and more).
pub fn bytes(addr: u64, len: usize) -> Result<Vec<u8>> {
    if len >= 1 << 30 {
        return Err(Errno::E2BIG);
    }
    let mut out = vec![0; len];
    if len > 0 {
        read(addr, &mut out)?;
    }
    Ok(out)
}

/// A NUL-terminated string of at most `max` bytes (cut there).
///
/// # Errors
/// EFAULT.
pub fn string(addr: u64, max: usize) -> Result<String> {
    let mut out = Vec::new();
    while out.len() < max {
        let mut byte = [0];
        read(addr.wrapping_add(out.len() as u64), &mut byte)?;
        if byte[0] == 0 {
            break;
        }
        out.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// Whether the page of `addr` is in memory; true when that cannot be known.
pub fn is_resident(addr: u64) -> bool {
    if has(addr, 1).is_err() {
        return true;
    }
    let mut state = 0u8;
    let page = addr & !4095;
    // SAFETY: mincore(2) touches nothing; `state` takes the one byte for one page.
    let failed = unsafe { libc::mincore(page as *mut _, 4096, &mut state) };
    failed != 0 || state & 1 != 0
}

/// A u32 of the caller's.
///
/// # Errors
/// EFAULT.
pub fn read_u32(addr: u64) -> Result<u32> {
    let mut out = [0; 4];
    read(addr, &mut out)?;
    Ok(u32::from_le_bytes(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_address_is_efault() {
        assert_eq!(bytes(8, 4), Err(Errno::EFAULT));
        assert_eq!(write(8, &[1]), Err(Errno::EFAULT));
        assert_eq!(bytes(u64::MAX - 2, 16), Err(Errno::EFAULT));
        let text = c"seven";
        assert_eq!(string(text.as_ptr() as u64, 64).as_deref(), Ok("seven"));
        assert_eq!(string(text.as_ptr() as u64, 3).as_deref(), Ok("sev"));
    }
}

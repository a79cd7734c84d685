//! The functions libbpf calls instead of the host's: bpf(2) and everything else it asks of the machine it runs on.
//!
//! `build.rs` replaces names in libbpf's archive, so that each call below lands here; two of its own
//! functions are weak there and strong here. What it asks is answered by the [`Kernel`] that is current on
//! this thread ([`with_kernel`](crate::with_kernel)); without one the answer is "no such file, no such call".
//!
//! What must hold: no bpf(2) call of libbpf ever reaches the host. [`prove`] sends one through libbpf and looks whether
//! it arrived, before any object is opened; `build.rs` refuses an archive that does not call us.
//!
//! Leaves out: netlink, USDT and the legacy tracefs paths, which find no files and therefore fail.

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_void};
use std::ptr;

use libbpf_sys::{bpf_prog_get_next_id, btf, btf__free, btf__new, btf__parse_raw};

use crate::kernel::{self, Kernel};

/// What of libbpf's is ours: its name for it, our symbol. libbpf's archive must import exactly these (a test compares).
pub const INTERCEPTED: &[(&str, &str)] = &[
    ("syscall", "sextant_syscall"),
    ("uname", "sextant_uname"),
    ("open", "sextant_open"),
    ("fopen", "sextant_fopen"),
    ("gzopen", "sextant_gzopen"),
    ("access", "sextant_access"),
    ("faccessat", "sextant_faccessat"),
    ("getenv", "sextant_getenv"),
    ("setrlimit", "sextant_setrlimit"),
    ("mmap", "sextant_mmap"),
    ("mkdir", "sextant_mkdir"),
    ("statfs", "sextant_statfs"),
    ("unlink", "sextant_unlink"),
    ("realpath", "sextant_realpath"),
    ("socket", "sextant_socket"),
];

/// Functions of libbpf's own that are weak in it and strong here.
pub const OVERRIDDEN: &[&str] = &["btf__load_vmlinux_btf", "libbpf_num_possible_cpus"];

/// uprobe(2), x86-64: libbpf asks whether the kernel has it.
const SYS_UPROBE: c_long = 336;

/// libbpf's calls do not arrive here: it was compiled without the hook.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "libbpf's {call} call did not reach Sextant: nothing was loaded, since a load could reach the host's kernel. \
     Sextant was linked with another libbpf than the one its build makes; try `cargo clean -p libbpf-sys -p sextant-uapi` and build again"
)]
pub struct NotHooked {
    /// Which call went past the hook.
    pub call: &'static str,
}

thread_local! {
    /// Calls of the probe that have been seen: bit 0 bpf(2), bit 1 fopen.
    static PROBE: Cell<Option<u8>> = const { Cell::new(None) };
}

const PROBE_ID: u32 = 0x5e87_a217;
const PROBE_PATH: &CStr = c"/sextant/probe";

/// Sends a bpf(2) call (harmless, were it to reach the host: "the program after id 1585947159") and a file read through libbpf.
///
/// # Errors
/// When one of them did not arrive here.
pub fn prove() -> Result<(), NotHooked> {
    PROBE.set(Some(0));
    let mut next: c_uint = 0;
    // SAFETY: `next` is valid for the call; libbpf writes only it.
    unsafe { bpf_prog_get_next_id(PROBE_ID, &mut next) };
    // SAFETY: a NUL-terminated path; a result that is not an error is freed.
    unsafe {
        let none = btf__parse_raw(PROBE_PATH.as_ptr());
        if !none.is_null() {
            btf__free(none);
        }
    }
    let seen = PROBE.take().unwrap_or(0);
    match seen {
        s if s & 1 == 0 => Err(NotHooked { call: "bpf(2)" }),
        s if s & 2 == 0 => Err(NotHooked { call: "fopen" }),
        _ => Ok(()),
    }
}

fn probe_saw(bit: u8) {
    if let Some(seen) = PROBE.get() {
        PROBE.set(Some(seen | bit));
    }
}

fn set_errno(errno: c_int) {
    // SAFETY: glibc's errno location of this thread is always valid.
    unsafe { *libc::__errno_location() = errno };
}

/// -1 with errno, as libc's wrappers return.
fn fail(errno: c_int) -> c_int {
    set_errno(errno);
    -1
}

/// A path argument as text; `None` for NULL and for what is not UTF-8 (no file of ours).
///
/// # Safety
/// `path` is NULL or a NUL-terminated string that outlives the result.
unsafe fn path_arg<'a>(path: *const c_char) -> Option<&'a str> {
    if path.is_null() {
        return None;
    }
    // SAFETY: by the contract above.
    unsafe { CStr::from_ptr(path) }.to_str().ok()
}

/// Opens a file of the emulated machine: a fresh descriptor at its start, or ENOENT.
fn open_emulated(path: Option<&str>) -> c_int {
    let Some(path) = path else { return fail(libc::ENOENT) };
    if path.as_bytes() == PROBE_PATH.to_bytes() {
        probe_saw(2);
    }
    let content = kernel::current().and_then(|k| k.file(path));
    match content.map(|bytes| kernel::fd::file_with(path, &bytes)) {
        Some(Ok(fd)) => fd,
        Some(Err(errno)) => fail(errno),
        None => fail(libc::ENOENT),
    }
}

fn exists(path: Option<&str>) -> c_int {
    let there = |k: std::rc::Rc<Kernel>, path: &str| k.file(path).is_some() || k.is_pinned(path);
    let found = path.is_some_and(|path| kernel::current().is_some_and(|k| there(k, path)));
    if found { 0 } else { fail(libc::ENOENT) }
}

/// libbpf's syscall(2): bpf(2) is ours, descriptor calls pass, everything else does not exist.
///
/// # Safety
/// As syscall(2): for bpf(2) `b` is the address of `c` readable and writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sextant_syscall(nr: c_long, a: c_long, b: c_long, c: c_long) -> c_long {
    match nr {
        libc::SYS_bpf => {
            let answer = answer_bpf(a as u32, b as u64, c as u32);
            if answer < 0 { fail(-answer) as c_long } else { answer as c_long }
        }
        // SAFETY: passed on as they came; they touch only descriptors and a name string.
        libc::SYS_dup3 | libc::SYS_memfd_create => unsafe { libc::syscall(nr, a, b, c) },
        libc::SYS_perf_event_open => fail(libc::EACCES) as c_long,
        SYS_UPROBE => fail(libc::ENXIO) as c_long,
        _ => fail(libc::ENOSYS) as c_long,
    }
}

fn answer_bpf(cmd: u32, attr: u64, size: u32) -> c_int {
    if PROBE.get().is_some() {
        probe_saw(1);
        return -libc::ENOENT;
    }
    let Some(kernel) = kernel::current() else { return -libc::ENOSYS };
    // A panic must not unwind into C: libbpf sees EFAULT, the loader passes the panic on.
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| kernel.bpf(cmd, attr, size))) {
        Ok(answer) => answer,
        Err(panic) => {
            kernel.keep_panic(panic);
            -libc::EFAULT
        }
    }
}

/// libbpf's uname(2): LINUX_KERNEL_VERSION and the Kconfig path come from it.
///
/// # Safety
/// `buf` is valid for a `struct utsname`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sextant_uname(buf: *mut libc::utsname) -> c_int {
    if buf.is_null() {
        return fail(libc::EFAULT);
    }
    // SAFETY: an all-zero utsname is valid; the caller's buffer is valid by contract.
    let mut uts: libc::utsname = unsafe { std::mem::zeroed() };
    for (field, text) in [
        (&mut uts.sysname, "Linux"),
        (&mut uts.nodename, "sextant"),
        (&mut uts.release, kernel::RELEASE),
        (&mut uts.version, kernel::VERSION),
        (&mut uts.machine, "x86_64"),
    ] {
        for (to, &from) in field.iter_mut().zip(text.as_bytes()) {
            *to = from as c_char;
        }
    }
    // SAFETY: as above.
    unsafe { buf.write(uts) };
    0
}

/// libbpf's open(2).
///
/// # Safety
/// `path` is NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sextant_open(path: *const c_char, _flags: c_int, _mode: c_uint) -> c_int {
    // SAFETY: by contract.
    open_emulated(unsafe { path_arg(path) })
}

/// libbpf's fopen(3): /proc/kallsyms, /proc/version_signature, tracefs.
///
/// # Safety
/// `path` is NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sextant_fopen(path: *const c_char, _mode: *const c_char) -> *mut libc::FILE {
    // SAFETY: by contract.
    let fd = open_emulated(unsafe { path_arg(path) });
    if fd < 0 {
        return ptr::null_mut();
    }
    // SAFETY: `fd` is fresh and nobody else's; the FILE owns it from here.
    unsafe { libc::fdopen(fd, c"r".as_ptr()) }
}

unsafe extern "C" {
    /// zlib, which libbpf-sys links.
    fn gzdopen(fd: c_int, mode: *const c_char) -> *mut c_void;
}

/// libbpf's gzopen(3): the kernel's configuration.
///
/// # Safety
/// `path` is NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sextant_gzopen(path: *const c_char, _mode: *const c_char) -> *mut c_void {
    // SAFETY: by contract.
    let fd = open_emulated(unsafe { path_arg(path) });
    if fd < 0 {
        return ptr::null_mut();
    }
    // SAFETY: `fd` is fresh and nobody else's; the gzFile owns it from here. zlib reads plain files too.
    unsafe { gzdopen(fd, c"r".as_ptr()) }
}

/// libbpf's access(2).
///
/// # Safety
/// `path` is NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sextant_access(path: *const c_char, _mode: c_int) -> c_int {
    // SAFETY: by contract.
    exists(unsafe { path_arg(path) })
}

/// libbpf's faccessat(2).
///
/// # Safety
/// `path` is NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sextant_faccessat(
    _dir: c_int,
    path: *const c_char,
    _mode: c_int,
    _flags: c_int,
) -> c_int {
    // SAFETY: by contract.
    exists(unsafe { path_arg(path) })
}

/// libbpf's mkdir(2): the directories of a pin. Every directory below the emulated BPF file system is there already.
///
/// # Safety
/// `path` is NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sextant_mkdir(path: *const c_char, _mode: c_uint) -> c_int {
    // SAFETY: by contract.
    match unsafe { path_arg(path) } {
        Some(path) if kernel::is_bpffs(path) => fail(libc::EEXIST),
        _ => fail(libc::ENOENT),
    }
}

/// libbpf's statfs(2): whether a directory is of the BPF file system.
///
/// # Safety
/// `path` is NULL or NUL-terminated; `buf` is valid for a `struct statfs`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sextant_statfs(path: *const c_char, buf: *mut libc::statfs) -> c_int {
    // SAFETY: by contract.
    let path = unsafe { path_arg(path) };
    if buf.is_null() || !path.is_some_and(kernel::is_bpffs) {
        return fail(libc::ENOENT);
    }
    // SAFETY: an all-zero statfs is valid; the caller's buffer is valid by contract.
    unsafe {
        let mut stat: libc::statfs = std::mem::zeroed();
        stat.f_type = libc::BPF_FS_MAGIC;
        buf.write(stat);
    }
    0
}

/// libbpf's unlink(2): of a pin.
///
/// # Safety
/// `path` is NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sextant_unlink(path: *const c_char) -> c_int {
    // SAFETY: by contract.
    let path = unsafe { path_arg(path) };
    let gone = path.is_some_and(|path| kernel::current().is_some_and(|k| k.unpin(path)));
    if gone { 0 } else { fail(libc::ENOENT) }
}

/// libbpf's realpath(3), of programs that USDT probes look into: the emulated machine has none.
#[unsafe(no_mangle)]
pub extern "C" fn sextant_realpath(_path: *const c_char, _resolved: *mut c_char) -> *mut c_char {
    set_errno(libc::ENOENT);
    ptr::null_mut()
}

/// libbpf's socket(2), for netlink: the emulated machine has no network.
#[unsafe(no_mangle)]
pub extern "C" fn sextant_socket(_domain: c_int, _type: c_int, _protocol: c_int) -> c_int {
    fail(libc::EAFNOSUPPORT)
}

/// libbpf's getenv(3): the environment is not the emulated machine's.
#[unsafe(no_mangle)]
pub extern "C" fn sextant_getenv(_name: *const c_char) -> *mut c_char {
    ptr::null_mut()
}

/// libbpf's setrlimit(2), for RLIMIT_MEMLOCK: the emulated kernel accounts no memory.
#[unsafe(no_mangle)]
pub extern "C" fn sextant_setrlimit(_resource: c_int, _limit: *const c_void) -> c_int {
    0
}

/// libbpf's mmap(2). An arena's fixed address comes from the object file, and nobody here follows it (programs see it as a
/// number, libbpf only writes initial values through what it gets): it goes where there is room. No other fixed mapping
/// may replace anything of ours either, but for the initial image of a map.
///
/// # Safety
/// As mmap(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sextant_mmap(
    addr: *mut c_void,
    len: usize,
    prot: c_int,
    flags: c_int,
    fd: c_int,
    offset: i64,
) -> *mut c_void {
    let (mut addr, mut flags) = (addr, flags);
    if kernel::current().is_some_and(|k| k.is_arena(fd)) {
        (addr, flags) = (ptr::null_mut(), flags & !libc::MAP_FIXED);
    }
    let fixed = flags & libc::MAP_FIXED != 0;
    if fixed && kernel::current().is_none_or(|k| !k.may_replace_mapping(fd)) {
        flags = flags & !libc::MAP_FIXED | libc::MAP_FIXED_NOREPLACE;
    }
    // SAFETY: libbpf's call as it came, except that MAP_FIXED over an unknown range became MAP_FIXED_NOREPLACE,
    // which fails with EEXIST instead of replacing.
    let got = unsafe { libc::mmap(addr, len, prot, flags, fd, offset) };
    if got == libc::MAP_FAILED
        && fixed
        && let Some(k) = kernel::current()
    {
        k.note_refused_mapping(addr as u64, len as u64);
    }
    got
}

/// libbpf's `btf__load_vmlinux_btf`: the emulated kernel's types.
#[unsafe(no_mangle)]
pub extern "C" fn btf__load_vmlinux_btf() -> *mut btf {
    let Some(kernel) = kernel::current() else {
        set_errno(libc::ENOENT);
        return ptr::null_mut();
    };
    let bytes = kernel.vmlinux_btf();
    // SAFETY: the bytes outlive the call; libbpf copies them.
    unsafe { btf__new(bytes.as_ptr().cast(), bytes.len() as u32) }
}

/// libbpf's `libbpf_num_possible_cpus`: the emulated machine's.
#[unsafe(no_mangle)]
pub extern "C" fn libbpf_num_possible_cpus() -> c_int {
    kernel::current().map_or(1, |k: std::rc::Rc<Kernel>| k.nr_cpus() as c_int)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_arrives() {
        prove().unwrap();
    }

    #[test]
    fn a_fixed_mapping_does_not_replace_our_memory() {
        let heap = vec![7u8; 1 << 20];
        let page = (heap.as_ptr() as usize).next_multiple_of(4096) as *mut c_void;
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
        // SAFETY: the test is that this maps nothing.
        let got = unsafe { sextant_mmap(page, 4096, libc::PROT_READ, flags, -1, 0) };
        assert_eq!(got, libc::MAP_FAILED);
        assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(libc::EEXIST));
        assert!(heap.iter().all(|&b| b == 7));
    }

    #[test]
    fn nothing_is_answered_without_a_kernel() {
        let errno = || std::io::Error::last_os_error().raw_os_error();
        // SAFETY: no pointer is followed before a kernel is looked for.
        unsafe {
            assert_eq!(sextant_syscall(libc::SYS_bpf, 0, 0, 0), -1);
            assert_eq!(errno(), Some(libc::ENOSYS));
            assert_eq!(sextant_syscall(libc::SYS_perf_event_open, 0, 0, 0), -1);
            assert_eq!(errno(), Some(libc::EACCES));
            assert_eq!(sextant_open(c"/proc/version".as_ptr(), 0, 0), -1, "the host has it");
            assert!(sextant_fopen(c"/proc/kallsyms".as_ptr(), c"r".as_ptr()).is_null());
        }
        assert!(sextant_getenv(c"HOME".as_ptr()).is_null());
        // SAFETY: NUL-terminated paths; the buffer of statfs is checked for NULL before anything else.
        unsafe {
            assert_eq!(sextant_mkdir(c"/tmp/sextant-never".as_ptr(), 0o700), -1);
            assert_eq!(errno(), Some(libc::ENOENT));
            assert_eq!(sextant_statfs(c"/tmp".as_ptr(), ptr::null_mut()), -1);
            assert_eq!(sextant_unlink(c"/sys/fs/bpf/none".as_ptr()), -1);
        }
        assert!(sextant_realpath(c"/bin/sh".as_ptr(), ptr::null_mut()).is_null());
        assert_eq!(sextant_socket(libc::AF_NETLINK, libc::SOCK_RAW, 0), -1);
    }
}

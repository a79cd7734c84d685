//! What libbpf calls of us and of the host. A libbpf that calls something else is a decision: read what it is for, then
//! intercept it or add it to the list.

use std::collections::BTreeSet;

use object::read::archive::ArchiveFile;
use object::read::elf::{FileHeader, Sym};
use object::{Endianness, elf};
use sextant_uapi::hook::{INTERCEPTED, OVERRIDDEN};

/// libc and libraries without a question to the kernel about the machine, and what acts on descriptors libbpf was given.
const HARMLESS: &[&str] = &[
    "_GLOBAL_OFFSET_TABLE_",
    "basename",
    "calloc",
    "close",
    "ctype_b_loc",
    "dirname",
    "elf",
    "epoll",
    "errno_location",
    "fclose",
    "fcntl",
    "feof",
    "fflush",
    "fgets",
    "fmemopen",
    "fprintf",
    "fread",
    "free",
    "fscanf",
    "fseek",
    "fseeko",
    "ftell",
    "ftello",
    "gelf",
    "getpagesize",
    "getpid",
    "gzclose",
    "gzgets",
    "lseek",
    "malloc",
    "memchr",
    "memcmp",
    "memcpy",
    "memmove",
    "memset",
    "munmap",
    "pread",
    "printf",
    "qsort",
    "read",
    "realloc",
    "snprintf",
    "sprintf",
    "sscanf",
    "stack_chk_fail",
    "stderr",
    "strcasecmp",
    "strcat",
    "strchr",
    "strcmp",
    "strcpy",
    "strdup",
    "strerror_r",
    "strlen",
    "strncmp",
    "strncpy",
    "strndup",
    "strpbrk",
    "strrchr",
    "strstr",
    "strtol",
    "strtoll",
    "strtoul",
    "strtoull",
    "sysconf",
    "tls_get_addr",
    "toupper",
    "vfprintf",
    "vsnprintf",
    "write",
];

/// Questions to the host that no path of ours reaches, and why.
const UNREACHED: &[&str] = &[
    "bind",
    "getsockname",
    "recvmsg",
    "send",
    "setsockopt",
    "socket", // netlink: XDP and TC
    "clock_gettime",
    "time",  // ring buffer timeouts, BTF dump; gen_loader
    "fstat", // of a file libbpf opened itself: BTF by path, linker
    "geteuid",
    "getrlimit", // words on EPERM, which is never answered
    "ioctl",     // perf events, which cannot be opened
    "mkdir",
    "statfs",
    "unlink",
    "realpath", // pinning to a path, uprobes
];

fn symbols(undefined: bool) -> BTreeSet<String> {
    let archive = std::fs::read(env!("SEXTANT_LIBBPF_ARCHIVE")).unwrap();
    let mut names = BTreeSet::new();
    for member in ArchiveFile::parse(&*archive).unwrap().members() {
        let data = member.unwrap().data(&*archive).unwrap();
        let header = elf::FileHeader64::<Endianness>::parse(data).unwrap();
        let endian = header.endian().unwrap();
        let table = header.sections(endian, data).unwrap().symbols(endian, data, elf::SHT_SYMTAB).unwrap();
        for symbol in table.iter().filter(|s| s.is_undefined(endian) == undefined) {
            let name = symbol.name(endian, table.strings()).unwrap();
            names.insert(String::from_utf8_lossy(name).into_owned());
        }
    }
    names.remove("");
    names
}

/// A libc symbol without the decoration of its version.
fn plain(name: &str) -> &str {
    let name = name.trim_start_matches('_');
    let name = ["isoc99_", "isoc23_", "xpg_"].iter().find_map(|p| name.strip_prefix(p)).unwrap_or(name);
    let name = name.strip_suffix("_chk").unwrap_or(name);
    let name = name.strip_suffix("64").unwrap_or(name);
    ["elf_", "elf64_", "gelf_", "epoll_"]
        .iter()
        .find(|p| name.starts_with(**p))
        .map_or(name, |p| p.trim_end_matches('_').trim_end_matches("64"))
}

#[test]
fn libbpf_imports_what_is_listed_and_nothing_else() {
    let defined = symbols(false);
    let imports: BTreeSet<String> =
        symbols(true).into_iter().filter(|name| !defined.contains(name)).collect();
    let ours: BTreeSet<&str> =
        imports.iter().map(String::as_str).filter(|n| n.starts_with("sextant_")).collect();
    assert_eq!(ours, INTERCEPTED.iter().map(|(_, ours)| *ours).collect());
    let known = |name: &String| {
        let plain = if name == "_GLOBAL_OFFSET_TABLE_" { name } else { plain(name) };
        // Under AddressSanitizer its own calls come in everywhere.
        let sanitizer = name.starts_with("__asan_");
        sanitizer || name.starts_with("sextant_") || HARMLESS.contains(&plain) || UNREACHED.contains(&plain)
    };
    let unknown: Vec<_> = imports.iter().filter(|name| !known(name)).collect();
    assert!(unknown.is_empty(), "libbpf calls functions nobody has looked at: {unknown:?}");
    for (theirs, _) in INTERCEPTED {
        assert!(!imports.iter().any(|name| plain(name) == *theirs), "libbpf still calls the host's {theirs}");
    }
}

#[test]
fn what_we_override_is_defined_in_libbpf() {
    let defined = symbols(false);
    for name in OVERRIDDEN {
        assert!(defined.contains(*name), "{name}");
    }
}

#[test]
fn this_is_the_libbpf_that_was_measured() {
    // SAFETY: they return constants.
    let version = unsafe { (libbpf_sys::libbpf_major_version(), libbpf_sys::libbpf_minor_version()) };
    assert_eq!(version, (1, 7));
}

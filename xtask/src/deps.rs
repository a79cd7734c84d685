//! The Debian packages that chores need, installed when missing. What building Sextant itself needs is
//! installed by the script `x`, since no Rust program links without it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::run;

/// Something a chore needs: a file that shows it is there, and the package that brings it.
pub struct Need {
    package: &'static str,
    /// A program on the path, or an absolute path.
    shown_by: &'static str,
}

const fn need(package: &'static str, shown_by: &'static str) -> Need {
    Need { package, shown_by }
}

/// The compiler the built schedulers and the kernel's examples are made with.
pub const CLANG: Need = need("clang-19", "clang-19");
/// `llvm-strip-19`.
pub const LLVM: Need = need("llvm-19", "llvm-strip-19");
/// Writes vmlinux.h from a kernel's BTF.
pub const BPFTOOL: Need = need("bpftool", "bpftool");
/// Unpacks a vmlinuz.
pub const ZSTD: Need = need("zstd", "zstd");
/// Unpacks the kernel's source.
pub const XZ: Need = need("xz-utils", "xz");
/// Runs the kernel's bpf_doc.py.
pub const PYTHON: Need = need("python3", "python3");
/// Runs a kernel without KVM.
pub const QEMU: Need = need("qemu-system-x86", "qemu-system-x86_64");
/// Compiles and links the guest of that kernel statically, with the libraries that libbpf needs.
pub const GCC: Need = need("gcc", "gcc");
/// libelf.
pub const LIBELF: Need = need("libelf-dev", "/usr/include/libelf.h");
/// zlib.
pub const ZLIB: Need = need("zlib1g-dev", "/usr/include/zlib.h");
/// zstd, for a libelf that reads sections compressed with it.
pub const LIBZSTD: Need = need("libzstd-dev", "/usr/include/zstd.h");
/// The keys that Debian's mirror is checked with, on Ubuntu too.
pub const DEBIAN_KEYS: Need =
    need("debian-archive-keyring", "/usr/share/keyrings/debian-archive-keyring.gpg");

/// Installs what is missing. An error says which packages and why not.
pub fn ensure(needs: &[Need]) -> Result<()> {
    let missing: Vec<&str> = needs.iter().filter(|n| find(n.shown_by).is_none()).map(|n| n.package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if find("apt-get").is_none() {
        bail!("missing, and there is no apt-get to install it with: {}", missing.join(" "));
    }
    eprintln!("installing Debian packages: {}", missing.join(" "));
    if install(&missing).is_err() {
        run::output(&mut apt_get(&["update"]))?;
        install(&missing)?;
    }
    match needs.iter().find(|n| find(n.shown_by).is_none()) {
        Some(n) => bail!("package {} is installed but brought no {}", n.package, n.shown_by),
        None => Ok(()),
    }
}

/// Where a program is; sbin too, which is often not on a user's path.
pub fn find(shown_by: &str) -> Option<PathBuf> {
    if shown_by.starts_with('/') {
        return Some(PathBuf::from(shown_by)).filter(|path| path.exists());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(shown_by))
        .find(|file| file.is_file())
}

fn install(packages: &[&str]) -> Result<()> {
    let mut args = vec!["install", "--yes", "--no-install-recommends"];
    args.extend(packages);
    run::output(&mut apt_get(&args)).map(drop)
}

fn apt_get(args: &[&str]) -> Command {
    let root = std::fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0);
    let mut command = if root || !Path::new("/usr/bin/sudo").exists() {
        Command::new("apt-get")
    } else {
        let mut sudo = Command::new("sudo");
        sudo.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
        sudo
    };
    command.env("DEBIAN_FRONTEND", "noninteractive").args(args);
    command
}

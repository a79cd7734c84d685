//! The guest: its only program, and the initramfs it lies in.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};

use crate::{kernel_examples, run, workspace};

/// Raised when the recipe changes, so that an old program is not taken for a new one.
const RECIPE: u32 = 1;
const SOURCES: [&str; 2] = ["verdicts.c", "raw.c"];
/// Kconfig options that objects ask for, as /boot/config of this kernel has them.
const CONFIG: &str = "CONFIG_64BIT=y\nCONFIG_BPF=y\nCONFIG_BPF_JIT=y\nCONFIG_BPF_SYSCALL=y\nCONFIG_CGROUPS=y\nCONFIG_CGROUP_SCHED=y\n\
    CONFIG_DEBUG_INFO_BTF=y\nCONFIG_EXT_GROUP_SCHED=y\nCONFIG_EXT_SUB_SCHED=y\nCONFIG_FAIR_GROUP_SCHED=y\nCONFIG_HZ=250\nCONFIG_HZ_250=y\n\
    CONFIG_LOCALVERSION=\"\"\nCONFIG_NODES_SHIFT=10\nCONFIG_NR_CPUS=8192\nCONFIG_NUMA=y\nCONFIG_PREEMPTION=y\nCONFIG_PREEMPT_RCU=y\n\
    CONFIG_SCHED_AUTOGROUP=y\nCONFIG_SCHED_CLASS_EXT=y\nCONFIG_SMP=y\nCONFIG_X86=y\nCONFIG_X86_64=y\n";
/// The verifier's log: errors and the line of statistics; and every instruction.
const LEVEL_SHORT: &str = "4";
const LEVEL_WHOLE: &str = "6";

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const FILE: u32 = 0o100_644;

/// Compiles xtask/guest with libbpf of the kernel's source, statically; the program's path.
pub fn build(dir: &Path) -> Result<PathBuf> {
    let guest = workspace::root().join("xtask/guest");
    let kernel = fs::read_to_string(workspace::kernel_examples().join("STAMP"))?;
    let mut stamp = format!("recipe {RECIPE}\n{kernel}");
    for name in ["verdicts.c", "raw.c", "raw.h"] {
        stamp.push_str(&fs::read_to_string(guest.join(name))?);
    }
    let (init, stamped) = (dir.join("init"), dir.join("GUEST"));
    if fs::read_to_string(&stamped).is_ok_and(|old| old == stamp) && init.exists() {
        return Ok(init);
    }
    eprintln!("compiling the guest");
    let objects = libbpf(dir)?;
    let mut gcc = Command::new("gcc");
    gcc.args(["-O2", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-static", "-s", "-o"]).arg(&init);
    let examples = workspace::kernel_examples();
    gcc.arg("-I").arg(guest.join("include"));
    for include in ["include", "source/tools/include/uapi"] {
        gcc.arg("-I").arg(examples.join(include));
    }
    gcc.args(SOURCES.map(|name| guest.join(name))).args(objects).args(["-lelf", "-lz", "-lzstd"]);
    run::output(&mut gcc)?;
    fs::write(stamped, stamp)?;
    Ok(init)
}

/// libbpf's objects.
fn libbpf(dir: &Path) -> Result<Vec<PathBuf>> {
    let examples = workspace::kernel_examples();
    let (tools, out) = (examples.join("source/tools"), dir.join("libbpf"));
    kernel_examples::remove(&out)?;
    fs::create_dir_all(&out)?;
    let mut jobs = Vec::new();
    for entry in fs::read_dir(tools.join("lib/bpf"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|ext| ext == "c") {
            let name = path.file_stem().context("a file has a name")?.to_owned();
            jobs.push((path, out.join(name).with_extension("o")));
        }
    }
    let shim = workspace::root().join("xtask/guest/include");
    let includes = [
        shim,
        tools.join("lib/bpf"),
        tools.join("include"),
        tools.join("include/uapi"),
        examples.join("include"),
    ];
    let next = AtomicUsize::new(0);
    let work = || -> Result<()> {
        while let Some((source, object)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut gcc = Command::new("gcc");
            gcc.args(["-O2", "-w", "-D_GNU_SOURCE", "-D_LARGEFILE64_SOURCE", "-D_FILE_OFFSET_BITS=64"]);
            for include in &includes {
                gcc.arg("-I").arg(include);
            }
            run::output(gcc.arg("-c").arg(source).arg("-o").arg(object))?;
        }
        Ok(())
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("a compiling thread panicked"))
    })?;
    Ok(jobs.into_iter().map(|(_, object)| object).collect())
}

/// Where an object lies in the guest, and back.
fn path_of(nth: usize) -> String {
    format!("/in/{nth}.o")
}

/// The object's number by its path in the guest.
pub fn number_of(path: &str) -> Option<usize> {
    path.strip_prefix("/in/")?.strip_suffix(".o")?.parse().ok()
}

/// A cpio archive in the `newc` format (Documentation/driver-api/early-userspace/buffer-format.rst).
pub fn initramfs(
    release: &str,
    init: &Path,
    objects: &[Vec<u8>],
    raw: Option<&[u8]>,
    whole: bool,
) -> Result<Vec<u8>> {
    let mut out = Archive::default();
    for dir in ["in", "boot", "dev", "proc", "sys"] {
        out.add(dir, DIRECTORY, &[]);
    }
    out.add("init", PROGRAM, &fs::read(init)?);
    out.add(&format!("boot/config-{release}"), FILE, CONFIG.as_bytes());
    out.add("level", FILE, if whole { LEVEL_WHOLE } else { LEVEL_SHORT }.as_bytes());
    let mut jobs = String::new();
    for (nth, object) in objects.iter().enumerate() {
        let path = path_of(nth);
        jobs.push_str(&path);
        jobs.push('\n');
        out.add(&path[1..], FILE, object);
    }
    out.add("jobs", FILE, jobs.as_bytes());
    if let Some(raw) = raw {
        out.add("raw", FILE, raw);
    }
    out.add("TRAILER!!!", 0, &[]);
    Ok(out.bytes)
}

#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    entries: usize,
}

impl Archive {
    fn add(&mut self, name: &str, mode: u32, data: &[u8]) {
        self.entries += 1;
        let (inode, size, name_size) = (self.entries, data.len(), name.len() + 1);
        // ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
        let header = format!(
            "070701{inode:08x}{mode:08x}{0:08x}{0:08x}{1:08x}{0:08x}{size:08x}{0:08x}{0:08x}{0:08x}{0:08x}{name_size:08x}{0:08x}",
            0, 1
        );
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(data);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_headers_names_and_data_on_words() {
        let mut archive = Archive::default();
        archive.add("ab", FILE, b"xyz");
        let text = String::from_utf8_lossy(&archive.bytes);
        assert_eq!(&text[..22], "07070100000001000081a4");
        assert_eq!(&text[94..102], "00000003", "namesize counts the NUL");
        assert_eq!(&archive.bytes[110..116], b"ab\0\0\0\0", "header and name end on a word");
        assert_eq!(&archive.bytes[116..], b"xyz\0");
    }

    #[test]
    fn a_path_is_a_number() {
        assert_eq!(number_of(&path_of(17)), Some(17));
        assert_eq!(number_of("/in/x.o"), None);
    }
}

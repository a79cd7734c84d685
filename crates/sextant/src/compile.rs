//! C sources where an object is wanted: compiled with clang and the program's own headers. `sextant build` keeps the object.

use std::cmp::Reverse;
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, anyhow};

use crate::cli::{BuildArgs, CompileArgs};
use crate::header::{self, LIBBPF};
use crate::status::{Failure, Status};

/// Oldest clang whose BPF code the headers are known to work with.
const OLDEST: u32 = 16;

/// Headers of the machine's C library, behind everything: what `<errno.h>` includes lies there on Debian.
const MULTIARCH: &str = "/usr/include/x86_64-linux-gnu";

/// What the command line says about compiling, for every source of this run.
static OPTIONS: OnceLock<CompileArgs> = OnceLock::new();

/// Sets what the command line says; only the first call counts.
pub fn configure(args: &CompileArgs) {
    let _ = OPTIONS.set(args.clone());
}

fn options() -> CompileArgs {
    OPTIONS.get().cloned().unwrap_or_default()
}

/// Whether an argument names a C source.
pub fn is_source(path: &str) -> bool {
    path.ends_with(".c")
}

/// `sextant build`
pub fn run(args: &BuildArgs, out: &mut dyn Write) -> Result<Status, Failure> {
    let object = compile(&args.source)?;
    let path = match &args.output {
        Some(path) => path.clone(),
        None => PathBuf::from(format!("{}.o", args.source.trim_end_matches(".c"))),
    };
    if path.as_os_str() == "-" {
        out.write_all(&object)?;
    } else {
        fs::write(&path, object).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(Status::Done)
}

/// The object of a source. What the compiler says goes to stderr.
///
/// # Errors
/// When there is no compiler, no such file, or it does not compile.
pub fn compile(source: &str) -> Result<Vec<u8>, Failure> {
    fs::metadata(source).with_context(|| format!("cannot read {source}"))?;
    let clang = clang(source)?;
    let scratch = Scratch::new()?;
    let include = scratch.0.join("include");
    header::write_all(&include)?;
    let object = scratch.0.join("object.o");
    let mut command = Command::new(&clang);
    command.args(flags(source, &include)).arg("-c").arg(source).arg("-o").arg(&object).stdin(Stdio::null());
    if options().verbose {
        eprintln!("{}", line(&command));
    }
    let status = command.status().with_context(|| format!("cannot run {}", clang.display()))?;
    if !status.success() {
        let clang = clang.display();
        return Err(Failure::usage(format!("{source} does not compile, as {clang} says above")));
    }
    Ok(fs::read(&object).with_context(|| format!("{} left no object", clang.display()))?)
}

/// The files that a source is made of, itself first, those of the program's own headers left out.
pub fn dependencies(source: &str) -> Vec<PathBuf> {
    let mut files = vec![PathBuf::from(source)];
    let (Ok(clang), Ok(scratch)) = (clang(source), Scratch::new()) else { return files };
    let include = scratch.0.join("include");
    if header::write_all(&include).is_err() {
        return files;
    }
    let listed = Command::new(clang).args(flags(source, &include)).arg("-MM").arg(source).output();
    let text = listed.map(|l| String::from_utf8_lossy(&l.stdout).into_owned()).unwrap_or_default();
    let rule = text.split_once(':').map_or("", |(_, rule)| rule);
    let more = rule.split_whitespace().filter(|word| *word != "\\").map(PathBuf::from);
    files.extend(more.filter(|path| !path.starts_with(&include) && *path != Path::new(source)));
    files
}

/// The source's own directory comes first, so that headers beside it count, then the user's flags.
fn flags(source: &str, include: &Path) -> Vec<OsString> {
    let own = Path::new(source).parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut flags: Vec<OsString> =
        ["-target", "bpf", "-mcpu=v3", "-O2", "-g", "-Wall", "-D__TARGET_ARCH_x86", "-I"]
            .map(Into::into)
            .into();
    flags.push(own.into());
    let options = options();
    flags.extend(options.cflags.iter().flat_map(|flags| flags.split_whitespace()).map(OsString::from));
    flags.extend(["-I".into(), include.into()]);
    flags.extend(["-idirafter".into(), include.join(LIBBPF).into()]);
    // The same object every time, though the headers lie elsewhere every time.
    flags.push(format!("-ffile-prefix-map={}={}", include.display(), header::SHOWN).into());
    flags.push("-fmacro-backtrace-limit=1".into());
    if Path::new(MULTIARCH).is_dir() {
        flags.extend(["-idirafter", MULTIARCH].map(OsString::from));
    }
    flags
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// `$CLANG`, else the newest `clang-NN` on PATH, else `clang`.
fn clang(source: &str) -> Result<PathBuf, Failure> {
    if let Some(chosen) = std::env::var_os("CLANG").filter(|value| !value.is_empty()) {
        return Ok(chosen.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found: Vec<(u32, PathBuf)> =
        std::env::split_paths(&path).flat_map(|dir| versioned(&dir)).collect();
    found.sort_by_key(|(version, _)| Reverse(*version));
    if let Some((_, newest)) = found.into_iter().find(|(version, _)| *version >= OLDEST) {
        return Ok(newest);
    }
    let plain = std::env::split_paths(&path).map(|dir| dir.join("clang")).find(|path| path.is_file());
    plain.ok_or_else(|| Failure {
        status: Status::Usage,
        error: anyhow!(
            "{source} is C, and compiling it needs clang {OLDEST} or later, which is not on PATH\n\
             Debian, Ubuntu: sudo apt-get install clang-19   (CLANG=… names one elsewhere)\n\
             or compile it where there is one, with the headers of `sextant header --all include`:\n  {} {source} -o …",
            header::command_line(&"include")
        ),
    })
}

/// `clang-NN` in a directory.
fn versioned(dir: &Path) -> Vec<(u32, PathBuf)> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let version = |entry: fs::DirEntry| {
        let version = entry.file_name().to_str()?.strip_prefix("clang-")?.parse().ok()?;
        Some((version, entry.path()))
    };
    entries.filter_map(|entry| version(entry.ok()?)).collect()
}

/// A directory of this process, gone when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Scratch, Failure> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("sextant-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        // Not the directory of somebody else: it must be new.
        fs::create_dir(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        Ok(Scratch(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

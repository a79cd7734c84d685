//! `objects PROGRAM DIR [--seed S] [--count N] OBJECT…`: damaged copies of good objects through `check`, `inspect` and `sim` of
//! PROGRAM. No copy may end it by a signal, an internal error, a hang or too much memory. `cargo xtask objects` builds and runs it.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use sextant_fuzz::object::damage;

/// CPU time that one run may take, seconds. A clean run of these objects takes less than one.
const CPU_SECONDS: u32 = 30;
/// Memory that one run may take, KiB: what the maps may (`--memory`), and as much again.
const MEMORY_KIB: u32 = 1 << 20;
/// The last argument of `sim`, and the machine's other limits.
const SIM: &[&str] = &["--duration", "20ms", "--cpus", "2", "--memory", "256M"];

struct Args {
    program: PathBuf,
    dir: PathBuf,
    seed: u64,
    count: u64,
    objects: Vec<PathBuf>,
}

fn args() -> Result<Args, String> {
    let mut args = std::env::args().skip(1);
    let mut next = |what: &str| args.next().ok_or(format!("{what} is missing"));
    let (program, dir) = (next("PROGRAM")?.into(), next("DIR")?.into());
    let mut out = Args { program, dir, seed: 1, count: 300, objects: Vec::new() };
    while let Some(arg) = args.next() {
        let mut number = || -> Result<u64, String> {
            let text = args.next().ok_or(format!("{arg} needs a value"))?;
            text.parse().map_err(|e| format!("{text}: {e}"))
        };
        match arg.as_str() {
            "--seed" => out.seed = number()?,
            "--count" => out.count = number()?,
            _ => out.objects.push(arg.into()),
        }
    }
    if out.objects.is_empty() {
        return Err("no OBJECT is given".into());
    }
    Ok(out)
}

fn main() -> ExitCode {
    let args = match args() {
        Ok(args) => args,
        Err(error) => {
            eprintln!("objects: {error}\nusage: objects PROGRAM DIR [--seed S] [--count N] OBJECT…");
            return ExitCode::from(2);
        }
    };
    match campaign(&args) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("objects: {error}");
            ExitCode::from(2)
        }
    }
}

/// Faults found.
fn campaign(args: &Args) -> std::io::Result<u64> {
    std::fs::create_dir_all(&args.dir)?;
    let mut good = Vec::new();
    for path in &args.objects {
        good.push((path.display().to_string(), std::fs::read(path)?));
    }
    let next = AtomicU64::new(args.seed);
    let seen: Mutex<BTreeMap<String, u64>> = Mutex::default();
    let faults = AtomicU64::new(0);
    let failed: Mutex<Option<std::io::Error>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed - args.seed >= args.count {
                        return;
                    }
                    match one(args, &good, seed, &seen) {
                        Ok(found) => _ = faults.fetch_add(found, Ordering::Relaxed),
                        Err(error) => {
                            if let Ok(mut failed) = failed.lock() {
                                *failed = Some(error);
                            }
                            return;
                        }
                    }
                }
            });
        }
    });
    if let Some(error) = failed.into_inner().ok().flatten() {
        return Err(error);
    }
    println!("{} damaged objects of {} good ones, seeds {}..", args.count, good.len(), args.seed);
    for (end, count) in seen.into_inner().unwrap_or_default() {
        println!("{count:>8}  {end}");
    }
    let faults = faults.into_inner();
    println!("{faults} faults");
    Ok(faults)
}

/// One damaged object through the three subcommands: how many of them broke.
fn one(
    args: &Args,
    good: &[(String, Vec<u8>)],
    seed: u64,
    seen: &Mutex<BTreeMap<String, u64>>,
) -> std::io::Result<u64> {
    let (name, bytes) = &good[(seed % good.len() as u64) as usize];
    let (bytes, done) = damage(bytes, seed);
    let path = args.dir.join(format!("damaged-{seed}.bpf.o"));
    std::fs::write(&path, &bytes)?;
    let mut faults = 0;
    for (subcommand, more) in [("inspect", &[][..]), ("check", &[][..]), ("sim", SIM)] {
        let (status, stderr) = run(&args.program, subcommand, &path, more)?;
        let end = match fault(status) {
            None => {
                let died =
                    stderr.contains("libbpf crashes") || stderr.contains("libbpf did not come to an end");
                let note = if died { ", libbpf did not survive" } else { "" };
                format!("{subcommand}: exit status {}{note}", status.code().unwrap_or(-1))
            }
            Some(what) => {
                faults += 1;
                let done = done.join("; ");
                println!("FAULT {subcommand} {}: {what}\n  {name}: {done}\n{stderr}", path.display());
                format!("{subcommand}: {what}")
            }
        };
        if let Ok(mut seen) = seen.lock() {
            *seen.entry(end).or_default() += 1;
        }
    }
    if faults == 0 {
        std::fs::remove_file(&path)?;
    }
    Ok(faults)
}

/// Runs the program under limits of CPU time and memory.
fn run(
    program: &Path,
    subcommand: &str,
    object: &Path,
    more: &[&str],
) -> std::io::Result<(ExitStatus, String)> {
    let limits = format!("ulimit -c 0 -t {CPU_SECONDS} -d {MEMORY_KIB}; exec \"$@\"");
    let output = Command::new("bash")
        .args(["-c", &limits, "bash"])
        .arg(program)
        .arg(subcommand)
        .arg(object)
        .args(more)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    Ok((output.status, stderr.lines().take(12).collect::<Vec<_>>().join("\n")))
}

/// What is no answer to any input.
fn fault(status: ExitStatus) -> Option<String> {
    match (status.signal(), status.code()) {
        (Some(24 | 9), _) => Some(format!("more than {CPU_SECONDS} s of CPU time")),
        (Some(signal), _) => Some(format!("ended by signal {signal}")),
        (None, Some(0..=3)) => None,
        (None, Some(4)) => Some("an internal error".into()),
        (None, code) => Some(format!("exit status {code:?}, which is not documented")),
    }
}

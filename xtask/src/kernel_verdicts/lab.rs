//! A machine with a real kernel: Debian's, started by QEMU without KVM from its unpacked vmlinux (PVH), with an initramfs of ours.
//! One processor and one thread of translation: `thread=multi` has crashed kernels that were fine.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::cases::Case;
use super::guest;
use crate::apt::Suite;
use crate::deps::{self, Need};
use crate::{kernel_examples, run, vmlinuz, workspace};

/// What a lab is made with.
pub const NEEDS: [Need; 7] =
    [deps::QEMU, deps::GCC, deps::LIBELF, deps::ZLIB, deps::LIBZSTD, deps::ZSTD, deps::LLVM];

/// Memory of the machine. A program of a million instructions may keep two gigabytes of states.
const MEMORY: &str = "4096";
/// After this long without an answer the machine is stopped.
const SILENCE: Duration = Duration::from_secs(120);

/// A kernel and what answers in it.
pub struct Lab {
    /// Which kernel.
    pub kernel: String,
    release: String,
    vmlinux: PathBuf,
    init: PathBuf,
}

/// One line that the guest wrote; xtask/guest/verdicts.c says which there are.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Line {
    /// The object's path in the guest.
    object: Option<String>,
    program: Option<String>,
    /// A random program's name.
    raw: Option<String>,
    error: i32,
    log: String,
    done: Option<u64>,
    end: bool,
}

/// The kernel's answer on a program.
#[derive(Clone)]
pub struct Answer {
    /// 0, or a negative errno.
    pub error: i32,
    /// The verifier's log, or libbpf's words.
    pub log: String,
}

/// All answers.
#[derive(Default)]
pub struct Answers {
    /// By object and program; the program is empty where the object went no further.
    pub objects: BTreeMap<(usize, String), Answer>,
    /// By name.
    pub random: BTreeMap<String, Answer>,
}

impl Lab {
    /// Makes the lab below `dir`, or finds it made; the inner error is why this machine cannot have one.
    pub fn open(dir: &Path) -> Result<Result<Lab, String>> {
        let stamp = fs::read_to_string(workspace::kernel_examples().join("STAMP"))?;
        let line = stamp.lines().find(|line| kernel_examples::is_kernel(line));
        let line = line.context("target/kernel-examples/STAMP names no kernel")?;
        let (package, version) = line.split_once(' ').context("a package and its version")?;
        let release = package.trim_start_matches(|c: char| !c.is_ascii_digit()).to_owned();
        fs::create_dir_all(dir)?;
        let vmlinux = dir.join("vmlinux");
        if fs::read_to_string(dir.join("STAMP")).is_ok_and(|old| old == line) && vmlinux.exists() {
            eprintln!("target/kernel-verdicts has {line}");
        } else if let Err(why) = fetch(dir, package, version, &vmlinux)? {
            return Ok(Err(why));
        } else {
            fs::write(dir.join("STAMP"), line)?;
        }
        let init = guest::build(dir)?;
        Ok(Ok(Lab { kernel: format!("{release} ({version})"), release, vmlinux, init }))
    }

    /// One boot: what the kernel says of each program.
    pub fn judge(&self, dir: &Path, cases: &[Case], raw: Option<&Path>, whole: bool) -> Result<Answers> {
        let objects: Vec<Vec<u8>> =
            cases.iter().map(|case| stripped(dir, &case.object)).collect::<Result<_>>()?;
        let raw = raw.map(fs::read).transpose()?;
        let image = guest::initramfs(&self.release, &self.init, &objects, raw.as_deref(), whole)?;
        fs::write(dir.join("initrd"), image)?;
        let (console, verdicts) = (dir.join("console"), dir.join("verdicts"));
        self.boot(dir, &console, &verdicts)?;
        let text = String::from_utf8_lossy(&fs::read(&verdicts)?).into_owned();
        let mut answers = Answers::default();
        let mut ended = false;
        for line in text.lines() {
            // What a crash cut off is no line.
            let Ok(line) = serde_json::from_str::<Line>(line) else { continue };
            ended |= line.end;
            answers.add(line);
        }
        if !ended {
            let said = String::from_utf8_lossy(&fs::read(&console)?).into_owned();
            let tail: Vec<&str> = said.lines().rev().take(30).collect();
            bail!(
                "the machine stopped after {} answers; it said last:\n{}",
                answers.objects.len() + answers.random.len(),
                tail.into_iter().rev().collect::<Vec<_>>().join("\n")
            );
        }
        Ok(answers)
    }

    fn boot(&self, dir: &Path, console: &Path, verdicts: &Path) -> Result<()> {
        fs::write(verdicts, "")?;
        let command_line =
            "console=ttyS0 quiet loglevel=4 panic=-1 nokaslr mitigations=off tsc=reliable no_timer_check";
        let machine = "-M q35 -cpu max -smp 1 -accel tcg,thread=single,tb-size=256 -nodefaults -no-user-config \
                       -display none -no-reboot";
        let mut qemu = Command::new("qemu-system-x86_64")
            .args(machine.split_whitespace())
            .args(["-m", MEMORY, "-append", command_line])
            .arg("-kernel")
            .arg(&self.vmlinux)
            .arg("-initrd")
            .arg(dir.join("initrd"))
            .arg("-serial")
            .arg(format!("file:{}", console.display()))
            .arg("-serial")
            .arg(format!("file:{}", verdicts.display()))
            .stdin(Stdio::null())
            .spawn()
            .context("cannot start qemu-system-x86_64")?;
        let (mut bytes, mut last) = (0, Instant::now());
        loop {
            if qemu.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
            let now = fs::metadata(verdicts)?.len();
            if now != bytes {
                (bytes, last) = (now, Instant::now());
            }
            if last.elapsed() > SILENCE {
                qemu.kill()?;
                qemu.wait()?;
                return Ok(());
            }
        }
    }
}

impl Answers {
    fn add(&mut self, line: Line) {
        let answer = Answer { error: line.error, log: line.log };
        if let Some(name) = line.raw {
            self.random.insert(name, answer);
            return;
        }
        let nth = line.object.as_deref().and_then(guest::number_of);
        let (Some(nth), None) = (nth, line.done) else { return };
        self.objects.insert((nth, line.program.unwrap_or_default()), answer);
    }
}

/// The kernel's vmlinux from its package.
fn fetch(dir: &Path, package: &str, version: &str, vmlinux: &Path) -> Result<Result<(), String>> {
    eprintln!("downloading {package}");
    let suite = match Suite::open(kernel_examples::SUITE, &dir.join("apt")) {
        Ok(suite) => suite,
        Err(why) => return Ok(Err(format!("{why:#}"))),
    };
    let unpacked = dir.join("unpacked");
    kernel_examples::remove(&unpacked)?;
    match suite.unpack(package, &unpacked) {
        Ok(now) if now == version => {}
        Ok(now) => {
            return Ok(Err(format!("{package} is {now} now: run cargo xtask kernel-examples --force")));
        }
        Err(why) => return Ok(Err(format!("{why:#}"))),
    }
    let image =
        kernel_examples::find_vmlinuz(&unpacked).with_context(|| format!("{package} holds no vmlinuz"))?;
    vmlinuz::unpack(&image, dir, vmlinux)?;
    fs::remove_dir_all(unpacked)?;
    fs::remove_dir_all(dir.join("apt"))?;
    Ok(Ok(()))
}

/// An object without DWARF, which no loader reads and which is most of it.
fn stripped(dir: &Path, object: &Path) -> Result<Vec<u8>> {
    let out = dir.join("stripped.o");
    run::output(Command::new("llvm-strip-19").arg("-g").arg(object).arg("-o").arg(&out))?;
    Ok(fs::read(out)?)
}

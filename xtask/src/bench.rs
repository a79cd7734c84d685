//! `cargo xtask bench`: the figures of docs/performance.md, measured on this machine and printed as Markdown.
//!
//! Times are CPU times of the whole program, user and system, the least of a few runs, so that other load disturbs little;
//! differences of two runs leave out what starting and loading cost. Instructions are counted by Valgrind's callgrind where it is
//! installed.

use std::fmt::Write as _;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::{Done, run, workspace};

/// Each time is the least of so many runs.
const RUNS: u32 = 5;
/// Tasks on each CPU of the growing machine: sleepers, which keep it three quarters busy and let CPUs go idle and be found.
const SLEEPERS: u32 = 8;

/// Builds, measures, prints.
pub fn run() -> Result<Done> {
    let object = workspace::kernel_examples().join("examples/scx_simple.bpf.o");
    if !object.exists() {
        return Ok(Done::Skipped("no scx_simple.bpf.o: run `cargo xtask kernel-examples` first".into()));
    }
    let bench = Bench { program: build()?, object };
    println!("{}\n", machine());
    println!("| what | figure |\n|---|---|");
    bench.engines()?;
    bench.callbacks()?;
    bench.bench_64()?;
    bench.instructions()?;
    bench.load()?;
    bench.verifier()?;
    bench.growth()?;
    Ok(Done::Ok("the figures above are this machine's".into()))
}

struct Bench {
    program: PathBuf,
    object: PathBuf,
}

/// What a run of the program cost.
struct Cost {
    cpu_ns: u64,
    peak_kib: u64,
    stdout: String,
}

fn row(what: &str, figure: &str) {
    println!("| {what} | {figure} |");
}

fn build() -> Result<PathBuf> {
    eprintln!("building the release program");
    run::output(cargo().args(["build", "--release", "-p", "sextant"]))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(workspace::root().join("target"), PathBuf::from);
    Ok(target.join("release/sextant"))
}

fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    command.current_dir(workspace::root());
    command
}

fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|l| l.strip_prefix("model name")).unwrap_or("unknown CPU");
    let cpus = info.lines().filter(|l| l.starts_with("processor")).count();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{}, {cpus} CPUs, Linux {}", model.trim_start_matches([' ', '\t', ':']), kernel.trim())
}

impl Bench {
    /// The kernels of the vm's own benchmark in both engines, checks on memory as in a run.
    fn engines(&self) -> Result<()> {
        let text =
            run::text(cargo().args(["run", "--release", "-q", "-p", "sextant-vm", "--example", "bench"]))?;
        for line in text.lines().skip(1) {
            let words: Vec<&str> = line.split_whitespace().collect();
            match (&words[..], line.split_once(": ")) {
                (_, Some((name, figures))) => row(name, figures),
                (&[name, _, interp, jit, native, ..], None) => {
                    row(&format!("interpreter, `{name}`"), &format!("{interp} ns/insn"));
                    row(&format!("compiled, `{name}`"), &format!("{jit} ns/insn; in C {native}"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What the engine makes of a whole scheduler: its callbacks are the only difference between the two figures.
    fn callbacks(&self) -> Result<()> {
        let (short, long) = ("2s", "7s");
        for (name, setup) in [
            ("scx_simple", &[][..]),
            ("scx_central", &["--setup", "central"]),
            ("scx_flatcg", &["--setup", "flatcg"]),
        ] {
            let path = workspace::kernel_examples().join(format!("examples/{name}.bpf.o"));
            let object = path.to_str().context("the workspace's path is not UTF-8")?;
            let args = |duration| [&["sim", object, "bench-64", "--duration", duration], setup].concat();
            let switches = |duration| self.switches_with(&[&args(duration)[..], &["--json"]].concat());
            let switches = (switches(long)? - switches(short)?).max(1);
            let each = |engine| -> Result<u64> {
                let cost = |duration| self.least(&[&args(duration)[..], &["--engine", engine]].concat());
                Ok(cost(long)?.cpu_ns.saturating_sub(cost(short)?.cpu_ns) / switches)
            };
            let figure = format!("{} ns interpreted, {} ns compiled", each("interp")?, each("jit")?);
            row(&format!("per simulated switch of bench-64 under {name}"), &figure);
        }
        Ok(())
    }

    fn bench_64(&self) -> Result<()> {
        let (short, long) = (3, 13);
        let switches = self.switches("bench-64", long)? - self.switches("bench-64", short)?;
        for (how, what) in [(&[][..], "table"), (&["--json"][..], "JSON with `trace_hash`")] {
            let ten = self.sim("bench-64", 10, how)?;
            let factor = 1e10 / ten.cpu_ns as f64;
            let name = format!("bench-64 under scx_simple, 10 s, {what}");
            row(&name, &format!("{factor:.0} times real time, {:.1} MiB", ten.peak_kib as f64 / 1024.0));
            let (a, b) = (self.sim("bench-64", short, how)?, self.sim("bench-64", long, how)?);
            let each = b.cpu_ns.saturating_sub(a.cpu_ns) / switches;
            row(&format!("host time per simulated switch, {what}"), &format!("{each} ns"));
        }
        Ok(())
    }

    fn instructions(&self) -> Result<()> {
        let (short, long) = (3, 4);
        let Some(a) = self.callgrind(short)? else {
            row("instructions per simulated switch, table", "not measured: no valgrind");
            return Ok(());
        };
        let b = self.callgrind(long)?.context("valgrind was there a moment ago")?;
        let switches = self.switches("bench-64", long)? - self.switches("bench-64", short)?;
        row("instructions per simulated switch, table", &((b - a) / switches).to_string());
        Ok(())
    }

    fn load(&self) -> Result<()> {
        let args = ["sim", self.object()?, "hogs", "--duration", "1us", "--json"];
        let cost = self.least(&args)?;
        let figure = format!("{:.1} ms", cost.cpu_ns as f64 / 1e6);
        row("start, load of scx_simple, attach, end", &figure);
        Ok(())
    }

    /// Programs that reach the limit, and `sextant check` on the smallest and the largest of the kernel's examples that are accepted.
    fn verifier(&self) -> Result<()> {
        let example = ["run", "--release", "-q", "-p", "sextant-verifier", "--example", "speed"];
        for (name, figure) in run::text(cargo().args(example))?.lines().filter_map(|l| l.split_once(": ")) {
            row(&format!("verifier, a loop that reaches 1 M instructions, {name}"), figure);
        }
        let cost = self.least(&["check", self.object()?])?;
        row("`check` of scx_simple, start to exit", &format!("{:.1} ms", cost.cpu_ns as f64 / 1e6));
        let large = self.object.with_file_name("scx_sdt.bpf.o");
        let cost = self.least(&["check", large.to_str().context("the workspace's path is not UTF-8")?])?;
        let figure = format!("{:.1} ms, {:.0} MiB", cost.cpu_ns as f64 / 1e6, cost.peak_kib as f64 / 1024.0);
        row("`check` of scx_sdt, start to exit", &figure);
        Ok(())
    }

    /// The same load on each CPU of ever larger machines.
    fn growth(&self) -> Result<()> {
        for cpus in [8, 64, 512] {
            let file = workload(cpus)?;
            let (short, long) = (100, 100 + 32_000 / u64::from(cpus));
            let switches = self.switches_of(&file, cpus, long)? - self.switches_of(&file, cpus, short)?;
            let (a, b) = (self.sized(&file, cpus, short)?, self.sized(&file, cpus, long)?);
            let each = b.cpu_ns.saturating_sub(a.cpu_ns) / switches;
            let tasks = cpus * SLEEPERS;
            let figure = format!("{each} ns, {:.0} MiB", b.peak_kib as f64 / 1024.0);
            row(&format!("per simulated switch, {cpus} CPUs, {tasks} tasks"), &figure);
        }
        Ok(())
    }

    fn object(&self) -> Result<&str> {
        self.object.to_str().context("the workspace's path is not UTF-8")
    }

    fn sim(&self, workload: &str, seconds: u64, more: &[&str]) -> Result<Cost> {
        let duration = format!("{seconds}s");
        let args = ["sim", self.object()?, workload, "--duration", &duration];
        self.least(&[&args, more].concat())
    }

    fn sized(&self, file: &str, cpus: u32, ms: u64) -> Result<Cost> {
        let (cpus, duration) = (cpus.to_string(), format!("{ms}ms"));
        self.least(&["sim", self.object()?, file, "--cpus", &cpus, "--duration", &duration])
    }

    fn switches(&self, workload: &str, seconds: u64) -> Result<u64> {
        self.switches_of(workload, 8, seconds * 1000)
    }

    /// Runs are deterministic, so the JSON document counts for the table's run too.
    fn switches_of(&self, workload: &str, cpus: u32, ms: u64) -> Result<u64> {
        let (cpus, duration) = (cpus.to_string(), format!("{ms}ms"));
        self.switches_with(&[
            "sim",
            self.object()?,
            workload,
            "--cpus",
            &cpus,
            "--duration",
            &duration,
            "--json",
        ])
    }

    /// The context switches of a run with these arguments, which ask for JSON.
    fn switches_with(&self, args: &[&str]) -> Result<u64> {
        let document: Value = serde_json::from_str(&self.once(args)?.stdout)?;
        let cpus = document["cpus_stats"].as_array().context("no cpus_stats in the document")?;
        Ok(cpus.iter().filter_map(|c| c["switches"].as_u64()).sum())
    }

    fn least(&self, args: &[&str]) -> Result<Cost> {
        let mut best = self.once(args)?;
        for _ in 1..RUNS {
            let next = self.once(args)?;
            if next.cpu_ns < best.cpu_ns {
                best = next;
            }
        }
        Ok(best)
    }

    /// One run. A dead child that nobody has waited for still has its CPU time in /proc; its peak of memory is read while it lives.
    fn once(&self, args: &[&str]) -> Result<Cost> {
        let mut command = Command::new(&self.program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child =
            command.spawn().with_context(|| format!("cannot start {}", self.program.display()))?;
        let mut pipe = child.stdout.take().context("no pipe")?;
        let reader = thread::spawn(move || {
            let mut text = String::new();
            pipe.read_to_string(&mut text).map(|_| text)
        });
        let proc = PathBuf::from(format!("/proc/{}", child.id()));
        let mut peak_kib = 0;
        while let Some(kib) = peak_of_live(&proc) {
            peak_kib = peak_kib.max(kib);
            thread::sleep(Duration::from_millis(2));
        }
        let schedstat = fs::read_to_string(proc.join("schedstat")).context("no CPU times in /proc")?;
        let cpu_ns = schedstat.split(' ').next().and_then(|n| n.parse().ok()).context("odd schedstat")?;
        let status = child.wait()?;
        let Ok(stdout) = reader.join() else { bail!("reading the output failed") };
        if !status.success() {
            bail!("`sextant {}` failed: {status}", args.join(" "));
        }
        Ok(Cost { cpu_ns, peak_kib, stdout: stdout? })
    }

    /// Instructions of a whole run that prints the table; None without valgrind.
    fn callgrind(&self, seconds: u64) -> Result<Option<u64>> {
        let mut command = Command::new("valgrind");
        command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(&self.program);
        command.args(["sim", self.object()?, "bench-64", "--duration", &format!("{seconds}s")]);
        let Ok(out) = command.stdin(Stdio::null()).output() else { return Ok(None) };
        let text = String::from_utf8_lossy(&out.stderr).replace(',', "");
        let count = text.lines().find_map(|l| l.split_once("Collected :")).map(|(_, n)| n.trim().parse());
        Ok(Some(count.context("valgrind printed no count")??))
    }
}

/// `VmHWM` of a process that has not ended.
fn peak_of_live(proc: &Path) -> Option<u64> {
    let status = fs::read_to_string(proc.join("status")).ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// Writes the load for a machine of that size.
fn workload(cpus: u32) -> Result<String> {
    let tasks = json!({
        "sleeper": { "instance": SLEEPERS * cpus, "sleep": 2000, "run": 200 },
    });
    let dir = workspace::root().join("target/bench");
    fs::create_dir_all(&dir)?;
    let mut path = dir.to_str().context("the workspace's path is not UTF-8")?.to_owned();
    write!(path, "/{cpus}-cpus.json")?;
    fs::write(&path, serde_json::to_vec(&json!({ "tasks": tasks, "global": { "duration": 10 } }))?)?;
    Ok(path)
}

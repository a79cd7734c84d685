//! Our verdicts: `sextant check --json` on objects, `sextant-fuzz --export` for random programs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::cases::{Case, Set};
use crate::{run, workspace};

/// Our answer on a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Nothing is wrong with it.
    pub accepted: bool,
    /// Instructions processed.
    pub insns: u64,
    /// Why it is refused.
    pub reason: String,
}

/// Our answers on an object.
#[derive(Default)]
pub struct Ours {
    /// By program.
    pub programs: BTreeMap<String, Verdict>,
    /// What the load ended with.
    pub error: Option<String>,
}

/// Random programs, for the kernel and as we see them.
pub struct Random {
    /// What the guest loads.
    pub file: PathBuf,
    /// By name.
    pub verdicts: BTreeMap<String, Verdict>,
}

/// Builds a package's program; where it is.
pub fn program(package: &str) -> Result<PathBuf> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace::root()).args([
        "build",
        "--locked",
        "-p",
        package,
        "--message-format=json",
    ]);
    if package == "sextant-fuzz" {
        command.arg("--no-default-features");
    }
    let said = run::text(&mut command)?;
    let made = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut of_it = made
        .filter(|made| made["target"]["name"] == package)
        .filter_map(|made| Some(PathBuf::from(made["executable"].as_str()?)));
    of_it.next_back().with_context(|| format!("cargo made no program of {package}"))
}

/// Checks every object, on all CPUs.
pub fn objects(cases: &[Case]) -> Result<Vec<Ours>> {
    let sextant = program("sextant")?;
    let (next, all) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let work = || -> Result<()> {
        loop {
            let nth = next.fetch_add(1, Ordering::Relaxed);
            let Some(case) = cases.get(nth) else { return Ok(()) };
            let ours = check(&sextant, case)?;
            all.lock().expect("no thread panics with it").insert(nth, ours);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("a checking thread panicked"))
    })?;
    Ok(all.into_inner().expect("no thread panics with it").into_values().collect())
}

fn check(sextant: &Path, case: &Case) -> Result<Ours> {
    let mut command = Command::new(sextant);
    command.args(["check", "--json"]).arg(&case.object).stdin(Stdio::null());
    // Its maps have no size until its own program gives them one.
    if (case.set, case.name.as_str()) == (Set::Examples, "scx_pair") {
        command.args(["--setup", "pair"]);
    }
    let out = command.output();
    let out = out.with_context(|| format!("cannot start {}", sextant.display()))?;
    let mut ours = Ours::default();
    match serde_json::from_slice::<Value>(&out.stdout) {
        Ok(document) => read(&document, &mut ours),
        Err(_) => ours.error = Some(String::from_utf8_lossy(&out.stderr).trim().to_owned()),
    }
    Ok(ours)
}

fn read(document: &Value, ours: &mut Ours) {
    for object in document["objects"].as_array().into_iter().flatten() {
        if let Some(error) = object["error"].as_str() {
            ours.error.get_or_insert(error.to_owned());
        }
        for program in object["programs"].as_array().into_iter().flatten() {
            let text = |key: &str| program[key].as_str().unwrap_or_default().to_owned();
            let accepted = program["accepted"].as_bool().unwrap_or(false);
            let reason =
                if accepted { String::new() } else { format!("{}: {}", text("code"), text("message")) };
            let insns = program["insns_processed"].as_u64().unwrap_or(0);
            ours.programs.insert(text("name"), Verdict { accepted, insns, reason });
        }
    }
}

/// Makes random programs; none for a count of 0.
pub fn random(dir: &Path, seed: u64, programs: u64) -> Result<Option<Random>> {
    if programs == 0 {
        return Ok(None);
    }
    let file = dir.join("random");
    let mut command = Command::new(program("sextant-fuzz")?);
    command.arg("--export").arg(&file).arg("--btf").arg(workspace::kernel_examples().join("vmlinux.btf"));
    command.args(["--seed", &seed.to_string(), "--programs", &programs.to_string()]);
    let text = run::text(&mut command)?;
    let verdicts: BTreeMap<String, Verdict> = text.lines().filter_map(line).collect();
    ensure!(verdicts.len() as u64 == programs, "sextant-fuzz wrote {} verdicts", verdicts.len());
    Ok(Some(Random { file, verdicts }))
}

/// `seed TAB accept|reject TAB instructions TAB reason`
fn line(line: &str) -> Option<(String, Verdict)> {
    let mut parts = line.splitn(4, '\t');
    let (name, word, insns, reason) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let verdict =
        Verdict { accepted: word == "accept", insns: insns.parse().ok()?, reason: reason.to_owned() };
    Some((name.to_owned(), verdict))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_verdict() {
        let (name, verdict) = line("7\treject\t12\tV0004: R1 unbounded").expect("well formed");
        assert_eq!((name.as_str(), verdict.accepted, verdict.insns), ("7", false, 12));
        assert_eq!(verdict.reason, "V0004: R1 unbounded");
        assert_eq!(line("7\taccept"), None);
    }
}

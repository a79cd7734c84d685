//! Schedulers written elsewhere through `check` and `sim`, object by object. The objects are not in this repository and not made here: whoever has
//! some names their directory. The result is a table for docs/parity/real-schedulers.md.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{Done, workspace};

/// Where the objects are, if it is not said otherwise, below the target directory.
const DIR: &str = "real-schedulers";
/// Virtual time of each run.
const DURATION: &str = "10s";
const CPUS: &str = "8";

/// What came of an object.
struct Row {
    name: String,
    accepted: usize,
    programs: usize,
    setup: bool,
    ended: String,
    /// Loads, every program is accepted, and the run ends by itself.
    good: bool,
}

/// Checks and runs every object of a directory.
pub fn run(dir: Option<PathBuf>) -> Result<Done> {
    let root = workspace::root();
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    let dir = dir.unwrap_or(target.join(DIR));
    let objects = found(&dir)?;
    if objects.is_empty() {
        return Ok(Done::Skipped(format!("no *.bpf.o in {}", dir.display())));
    }
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root).args(["build", "--quiet", "--locked", "-p", "sextant"]);
    if !cargo.status().context("cannot start cargo")?.success() {
        bail!("the program does not build");
    }
    let program = target.join("debug/sextant");
    println!("| object | programs accepted | setup | {DURATION} on {CPUS} CPUs |\n|---|---|---|---|");
    let mut good = 0;
    for object in &objects {
        let row = row(&program, object)?;
        let setup = if row.setup { "yes" } else { "" };
        println!("| {} | {} of {} | {setup} | {} |", row.name, row.accepted, row.programs, row.ended);
        good += usize::from(row.good);
    }
    Ok(Done::Ok(format!("{good} of {} objects load and run in good order", objects.len())))
}

/// The objects of a directory, by name.
fn found(dir: &Path) -> Result<Vec<PathBuf>> {
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(".bpf.o") {
            all.push(path);
        }
    }
    all.sort();
    Ok(all)
}

fn row(program: &Path, object: &Path) -> Result<Row> {
    let name = object.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let name = name.trim_end_matches(".bpf.o").to_owned();
    // A setup beside the object, else the built-in one of its name.
    let own = object.with_file_name(format!("{name}.toml"));
    let builtin = name
        .strip_prefix("scx_")
        .filter(|n| workspace::root().join(format!("workloads/setup/{n}.toml")).exists());
    let setup = match (own.exists(), builtin) {
        (true, _) => Some(own.display().to_string()),
        (false, builtin) => builtin.map(str::to_owned),
    };
    let call = |args: &[&str]| -> Result<Output> {
        let mut command = Command::new(program);
        command.args(args).args(["--cpus", CPUS]);
        if let Some(setup) = &setup {
            command.args(["--setup", setup]);
        }
        command.output().context("cannot start the program")
    };
    let path = object.display().to_string();
    let checked: Value =
        serde_json::from_slice(&call(&["check", &path, "--json"])?.stdout).unwrap_or_default();
    let programs: Vec<&Value> = checked["objects"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|o| o["programs"].as_array().into_iter().flatten())
        .collect();
    let accepted = programs.iter().filter(|p| p["accepted"] == true).count();
    let ran = call(&["sim", &path, "mixed", "--duration", DURATION, "--json"])?;
    let told: Value = serde_json::from_slice(&ran.stdout).unwrap_or_default();
    let good = ran.status.success() && accepted == programs.len() && told["scheduled_nothing"] != true;
    Ok(Row {
        name,
        accepted,
        programs: programs.len(),
        setup: setup.is_some(),
        ended: ended(&told, &ran),
        good,
    })
}

/// How a run ended, in one line.
fn ended(told: &Value, ran: &Output) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().replace('|', "/").replace('\n', " ");
    match (told["exit"]["kind"].as_str(), told["scheduled_nothing"] == true) {
        (Some("UNREG"), false) => "in order".into(),
        (Some("UNREG"), true) => "no task was ever in SCHED_EXT".into(),
        (Some(kind), _) => {
            // Without the path of whoever compiled it.
            let msg = text(&told["exit"]["msg"]);
            let msg = msg.rsplit('/').next().unwrap_or_default().to_owned();
            format!("{kind}: {msg}")
        }
        (None, _) => {
            let stderr = String::from_utf8_lossy(&ran.stderr).replace('|', "/");
            let line = stderr.lines().find(|l| l.contains("error")).unwrap_or("not loaded").to_owned();
            let line = line.rsplit('/').next().unwrap_or_default().chars().take(140).collect::<String>();
            format!("not loaded: {line}")
        }
    }
}

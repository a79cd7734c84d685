//! The class against the naive model and the checkers, at length; and the seeded bugs that show what these are worth.
//!
//! A seeded bug is a replacement in one source file (mutants.toml), made in a scratch worktree of HEAD under target/mutants. It counts as
//! caught when the named watcher itself says so within the given number of sequences.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::{Done, run, selftests, workspace};

/// A bug to seed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutant {
    /// What is wrong with it.
    name: String,
    /// Who has to catch it: `model`, a checker, or `fuzz` (random programs).
    by: String,
    /// Below crates/sextant-sched/src; for `fuzz` below crates.
    file: PathBuf,
    /// Text that occurs once in it.
    find: String,
    replace: String,
}

#[derive(Deserialize)]
struct Table {
    mutant: Vec<Mutant>,
}

const SOURCES: &str = "crates/sextant-sched/src";
const ALL_SOURCES: &str = "crates";

/// Each watcher needs so many.
const AT_LEAST: usize = 3;

/// Seconds for all sequences of one bug.
const LIMIT_S: u32 = 300;

/// Runs `sequences` random sequences, or one seed and shows its steps; of the model, or (`sim`) of simulations with checkers.
pub fn model(seed: Option<u64>, sequences: u64, sim: bool) -> Result<Done> {
    let watcher = if sim { Watcher::Checkers(None) } else { Watcher::Model };
    let mut command = watcher.test(workspace::root());
    // The million is worth an optimised build; a single seed is looked at with all assertions.
    if seed.is_none() {
        command.arg("--release");
    }
    command.args(["--", "--nocapture"]);
    match seed {
        Some(seed) => command.env(format!("{}_SEED", watcher.prefix()), seed.to_string()),
        None => command.env(format!("{}_SEQUENCES", watcher.prefix()), sequences.to_string()),
    };
    let status = command.status().context("cannot start cargo")?;
    match status.code() {
        Some(0) => {}
        Some(_) => bail!("see above"),
        None => bail!("the test was ended from outside ({status}), no sequence failed"),
    }
    Ok(Done::Ok(seed.map_or(format!("{sequences} sequences"), |seed| format!("sequence {seed}"))))
}

/// Seeds every bug whose name or watcher is among `only` (all if none), or with `check` only sees that each can be seeded.
pub fn mutants(only: &[String], sequences: u64, check: bool) -> Result<Done> {
    let text = fs::read_to_string(workspace::root().join("xtask/mutants.toml")).context("mutants.toml")?;
    let mut mutants = toml::from_str::<Table>(&text).context("mutants.toml")?.mutant;
    for m in &mutants {
        m.mutated(workspace::root())?;
        let nr = mutants.iter().filter(|other| other.by == m.by).count();
        if nr < AT_LEAST {
            bail!("{} has {nr} bugs to catch, it needs {AT_LEAST}", m.by);
        }
    }
    for watcher in checkers()?.iter().map(String::as_str).chain(["model"]) {
        if !mutants.iter().any(|m| m.by == watcher) {
            bail!("{watcher} has no bugs to catch, it needs {AT_LEAST}");
        }
    }
    let selftests = selftests::check()?;
    if check {
        return Ok(Done::Ok(format!("{} bugs can be seeded", mutants.len() + selftests)));
    }
    let of_class = only.iter().any(|name| name == "class");
    mutants.retain(|m| {
        only.is_empty() || only.contains(&m.name) || only.contains(&m.by) || of_class && m.by != "fuzz"
    });
    if !workspace::root().join(".git").exists() {
        return Ok(Done::Skipped("the scratch copy is a git worktree, and this is no checkout".into()));
    }
    let tree = scratch()?;
    let (in_selftests, mut missed) = selftests::run(only, &tree)?;
    let tried = mutants.len() + in_selftests;
    if tried == 0 {
        bail!("neither mutants.toml nor selftests.toml has anything called {only:?}");
    }
    println!("{:<12} {:<44} caught", "watcher", "bug");
    for m in &mutants {
        let caught = m.seed(&tree, sequences)?;
        println!("{:<12} {:<44} {}", m.by, m.name, caught.as_deref().unwrap_or("NO"));
        if caught.is_none() {
            missed.push(m.name.clone());
        }
    }
    if !missed.is_empty() {
        bail!("not caught (random sequences: {sequences}): {}", missed.join(", "));
    }
    Ok(Done::Ok(format!("{tried} of {tried} bugs caught, by random sequences within {sequences}")))
}

/// The names of all checkers: one file each.
fn checkers() -> Result<Vec<String>> {
    let dir = workspace::root().join("crates/sextant-sim/src/check");
    let mut names = Vec::new();
    for entry in fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if stem != "mod" {
            names.push(stem.replace('_', "-"));
        }
    }
    Ok(names)
}

/// A worktree of HEAD for broken sources.
fn scratch() -> Result<PathBuf> {
    let tree = workspace::root().join("target/mutants/tree");
    let git = |dir: &Path, args: &[&str]| run::output(Command::new("git").current_dir(dir).args(args));
    if tree.is_dir() {
        let head = run::text(Command::new("git").current_dir(workspace::root()).args(["rev-parse", "HEAD"]))?;
        git(&tree, &["checkout", "--quiet", "--force", "--detach", head.trim()])?;
    } else {
        git(workspace::root(), &["worktree", "prune"])?;
        let path = tree.to_str().context("the path of the workspace is UTF-8")?;
        git(workspace::root(), &["worktree", "add", "--quiet", "--force", "--detach", path, "HEAD"])?;
    }
    Ok(tree)
}

/// What runs the sequences.
enum Watcher<'a> {
    Model,
    /// All or one.
    Checkers(Option<&'a str>),
    /// Random programs, as many as CI runs.
    Fuzz,
}

impl Watcher<'_> {
    /// The test, up to the arguments of the test program.
    fn test(&self, tree: &Path) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(tree);
        command.args(["test", "--quiet", "--locked", "--no-default-features"]);
        match self {
            Watcher::Model => command.args(["-p", "sextant-sched", "--lib", "class_and_model_agree"]),
            Watcher::Fuzz => command.args(["-p", "sextant-fuzz", "--test", "short", "break_no_rule"]),
            Watcher::Checkers(_) => command.args(["-p", "sextant-sim", "--test", "check"]),
        };
        if let Watcher::Checkers(Some(only)) = self {
            command.env("SEXTANT_CHECK_ONLY", only);
        }
        command
    }

    /// Of its environment variables.
    fn prefix(&self) -> &'static str {
        match self {
            Watcher::Model => "SEXTANT_MODEL",
            Watcher::Checkers(_) => "SEXTANT_CHECK",
            Watcher::Fuzz => "SEXTANT_FUZZ",
        }
    }
}

impl Mutant {
    /// The file, sound and broken.
    fn mutated(&self, tree: &Path) -> Result<(PathBuf, String, String)> {
        let sources = if self.by == "fuzz" { ALL_SOURCES } else { SOURCES };
        let path = tree.join(sources).join(&self.file);
        let sound = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let nr = sound.matches(&self.find).count();
        if nr != 1 {
            let file = self.file.display();
            bail!("bug \"{}\": its text occurs {nr} times in {file}, not once: {:?}", self.name, self.find);
        }
        let broken = sound.replace(&self.find, &self.replace);
        Ok((path, sound, broken))
    }

    /// Who caught it at which seed; None if nobody did.
    fn seed(&self, tree: &Path, sequences: u64) -> Result<Option<String>> {
        let (path, sound, broken) = self.mutated(tree)?;
        fs::write(&path, broken)?;
        let result = self.run(tree, sequences);
        fs::write(&path, sound)?;
        result
    }

    fn run(&self, tree: &Path, sequences: u64) -> Result<Option<String>> {
        let watcher = match self.by.as_str() {
            "model" => Watcher::Model,
            "fuzz" => Watcher::Fuzz,
            checker => Watcher::Checkers(Some(checker)),
        };
        let mut build = watcher.test(tree);
        self.environment(&mut build);
        run::output(build.arg("--no-run"))
            .with_context(|| format!("bug \"{}\" does not compile", self.name))?;
        // A broken class may never come back: then it has not been caught.
        let mut test = Command::new("timeout");
        let cargo = watcher.test(tree);
        test.arg(LIMIT_S.to_string()).arg(cargo.get_program()).args(cargo.get_args()).current_dir(tree);
        test.envs(cargo.get_envs().filter_map(|(name, value)| Some((name, value?))));
        self.environment(&mut test);
        test.env(format!("{}_SEQUENCES", watcher.prefix()), sequences.to_string());
        let out = test.output().context("cannot start timeout")?;
        let said = String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr);
        let mark = match watcher {
            Watcher::Model => "sequence ".to_owned(),
            Watcher::Checkers(_) => format!("caught: checker {}: ", self.by),
            Watcher::Fuzz => "seed ".to_owned(),
        };
        let seed = |line: &str| line.split("--seed ").nth(1)?.split([')', ' ']).next().map(str::to_owned);
        if out.status.success() || !said.lines().any(|line| line.starts_with(&mark)) {
            return Ok(None);
        }
        Ok(Some(said.lines().find_map(seed).map_or("yes".into(), |seed| format!("sequence {seed}"))))
    }

    /// Fast to build, and no assertion of the class's own catches anything first.
    fn environment(&self, command: &mut Command) {
        command.env("CARGO_TARGET_DIR", workspace::root().join("target/mutants/build"));
        // Builds that differ in one line: without it, as CI has it, they take three times as long.
        command.env("CARGO_INCREMENTAL", "1");
        command.env("CARGO_PROFILE_DEV_DEBUG", "false").env("CARGO_PROFILE_DEV_DEBUG_ASSERTIONS", "false");
        command.env("RUST_BACKTRACE", "0");
    }
}

//! A seeded bug for each of the kernel's selftests, to show that the test can fail: selftests.toml. As with mutants.toml, each is one
//! replacement, made in the scratch worktree; it counts as caught when the test itself fails with its own words.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::{run, workspace};

/// A bug to seed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutant {
    /// The test that has to fail: `module::name`.
    test: String,
    /// What is wrong with it.
    name: String,
    /// Below crates/.
    file: PathBuf,
    /// Text that occurs once in it.
    find: String,
    replace: String,
}

#[derive(Deserialize)]
struct Table {
    mutant: Vec<Mutant>,
}

/// Where the tests are.
const TESTS: &str = "crates/sextant/tests/selftests";

/// Files of it that hold no selftests.
const OTHERS: [&str; 3] = ["main", "drive", "minute"];

/// Seconds for a test with its bug.
const LIMIT_S: u32 = 120;

fn table() -> Result<Vec<Mutant>> {
    let text =
        fs::read_to_string(workspace::root().join("xtask/selftests.toml")).context("selftests.toml")?;
    Ok(toml::from_str::<Table>(&text).context("selftests.toml")?.mutant)
}

/// Sees that every bug can be seeded and that every selftest has one; how many there are.
pub fn check() -> Result<usize> {
    let mutants = table()?;
    for m in &mutants {
        m.mutated(workspace::root())?;
    }
    let tests = tests()?;
    let without: Vec<_> = tests.iter().filter(|test| mutants.iter().all(|m| m.test != **test)).collect();
    if !without.is_empty() {
        bail!("selftests.toml has no bug for {without:?}");
    }
    if let Some(m) = mutants.iter().find(|m| !tests.contains(&m.test)) {
        bail!("bug \"{}\": there is no selftest {}", m.name, m.test);
    }
    Ok(mutants.len())
}

/// Every `#[test]` below, as `module::name`.
fn tests() -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(workspace::root().join(TESTS)).context(TESTS)? {
        let path = entry?.path();
        let module = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if OTHERS.contains(&module.as_str()) {
            continue;
        }
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let names = text.split("#[test]\nfn ").skip(1).filter_map(|rest| rest.split('(').next());
        found.extend(names.map(|name| format!("{module}::{name}")));
    }
    Ok(found)
}

/// Seeds each bug whose test or name is among `only` (all if none, or for the group's name) in `tree`; prints what came of it. The
/// numbers of those tried, and the names of those missed.
pub fn run(only: &[String], tree: &Path) -> Result<(usize, Vec<String>)> {
    let all = only.is_empty() || only.iter().any(|name| name == "selftests");
    let wanted = |m: &Mutant| all || only.contains(&m.name) || only.contains(&m.test);
    let mutants: Vec<Mutant> = table()?.into_iter().filter(wanted).collect();
    let mut missed = Vec::new();
    if mutants.is_empty() {
        return Ok((0, missed));
    }
    if !share_objects(tree)? {
        println!("SKIPPED selftests of mutants: run `cargo xtask kernel-examples` first");
        return Ok((0, missed));
    }
    println!("{:<36} {:<60} caught", "selftest", "bug");
    for m in &mutants {
        let caught = m.seed(tree)?;
        println!("{:<36} {:<60} {}", m.test, m.name, if caught { "yes" } else { "NO" });
        if !caught {
            missed.push(m.name.clone());
        }
    }
    Ok((mutants.len(), missed))
}

/// The scratch worktree's tests find the kernel's objects; false if there are none.
fn share_objects(tree: &Path) -> Result<bool> {
    let objects = workspace::root().join("target/kernel-examples");
    if !objects.join("selftests").is_dir() {
        return Ok(false);
    }
    let there = tree.join("target/kernel-examples");
    if fs::symlink_metadata(&there).is_err() {
        fs::create_dir_all(tree.join("target"))?;
        std::os::unix::fs::symlink(&objects, &there).with_context(|| there.display().to_string())?;
    }
    Ok(true)
}

impl Mutant {
    fn mutated(&self, tree: &Path) -> Result<(PathBuf, String, String)> {
        let path = tree.join("crates").join(&self.file);
        let sound = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let nr = sound.matches(&self.find).count();
        if nr != 1 {
            let file = self.file.display();
            bail!("bug \"{}\": its text occurs {nr} times in {file}, not once: {:?}", self.name, self.find);
        }
        let broken = sound.replace(&self.find, &self.replace);
        Ok((path, sound, broken))
    }

    fn seed(&self, tree: &Path) -> Result<bool> {
        let (path, sound, broken) = self.mutated(tree)?;
        fs::write(&path, broken)?;
        let result = self.fails(tree);
        fs::write(&path, sound)?;
        result
    }

    fn fails(&self, tree: &Path) -> Result<bool> {
        let cargo = |program: &str| {
            let mut command = Command::new(program);
            if program == "timeout" {
                command
                    .arg(LIMIT_S.to_string())
                    .arg(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            }
            command.current_dir(tree).args(["test", "--quiet", "--locked", "-p", "sextant"]);
            command.args(["--test", "selftests"]);
            // As for the other groups: fast to build, and the class's own assertions catch nothing first.
            command.env("CARGO_TARGET_DIR", workspace::root().join("target/mutants/build"));
            command.env("CARGO_INCREMENTAL", "1");
            command
                .env("CARGO_PROFILE_DEV_DEBUG", "false")
                .env("CARGO_PROFILE_DEV_DEBUG_ASSERTIONS", "false");
            command.env("RUST_BACKTRACE", "0");
            command
        };
        let program = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
        run::output(cargo(&program).arg("--no-run"))
            .with_context(|| format!("bug \"{}\" does not compile", self.name))?;
        // A broken class may never come back: then it has not been caught.
        let out =
            cargo("timeout").args(["--", "--exact", &self.test]).output().context("cannot start timeout")?;
        let said = String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr);
        let own = said.contains("panicked at crates/sextant/tests/selftests/");
        Ok(!out.status.success() && own)
    }
}

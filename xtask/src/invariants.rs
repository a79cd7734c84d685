//! The invariants of ARCHITECTURE.md that a program can check. Each check returns what breaks it, one line each; none
//! means it holds.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::metadata::{Metadata, Package};
use crate::{Done, run, workspace};

/// The only crates with `unsafe` (invariant 7).
const UNSAFE: [&str; 2] = ["sextant-vm", "sextant-uapi"];

/// Crates whose runs are a function of their inputs, and words that would break that (invariant 3).
const DETERMINISTIC: [(&str, &[&str]); 3] = [
    ("sextant-sched", &["Instant", "SystemTime", "std::thread", "std::env", "f32", "f64"]),
    ("sextant-sim", &["Instant", "SystemTime", "std::thread", "std::env"]),
    ("sextant-vm", &["Instant", "SystemTime", "std::env"]),
];

/// Hash tables of these crates name their hasher in the type; std's own is seeded at random. Even so they are only looked
/// up, never walked: their order differs between processors.
const NO_RANDOM_HASHER: [&str; 2] = ["sextant-sched", "sextant-sim"];

/// A file over this many lines is named in the report; it needs a reason.
const LONG: usize = 600;

/// Runs all checks.
pub fn run() -> Result<Done> {
    let metadata = Metadata::read(&[])?;
    let checks: [(&str, Vec<String>); 6] = [
        ("dependency arrows", arrows(&metadata)?),
        ("the class without BPF", class_without_bpf()?),
        ("unsafe", unsafe_code(&metadata)?),
        ("determinism", determinism(&metadata)?),
        ("licences of BPF C", bpf_licences()?),
        ("the book", book()?),
    ];
    let long = long_files(&metadata)?;
    if !long.is_empty() {
        eprintln!("files over {LONG} lines: {}", long.join(", "));
    }
    let broken: Vec<String> = checks
        .iter()
        .flat_map(|(check, found)| found.iter().map(move |what| format!("{check}: {what}")))
        .collect();
    if !broken.is_empty() {
        bail!("broken:\n  {}", broken.join("\n  "));
    }
    Ok(Done::Ok(checks.map(|(check, _)| check).join(", ")))
}

/// Crates depend only along the arrows of the table in ARCHITECTURE.md.
fn arrows(metadata: &Metadata) -> Result<Vec<String>> {
    let text = fs::read_to_string(workspace::root().join("ARCHITECTURE.md")).context("ARCHITECTURE.md")?;
    let allowed = Arrows::parse(&text)?;
    let mut broken = Vec::new();
    for member in metadata.members().filter(|member| member.name != "xtask") {
        if !allowed.0.contains_key(&member.name) {
            broken.push(format!("{} is not in ARCHITECTURE.md's table", member.name));
            continue;
        }
        let ours =
            member.dependencies.iter().filter(|dep| dep.kind.is_none() && dep.name.starts_with("sextant"));
        let wrong = ours.filter(|dep| !allowed.allow(&member.name, &dep.name));
        broken.extend(wrong.map(|dep| format!("{} must not use {}", member.name, dep.name)));
    }
    Ok(broken)
}

/// Per crate what it may use; `all` stands for every crate.
struct Arrows(BTreeMap<String, BTreeSet<String>>);

impl Arrows {
    /// Rows look like ``| `sextant-sim` | what | sched, trace | may not |``.
    fn parse(text: &str) -> Result<Arrows> {
        let mut arrows = BTreeMap::new();
        for line in text.lines() {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let [_, name, _, uses, ..] = cells[..] else { continue };
            let Some(name) = name.strip_prefix('`').and_then(|name| name.strip_suffix('`')) else { continue };
            if name != "sextant" && !name.starts_with("sextant-") {
                continue;
            }
            let words = uses.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
            arrows.insert(name.to_owned(), words.map(str::to_owned).collect());
        }
        if arrows.is_empty() {
            bail!("ARCHITECTURE.md has no table of crates");
        }
        Ok(Arrows(arrows))
    }

    /// Along the arrows, however many; every crate may use abi.
    fn allow(&self, from: &str, to: &str) -> bool {
        let short = to.strip_prefix("sextant-").unwrap_or(to);
        let mut seen = BTreeSet::from([from.to_owned()]);
        let mut next = vec![from.to_owned()];
        while let Some(name) = next.pop() {
            let Some(uses) = self.0.get(&name) else { continue };
            if short == "abi" || uses.contains("all") || uses.contains(short) {
                return true;
            }
            let further =
                uses.iter().map(|word| format!("sextant-{word}")).filter(|name| seen.insert(name.clone()));
            next.extend(further.collect::<Vec<_>>());
        }
        false
    }
}

/// Invariant 1: the class does not know that BPF exists.
fn class_without_bpf() -> Result<Vec<String>> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace::root());
    command.args(["check", "--quiet", "--locked", "--package", "sextant-sched", "--no-default-features"]);
    Ok(run::output(&mut command).err().map(|error| format!("{error:#}")).into_iter().collect())
}

/// Every crate but UNSAFE forbids unsafe code; integration tests too.
fn unsafe_code(metadata: &Metadata) -> Result<Vec<String>> {
    let mut broken = Vec::new();
    for member in metadata.members().filter(|member| !UNSAFE.contains(&member.name.as_str())) {
        for target in member
            .targets
            .iter()
            .filter(|target| target.kind.iter().any(|kind| kind == "lib" || kind == "bin"))
        {
            if !fs::read_to_string(&target.src_path)?.contains("#![forbid(unsafe_code)]") {
                broken.push(format!("{} lacks #![forbid(unsafe_code)]", shown(&target.src_path)));
            }
        }
        for file in rust_files(&root_of(member)?)? {
            broken.extend(lines_with(&file, &["unsafe"], false)?);
        }
    }
    Ok(broken)
}

fn determinism(metadata: &Metadata) -> Result<Vec<String>> {
    let mut broken = Vec::new();
    for (name, words) in DETERMINISTIC {
        let member = metadata.members().find(|member| member.name == name);
        let member = member.with_context(|| format!("there is no crate {name}"))?;
        for file in rust_files(&root_of(member)?.join("src"))? {
            if is_test(&file) {
                continue;
            }
            broken.extend(lines_with(&file, words, true)?);
            if NO_RANDOM_HASHER.contains(&name) {
                let text = fs::read_to_string(&file)?;
                let random = code_lines(&text, true).filter(|(_, line)| random_hasher(line));
                broken.extend(
                    random.map(|(number, _)| {
                        format!("{}:{number}: a randomly seeded hash table", shown(&file))
                    }),
                );
            }
        }
    }
    Ok(broken)
}

/// Whether a file below src/ is a module of tests.
fn is_test(file: &Path) -> bool {
    file.ends_with("tests.rs") || file.components().any(|part| part.as_os_str() == "tests")
}

/// A hash table whose type on this line names no hasher, or a constructor that only std's hasher has.
fn random_hasher(line: &str) -> bool {
    ["HashMap", "HashSet"].iter().any(|table| {
        let of_type = line.contains(&format!("{table}<")) && !line.contains("Hasher");
        of_type || ["new", "with_capacity", "from"].iter().any(|f| line.contains(&format!("{table}::{f}(")))
    }) || has_word(line, "RandomState")
}

/// Lines of code with one of `words`; `till_tests` stops at the file's tests.
fn lines_with(file: &Path, words: &[&str], till_tests: bool) -> Result<Vec<String>> {
    let text = fs::read_to_string(file)?;
    let found = code_lines(&text, till_tests).filter_map(|(number, line)| {
        let word = words.iter().find(|word| has_word(&line, word))?;
        Some(format!("{}:{number}: {word}", shown(file)))
    });
    Ok(found.collect())
}

/// Numbered lines without `//` comments and without what stands in quotes on one line.
fn code_lines(text: &str, till_tests: bool) -> impl Iterator<Item = (usize, String)> {
    let code = |line: &str| {
        let unquoted: String = line.split('"').step_by(2).collect();
        unquoted.split("//").next().unwrap_or_default().to_owned()
    };
    let lines = text.lines().enumerate().map(move |(n, line)| (n + 1, code(line)));
    lines.take_while(move |(_, line)| !(till_tests && line.starts_with("#[cfg(test)]")))
}

fn has_word(line: &str, word: &str) -> bool {
    let part_of_name = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        !part_of_name(line[..at].chars().next_back()) && !part_of_name(line[at + word.len()..].chars().next())
    })
}

/// BPF C and its headers say that they are GPL-2.0-only.
fn bpf_licences() -> Result<Vec<String>> {
    let mut files = files_below(&workspace::root().join("schedulers"))?;
    files.extend(files_below(&workspace::root().join("include"))?);
    files.retain(|file| file.extension().is_some_and(|ext| ext == "c" || ext == "h"));
    let mut broken = Vec::new();
    for file in files {
        if !fs::read_to_string(&file)?.starts_with("/* SPDX-License-Identifier: GPL-2.0-only */\n") {
            broken.push(format!("{} does not begin with its SPDX line", shown(&file)));
        }
    }
    Ok(broken)
}

/// Every page of the book is in its summary, and relative links of it and of the root's documents lead somewhere.
fn book() -> Result<Vec<String>> {
    let src = workspace::root().join("docs");
    let summary = fs::read_to_string(src.join("SUMMARY.md")).context("docs/SUMMARY.md")?;
    let listed: BTreeSet<PathBuf> = links(&summary).map(|link| src.join(link)).collect();
    let mut pages = files_below(&src)?;
    pages.retain(|page| page.extension().is_some_and(|ext| ext == "md"));
    let mut broken: Vec<String> = pages
        .iter()
        .filter(|page| !page.ends_with("SUMMARY.md") && !listed.contains(*page))
        .map(|page| format!("{} is not in SUMMARY.md", shown(page)))
        .collect();
    pages.extend(["README.md", "ARCHITECTURE.md", "CHANGELOG.md"].map(|name| workspace::root().join(name)));
    for page in pages {
        let text = fs::read_to_string(&page).with_context(|| page.display().to_string())?;
        let dir = page.parent().context("a file has a directory")?;
        let dead = links(&text).filter(|link| !dir.join(link).exists());
        broken.extend(dead.map(|link| format!("{}: dead link {link}", shown(&page))));
    }
    Ok(broken)
}

/// Targets of `[text](target)` that are files, without `#fragment`.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| {
        let target = rest.split(')').next()?.split('#').next()?;
        (!target.is_empty() && !target.contains("://")).then_some(target)
    })
}

fn long_files(metadata: &Metadata) -> Result<Vec<String>> {
    let mut long = Vec::new();
    for member in metadata.members() {
        for file in rust_files(&root_of(member)?)? {
            let lines = fs::read_to_string(&file)?.lines().count();
            if lines > LONG {
                long.push(format!("{} ({lines})", shown(&file)));
            }
        }
    }
    Ok(long)
}

/// The package's directory.
fn root_of(member: &Package) -> Result<PathBuf> {
    let root = member.targets.iter().find_map(|target| target.src_path.parent()?.parent());
    Ok(root.with_context(|| format!("{} has no crate", member.name))?.to_owned())
}

fn rust_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = files_below(dir)?;
    files.retain(|file| file.extension().is_some_and(|ext| ext == "rs"));
    Ok(files)
}

/// All files below `dir`, sorted.
fn files_below(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))? {
            let path = entry?.path();
            if path.is_dir() { dirs.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    Ok(files)
}

fn shown(path: &Path) -> String {
    path.strip_prefix(workspace::root()).unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
| crate | what | may use | may not |
|---|---|---|---|
| `sextant-abi` | data | – | files |
| `sextant-bpf` | ISA | abi | files |
| `sextant-vm` | memory | bpf | files |
| `sextant-sched` | class | abi; vm (feature) | clock |
| `sextant` | program | all | – |
";

    #[test]
    fn arrows_are_followed_downwards_only() {
        let arrows = Arrows::parse(TABLE).expect("a table");
        assert!(arrows.allow("sextant-vm", "sextant-bpf"));
        assert!(arrows.allow("sextant-sched", "sextant-bpf"), "through vm");
        assert!(arrows.allow("sextant-bpf", "sextant-abi"));
        assert!(arrows.allow("sextant", "sextant-sched"));
        assert!(!arrows.allow("sextant-bpf", "sextant-vm"));
        assert!(!arrows.allow("sextant-vm", "sextant-sched"));
        assert!(Arrows::parse("no table").is_err());
    }

    #[test]
    fn words_are_whole_and_comments_do_not_count() {
        assert!(has_word("use std::collections::HashMap;", "HashMap"));
        assert!(!has_word("struct HashMapLike;", "HashMap"));
        assert!(!has_word("#![forbid(unsafe_code)]", "unsafe"));
        let text = "a // HashMap\nHashMap\nb(\"HashMap\")\n#[cfg(test)]\nHashMap\n";
        let hits = |till| code_lines(text, till).filter(|(_, line)| has_word(line, "HashMap")).count();
        assert_eq!((hits(true), hits(false)), (1, 2));
    }

    #[test]
    fn hash_tables_name_their_hasher() {
        assert!(random_hasher("a: HashMap<u64, u32>,"));
        assert!(random_hasher("let a = HashSet::new();"));
        assert!(!random_hasher("a: HashMap<u64, u32, BuildHasherDefault<IdHasher>>,"));
        assert!(!random_hasher("let a = HashMap::default();"));
        assert!(!random_hasher("use std::collections::HashMap;"));
    }

    #[test]
    fn links_to_files() {
        let text = "[a](a.md) [b](https://x.y) [c](#here) ![d](d/e.png#f)";
        assert_eq!(links(text).collect::<Vec<_>>(), ["a.md", "d/e.png"]);
    }
}

//! What the README and the book show: every command of `sextant` (or `./x`) in their code blocks runs, and where the block goes on with
//! output, it is the output. `SEXTANT_GOLDEN=write cargo test -p sextant --test docs` writes the outputs anew.
//!
//! A command is a line that begins with `$ `, or any line of a block of language `sh`. The lines that follow a `$ ` are its output; `...` stands for
//! any number of lines. The commands of a page run in one directory, in the order of the page, where a scheduler and a
//! workload of each name that the pages use lie ready.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::{bpf_object, root};

/// Commands that are not run: what they begin with, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("./x test", "it is the suite"),
    ("./x setup", "installs packages"),
    ("sudo ", "changes the machine"),
    ("cargo ", "builds; the chores' names are looked up"),
    ("RUSTC_BOOTSTRAP=1 cargo fuzz", "goes on for ten minutes"),
    ("SEXTANT_GOLDEN=write", "writes goldens"),
    ("git clone", "needs the network"),
    ("perf ", "profiles"),
    ("valgrind ", "profiles"),
    ("make", "the test of `sextant new` runs it"),
    ("cd sextant", "a clone"),
    ("list=", "a minute of bench"),
    ("for ", "a minute of bench"),
    ("sextant sim simple mixed --cpus 4 --duration 80.1s", "a minute of bench"),
];

/// Language, first line (0-based, behind the fence) and lines of each code block.
fn blocks(text: &str) -> Vec<(String, usize, Vec<String>)> {
    let mut found = Vec::new();
    let mut open: Option<(String, usize, Vec<String>)> = None;
    for (number, line) in text.lines().enumerate() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some(language), None) => open = Some((language.trim().to_owned(), number + 1, Vec::new())),
            (None, Some((_, _, lines))) => lines.push(line.to_owned()),
            (None, None) => {}
        }
    }
    found
}

/// The pages: path, text.
fn pages() -> Vec<(PathBuf, String)> {
    let docs = std::fs::read_dir(root().join("docs")).expect("docs/");
    let mut paths: Vec<PathBuf> = docs.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "md"));
    paths.push(root().join("README.md"));
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read_to_string(path).expect("text"))).collect()
}

/// A directory with what the pages take for granted.
fn stage(page: &str) -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("docs-{page}"));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(dir.join("bin")).expect("the scratch directory is writable");
    let link = |from: &Path, to: &str| std::os::unix::fs::symlink(from, dir.join(to)).expect("a link");
    link(Path::new(env!("CARGO_BIN_EXE_sextant")), "bin/sextant");
    link(Path::new(env!("CARGO_BIN_EXE_sextant")), "x");
    for name in ["schedulers", "target", "include", "workloads"] {
        link(&root().join(name), name);
    }
    let simple = root().join("schedulers/built/simple.bpf.o");
    link(&simple, "my_scheduler.bpf.o");
    link(&root().join("workloads/hogs.json"), "load.json");
    link(&PathBuf::from(bpf_object("setup")?), "mine.bpf.o");
    std::fs::copy(root().join("crates/sextant/tests/bpf/trap.bpf.c"), dir.join("trap.bpf.c"))
        .expect("writable");
    run(&dir, &dir, "sextant build trap.bpf.c").expect("compiles");
    let examples = root().join("target/kernel-examples/examples");
    for name in ["scx_simple", "scx_pair", "scx_flatcg", "scx_central"] {
        link(&examples.join(format!("{name}.bpf.o")), &format!("{name}.bpf.o"));
    }
    Some(dir)
}

/// Standard output of a command, or why it failed.
fn run(stage: &Path, dir: &Path, command: &str) -> Result<String, String> {
    let path = format!("{}:{}", stage.join("bin").display(), std::env::var("PATH").unwrap_or_default());
    let output = Command::new("sh")
        .args(["-c", command])
        .current_dir(dir)
        .env("PATH", path)
        .env("NO_COLOR", "1")
        .env_remove("RUST_LOG")
        .output()
        .map_err(|e| e.to_string())?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    // 1 and 3 are answers about a scheduler, which a page may want to show.
    match output.status.code() {
        Some(0 | 1 | 3) if !stdout.is_empty() || output.status.success() => Ok(stdout),
        code => Err(format!("{code:?}\n{stdout}{}", String::from_utf8_lossy(&output.stderr))),
    }
}

/// Whether what is shown is what came, `...` being any lines.
fn is_shown(shown: &[String], came: &[&str]) -> bool {
    match shown.split_first() {
        None => came.is_empty(),
        Some((dots, rest)) if dots.trim() == "..." => {
            (0..=came.len()).any(|skip| is_shown(rest, &came[skip..]))
        }
        Some((line, rest)) => {
            came.first().is_some_and(|first| first.trim_end() == line.trim_end())
                && is_shown(rest, &came[1..])
        }
    }
}

/// A command without its comment and prompt.
fn command_of(line: &str) -> &str {
    let line = line.strip_prefix("$ ").unwrap_or(line);
    line.split("   #").next().unwrap_or(line).split("  # ").next().unwrap_or(line).trim()
}

/// Why a command does not run here.
fn left_out(command: &str) -> Option<String> {
    if let Some((_, why)) = LEFT_OUT.iter().find(|(begin, _)| command.starts_with(begin)) {
        return Some((*why).to_owned());
    }
    let needs_examples = command.contains("scx_") || command.contains("kernel-examples");
    if needs_examples && !root().join("target/kernel-examples/examples").exists() {
        return Some("needs `cargo xtask kernel-examples`".into());
    }
    let missing = |tool: &str| Command::new(tool).arg("--version").output().is_err();
    let tool = ["clang-19", "jq", "diff"]
        .into_iter()
        .find(|tool| command.contains(&format!("{tool} ")) && missing(tool));
    tool.map(|tool| format!("needs {tool}"))
}

/// Runs a page's commands; what is wrong, and the page with the outputs that came.
fn check(name: &str, text: &str) -> (Vec<String>, String) {
    let mut wrong = Vec::new();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let Some(stage) = stage(name) else { return (wrong, text.to_owned()) };
    let mut base = stage.clone();
    // From the end, a block grown or shrunk would move those behind it: outputs are put in last.
    let mut outputs: Vec<(std::ops::Range<usize>, Vec<String>)> = Vec::new();
    for (language, start, block) in blocks(text) {
        let mut at = 0;
        while at < block.len() {
            let line = &block[at];
            at += 1;
            if !line.starts_with("$ ") && language != "sh" || line.trim().is_empty() || line.starts_with('#')
            {
                continue;
            }
            let first = at;
            if line.starts_with("$ ") {
                at += block[at..].iter().take_while(|line| !line.starts_with("$ ")).count();
            }
            let shown = &block[first..at];
            let command = command_of(line);
            if let Some(why) = left_out(command) {
                println!("not run: {command}: {why}");
                continue;
            }
            if let Some(dir) = command.strip_prefix("cd ") {
                base.push(dir);
                continue;
            }
            match run(&stage, &base, command) {
                Err(why) => wrong.push(format!("{name}: {command}: {why}")),
                Ok(came) => {
                    let came: Vec<&str> = came.lines().collect();
                    if !shown.is_empty() && !is_shown(shown, &came) {
                        wrong.push(format!("{name}: {command} shows otherwise:\n{}", came.join("\n")));
                        let came = came.iter().map(|line| line.trim_end().to_owned()).collect();
                        outputs.push((start + first..start + at, came));
                    }
                }
            }
        }
    }
    for (range, came) in outputs.into_iter().rev() {
        lines.splice(range, came);
    }
    (wrong, lines.join("\n") + "\n")
}

#[test]
fn every_command_of_the_book_does_what_it_shows() {
    let writing = std::env::var("SEXTANT_GOLDEN").is_ok_and(|v| v == "write");
    let mut wrong = Vec::new();
    for (path, text) in pages() {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let (mut bad, now) = check(&name, &text);
        if writing && now != text {
            std::fs::write(&path, now).expect("the page is writable");
            bad.retain(|why| !why.contains(" shows otherwise:\n"));
        }
        wrong.extend(bad);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Chores that the pages name exist.
#[test]
fn every_chore_that_is_named_exists() {
    let xtask = std::fs::read_to_string(root().join("xtask/src/main.rs")).expect("xtask");
    for (path, text) in pages() {
        for part in text.split("cargo xtask ").skip(1) {
            let chore: String = part.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
            let exists =
                chore.is_empty() || chore.starts_with('-') || xtask.contains(&format!("=> \"{chore}\""));
            assert!(exists, "{}: cargo xtask {chore}", path.display());
        }
    }
}

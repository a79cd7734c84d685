//! Small broken schedulers, one rule each: the code they are refused with, and the whole message, which must read well.
//!
//! `tests/bpf/broken/NAME.bpf.c` says in its second line which code it is for; `NAME.txt` beside it is the message. After a change of
//! messages `SEXTANT_GOLDEN=write cargo test -p sextant --test broken` writes them anew, and the table of codes in docs/check.md:
//! read the difference as a newcomer would.

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sextant_verifier::Code;
use support::{command, header_object, root};

/// Whether goldens are written instead of compared.
fn writing() -> bool {
    std::env::var("SEXTANT_GOLDEN").is_ok_and(|v| v == "write")
}

fn dir() -> PathBuf {
    root().join("crates/sextant/tests/bpf/broken")
}

/// Name and code of every program, sorted.
fn corpus() -> Vec<(String, String)> {
    let files = std::fs::read_dir(dir()).expect("the corpus");
    let mut all = Vec::new();
    for file in files.map(|file| file.expect("a file").path()) {
        let name = file.file_name().expect("a name").to_string_lossy().into_owned();
        let Some(name) = name.strip_suffix(".bpf.c") else { continue };
        let text = std::fs::read_to_string(&file).expect("text");
        let code =
            text.lines().nth(1).and_then(|line| line.strip_prefix("/* ")?.get(..5)).unwrap_or_default();
        assert!(
            name.to_uppercase().starts_with(code) && code.starts_with('V'),
            "{name}: second line: /* V0000: what */"
        );
        all.push((name.to_owned(), code.to_owned()));
    }
    all.sort();
    all
}

/// What `sextant check` says below the list of programs.
fn message(object: &str) -> Result<String, String> {
    let output = command().current_dir(root()).args(["check", object]).output().expect("the program starts");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let at = stdout.find("error[").filter(|_| output.status.code() == Some(1));
    at.map(|at| stdout[at..].to_owned()).ok_or(stdout)
}

/// Compares with the golden, or writes it.
fn golden(path: &Path, now: &str) -> Result<(), String> {
    if writing() {
        std::fs::write(path, now).expect("the golden is writable");
    }
    let want = std::fs::read_to_string(path).unwrap_or_default();
    if want == now { Ok(()) } else { Err(format!("{}: was:\n{want}\nis:\n{now}", path.display())) }
}

#[test]
fn every_broken_scheduler_is_refused_with_its_message() {
    let mut wrong = Vec::new();
    let mut codes = BTreeSet::new();
    let corpus = corpus();
    for (name, code) in &corpus {
        let Some(object) = header_object(&format!("broken/{name}")) else { return };
        codes.insert(code.as_str());
        match message(&object) {
            Err(said) => wrong.push(format!("{name}: not refused:\n{said}")),
            Ok(text) if !text.starts_with(&format!("error[{code}]: ")) => {
                wrong.push(format!("{name}: {text}"))
            }
            Ok(text) => wrong.extend(golden(&dir().join(format!("{name}.txt")), &text).err()),
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), corpus.len(), wrong.join("\n"));
    let all: BTreeSet<&str> = Code::ALL.iter().map(|code| code.code()).collect();
    assert_eq!(codes, all, "a program for each code");
}

/// A golden without its program is left over.
#[test]
fn every_golden_has_its_program() {
    let names: Vec<String> = corpus().into_iter().map(|(name, _)| name).collect();
    assert!(names.len() >= 40, "{}", names.len());
    for file in std::fs::read_dir(dir()).expect("the corpus") {
        let name = file.expect("a file").file_name().to_string_lossy().into_owned();
        let stem =
            name.strip_suffix(".bpf.c").or(name.strip_suffix(".txt")).expect("a program or its message");
        assert!(names.iter().any(|n| n == stem), "{name}");
    }
}

/// The book's table of codes is the verifier's.
#[test]
fn the_book_lists_every_code() {
    let mut codes = Code::ALL.to_vec();
    codes.sort_by_key(|code| code.code());
    let mut table = String::from("| code | meaning | what to try |\n|---|---|---|\n");
    for code in codes {
        table += &format!("| {code} | {} | {} |\n", cell(code.why()), cell(code.advice()));
    }
    let path = root().join("docs/check.md");
    let text = std::fs::read_to_string(&path).expect("docs/check.md");
    let start = text.find("| code | meaning |").expect("the table");
    let end = start + text[start..].find("\n\n").map_or(text.len() - start, |at| at + 1);
    let now = format!("{}{table}{}", &text[..start], &text[end..]);
    golden(&path, &now).expect("the table is that of crates/sextant-verifier/src/diag.rs");
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

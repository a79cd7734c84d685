//! Running the real program, and the objects that tests give to it.
#![allow(dead_code)] // each test file uses its part

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;

/// What a run left.
pub struct Run {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    fn new(output: Output) -> Run {
        Run {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The JSON document on stdout.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("no JSON document ({e}):\n{}\n{}", self.stdout, self.stderr))
    }

    /// Asserts the exit status, showing what was said.
    pub fn expect(self, status: i32) -> Run {
        assert_eq!(self.status, status, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

/// The program, to be given arguments.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sextant"));
    command.env_remove("RUST_LOG").env("NO_COLOR", "1");
    command
}

/// Runs the program.
pub fn sextant(args: &[&str]) -> Run {
    Run::new(command().args(args).output().expect("the program starts"))
}

/// Runs the program and reads its JSON document.
pub fn sim_json(args: &[&str]) -> serde_json::Value {
    let run = sextant(&[&["sim"], args, &["--json"]].concat()).expect(0);
    run.json()
}

/// The workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace is there")
}

/// One of the schedulers in `tests/bpf`, compiled; None (said aloud) without clang-19.
pub fn bpf_object(name: &str) -> Option<String> {
    static COMPILING: Mutex<()> = Mutex::new(());
    let _one = COMPILING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.bpf.o"));
    let source = format!("crates/sextant/tests/bpf/{name}.bpf.c");
    let status = Command::new("clang-19")
        .current_dir(root())
        .args([
            "-target",
            "bpf",
            "-mcpu=v3",
            "-O2",
            "-g",
            "-Wall",
            "-Werror",
            "-Iinclude",
            "-idirafter",
            "include/libbpf",
            "-c",
            &source,
            "-o",
        ])
        .arg(&out)
        .output();
    match status {
        Ok(output) if output.status.success() => Some(out.display().to_string()),
        Ok(output) => {
            panic!("{source} does not compile:\n{}", String::from_utf8_lossy(&output.stderr))
        }
        _ => {
            println!("SKIPPED {name}: needs the package clang-19");
            None
        }
    }
}

/// A scheduler in `tests/bpf`, compiled as `sextant build` does, with every warning an error; None (said aloud) without clang-19.
pub fn header_object(name: &str) -> Option<String> {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.bpf.o"));
    std::fs::create_dir_all(out.parent().expect("a directory")).expect("the scratch directory is writable");
    let compiled = command()
        .current_dir(root())
        .env("CLANG", "clang-19")
        .args(["build", "--cflags=-Werror", &format!("crates/sextant/tests/bpf/{name}.bpf.c"), "-o"])
        .arg(&out)
        .output()
        .expect("the program starts");
    if compiled.status.success() {
        return Some(out.display().to_string());
    }
    let said = String::from_utf8_lossy(&compiled.stderr);
    assert!(said.contains("cannot run clang-19"), "{name} does not compile:\n{said}");
    println!("SKIPPED {name}: needs the package clang-19");
    None
}

/// A kernel example or selftest that `cargo xtask kernel-examples` built; None (said aloud) when it has not run.
pub fn kernel_object(dir: &str, name: &str) -> Option<String> {
    let path = root().join("target/kernel-examples").join(dir).join(format!("{name}.bpf.o"));
    if path.exists() {
        return Some(path.display().to_string());
    }
    println!("SKIPPED {dir}/{name}: run `cargo xtask kernel-examples` first");
    None
}

/// A file of the collected cases; None (said aloud) where they are not beside the workspace.
pub fn case(path: &str) -> Option<String> {
    let file = root().join("../shared/data/cases").join(path);
    if file.exists() {
        return Some(file.display().to_string());
    }
    println!("SKIPPED {path}: the collected cases are not beside the workspace");
    None
}

/// A workload file with this content.
pub fn workload(name: &str, content: &str) -> String {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.json"));
    std::fs::write(&path, content).expect("the scratch directory is writable");
    path.display().to_string()
}

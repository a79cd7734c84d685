//! The author's kit: a new project runs, sources are compiled, advice compiles, messages point at the author's line.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::{command, sextant};

fn scratch(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).expect("the scratch directory is writable");
    dir
}

fn has_clang(what: &str) -> bool {
    let has = (16..=22).any(|v| Command::new(format!("clang-{v}")).arg("--version").output().is_ok());
    if !has {
        println!("SKIPPED {what}: needs clang 16 or later");
    }
    has
}

/// Exit status, stdout, stderr.
fn run(dir: &Path, args: &[&str]) -> (i32, String, String) {
    let output = command().current_dir(dir).args(args).output().expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

#[test]
fn a_new_scheduler_is_accepted_and_schedules() {
    let dir = scratch("kit-new");
    let (status, said, _) = run(&dir, &["new", "mine"]);
    assert_eq!(status, 0, "{said}");
    let (status, _, why) = run(&dir, &["new", "mine"]);
    assert!(status == 2 && why.contains("cannot make mine"), "what is there stays: {why}");
    let (status, _, why) = run(&dir, &["new", "9lives"]);
    assert!(status == 2 && why.contains("begin with a letter"), "{why}");
    if !has_clang("a new scheduler") {
        return;
    }
    let mine = dir.join("mine");
    let (status, said, warned) = run(
        &mine,
        &["check", "mine.bpf.c", "--setup", "setup.toml", "--cflags=-Wextra -Wno-unused-parameter -Werror"],
    );
    assert!(status == 0 && warned.is_empty(), "{said}{warned}");
    let (status, document, why) =
        run(&mine, &["sim", "mine.bpf.c", "workload.json", "--setup", "setup.toml", "--json"]);
    assert_eq!(status, 0, "{why}");
    let document: serde_json::Value = serde_json::from_str(&document).expect("a document");
    assert_eq!(document["exit"]["kind"], "UNREG", "{}", document["exit"]);
    // The Makefile does the same, and its own way to compile gives an object too.
    let path = format!(
        "{}:{}",
        Path::new(env!("CARGO_BIN_EXE_sextant")).parent().expect("a directory").display(),
        std::env::var("PATH").expect("PATH")
    );
    for target in ["sim", "mine.bpf.o"] {
        let made = Command::new("make").arg(target).current_dir(&mine).env("PATH", &path).output();
        let Ok(made) = made else { return println!("SKIPPED the new Makefile: needs make") };
        assert!(
            made.status.success(),
            "{}{}",
            String::from_utf8_lossy(&made.stdout),
            String::from_utf8_lossy(&made.stderr)
        );
    }
    assert!(mine.join("mine.bpf.o").exists());
}

#[test]
fn without_a_compiler_it_says_what_to_do() {
    let dir = scratch("kit-no-clang");
    std::fs::write(dir.join("a.bpf.c"), "int x;\n").expect("writable");
    let output = command()
        .current_dir(&dir)
        .env("PATH", "/nowhere")
        .env_remove("CLANG")
        .args(["check", "a.bpf.c"])
        .output();
    let said = String::from_utf8_lossy(&output.expect("the program starts").stderr).into_owned();
    assert!(said.contains("apt-get install clang") && said.contains("sextant header --all"), "{said}");
}

#[test]
fn what_does_not_compile_is_a_usage_error_and_the_same_source_gives_the_same_object() {
    if !has_clang("compiling") {
        return;
    }
    let dir = scratch("kit-compile");
    std::fs::write(dir.join("bad.bpf.c"), "#include <scx/common.bpf.h>\nint f(void) { return y; }\n")
        .expect("writable");
    let (status, _, why) = run(&dir, &["check", "bad.bpf.c"]);
    assert!(status == 2 && why.contains("bad.bpf.c:2:") && why.contains("does not compile"), "{why}");
    run(&dir, &["new", "same"]);
    let objects = ["a.o", "b.o"].map(|out| {
        let (status, _, why) = run(&dir.join("same"), &["build", "same.bpf.c", "-o", out]);
        assert_eq!(status, 0, "{why}");
        std::fs::read(dir.join("same").join(out)).expect("the object")
    });
    assert!(objects[0] == objects[1]);
}

/// The advice of the codes, as code that compiles.
#[test]
fn advice_compiles() {
    if !has_clang("advice") {
        return;
    }
    let dir = scratch("kit-advice");
    let source = include_str!("bpf/advice.bpf.c");
    std::fs::write(dir.join("advice.bpf.c"), source).expect("writable");
    let (status, _, why) = run(&dir, &["build", "advice.bpf.c", "--cflags=-Werror"]);
    assert_eq!(status, 0, "{why}");
    // Every function and macro that an advice names in C is used there.
    for code in sextant_verifier::Code::ALL {
        for word in code.advice().split(|c: char| !c.is_alphanumeric() && c != '_') {
            let is_name =
                word.contains('_') && word.chars().next().is_some_and(|c| c.is_ascii_lowercase() || c == '_');
            let is_part = word.ends_with('_') || ["struct_ops", "select_cpu", "_destroy"].contains(&word);
            assert!(!is_name || is_part || source.contains(word), "{code}: {word} is not in advice.bpf.c");
        }
    }
}

#[test]
fn messages_point_at_the_authors_line_and_say_one_mistake_once() {
    if !has_clang("the author's line") {
        return;
    }
    let dir = scratch("kit-place");
    let source = "#include <scx/common.bpf.h>\n\
        char _license[] SEC(\"license\") = \"GPL\";\n\
        static void put(struct task_struct *p) { scx_bpf_dsq_insert(p, 0, 0, 0); }\n\
        void BPF_STRUCT_OPS(a_running, struct task_struct *p)\n{\n\tput(p);\n}\n\
        void BPF_STRUCT_OPS(a_stopping, struct task_struct *p, bool runnable)\n{\n\tput(p);\n}\n\
        SCX_OPS_DEFINE(a_ops, .running = (void *)a_running, .stopping = (void *)a_stopping, .name = \"a\");\n";
    std::fs::write(dir.join("a.bpf.c"), source).expect("writable");
    let (status, said, _) = run(&dir, &["check", "a.bpf.c"]);
    assert_eq!(status, 1, "{said}");
    assert!(said.contains("--> a.bpf.c:3:"), "{said}");
    assert!(said.contains("the same in a_stopping (a.bpf.c:3)"), "{said}");
    assert_eq!(said.matches("error[V0018]").count(), 1, "{said}");
    assert!(said.contains("= try: insert the task in ops.enqueue"), "{said}");
}

#[test]
fn version_man_pages_completions_and_colours() {
    let version = sextant(&["--version"]).expect(0).stdout;
    assert!(version.starts_with("sextant ") && version.contains("emulates Linux 7.3.4"), "{version}");
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        assert!(sextant(&["gen", shell]).expect(0).stdout.contains("sextant"), "{shell}");
    }
    assert!(sextant(&["gen", "man"]).expect(0).stdout.contains(".TH"));
    let dir = scratch("kit-man");
    sextant(&["gen", "man", "--dir", &dir.display().to_string()]).expect(0);
    for page in ["sextant.1", "sextant-sim.1", "sextant-check.1", "sextant-new.1"] {
        assert!(dir.join(page).exists(), "{page}");
    }
    let sim = |color: &str| {
        let output =
            command().env_remove("NO_COLOR").args(["sim", "--duration", "10ms", "--color", color]).output();
        String::from_utf8_lossy(&output.expect("the program starts").stdout).contains('\u{1b}')
    };
    assert!(sim("always") && !sim("never") && !sim("auto"));
}

//! Makes the libbpf that calls us. libbpf-sys compiles libbpf as it is; here its archive is copied with the names of what it asks of the
//! host replaced by names of functions in `src/hook.rs`, and the copy is linked instead. This depends on no flag, environment variable or
//! current folder, so the crate builds from anywhere.
//!
//! The copy is linked whole and before libbpf-sys's own archive, of which then nothing is taken: every name is there already. `hook::prove`
//! shows at run time that it came out so, and `tests/intercept.rs` compares the copy's imports with a list.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Programs that can rename symbols; `OBJCOPY` names another.
const OBJCOPY: [&str; 6] =
    ["objcopy", "llvm-objcopy", "llvm-objcopy-19", "llvm-objcopy-18", "llvm-objcopy-17", "llvm-objcopy-16"];

/// The copy, `libNAME.a`.
const NAME: &str = "sextant_bpf";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src/hook.rs");
    println!("cargo:rerun-if-env-changed=OBJCOPY");
    let include = std::env::var_os("DEP_BPF_INCLUDE").expect("libbpf-sys names its include directory");
    let archive = PathBuf::from(include).with_file_name("libbpf.a");
    println!("cargo:rerun-if-changed={}", archive.display());

    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo says where"));
    let copy = out.join(format!("lib{NAME}.a"));
    let hook = std::fs::read_to_string("src/hook.rs").expect("src/hook.rs");
    rename(&archive, &copy, &names(&hook, "INTERCEPTED"), &names(&hook, "OVERRIDDEN"));
    println!("cargo:rustc-env=SEXTANT_LIBBPF_ARCHIVE={}", copy.display());
    println!("cargo:rustc-link-search=native={}", out.display());
    println!("cargo:rustc-link-lib=static:-bundle,+whole-archive={NAME}");
}

/// The words between quotes in the table of that name.
fn names(hook: &str, table: &str) -> Vec<String> {
    let (_, rest) = hook.split_once(&format!("const {table}:")).expect("hook.rs has the table");
    let (table, _) = rest.split_once("];").expect("the table ends");
    table.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// `intercepted`: libbpf's name, our symbol, and so on.
fn rename(archive: &Path, copy: &Path, intercepted: &[String], overridden: &[String]) {
    let program = objcopy();
    let weak: Vec<String> = overridden.iter().map(|name| format!("--weaken-symbol={name}")).collect();
    objcopy_to(&program, &weak, archive, copy);
    // glibc has other names for some when file sizes have 64 bits, and when it checks arguments (`_FORTIFY_SOURCE`). One form at a time:
    // objcopy takes a new name once.
    for (before, after) in
        [("", ""), ("", "64"), ("__", "_2"), ("__", "64_2"), ("__", "_chk"), ("__", "64_chk")]
    {
        let pairs = intercepted.chunks(2);
        let renamed: Vec<String> =
            pairs.map(|pair| format!("--redefine-sym={before}{}{after}={}", pair[0], pair[1])).collect();
        objcopy_to(&program, &renamed, copy, copy);
    }
    check(copy, intercepted);
}

/// The first of the programs that runs.
fn objcopy() -> String {
    let chosen = std::env::var("OBJCOPY").ok();
    let programs: Vec<&str> = chosen.as_deref().map_or_else(|| OBJCOPY.to_vec(), |chosen| vec![chosen]);
    let runs = |program: &&&str| Command::new(program).arg("--version").output().is_ok();
    let found = programs.iter().find(runs).unwrap_or_else(|| {
        panic!(
            "none of {programs:?} is installed; one is needed to build libbpf into Sextant (Debian: binutils)"
        )
    });
    found.to_string()
}

fn objcopy_to(program: &str, arguments: &[String], from: &Path, to: &Path) {
    let output = Command::new(program).args(arguments).arg(from).arg(to).output();
    let output = output.unwrap_or_else(|e| panic!("{program}: {e}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} cannot rename symbols in {}: {said}", from.display());
}

/// Refuses a copy that does not call us.
fn check(copy: &Path, intercepted: &[String]) {
    let bytes = std::fs::read(copy).unwrap_or_else(|e| panic!("{}: {e}", copy.display()));
    for pair in intercepted.chunks(2) {
        let symbol = &pair[1];
        let found = bytes.windows(symbol.len()).any(|window| window == symbol.as_bytes());
        assert!(found, "libbpf does not call {}: is this libbpf-sys 1.7.0?", pair[0]);
    }
}

//! Refuses a libbpf that was compiled without the hook's macros: its bpf(2) calls would reach the host's kernel.

use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src/hook.rs");
    let include = std::env::var_os("DEP_BPF_INCLUDE").expect("libbpf-sys names its include directory");
    let archive = PathBuf::from(include).with_file_name("libbpf.a");
    println!("cargo:rerun-if-changed={}", archive.display());
    println!("cargo:rustc-env=SEXTANT_LIBBPF_ARCHIVE={}", archive.display());

    let bytes = std::fs::read(&archive).unwrap_or_else(|e| panic!("{}: {e}", archive.display()));
    for symbol in intercepted() {
        let found = bytes.windows(symbol.len()).any(|w| w == symbol.as_bytes());
        assert!(
            found,
            "libbpf was compiled without the flags of .cargo/config.toml (it does not call {symbol}), so its bpf(2) calls would \
             reach this machine's own kernel. Build inside the workspace; after a change of the flags: `cargo clean -p libbpf-sys`"
        );
    }
}

/// Our symbols, as hook.rs lists them.
fn intercepted() -> Vec<String> {
    let hook = std::fs::read_to_string("src/hook.rs").expect("src/hook.rs");
    let symbols = hook
        .split('"')
        .filter(|s| s.starts_with("sextant_") && s.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
    symbols.map(str::to_owned).collect()
}

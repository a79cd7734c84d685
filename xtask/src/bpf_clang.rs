//! Compiling BPF C with clang-19, the same for our own schedulers and the kernel's.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::run;

const CLANG: &str = "clang-19";

/// The compiler, where possible without address randomisation: clang-19 numbers forward declarations in BTF by the address
/// of what it holds in memory. So two runs in one directory are equal; in another directory an object with several forward
/// declarations may number these differently, which means the same.
fn clang() -> Command {
    if run::output(Command::new("setarch").args(["-R", "true"])).is_err() {
        return Command::new(CLANG);
    }
    let mut command = Command::new("setarch");
    command.args(["-R", CLANG]);
    command
}

/// `clang-19 --version`, first line.
pub fn version() -> Result<String> {
    let text = run::text(Command::new(CLANG).arg("--version"))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// The host's header directories as `-idirafter` arguments, as the kernel's Makefiles add them: clang finds none for `-target bpf`.
pub fn system_includes() -> Result<Vec<String>> {
    let out = run::output(Command::new(CLANG).args(["-v", "-E", "-"]))?;
    let text = String::from_utf8_lossy(&out.stderr);
    let dirs = text
        .lines()
        .skip_while(|line| !line.contains("<...> search starts here:"))
        .skip(1)
        .take_while(|line| !line.starts_with("End of search list."));
    Ok(dirs.flat_map(|dir| ["-idirafter".to_owned(), dir.trim().to_owned()]).collect())
}

/// Compiles `source` into `object`, both relative to `dir`; `dir` does not show in the object.
pub fn compile(dir: &Path, flags: &[String], source: &Path, object: &Path) -> Result<()> {
    let prefix_map = format!("-ffile-prefix-map={}=.", dir.display());
    run::output(
        clang()
            .current_dir(dir)
            .args(["-target", "bpf"])
            .args(flags)
            .arg(prefix_map)
            .arg("-c")
            .arg(source)
            .arg("-o")
            .arg(object),
    )
    .with_context(|| format!("{} does not compile", source.display()))?;
    Ok(())
}

//! Running other programs: what failed, with what it printed.

use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

/// Runs to the end, nothing on stdin; what it printed, or an error that holds it.
pub fn output(command: &mut Command) -> Result<Output> {
    let name = shown(command);
    let out = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start `{name}`"))?;
    if !out.status.success() {
        let stderr = String::from_utf8_lossy(&out.stderr);
        bail!("`{name}` failed ({}): {}", out.status, stderr.trim());
    }
    Ok(out)
}

/// Like [`output`], the standard output as text.
pub fn text(command: &mut Command) -> Result<String> {
    let name = shown(command);
    String::from_utf8(output(command)?.stdout).with_context(|| format!("`{name}` printed no UTF-8"))
}

/// The command as a person would type it.
fn shown(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

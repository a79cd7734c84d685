//! `--watch`: the same command again whenever one of its files changes, as a process of its own each time, until Ctrl-C.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::Context;

use crate::compile;
use crate::status::{Failure, Status};

/// How often the files are looked at.
const PAUSE: Duration = Duration::from_millis(200);

/// The option, which the runs do not get.
const OPTION: &str = "--watch";

/// When each file was last changed; None: it is not there.
type Times = BTreeMap<PathBuf, Option<SystemTime>>;

/// Runs this process's own command line, without the option, again and again.
///
/// # Errors
/// When it names no file, or the program cannot be started again.
pub fn run() -> Result<Status, Failure> {
    let args: Vec<OsString> = std::env::args_os().skip(1).filter(|arg| arg != OPTION).collect();
    let program = std::env::current_exe().context("the program does not find itself")?;
    loop {
        let before = times(&args);
        if before.is_empty() {
            return Err(Failure::usage("--watch: no file among the arguments that could change"));
        }
        let status =
            Command::new(&program).args(&args).status().context("the program does not start again")?;
        let names: Vec<String> = before.keys().map(|path| path.display().to_string()).collect();
        let ended = status.code().map_or("ended by a signal".into(), |code| format!("exit status {code}"));
        eprintln!("\n--watch: {ended}; waiting for a change of {} (Ctrl-C ends)", names.join(", "));
        let changed = wait(&before);
        // Not what was printed before, when somebody looks at it.
        if std::io::stdout().is_terminal() {
            print!("\x1b[2J\x1b[H");
            std::io::stdout().flush()?;
        }
        eprintln!("--watch: {} changed", changed.display());
    }
}

/// The first file that is not as it was; editors that write a file anew leave it away for a moment.
fn wait(before: &Times) -> PathBuf {
    loop {
        std::thread::sleep(PAUSE);
        let changed = before.iter().find(|(path, time)| {
            let now = changed(path);
            now.is_some() && now != **time
        });
        if let Some((path, _)) = changed {
            return path.clone();
        }
    }
}

/// The files among the arguments, and those that they include.
fn times(args: &[OsString]) -> Times {
    let mut files = Vec::new();
    for arg in
        args.iter().filter_map(|arg| arg.to_str()).map(|arg| arg.rsplit_once('=').map_or(arg, |(_, v)| v))
    {
        if !Path::new(arg).is_file() {
            continue;
        }
        if compile::is_source(arg) {
            files.extend(compile::dependencies(arg));
        } else {
            files.push(arg.into());
        }
    }
    files.into_iter().map(|path| (path.clone(), changed(&path))).collect()
}

fn changed(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|data| data.modified()).ok()
}

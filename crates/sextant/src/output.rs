//! Files that a run writes beside its result: a path, or `-` for stdout. What goes wrong with one is told at the end; it never costs the
//! result, and a reader that goes away is no error.

use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, anyhow};

use crate::status::Failure;

/// Bytes that are collected before they are written.
const BUFFER: usize = 64 << 10;

/// Whether the argument stands for stdin or stdout.
pub fn is_stdio(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// A file, or stdout, until it fails.
pub struct Output {
    /// What it is, for messages: `the trace`.
    what: &'static str,
    path: String,
    /// None once nothing more can be written.
    out: Option<BufWriter<Box<dyn Write>>>,
    failure: Option<std::io::Error>,
}

impl Output {
    /// Creates it.
    ///
    /// # Errors
    /// The path cannot be created.
    pub fn create(path: &Path, what: &'static str) -> Result<Output, Failure> {
        let name = if is_stdio(path) { "stdout".to_string() } else { path.display().to_string() };
        let to: Box<dyn Write> = if is_stdio(path) {
            Box::new(std::io::stdout())
        } else {
            Box::new(File::create(path).with_context(|| format!("cannot write {what} to {name}"))?)
        };
        Ok(Output { what, path: name, out: Some(BufWriter::with_capacity(BUFFER, to)), failure: None })
    }

    /// Writes, or remembers why not.
    pub fn write(&mut self, bytes: &[u8]) {
        if let Some(out) = &mut self.out
            && let Err(error) = out.write_all(bytes)
        {
            self.fail(error);
        }
    }

    fn fail(&mut self, error: std::io::Error) {
        self.failure = Some(error);
        // What is still in the buffer has nowhere to go: it is not tried again.
        if let Some(out) = self.out.take() {
            let _ = out.into_parts();
        }
    }

    /// Writes what was collected.
    ///
    /// # Errors
    /// What was written before or now did not arrive, unless its reader went away by itself.
    pub fn finish(mut self) -> Result<(), Failure> {
        if let Some(out) = &mut self.out
            && let Err(error) = out.flush()
        {
            self.fail(error);
        }
        match self.failure {
            Some(error) if error.kind() != ErrorKind::BrokenPipe => {
                Err(anyhow!(error).context(format!("cannot write {} to {}", self.what, self.path)).into())
            }
            _ => Ok(()),
        }
    }
}

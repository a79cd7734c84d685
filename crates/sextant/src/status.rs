//! Exit status: what a run of the program means to a script. The one place where numbers are given.

use std::fmt::Display;
use std::process::ExitCode;

/// How the program ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Status {
    /// Everything was done; the scheduler ended with UNREG, UNREG_BPF or UNREG_KERN.
    Done = 0,
    /// The answer is no: the verifier refused a program.
    No = 1,
    /// Usage or I/O: a file that is missing or broken, an unknown name, a kfunc or field that Sextant lacks; an object that libbpf does not survive.
    Usage = 2,
    /// The scheduler was thrown out for an error (exit kind of 1024 or more).
    SchedulerError = 3,
    /// Sextant itself is wrong: an internal error, see `last_resort`.
    Internal = 4,
    /// Ended by SIGINT or SIGTERM.
    Interrupted = 130,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> ExitCode {
        ExitCode::from(status as u8)
    }
}

/// An error with the status it ends the program with.
#[derive(Debug)]
pub struct Failure {
    /// The status.
    pub status: Status,
    /// What happened, innermost cause last.
    pub error: anyhow::Error,
}

/// Anything that fails without saying otherwise is usage or I/O.
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        Failure { status: Status::Usage, error }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        Failure::from(anyhow::Error::from(error))
    }
}

impl Failure {
    /// A usage error with this message.
    pub fn usage(message: impl Display) -> Failure {
        Failure { status: Status::Usage, error: anyhow::anyhow!("{message}") }
    }

    /// Whether the reader of our output went away: a success.
    pub fn is_broken_pipe(&self) -> bool {
        let io = self.error.chain().find_map(|e| e.downcast_ref::<std::io::Error>());
        io.is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
    }
}

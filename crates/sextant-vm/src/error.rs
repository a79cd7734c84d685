//! Error numbers, memory faults and traps.
//!
//! An [`Errno`] goes back to a program or a system call; a [`Fault`] says why an access was refused; a [`Trap`] ends
//! the program, and with it the scheduler.

use std::fmt;

use crate::ProgId;

/// A kernel error number, positive.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("errno {0}")]
pub struct Errno(pub i32);

macro_rules! errnos {
    ($($name:ident = $val:expr;)*) => {
        #[allow(missing_docs)] // the kernel's names say what they are
        impl Errno { $(pub const $name: Errno = Errno($val);)* }
    };
}

errnos! {
    EPERM = 1;
    ENOENT = 2;
    E2BIG = 7;
    EBADF = 9;
    EAGAIN = 11;
    ENOMEM = 12;
    EFAULT = 14;
    EBUSY = 16;
    EEXIST = 17;
    EINVAL = 22;
    ENOSPC = 28;
    ERANGE = 34;
    EDEADLK = 35;
    EOPNOTSUPP = 95;
    ECANCELED = 125;
    ENOTSUPP = 524;
}

impl Errno {
    /// The value a helper returns: the negated number as a register.
    pub const fn ret(self) -> u64 {
        -(self.0 as i64) as u64
    }
}

/// Why the wall (or the object check) refused an access.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// Not an address of BPF-visible memory: NULL, an error number, a scalar.
    Outside,
    /// In a zone, but behind what is allocated there.
    Unmapped,
    /// The zone is read-only for programs.
    ReadOnly,
    /// A store to a field of a `task_struct` that a scheduler may not write.
    TaskField,
    /// A page of an arena that nobody allocated.
    ArenaPage,
    /// `--sanitize`: no live object there (freed, or between objects).
    NoObject,
    /// `--sanitize`: runs over the end of the object it starts in.
    PastObject,
}

/// A refused access.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// First byte.
    pub addr: u64,
    /// Bytes.
    pub size: u32,
    /// Store (or both), not load.
    pub write: bool,
    /// The reason.
    pub why: Why,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.write { "store" } else { "load" };
        let why = match self.why {
            Why::Outside if self.addr < 4096 => "NULL pointer",
            Why::Outside => "not a pointer",
            Why::Unmapped => "behind the memory allocated there",
            Why::ReadOnly => "read-only for programs",
            Why::TaskField => "a task_struct field that a scheduler may not write",
            Why::ArenaPage => "a page of the arena that is not allocated",
            Why::NoObject => "no live object there (freed?)",
            Why::PastObject => "over the end of the object",
        };
        write!(f, "{verb} of {} bytes at {:#x}: {why}", self.size, self.addr)
    }
}

/// What ended a program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TrapKind {
    /// An access outside the wall, or (`--sanitize`) outside one live object.
    BadAccess(Fault),
    /// The instruction budget of a top-level call is used up.
    Budget {
        /// Instructions allowed.
        limit: u64,
    },
    /// A helper that does not exist or is not implemented: id, name (`unknown` when the kernel has none).
    UnknownHelper(u32, &'static str),
    /// An instruction that is not valid, with the reason; or the end of the program was passed.
    BadInsn(&'static str),
    /// More than 8 frames, counting callbacks.
    CallDepth,
    /// Programs nested too deep (op → kfunc → op …).
    Nesting,
    /// `--sanitize`: reads a register that nothing wrote.
    Uninit(u8),
    /// `bpf_spin_lock` misuse.
    Lock(&'static str),
    /// A helper got an argument the verifier would have refused: helper, what.
    BadArg(&'static str, &'static str),
    /// A kfunc ended the program; its words.
    Kfunc(String),
    /// No such program.
    NoProg(u32),
    /// Whoever runs all this wants it to end.
    Interrupted,
}

impl From<Fault> for TrapKind {
    fn from(fault: Fault) -> Self {
        TrapKind::BadAccess(fault)
    }
}

impl fmt::Display for TrapKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TrapKind::BadAccess(fault) => fault.fmt(f),
            TrapKind::Budget { limit } => write!(f, "more than {limit} instructions in one call"),
            TrapKind::UnknownHelper(id, name) => write!(f, "helper {name}#{id} is not implemented"),
            TrapKind::BadInsn(why) => f.write_str(why),
            TrapKind::CallDepth => f.write_str("more than 8 call frames"),
            TrapKind::Nesting => f.write_str("programs nested too deep"),
            TrapKind::Uninit(r) => write!(f, "r{r} is read but nothing wrote it"),
            TrapKind::Lock(why) => f.write_str(why),
            TrapKind::BadArg(helper, what) => write!(f, "{helper}: {what}"),
            TrapKind::Kfunc(text) => f.write_str(text),
            TrapKind::Interrupted => f.write_str("interrupted"),
            TrapKind::NoProg(id) => write!(f, "no program with id {id}"),
        }
    }
}

/// A program ended by force. Displays as one line: program, instruction, why. One pointer: every run and every kfunc
/// returns a result with it, and hardly any is a trap.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(transparent)]
pub struct Trap(#[from] Box<TrapInfo>);

/// What a [`Trap`] says.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{prog}: insn {insn}: {disasm}: {kind}")]
pub struct TrapInfo {
    /// The program.
    pub id: ProgId,
    /// Instructions that the invocation had executed.
    pub insns: u64,
    /// Its name.
    pub prog: String,
    /// Index of the instruction.
    pub insn: u32,
    /// The instruction as text.
    pub disasm: String,
    /// Why.
    pub kind: TrapKind,
}

impl Trap {
    /// A trap raised by a kfunc; the vm fills in program and instruction.
    pub fn kfunc(text: impl Into<String>) -> Trap {
        Trap::bare(TrapKind::Kfunc(text.into()))
    }

    /// A trap without a place yet.
    #[cold]
    pub(crate) fn bare(kind: TrapKind) -> Trap {
        Box::new(TrapInfo {
            id: ProgId(0),
            insns: 0,
            prog: String::new(),
            insn: 0,
            disasm: String::new(),
            kind,
        })
        .into()
    }

    pub(crate) fn info_mut(&mut self) -> &mut TrapInfo {
        &mut self.0
    }

    /// What ended the program, without the place.
    pub fn into_kind(self) -> TrapKind {
        self.0.kind
    }
}

impl std::ops::Deref for Trap {
    type Target = TrapInfo;
    fn deref(&self) -> &TrapInfo {
        &self.0
    }
}

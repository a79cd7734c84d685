//! How a scheduler ended: kind, code, reason, message, dump. Mirrors `struct scx_exit_info` and scx_exit_reason(), 7.3.

use crate::types::enums;
use crate::{CpuId, Ns};

macro_rules! exit_kinds {
    ($($(#[$m:meta])* $variant:ident = $constant:ident, $name:literal, $reason:literal;)*) => {
        /// Why a scheduler ended.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
        #[repr(u32)]
        pub enum ExitKind {
            $(
                #[doc = concat!("`", stringify!($constant), "`: `", $reason, "`")]
                $(#[$m])*
                $variant = enums::$constant,
            )*
        }

        impl ExitKind {
            /// Every kind, by value.
            pub const ALL: &[ExitKind] = &[$(ExitKind::$variant),*];

            /// The enumerator without `SCX_EXIT_`.
            pub const fn name(self) -> &'static str {
                match self { $(ExitKind::$variant => $name),* }
            }

            /// The kernel's words for it.
            pub const fn reason(self) -> &'static str {
                match self { $(ExitKind::$variant => $reason),* }
            }
        }
    };
}

exit_kinds! {
    #[default]
    None = SCX_EXIT_NONE, "NONE", "<UNKNOWN>";
    Done = SCX_EXIT_DONE, "DONE", "<UNKNOWN>";
    Unreg = SCX_EXIT_UNREG, "UNREG", "unregistered from user space";
    UnregBpf = SCX_EXIT_UNREG_BPF, "UNREG_BPF", "unregistered from BPF";
    UnregKern = SCX_EXIT_UNREG_KERN, "UNREG_KERN", "unregistered from the main kernel";
    Sysrq = SCX_EXIT_SYSRQ, "SYSRQ", "disabled by sysrq-S";
    Parent = SCX_EXIT_PARENT, "PARENT", "parent exiting";
    ParentKill = SCX_EXIT_PARENT_KILL, "PARENT_KILL", "killed by parent scheduler";
    Error = SCX_EXIT_ERROR, "ERROR", "runtime error";
    ErrorBpf = SCX_EXIT_ERROR_BPF, "ERROR_BPF", "scx_bpf_error";
    ErrorStall = SCX_EXIT_ERROR_STALL, "ERROR_STALL", "runnable task stall";
    ErrorReenq = SCX_EXIT_ERROR_REENQ, "ERROR_REENQ", "reenqueue limit";
    ErrorRescue = SCX_EXIT_ERROR_RESCUE, "ERROR_RESCUE", "rescue bandwidth overload";
}

impl ExitKind {
    /// Its number.
    pub const fn value(self) -> u32 {
        self as u32
    }

    /// The kind of that number.
    pub fn from_value(value: u32) -> Option<ExitKind> {
        Self::ALL.iter().copied().find(|kind| kind.value() == value)
    }

    /// Whether the scheduler was thrown out for an error (1024 and up).
    pub const fn is_error(self) -> bool {
        self.value() >= enums::SCX_EXIT_ERROR
    }
}

impl std::fmt::Display for ExitKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// Where a scheduler's exit was claimed. The kernel keeps none of this; people want to know it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ExitOrigin {
    /// When, on the machine's clock.
    pub at: Ns,
    /// The CPU that claimed it.
    pub cpu: CpuId,
    /// The op that ran or, if `returned`, had just returned: the member of the ops table, without `ops.`.
    pub op: Option<&'static str>,
    /// The op was over: what it returned or left behind was at fault.
    pub returned: bool,
    /// The task that the op was about, `comm[pid]`.
    pub task: Option<String>,
    /// The program that ran, and its instruction.
    pub place: Option<ProgPlace>,
}

/// An instruction of a program.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ProgPlace {
    /// The program's number in the vm.
    pub prog: u32,
    /// Its name, as in BPF_PROG_LOAD.
    pub name: String,
    /// Index of the instruction.
    pub insn: u32,
}

/// What the scheduler's end is reported as.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExitInfo {
    /// Why.
    pub kind: ExitKind,
    /// For UNREG_BPF and UNREG_KERN: `SCX_ECODE_*` and the low 32 bits of the scheduler; for ERROR an errno or 0.
    pub code: i64,
    /// The kernel's words for the kind.
    pub reason: &'static str,
    /// What happened, at most [`SCX_EXIT_MSG_LEN`](enums::SCX_EXIT_MSG_LEN) bytes with the NUL.
    pub msg: String,
    /// The CPU it was raised on, -1 when unknown.
    pub exit_cpu: i32,
    /// `SCX_EFLAG_*`
    pub flags: u64,
    /// The debug dump, empty when none was made.
    pub dump: String,
    /// Where it was claimed.
    pub origin: ExitOrigin,
}

impl ExitInfo {
    /// A report with the kind's reason, no message and no CPU.
    pub fn new(kind: ExitKind, code: i64) -> Self {
        Self {
            kind,
            code,
            reason: kind.reason(),
            msg: String::new(),
            exit_cpu: -1,
            flags: 0,
            dump: String::new(),
            origin: ExitOrigin::default(),
        }
    }

    /// The same with a message, cut to what the kernel's buffer holds.
    pub fn with_msg(mut self, msg: impl Into<String>) -> Self {
        self.msg = msg.into();
        let mut end = self.msg.len().min(enums::SCX_EXIT_MSG_LEN as usize - 1);
        while !self.msg.is_char_boundary(end) {
            end -= 1;
        }
        self.msg.truncate(end);
        self
    }
}

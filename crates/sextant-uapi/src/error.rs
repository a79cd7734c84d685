//! Why an object could not be opened, set up or loaded.

use sextant_abi::tables::linux_has_percpu_var;

use crate::elf::ElfError;
use crate::globals::SetError;
use crate::hook::NotHooked;
use crate::user::NotAllowed;

/// What went wrong, where, and what to try.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[allow(missing_docs)] // the messages say what the fields are
pub enum LoadError {
    /// Sextant was built without its hook.
    #[error(transparent)]
    NotHooked(#[from] NotHooked),
    /// The host forbids a call that bpf(2) needs.
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    /// The file is not a whole BPF object.
    #[error(transparent)]
    Elf(#[from] ElfError),
    /// libbpf could not open it.
    #[error("libbpf cannot open this object ({errno}): {}{}", .messages.join("; "), remedy(.messages))]
    Open { errno: String, messages: Vec<String> },
    /// What libbpf says of its types cannot be read.
    #[error("the object's BTF: {why}")]
    Btf { why: String },
    /// Several ops tables and no choice.
    #[error("the object holds several ops tables: {}; choose one with --ops", .names.join(", "))]
    AmbiguousOps { names: Vec<String> },
    /// No ops table of that name.
    #[error("the object has no ops table '{name}'; it has {}", .have.join(", "))]
    UnknownOps { name: String, have: Vec<String> },
    /// Only struct_ops of other subsystems.
    #[error(
        "'{name}' is a {struct_name}, which is no scheduler: a struct sched_ext_ops (or sched_ext_ops_cid) is needed"
    )]
    ForeignOps { name: String, struct_name: String },
    /// A kfunc that the object cannot do without and that does not exist here.
    #[error(
        "the object needs the kernel function {}, which Sextant does not have; an object that can do without declares it __weak and \
         tests it with bpf_ksym_exists()", .names.join(", ")
    )]
    MissingKfunc { names: Vec<String> },
    /// A kernel variable that the object cannot do without and that does not exist here.
    #[error(
        "the object needs the kernel variable {}; an object that can do without declares it __weak and tests its address",
        which_lack(.names)
    )]
    MissingKsym { names: Vec<String> },
    /// A program was refused, in the verifier's words.
    #[error("program '{prog}' was refused ({errno}):\n{log}{}", hint(.log))]
    Refused { prog: String, errno: String, log: String },
    /// Something else failed during load or attach.
    #[error("{step} failed ({errno}): {}{}", .messages.join("; "), remedy(.messages))]
    Load { step: &'static str, errno: String, messages: Vec<String> },
    /// A global could not be set.
    #[error(transparent)]
    Set(#[from] SetError),
}

/// What libbpf says, and what it comes of.
const REMEDIES: &[(&str, &str)] = &[
    (
        "failed to guess program type",
        "the name in SEC(\"…\") is no kind of program that libbpf knows: ops of a scheduler are in SEC(\"struct_ops/NAME\") or, those that may sleep, \
         SEC(\"struct_ops.s/NAME\"), as BPF_STRUCT_OPS() and BPF_STRUCT_OPS_SLEEPABLE() write it",
    ),
    (
        "missing BPF prog type",
        "the name in SEC(\"…\") is no kind of program that libbpf knows: look for a typing error in it",
    ),
    (
        "failed to create",
        "the kernel refused a map: compare its type, max_entries, sizes of key and value and map_flags with what the type takes \
         (task storage wants BPF_F_NO_PREALLOC and an int key; an array an u32 key; a ring buffer a power of two of pages)",
    ),
    ("license", "a scheduler needs: char _license[] SEC(\"license\") = \"GPL\";"),
    ("extern (var ksym)", "the kernel has no such variable; declare it __weak and test its address"),
    ("BTF is required", "the object has no BTF: compile with -g"),
];

/// What to try, for messages of libbpf that do not say it.
fn remedy(messages: &[String]) -> String {
    let known = REMEDIES.iter().find(|(part, _)| messages.iter().any(|message| message.contains(part)));
    known.map(|(_, remedy)| format!("\n{remedy}")).unwrap_or_default()
}

/// Each variable with who lacks it.
fn which_lack(names: &[String]) -> String {
    let one = |name: &String| match linux_has_percpu_var(name) {
        true => format!("{name}, which Linux 7.3 has and Sextant does not"),
        false => format!("{name}, which Linux 7.3 does not have"),
    };
    names.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// What to try, for a log that only experts understand.
fn hint(log: &str) -> &'static str {
    if log.contains("failed to resolve CO-RE relocation") {
        "\nthe kernel that Sextant emulates (Linux 7.3, as far as it is modelled) does not have this; a program that can do without asks \
         first, with bpf_core_field_exists(), bpf_core_type_exists() or bpf_core_enum_value_exists()"
    } else {
        ""
    }
}

impl LoadError {
    /// Whether the answer is "no" to a readable object (exit status 1), rather than a wrong invocation or something that Sextant
    /// lacks (2): a missing field is of the second kind, as a missing kfunc is.
    pub fn is_refusal(&self) -> bool {
        matches!(self, LoadError::Refused { log, .. } if hint(log).is_empty())
    }
}

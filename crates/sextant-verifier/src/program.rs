//! What the verifier is told of a program. BPF_PROG_LOAD fills it.
//!
//! `insns` are those of the call after libbpf's CO-RE; what an instruction's fd or BTF id means is in `relocs`, as in a `ProgramImage`.
//! [`crate::verify`] expects nothing of them: it checks the structure itself.

use sextant_abi::image::{Insn, Reloc};
use sextant_abi::tables::{KfuncGroups, Op};
use sextant_bpf::btf::ext::{FuncInfo, LineInfo};
use sextant_bpf::btf::{Btf, Kind, TypeId};

use crate::diag::Source;
pub use crate::fields::{Field, FieldKind, FieldsError, Holder, SpecialFields, check_objects};
pub use crate::hook::{Hook, RawTpArg, raw_tp_arg};
use crate::reach::ReadOnly;

/// A program to verify.
#[derive(Clone, Copy)]
pub struct Program<'a> {
    /// Name, as in BPF_PROG_LOAD.
    pub name: &'a str,
    /// Instructions; a `ld_imm64` takes two slots.
    pub insns: &'a [Insn],
    /// Sorted by slot: maps by [`MapDesc::id`], functions by slot, kfuncs by index in the table.
    pub relocs: &'a [(u32, Reloc)],
    /// What runs it and what it may do.
    pub kind: ProgKind<'a>,
    /// BPF_F_SLEEPABLE.
    pub sleepable: bool,
    /// Its licence is compatible with the GPL ([`gpl_compatible`]).
    pub gpl: bool,
    /// Whether a helper is there when the program runs, by its number; none: it never runs.
    pub has_helper: Option<fn(u32) -> bool>,
    /// BPF_F_TEST_STATE_FREQ: keep a state wherever one can be kept.
    pub state_freq: bool,
    /// BPF_F_STRICT_ALIGNMENT: every access is on a multiple of its size, as machines need that cannot do others.
    pub strict_alignment: bool,
    /// `nr_cpu_ids`: one more than the highest CPU number of the machine.
    pub nr_cpus: u32,
    /// Every map the relocs name.
    pub maps: &'a [MapDesc<'a>],
    /// Reads frozen read-only maps, see [`crate::reach()`].
    pub read_only: ReadOnly<'a>,
    /// The program's BTF; without it global functions and local types are unknown.
    pub btf: Option<&'a Btf>,
    /// The emulated kernel's BTF: `bpf_rdonly_cast` and attach points name types by its ids.
    pub kernel_btf: Option<&'a Btf>,
    /// Functions, by slot.
    pub func_info: &'a [FuncInfo],
    /// Source lines, by slot.
    pub line_info: &'a [LineInfo],
}

/// Whether a licence is compatible with the GPL: `license_is_gpl_compatible()` of include/linux/license.h, 7.3.
pub fn gpl_compatible(licence: &str) -> bool {
    let compatible =
        ["GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL"];
    compatible.contains(&licence)
}

/// Program type and what hangs on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProgKind<'a> {
    /// A struct_ops program of sched_ext.
    StructOps {
        /// The member it implements.
        op: Op,
        /// Of `sched_ext_ops_cid`.
        cid_form: bool,
    },
    /// A struct_ops program of another struct: context and result are opaque, no scx kfuncs.
    ForeignStructOps,
    /// BPF_PROG_TYPE_SYSCALL: the context is memory.
    Syscall,
    /// fentry, fexit, tp_btf, iter: the context holds typed arguments.
    Tracing {
        /// In order; empty where the target is not modelled: then every argument is a number.
        args: &'a [CtxArg],
        /// Whether r0 must be 0 at exit (fentry, fexit).
        returns_zero: bool,
        /// `expected_attach_type` of BPF_PROG_LOAD.
        attach_type: u32,
    },
    /// A program of a type that never runs here.
    Other(Hook<'a>),
}

impl ProgKind<'_> {
    /// The kfuncs it may call.
    pub fn groups(&self) -> KfuncGroups {
        match self {
            ProgKind::StructOps { op, .. } => op.desc().groups,
            ProgKind::Syscall => KfuncGroups::SYSCALL,
            ProgKind::Tracing { .. } => KfuncGroups::TRACING,
            ProgKind::ForeignStructOps | ProgKind::Other(_) => KfuncGroups::CORE,
        }
    }
}

/// An argument in a tracing context.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CtxArg {
    /// A number.
    Number,
    /// A pointer to something that is no struct: a number, which is loaded whole.
    Address,
    /// A trusted pointer to a kernel struct of that name.
    Trusted(&'static str),
    /// The same, may be NULL.
    TrustedOrNull(&'static str),
    /// A pointer to a kernel struct of which nobody says that it is still there (fentry, fexit): it can be read through, and a bad
    /// address reads 0.
    Bare(&'static str),
}

/// A map.
#[derive(Clone, Debug)]
pub struct MapDesc<'a> {
    /// As in [`Reloc::Map`].
    pub id: u32,
    /// Its name.
    pub name: &'a str,
    /// `BPF_MAP_TYPE_*`
    pub map_type: u32,
    /// In bytes.
    pub key_size: u32,
    /// In bytes.
    pub value_size: u32,
    /// As created.
    pub max_entries: u32,
    /// `BPF_F_*`
    pub flags: u32,
    /// Programs may not write it (BPF_F_RDONLY_PROG).
    pub rdonly: bool,
    /// Timers, locks, kptrs, roots in its values, from [`SpecialFields::of`]; offsets from the value's start.
    pub fields: SpecialFields,
    /// Template of a map of maps.
    pub inner: Option<Box<MapDesc<'a>>>,
}

/// A function of the program, as BTF tells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FuncDesc {
    /// First slot.
    pub start: usize,
    /// One past its last slot.
    pub end: usize,
    /// Its FUNC in the program's BTF.
    pub btf: Option<TypeId>,
    /// Verified by itself, from its prototype.
    pub global: bool,
}

impl Program<'_> {
    /// The FUNC that starts at `slot`.
    pub(crate) fn func_at(&self, slot: usize) -> Option<TypeId> {
        self.func_info.iter().find(|info| info.insn_off as usize == slot).map(|info| info.ty)
    }

    /// Name of the function that starts at `slot`.
    pub(crate) fn func_name(&self, slot: usize) -> String {
        let named = self.func_at(slot).zip(self.btf).map(|(ty, btf)| btf.name(ty).to_string());
        let unnamed = || if slot == 0 { self.name.into() } else { format!("the function at insn {slot}") };
        named.unwrap_or_else(unnamed)
    }

    /// Slot at which the function of an instruction begins.
    pub(crate) fn func_start(&self, slot: usize) -> usize {
        self.func_info
            .iter()
            .map(|info| info.insn_off as usize)
            .filter(|start| *start <= slot)
            .max()
            .unwrap_or(0)
    }

    /// Whether BTF says that the function is global.
    pub(crate) fn is_global(&self, slot: usize) -> bool {
        let Some((ty, btf)) = self.func_at(slot).zip(self.btf) else { return false };
        matches!(btf.kind(ty), Kind::Func { linkage: 1, .. })
    }

    /// Source line of `slot`.
    pub(crate) fn source(&self, slot: usize) -> Option<Source> {
        let btf = self.btf?;
        let info =
            self.line_info.iter().filter(|l| l.insn_off as usize <= slot).max_by_key(|l| l.insn_off)?;
        Some(Source {
            file: btf.text(info.file),
            line: info.line,
            column: info.column,
            text: btf.text(info.text).trim_end().to_string(),
        })
    }
}

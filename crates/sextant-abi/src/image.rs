//! What `bpf(BPF_PROG_LOAD)` hands to the vm.

/// One BPF instruction, 8 bytes in the file (RFC 9669).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Insn {
    /// Opcode.
    pub code: u8,
    /// Destination register, 0..=10.
    pub dst: u8,
    /// Source register or pseudo code, 0..=10.
    pub src: u8,
    /// Signed offset.
    pub off: i16,
    /// Signed immediate.
    pub imm: i32,
}

/// What an instruction that named an outside thing was resolved to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reloc {
    /// `ld_imm64` of a map: the register gets the map's address (a number of ours, see `Vm::map_addr`).
    Map(u32),
    /// `ld_imm64` of a byte inside the value 0 of a map: map id, offset.
    MapValue(u32, u32),
    /// `ld_imm64` of a function of this program (a callback): its first instruction.
    Func(u32),
    /// `ld_imm64` of a kernel variable (BTF ksym): its address.
    Addr(u64),
    /// `call` of a kfunc: its index in the kfunc table of `sextant-abi`.
    Kfunc(u32),
}

/// A field of a map value or of an object of a program's own that the kernel keeps for itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum SpecialField {
    Timer,
    SpinLock,
    ResSpinLock,
    Wq,
    RbRoot,
    RbNode,
    ListHead,
    ListNode,
    Refcount,
    /// A pointer to an object that the map owns.
    Kptr {
        /// BTF id of the pointed-to kernel type; 0 for a type of the program's own (`bpf_obj_new`).
        btf_id: u32,
    },
}

impl SpecialField {
    /// Bytes.
    pub const fn size(self) -> u32 {
        match self {
            SpecialField::SpinLock | SpecialField::ResSpinLock | SpecialField::Refcount => 4,
            SpecialField::Kptr { .. } => 8,
            SpecialField::Timer | SpecialField::Wq | SpecialField::RbRoot | SpecialField::ListHead => 16,
            SpecialField::ListNode => 24,
            SpecialField::RbNode => 32,
        }
    }
}

/// A struct of the program's own, as `bpf_obj_new` allocates it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LocalType {
    /// Bytes.
    pub size: u32,
    /// Special fields by offset, ascending.
    pub fields: Vec<(u32, SpecialField)>,
}

/// A function inside a program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subprog {
    /// First instruction.
    pub start: u32,
    /// Its name from BTF func_info, or `subprog_N`.
    pub name: String,
}

/// A program, ready to run: pseudo instructions resolved, notes per instruction.
///
/// Being in the image only permits running: the vm checks every access by itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ProgramImage {
    /// Name, as in BPF_PROG_LOAD.
    pub name: String,
    /// Instructions; a `ld_imm64` takes two slots.
    pub insns: Vec<Insn>,
    /// Sorted by instruction index.
    pub relocs: Vec<(u32, Reloc)>,
    /// Sorted by start; the first starts at 0.
    pub subprogs: Vec<Subprog>,
    /// Per instruction: cannot be reached (constants and frozen read-only data folded). Marked, not removed.
    pub dead: Vec<bool>,
    /// Per instruction: a load through a BTF pointer, which reads 0 instead of trapping when the address is bad.
    pub probe_load: Vec<bool>,
    /// Per instruction: an access through an arena pointer, of which only the low half of the address counts.
    pub arena_access: Vec<bool>,
    /// Types of the program's own that it may allocate, sorted by their id in the program's BTF: what the constant argument of
    /// `bpf_obj_new` means (the kernel's hidden `meta`).
    pub local_types: Vec<(u32, LocalType)>,
}

#[cfg(test)]
mod tests {
    use super::SpecialField;
    use crate::types::find_type;

    /// What the vm keeps for itself is what the kernel's types say.
    #[test]
    fn special_fields_have_their_types_sizes() {
        for (field, name) in [
            (SpecialField::Timer, "bpf_timer"),
            (SpecialField::SpinLock, "bpf_spin_lock"),
            (SpecialField::ResSpinLock, "bpf_res_spin_lock"),
            (SpecialField::Wq, "bpf_wq"),
            (SpecialField::RbRoot, "bpf_rb_root"),
            (SpecialField::RbNode, "bpf_rb_node"),
            (SpecialField::ListHead, "bpf_list_head"),
            (SpecialField::ListNode, "bpf_list_node"),
            (SpecialField::Refcount, "bpf_refcount"),
        ] {
            let desc = find_type(name).unwrap_or_else(|| panic!("no {name}"));
            assert_eq!(field.size(), desc.size, "{name}");
        }
    }
}

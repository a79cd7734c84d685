//! Special fields of map values, globals and allocated objects: what the kernel keeps inside them, which programs reach through
//! helpers only. [`find`] finds them as the kernel does, [`owners`] checks those of all structs of a BTF.

mod find;
mod owners;
#[cfg(test)]
mod tests;

pub use find::{FieldsError, Holder};
pub use owners::check_objects;
use sextant_bpf::btf::{Btf, TypeId};

/// What a special field is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FieldKind {
    /// `struct bpf_spin_lock`
    SpinLock,
    /// `struct bpf_res_spin_lock`
    ResSpinLock,
    /// `struct bpf_timer`
    Timer,
    /// `struct bpf_wq`
    Wq,
    /// `struct bpf_refcount`
    Refcount,
    /// `struct bpf_list_head`: its nodes' struct and the member of it that is the node (byte offset).
    ListHead(TypeId, u32),
    /// `struct bpf_list_node`
    ListNode,
    /// `struct bpf_rb_root`: its nodes' struct and the member of it that is the node (byte offset).
    RbRoot(TypeId, u32),
    /// `struct bpf_rb_node`
    RbNode,
    /// A pointer tagged `kptr` to this struct of the program's BTF.
    Kptr(TypeId),
    /// A pointer tagged `kptr_untrusted`.
    KptrUntrusted(TypeId),
    /// A pointer tagged `percpu_kptr`.
    KptrPercpu(TypeId),
    /// A pointer tagged `uptr`: to memory of user space, in the values of task storage.
    Uptr(TypeId),
    /// `struct bpf_task_work`
    TaskWork,
}

impl FieldKind {
    /// In bytes.
    pub const fn size(self) -> u32 {
        match self {
            FieldKind::SpinLock | FieldKind::ResSpinLock | FieldKind::Refcount => 4,
            FieldKind::Kptr(_)
            | FieldKind::KptrUntrusted(_)
            | FieldKind::KptrPercpu(_)
            | FieldKind::Uptr(_)
            | FieldKind::TaskWork => 8,
            FieldKind::Timer | FieldKind::Wq | FieldKind::ListHead(..) | FieldKind::RbRoot(..) => 16,
            FieldKind::ListNode => 24,
            FieldKind::RbNode => 32,
        }
    }

    /// The alignment that it must have, in bytes.
    pub const fn align(self) -> u32 {
        match self {
            FieldKind::SpinLock | FieldKind::ResSpinLock | FieldKind::Refcount => 4,
            _ => 8,
        }
    }

    /// Whether a load or store may touch it: kptrs can be loaded.
    pub const fn is_kptr(self) -> bool {
        matches!(
            self,
            FieldKind::Kptr(_) | FieldKind::KptrUntrusted(_) | FieldKind::KptrPercpu(_) | FieldKind::Uptr(_)
        )
    }

    /// Whether freeing it is possible inside a non-maskable interrupt.
    pub const fn is_nmi_safe(self) -> bool {
        matches!(
            self,
            FieldKind::SpinLock
                | FieldKind::ResSpinLock
                | FieldKind::Timer
                | FieldKind::Wq
                | FieldKind::TaskWork
                | FieldKind::KptrUntrusted(_)
                | FieldKind::Refcount
        )
    }

    /// Whether it makes the object a node of a list or tree.
    pub const fn is_node(self) -> bool {
        matches!(self, FieldKind::ListNode | FieldKind::RbNode)
    }

    /// Its C name.
    pub const fn name(self) -> &'static str {
        match self {
            FieldKind::SpinLock => "bpf_spin_lock",
            FieldKind::ResSpinLock => "bpf_res_spin_lock",
            FieldKind::Timer => "bpf_timer",
            FieldKind::Wq => "bpf_wq",
            FieldKind::Refcount => "bpf_refcount",
            FieldKind::ListHead(..) => "bpf_list_head",
            FieldKind::ListNode => "bpf_list_node",
            FieldKind::RbRoot(..) => "bpf_rb_root",
            FieldKind::RbNode => "bpf_rb_node",
            FieldKind::Kptr(_) | FieldKind::KptrUntrusted(_) | FieldKind::KptrPercpu(_) => "kptr",
            FieldKind::Uptr(_) => "uptr",
            FieldKind::TaskWork => "bpf_task_work",
        }
    }
}

/// A special field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Field {
    /// From the start of the value, in bytes.
    pub offset: u32,
    /// What it is.
    pub kind: FieldKind,
}

impl Field {
    /// Whether `off..off + size` touches it.
    pub fn overlaps(&self, off: i64, size: i64) -> bool {
        off < i64::from(self.offset + self.kind.size()) && i64::from(self.offset) < off + size
    }
}

/// All of a value's, by offset.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SpecialFields(pub Vec<Field>);

impl SpecialFields {
    /// The special fields of a map value of type `ty` (a struct, or the DATASEC of a global section); none where one of them is
    /// wrong.
    pub fn of(btf: &Btf, ty: TypeId) -> SpecialFields {
        SpecialFields::parse(btf, ty, Holder::MapValue, None).unwrap_or_default()
    }

    /// The special fields of an object that a program allocates. Those of members' members do not count, unless a member of the
    /// struct itself is one or is a kptr: only then does the kernel look at all.
    pub fn of_object(btf: &Btf, ty: TypeId) -> SpecialFields {
        match owners::has_fields(btf, ty) {
            true => SpecialFields::parse(btf, ty, Holder::Object, None).unwrap_or_default(),
            false => SpecialFields::default(),
        }
    }

    /// The one that starts at `offset`.
    pub fn at(&self, offset: i64) -> Option<FieldKind> {
        self.0.iter().find(|f| i64::from(f.offset) == offset).map(|f| f.kind)
    }

    /// Those that `off..off + size` touches.
    pub fn touched(&self, off: i64, size: i64) -> impl Iterator<Item = &Field> {
        self.0.iter().filter(move |f| f.overlaps(off, size))
    }

    /// Whether there is one that `is`.
    pub fn any(&self, is: impl Fn(FieldKind) -> bool) -> bool {
        self.0.iter().any(|f| is(f.kind))
    }
}

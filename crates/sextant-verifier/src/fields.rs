//! Special fields of map values, globals and allocated objects: what the kernel keeps inside them, which programs reach through
//! helpers only. Mirrors `btf_parse_fields()` of kernel/bpf/btf.c, 7.3.

use sextant_bpf::btf::{Btf, Kind, TypeId};

/// Nesting and array elements looked at.
const MAX_DEPTH: usize = 8;
const MAX_FIELDS: usize = 512;

/// A type that a pointer points to.
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
}

impl FieldKind {
    /// In bytes.
    pub const fn size(self) -> u32 {
        match self {
            FieldKind::SpinLock | FieldKind::ResSpinLock | FieldKind::Refcount => 4,
            FieldKind::Kptr(_) | FieldKind::KptrUntrusted(_) | FieldKind::KptrPercpu(_) => 8,
            FieldKind::Timer | FieldKind::Wq | FieldKind::ListHead(..) | FieldKind::RbRoot(..) => 16,
            FieldKind::ListNode => 24,
            FieldKind::RbNode => 32,
        }
    }

    /// Whether a load or store may touch it: kptrs can be loaded.
    pub const fn is_kptr(self) -> bool {
        matches!(self, FieldKind::Kptr(_) | FieldKind::KptrUntrusted(_) | FieldKind::KptrPercpu(_))
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
    /// The special fields of a value of type `ty` (a struct, or the DATASEC of a global section).
    pub fn of(btf: &Btf, ty: TypeId) -> SpecialFields {
        let mut out = Vec::new();
        walk(btf, ty, 0, None, MAX_DEPTH, &mut out);
        out.sort_by_key(|f| f.offset);
        SpecialFields(out)
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

/// `declared`: the declaration whose tags tell what a root contains (owner and component).
fn walk(
    btf: &Btf,
    ty: TypeId,
    base: u32,
    declared: Option<(TypeId, i32)>,
    depth: usize,
    out: &mut Vec<Field>,
) {
    let (Some(depth), true) = (depth.checked_sub(1), out.len() < MAX_FIELDS) else { return };
    let Ok(id) = btf.resolve(ty) else { return };
    match btf.kind(id) {
        Kind::Struct { members, .. } => {
            if let Some(kind) = known(btf, id, declared) {
                out.push(Field { offset: base, kind });
                return;
            }
            for (i, m) in members.iter().enumerate().filter(|(_, m)| m.bits == 0) {
                walk(btf, m.ty, base + m.bit_offset / 8, Some((id, i as i32)), depth, out);
            }
        }
        Kind::DataSec { vars, .. } => {
            for v in vars {
                if let Kind::Var { ty, .. } = btf.kind(v.var) {
                    walk(btf, *ty, base + v.offset, Some((v.var, -1)), depth, out);
                }
            }
        }
        Kind::Array { elem, nelems, .. } => {
            let size = btf.size_of(*elem).unwrap_or(0) as u32;
            let before = out.len();
            for i in 0..*nelems {
                walk(btf, *elem, base + i * size, declared, depth, out);
                // An element without special fields: none of the others has any.
                if out.len() == before || out.len() >= MAX_FIELDS {
                    break;
                }
            }
        }
        Kind::Ptr(to) => {
            if let Some(kind) = kptr(btf, *to) {
                out.push(Field { offset: base, kind });
            }
        }
        _ => {}
    }
}

fn known(btf: &Btf, id: TypeId, declared: Option<(TypeId, i32)>) -> Option<FieldKind> {
    Some(match btf.name(id) {
        "bpf_spin_lock" => FieldKind::SpinLock,
        "bpf_res_spin_lock" => FieldKind::ResSpinLock,
        "bpf_timer" => FieldKind::Timer,
        "bpf_wq" => FieldKind::Wq,
        "bpf_refcount" => FieldKind::Refcount,
        "bpf_list_node" => FieldKind::ListNode,
        "bpf_rb_node" => FieldKind::RbNode,
        "bpf_list_head" => {
            let (ty, off) = contains(btf, declared)?;
            FieldKind::ListHead(ty, off)
        }
        "bpf_rb_root" => {
            let (ty, off) = contains(btf, declared)?;
            FieldKind::RbRoot(ty, off)
        }
        _ => return None,
    })
}

/// The decl tag `contains:struct:member` (or `contains:kind:struct:member`).
fn contains(btf: &Btf, declared: Option<(TypeId, i32)>) -> Option<(TypeId, u32)> {
    let (owner, component) = declared?;
    let tag = btf.decl_tags(owner).find(|(text, at)| *at == component && text.starts_with("contains:"))?.0;
    let mut parts = tag.rsplit(':');
    let (member, name) = (parts.next()?, parts.next()?);
    let ty = btf.find_all(name).find(|id| matches!(btf.kind(*id), Kind::Struct { .. }))?;
    let field = btf.field(ty, member).ok()??;
    Some((ty, field.byte_offset() as u32))
}

fn kptr(btf: &Btf, mut to: TypeId) -> Option<FieldKind> {
    let mut tag = None;
    for _ in 0..MAX_DEPTH {
        match btf.kind(to) {
            Kind::TypeTag { ty, .. } => {
                tag = Some(btf.name(to));
                to = *ty;
            }
            Kind::Const(t) | Kind::Volatile(t) | Kind::Restrict(t) | Kind::Typedef(t) => to = *t,
            _ => break,
        }
    }
    match tag? {
        "kptr" | "kptr_ref" => Some(FieldKind::Kptr(to)),
        "kptr_untrusted" => Some(FieldKind::KptrUntrusted(to)),
        "percpu_kptr" => Some(FieldKind::KptrPercpu(to)),
        _ => None,
    }
}

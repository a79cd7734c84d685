//! Finds the special fields of a struct or section. Mirrors `btf_parse_fields()`, `btf_find_field()` and what they call in
//! kernel/bpf/btf.c, 7.3: the order of the checks decides which error a value with several faults gets.

use sextant_bpf::btf::{Btf, Kind, KindTag, TypeId};

use super::{Field, FieldKind, SpecialFields, owners};

/// `BTF_FIELDS_MAX`: an array's elements count one by one.
const MAX_FIELDS: usize = 11;
/// `MAX_RESOLVE_DEPTH`: nested structs, and arrays of arrays.
const MAX_DEPTH: usize = 32;
/// Modifiers that are followed behind a pointer; `BPF_BTF_LOAD` refuses longer chains.
const MAX_CHAIN: usize = 64;
/// Structs of the kernel for which a destructor is registered (`register_btf_id_dtor_kfuncs()`): only they can be owned by a map.
const DTORS: [&str; 8] = [
    "task_struct",
    "cgroup",
    "bpf_cpumask",
    "bpf_crypto_ctx",
    "bpf_ksock",
    "sk_buff",
    "prog_test_ref_kfunc",
    "prog_test_member",
];
/// A user page: what a uptr points to lies in one.
const PAGE_SIZE: u64 = 4096;

/// Where special fields are looked for: not every kind may be in each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holder {
    /// The value of a map, a global section included.
    MapValue,
    /// An object that a program allocates (`bpf_obj_new()`).
    Object,
}

/// Why the kernel refuses a value's special fields.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FieldsError {
    /// The error number, positive.
    pub errno: i32,
    /// What is wrong, for people.
    pub why: &'static str,
}

pub(super) const fn error(errno: i32, why: &'static str) -> FieldsError {
    FieldsError { errno, why }
}

pub(super) const ENOENT: i32 = 2;
const E2BIG: i32 = 7;
pub(super) const EFAULT: i32 = 14;
const EEXIST: i32 = 17;
const EINVAL: i32 = 22;

impl SpecialFields {
    /// The special fields of `ty`, by offset. With the kernel's BTF also what depends on its types is checked.
    ///
    /// # Errors
    /// What the kernel answers to a map or BTF with such fields: -E2BIG for a second one of a kind of which there is one, or for
    /// more than 11; -EEXIST for fields that overlap; -EINVAL for two kinds of locks, a root without a lock or without the tag that
    /// says what it contains, a kptr to what is no struct; -ENOENT for a kptr to a kernel struct that no map can own.
    pub fn parse(
        btf: &Btf,
        ty: TypeId,
        holder: Holder,
        kernel: Option<&Btf>,
    ) -> Result<SpecialFields, FieldsError> {
        let mut find = Find { btf, holder, seen: Vec::new(), out: Vec::new() };
        match btf.kind(ty) {
            Kind::Struct { union: false, .. } => find.members(ty, 0)?,
            Kind::DataSec { vars, .. } => {
                for v in vars {
                    if let Kind::Var { ty, .. } = btf.kind(v.var) {
                        find.one((v.var, -1), *ty, v.offset, Some(v.size), 0)?;
                    }
                }
            }
            _ => return Err(error(EINVAL, "its type is neither a struct nor a section")),
        }
        let fields = find.out;
        apart(&fields, btf.size_of(ty).unwrap_or(0))?;
        if let Some(kernel) = kernel {
            fields.iter().try_for_each(|field| pointee(btf, field.kind, kernel))?;
        }
        whole(&fields)?;
        let mut fields = SpecialFields(fields);
        fields.0.sort_by_key(|field| field.offset);
        Ok(fields)
    }

    /// What can be checked when the whole BTF is known (`btf_check_and_fixup_fields()`).
    ///
    /// # Errors
    /// -EFAULT for a root whose nodes have no special fields; -EINVAL for a uptr to a kernel struct or to one without a size;
    /// -E2BIG for a uptr to more than a page.
    pub fn fixup(&self, btf: &Btf, kernel: &Btf) -> Result<(), FieldsError> {
        self.0.iter().try_for_each(|field| fixup(btf, field.kind, kernel))
    }
}

/// Fields in the order of the members must be in the order of their offsets, and inside.
fn apart(fields: &[Field], size: u64) -> Result<(), FieldsError> {
    let mut next = 0;
    for field in fields {
        let end = u64::from(field.offset) + u64::from(field.kind.size());
        if end > size {
            return Err(error(EFAULT, "a special field ends beyond the value"));
        }
        if u64::from(field.offset) < next {
            return Err(error(EEXIST, "two special fields overlap"));
        }
        next = end;
    }
    Ok(())
}

/// What must be there together, and what must not.
fn whole(fields: &[Field]) -> Result<(), FieldsError> {
    let has = |is: fn(FieldKind) -> bool| fields.iter().any(|field| is(field.kind));
    let (lock, res) = (has(|k| k == FieldKind::SpinLock), has(|k| k == FieldKind::ResSpinLock));
    if lock && res {
        return Err(error(EINVAL, "it has a bpf_spin_lock and a bpf_res_spin_lock"));
    }
    if has(|k| matches!(k, FieldKind::ListHead(..) | FieldKind::RbRoot(..))) && !lock && !res {
        return Err(error(EINVAL, "its bpf_list_head or bpf_rb_root has no bpf_spin_lock beside it"));
    }
    let both = has(|k| k == FieldKind::ListNode) && has(|k| k == FieldKind::RbNode);
    if both && !has(|k| k == FieldKind::Refcount) {
        return Err(error(EINVAL, "a bpf_list_node and a bpf_rb_node in one struct need a bpf_refcount"));
    }
    Ok(())
}

fn of_kernel(btf: &Btf, ty: TypeId, kernel: &Btf) -> bool {
    kernel.find(btf.name(ty), KindTag::Struct).is_some()
}

/// What a map can own.
fn pointee(btf: &Btf, kind: FieldKind, kernel: &Btf) -> Result<(), FieldsError> {
    match kind {
        FieldKind::Kptr(ty) if of_kernel(btf, ty, kernel) && !DTORS.contains(&btf.name(ty)) => {
            Err(error(ENOENT, "a kptr points to a kernel struct that no map can own"))
        }
        _ => Ok(()),
    }
}

fn fixup(btf: &Btf, kind: FieldKind, kernel: &Btf) -> Result<(), FieldsError> {
    match kind {
        FieldKind::Uptr(ty) if of_kernel(btf, ty, kernel) => {
            Err(error(EINVAL, "a uptr points to a kernel struct"))
        }
        FieldKind::Uptr(ty) => match btf.size_of(ty).unwrap_or(0) {
            0 => Err(error(EINVAL, "a uptr points to a struct without a size")),
            size if size > PAGE_SIZE => Err(error(E2BIG, "a uptr points to a struct larger than a page")),
            _ => Ok(()),
        },
        FieldKind::ListHead(ty, _) | FieldKind::RbRoot(ty, _) if !owners::has_fields(btf, ty) => {
            Err(error(EFAULT, "a root's nodes have no special fields"))
        }
        _ => Ok(()),
    }
}

struct Find<'a> {
    btf: &'a Btf,
    holder: Holder,
    /// Kinds of which there may be one.
    seen: Vec<FieldKind>,
    out: Vec<Field>,
}

impl Find<'_> {
    fn members(&mut self, ty: TypeId, level: usize) -> Result<(), FieldsError> {
        let Kind::Struct { members, .. } = self.btf.kind(ty) else { return Ok(()) };
        for (i, m) in members.iter().enumerate() {
            // A bitfield counts too.
            if !m.bit_offset.is_multiple_of(8) {
                return Err(error(EINVAL, "a member does not begin at a byte"));
            }
            self.one((ty, i as i32), m.ty, m.bit_offset / 8, None, level)?;
        }
        Ok(())
    }

    /// One member or variable. `declared`: whose tags say what a root contains. `size`: a variable's own.
    fn one(
        &mut self,
        declared: (TypeId, i32),
        ty: TypeId,
        off: u32,
        size: Option<u32>,
        level: usize,
    ) -> Result<(), FieldsError> {
        let (elem, nelems) = self.flat(ty)?;
        if nelems == 0 {
            return Ok(());
        }
        let fits = |one: u32| size.is_none_or(|size| u64::from(size) == u64::from(one) * u64::from(nelems));
        let start = self.out.len();
        let structure = match self.btf.kind(elem) {
            Kind::Struct { union: false, size, .. } => Some(*size),
            _ => None,
        };
        let kind = match structure {
            Some(bytes) => match self.named(elem)? {
                None if fits(bytes) => return self.nested(elem, bytes, off, nelems, level),
                None => return Ok(()),
                Some(name)
                    if !fits(name.size()) || !off.is_multiple_of(name.align()) || bytes != name.size() =>
                {
                    return Ok(());
                }
                Some(FieldKind::ListHead(..)) => {
                    let (ty, node) = self.contains(declared, "bpf_list_node")?;
                    FieldKind::ListHead(ty, node)
                }
                Some(FieldKind::RbRoot(..)) => {
                    let (ty, node) = self.contains(declared, "bpf_rb_node")?;
                    FieldKind::RbRoot(ty, node)
                }
                Some(name) => name,
            },
            None if !fits(8) || !off.is_multiple_of(8) => return Ok(()),
            None => match self.kptr(elem)? {
                Some(kind) => kind,
                None => return Ok(()),
            },
        };
        self.push(Field { offset: off, kind })?;
        self.repeat(start, nelems, kind.size())
    }

    /// The element type of an array of arrays, and how many.
    fn flat(&self, ty: TypeId) -> Result<(TypeId, u32), FieldsError> {
        let (mut at, mut nelems) = (ty, 1u32);
        for _ in 0..MAX_DEPTH {
            let Kind::Array { elem, nelems: n, .. } = self.btf.kind(at) else { return Ok((at, nelems)) };
            nelems = nelems.wrapping_mul(*n);
            at = *elem;
        }
        Err(error(E2BIG, "arrays nest too deep"))
    }

    fn nested(
        &mut self,
        ty: TypeId,
        size: u32,
        off: u32,
        nelems: u32,
        level: usize,
    ) -> Result<(), FieldsError> {
        if level + 1 >= MAX_DEPTH {
            return Err(error(E2BIG, "structs nest too deep"));
        }
        let start = self.out.len();
        self.members(ty, level + 1)?;
        self.out[start..].iter_mut().for_each(|field| field.offset = field.offset.wrapping_add(off));
        self.repeat(start, nelems, size)
    }

    /// Copies what was found of the first element for the others.
    fn repeat(&mut self, start: usize, nelems: u32, size: u32) -> Result<(), FieldsError> {
        let first = self.out[start..].to_vec();
        if nelems < 2 || first.is_empty() {
            return Ok(());
        }
        let repeats =
            |k: FieldKind| k.is_kptr() || matches!(k, FieldKind::ListHead(..) | FieldKind::RbRoot(..));
        if !first.iter().all(|field| repeats(field.kind)) {
            return Err(error(EINVAL, "an array of what there may be one of"));
        }
        if start as u64 + first.len() as u64 * u64::from(nelems) > MAX_FIELDS as u64 {
            return Err(error(
                E2BIG,
                "more than 11 special fields; the elements of an array count one by one",
            ));
        }
        for i in 1..nelems {
            let moved =
                |f: &Field| Field { offset: f.offset.wrapping_add(i.wrapping_mul(size)), kind: f.kind };
            self.out.extend(first.iter().map(moved));
        }
        Ok(())
    }

    fn push(&mut self, field: Field) -> Result<(), FieldsError> {
        if self.out.len() >= MAX_FIELDS {
            return Err(error(E2BIG, "more than 11 special fields"));
        }
        self.out.push(field);
        Ok(())
    }

    /// The special kind that a struct's name stands for, if this holder may have it.
    fn named(&mut self, ty: TypeId) -> Result<Option<FieldKind>, FieldsError> {
        let value = self.holder == Holder::MapValue;
        let kind = match self.btf.name(ty) {
            "bpf_spin_lock" => FieldKind::SpinLock,
            "bpf_res_spin_lock" => FieldKind::ResSpinLock,
            "bpf_timer" if value => FieldKind::Timer,
            "bpf_wq" if value => FieldKind::Wq,
            "bpf_task_work" if value => FieldKind::TaskWork,
            "bpf_list_head" => return Ok(Some(FieldKind::ListHead(TypeId::VOID, 0))),
            "bpf_rb_root" => return Ok(Some(FieldKind::RbRoot(TypeId::VOID, 0))),
            "bpf_list_node" if !value => return Ok(Some(FieldKind::ListNode)),
            "bpf_rb_node" if !value => return Ok(Some(FieldKind::RbNode)),
            "bpf_refcount" => FieldKind::Refcount,
            _ => return Ok(None),
        };
        if self.seen.contains(&kind) {
            return Err(error(E2BIG, "a second special field of a kind of which there may be one"));
        }
        self.seen.push(kind);
        Ok(Some(kind))
    }

    /// A pointer with one of the tags, or none of our business.
    fn kptr(&self, ty: TypeId) -> Result<Option<FieldKind>, FieldsError> {
        kptr(self.btf, ty, self.holder)
    }

    /// What a root contains: the struct, and the offset of its member that is the node.
    fn contains(&self, (owner, component): (TypeId, i32), node: &str) -> Result<(TypeId, u32), FieldsError> {
        let mut tags = self.btf.decl_tags(owner).filter(|(_, at)| *at == component);
        let values = tags.by_ref().filter_map(|(text, _)| text.strip_prefix("contains:"));
        let values: Vec<&str> = values.take(2).collect();
        let [value] = values[..] else { return Err(error(EINVAL, "a root has not one tag `contains:`")) };
        let (name, member) =
            value.split_once(':').ok_or(error(EINVAL, "a tag `contains:` names no member"))?;
        let ty = self.btf.find(name, KindTag::Struct);
        let ty = ty.ok_or(error(ENOENT, "a root contains a struct that is not in the BTF"))?;
        let Kind::Struct { members, .. } = self.btf.kind(ty) else { return Err(error(EINVAL, "no struct")) };
        let mut named = members.iter().filter(|m| !member.is_empty() && self.btf.str(m.name) == member);
        let missing = if member.is_empty() { EINVAL } else { ENOENT };
        let m = named.next().ok_or(error(missing, "a root contains nodes that its struct does not have"))?;
        let is_node = matches!(self.btf.kind(m.ty), Kind::Struct { union: false, .. });
        if named.next().is_some()
            || !is_node
            || self.btf.name(m.ty) != node
            || !m.bit_offset.is_multiple_of(64)
        {
            return Err(error(EINVAL, "a root's node is not of the type that it takes"));
        }
        Ok((ty, m.bit_offset / 8))
    }
}

/// What a pointer is by the tags of what it points to.
pub(super) fn kptr(btf: &Btf, ty: TypeId, holder: Holder) -> Result<Option<FieldKind>, FieldsError> {
    let pointer = match btf.kind(ty) {
        Kind::Volatile(to) => *to,
        _ => ty,
    };
    let Kind::Ptr(mut at) = *btf.kind(pointer) else { return Ok(None) };
    let mut tags: Vec<&str> = Vec::new();
    for _ in 0..MAX_CHAIN {
        at = match btf.kind(at) {
            Kind::TypeTag { ty, attribute } => {
                let known = ["kptr_untrusted", "kptr", "percpu_kptr", "uptr"];
                let tag = known.into_iter().find(|tag| !attribute && *tag == btf.name(at));
                tags.extend(tag.filter(|tag| !tags.contains(tag)));
                *ty
            }
            Kind::Const(ty) | Kind::Volatile(ty) | Kind::Restrict(ty) | Kind::Typedef(ty) => *ty,
            _ => break,
        };
    }
    let tag = match tags[..] {
        [] => return Ok(None),
        [tag] => tag,
        _ => return Err(error(EINVAL, "a pointer has two tags of kptrs")),
    };
    if tag == "uptr" && holder == Holder::Object {
        return Ok(None);
    }
    if !matches!(btf.kind(at), Kind::Struct { union: false, .. }) {
        return Err(error(EINVAL, "a kptr points to what is no struct, or to one that is only declared"));
    }
    Ok(Some(match tag {
        "kptr_untrusted" => FieldKind::KptrUntrusted(at),
        "kptr" => FieldKind::Kptr(at),
        "percpu_kptr" => FieldKind::KptrPercpu(at),
        _ => FieldKind::Uptr(at),
    }))
}

//! What lies at an offset of a struct, in the kernel's types and in the program's: one walk over both. Mirrors `btf_struct_walk()` of
//! kernel/bpf/btf.c, 7.3.

use sextant_abi::types::{Body, TypeDesc, TypeRef, find_type};
use sextant_bpf::btf::{Btf, Kind, TypeId};

use super::obj::size_of;

/// Structs that a walk goes into; deeper ones are not C.
const MAX_DEPTH: u32 = 32;

/// Where descriptions of structs come from.
pub(super) trait Types {
    /// A struct or union.
    type Id: Copy;

    /// Its name; empty when it has none.
    fn name(&self, ty: Self::Id) -> String;
    /// Its size in bytes.
    fn size(&self, ty: Self::Id) -> u32;
    /// Whether it is a union.
    fn is_union(&self, ty: Self::Id) -> bool;
    /// Whether all members are described, so that what lies between them is nothing.
    fn is_complete(&self) -> bool;
    /// Its member of that index.
    fn member(&self, ty: Self::Id, index: usize) -> Option<Member<Self::Id>>;
}

/// A member, arrays of arrays flattened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member<Id> {
    /// From the struct's start, in bits.
    pub bit_offset: u32,
    /// Of a bit field, else 0.
    pub bits: u32,
    /// In bytes, all elements.
    pub size: u32,
    /// Elements of an array, else `None`.
    pub elems: Option<u32>,
    /// What it, or an element of it, is.
    pub what: Elem<Id>,
    /// Index in its struct.
    pub index: usize,
}

/// What a member is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Elem<Id> {
    /// A number.
    Scalar,
    /// A struct or union.
    Struct(Id),
    /// A pointer to something that is a struct or union.
    ToStruct,
    /// Another pointer.
    Ptr,
}

/// Where a walk ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step<Id> {
    /// A number.
    Number,
    /// A pointer to a struct: the struct that has it, and its index there.
    Pointer(Id, usize),
    /// A pointer to something else.
    Bytes,
    /// A struct that starts exactly there.
    Into(Id),
}

/// An access that is followed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    /// From the struct's start, in bytes.
    pub off: u32,
    /// In bytes.
    pub size: u32,
    /// Whether elements of an array at the struct's end are reached (not in what programs allocate).
    pub flexible: bool,
}

/// One step: the first thing found at the access, a struct that starts there included. `untrusted` is set where it goes through a
/// union. The error is the kernel's word.
pub(super) fn step<T: Types>(
    types: &T,
    ty: T::Id,
    walk: Walk,
    untrusted: &mut bool,
) -> Result<Step<T::Id>, String> {
    let Walk { mut off, size, flexible } = walk;
    let mut ty = ty;
    for _ in 0..MAX_DEPTH {
        let name = types.name(ty);
        let members = (0..).map_while(|i| types.member(ty, i));
        *untrusted |= types.is_union(ty) && members.clone().count() != 1;
        if off.saturating_add(size) > types.size(ty) {
            let beyond = || format!("access beyond struct {name} at off {off} size {size}");
            let last = members.last().filter(|m| flexible && m.elems == Some(0)).ok_or_else(beyond)?;
            let start = last.bit_offset / 8;
            if off < start {
                return Err(beyond());
            }
            match last.what {
                Elem::Scalar => return Ok(Step::Number),
                Elem::Struct(elem) if types.size(elem) > 0 => {
                    off = (off - start) % types.size(elem);
                    ty = elem;
                    continue;
                }
                _ => return Err(beyond()),
            }
        }
        match find(ty, members, off, size, &name, *untrusted)? {
            Some(Ok(found)) => return Ok(found),
            Some(Err((inner, rest))) => (ty, off) = (inner, rest),
            None if types.is_complete() => {
                return Err(format!("struct {name} doesn't have field at offset {off}"));
            }
            // A member that is not described.
            None => return Ok(Step::Number),
        }
    }
    Err("types nest too deep".into())
}

/// What is at an offset: the end of the walk, or where it goes on, or no member.
type Found<Id> = Option<Result<Step<Id>, (Id, u32)>>;

/// The member at `off`; or the struct and the offset in it where the search goes on.
fn find<Id: Copy>(
    ty: Id,
    members: impl Iterator<Item = Member<Id>>,
    off: u32,
    size: u32,
    name: &str,
    untrusted: bool,
) -> Result<Found<Id>, String> {
    for m in members {
        let start = m.bit_offset / 8;
        if off + size <= start {
            break;
        }
        if m.bits != 0 {
            if off <= start && (m.bit_offset + m.bits).div_ceil(8) <= off + size {
                return Ok(Some(Ok(Step::Number)));
            }
            continue;
        }
        if off < start {
            break;
        }
        let end = start + m.size;
        if off >= end {
            continue;
        }
        let one = m.elems.map_or(m.size, |n| m.size / n.max(1)).max(1);
        let at = start + (off - start) / one * one;
        return match m.what {
            Elem::Struct(inner) if off == at => Ok(Some(Ok(Step::Into(inner)))),
            Elem::Struct(inner) => Ok(Some(Err((inner, off - at)))),
            Elem::ToStruct | Elem::Ptr if size != one || off != at => Err(format!(
                "cannot access ptr member with moff {at} in struct {name} with off {off} size {size}"
            )),
            Elem::ToStruct => Ok(Some(Ok(Step::Pointer(ty, m.index)))),
            Elem::Ptr => Ok(Some(Ok(Step::Bytes))),
            Elem::Scalar if off + size > end && !untrusted => Err(format!(
                "access beyond the end of member (mend:{end}) in struct {name} with off {off} size {size}"
            )),
            Elem::Scalar => Ok(Some(Ok(Step::Number))),
        };
    }
    Ok(None)
}

/// Follows an access to its end.
pub(super) fn leaf<T: Types>(
    types: &T,
    ty: T::Id,
    walk: Walk,
    untrusted: &mut bool,
) -> Result<Step<T::Id>, String> {
    let (mut ty, mut walk) = (ty, walk);
    for _ in 0..MAX_DEPTH {
        match step(types, ty, walk, untrusted)? {
            Step::Into(inner) => (ty, walk.off) = (inner, 0),
            other => return Ok(other),
        }
    }
    Err("types nest too deep".into())
}

/// The kernel's types, as the table has them.
pub(super) struct KernelTypes;

/// The struct or union that a type expression is.
fn described(ty: TypeRef) -> Option<&'static TypeDesc> {
    let desc = match ty.strip() {
        TypeRef::Struct(name) | TypeRef::Union(name) => find_type(name)?,
        TypeRef::Anon(desc) => desc,
        _ => return None,
    };
    (!matches!(desc.body, Body::Enum { .. })).then_some(desc)
}

/// The struct behind a pointer, by name.
pub(super) fn struct_pointee(to: TypeRef) -> Option<&'static str> {
    match to.strip() {
        TypeRef::Struct(name) | TypeRef::Union(name) => Some(name),
        _ => None,
    }
}

impl Types for KernelTypes {
    type Id = &'static TypeDesc;

    fn name(&self, ty: Self::Id) -> String {
        ty.name.into()
    }

    fn size(&self, ty: Self::Id) -> u32 {
        ty.size
    }

    fn is_union(&self, ty: Self::Id) -> bool {
        matches!(ty.body, Body::Union(_))
    }

    fn is_complete(&self) -> bool {
        false
    }

    fn member(&self, ty: Self::Id, index: usize) -> Option<Member<Self::Id>> {
        let m = ty.members().get(index)?;
        let (mut elem, mut elems) = (m.ty.strip(), None);
        while let TypeRef::Array(of, n) = elem {
            elems = Some(elems.unwrap_or(1) * n);
            elem = of.strip();
        }
        let what = match (elem, described(elem)) {
            (_, Some(desc)) => Elem::Struct(desc),
            (TypeRef::Ptr(to), _) if struct_pointee(*to).is_some() => Elem::ToStruct,
            (TypeRef::Ptr(_), _) => Elem::Ptr,
            _ => Elem::Scalar,
        };
        Some(Member { bit_offset: m.bit_offset, bits: m.bits, size: size_of(m.ty), elems, what, index })
    }
}

/// The program's types.
impl Types for Btf {
    type Id = TypeId;

    fn name(&self, ty: TypeId) -> String {
        Btf::name(self, ty).into()
    }

    fn size(&self, ty: TypeId) -> u32 {
        self.size_of(ty).map_or(0, |size| size.min(u64::from(u32::MAX)) as u32)
    }

    fn is_union(&self, ty: TypeId) -> bool {
        matches!(self.kind(ty), Kind::Struct { union: true, .. })
    }

    fn is_complete(&self) -> bool {
        true
    }

    fn member(&self, ty: TypeId, index: usize) -> Option<Member<TypeId>> {
        let m = self.members(ty).get(index)?;
        let size = self.size_of(m.ty).map_or(0, |size| size.min(1 << 30) as u32);
        let (mut elem, mut elems) = (self.resolve(m.ty).ok()?, None);
        for _ in 0..MAX_DEPTH {
            let Kind::Array { elem: of, nelems, .. } = self.kind(elem) else { break };
            elems = Some(elems.unwrap_or(1u32).saturating_mul(*nelems));
            elem = self.resolve(*of).ok()?;
        }
        let what = match self.kind(elem) {
            Kind::Struct { .. } => Elem::Struct(elem),
            Kind::Ptr(to) => match self.resolve(*to).map(|to| self.kind(to)) {
                Ok(Kind::Struct { .. }) => Elem::ToStruct,
                _ => Elem::Ptr,
            },
            _ => Elem::Scalar,
        };
        Some(Member { bit_offset: m.bit_offset, bits: u32::from(m.bits), size, elems, what, index })
    }
}

/// Whether a struct has only numbers, arrays of them and structs of such, four levels deep. Mirrors `__btf_type_is_scalar_struct()`.
pub(super) fn scalar_struct<T: Types>(types: &T, ty: T::Id, depth: u32) -> bool {
    !types.is_union(ty)
        && (0..).map_while(|i| types.member(ty, i)).all(|m| match m.what {
            Elem::Struct(inner) => m.elems.is_none() && depth < 3 && scalar_struct(types, inner, depth + 1),
            Elem::Scalar => m.elems != Some(0),
            _ => false,
        })
}

/// Whether a kernel struct is one of [`scalar_struct`]; one that is not described is not.
pub(super) fn kernel_scalar_struct(name: &str) -> bool {
    find_type(name).is_some_and(|desc| scalar_struct(&KernelTypes, desc, 0))
}

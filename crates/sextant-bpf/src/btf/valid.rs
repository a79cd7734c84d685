//! What BPF_BTF_LOAD refuses beyond what cannot be read: a table of rules, kind by kind. Mirrors the `check_meta`, `resolve` and
//! `check_member` callbacks of kernel/bpf/btf.c, 7.3.
//!
//! [`Btf::parse`] takes whatever can be told apart, because also the kernel's own BTF and objects that Linux refuses are read.

use super::*;

/// `KSYM_NAME_LEN`: names are shorter.
const NAME_LEN: usize = 512;
/// Longest chain of modifiers.
const MAX_CHAIN: usize = 32;
/// Deepest nesting of what is held by value.
const MAX_DEPTH: usize = 32;

/// Why a BTF is refused: the type, and what is wrong with it in the kernel's words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Invalid {
    /// The type.
    pub id: TypeId,
    /// The kernel's words.
    pub why: String,
    /// The error number, positive.
    pub errno: i32,
}

const EEXIST: i32 = 17;
const EINVAL: i32 = 22;
const ELOOP: i32 = 40;

type Check = Result<(), String>;

impl Btf {
    /// Checks every type as the kernel does when a BTF is loaded.
    ///
    /// # Errors
    /// The first type that the kernel refuses.
    pub fn validate(&self) -> Result<(), Invalid> {
        for (id, ty) in self.types() {
            self.meta(ty).map_err(|why| Invalid { id, why, errno: EINVAL })?;
        }
        for (id, ty) in self.types() {
            if self.chain(id).is_none() || !self.pointers_end(id) {
                return Err(Invalid { id, why: "Max chain length or cycle detected".into(), errno: ELOOP });
            }
            self.resolves(ty).map_err(|why| Invalid { id, why, errno: EINVAL })?;
        }
        self.nests()
    }

    /// What shows in the type itself: its name, and the names, types and offsets inside.
    fn meta(&self, ty: &Type) -> Check {
        let name = self.str(ty.name);
        let (needed, right) = match &ty.kind {
            Kind::Typedef(_) | Kind::Fwd { .. } | Kind::Func { .. } | Kind::Var { .. } => {
                (true, identifier(name))
            }
            Kind::Struct { .. } | Kind::Enum { .. } => (false, name.is_empty() || identifier(name)),
            Kind::DataSec { .. } => (true, section(name)),
            Kind::DeclTag { .. } => return if name.is_empty() { refuse("Invalid value") } else { Ok(()) },
            Kind::TypeTag { .. } => (true, !name.is_empty()),
            Kind::Int { .. } | Kind::Float { .. } | Kind::Void => (false, true),
            Kind::Ptr(_) | Kind::Array { .. } | Kind::Volatile(_) | Kind::Const(_) | Kind::Restrict(_) => {
                (false, name.is_empty())
            }
            Kind::FuncProto { .. } => (false, name.is_empty()),
        };
        if needed && name.is_empty() || !right {
            return refuse("Invalid name");
        }
        match &ty.kind {
            Kind::Int { size, encoding, offset, bits } => int(*size, *encoding, *offset, *bits),
            Kind::Struct { size, members, .. } => self.members_meta(*size, members),
            Kind::Enum { values, .. } => {
                let good = values.iter().all(|v| identifier(self.str(v.name)));
                if good { Ok(()) } else { refuse("Invalid name") }
            }
            Kind::Float { size } if !matches!(size, 2 | 4 | 8 | 12 | 16) => refuse("Invalid type_size"),
            Kind::Func { linkage, .. } if *linkage > 2 => refuse("Invalid func linkage"),
            Kind::Var { linkage, .. } if *linkage > 1 => refuse("Linkage not supported"),
            Kind::DataSec { size, vars } => section_meta(*size, vars),
            Kind::DeclTag { component, .. } if *component < -1 => refuse("Invalid component_idx"),
            _ => Ok(()),
        }
    }

    fn members_meta(&self, size: u32, members: &[Member]) -> Check {
        let mut last = 0;
        for m in members {
            let name = self.str(m.name);
            if !name.is_empty() && !identifier(name) {
                return refuse("Invalid name");
            }
            if m.ty == TypeId::VOID {
                return refuse("Invalid type_id");
            }
            if m.bit_offset < last {
                return refuse("Invalid member bits_offset");
            }
            if m.bit_offset.div_ceil(8) > size {
                return refuse("Member bits_offset exceeds its struct size");
            }
            last = m.bit_offset;
        }
        Ok(())
    }

    /// The type behind modifiers; `None` where the chain is too long or a circle.
    fn chain(&self, id: TypeId) -> Option<TypeId> {
        let mut at = id;
        for _ in 0..=MAX_CHAIN {
            at = match self.kind(at) {
                Kind::Typedef(t) | Kind::Volatile(t) | Kind::Const(t) | Kind::Restrict(t) => *t,
                Kind::TypeTag { ty, .. } => *ty,
                _ => return Some(at),
            };
        }
        None
    }

    /// Whether pointers to pointers come to something else.
    fn pointers_end(&self, id: TypeId) -> bool {
        let mut at = id;
        for _ in 0..2 * MAX_CHAIN {
            at = match self.chain(at).map(|behind| self.kind(behind)) {
                Some(Kind::Ptr(to)) => *to,
                Some(_) => return true,
                None => return false,
            };
        }
        false
    }

    /// Whether a type can be the type of something that has a size.
    fn sized(&self, id: TypeId) -> bool {
        let behind = self.chain(id).map(|id| self.kind(id));
        matches!(
            behind,
            Some(
                Kind::Int { .. }
                    | Kind::Ptr(_)
                    | Kind::Array { .. }
                    | Kind::Struct { .. }
                    | Kind::Enum { .. }
                    | Kind::Float { .. }
            )
        )
    }

    /// What depends on the types that a type names.
    fn resolves(&self, ty: &Type) -> Check {
        match &ty.kind {
            Kind::Ptr(to) | Kind::Typedef(to) | Kind::Volatile(to) | Kind::Const(to) | Kind::Restrict(to) => {
                self.pointee(*to)
            }
            Kind::TypeTag { ty, .. } => self.pointee(*ty),
            Kind::Array { elem, index, nelems } => self.array(*elem, *index, *nelems),
            Kind::Struct { size, members, .. } => {
                let flagged = members.iter().any(|m| m.bits != 0);
                members.iter().try_for_each(|m| self.member(*size, m, flagged))
            }
            Kind::Func { proto, .. } => self.func(*proto),
            Kind::FuncProto { ret, params } => self.proto(*ret, params),
            Kind::Var { ty, .. } if !self.sized(*ty) => refuse("Invalid type_id"),
            Kind::DataSec { vars, .. } => vars.iter().try_for_each(|v| self.variable(v)),
            Kind::DeclTag { ty, component, .. } => self.decl_tag(*ty, *component),
            _ => Ok(()),
        }
    }

    /// What a pointer or modifier may refer to.
    fn pointee(&self, to: TypeId) -> Check {
        let behind = self.chain(to).map(|id| self.kind(id));
        match behind {
            Some(Kind::Void | Kind::Fwd { .. } | Kind::FuncProto { .. }) => Ok(()),
            Some(_) if self.sized(to) => Ok(()),
            _ => refuse("Invalid type_id"),
        }
    }

    fn regular(&self, id: TypeId) -> bool {
        match self.kind(id) {
            Kind::Int { size, offset, bits, .. } => {
                *offset == 0 && u32::from(*bits) == size * 8 && *size <= 16
            }
            _ => false,
        }
    }

    fn array(&self, elem: TypeId, index: TypeId, nelems: u32) -> Check {
        if !self.chain(index).is_some_and(|index| self.regular(index)) {
            return refuse("Invalid index");
        }
        if !self.sized(elem) {
            return refuse("Invalid elem");
        }
        let behind = self.chain(elem).unwrap_or(elem);
        if matches!(self.kind(behind), Kind::Int { .. }) && !self.regular(behind) {
            return refuse("Invalid array of int");
        }
        let size = self.size_of(elem).unwrap_or(0);
        if size.checked_mul(nelems.into()).is_none_or(|size| size > u32::MAX.into()) {
            return refuse("Array size overflows U32_MAX");
        }
        Ok(())
    }

    /// `flagged`: the struct has bitfields (kind_flag).
    fn member(&self, size: u32, m: &Member, flagged: bool) -> Check {
        if !self.sized(m.ty) {
            return refuse("Invalid member");
        }
        let behind = self.chain(m.ty).unwrap_or(m.ty);
        let (at, byte) = (u64::from(m.bit_offset), m.bit_offset.is_multiple_of(8));
        let (bits, total) = match self.kind(behind) {
            Kind::Int { offset, bits, .. } if !flagged => (u64::from(*bits), at + u64::from(*offset)),
            Kind::Int { bits, .. } => {
                if !self.regular(behind) {
                    return refuse("Invalid member base type");
                }
                if m.bits > *bits {
                    return refuse("Invalid member bitfield_size");
                }
                if m.bits == 0 && !byte {
                    return refuse("Invalid member offset");
                }
                (u64::from(if m.bits == 0 { *bits } else { m.bits }), at)
            }
            Kind::Enum { .. } if m.bits > 32 => return refuse("Invalid member bitfield_size"),
            Kind::Enum { .. } if m.bits != 0 => (m.bits.into(), at),
            Kind::Enum { .. } if flagged && byte => (32, at),
            _ if m.bits != 0 => return refuse("Invalid member bitfield_size"),
            _ if !byte => return refuse("Member is not byte aligned"),
            Kind::Float { size: bytes } if !at.is_multiple_of(u64::from(*bytes).min(8) * 8) => {
                return refuse("Member is not properly aligned");
            }
            _ => (self.size_of(behind).unwrap_or(0) * 8, at),
        };
        let within = total % 8 + bits;
        if matches!(self.kind(behind), Kind::Int { .. }) && within > 128 {
            return refuse("nr_copy_bits exceeds 128");
        }
        if total / 8 + within.div_ceil(8) > u64::from(size) {
            return refuse("Member exceeds struct_size");
        }
        Ok(())
    }

    fn func(&self, proto: TypeId) -> Check {
        let Kind::FuncProto { params, .. } = self.kind(proto) else { return refuse("Invalid type_id") };
        match params.iter().position(|p| self.str(p.name).is_empty() && p.ty != TypeId::VOID) {
            Some(i) => Err(format!("Invalid arg#{}", i + 1)),
            None => Ok(()),
        }
    }

    fn proto(&self, ret: TypeId, params: &[Param]) -> Check {
        if ret != TypeId::VOID && !self.sized(ret) {
            return refuse("Invalid return type");
        }
        for (i, p) in params.iter().enumerate() {
            let (name, last) = (self.str(p.name), i + 1 == params.len());
            let variadic = last && p.ty == TypeId::VOID;
            let good = match variadic {
                true => name.is_empty(),
                false => self.sized(p.ty) && (name.is_empty() || identifier(name)),
            };
            if !good {
                return Err(format!("Invalid arg#{}", i + 1));
            }
        }
        Ok(())
    }

    fn variable(&self, v: &SecVar) -> Check {
        let Kind::Var { ty, .. } = self.kind(v.var) else { return refuse("Not a VAR kind member") };
        match self.size_of(*ty) {
            Err(_) => refuse("Invalid type"),
            Ok(size) if u64::from(v.size) < size => refuse("Invalid size"),
            Ok(_) => Ok(()),
        }
    }

    fn decl_tag(&self, to: TypeId, component: i32) -> Check {
        let parts = match self.kind(to) {
            Kind::Struct { members, .. } => members.len(),
            Kind::Func { proto, .. } => match self.kind(*proto) {
                Kind::FuncProto { params, .. } => params.len(),
                _ => 0,
            },
            Kind::Var { .. } | Kind::Typedef(_) => 0,
            _ => return refuse("Invalid type_id"),
        };
        let good = component == -1 || usize::try_from(component).is_ok_and(|at| at < parts);
        if good { Ok(()) } else { refuse("Invalid component_idx") }
    }

    /// Structs and arrays hold one another by value: no circle, and not too deep.
    fn nests(&self) -> Result<(), Invalid> {
        let count = self.types().count() + 1;
        let mut state = vec![Depth::New; count];
        for (id, _) in self.types() {
            if self.depth(id, MAX_DEPTH, &mut state).is_none() {
                return Err(Invalid { id, why: "Loop detected".into(), errno: EEXIST });
            }
        }
        Ok(())
    }

    /// How deep a type nests; `None`: a circle, or deeper than `left`.
    fn depth(&self, id: TypeId, left: usize, state: &mut [Depth]) -> Option<usize> {
        let id = self.chain(id)?;
        match state.get(id.0 as usize)? {
            Depth::Known(depth) => return (*depth <= left).then_some(*depth),
            Depth::Below => return None,
            Depth::New => {}
        }
        let left = left.checked_sub(1)?;
        state[id.0 as usize] = Depth::Below;
        let held: Vec<TypeId> = match self.kind(id) {
            Kind::Array { elem, .. } => vec![*elem],
            Kind::Struct { members, .. } => members.iter().map(|m| m.ty).collect(),
            _ => Vec::new(),
        };
        let mut most = 0;
        for inner in held {
            most = most.max(self.depth(inner, left, state)?);
        }
        state[id.0 as usize] = Depth::Known(most + 1);
        Some(most + 1)
    }
}

#[derive(Clone, Copy)]
enum Depth {
    New,
    Below,
    Known(usize),
}

fn refuse(why: &str) -> Check {
    Err(why.to_owned())
}

fn int(size: u32, encoding: IntEncoding, offset: u8, bits: u8) -> Check {
    let end = u32::from(offset) + u32::from(bits);
    if end > 128 {
        return refuse("nr_bits exceeds 128");
    }
    if end.div_ceil(8) > size {
        return refuse("nr_bits exceeds type_size");
    }
    if encoding.0.count_ones() > 1 || encoding.0 > 4 {
        return refuse("Unsupported encoding");
    }
    Ok(())
}

fn section_meta(size: u32, vars: &[SecVar]) -> Check {
    if size == 0 {
        return refuse("size == 0");
    }
    let mut last = 0u64;
    for v in vars {
        if u64::from(v.offset) < last || v.offset >= size {
            return refuse("Invalid offset");
        }
        if v.size == 0 || v.size > size {
            return refuse("Invalid size");
        }
        last = u64::from(v.offset) + u64::from(v.size);
        if last > size.into() {
            return refuse("Invalid offset+size");
        }
    }
    Ok(())
}

/// Letters, digits, `_` and `.`; no digit first.
fn identifier(name: &str) -> bool {
    let good = |(i, c): (usize, u8)| {
        c == b'_' || c == b'.' || if i == 0 { c.is_ascii_alphabetic() } else { c.is_ascii_alphanumeric() }
    };
    !name.is_empty() && name.len() < NAME_LEN && name.bytes().enumerate().all(good)
}

/// Printable characters.
fn section(name: &str) -> bool {
    !name.is_empty() && name.len() < NAME_LEN && name.bytes().all(|c| (b' '..=b'~').contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(size: u32) -> Kind {
        Kind::Int { size, encoding: IntEncoding(0), offset: 0, bits: (size * 8) as u8 }
    }

    /// What is said of a BTF that begins with `int` (1), `char` (2) and what `make` adds.
    fn said(make: impl FnOnce(&mut Builder)) -> Result<(), String> {
        let mut b = Builder::new();
        b.add("int", whole(4));
        b.add("char", whole(1));
        make(&mut b);
        b.finish().expect("it can be read").validate().map_err(|invalid| invalid.why)
    }

    fn member(b: &mut Builder, name: &str, ty: u32, bit_offset: u32, bits: u8) -> Member {
        Member { name: b.str(name), ty: TypeId(ty), bit_offset, bits }
    }

    fn structure(size: u32, of: &[(&str, u32, u32, u8)]) -> Result<(), String> {
        said(|b| {
            let members = of.iter().map(|(name, ty, at, bits)| member(b, name, *ty, *at, *bits)).collect();
            b.add("s", Kind::Struct { union: false, size, members });
        })
    }

    fn refused(why: &str) -> Result<(), String> {
        Err(why.to_owned())
    }

    #[test]
    fn names() {
        let add = |name: &'static str, kind: Kind| {
            said(move |b| {
                b.add(name, kind);
            })
        };
        assert_eq!(add("1st", Kind::Typedef(TypeId(1))), refused("Invalid name"));
        assert_eq!(add("", Kind::Typedef(TypeId(1))), refused("Invalid name"));
        assert_eq!(add("a b", Kind::Fwd { union: false }), refused("Invalid name"));
        assert_eq!(add("p", Kind::Ptr(TypeId(1))), refused("Invalid name"));
        assert_eq!(add("c", Kind::Const(TypeId(1))), refused("Invalid name"));
        assert_eq!(
            add("a-b", Kind::Struct { union: false, size: 0, members: vec![] }),
            refused("Invalid name")
        );
        assert_eq!(add("", Kind::Struct { union: false, size: 0, members: vec![] }), Ok(()));
        assert_eq!(add("", Kind::TypeTag { ty: TypeId(1), attribute: false }), refused("Invalid name"));
        assert_eq!(add("f", Kind::FuncProto { ret: TypeId(0), params: vec![] }), refused("Invalid name"));
        assert_eq!(structure(4, &[("a b", 1, 0, 0)]), refused("Invalid name"));
    }

    #[test]
    fn integers() {
        let int = |size, encoding, offset, bits| {
            said(move |b| {
                b.add("i", Kind::Int { size, encoding: IntEncoding(encoding), offset, bits });
            })
        };
        assert_eq!(int(4, 1, 0, 32), Ok(()));
        assert_eq!(int(4, 3, 0, 32), refused("Unsupported encoding"));
        assert_eq!(int(4, 8, 0, 32), refused("Unsupported encoding"));
    }

    #[test]
    fn members() {
        assert_eq!(structure(8, &[("a", 1, 0, 0), ("b", 1, 32, 0)]), Ok(()));
        assert_eq!(structure(8, &[("a", 1, 32, 0), ("b", 1, 0, 0)]), refused("Invalid member bits_offset"));
        assert_eq!(structure(4, &[("a", 0, 0, 0)]), refused("Invalid type_id"));
        assert_eq!(structure(4, &[("a", 1, 8, 0)]), refused("Member exceeds struct_size"));
        assert_eq!(structure(4, &[("a", 1, 0, 3), ("b", 1, 3, 5)]), Ok(()));
        assert_eq!(structure(8, &[("a", 1, 0, 33)]), refused("Invalid member bitfield_size"));
        assert_eq!(structure(8, &[("a", 1, 0, 3), ("b", 1, 4, 0)]), refused("Invalid member offset"));
        let pointer = said(|b| {
            b.add("", Kind::Ptr(TypeId(1)));
            let members = vec![member(b, "p", 3, 4, 0)];
            b.add("s", Kind::Struct { union: false, size: 16, members });
        });
        assert_eq!(pointer, refused("Member is not byte aligned"));
        let declared = said(|b| {
            b.add("gone", Kind::Fwd { union: false });
            let members = vec![member(b, "m", 3, 0, 0)];
            b.add("s", Kind::Struct { union: false, size: 16, members });
        });
        assert_eq!(declared, refused("Invalid member"));
    }

    #[test]
    fn arrays() {
        let array = |elem, index, nelems| {
            said(move |b| {
                b.add("", Kind::Ptr(TypeId(0)));
                b.add("", Kind::Array { elem: TypeId(elem), index: TypeId(index), nelems });
            })
        };
        assert_eq!(array(1, 1, 4), Ok(()));
        assert_eq!(array(3, 1, 4), Ok(()));
        assert_eq!(array(1, 3, 4), refused("Invalid index"));
        assert_eq!(array(0, 1, 4), refused("Invalid elem"));
        assert_eq!(array(1, 1, 1 << 30), refused("Array size overflows U32_MAX"));
    }

    #[test]
    fn functions() {
        let func = |params: &'static [(&'static str, u32)], ret: u32, func: bool| {
            said(move |b| {
                let params =
                    params.iter().map(|(name, ty)| Param { name: b.str(name), ty: TypeId(*ty) }).collect();
                let proto = b.add("", Kind::FuncProto { ret: TypeId(ret), params });
                if func {
                    b.add("f", Kind::Func { proto, linkage: 1 });
                }
            })
        };
        assert_eq!(func(&[("a", 1), ("", 0)], 0, true), Ok(()), "variadic");
        assert_eq!(func(&[("a", 1), ("", 1)], 0, true), refused("Invalid arg#2"), "unnamed");
        assert_eq!(func(&[("a", 1), ("", 1)], 0, false), Ok(()), "of a function pointer");
        assert_eq!(func(&[("a", 0), ("b", 1)], 0, false), refused("Invalid arg#1"), "void");
        assert_eq!(func(&[("a b", 1)], 0, false), refused("Invalid arg#1"));
        assert_eq!(func(&[], 3, false), refused("Invalid return type"), "itself");
    }

    #[test]
    fn sections() {
        let section = |size, vars: &'static [(u32, u32)]| {
            said(move |b| {
                let var = b.add("v", Kind::Var { ty: TypeId(1), linkage: 1 });
                let vars = vars.iter().map(|(offset, size)| SecVar { var, offset: *offset, size: *size });
                b.add(".data", Kind::DataSec { size, vars: vars.collect() });
            })
        };
        assert_eq!(section(8, &[(0, 4), (4, 4)]), Ok(()));
        assert_eq!(section(0, &[]), refused("size == 0"));
        assert_eq!(section(8, &[(0, 4), (2, 4)]), refused("Invalid offset"), "they overlap");
        assert_eq!(section(8, &[(0, 0)]), refused("Invalid size"));
        assert_eq!(section(8, &[(0, 2)]), refused("Invalid size"), "smaller than its type");
        assert_eq!(section(8, &[(6, 4)]), refused("Invalid offset+size"));
        let linkage = said(|b| {
            b.add("v", Kind::Var { ty: TypeId(1), linkage: 7 });
        });
        assert_eq!(linkage, refused("Linkage not supported"));
    }

    #[test]
    fn circles() {
        let circle = "Max chain length or cycle detected";
        assert_eq!(
            said(|b| {
                b.add("t", Kind::Typedef(TypeId(3)));
            }),
            refused(circle)
        );
        assert_eq!(
            said(|b| {
                b.add("", Kind::Const(TypeId(3)));
            }),
            refused(circle)
        );
        assert_eq!(
            said(|b| {
                b.add("", Kind::Ptr(TypeId(3)));
            }),
            refused(circle)
        );
        let two = said(|b| {
            b.add("a", Kind::Typedef(TypeId(4)));
            b.add("b", Kind::Typedef(TypeId(3)));
        });
        assert_eq!(two, refused(circle));
        let held = said(|b| {
            let members = vec![member(b, "me", 3, 0, 0)];
            b.add("s", Kind::Struct { union: false, size: 8, members });
        });
        assert_eq!(held, refused("Loop detected"));
        let behind = said(|b| {
            b.add("", Kind::Ptr(TypeId(4)));
            let members = vec![member(b, "next", 3, 0, 0)];
            b.add("s", Kind::Struct { union: false, size: 8, members });
        });
        assert_eq!(behind, Ok(()), "behind a pointer there is no end");
    }
}

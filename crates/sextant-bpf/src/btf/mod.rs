//! BTF: the types of a program or of the kernel.
//!
//! [`Btf::parse`] checks every offset, count, name and type id once, so that what it returns can be walked without
//! surprises; what can still be wrong (typedef loops, arrays without a size) is an error of the query that meets it. Loops and
//! recursion are bounded. [`Builder`] is the way back to bytes. `.BTF.ext` is in [`ext`].
//!
//! Mirrors include/uapi/linux/btf.h and kernel/bpf/btf.c, 7.3. Left out: split BTF (a base below it), big-endian files.

mod cdecl;
pub mod core;
pub mod ext;
mod header;
mod join;
mod query;
mod read;
mod valid;
mod write;

use std::fmt;

pub use query::Field;
pub use read::BtfError;
pub use valid::Invalid;
pub use write::Builder;

/// First two bytes of a BTF section, little-endian.
pub const BTF_MAGIC: u16 = 0xeb9f;
/// Most steps through typedefs, modifiers and arrays, and deepest nesting of anonymous members.
pub const MAX_RESOLVE_DEPTH: usize = 32;

/// Number of a type. 0 is `void`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct TypeId(pub u32);

impl TypeId {
    /// `void`
    pub const VOID: TypeId = TypeId(0);
}

impl fmt::Display for TypeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A name: an offset into the string section. 0 is the empty name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Str(pub u32);

/// A type: its name and what it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Type {
    /// Its name; empty when anonymous.
    pub name: Str,
    /// What it is.
    pub kind: Kind,
}

/// How an integer is to be read (`BTF_INT_*`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IntEncoding(pub u8);

impl IntEncoding {
    /// No bits: unsigned.
    pub const UNSIGNED: IntEncoding = IntEncoding(0);
    /// `BTF_INT_SIGNED`
    pub const SIGNED: IntEncoding = IntEncoding(1);
    /// `BTF_INT_CHAR`
    pub const CHAR: IntEncoding = IntEncoding(2);
    /// `BTF_INT_BOOL`
    pub const BOOL: IntEncoding = IntEncoding(4);

    /// Whether the sign bit is set.
    pub const fn is_signed(self) -> bool {
        self.0 & Self::SIGNED.0 != 0
    }

    /// Whether it is a `bool`.
    pub const fn is_bool(self) -> bool {
        self.0 & Self::BOOL.0 != 0
    }
}

/// A member of a struct or union.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member {
    /// Its name; empty for an anonymous struct or union.
    pub name: Str,
    /// Its type.
    pub ty: TypeId,
    /// From the start of the struct, in bits.
    pub bit_offset: u32,
    /// Width in bits of a bit field, 0 for an ordinary member.
    pub bits: u8,
}

/// An enumerator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Enumerator {
    /// Its name.
    pub name: Str,
    /// Its value: sign-extended to 64 bits if the enum is signed.
    pub value: u64,
}

/// A parameter of a function prototype.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Param {
    /// Its name; empty in a function pointer.
    pub name: Str,
    /// Its type; a last one that is `void` and has no name stands for `...`.
    pub ty: TypeId,
}

/// A variable in a section.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SecVar {
    /// The VAR (or FUNC).
    pub var: TypeId,
    /// From the start of the section, in bytes.
    pub offset: u32,
    /// In bytes.
    pub size: u32,
}

/// What a type is.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Kind {
    /// `void`: type 0 only.
    Void,
    /// `size` in bytes; value in `bits` bits from `offset`.
    Int {
        size: u32,
        encoding: IntEncoding,
        offset: u8,
        bits: u8,
    },
    Ptr(TypeId),
    Array {
        elem: TypeId,
        index: TypeId,
        nelems: u32,
    },
    /// Struct or union; `size` in bytes.
    Struct {
        union: bool,
        size: u32,
        members: Vec<Member>,
    },
    /// Enum; `wide` is ENUM64, `size` in bytes.
    Enum {
        wide: bool,
        size: u32,
        signed: bool,
        values: Vec<Enumerator>,
    },
    /// Forward declaration.
    Fwd {
        union: bool,
    },
    Typedef(TypeId),
    Volatile(TypeId),
    Const(TypeId),
    Restrict(TypeId),
    /// `linkage`: 0 static, 1 global, 2 extern.
    Func {
        proto: TypeId,
        linkage: u16,
    },
    FuncProto {
        ret: TypeId,
        params: Vec<Param>,
    },
    /// `linkage`: 0 static, 1 global, 2 extern.
    Var {
        ty: TypeId,
        linkage: u32,
    },
    /// Section; `size` in bytes (0 until libbpf fixes it up).
    DataSec {
        size: u32,
        vars: Vec<SecVar>,
    },
    /// Floating point of `size` bytes.
    Float {
        size: u32,
    },
    /// Tag on a declaration; `component`: -1 the type itself, else member or parameter. `attribute`: kind_flag.
    DeclTag {
        ty: TypeId,
        component: i32,
        attribute: bool,
    },
    /// Tag on what a pointer points to. `attribute`: kind_flag.
    TypeTag {
        ty: TypeId,
        attribute: bool,
    },
}

/// The kind alone, for look-ups. Values are those of the format.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs)]
#[repr(u8)]
pub enum KindTag {
    Void = 0,
    Int = 1,
    Ptr = 2,
    Array = 3,
    Struct = 4,
    Union = 5,
    Enum = 6,
    Fwd = 7,
    Typedef = 8,
    Volatile = 9,
    Const = 10,
    Restrict = 11,
    Func = 12,
    FuncProto = 13,
    Var = 14,
    DataSec = 15,
    Float = 16,
    DeclTag = 17,
    TypeTag = 18,
    Enum64 = 19,
}

impl Kind {
    /// The kind alone.
    pub const fn tag(&self) -> KindTag {
        match self {
            Kind::Void => KindTag::Void,
            Kind::Int { .. } => KindTag::Int,
            Kind::Ptr(_) => KindTag::Ptr,
            Kind::Array { .. } => KindTag::Array,
            Kind::Struct { union: false, .. } => KindTag::Struct,
            Kind::Struct { union: true, .. } => KindTag::Union,
            Kind::Enum { wide: false, .. } => KindTag::Enum,
            Kind::Enum { wide: true, .. } => KindTag::Enum64,
            Kind::Fwd { .. } => KindTag::Fwd,
            Kind::Typedef(_) => KindTag::Typedef,
            Kind::Volatile(_) => KindTag::Volatile,
            Kind::Const(_) => KindTag::Const,
            Kind::Restrict(_) => KindTag::Restrict,
            Kind::Func { .. } => KindTag::Func,
            Kind::FuncProto { .. } => KindTag::FuncProto,
            Kind::Var { .. } => KindTag::Var,
            Kind::DataSec { .. } => KindTag::DataSec,
            Kind::Float { .. } => KindTag::Float,
            Kind::DeclTag { .. } => KindTag::DeclTag,
            Kind::TypeTag { .. } => KindTag::TypeTag,
        }
    }

    /// Every type id inside.
    pub fn references(&self) -> Vec<TypeId> {
        match self {
            Kind::Ptr(t) | Kind::Typedef(t) | Kind::Volatile(t) | Kind::Const(t) | Kind::Restrict(t) => {
                vec![*t]
            }
            Kind::Var { ty, .. } | Kind::DeclTag { ty, .. } | Kind::TypeTag { ty, .. } => vec![*ty],
            Kind::Func { proto, .. } => vec![*proto],
            Kind::Array { elem, index, .. } => vec![*elem, *index],
            Kind::Struct { members, .. } => members.iter().map(|m| m.ty).collect(),
            Kind::FuncProto { ret, params } => {
                [*ret].into_iter().chain(params.iter().map(|p| p.ty)).collect()
            }
            Kind::DataSec { vars, .. } => vars.iter().map(|v| v.var).collect(),
            Kind::Void | Kind::Int { .. } | Kind::Enum { .. } | Kind::Fwd { .. } | Kind::Float { .. } => {
                Vec::new()
            }
        }
    }

    /// Every name inside, besides the type's own.
    pub fn names(&self) -> Vec<Str> {
        match self {
            Kind::Struct { members, .. } => members.iter().map(|m| m.name).collect(),
            Kind::Enum { values, .. } => values.iter().map(|v| v.name).collect(),
            Kind::FuncProto { params, .. } => params.iter().map(|p| p.name).collect(),
            _ => Vec::new(),
        }
    }
}

/// A checked BTF.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Btf {
    /// By id; the first is `void`.
    types: Vec<Type>,
    strings: Vec<u8>,
    /// Ids of named types, sorted by name, then id.
    by_name: Vec<TypeId>,
}

//! Descriptions of C types, made to be walked by a BTF encoder.
//!
//! A [`TypeRef`] is a type *expression* (`const struct cpumask *`), a [`TypeDesc`] the *definition* of a struct, union
//! or enum. Expressions name structs instead of holding them, so cyclic types need nothing special.
//!
//! How an encoder walks them:
//! 1. for each desc of [`all_types`](super::all_types): emit the definition, members in order, `bit_offset` as given;
//! 2. for each member's `ty`, recurse: leaf and modifier variants are emitted once each (memoize by value: `TypeRef` is
//!    `Eq + Hash` and compares by content), `Struct/Union/Enum(name)` become the id of the desc of that name, and
//!    a name that no desc has becomes a `FWD` (only behind pointers; a test of this crate holds that);
//! 3. for each entry of the kfunc table: `FUNC_PROTO` with named parameters, then `FUNC`.
//!
//! Ids of named definitions must be reserved first, since members may refer forward.

/// Definition of a struct, union or enum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TypeDesc {
    /// The C tag; empty for an anonymous type.
    pub name: &'static str,
    /// `sizeof`, in bytes.
    pub size: u32,
    /// `_Alignof`, in bytes (BTF does not carry it).
    pub align: u32,
    /// What it is and what it has.
    pub body: Body,
}

/// Kind and contents of a [`TypeDesc`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Body {
    /// `struct`
    Struct(&'static [MemberDesc]),
    /// `union`: every `bit_offset` is 0.
    Union(&'static [MemberDesc]),
    /// `enum` of 4 bytes (BTF ENUM) or 8 bytes (BTF ENUM64), by `size`.
    Enum {
        /// Whether enumerators are signed (BTF kind_flag).
        signed: bool,
        /// Name and value; the value is the low `size` bytes.
        values: &'static [(&'static str, u64)],
    },
}

/// A member of a struct or union.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MemberDesc {
    /// Empty for an anonymous struct or union.
    pub name: &'static str,
    /// Its type; for a bit field the declared one.
    pub ty: TypeRef,
    /// From the start of the struct, in bits.
    pub bit_offset: u32,
    /// Width in bits of a bit field, 0 for an ordinary member.
    pub bits: u32,
}

/// A parameter of a kernel function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Param {
    /// Its name, empty inside a function pointer. Suffixes such as `__sz`, `__nullable` are the kernel's.
    pub name: &'static str,
    /// Its type.
    pub ty: TypeRef,
}

/// Return type and parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FuncProto {
    /// `TypeRef::Void` when nothing is returned.
    pub ret: TypeRef,
    /// In order; a last parameter of type `Void` without name is `...`.
    pub params: &'static [Param],
}

/// How an integer is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IntEncoding {
    /// No encoding bits: unsigned.
    Unsigned,
    /// `BTF_INT_SIGNED`
    Signed,
    /// `BTF_INT_BOOL`
    Bool,
}

/// A type expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TypeRef {
    /// `void` (BTF id 0)
    Void,
    /// A base integer: C name, size in bytes, encoding.
    Int(&'static str, u32, IntEncoding),
    /// Pointer.
    Ptr(&'static TypeRef),
    /// `const`
    Const(&'static TypeRef),
    /// `volatile`
    Volatile(&'static TypeRef),
    /// A type tag (`address_space(1)`: in the arena) on what a pointer points to.
    TypeTag(&'static str, &'static TypeRef),
    /// A typedef and what it stands for.
    Typedef(&'static str, &'static TypeRef),
    /// Array of so many elements (0: flexible).
    Array(&'static TypeRef, u32),
    /// `struct name`; a forward declaration if no desc has the name.
    Struct(&'static str),
    /// `union name`; a forward declaration if no desc has the name.
    Union(&'static str),
    /// `enum name`
    Enum(&'static str),
    /// An anonymous struct, union or enum.
    Anon(&'static TypeDesc),
    /// A function (behind a pointer).
    Func(&'static FuncProto),
}

impl TypeRef {
    /// The type below typedefs, `const`, `volatile` and type tags.
    pub const fn strip(self) -> TypeRef {
        let mut ty = self;
        loop {
            ty = match ty {
                TypeRef::Const(inner)
                | TypeRef::Volatile(inner)
                | TypeRef::TypeTag(_, inner)
                | TypeRef::Typedef(_, inner) => *inner,
                other => return other,
            };
        }
    }
}

impl TypeDesc {
    /// The members of a struct or union, none for an enum.
    pub const fn members(&self) -> &'static [MemberDesc] {
        match self.body {
            Body::Struct(members) | Body::Union(members) => members,
            Body::Enum { .. } => &[],
        }
    }

    /// The member of that name, not looking into anonymous ones.
    pub fn member(&self, name: &str) -> Option<&'static MemberDesc> {
        self.members().iter().find(|m| m.name == name)
    }
}

//! The macros that declare kernel types: one declaration gives layout, description and accessors.
//!
//! ```text
//! kernel_types! {
//!     /// What it is.
//!     pub struct Thing = "thing" {      // Rust handle = C tag ("" for an anonymous type)
//!         pid: PidT,                    // accessor `pid()`, a Scalar<PidT>
//!         in_iowait: UInt : 1,          // a bit field
//!         type_: U32,                   // Rust keywords get a trailing underscore, which the C name loses
//!         comm: Array<Char, 16>,
//!         cpus_ptr: Ptr<Const<Cpumask>>,
//!         scx: SchedExtEntity,          // nested: the accessor gives its handle
//!         (anon) w: AnonUnion,          // an anonymous member: accessor `w()`, no C name
//!     }
//! }
//! ```
//! A union says `pub union`. Each invocation also defines `TYPES`, its descriptions; so does each `kernel_enums!`.

/// Declares structs and unions, see the module.
macro_rules! kernel_types {
    ($($(#[$m:meta])* pub $kind:ident $name:ident = $cname:tt {
        $($(#[$fm:meta])* $(($anon:ident))? $field:ident : $ty:ty $(: $bits:literal)?),* $(,)?
    })*) => {
        $(
            $(#[$m])*
            ///
            /// The handle: an address in BPF-visible memory.
            #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
            pub struct $name {
                addr: u64,
            }

            const _: () = {
                #[allow(non_camel_case_types, dead_code)]
                enum Index { $($field),* }

                const N: usize = <[&str]>::len(&[$(stringify!($field)),*]);

                const LAYOUT: $crate::types::layout::Layout<N> = $crate::types::layout::layout(
                    $crate::types::declare::kernel_types!(@is_union $kind),
                    &[$($crate::types::layout::MemberIn {
                        size: <$ty as $crate::types::ctype::CType>::SIZE,
                        align: <$ty as $crate::types::ctype::CType>::ALIGN,
                        bits: 0 $(+ $bits)?,
                    }),*],
                );

                // Members keep the kernel's spelling.
                #[allow(non_snake_case)]
                impl $name {
                    /// Name, size and members, for BTF.
                    pub const DESC: $crate::types::desc::TypeDesc = $crate::types::desc::TypeDesc {
                        name: $cname,
                        size: LAYOUT.size,
                        align: LAYOUT.align,
                        body: $crate::types::declare::kernel_types!(@body $kind)(&[$(
                            $crate::types::desc::MemberDesc {
                                name: $crate::types::declare::kernel_types!(@name $($anon)? $field),
                                ty: <$ty as $crate::types::ctype::CType>::REF,
                                bit_offset: LAYOUT.bit_offset[Index::$field as usize],
                                bits: 0 $(+ $bits)?,
                            }
                        ),*]),
                    };

                    /// `sizeof`, bytes.
                    pub const SIZE: u32 = LAYOUT.size;

                    /// The handle of the object at `addr`.
                    #[inline]
                    pub const fn at(addr: u64) -> Self {
                        Self { addr }
                    }

                    /// Its address; 0 is NULL.
                    #[inline]
                    pub const fn addr(self) -> u64 {
                        self.addr
                    }

                    /// Byte offset of the member of that C name.
                    ///
                    /// # Panics
                    /// When there is none (in a `const`, the build fails).
                    pub const fn offset_of(member: &str) -> u32 {
                        $crate::types::declare::offset_of(&Self::DESC, member)
                    }

                    $(
                        #[doc = concat!("`", stringify!($field), "`")]
                        $(#[$fm])*
                        #[inline]
                        pub fn $field(self) -> $crate::types::declare::kernel_types!(@acc $ty $(, $bits)?) {
                            $crate::types::declare::kernel_types!(@get self, LAYOUT.bit_offset[Index::$field as usize], $ty $(, $bits)?)
                        }
                    )*
                }

                impl $crate::types::ctype::CType for $name {
                    const SIZE: u32 = LAYOUT.size;
                    const ALIGN: u32 = LAYOUT.align;
                    const REF: $crate::types::desc::TypeRef = $crate::types::declare::kernel_types!(@ref $kind $cname);
                }

                impl $crate::types::ctype::Place for $name {
                    type At = $name;
                    #[inline]
                    fn at(addr: u64) -> $name {
                        $name { addr }
                    }
                }

                impl $crate::types::ctype::Pointee for $name {
                    type Target = $name;
                }
            };
        )*

        /// What this module declares; anonymous types are described where they are used.
        pub(crate) const TYPES: &[$crate::types::desc::TypeDesc] = &[$($name::DESC),*];
    };

    (@is_union struct) => { false };
    (@is_union union) => { true };
    (@body struct) => { $crate::types::desc::Body::Struct };
    (@body union) => { $crate::types::desc::Body::Union };
    (@ref $kind:ident "") => { $crate::types::desc::TypeRef::Anon(&Self::DESC) };
    (@ref struct $cname:tt) => { $crate::types::desc::TypeRef::Struct($cname) };
    (@ref union $cname:tt) => { $crate::types::desc::TypeRef::Union($cname) };
    (@name anon $field:ident) => { "" };
    (@name $field:ident) => { $crate::types::declare::c_name(stringify!($field)) };
    (@acc $ty:ty) => { <$ty as $crate::types::ctype::Place>::At };
    (@acc $ty:ty, $bits:literal) => { $crate::types::ctype::BitField<$ty> };
    (@get $self:ident, $off:expr, $ty:ty) => {
        <$ty as $crate::types::ctype::Place>::at($self.addr + const { ($off / 8) as u64 })
    };
    (@get $self:ident, $off:expr, $ty:ty, $bits:literal) => {
        $crate::types::ctype::BitField::<$ty>::new($self.addr, const { $off }, $bits)
    };
}
pub(crate) use kernel_types;

/// Declares types that are only pointed to: their BTF is a forward declaration.
macro_rules! kernel_opaque {
    ($($(#[$m:meta])* $name:ident = $cname:literal;)*) => {$(
        $(#[$m])*
        pub enum $name {}
        impl $crate::types::ctype::CType for $name {
            const SIZE: u32 = 0;
            const ALIGN: u32 = 1;
            const REF: $crate::types::desc::TypeRef = $crate::types::desc::TypeRef::Struct($cname);
        }
    )*};
}
pub(crate) use kernel_opaque;

/// Declares typedefs of structs and scalars: `CpumaskT = "cpumask_t": Cpumask;`.
macro_rules! kernel_typedefs {
    ($($(#[$m:meta])* $name:ident = $cname:literal: $of:ty;)*) => {$(
        $(#[$m])*
        pub enum $name {}
        impl $crate::types::ctype::CType for $name {
            const SIZE: u32 = <$of as $crate::types::ctype::CType>::SIZE;
            const ALIGN: u32 = <$of as $crate::types::ctype::CType>::ALIGN;
            const REF: $crate::types::desc::TypeRef =
                $crate::types::desc::TypeRef::Typedef($cname, &<$of as $crate::types::ctype::CType>::REF);
        }
        impl $crate::types::ctype::Place for $name {
            type At = <$of as $crate::types::ctype::Place>::At;
            #[inline]
            fn at(addr: u64) -> Self::At {
                <$of as $crate::types::ctype::Place>::at(addr)
            }
        }
        impl $crate::types::ctype::Pointee for $name {
            type Target = $of;
        }
    )*};
}
pub(crate) use kernel_typedefs;

/// Declares enums: a marker type named like the C tag in Rust spelling, and one constant per enumerator.
///
/// `pub enum ScxWakeFlags = "scx_wake_flags": u32 / u64 { SCX_WAKE_FORK = 4, }`: the C enum has 4 bytes (`u64`: 8 bytes, an ENUM64),
/// the constants are `u64`.
macro_rules! kernel_enums {
    ($($(#[$m:meta])* pub enum $name:ident = $cname:literal: $repr:ident / $ct:ident {
        $($(#[$vm:meta])* $value:ident = $expr:expr),* $(,)?
    })*) => {
        $(
            $(#[$m])*
            pub enum $name {}

            $(
                #[doc = concat!("`enum ", $cname, "`")]
                $(#[$vm])*
                pub const $value: $ct = $expr;
            )*

            impl $name {
                /// Name, size and enumerators, for BTF.
                pub const DESC: $crate::types::desc::TypeDesc = $crate::types::desc::TypeDesc {
                    name: $cname,
                    size: size_of::<$repr>() as u32,
                    align: size_of::<$repr>() as u32,
                    body: $crate::types::desc::Body::Enum {
                        signed: $repr::MIN != 0,
                        values: &[$((stringify!($value), $value as u64)),*],
                    },
                };

                /// The first enumerator with that value.
                pub fn name_of(value: $ct) -> Option<&'static str> {
                    let values: &[(&'static str, $ct)] = &[$((stringify!($value), $value)),*];
                    values.iter().find(|(_, v)| *v == value).map(|(name, _)| *name)
                }
            }

            impl $crate::types::ctype::CType for $name {
                const SIZE: u32 = size_of::<$repr>() as u32;
                const ALIGN: u32 = size_of::<$repr>() as u32;
                const REF: $crate::types::desc::TypeRef = $crate::types::desc::TypeRef::Enum($cname);
            }

            impl $crate::types::ctype::Value for $name {
                type Val = $repr;
                #[inline]
                fn from_bits(bits: u64) -> $repr {
                    bits as $repr
                }
                #[inline]
                fn to_bits(val: $repr) -> u64 {
                    val as u64
                }
            }

            impl $crate::types::ctype::Place for $name {
                type At = $crate::types::ctype::Scalar<$name>;
                #[inline]
                fn at(addr: u64) -> Self::At {
                    $crate::types::ctype::Scalar::new(addr)
                }
            }
        )*

        /// What this module declares.
        pub(crate) const TYPES: &[$crate::types::desc::TypeDesc] = &[$($name::DESC),*];
    };
}
pub(crate) use kernel_enums;

use super::desc::TypeDesc;

/// The C name of a Rust identifier: without its trailing underscore.
pub(crate) const fn c_name(ident: &'static str) -> &'static str {
    let len = ident.len();
    if ident.as_bytes()[len - 1] == b'_' { ident.split_at(len - 1).0 } else { ident }
}

/// Byte offset of a member, see the accessor of each type.
pub(crate) const fn offset_of(desc: &TypeDesc, member: &str) -> u32 {
    let members = desc.members();
    let mut i = 0;
    while i < members.len() {
        if same(members[i].name, member) {
            return members[i].bit_offset / 8;
        }
        i += 1;
    }
    panic!("no such member")
}

const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

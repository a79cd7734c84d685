//! C types as Rust types without values, and the handles through which members are read and written.
//!
//! `Ptr<Const<Cpumask>>` *is* `const struct cpumask *`: it carries size, alignment and description as constants.
//! `Ptr<Const<Cpumask>>::At` is the handle of one such object in BPF memory: an address, nothing else.

use std::marker::PhantomData;

use super::desc::{FuncProto, IntEncoding, Param, TypeRef};
use crate::mem::Mem;

/// A C type.
pub trait CType {
    /// `sizeof`, bytes (0 for `void` and types only pointed to).
    const SIZE: u32;
    /// `_Alignof`, bytes.
    const ALIGN: u32;
    /// The expression that names it.
    const REF: TypeRef;
}

/// A C type of which there can be an object at an address.
pub trait Place: CType {
    /// The handle: an address with a type.
    type At: Copy;
    /// The handle of the object at `addr`.
    fn at(addr: u64) -> Self::At;
}

/// A type that is loaded and stored whole: integers, enums, pointers.
pub trait Value: CType {
    /// Its value in Rust.
    type Val: Copy;
    /// From the zero-extended bits.
    fn from_bits(bits: u64) -> Self::Val;
    /// To bits, of which the low `SIZE` bytes count.
    fn to_bits(val: Self::Val) -> u64;
}

macro_rules! handle {
    ($(#[$m:meta])* $name:ident<$($p:ident),+ $(; const $n:ident: $nt:ty)?>) => {
        $(#[$m])*
        pub struct $name<$($p,)+ $(const $n: $nt)?> {
            addr: u64,
            ty: PhantomData<fn() -> ($($p,)+)>,
        }
        impl<$($p,)+ $(const $n: $nt)?> Clone for $name<$($p,)+ $($n)?> {
            fn clone(&self) -> Self { *self }
        }
        impl<$($p,)+ $(const $n: $nt)?> Copy for $name<$($p,)+ $($n)?> {}
        impl<$($p,)+ $(const $n: $nt)?> $name<$($p,)+ $($n)?> {
            /// The handle of the object at `addr`.
            #[inline]
            pub const fn new(addr: u64) -> Self { Self { addr, ty: PhantomData } }
            /// Its address.
            #[inline]
            pub const fn addr(self) -> u64 { self.addr }
        }
    };
}

handle! {
    /// A scalar in BPF memory.
    Scalar<T>
}

impl<T: Value> Scalar<T> {
    /// Loads it.
    #[inline]
    pub fn get<M: Mem + ?Sized>(self, mem: &M) -> T::Val {
        T::from_bits(mem.load(self.addr, T::SIZE))
    }

    /// Stores `val`.
    #[inline]
    pub fn set<M: Mem + ?Sized>(self, mem: &M, val: T::Val) {
        mem.store(self.addr, T::SIZE, T::to_bits(val));
    }
}

impl<T: Pointee> Scalar<Ptr<T>> {
    /// Loads the pointer and gives the handle of what it points to (check for 0 with `get` first where it can be NULL).
    #[inline]
    pub fn deref<M: Mem + ?Sized>(self, mem: &M) -> <T::Target as Place>::At {
        T::Target::at(self.get(mem))
    }
}

/// A bit field in BPF memory.
pub struct BitField<T> {
    unit: u64,
    shift: u32,
    bits: u32,
    ty: PhantomData<fn() -> T>,
}

impl<T> Clone for BitField<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for BitField<T> {}

impl<T: Value> BitField<T> {
    /// The field of `bits` bits, `bit_offset` bits behind `base`.
    #[inline]
    pub const fn new(base: u64, bit_offset: u32, bits: u32) -> Self {
        let unit_bits = T::SIZE * 8;
        Self {
            unit: base + (bit_offset / unit_bits * T::SIZE) as u64,
            shift: bit_offset % unit_bits,
            bits,
            ty: PhantomData,
        }
    }

    /// Loads it, zero-extended.
    #[inline]
    pub fn get<M: Mem + ?Sized>(self, mem: &M) -> T::Val {
        T::from_bits(mem.load(self.unit, T::SIZE) >> self.shift & self.mask())
    }

    /// Stores the low bits of `val`; the neighbours keep theirs.
    #[inline]
    pub fn set<M: Mem + ?Sized>(self, mem: &M, val: T::Val) {
        let old = mem.load(self.unit, T::SIZE) & !(self.mask() << self.shift);
        mem.store(self.unit, T::SIZE, old | (T::to_bits(val) & self.mask()) << self.shift);
    }

    const fn mask(self) -> u64 {
        u64::MAX >> (64 - self.bits)
    }
}

handle! {
    /// An array in BPF memory.
    ArrayAt<T; const N: usize>
}

impl<T: Place, const N: usize> ArrayAt<T, N> {
    /// Elements, as declared (0 for a flexible array).
    pub const LEN: usize = N;

    /// Element `i`. In a flexible array (`N` = 0) the caller knows the length.
    ///
    /// # Panics
    /// When `i` is outside a declared length.
    #[inline]
    pub fn at(self, i: usize) -> T::At {
        assert!(N == 0 || i < N, "index {i} of an array of {N}");
        T::at(self.addr + i as u64 * T::SIZE as u64)
    }
}

impl<const N: usize> ArrayAt<Char, N> {
    /// Reads a NUL-terminated string; bytes that are not UTF-8 are replaced.
    pub fn get_str<M: Mem + ?Sized>(self, mem: &M) -> String {
        let mut buf = [0u8; N];
        mem.read_bytes(self.addr, &mut buf);
        let len = buf.iter().position(|&b| b == 0).unwrap_or(N);
        String::from_utf8_lossy(&buf[..len]).into_owned()
    }

    /// Writes `text` cut to `N - 1` bytes, and zeroes the rest.
    pub fn set_str<M: Mem + ?Sized>(self, mem: &M, text: &str) {
        let mut buf = [0u8; N];
        let len = text.len().min(N.saturating_sub(1));
        buf[..len].copy_from_slice(&text.as_bytes()[..len]);
        mem.write_bytes(self.addr, &buf);
    }
}

macro_rules! ints {
    ($($(#[$m:meta])* $name:ident: $val:ty = $reference:expr;)*) => {$(
        $(#[$m])*
        pub enum $name {}
        impl CType for $name {
            const SIZE: u32 = size_of::<$val>() as u32;
            const ALIGN: u32 = size_of::<$val>() as u32;
            const REF: TypeRef = $reference;
        }
        impl Value for $name {
            type Val = $val;
            #[inline]
            fn from_bits(bits: u64) -> $val { bits as $val }
            #[inline]
            fn to_bits(val: $val) -> u64 { val as u64 }
        }
        impl Place for $name {
            type At = Scalar<$name>;
            #[inline]
            fn at(addr: u64) -> Scalar<$name> { Scalar::new(addr) }
        }
    )*};
}

const UCHAR: TypeRef = TypeRef::Int("unsigned char", 1, IntEncoding::Unsigned);
const USHORT: TypeRef = TypeRef::Int("unsigned short", 2, IntEncoding::Unsigned);
const UINT: TypeRef = TypeRef::Int("unsigned int", 4, IntEncoding::Unsigned);
const INT: TypeRef = TypeRef::Int("int", 4, IntEncoding::Signed);
const ULONG: TypeRef = TypeRef::Int("unsigned long", 8, IntEncoding::Unsigned);
const LONG: TypeRef = TypeRef::Int("long", 8, IntEncoding::Signed);
const ULLONG: TypeRef = TypeRef::Int("unsigned long long", 8, IntEncoding::Unsigned);
const LLONG: TypeRef = TypeRef::Int("long long", 8, IntEncoding::Signed);
const BOOL: TypeRef = TypeRef::Int("_Bool", 1, IntEncoding::Bool);

const fn typedef(name: &'static str, of: &'static TypeRef) -> TypeRef {
    TypeRef::Typedef(name, of)
}

ints! {
    /// `char`, signed on x86; its value is a byte.
    Char: u8 = TypeRef::Int("char", 1, IntEncoding::Signed);
    /// `unsigned char`
    UChar: u8 = UCHAR;
    /// `unsigned short`
    UShort: u16 = USHORT;
    /// `int`
    Int: i32 = INT;
    /// `unsigned int`
    UInt: u32 = UINT;
    /// `long`
    Long: i64 = LONG;
    /// `unsigned long`
    ULong: u64 = ULONG;
    /// `unsigned long long`
    ULongLong: u64 = ULLONG;
    /// `u8`
    U8: u8 = typedef("u8", &typedef("__u8", &UCHAR));
    /// `u16`
    U16: u16 = typedef("u16", &typedef("__u16", &USHORT));
    /// `u32`
    U32: u32 = typedef("u32", &typedef("__u32", &UINT));
    /// `s32`
    S32: i32 = typedef("s32", &typedef("__s32", &INT));
    /// `u64`
    U64: u64 = typedef("u64", &typedef("__u64", &ULLONG));
    /// `s64`
    S64: i64 = typedef("s64", &typedef("__s64", &LLONG));
    /// `__u32`
    UserU32: u32 = typedef("__u32", &UINT);
    /// `__u64`
    UserU64: u64 = typedef("__u64", &ULLONG);
    /// `pid_t`
    PidT: i32 = typedef("pid_t", &typedef("__kernel_pid_t", &INT));
    /// `size_t`
    SizeT: u64 = typedef("size_t", &typedef("__kernel_size_t", &typedef("__kernel_ulong_t", &ULONG)));
}

/// `bool`
pub enum Bool {}

impl CType for Bool {
    const SIZE: u32 = 1;
    const ALIGN: u32 = 1;
    const REF: TypeRef = TypeRef::Typedef("bool", &BOOL);
}

impl Value for Bool {
    type Val = bool;
    #[inline]
    fn from_bits(bits: u64) -> bool {
        bits != 0
    }
    #[inline]
    fn to_bits(val: bool) -> u64 {
        val as u64
    }
}

impl Place for Bool {
    type At = Scalar<Bool>;
    #[inline]
    fn at(addr: u64) -> Scalar<Bool> {
        Scalar::new(addr)
    }
}

/// `void`, behind a pointer or as a return type.
pub enum Void {}

impl CType for Void {
    const SIZE: u32 = 0;
    const ALIGN: u32 = 1;
    const REF: TypeRef = TypeRef::Void;
}

/// Pointer to `T`; its value is an address, 0 for NULL.
pub struct Ptr<T>(PhantomData<fn() -> T>);

impl<T: CType> CType for Ptr<T> {
    const SIZE: u32 = 8;
    const ALIGN: u32 = 8;
    const REF: TypeRef = TypeRef::Ptr(&T::REF);
}

impl<T: CType> Value for Ptr<T> {
    type Val = u64;
    #[inline]
    fn from_bits(bits: u64) -> u64 {
        bits
    }
    #[inline]
    fn to_bits(val: u64) -> u64 {
        val
    }
}

impl<T: CType> Place for Ptr<T> {
    type At = Scalar<Ptr<T>>;
    #[inline]
    fn at(addr: u64) -> Self::At {
        Scalar::new(addr)
    }
}

/// What a pointer leads to, below `const` and type tags.
pub trait Pointee: CType {
    /// The type of the object.
    type Target: Place;
}

macro_rules! modifiers {
    ($($(#[$m:meta])* $name:ident => $make:expr;)*) => {$(
        $(#[$m])*
        pub struct $name<T>(PhantomData<fn() -> T>);
        impl<T: CType> CType for $name<T> {
            const SIZE: u32 = T::SIZE;
            const ALIGN: u32 = T::ALIGN;
            const REF: TypeRef = $make(&T::REF);
        }
        impl<T: Pointee> Pointee for $name<T> {
            type Target = T::Target;
        }
    )*};
}

/// Linux 7.3.4 is built by GCC, which has no `btf_type_tag`: `__rcu`, `__percpu` and `__user` leave nothing in its BTF, and its
/// verifier treats such a pointer as any other.
const fn untagged(of: &'static TypeRef) -> TypeRef {
    *of
}

const fn tag_arena(of: &'static TypeRef) -> TypeRef {
    TypeRef::TypeTag("address_space(1)", of)
}

modifiers! {
    /// `const T`
    Const => TypeRef::Const;
    /// `T __rcu`, which the BTF does not tell.
    Rcu => untagged;
    /// `T __percpu`, which the BTF does not tell.
    PerCpu => untagged;
    /// `T __user`, which the BTF does not tell.
    User => untagged;
    /// `T __arena`
    Arena => tag_arena;
}

/// `T[N]`; `N` = 0 is a flexible array.
pub struct Array<T, const N: usize>(PhantomData<fn() -> T>);

impl<T: CType, const N: usize> CType for Array<T, N> {
    const SIZE: u32 = T::SIZE * N as u32;
    const ALIGN: u32 = T::ALIGN;
    const REF: TypeRef = TypeRef::Array(&T::REF, N as u32);
}

impl<T: Place, const N: usize> Place for Array<T, N> {
    type At = ArrayAt<T, N>;
    #[inline]
    fn at(addr: u64) -> Self::At {
        ArrayAt::new(addr)
    }
}

/// `T` that starts a cache line of 64 bytes (`____cacheline_aligned_in_smp`).
pub struct CachelineAligned<T>(PhantomData<fn() -> T>);

impl<T: CType> CType for CachelineAligned<T> {
    const SIZE: u32 = T::SIZE;
    const ALIGN: u32 = 64;
    const REF: TypeRef = T::REF;
}

impl<T: Place> Place for CachelineAligned<T> {
    type At = T::At;
    #[inline]
    fn at(addr: u64) -> T::At {
        T::at(addr)
    }
}

macro_rules! func_types {
    ($(($($arg:ident),*))*) => {$(
        impl<Ret: CType, $($arg: CType),*> CType for fn($($arg),*) -> Ret {
            const SIZE: u32 = 0;
            const ALIGN: u32 = 1;
            const REF: TypeRef = TypeRef::Func(&FuncProto {
                ret: Ret::REF,
                params: &[$(Param { name: "", ty: $arg::REF }),*],
            });
        }
    )*};
}

func_types! {
    () (A) (A, B) (A, B, C) (A, B, C, D) (A, B, C, D, E)
}

//! The kernel types a BPF program sees, declared once (7.3 names).
//!
//! `TaskStruct::at(addr).scx().slice().get(mem)` is a load at a constant offset; `TaskStruct::DESC` is what BTF says of the
//! same bytes. Offsets are ours, not the kernel's: CO-RE moves an object onto them.
//!
//! What must hold: a member declared here is kept by the class (or is honestly constant, as its comment says); one that is not modelled
//! is absent, so that a program that needs it is told so by name.
//!
//! [`desc`] tells how an encoder walks the descriptions.

mod bpf;
mod cgroup;
mod cpumask;
pub mod ctype;
pub(crate) mod declare;
pub mod desc;
pub mod enums;
mod layout;
mod ops;
mod rq;
mod scx;
mod task;

pub use bpf::*;
pub use cgroup::*;
pub use cpumask::*;
pub use ctype::{
    Arena, Array, ArrayAt, BitField, Bool, CType, CachelineAligned, Char, Const, Int, Long, PerCpu, PidT,
    Place, Pointee, Ptr, Rcu, S32, S64, Scalar, SizeT, U8, U16, U32, U64, UChar, UInt, ULong, ULongLong,
    UShort, User, UserU32, UserU64, Value, Void,
};
pub use desc::{Body, FuncProto, IntEncoding, MemberDesc, Param, TypeDesc, TypeRef};
pub use enums::*;
pub use ops::*;
pub use rq::*;
pub use scx::*;
pub use task::*;

#[cfg(test)]
mod tests;

const PARTS: &[&[TypeDesc]] = &[
    enums::TYPES,
    task::TYPES,
    cpumask::TYPES,
    cgroup::TYPES,
    rq::TYPES,
    scx::TYPES,
    ops::TYPES,
    bpf::TYPES,
];

const COUNT: usize = {
    let mut count = 0;
    let mut i = 0;
    while i < PARTS.len() {
        count += PARTS[i].len();
        i += 1;
    }
    count
};

static ALL: [TypeDesc; COUNT] = {
    let mut all = [enums::TYPES[0]; COUNT];
    let (mut part, mut i, mut out) = (0, 0, 0);
    while part < PARTS.len() {
        if i == PARTS[part].len() {
            part += 1;
            i = 0;
        } else {
            all[out] = PARTS[part][i];
            out += 1;
            i += 1;
        }
    }
    all
};

/// Every declared struct, union and enum. Those with an empty name are anonymous: they are described again where they
/// are used, and an encoder skips them here.
pub fn all_types() -> &'static [TypeDesc] {
    &ALL
}

/// The description of `struct`, `union` or `enum` `name`; none for an empty name.
pub fn find_type(name: &str) -> Option<&'static TypeDesc> {
    ALL.iter().find(|desc| desc.name == name && !name.is_empty())
}

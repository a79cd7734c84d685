//! Kernel objects: what lies at an offset of a struct, and how far a pointer found there can be trusted. Mirrors
//! `btf_struct_access()` of kernel/bpf/btf.c, `check_ptr_to_btf_access()` of verifier.c and `bpf_scx_btf_struct_access()`, 7.3.

use sextant_abi::types::{MemberDesc, TypeDesc, TypeRef, find_type};
use sextant_bpf::btf::TypeId;

use super::reg::{ALLOC, NON_OWN, OR_NULL, PERCPU, RCU, Reg, TRUSTED, Ty, UNTRUSTED, What};
use super::*;
use crate::fields::SpecialFields;
use crate::program::ProgKind;
use crate::range::Scalar;

/// What a load at an offset gives.
enum Found {
    Number,
    /// A pointer member: name, struct pointed to, tags.
    Pointer {
        member: &'static str,
        to: &'static str,
        rcu: bool,
        percpu: bool,
        user: bool,
    },
}

impl Env<'_> {
    pub(super) fn load_obj(&mut self, n: u8, base: &Reg, ty: Ty, off: i64, size: u32) -> Res<Reg> {
        let Some(at) = base.offset().map(|o| o + off) else {
            let text = format!("R{n} is {}{} invalid variable offset", base.type_name(), self.ty_name(ty));
            return refuse_reg(Code::ObjAccess, n, text);
        };
        if at < 0 {
            let text =
                format!("R{n} is {}{} invalid negative access: off={at}", base.type_name(), self.ty_name(ty));
            return refuse_reg(Code::ObjAccess, n, text);
        }
        if base.has(PERCPU) {
            return self.bad_mem(n, base);
        }
        if base.has(UNTRUSTED) || step::bare_object(base) {
            self.probe[self.st.pc] = true;
        }
        let name = match ty {
            Ty::Local(id) => return self.load_local(n, base, id, at, size),
            Ty::Kernel(name) => name,
        };
        if !self.prog.gpl {
            let text = format!("Cannot access kernel 'struct {name}' from non-GPL compatible program");
            return refuse_reg(Code::Licence, n, text);
        }
        let Some(desc) = find_type(name) else {
            // Not modelled: every load is a guess, and reads 0 where there is nothing.
            self.probe[self.st.pc] = true;
            return Ok(self.number(Scalar::bytes(size)));
        };
        match walk(desc, at as u32, size) {
            Ok(Found::Number) => Ok(self.number(Scalar::bytes(size))),
            Ok(Found::Pointer { member, to, rcu, percpu, user }) => {
                let flags = match (percpu, user) {
                    (false, false) => self.field_flags(base, name, member, rcu),
                    (true, _) => PERCPU,
                    (_, true) => return Ok(self.number(Scalar::bytes(size))),
                };
                let mut reg = Reg::ptr(What::Obj(Ty::Kernel(to)), flags);
                if reg.has(OR_NULL) {
                    reg.id = self.fresh_id();
                }
                Ok(reg)
            }
            Err(why) => {
                refuse_reg(Code::ObjAccess, n, format!("access {why} struct {name} off {at} size {size}"))
            }
        }
    }

    /// How far a pointer loaded from `name.member` can be trusted.
    fn field_flags(&self, base: &Reg, name: &str, member: &str, tagged_rcu: bool) -> u16 {
        if base.has(UNTRUSTED) {
            return UNTRUSTED;
        }
        let safe = base.is_trusted() || base.has(RCU);
        if !safe {
            return 0;
        }
        if safe_trusted(name, member) {
            return TRUSTED;
        }
        if !self.st.in_rcu() {
            return UNTRUSTED;
        }
        if safe_rcu(name, member) {
            return RCU;
        }
        if tagged_rcu {
            return RCU | OR_NULL;
        }
        0
    }

    fn load_local(&mut self, n: u8, base: &Reg, id: TypeId, at: i64, size: u32) -> Res<Reg> {
        self.local_bounds(n, id, at, size)?;
        let Some(btf) = self.prog.btf else { return Ok(self.number(Scalar::bytes(size))) };
        let fields = SpecialFields::of_object(btf, id);
        if let Some(field) = fields.touched(at, size.into()).next()
            && !field.kind.is_kptr()
        {
            let text = format!("{} cannot be accessed directly by load/store", field.kind.name());
            return refuse_reg(Code::SpecialField, n, text);
        }
        if !base.has(ALLOC | NON_OWN) {
            self.probe[self.st.pc] = true;
        }
        Ok(self.number(Scalar::bytes(size)))
    }

    fn local_bounds(&self, n: u8, id: TypeId, at: i64, size: u32) -> Res {
        let bytes = self.prog.btf.and_then(|b| b.size_of(id).ok()).unwrap_or(0);
        if at < 0 || at as u64 + u64::from(size) > bytes {
            let name = self.ty_name(Ty::Local(id));
            let text = format!("access beyond struct {name} at off {at} size {size}");
            return refuse_reg(Code::ObjAccess, n, text);
        }
        Ok(())
    }

    /// A store into an allocated object.
    pub(super) fn local_access(&mut self, n: u8, id: TypeId, at: i64, size: u32) -> Res {
        self.local_bounds(n, id, at, size)?;
        let Some(btf) = self.prog.btf else { return Ok(()) };
        let fields = SpecialFields::of_object(btf, id);
        if let Some(field) = fields.touched(at, size.into()).next() {
            let text = format!("direct access to {} is disallowed", field.kind.name());
            return refuse_reg(Code::SpecialField, n, text);
        }
        Ok(())
    }

    /// The only fields of a task that a scheduler may store to.
    pub(super) fn store_task(&mut self, n: u8, base: &Reg, at: i64, size: u32) -> Res {
        let cid_form = match self.prog.kind {
            ProgKind::StructOps { cid_form, .. } => Some(cid_form),
            _ => None,
        };
        let writable: &[&str] = match cid_form {
            Some(false) => &["slice", "dsq_vtime", "disallow"],
            Some(true) => &["disallow"],
            None => &[],
        };
        let inside = |field: &&str| {
            task_scx_field(field).is_some_and(|(off, len)| at >= off && at + i64::from(size) <= off + len)
        };
        if base.has(UNTRUSTED) || step::bare_object(base) {
            let text =
                format!("R{n} is {}task_struct, which may be gone: writing is not allowed", base.type_name());
            return refuse_reg(Code::ObjWrite, n, text);
        }
        if writable.iter().any(inside) {
            return Ok(());
        }
        let field = find_type("task_struct").map_or(String::new(), |d| path_at(d, at as u32));
        let text =
            format!("write access to task_struct{field} at off {at} with size {size} is not supported");
        refuse_reg(Code::ObjWrite, n, text)
    }
}

/// Offset and size in bytes of `task_struct.scx.<field>`.
fn task_scx_field(field: &str) -> Option<(i64, i64)> {
    let scx = find_type("task_struct")?.member("scx")?;
    let member = find_type("sched_ext_entity")?.member(field)?;
    let size = match field {
        "disallow" => 1,
        _ => 8,
    };
    Some((i64::from((scx.bit_offset + member.bit_offset) / 8), size))
}

/// `.scx.slice`: the member at an offset.
fn path_at(desc: &TypeDesc, at: u32) -> String {
    let inside = |m: &&MemberDesc| {
        let start = m.bit_offset / 8;
        start <= at && at < start + size_of(m.ty).max(1)
    };
    let Some(m) = desc.members().iter().find(inside) else { return String::new() };
    let deeper = match m.ty.strip() {
        TypeRef::Struct(name) | TypeRef::Union(name) => find_type(name),
        TypeRef::Anon(desc) => Some(desc),
        _ => None,
    };
    let rest = deeper.map_or(String::new(), |d| path_at(d, at - m.bit_offset / 8));
    if m.name.is_empty() { rest } else { format!(".{}{rest}", m.name) }
}

/// `sizeof` a type expression, 0 when it has none.
pub(super) fn size_of(ty: TypeRef) -> u32 {
    match ty.strip() {
        TypeRef::Int(_, size, _) => size,
        TypeRef::Ptr(_) => 8,
        TypeRef::Array(elem, n) => size_of(*elem) * n,
        TypeRef::Struct(name) | TypeRef::Union(name) => find_type(name).map_or(0, |d| d.size),
        TypeRef::Enum(name) => find_type(name).map_or(4, |d| d.size),
        TypeRef::Anon(desc) => desc.size,
        _ => 0,
    }
}

/// What `size` bytes at `off` are. The error is the kernel's word for how the access lies wrong.
fn walk(desc: &'static TypeDesc, off: u32, size: u32) -> Result<Found, &'static str> {
    if off + size > desc.size {
        return flexible(desc, off, size).ok_or("beyond");
    }
    for m in desc.members() {
        if m.bits != 0 {
            if m.bit_offset / 8 < off + size && off < (m.bit_offset + m.bits).div_ceil(8) {
                return Ok(Found::Number);
            }
            continue;
        }
        let (start, len) = (m.bit_offset / 8, size_of(m.ty));
        if off < start || off >= start + len {
            continue;
        }
        if let Some(found) = member(desc, m, m.ty, off - start, size)? {
            return Ok(found);
        }
    }
    // Padding and what is not modelled.
    Ok(Found::Number)
}

/// Elements of an array at the end of the struct.
fn flexible(desc: &'static TypeDesc, off: u32, size: u32) -> Option<Found> {
    let last = desc.members().last()?;
    let TypeRef::Array(elem, 0) = last.ty.strip() else { return None };
    let start = last.bit_offset / 8;
    let len = size_of(*elem).max(1);
    if off < start {
        return None;
    }
    member(desc, last, *elem, (off - start) % len, size).ok().flatten()
}

fn member(
    _owner: &TypeDesc,
    m: &'static MemberDesc,
    ty: TypeRef,
    off: u32,
    size: u32,
) -> Result<Option<Found>, &'static str> {
    let mut tags = (false, false, false);
    match ty.strip() {
        TypeRef::Array(elem, _) => {
            let len = size_of(*elem).max(1);
            member(_owner, m, *elem, off % len, size)
        }
        TypeRef::Struct(name) | TypeRef::Union(name) => match find_type(name) {
            Some(desc) => walk(desc, off, size).map(Some),
            None => Ok(Some(Found::Number)),
        },
        TypeRef::Anon(desc) => {
            // Members of a union: the first that is a pointer decides.
            if let sextant_abi::types::Body::Union(members) = desc.body {
                for m in members {
                    if let Ok(Some(found @ Found::Pointer { .. })) = member(desc, m, m.ty, off, size) {
                        return Ok(Some(found));
                    }
                }
                return Ok(Some(Found::Number));
            }
            walk(desc, off, size).map(Some)
        }
        TypeRef::Ptr(to) => {
            if size != 8 || off != 0 {
                return Err("inside of a pointer of");
            }
            let mut at = *to;
            let name = loop {
                at = match at {
                    TypeRef::TypeTag(tag, inner) => {
                        tags = (tags.0 || tag == "rcu", tags.1 || tag == "percpu", tags.2 || tag == "user");
                        *inner
                    }
                    TypeRef::Const(inner) | TypeRef::Volatile(inner) | TypeRef::Typedef(_, inner) => *inner,
                    TypeRef::Struct(name) | TypeRef::Union(name) => break name,
                    _ => return Ok(Some(Found::Number)),
                };
            };
            let (rcu, percpu, user) = tags;
            Ok(Some(Found::Pointer { member: m.name, to: name, rcu, percpu, user }))
        }
        _ => Ok(Some(Found::Number)),
    }
}

/// Fields whose object lives as long as the one that holds them (`BTF_TYPE_SAFE_TRUSTED`).
fn safe_trusted(name: &str, member: &str) -> bool {
    matches!((name, member), ("bpf_iter__task", "task" | "meta"))
}

/// Fields that are never NULL and whose object lives through the RCU read side (`BTF_TYPE_SAFE_RCU`).
fn safe_rcu(name: &str, member: &str) -> bool {
    matches!(
        (name, member),
        ("task_struct", "cpus_ptr" | "cgroups" | "real_parent" | "group_leader")
            | ("cgroup", "kn")
            | ("css_set", "dfl_cgrp")
            | ("cgroup_subsys_state", "cgroup")
    )
}

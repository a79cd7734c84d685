//! Kernel objects: how far a pointer found in one can be trusted, what may be stored. Mirrors `check_ptr_to_btf_access()` of
//! kernel/bpf/verifier.c, `btf_struct_access()` of btf.c and `bpf_scx_btf_struct_access()` of kernel/sched/ext/ext.c, 7.3.

use sextant_abi::types::{MemberDesc, TypeDesc, TypeRef, find_type};
use sextant_bpf::btf::TypeId;

use super::reg::{ALLOC, OR_NULL, PERCPU, RCU, RDONLY, Reg, TRUSTED, Ty, UNTRUSTED, What};
use super::walk::{KernelTypes, Step, Walk, leaf, step, struct_pointee};
use super::*;
use crate::fields::SpecialFields;
use crate::program::ProgKind;
use crate::range::Scalar;

impl Env<'_> {
    /// What `size` bytes of an object are.
    pub(super) fn load_obj(&mut self, n: u8, base: &Reg, ty: Ty, off: i64, size: u32) -> Res<Reg> {
        let at = self.obj_place(n, base, ty, off)?;
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
        let mut untrusted = false;
        let walk = Walk { off: at as u32, size, flexible: true };
        match leaf(&KernelTypes, desc, walk, &mut untrusted) {
            Ok(Step::Pointer(holder, index)) => Ok(self.found_pointer(base, name, holder, index, untrusted)),
            Ok(Step::Bytes) => Ok(Reg::ptr(What::Mem(u32::MAX), UNTRUSTED | RDONLY)),
            Ok(_) => Ok(self.number(Scalar::bytes(size))),
            Err(why) => refuse_reg(Code::ObjAccess, n, why),
        }
    }

    /// Where in the object an access is: at a known offset, not before it, of memory that is one object.
    pub(super) fn obj_place(&self, n: u8, base: &Reg, ty: Ty, off: i64) -> Res<i64> {
        let Some(at) = base.offset().map(|o| o + off) else {
            let text = format!("R{n} is {}{} invalid variable offset", base.type_name(), self.ty_name(ty));
            return refuse_reg(Code::ObjAccess, n, text);
        };
        let place = format!("R{n} is {}{}", base.type_name(), self.ty_name(ty));
        if at < 0 {
            return refuse_reg(Code::ObjAccess, n, format!("{place} invalid negative access: off={at}"));
        }
        if base.has(PERCPU) {
            return refuse_reg(Code::NotAPointer, n, format!("{place} access percpu memory: off={at}"));
        }
        Ok(at)
    }

    /// A pointer member that was loaded.
    fn found_pointer(
        &mut self,
        base: &Reg,
        name: &str,
        holder: &'static TypeDesc,
        index: usize,
        untrusted: bool,
    ) -> Reg {
        let member = holder.members()[index];
        let mut ty = member.ty.strip();
        while let TypeRef::Array(of, _) = ty {
            ty = of.strip();
        }
        let TypeRef::Ptr(to) = ty else { return Reg::UNKNOWN };
        let Some(to) = struct_pointee(*to) else { return Reg::UNKNOWN };
        let flags = self.field_flags(base, name, member.name, untrusted);
        let mut reg = Reg::ptr(What::Obj(Ty::Kernel(to)), flags);
        if reg.has(OR_NULL) {
            reg.id = self.fresh_id();
        }
        reg
    }

    /// How far a pointer loaded from `name.member` can be trusted. `untrusted`: through a union.
    fn field_flags(&self, base: &Reg, name: &str, member: &str, untrusted: bool) -> u16 {
        if base.has(UNTRUSTED) {
            return UNTRUSTED;
        }
        let through = if untrusted { UNTRUSTED } else { 0 };
        if !base.is_trusted() && !base.has(RCU) {
            return through;
        }
        if safe_trusted(name, member) {
            return TRUSTED | through;
        }
        if safe_trusted_or_null(name, member) {
            return TRUSTED | OR_NULL | through;
        }
        if !self.st.in_rcu() {
            return UNTRUSTED;
        }
        if safe_rcu(name, member) {
            return RCU | through;
        }
        if safe_rcu_or_null(name, member) {
            return RCU | OR_NULL;
        }
        through
    }

    /// A kernel object or one of the program's as memory of a helper, kfunc or global function.
    pub(super) fn obj_arg(&mut self, n: u8, reg: &Reg, size: u32, reads: bool, writes: bool) -> Res {
        let What::Obj(ty) = reg.what else { return Ok(()) };
        if reads {
            let probe = self.probe[self.st.pc];
            self.load_obj(n, reg, ty, 0, size)?;
            self.probe[self.st.pc] = probe;
        }
        if writes {
            self.obj_place(n, reg, ty, 0)?;
            self.store_obj(n, reg, ty, 0, size)?;
        }
        Ok(())
    }

    fn load_local(&mut self, n: u8, base: &Reg, id: TypeId, at: i64, size: u32) -> Res<Reg> {
        if base.has(ALLOC) {
            self.no_field(n, id, at, size)?;
        }
        match self.local_step(n, id, at, size)? {
            Step::Bytes => Ok(Reg::ptr(What::Mem(u32::MAX), UNTRUSTED | RDONLY)),
            _ => Ok(self.number(Scalar::bytes(size))),
        }
    }

    /// What lies there in a struct of the program's.
    fn local_step(&self, n: u8, id: TypeId, at: i64, size: u32) -> Res<Step<TypeId>> {
        let Some(btf) = self.prog.btf else { return Ok(Step::Number) };
        let Ok(off) = u32::try_from(at) else {
            return refuse_reg(Code::ObjAccess, n, format!("invalid negative access: off={at}"));
        };
        let walk = Walk { off, size, flexible: false };
        match leaf(btf, id, walk, &mut false) {
            Ok(found) => Ok(found),
            Err(why) => refuse_reg(Code::ObjAccess, n, why),
        }
    }

    /// A store into an allocated object.
    pub(super) fn local_access(&mut self, n: u8, id: TypeId, at: i64, size: u32) -> Res {
        self.no_field(n, id, at, size)?;
        self.local_step(n, id, at, size).map(|_| ())
    }

    fn no_field(&self, n: u8, id: TypeId, at: i64, size: u32) -> Res {
        let Some(btf) = self.prog.btf else { return Ok(()) };
        if let Some(field) = SpecialFields::of_object(btf, id).touched(at, size.into()).next() {
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
        if base.may_be_gone() {
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

/// Whether a pointer into `own` at `off` is one to `wanted`: itself, or a struct that starts there. `strict`: itself only. Mirrors
/// `btf_struct_ids_match()`.
pub(super) fn same_struct(own: Ty, wanted: &str, off: i64, strict: bool) -> bool {
    let Ty::Kernel(name) = own else { return false };
    if name == wanted && off == 0 {
        return true;
    }
    let (Some(mut desc), Ok(mut off), false) = (find_type(name), u32::try_from(off), strict) else {
        return false;
    };
    loop {
        match step(&KernelTypes, desc, Walk { off, size: 1, flexible: true }, &mut false) {
            Ok(Step::Into(inner)) if !inner.name.is_empty() && inner.name == wanted => return true,
            Ok(Step::Into(inner)) => (desc, off) = (inner, 0),
            _ => return false,
        }
    }
}

/// Fields whose object lives as long as the one that holds them, never NULL (`BTF_TYPE_SAFE_TRUSTED`).
fn safe_trusted(name: &str, member: &str) -> bool {
    matches!(
        (name, member),
        ("bpf_iter__task", "task" | "meta")
            | ("bpf_iter_meta", "seq")
            | ("linux_binprm", "file")
            | ("file", "f_inode")
    )
}

/// The same, may be NULL (`BTF_TYPE_SAFE_TRUSTED_OR_NULL`).
fn safe_trusted_or_null(name: &str, member: &str) -> bool {
    matches!(
        (name, member),
        ("dentry", "d_inode") | ("socket", "sk") | ("vm_area_struct", "vm_mm" | "vm_file")
    )
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

/// The same, may be NULL (`BTF_TYPE_SAFE_RCU_OR_NULL`).
fn safe_rcu_or_null(name: &str, member: &str) -> bool {
    matches!((name, member), ("mm_struct", "exe_file" | "owner") | ("sk_buff", "sk") | ("request_sock", "sk"))
}

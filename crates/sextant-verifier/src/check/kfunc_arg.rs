//! Arguments of kfuncs, by C type and the suffix of their names. Mirrors `check_kfunc_args()` and `get_kfunc_ptr_arg_type()` of
//! kernel/bpf/verifier.c, 7.3.

use sextant_abi::tables::{Kfunc, KfuncFlags, KfuncId};
use sextant_abi::types::{Param, TypeRef, find_type};

use super::kfunc::{Told, iterator, pointee};
use super::reg::{ALLOC, NON_OWN, OR_NULL, RCU, Reg, Ty, UNTRUSTED, What};
use super::*;
use crate::fields::FieldKind;

impl Env<'_> {
    pub(super) fn kfunc_args(&mut self, id: KfuncId, kfunc: &'static Kfunc) -> Res<Told> {
        let mut told = Told::default();
        let params = kfunc.proto.params;
        for (i, param) in params.iter().enumerate().take(5) {
            let n = i as u8 + 1;
            let size_next =
                params.get(i + 1).filter(|p| p.name.ends_with("__sz") || p.name.ends_with("__szk"));
            self.kfunc_param(id, kfunc, n, param, size_next, &mut told)?;
        }
        Ok(told)
    }

    fn kfunc_param(
        &mut self,
        id: KfuncId,
        kfunc: &'static Kfunc,
        n: u8,
        param: &Param,
        size_next: Option<&Param>,
        told: &mut Told,
    ) -> Res {
        let name = param.name;
        let suffix = |s: &str| name.ends_with(s);
        if suffix("__prog") {
            return Ok(());
        }
        let reg = self.read(n)?;
        if suffix("__ign") {
            return Ok(());
        }
        let TypeRef::Ptr(to) = param.ty.strip() else {
            return self.kfunc_number(n, name, told);
        };
        if is_arena(param.ty) {
            let fits = matches!(reg.what, What::Arena) || reg.is_scalar();
            return if fits {
                Ok(())
            } else {
                refuse_reg(Code::ArgType, n, format!("R{n} is not a pointer to arena or scalar."))
            };
        }
        let nullable = suffix("__nullable");
        if reg.is_null() && nullable {
            self.matters(&reg);
            return Ok(());
        }
        if id == KfuncId::bpf_cast_to_kern_ctx && reg.what == What::Ctx {
            return Ok(());
        }
        if suffix("__map") || suffix("__const_map") || is_map_param(id, n) {
            return match reg.what {
                What::Map(_) if !reg.has(OR_NULL) => Ok(()),
                _ => refuse_reg(Code::ArgType, n, format!("arg#{} pointer to map expected", n - 1)),
            };
        }
        if matches!(to.strip(), TypeRef::Func(_)) {
            return self.func_arg(n).map(|_| ());
        }
        if suffix("__str") {
            return self.const_str(n);
        }
        if suffix("__irq_flag") {
            return Ok(());
        }
        if suffix("__alloc") {
            return self.owned_arg(n, &reg, told);
        }
        if suffix("__refcounted_kptr") {
            return self.refcounted_arg(n, &reg, told);
        }
        let target = pointee(param.ty);
        if let Some(iter) = target.filter(|t| t.starts_with("bpf_iter_")) {
            if kfunc.flags.contains(KfuncFlags::ITER_NEW) && n == 1 {
                return self.iter_new(n, iter, kfunc);
            }
            if suffix("__iter") || iterator(kfunc).is_some() {
                return self.iter_arg(n, iter).map(|_| ());
            }
        }
        match target {
            Some("bpf_dynptr") if suffix("__uninit") => return self.dynptr_new(n, 0, false),
            Some("bpf_dynptr") => {
                let dynptr = self.dynptr_arg(n)?;
                told.dynptr = Some((dynptr.id, dynptr.rdonly));
                return Ok(());
            }
            Some("bpf_list_head" | "bpf_rb_root" | "bpf_list_node" | "bpf_rb_node") => return Ok(()),
            Some("bpf_timer") => {
                return self.field_arg(n, "bpf_timer", |k| k == FieldKind::Timer).map(|_| ());
            }
            Some("bpf_wq") => {
                let (holder, _) = self.field_arg(n, "bpf_wq", |k| k == FieldKind::Wq)?;
                if matches!(id, KfuncId::bpf_wq_set_callback | KfuncId::bpf_wq_set_callback_impl) {
                    let func = self.func_arg(2)?;
                    self.call_later(&holder, func, true)?;
                }
                return Ok(());
            }
            _ => {}
        }
        // NULL with a size of 0 is taken where the buffer may be missing.
        if let Some(name) = target.filter(|_| matches!(reg.what, What::Obj(_)) || is_kernel_handle(target)) {
            return self.kfunc_obj(kfunc, n, &reg, name, nullable, told);
        }
        if let Some(size) = size_next {
            let reads_only = matches!(to, TypeRef::Const(_));
            if size.name.ends_with("__szk") {
                told.slice = Some(self.const_arg(n + 1)?.min(u64::from(u32::MAX - 1)) as u32);
            }
            return self.sized_arg(
                n,
                true,
                nullable || reg.is_null(),
                true,
                !reads_only && !reg.has(reg::RDONLY),
            );
        }
        let size = obj::size_of(*to).max(1);
        let writes = !matches!(to, TypeRef::Const(_))
            && !matches!(to.strip(), TypeRef::Int("char", ..))
            && written(id, n);
        self.memory_arg(n, size, true, writes)
    }

    fn kfunc_number(&mut self, n: u8, name: &str, told: &mut Told) -> Res {
        let reg = self.scalar_arg(n)?;
        if name.ends_with("__k") {
            told.constant = Some(self.const_arg(n)?);
        } else if name.ends_with("__sz") || name.ends_with("__szk") {
            self.matters(&reg);
        }
        Ok(())
    }

    /// A kernel object of the kind the prototype names.
    fn kfunc_obj(
        &mut self,
        kfunc: &Kfunc,
        n: u8,
        reg: &Reg,
        name: &str,
        nullable: bool,
        told: &mut Told,
    ) -> Res {
        let i = n - 1;
        if reg.has(OR_NULL) && !nullable {
            let text = format!("Possibly NULL pointer passed to trusted R{n} (arg#{i} of {})", kfunc.name);
            return refuse_reg(Code::ArgNull, n, text);
        }
        if reg.is_null() {
            let text = format!("Possibly NULL pointer passed to trusted R{n} (arg#{i} of {})", kfunc.name);
            return refuse_reg(Code::ArgNull, n, text);
        }
        if matches!(reg.what, What::Map(_)) && name == "bpf_map" {
            return Ok(()); // a map's own pointer is one to its struct
        }
        let What::Obj(own) = reg.what else {
            let text = format!("arg#{i} is {} expected {name} or socket", reg.type_name());
            return refuse_reg(Code::ArgType, n, text);
        };
        let release = kfunc.flags.contains(KfuncFlags::RELEASE);
        if release {
            if reg.ref_id == 0 || !self.st.refs.iter().any(|r| r.id == reg.ref_id) {
                let text = format!("release kernel function {} expects refcounted PTR_TO_BTF_ID", kfunc.name);
                return refuse_reg(Code::RefRelease, n, text);
            }
            if reg.offset() != Some(0) {
                return refuse_reg(
                    Code::ArgType,
                    n,
                    format!("R{n} must have zero offset when passed to release func or trusted arg to kfunc"),
                );
            }
            told.released = Some(reg.ref_id);
        } else if !reg.is_trusted() {
            let rcu_ok = kfunc.flags.contains(KfuncFlags::RCU);
            if !rcu_ok {
                return refuse_reg(Code::ArgTrust, n, format!("R{n} must be referenced or trusted"));
            }
            if !reg.has(RCU) {
                return refuse_reg(Code::ArgTrust, n, format!("R{n} must be a rcu pointer"));
            }
        }
        let Some(off) = reg.offset() else {
            return refuse_reg(Code::ArgType, n, format!("R{n} variable offset in {}", reg.type_name()));
        };
        if !same_struct(own, name, off, release) {
            let text = format!(
                "kernel function {} args#{i} expected pointer to STRUCT {name} but R{n} has a pointer to STRUCT {}",
                kfunc.name,
                self.ty_name(own)
            );
            return refuse_reg(Code::ArgType, n, text);
        }
        Ok(())
    }

    /// `__alloc`: an object that the program owns.
    fn owned_arg(&mut self, n: u8, reg: &Reg, told: &mut Told) -> Res {
        let owned = reg.has(ALLOC) && !reg.has(OR_NULL | UNTRUSTED | RCU) && reg.ref_id != 0;
        let (What::Obj(ty), true) = (reg.what, owned) else {
            let code = if reg.has(OR_NULL) { Code::ArgNull } else { Code::ArgType };
            return refuse_reg(code, n, format!("arg#{} expected pointer to allocated object", n - 1));
        };
        if !self.st.refs.iter().any(|r| r.id == reg.ref_id) || reg.has(NON_OWN) {
            return refuse_reg(Code::RefRelease, n, "allocated object must be referenced");
        }
        if reg.offset() != Some(0) {
            return refuse_reg(
                Code::ArgType,
                n,
                format!("R{n} must have zero offset when passed to release func"),
            );
        }
        told.object = Some(ty);
        told.released = Some(reg.ref_id);
        Ok(())
    }

    fn refcounted_arg(&mut self, n: u8, reg: &Reg, told: &mut Told) -> Res {
        let What::Obj(ty @ Ty::Local(id)) = reg.what else {
            return refuse_reg(
                Code::ArgType,
                n,
                format!("arg#{} is neither owning or non-owning ref", n - 1),
            );
        };
        if reg.has(OR_NULL) {
            return refuse_reg(Code::ArgNull, n, format!("Possibly NULL pointer passed to trusted R{n}"));
        }
        if !reg.has(ALLOC | NON_OWN) {
            return refuse_reg(
                Code::ArgType,
                n,
                format!("arg#{} is neither owning or non-owning ref", n - 1),
            );
        }
        let fields =
            self.prog.btf.map(|b| crate::fields::SpecialFields::of_object(b, id)).unwrap_or_default();
        if !fields.any(|k| k == FieldKind::Refcount) {
            let text = format!("arg#{} doesn't point to a type with bpf_refcount field", n - 1);
            return refuse_reg(Code::ArgType, n, text);
        }
        told.object = Some(ty);
        Ok(())
    }
}

/// Structs that only the kernel makes: a pointer to one must be typed, never plain memory.
fn is_kernel_handle(name: Option<&str>) -> bool {
    matches!(
        name,
        Some("task_struct" | "cgroup" | "cpumask" | "bpf_cpumask" | "rq" | "cgroup_subsys_state" | "bpf_map")
    )
}

fn is_map_param(id: KfuncId, n: u8) -> bool {
    use KfuncId as K;
    match id {
        K::bpf_arena_alloc_pages | K::bpf_arena_free_pages | K::bpf_arena_reserve_pages => n == 1,
        K::bpf_wq_init => n == 2,
        _ => false,
    }
}

/// Whether the kfunc may write through a plain memory argument; only these are given memory that must be writable.
fn written(id: KfuncId, n: u8) -> bool {
    use KfuncId as K;
    matches!((id, n), (K::scx_bpf_select_cpu_dfl, 4) | (K::scx_bpf_events, 1) | (K::scx_bpf_cid_topo, 2))
}

fn is_arena(ty: TypeRef) -> bool {
    let TypeRef::Ptr(mut to) = ty.strip() else { return false };
    loop {
        to = match to {
            TypeRef::TypeTag("arena", _) => return true,
            TypeRef::TypeTag(_, inner) | TypeRef::Const(inner) | TypeRef::Volatile(inner) => inner,
            _ => return false,
        };
    }
}

/// Whether a pointer into `own` at `off` is one to `wanted`: itself, or a member there. `exact`: itself only.
fn same_struct(own: Ty, wanted: &str, off: i64, exact: bool) -> bool {
    let Ty::Kernel(name) = own else { return false };
    if name == wanted && off == 0 {
        return true;
    }
    // cpumask_t and bpf_cpumask start with the same words; releasing wants the very type.
    !exact && embedded(name, wanted, off, 8)
}

fn embedded(name: &str, wanted: &str, off: i64, depth: u32) -> bool {
    let (Some(desc), true) = (find_type(name), depth > 0) else { return false };
    desc.members().iter().any(|m| {
        let start = i64::from(m.bit_offset / 8);
        let TypeRef::Struct(inner) = m.ty.strip() else { return false };
        off >= start && ((inner == wanted && off == start) || embedded(inner, wanted, off - start, depth - 1))
    })
}

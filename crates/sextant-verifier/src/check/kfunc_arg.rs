//! Arguments of kfuncs, by C type and the suffix of their names. Mirrors `get_kfunc_arg_type()` and `check_kfunc_args()` of
//! kernel/bpf/verifier.c, 7.3.

use sextant_abi::tables::{Kfunc, KfuncFlags, KfuncId};
use sextant_abi::types::{Param, TypeRef};

use super::kfunc::{Told, iterator, pointee};
use super::lock::Holder;
use super::memarg::{Offset, Use};
use super::reg::{ALLOC, NON_OWN, OR_NULL, PERCPU, RCU, Reg, Ty, UNTRUSTED, What};
use super::*;
use crate::fields::FieldKind;

/// An argument: where it is, what the prototype says of it, what is there.
#[derive(Clone, Copy)]
struct Arg<'a> {
    n: u8,
    id: KfuncId,
    kfunc: &'static Kfunc,
    param: &'a Param,
    /// What its type points to.
    to: TypeRef,
    reg: Reg,
}

impl Arg<'_> {
    fn ends(&self, suffix: &str) -> bool {
        self.param.name.ends_with(suffix)
    }

    fn is_nullable(&self) -> bool {
        self.ends("__nullable") || self.ends("__arena")
    }

    fn is_arena(&self) -> bool {
        self.ends("__arena") || self.ends("__arena__nullable")
    }

    /// It is the object that the call releases.
    fn is_released(&self) -> bool {
        self.n == 1 && self.kfunc.flags.contains(KfuncFlags::RELEASE)
    }
}

impl Env<'_> {
    pub(super) fn kfunc_args(&mut self, id: KfuncId, kfunc: &'static Kfunc) -> Res<Told> {
        let mut told = Told::default();
        let params = kfunc.proto.params;
        for (i, param) in params.iter().enumerate().take(5) {
            let n = i as u8 + 1;
            if param.name.ends_with("__prog") || param.name.ends_with("__ign") {
                continue;
            }
            let TypeRef::Ptr(to) = param.ty.strip() else {
                self.kfunc_number(n, param.name, &mut told)?;
                continue;
            };
            let reg = self.read(n)?;
            let sized = params.get(i + 1).is_some_and(|p| is_size(p.name));
            self.kfunc_pointer(Arg { n, id, kfunc, param, to: *to, reg }, sized, &mut told)?;
        }
        Ok(told)
    }

    /// A number: any, a constant one, or the size of the memory before it.
    fn kfunc_number(&mut self, n: u8, name: &str, told: &mut Told) -> Res {
        let reg = self.scalar_arg(n)?;
        if name.ends_with("__k") {
            told.constant = Some(self.const_arg(n)?);
        }
        if !is_size(name) {
            return Ok(());
        }
        if name.ends_with("__szk") {
            told.slice = Some(self.const_arg(n)?.min(u64::from(u32::MAX - 1)) as u32);
        }
        self.matters(&reg);
        let memory = self.read(n - 1)?;
        if memory.is_null() {
            return Ok(());
        }
        self.sized_memory(n - 1, &memory, true, Use::BOTH)
    }

    fn kfunc_pointer(&mut self, arg: Arg<'_>, sized: bool, told: &mut Told) -> Res {
        let Arg { n, reg, kfunc, .. } = arg;
        if arg.is_arena() && !self.has_arena() {
            let text = format!("R{n} arena pointer requires a program with an associated arena");
            return refuse_reg(Code::MapUse, n, text);
        }
        if (reg.is_null() || reg.has(OR_NULL)) && !arg.is_nullable() {
            self.matters(&reg);
            let text =
                format!("Possibly NULL pointer passed to trusted R{n} (arg#{} of {})", n - 1, kfunc.name);
            return refuse_reg(Code::ArgNull, n, text);
        }
        let dynptr = pointee(arg.param.ty) == Some("bpf_dynptr");
        if arg.is_released() && !dynptr && !reg.is_null() && !self.is_referenced(&reg) {
            let text =
                format!("release kfunc {} expects referenced PTR_TO_BTF_ID passed to R{n}", kfunc.name);
            return refuse_reg(Code::RefRelease, n, text);
        }
        if reg.is_null() {
            self.matters(&reg);
            return Ok(());
        }
        let offset = match arg.id {
            _ if arg.is_released() => Offset::Released,
            KfuncId::bpf_cast_to_kern_ctx => Offset::Ctx,
            _ if arg.ends("__refcounted_kptr") => Offset::None,
            _ => Offset::Fixed,
        };
        self.arg_offset(n, &reg, offset)?;
        if self.kfunc_special(arg, told)? {
            return Ok(());
        }
        if sized {
            return Ok(()); // checked with the size
        }
        match walk::struct_pointee(arg.to) {
            Some(name) => self.kfunc_obj(arg, name, told),
            None => self.memory(n, &reg, obj::size_of(arg.to).max(1), Use::BOTH),
        }
    }

    /// Whether something of a referenced object is in the register.
    fn is_referenced(&self, reg: &Reg) -> bool {
        reg.ref_id != 0 && self.st.refs.iter().any(|r| r.id == reg.ref_id)
    }

    /// Arguments that are more than memory or a kernel object; true when it is one.
    fn kfunc_special(&mut self, arg: Arg<'_>, told: &mut Told) -> Res<bool> {
        let Arg { n, id, kfunc, reg, .. } = arg;
        if id == KfuncId::bpf_cast_to_kern_ctx {
            let text = format!("R{n} expected pointer to ctx, but got {}", reg.type_name());
            return if reg.what == What::Ctx { Ok(true) } else { refuse_reg(Code::ArgType, n, text) };
        }
        if arg.ends("__alloc") {
            return self.owned_arg(arg, told).map(|()| true);
        }
        if arg.ends("__refcounted_kptr") {
            return self.refcounted_arg(n, &reg, told).map(|()| true);
        }
        let target = pointee(arg.param.ty);
        if target == Some("bpf_dynptr") {
            return self.kfunc_dynptr(arg, told).map(|()| true);
        }
        if let Some(iter) = target.filter(|_| arg.ends("__iter") || (n == 1 && iterator(kfunc).is_some())) {
            if kfunc.flags.contains(KfuncFlags::ITER_NEW) {
                return self.iter_new(n, iter, kfunc).map(|()| true);
            }
            return self.iter_arg(n, iter, kfunc.name).map(|_| true);
        }
        if arg.ends("__str") {
            return self.const_str(n).map(|()| true);
        }
        if arg.ends("__map") || arg.ends("__const_map") || is_map_param(id, n) {
            return self.map_arg(n, &reg, told).map(|()| true);
        }
        if arg.ends("__irq_flag") {
            return Ok(true);
        }
        if arg.is_arena() {
            return self.arena_arg(n, &reg).map(|()| true);
        }
        if matches!(arg.to.strip(), TypeRef::Func(_)) {
            return self.func_arg(n).map(|_| true);
        }
        match target {
            Some("bpf_list_head" | "bpf_rb_root" | "bpf_list_node" | "bpf_rb_node") => Ok(true),
            Some("bpf_timer") => {
                let is = |k| k == FieldKind::Timer;
                self.field_arg(n, "bpf_timer", Holder::MapValue, is).map(|_| true)
            }
            Some("bpf_wq") => {
                let (holder, _) = self.field_arg(n, "bpf_wq", Holder::MapValue, |k| k == FieldKind::Wq)?;
                if let What::MapValue(map) = holder.what {
                    told.map = Some(map);
                }
                if matches!(id, KfuncId::bpf_wq_set_callback | KfuncId::bpf_wq_set_callback_impl) {
                    let func = self.func_arg(2)?;
                    self.call_later(&holder, func, true)?;
                }
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// A dynptr: one that exists, or where one is made. A clone holds what the first holds.
    fn kfunc_dynptr(&mut self, arg: Arg<'_>, told: &mut Told) -> Res {
        if arg.ends("__uninit") {
            return self.dynptr_new(arg.n, told.dynptr.map_or(0, |of| of.ref_id));
        }
        told.dynptr = Some(self.dynptr_arg(arg.n)?);
        Ok(())
    }

    /// A map itself; of a work item, the one that holds it.
    fn map_arg(&mut self, n: u8, reg: &Reg, told: &Told) -> Res {
        let What::Map(map) = reg.what else {
            // Any struct bpf_map of the kernel's will do where the prototype takes one.
            if matches!(reg.what, What::Obj(Ty::Kernel("bpf_map"))) && reg.is_trusted() {
                return Ok(());
            }
            return refuse_reg(Code::ArgType, n, format!("pointer in R{n} isn't map pointer"));
        };
        if told.map.is_some_and(|held| held != map) {
            let text = format!("workqueue pointer in R{} doesn't match map pointer in R{n}", n - 1);
            return refuse_reg(Code::MapUse, n, text);
        }
        Ok(())
    }

    fn has_arena(&self) -> bool {
        self.maps.iter().any(|m| m.map_type == sextant_abi::tables::bpf::BPF_MAP_TYPE_ARENA)
    }

    /// A place in the program's arena, or a number.
    fn arena_arg(&self, n: u8, reg: &Reg) -> Res {
        if reg.what == What::Arena || reg.is_scalar() {
            return Ok(());
        }
        refuse_reg(Code::ArgType, n, format!("R{n} is not a pointer to arena or scalar"))
    }

    /// A kernel object of the kind the prototype names; or memory, where that kind is only numbers.
    fn kfunc_obj(&mut self, arg: Arg<'_>, name: &str, told: &mut Told) -> Res {
        let Arg { n, reg, kfunc, .. } = arg;
        let own = match reg.what {
            What::Map(_) => Ty::Kernel("bpf_map"), // a map's own pointer is one to its struct
            What::Obj(own) => own,
            _ if walk::kernel_scalar_struct(name) => {
                return self.memory(n, &reg, obj::size_of(arg.to).max(1), Use::BOTH);
            }
            _ => {
                let text = format!("R{n} is {} expected STRUCT {name}", reg.type_name());
                return refuse_reg(Code::ArgType, n, text);
            }
        };
        let unsafe_flags = reg.has(OR_NULL | UNTRUSTED | RCU | PERCPU);
        let trusted = !unsafe_flags
            && (matches!(reg.what, What::Map(_)) || reg.is_trusted() || self.is_referenced(&reg));
        if !trusted {
            if !kfunc.flags.contains(KfuncFlags::RCU) {
                return refuse_reg(Code::ArgTrust, n, format!("R{n} must be referenced or trusted"));
            }
            if !reg.has(RCU) {
                return refuse_reg(Code::ArgTrust, n, format!("R{n} must be a rcu pointer"));
            }
        }
        if arg.is_released() {
            told.released = Some(reg.ref_id);
        }
        if !obj::same_struct(own, name, reg.offset().unwrap_or(-1), arg.is_released()) {
            let text = format!(
                "kernel function {} R{n} expected pointer to STRUCT {name} but R{n} has a pointer to STRUCT {}",
                kfunc.name,
                self.ty_name(own)
            );
            return refuse_reg(Code::ArgType, n, text);
        }
        Ok(())
    }

    /// `__alloc`: an object that the program owns, dropped by the kfunc for its kind.
    fn owned_arg(&mut self, arg: Arg<'_>, told: &mut Told) -> Res {
        use KfuncId as K;
        let Arg { n, reg, .. } = arg;
        let percpu = matches!(arg.id, K::bpf_percpu_obj_drop | K::bpf_percpu_obj_drop_impl);
        let flags = reg.type_flags();
        let (What::Obj(ty), true) = (reg.what, matches!(flags, ALLOC | OWNED_PERCPU)) else {
            return refuse_reg(Code::ArgType, n, format!("R{n} expected pointer to allocated object"));
        };
        if (flags == OWNED_PERCPU) != percpu {
            let drop = if percpu { "bpf_obj_drop()" } else { "bpf_percpu_obj_drop()" };
            return refuse_reg(Code::ArgType, n, format!("R{n} expected for {drop}"));
        }
        if !self.is_referenced(&reg) {
            return refuse_reg(Code::RefRelease, n, "allocated object must be referenced");
        }
        told.object = Some(ty);
        told.released = Some(reg.ref_id);
        Ok(())
    }

    fn refcounted_arg(&mut self, n: u8, reg: &Reg, told: &mut Told) -> Res {
        let What::Obj(ty @ Ty::Local(id)) = reg.what else {
            return refuse_reg(Code::ArgType, n, format!("R{n} is neither owning or non-owning ref"));
        };
        if !reg.has(ALLOC) || reg.has(UNTRUSTED) {
            return refuse_reg(Code::ArgType, n, format!("R{n} is neither owning or non-owning ref"));
        }
        if !self.fields_of(id).any(|k| k == FieldKind::Refcount) {
            let text = format!("R{n} doesn't point to a type with bpf_refcount field");
            return refuse_reg(Code::ArgType, n, text);
        }
        told.owning = !reg.has(NON_OWN) && self.is_referenced(reg);
        told.object = Some(ty);
        Ok(())
    }
}

/// Of an object that was allocated for every CPU.
const OWNED_PERCPU: u16 = ALLOC | PERCPU;

/// Whether a parameter is the size of the one before it.
fn is_size(name: &str) -> bool {
    name.ends_with("__sz") || name.ends_with("__szk")
}

fn is_map_param(id: KfuncId, n: u8) -> bool {
    use KfuncId as K;
    match id {
        K::bpf_arena_alloc_pages | K::bpf_arena_free_pages | K::bpf_arena_reserve_pages => n == 1,
        K::bpf_wq_init => n == 2,
        _ => false,
    }
}

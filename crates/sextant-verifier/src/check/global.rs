//! Global functions: verified by themselves for every argument that their prototype allows; a call checks only the arguments.
//! Mirrors `btf_prepare_func_args()`, `btf_check_func_arg_match()` of kernel/bpf/, 7.3.

use sextant_bpf::btf::{Kind, KindTag, TypeId};

use super::memarg::{Offset, Use};
use super::reg::{OR_NULL, RCU, RDONLY, Reg, TRUSTED, Ty, UNTRUSTED, What};
use super::*;
use crate::range::Scalar;

/// An argument of a global function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Arg {
    Number,
    Ctx,
    /// Memory of that size, may be NULL unless `nonnull`.
    Mem {
        size: u32,
        nonnull: bool,
    },
    /// A trusted kernel object.
    Obj {
        ty: Ty,
        null: bool,
        trusted: bool,
    },
    Arena,
    Dynptr,
    /// Memory that may be gone: read only, a bad address reads 0.
    Untrusted,
}

impl Env<'_> {
    fn global_args(&self, func: usize) -> Res<Vec<Arg>> {
        let named = self.prog.func_at(func).zip(self.prog.btf);
        let Some((ty, btf)) = named else {
            return refuse(Code::GlobalArg, format!("Func#{func} has no BTF"));
        };
        let Kind::Func { proto, .. } = btf.kind(ty) else {
            return refuse(Code::GlobalArg, format!("Func#{func} has no prototype"));
        };
        let Kind::FuncProto { params, .. } = btf.kind(*proto) else {
            return refuse(Code::GlobalArg, format!("Func#{func} has no prototype"));
        };
        if params.len() > 5 {
            let text = format!("Global function {}() with {} > 5 args", btf.name(ty), params.len());
            return refuse(Code::GlobalArg, text);
        }
        let mut args = Vec::new();
        for (i, param) in params.iter().enumerate() {
            let tags: Vec<&str> = btf
                .decl_tags(ty)
                .filter(|(text, at)| *at == i as i32 && text.starts_with("arg:"))
                .map(|(text, _)| text)
                .collect();
            args.push(self.global_arg(func, i, param.ty, &tags)?);
        }
        Ok(args)
    }

    fn global_arg(&self, func: usize, i: usize, ty: TypeId, tags: &[&str]) -> Res<Arg> {
        let Some(btf) = self.prog.btf else { return Ok(Arg::Number) };
        let has = |tag: &str| tags.contains(&tag);
        let bad = |what: &str| {
            let name = self.prog.func_name(func);
            refuse(Code::GlobalArg, format!("Arg#{i} type {what} in {name}() is not supported yet."))
        };
        let Ok(id) = btf.resolve(ty) else { return bad("LOOP") };
        let to = match btf.kind(id) {
            Kind::Int { .. } | Kind::Enum { .. } if !tags.is_empty() => {
                let text = format!("arg#{i} has pointer tag, but is not a pointer type");
                return refuse(Code::GlobalArg, text);
            }
            Kind::Int { .. } | Kind::Enum { .. } => return Ok(Arg::Number),
            Kind::Ptr(to) => *to,
            _ => return bad("STRUCT"),
        };
        // `__arena` marks what is pointed to.
        let marked = std::iter::successors(Some(to), |ty| match btf.kind(*ty) {
            Kind::TypeTag { ty, .. } | Kind::Const(ty) | Kind::Volatile(ty) | Kind::Typedef(ty) => Some(*ty),
            _ => None,
        });
        let in_arena =
            marked.take(16).any(|ty| matches!(btf.kind(ty), Kind::TypeTag { .. }) && btf.name(ty) == "arena");
        let only = |tag: &str| tags.iter().all(|t| *t == tag);
        let combined = || {
            let text = format!("arg#{i} has invalid combination of tags: {}", tags.join(", "));
            refuse(Code::GlobalArg, text)
        };
        let Ok(target) = btf.resolve(to) else { return bad("PTR") };
        if has("arg:ctx") || (i == 0 && is_ctx_type(btf.name(target), &self.prog.kind)) {
            return if only("arg:ctx") { Ok(Arg::Ctx) } else { combined() };
        }
        if btf.name(target) == "bpf_dynptr" {
            return if tags.is_empty() { Ok(Arg::Dynptr) } else { combined() };
        }
        if has("arg:trusted") {
            if has("arg:nonnull") {
                return combined();
            }
            return self.global_obj(i, target, has("arg:nullable"), true);
        }
        if has("arg:untrusted") {
            if !only("arg:untrusted") {
                let text = format!("arg#{i} untrusted cannot be combined with any other tags");
                return refuse(Code::GlobalArg, text);
            }
            let plain = matches!(btf.kind(target), Kind::Void | Kind::Int { .. } | Kind::Enum { .. });
            return if plain { Ok(Arg::Untrusted) } else { self.global_obj(i, target, false, false) };
        }
        if has("arg:arena") {
            if !only("arg:arena") {
                let text = format!("arg#{i} arena cannot be combined with any other tags");
                return refuse(Code::GlobalArg, text);
            }
            return Ok(Arg::Arena);
        }
        if in_arena {
            return if tags.is_empty() { Ok(Arg::Arena) } else { combined() };
        }
        if has("arg:nullable") {
            return combined();
        }
        match btf.size_of(target) {
            Ok(size) => Ok(Arg::Mem { size: size as u32, nonnull: has("arg:nonnull") }),
            Err(_) => {
                let text =
                    format!("arg#{i} reference type('{}') size cannot be determined", btf.name(target));
                refuse(Code::GlobalArg, text)
            }
        }
    }

    /// A struct that the kernel has.
    fn global_obj(&self, i: usize, target: TypeId, null: bool, trusted: bool) -> Res<Arg> {
        let name = self.prog.btf.map_or("", |btf| btf.name(target));
        let name = name.split_once("___").map_or(name, |(base, _)| base);
        if let Some(desc) = sextant_abi::types::find_type(name) {
            return Ok(Arg::Obj { ty: Ty::Kernel(desc.name), null, trusted });
        }
        if self.prog.kernel_btf.is_some_and(|btf| btf.find(name, KindTag::Struct).is_none()) {
            let text = format!("arg#{i} reference type('STRUCT {name}') has no matches");
            return refuse(Code::GlobalArg, text);
        }
        Ok(Arg::Obj { ty: self.pointee(target), null, trusted })
    }

    /// The state in which a global function is verified.
    pub(super) fn global_entry(&mut self, func: usize, sleepable: bool) -> Res<State> {
        let mut state = State::new(func, sleepable);
        for (i, arg) in self.global_args(func)?.into_iter().enumerate() {
            let mut reg = match arg {
                Arg::Number => Reg::UNKNOWN,
                Arg::Ctx => Reg::ptr(What::Ctx, 0),
                Arg::Mem { size, nonnull } => Reg::ptr(What::Mem(size), if nonnull { 0 } else { OR_NULL }),
                Arg::Obj { ty, null, trusted } => {
                    let flags = if trusted { TRUSTED } else { UNTRUSTED };
                    Reg::ptr(What::Obj(ty), if null { flags | OR_NULL } else { flags })
                }
                Arg::Arena => Reg::ptr(What::Arena, 0),
                Arg::Dynptr => Reg { id: self.fresh_id(), ..Reg::ptr(What::ConstDynptr, 0) },
                Arg::Untrusted => Reg::ptr(What::Mem(u32::MAX), UNTRUSTED | RDONLY),
            };
            if reg.has(OR_NULL) {
                reg.id = self.fresh_id();
            }
            state.frames[0].regs[i + 1] = reg;
        }
        Ok(state)
    }

    pub(super) fn call_global(&mut self, func: usize) -> Res {
        if self.st.lock().is_some() {
            let text =
                "global function calls are not allowed while holding a lock,\nuse static function instead";
            return refuse(Code::LockedCall, text);
        }
        for (i, arg) in self.global_args(func)?.into_iter().enumerate() {
            self.match_global_arg(func, i as u8, arg)?;
        }
        self.wanted.insert((func, self.st.can_sleep()));
        if self.cfg.moving.contains(&func) {
            self.forget_packet();
        }
        let void = self.is_void(func);
        self.clobber();
        if !void {
            let result = self.number(Scalar::UNKNOWN);
            self.set(0, result);
        }
        // The program may end in there.
        if self.cfg.throwing.contains(&func) { self.check_held("bpf_throw") } else { Ok(()) }
    }

    fn match_global_arg(&mut self, func: usize, i: u8, arg: Arg) -> Res {
        let name = self.prog.func_name(func);
        let n = i + 1;
        let reg = self.read(n)?;
        let index = self.cfg.funcs.range(..func).count();
        let whole = format!("Caller passes invalid args into func#{index} ('{name}')");
        let bad = |what: &str| {
            let text = format!("R{n} {what}; {whole}");
            refuse_reg(Code::GlobalArg, n, text)
        };
        let object = || bad(&format!("type={} expected=ptr_, trusted_ptr_, rcu_ptr_", reg.type_name()));
        match arg {
            Arg::Number if reg.is_scalar() => Ok(()),
            Arg::Number => bad("is not a scalar"),
            Arg::Ctx if reg.what == What::Ctx => self.plain_ctx(n, &reg),
            // Reads of a bad address read 0.
            Arg::Untrusted | Arg::Obj { trusted: false, .. } => Ok(()),
            Arg::Ctx => bad("expects pointer to ctx"),
            Arg::Arena if reg.what == What::Arena || reg.is_scalar() => Ok(()),
            Arg::Arena => bad("is not a pointer to arena or scalar."),
            Arg::Dynptr => self.dynptr_arg(n).map(|_| ()),
            Arg::Mem { size, nonnull } => {
                if reg.is_null() && !nonnull {
                    self.matters(&reg);
                    return Ok(());
                }
                if (reg.has(OR_NULL) || reg.is_null()) && nonnull {
                    return bad("is expected to be non-NULL");
                }
                self.arg_offset(n, &reg, Offset::Fixed)?;
                if reg.is_packet() && self.cfg.moving.contains(&func) {
                    return bad(&format!("is a packet pointer, but func#{index} may change packet data"));
                }
                // A kernel object is no memory; a tag makes the parameter one.
                self.memory(n, &reg, size, Use::BOTH).map_err(|mut refused| {
                    if refused.code == Code::ArgType || reg.what.is_obj() {
                        refused.code = Code::GlobalArg;
                        refused.message.push_str("; ");
                        refused.message.push_str(&whole);
                    }
                    refused
                })
            }
            Arg::Obj { null: true, .. } if reg.is_null() => {
                self.matters(&reg);
                Ok(())
            }
            Arg::Obj { ty, null, .. } => {
                if reg.has(OR_NULL) && !null {
                    return object();
                }
                let flags = reg.type_flags() & !OR_NULL;
                if !reg.what.is_obj() || !matches!(flags, 0 | TRUSTED | RCU) {
                    return object();
                }
                self.arg_offset(n, &reg, Offset::Fixed)?;
                match (reg.what, ty) {
                    (What::Obj(own), Ty::Kernel(name))
                        if obj::same_struct(own, name, reg.offset().unwrap_or(-1), false) =>
                    {
                        Ok(())
                    }
                    (What::Obj(own), ty) if own == ty => Ok(()),
                    _ => object(),
                }
            }
        }
    }

    /// The result of a global function is a number.
    pub(super) fn global_result(&mut self) -> Res {
        let arena = self.st.reg(0).what == What::Arena;
        if arena || self.is_void(self.entry) { Ok(()) } else { self.number_result(None) }
    }
}

fn is_ctx_type(name: &str, kind: &crate::program::ProgKind) -> bool {
    use crate::program::ProgKind;
    match kind {
        ProgKind::Other(_) => {
            matches!(name, "pt_regs" | "__sk_buff" | "xdp_md" | "bpf_perf_event_data" | "bpf_user_pt_regs_t")
        }
        _ => false,
    }
}

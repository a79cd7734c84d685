//! Calls of kfuncs: whether this place may call it, its arguments by prototype and name suffix, its result by flags. Mirrors
//! `check_kfunc_call()` of kernel/bpf/verifier.c, 7.3; prototypes and flags are the table's.

use sextant_abi::image::Reloc;
use sextant_abi::tables::bpf::BPF_PROG_TYPE_LSM;
use sextant_abi::tables::{Kfunc, KfuncFlags, KfuncGroups, KfuncId};
use sextant_abi::types::TypeRef;

use super::reg::{OR_NULL, RCU, RDONLY, Reg, TRUSTED, Ty, What};
use super::state::RefKind;
use super::*;
use crate::program::{CtxArg, ProgKind};
use crate::range::Scalar;

/// Largest object of bpf_percpu_obj_new(), in bytes (`BPF_GLOBAL_PERCPU_MA_MAX_SIZE`).
const MAX_PERCPU_SIZE: u64 = 512;

/// What the arguments of a call told.
#[derive(Default)]
pub(super) struct Told {
    /// Reference that the call takes over.
    pub(super) released: Option<u32>,
    /// The value of a `__k` argument.
    pub(super) constant: Option<u64>,
    /// The object given to `bpf_refcount_acquire` is owned.
    pub(super) owning: bool,
    /// The map that holds the timer or work item of an argument before.
    pub(super) map: Option<u32>,
    /// The object given to `bpf_obj_drop`, `bpf_refcount_acquire`, or the node's struct.
    pub(super) object: Option<Ty>,
    /// Size of a `__szk` buffer.
    pub(super) slice: Option<u32>,
    /// The dynptr an argument named.
    pub(super) dynptr: Option<super::memarg::Dynptr>,
}

impl Env<'_> {
    pub(super) fn call_kfunc(&mut self) -> Res<Next> {
        let pc = self.st.pc;
        let id = match self.cfg.relocs[pc] {
            Some(Reloc::Kfunc(i)) => KfuncId::from_index(i),
            _ => None,
        };
        let Some(id) = id else {
            let imm = self.prog.insns[pc].imm;
            return refuse(Code::UnknownHelper, format!("kernel btf_id {imm} is not a kernel function"));
        };
        let kfunc = id.info();
        self.allowed(id, kfunc)?;
        if self.region(id)? {
            return Ok(Next::Goto(pc + 1));
        }
        if id == KfuncId::bpf_throw {
            return self.throw();
        }
        let iter = iterator(kfunc);
        if let (Some(ty), true) = (iter, kfunc.flags.contains(KfuncFlags::ITER_NEXT)) {
            return self.iter_next(ty, kfunc);
        }
        let old = self.st.top().regs;
        let told = self.kfunc_args(id, kfunc)?;
        if let (Some(ty), true) = (told.object, kfunc.flags.contains(KfuncFlags::RELEASE)) {
            self.may_drop(kfunc, ty)?;
        }
        if let Some(next) = self.graph_call(id, &told)? {
            return Ok(next);
        }
        if let Some(ref_id) = told.released {
            self.release(ref_id)?;
        }
        if let (Some(ty), true) = (iter, kfunc.flags.contains(KfuncFlags::ITER_DESTROY)) {
            self.iter_destroy(1, ty, kfunc.name)?;
        }
        let result = self.kfunc_result(id, kfunc, &told)?;
        self.clobber();
        if let Some(mut reg) = result {
            if reg.node == 0 || !reg.is_scalar() {
                reg.node = self.node([0, 0], old[1].node);
            }
            self.set(0, reg);
        }
        Ok(Next::Goto(pc + 1))
    }

    /// Whether the program may call it at all, and here.
    fn allowed(&mut self, id: KfuncId, kfunc: &Kfunc) -> Res {
        let name = kfunc.name;
        let denied = || refuse(Code::KfuncDenied, format!("calling kernel function {name} is not allowed"));
        if !kfunc.allowed_in(self.prog.kind.groups()) {
            return denied();
        }
        let cid_form = matches!(self.prog.kind, ProgKind::StructOps { cid_form: true, .. });
        if cid_form && kfunc.groups.contains(KfuncGroups::CPU_FORM) {
            return denied();
        }
        if kfunc.flags.contains(KfuncFlags::SLEEPABLE) {
            if !self.st.sleepable {
                let text = format!("program must be sleepable to call sleepable kfunc {name}");
                return refuse(Code::Sleepable, text);
            }
            if let Some(place) = self.no_sleep_place() {
                return refuse(Code::Sleepable, format!("kernel func {name} is sleepable within {place}"));
            }
        }
        if kfunc.flags.contains(KfuncFlags::RCU_PROTECTED) && !self.st.in_rcu() {
            let text = format!("kernel func {name} requires RCU critical section protection");
            return refuse(Code::ArgTrust, text);
        }
        if self.st.lock().is_some() && !kfunc.flags.contains(KfuncFlags::SPINLOCK_SAFE) {
            return refuse(Code::LockedCall, "function calls are not allowed while holding a lock");
        }
        use KfuncId as K;
        if id == K::bpf_iter_css_task_new && !self.may_walk_css_tasks() {
            let text = "css_task_iter is only allowed in bpf_lsm, bpf_iter and sleepable progs";
            return refuse(Code::Sleepable, text);
        }
        let walks = matches!(id, K::bpf_rbtree_remove | K::bpf_rbtree_left | K::bpf_rbtree_right);
        if walks && self.in_less() {
            return refuse(Code::LockedCall, format!("{name} not allowed in rbtree cb"));
        }
        Ok(())
    }

    /// Mirrors `check_css_task_iter_allowlist()`.
    fn may_walk_css_tasks(&self) -> bool {
        match self.prog.kind {
            ProgKind::Other(hook) if hook.prog_type == BPF_PROG_TYPE_LSM => true,
            _ => self.st.sleepable || self.iterates(),
        }
    }

    /// Whether the program is an iterator's: its only argument is the iterator's context.
    fn iterates(&self) -> bool {
        let ProgKind::Tracing { args: [first, ..], .. } = self.prog.kind else { return false };
        matches!(first, CtxArg::Trusted(name) | CtxArg::Bare(name) if name.starts_with("bpf_iter__"))
    }

    /// Programs that may run inside a non-maskable interrupt cannot drop what takes more than memory to free.
    fn may_drop(&self, kfunc: &Kfunc, ty: Ty) -> Res {
        let probe = match self.prog.kind {
            ProgKind::Other(hook) => hook.is_probe(),
            ProgKind::Tracing { .. } => !self.prog.sleepable && !self.iterates(),
            _ => false,
        };
        let Ty::Local(id) = ty else { return Ok(()) };
        if !probe || self.fields_of(id).0.iter().all(|f| f.kind.is_nmi_safe()) {
            return Ok(());
        }
        let text =
            format!("{} cannot be used in tracing programs on types with NMI unsafe fields", kfunc.name);
        refuse(Code::KfuncDenied, text)
    }

    fn kfunc_result(&mut self, id: KfuncId, kfunc: &Kfunc, told: &Told) -> Res<Option<Reg>> {
        let acquires = kfunc.flags.contains(KfuncFlags::ACQUIRE);
        if kfunc.flags.contains(KfuncFlags::ARENA_RET) {
            // A number until it is cast, as anything a kfunc returns as `void *`.
            return Ok(Some(self.number(Scalar::UNKNOWN)));
        }
        if let Some(reg) = self.special_result(id, told)? {
            return Ok(Some(reg));
        }
        let mut reg = match kfunc.proto.ret.strip() {
            TypeRef::Void => return Ok(None),
            TypeRef::Ptr(to) => match to.strip() {
                TypeRef::Struct(name) | TypeRef::Union(name) => {
                    let rcu = kfunc.flags.contains(KfuncFlags::RCU_PROTECTED);
                    let flags = if rcu { RCU } else { TRUSTED };
                    Reg::ptr(What::Obj(Ty::Kernel(name)), flags)
                }
                TypeRef::Int(_, size, _) => Reg::ptr(What::Mem(size), RDONLY),
                _ => Reg::UNKNOWN,
            },
            _ => Reg::UNKNOWN,
        };
        if reg.is_ptr() {
            if acquires {
                reg.ref_id = self.acquire(RefKind::Object);
            }
            if kfunc.flags.contains(KfuncFlags::RET_NULL) {
                reg.flags |= OR_NULL;
                reg.id = if acquires { reg.ref_id } else { self.fresh_id() };
            }
        }
        Ok(Some(reg))
    }

    /// Results that the prototype does not tell.
    fn special_result(&mut self, id: KfuncId, told: &Told) -> Res<Option<Reg>> {
        use KfuncId as K;
        let reg = match id {
            K::bpf_obj_new | K::bpf_obj_new_impl | K::bpf_percpu_obj_new | K::bpf_percpu_obj_new_impl => {
                let percpu = matches!(id, K::bpf_percpu_obj_new | K::bpf_percpu_obj_new_impl);
                return self.obj_new(told, percpu).map(Some);
            }
            K::bpf_refcount_acquire | K::bpf_refcount_acquire_impl => {
                let Some(ty) = told.object else { return Ok(None) };
                let ref_id = self.acquire(RefKind::Object);
                // Who owns one can always get another.
                let null = if told.owning { 0 } else { OR_NULL };
                Reg { id: ref_id, ref_id, ..Reg::ptr(What::Obj(ty), reg::ALLOC | null) }
            }
            K::bpf_rdonly_cast => {
                let Some(ty) = told.constant else { return Ok(None) };
                self.cast(ty as u32)?
            }
            K::bpf_cast_to_kern_ctx => Reg::ptr(What::Mem(u32::MAX), reg::UNTRUSTED | RDONLY),
            K::bpf_dynptr_slice | K::bpf_dynptr_slice_rdwr => {
                let writes = id == K::bpf_dynptr_slice_rdwr;
                let packets = matches!(self.prog.kind, ProgKind::Other(hook) if hook.packet_access(true));
                if writes && !packets {
                    return refuse(Code::Readonly, "the prog does not allow writes to packet data");
                }
                let flags = if writes { 0 } else { RDONLY };
                let ref_id = told.dynptr.map_or(0, |d| d.id);
                let size = told.slice.unwrap_or(0);
                let id = self.fresh_id();
                Reg { id, ref_id, ..Reg::ptr(What::Mem(size), OR_NULL | reg::DYNMEM | flags) }
            }
            _ => return Ok(None),
        };
        Ok(Some(reg))
    }

    /// bpf_rdonly_cast(): an untrusted pointer to a kernel type.
    fn cast(&mut self, btf_id: u32) -> Res<Reg> {
        use sextant_bpf::btf::{Kind, TypeId};
        if btf_id == 0 {
            return Ok(Reg::ptr(What::Mem(u32::MAX), reg::UNTRUSTED | RDONLY));
        }
        let Some(btf) = self.prog.kernel_btf else {
            return refuse(Code::ArgConst, "kfunc bpf_rdonly_cast type ID argument: no kernel BTF");
        };
        let id = TypeId(btf_id);
        if !matches!(btf.kind(id), Kind::Struct { .. }) {
            return refuse_reg(
                Code::ArgConst,
                2,
                "kfunc bpf_rdonly_cast type ID argument must be of a struct or void",
            );
        }
        match sextant_abi::types::find_type(btf.name(id)) {
            Some(desc) => Ok(Reg::ptr(What::Obj(Ty::Kernel(desc.name)), reg::UNTRUSTED)),
            None => Ok(Reg::ptr(What::Mem(u32::MAX), reg::UNTRUSTED | RDONLY)),
        }
    }

    /// bpf_obj_new(): a type of the program's BTF.
    fn obj_new(&mut self, told: &Told, percpu: bool) -> Res<Reg> {
        use sextant_bpf::btf::{Kind, TypeId};
        let id = TypeId(told.constant.unwrap_or(0) as u32);
        if told.constant.unwrap_or(0) > u64::from(u32::MAX) {
            return refuse_reg(Code::ArgConst, 1, "local type ID argument must be in range [0, U32_MAX]");
        }
        let btf = self.prog.btf.filter(|b| matches!(b.kind(id), Kind::Struct { union: false, .. }));
        let Some(btf) = btf else {
            let text = "bpf_obj_new/bpf_percpu_obj_new type ID argument must be of a struct";
            return refuse_reg(Code::ArgConst, 1, text);
        };
        if percpu {
            let size = btf.size_of(id).unwrap_or(0);
            if size > MAX_PERCPU_SIZE {
                let text = format!("bpf_percpu_obj_new type size ({size}) is greater than {MAX_PERCPU_SIZE}");
                return refuse_reg(Code::ArgConst, 1, text);
            }
            if !walk::scalar_struct(btf, id, 0) {
                let text = "bpf_percpu_obj_new type ID argument must be of a struct of scalars";
                return refuse_reg(Code::ArgConst, 1, text);
            }
            if !self.fields_of(id).0.is_empty() {
                let text = "bpf_percpu_obj_new type ID argument must not contain special fields";
                return refuse_reg(Code::ArgConst, 1, text);
            }
        }
        let ref_id = self.acquire(RefKind::Object);
        let flags = reg::ALLOC | OR_NULL | if percpu { reg::PERCPU } else { 0 };
        Ok(Reg { id: ref_id, ref_id, ..Reg::ptr(What::Obj(Ty::Local(id)), flags) })
    }
}

/// The iterator struct that an iterator kfunc works on.
pub(super) fn iterator(kfunc: &Kfunc) -> Option<&'static str> {
    if !kfunc
        .flags
        .intersects(KfuncFlags::ITER_NEW.union(KfuncFlags::ITER_NEXT).union(KfuncFlags::ITER_DESTROY))
    {
        return None;
    }
    pointee(kfunc.proto.params.first()?.ty)
}

/// The struct behind a pointer type.
pub(super) fn pointee(ty: TypeRef) -> Option<&'static str> {
    let TypeRef::Ptr(to) = ty.strip() else { return None };
    match to.strip() {
        TypeRef::Struct(name) | TypeRef::Union(name) => Some(name),
        _ => None,
    }
}

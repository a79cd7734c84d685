//! Loads and stores, by what the pointer points to. Mirrors `check_mem_access()` of kernel/bpf/verifier.c, 7.3.

use sextant_abi::tables::{OpArg, bpf};
use sextant_bpf::opcode::{Alu, Size};

use super::reg::{ALLOC, NON_OWN, OR_NULL, PERCPU, RCU, RDONLY, Reg, TRUSTED, Ty, UNTRUSTED, What};
use super::*;
use crate::fields::FieldKind;
use crate::program::{CtxArg, ProgKind};
use crate::range::{Scalar, Tnum, alu};

/// NET_IP_ALIGN, as the kernel assumes it.
const PACKET_ALIGN: i64 = 2;
/// Most bytes of a context that can be read.
const MAX_CTX: i64 = 0xffff;
/// Arguments of a tracing program's context.
const MAX_ARGS: i64 = 12;

impl Env<'_> {
    pub(super) fn load(&mut self, dst: u8, src: u8, off: i16, size: Size, signed: bool) -> Res {
        self.read(src)?;
        let reg = self.load_value(src, off, size, signed)?;
        self.set(dst, reg);
        Ok(())
    }

    pub(super) fn load_value(&mut self, n: u8, off: i16, size: Size, signed: bool) -> Res<Reg> {
        let base = self.read(n)?;
        let bytes = size.bytes();
        let mut out = self.load_from(n, &base, i64::from(off), bytes)?;
        if signed && bytes < 8 && out.is_ptr() && base.what == What::Ctx {
            let text = format!("invalid bpf_context access off={off} size={bytes}");
            return refuse_reg(Code::CtxAccess, n, text);
        }
        if signed && bytes < 8 && out.is_scalar() {
            let s = alu::movsx((bytes * 8) as u8, true, &out.s);
            out = Reg { node: out.node, ..Reg::scalar(s) };
        }
        if out.node == 0 || !out.is_scalar() {
            out.node = self.node([0, 0], base.node);
        }
        Ok(out)
    }

    /// Refuses an access through what cannot be dereferenced.
    pub(super) fn bad_mem<T>(&self, n: u8, reg: &Reg) -> Res<T> {
        let code = if reg.has(OR_NULL) { Code::NullDeref } else { Code::NotAPointer };
        refuse_reg(code, n, format!("R{n} invalid mem access '{}'", reg.type_name()))
    }

    fn load_from(&mut self, n: u8, base: &Reg, off: i64, size: u32) -> Res<Reg> {
        let is_percpu_mem = matches!(base.what, What::Mem(_)) && base.has(PERCPU);
        if base.has(OR_NULL) || is_percpu_mem {
            return self.bad_mem(n, base);
        }
        self.same_place(base)?;
        self.strictly_aligned(n, base, off, size)?;
        match base.what {
            What::Stack(_) => {
                self.aligned(n, base, off, size)?;
                self.stack_load(n, base, off, size)
            }
            What::MapValue(map) => self.load_map(n, base, map, off, size),
            What::MapKey(map) => {
                let bytes = self.map(map).key_size;
                self.bounds(n, base, off, size, bytes.into(), "map key, key_size")?;
                Ok(self.number(Scalar::bytes(size)))
            }
            What::Mem(bytes) => {
                if bytes == u32::MAX || base.has(UNTRUSTED) {
                    self.probe[self.st.pc] = true;
                } else {
                    self.mem_bounds(n, base, off, size, bytes)?;
                }
                Ok(self.number(Scalar::bytes(size)))
            }
            What::Ctx => self.load_ctx(n, base, off, size),
            What::Map(map) if base.offset() == Some(0) => self.load_map_ptr(n, base, map, off, size),
            What::Obj(ty) => self.load_obj(n, base, ty, off, size),
            What::Arena => {
                self.arena[self.st.pc] = true;
                Ok(self.number(Scalar::bytes(size)))
            }
            What::Packet | What::PacketMeta => {
                self.packet_access(n, base, off, size, false)?;
                Ok(self.number(Scalar::bytes(size)))
            }
            What::Sock(sock) => self.load_sock(n, base, sock, off, size),
            What::TraceBuffer => {
                self.trace_buffer_access(n, base, off, size)?;
                Ok(self.number(Scalar::bytes(size)))
            }
            What::FlowKeys => {
                self.flow_keys_access(n, base, off, size)?;
                Ok(self.number(Scalar::bytes(size)))
            }
            _ => self.bad_mem(n, base),
        }
    }

    /// An instruction that is translated by what it goes through goes through the same on every path. Mirrors
    /// `save_aux_ptr_type()`.
    fn same_place(&mut self, base: &Reg) -> Res {
        let through = match base.what {
            What::Ctx => Through::Context,
            What::Arena => Through::Arena,
            What::Obj(Ty::Kernel(_)) => Through::Object,
            What::Mem(u32::MAX) => Through::Object,
            _ => Through::Memory,
        };
        let before = *self.through[self.st.pc].get_or_insert(through);
        if before != through {
            return refuse(Code::NotAPointer, "same insn cannot be used with different pointers");
        }
        Ok(())
    }

    pub(super) fn store(&mut self, n: u8, off: i16, size: Size, val: &Reg) -> Res {
        let base = self.read(n)?;
        let (off, size) = (i64::from(off), size.bytes());
        if base.has(OR_NULL) {
            return self.bad_mem(n, &base);
        }
        if let What::Map(map) = base.what {
            return self.store_map_ptr(n, map);
        }
        if base.has(RDONLY) {
            return refuse_reg(Code::Readonly, n, format!("R{n} cannot write into {}", base.type_name()));
        }
        let leak_ok = matches!(
            base.what,
            What::Stack(_) | What::Arena | What::MapValue(_) | What::Mem(_) | What::Packet | What::Ctx
        );
        if val.is_ptr() && !leak_ok {
            return refuse_reg(Code::ObjAccess, n, format!("R{n} leaks addr into {}", base.type_name()));
        }
        self.same_place(&base)?;
        self.strictly_aligned(n, &base, off, size)?;
        match base.what {
            What::Stack(_) => {
                self.aligned(n, &base, off, size)?;
                self.stack_store(n, &base, off, size, val)
            }
            What::MapValue(map) => {
                if self.map(map).rdonly {
                    let text = format!(
                        "write into map forbidden, value_size={} off={} size={size}",
                        self.map(map).value_size,
                        base.offset().unwrap_or(0) + off
                    );
                    return refuse_reg(Code::Readonly, n, text);
                }
                self.map_bounds(n, &base, map, off, size)?;
                self.no_special(n, &base, map, off, size, val)
            }
            What::Mem(bytes) => self.mem_bounds(n, &base, off, size, bytes),
            What::Ctx if self.prog.kind == ProgKind::Syscall => {
                self.ctx_bounds(n, &base, off, size).map(|_| ())
            }
            What::Ctx => self.store_hook(n, &base, off, size),
            What::Packet | What::PacketMeta => self.packet_access(n, &base, off, size, true),
            What::FlowKeys => self.flow_keys_access(n, &base, off, size),
            What::TraceBuffer => self.trace_buffer_access(n, &base, off, size),
            What::Sock(sock) => {
                refuse_reg(Code::Readonly, n, format!("R{n} cannot write into {}", sock.name()))
            }
            What::Obj(ty) => self.store_obj(n, &base, ty, off, size),
            What::Arena => {
                self.arena[self.st.pc] = true;
                Ok(())
            }
            What::MapKey(_) => refuse_reg(Code::Readonly, n, format!("write to change key R{n} not allowed")),
            _ => self.bad_mem(n, &base),
        }
    }

    /// With BPF_F_STRICT_ALIGNMENT all accesses are on a multiple of their size; packets begin 2 bytes behind one.
    fn strictly_aligned(&self, n: u8, base: &Reg, off: i64, size: u32) -> Res {
        if !self.prog.strict_alignment {
            return Ok(());
        }
        if !matches!(base.what, What::Packet | What::PacketMeta) {
            return self.aligned(n, base, off, size);
        }
        let fixed = PACKET_ALIGN + i64::from(base.delta) + off;
        if base.s.bits.add(Tnum::constant(fixed as u64)).is_aligned(size.into()) {
            return Ok(());
        }
        let at = alu::alu(Alu::Add, true, &base.s, &Scalar::constant(i64::from(base.delta) as u64));
        let text = format!("misaligned packet access off {PACKET_ALIGN}+{at}+{off} size {size}");
        refuse_reg(Code::Misaligned, n, text)
    }

    /// Stack accesses and atomics are on a multiple of their size.
    pub(super) fn aligned(&self, n: u8, base: &Reg, off: i64, size: u32) -> Res {
        let at = base.s.bits.add(Tnum::constant(off as u64));
        if at.is_aligned(size.into()) || base.what == What::Arena {
            return Ok(());
        }
        let what = match base.what {
            What::Stack(_) => "stack",
            _ => "value",
        };
        refuse_reg(Code::Misaligned, n, format!("misaligned {what} access off {}+{off} size {size}", base.s))
    }

    /// `size` bytes at `base` + `off` are within `0..bytes`. Mirrors `check_mem_region_access()`.
    pub(super) fn bounds(&mut self, n: u8, base: &Reg, off: i64, size: u32, bytes: i64, what: &str) -> Res {
        let code = if matches!(base.what, What::MapValue(_) | What::MapKey(_)) {
            Code::MapBounds
        } else {
            Code::MemBounds
        };
        // The lowest start is looked at as a signed number, the highest as an unsigned one: what lies before its object by an earlier
        // subtraction is never within it, even if `off` leads back.
        let (smin, umax, size) = (base.s.smin(), base.s.umax(), i64::from(size));
        let low = smin.saturating_add(off);
        if smin < 0 && (low < 0 || i32::try_from(low).is_err()) {
            let text = format!(
                "R{n} min value is negative, either use unsigned index or do a if (index >=0) check."
            );
            return refuse_reg(code, n, text);
        }
        let outside = |at: i64, end: &str| {
            let text = format!(
                "invalid access to {what}={bytes} off={at} size={size}; R{n} {end} value is outside of the allowed memory range"
            );
            refuse_reg(code, n, text)
        };
        if low < 0 || low.saturating_add(size) > bytes {
            return outside(low, "min");
        }
        if umax >= 1 << 29 {
            let text = format!("R{n} unbounded memory access, make sure to bounds check any such access");
            return refuse_reg(code, n, text);
        }
        let high = umax as i64 + off;
        if high < 0 || high + size > bytes {
            return outside(high, "max");
        }
        Ok(())
    }

    pub(super) fn mem_bounds(&mut self, n: u8, base: &Reg, off: i64, size: u32, bytes: u32) -> Res {
        self.bounds(n, base, off, size, bytes.into(), "memory, mem_size")
    }

    pub(super) fn map_bounds(&mut self, n: u8, base: &Reg, map: u32, off: i64, size: u32) -> Res {
        let bytes = i64::from(self.map(map).value_size);
        self.bounds(n, base, off, size, bytes, "map value, value_size")
    }

    fn load_map(&mut self, n: u8, base: &Reg, map: u32, off: i64, size: u32) -> Res<Reg> {
        if self.map(map).flags & bpf::BPF_F_WRONLY_PROG != 0 {
            return refuse_reg(Code::MapUse, n, "read from map forbidden");
        }
        self.map_bounds(n, base, map, off, size)?;
        if let Some(kptr) = self.kptr_at(n, base, map, off, size)? {
            return Ok(kptr);
        }
        if let Some(at) = base.offset() {
            let desc = self.map(map);
            let known = (self.prog.read_only)(desc.id, (at + off) as u32, size);
            if let Some(value) =
                known.filter(|_| matches!(desc.map_type, bpf::BPF_MAP_TYPE_ARRAY) && base.id == 0)
            {
                return Ok(self.number(Scalar::constant(value)));
            }
        }
        Ok(self.number(Scalar::bytes(size)))
    }

    /// A load that touches special fields: of a whole kptr, or none at all.
    fn kptr_at(&mut self, n: u8, base: &Reg, map: u32, off: i64, size: u32) -> Res<Option<Reg>> {
        let (min, max) = (base.s.smin() + off, base.s.smax() + off);
        let fields = &self.map(map).fields;
        let span = max - min + i64::from(size);
        let Some(field) = fields.touched(min, span).next().copied() else { return Ok(None) };
        self.special_access(n, &field, base, off, size)?;
        Ok(Some(self.loaded_kptr(field.kind)))
    }

    fn special_access(&self, n: u8, field: &crate::fields::Field, base: &Reg, off: i64, size: u32) -> Res {
        if !field.kind.is_kptr() {
            let text = format!("{} cannot be accessed directly by load/store", field.kind.name());
            return refuse_reg(Code::SpecialField, n, text);
        }
        match base.offset() {
            None => refuse_reg(Code::SpecialField, n, "kptr access cannot have variable offset"),
            Some(at) if at + off != i64::from(field.offset) || size != 8 => {
                refuse_reg(Code::SpecialField, n, "kptr access size must be BPF_DW, at its offset")
            }
            _ => Ok(()),
        }
    }

    fn loaded_kptr(&mut self, kind: FieldKind) -> Reg {
        let id = self.fresh_id();
        let (ty, untrusted) = match kind {
            FieldKind::KptrUntrusted(t) => (t, true),
            FieldKind::Kptr(t) | FieldKind::KptrPercpu(t) => (t, false),
            FieldKind::Uptr(t) => {
                let size = self.prog.btf.and_then(|btf| btf.size_of(t).ok()).unwrap_or(0);
                return Reg { id, ..Reg::ptr(What::Mem(size as u32), OR_NULL) };
            }
            _ => return Reg::UNKNOWN,
        };
        let ty = self.pointee(ty);
        let percpu = matches!(kind, FieldKind::KptrPercpu(_));
        let lasts = match ty {
            Ty::Kernel(name) => percpu || rcu_protected(name),
            Ty::Local(_) => true,
        };
        let mut flags = if untrusted || !lasts || !self.st.in_rcu() { UNTRUSTED } else { RCU };
        if flags == RCU {
            flags |= match ty {
                _ if percpu => PERCPU,
                Ty::Kernel(_) => 0,
                Ty::Local(id) if self.fields_of(id).any(|k| k.is_node()) => ALLOC | NON_OWN,
                Ty::Local(_) => ALLOC,
            };
        }
        Reg { id, ..Reg::ptr(What::Obj(ty), flags | OR_NULL) }
    }

    /// A struct of the program's BTF that a kptr points to: the kernel's of that name, if it is one that can be a kptr.
    pub(super) fn pointee(&self, ty: sextant_bpf::btf::TypeId) -> Ty {
        let name = self.prog.btf.map_or("", |b| b.name(ty));
        match sextant_abi::types::find_type(name) {
            Some(desc) => Ty::Kernel(desc.name),
            None => Ty::Local(ty),
        }
    }

    fn no_special(&mut self, n: u8, base: &Reg, map: u32, off: i64, size: u32, val: &Reg) -> Res {
        let (min, max) = (base.s.smin() + off, base.s.smax() + off);
        let fields = &self.map(map).fields;
        let span = max - min + i64::from(size);
        let Some(field) = fields.touched(min, span).next().copied() else { return Ok(()) };
        self.special_access(n, &field, base, off, size)?;
        match field.kind {
            FieldKind::KptrUntrusted(_) if val.is_null() => {
                self.matters(val);
                Ok(())
            }
            FieldKind::Uptr(_) => refuse_reg(Code::SpecialField, n, "store to uptr disallowed"),
            FieldKind::KptrUntrusted(target) => self.unowned_kptr(target, val),
            _ => refuse_reg(Code::SpecialField, n, "store to referenced kptr disallowed"),
        }
    }

    /// A pointer that is stored without being given away: to an object of that type, at a known place. Mirrors
    /// `map_kptr_match_type()`.
    fn unowned_kptr(&self, target: sextant_bpf::btf::TypeId, val: &Reg) -> Res {
        let src = self.prog.insns[self.st.pc].src;
        let ty = self.pointee(target);
        let (allowed, same) = match (val.what, ty) {
            (What::Obj(own @ Ty::Kernel(_)), Ty::Kernel(name)) => {
                let off = val.offset().unwrap_or(0);
                (OR_NULL | TRUSTED | RCU | UNTRUSTED, obj::same_struct(own, name, off, false))
            }
            (What::Obj(own), ty) => (OR_NULL | ALLOC, own == ty),
            _ => (0, false),
        };
        let bad = val.type_flags() & !allowed != 0;
        if !bad && val.what.is_obj() {
            self.arg_offset(src, val, memarg::Offset::Fixed)?;
        }
        if bad || !same {
            let text = format!(
                "invalid kptr access, R{src} type={} expected=ptr_{}",
                self.describe(val),
                self.ty_name(ty)
            );
            return refuse_reg(Code::ArgType, src, text);
        }
        Ok(())
    }

    /// The context as an argument: as the program got it.
    pub(super) fn plain_ctx(&self, n: u8, reg: &Reg) -> Res {
        match reg.offset() {
            Some(0) => Ok(()),
            Some(at) if at < 0 => {
                refuse_reg(Code::CtxAccess, n, format!("negative offset ctx ptr R{n} off={at} disallowed"))
            }
            Some(at) => {
                let text = format!("dereference of modified ctx ptr R{n} off={at} disallowed");
                refuse_reg(Code::CtxAccess, n, text)
            }
            None => {
                refuse_reg(Code::CtxAccess, n, format!("variable ctx access var_off={} disallowed", reg.s))
            }
        }
    }

    pub(super) fn ctx_bounds(&mut self, n: u8, base: &Reg, off: i64, size: u32) -> Res<i64> {
        if self.prog.kind == ProgKind::Syscall {
            self.bounds(n, base, off, size, MAX_CTX, "mem, mem_size")?;
            return Ok(base.s.smin() + off);
        }
        let Some(at) = base.offset() else {
            let text = format!("variable ctx access var_off={} off={off} size={size}", base.s);
            return refuse_reg(Code::CtxAccess, n, text);
        };
        let fixed = matches!(self.prog.kind, ProgKind::Other(hook) if hook.rewrites_context());
        if at != 0 && (at < 0 || fixed) {
            let text = format!("dereference of modified ctx ptr R{n} off={at} disallowed");
            return refuse_reg(Code::CtxAccess, n, text);
        }
        let at = at + off;
        if at < 0 || at + i64::from(size) > MAX_CTX {
            return refuse_reg(
                Code::CtxAccess,
                n,
                format!("invalid bpf_context access off={at} size={size}"),
            );
        }
        Ok(at)
    }

    fn load_ctx(&mut self, n: u8, base: &Reg, off: i64, size: u32) -> Res<Reg> {
        let at = self.ctx_bounds(n, base, off, size)?;
        let slots = match self.prog.kind {
            ProgKind::Syscall => return Ok(self.number(Scalar::bytes(size))),
            ProgKind::Other(hook) => return self.load_hook(n, &hook, at, size),
            ProgKind::ForeignStructOps => MAX_ARGS,
            ProgKind::Tracing { args: [], .. } => MAX_ARGS,
            ProgKind::Tracing { args, .. } => args.len() as i64,
            ProgKind::StructOps { op, cid_form } => {
                // The cid form of enable has one more.
                let extra = cid_form && op == sextant_abi::tables::Op::Enable;
                op.desc().args.len() as i64 + i64::from(extra)
            }
        };
        if at % i64::from(size) != 0 || at % 8 + i64::from(size) > 8 || at / 8 >= slots.max(0) {
            return refuse_reg(
                Code::CtxAccess,
                n,
                format!("invalid bpf_context access off={at} size={size}"),
            );
        }
        let i = (at / 8) as usize;
        if let ProgKind::Tracing { args, .. } = self.prog.kind
            && args.get(i) == Some(&CtxArg::Address)
            && size != 8
        {
            return refuse_reg(
                Code::CtxAccess,
                n,
                format!("func arg{i} is a pointer: size {size} must be 8"),
            );
        }
        let reg = self.ctx_arg(i);
        if reg.is_ptr() && (size != 8 || at % 8 != 0) {
            return refuse_reg(
                Code::CtxAccess,
                n,
                format!("invalid bpf_context access off={at} size={size}"),
            );
        }
        Ok(if reg.is_scalar() { self.number(Scalar::bytes(size)) } else { reg })
    }

    fn ctx_arg(&mut self, i: usize) -> Reg {
        let (name, null) = match self.prog.kind {
            ProgKind::StructOps { op, cid_form } => match op.desc().args.get(i) {
                // A mask of CPU ids is in the scheduler's arena (`cmask__arena`).
                Some(OpArg::Ptr("cpumask")) if cid_form => return Reg::ptr(What::Arena, 0),
                Some(OpArg::Ptr("scx_cmask")) => return Reg::ptr(What::Arena, 0),
                Some(OpArg::Ptr(name)) => (*name, false),
                Some(OpArg::PtrOrNull(name)) => (*name, true),
                None if cid_form => ("scx_enable_args", false),
                _ => return Reg::UNKNOWN,
            },
            ProgKind::Tracing { args, .. } => match args.get(i) {
                Some(CtxArg::Trusted(name)) => (*name, false),
                Some(CtxArg::TrustedOrNull(name)) => (*name, true),
                Some(CtxArg::Bare(name)) => return Reg::ptr(What::Obj(Ty::Kernel(name)), 0),
                _ => return Reg::UNKNOWN,
            },
            _ => return Reg::UNKNOWN,
        };
        let mut reg = Reg::ptr(What::Obj(Ty::Kernel(name)), TRUSTED);
        if null {
            reg.flags |= OR_NULL;
            reg.id = self.fresh_id();
        }
        reg
    }

    pub(super) fn store_obj(&mut self, n: u8, base: &Reg, ty: Ty, off: i64, size: u32) -> Res {
        let at = self.obj_place(n, base, ty, off)?;
        match ty {
            Ty::Local(id) if base.has(ALLOC) && !base.has(UNTRUSTED) => self.local_access(n, id, at, size),
            Ty::Kernel("task_struct") => self.store_task(n, base, at, size),
            _ => {
                let text =
                    format!("only read is supported: R{n} is {}{}", base.type_name(), self.ty_name(ty));
                refuse_reg(Code::ObjWrite, n, text)
            }
        }
    }
}

/// Types whose objects are freed only after an RCU grace period (`rcu_protected_types`).
fn rcu_protected(name: &str) -> bool {
    matches!(name, "task_struct" | "cgroup" | "bpf_cpumask" | "bpf_crypto_ctx" | "bpf_ksock")
}

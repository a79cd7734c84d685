//! Memory as an argument of helpers, kfuncs and global functions. Mirrors `check_helper_mem_access()`, `check_mem_size_reg()`,
//! `process_dynptr_func()` of kernel/bpf/verifier.c, 7.3.

use sextant_abi::tables::bpf;

use super::reg::{ALLOC, OR_NULL, PERCPU, RDONLY, Reg, Ty, UNTRUSTED, What};
use super::state::{Byte, Special};
use super::*;

/// Largest variable size of an argument.
const MAX_VAR_SIZE: u64 = 1 << 29;

/// A dynptr in an argument.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dynptr {
    pub(super) id: u32,
    pub(super) rdonly: bool,
    pub(super) ref_id: u32,
}

impl Env<'_> {
    /// Argument `n` points to `size` bytes that the callee reads and/or writes.
    pub(super) fn memory_arg(&mut self, n: u8, size: u32, reads: bool, writes: bool) -> Res {
        let reg = self.read(n)?;
        if reg.has(OR_NULL) {
            return self.null_arg(n, &reg);
        }
        if reg.has(PERCPU) {
            return refuse_reg(Code::ArgType, n, format!("R{n} type={} expected=mem", reg.type_name()));
        }
        if writes && reg.has(RDONLY) {
            return refuse_reg(Code::Readonly, n, format!("R{n} cannot write into {}", reg.type_name()));
        }
        match reg.what {
            What::Stack(frame) => self.stack_arg(n, &reg, frame, size, reads, writes),
            What::MapValue(map) => {
                if writes && self.map(map).rdonly {
                    return refuse_reg(Code::Readonly, n, format!("R{n} write into map forbidden"));
                }
                if reads && self.map(map).flags & bpf::BPF_F_WRONLY_PROG != 0 {
                    return refuse_reg(Code::MapUse, n, "read from map forbidden");
                }
                self.map_bounds(n, &reg, map, 0, size)?;
                let (min, span) = (reg.s.smin(), reg.s.smax() - reg.s.smin() + i64::from(size));
                if let Some(field) = self.map(map).fields.touched(min, span).next() {
                    let text = format!("{} cannot be accessed directly by helper", field.kind.name());
                    return refuse_reg(Code::SpecialField, n, text);
                }
                Ok(())
            }
            What::MapKey(map) if !writes => {
                let bytes = self.map(map).key_size;
                self.bounds(n, &reg, 0, size, bytes.into(), "map key, key_size")
            }
            What::Mem(bytes) if bytes != u32::MAX => self.mem_bounds(n, &reg, 0, size, bytes),
            What::Arena => Ok(()),
            What::Packet | What::PacketMeta => self.packet_access(n, &reg, 0, size, writes),
            What::FlowKeys => self.flow_keys_access(n, &reg, 0, size),
            What::Ctx if self.prog.kind == crate::program::ProgKind::Syscall => {
                self.ctx_bounds(n, &reg, 0, size).map(|_| ())
            }
            What::Obj(Ty::Kernel(name)) if !writes && !reg.has(UNTRUSTED) => {
                let fits = sextant_abi::types::find_type(name).is_none_or(|d| {
                    reg.offset().is_some_and(|o| o >= 0 && o + i64::from(size) <= i64::from(d.size))
                });
                if fits {
                    return Ok(());
                }
                refuse_reg(Code::MemBounds, n, format!("access beyond struct {name} size {size}"))
            }
            What::Obj(Ty::Local(id)) if reg.has(ALLOC) => {
                let Some(off) = reg.offset() else {
                    return refuse_reg(Code::MemBounds, n, "variable offset into an allocated object");
                };
                self.local_access(n, id, off, size)
            }
            _ => {
                let text = format!("R{n} type={} expected=fp, pkt, map_key, map_value, mem", reg.type_name());
                refuse_reg(Code::ArgType, n, text)
            }
        }
    }

    fn stack_arg(&mut self, n: u8, reg: &Reg, frame: u8, size: u32, reads: bool, writes: bool) -> Res {
        let (min, max) = (reg.s.smin(), reg.s.smax().saturating_add(i64::from(size)));
        if min < -state::MAX_STACK || max > 0 {
            let verb = if writes { "write to" } else { "read from" };
            let text = format!("invalid {verb} stack R{n} off={min} size={size}");
            return refuse_reg(Code::StackBounds, n, text);
        }
        if size == 0 {
            return Ok(());
        }
        if reads {
            let special =
                (min..max).any(|at| self.st.frames[frame as usize].slot(at).special != Special::None);
            if special && !writes {
                return refuse_reg(Code::Dynptr, n, format!("R{n} potential read of a special stack object"));
            }
            // What a helper reads may decide what it does; its numbers matter.
            for at in (min..max).rev() {
                let slot = self.st.frames[frame as usize].slot(at);
                if slot.spilled() > 0 {
                    let reg = slot.reg;
                    self.matters(&reg);
                }
            }
        }
        if writes {
            self.stack_clobber(frame, min, max)?;
        } else {
            self.grow(frame, min);
        }
        Ok(())
    }

    /// Argument `n` points to memory whose size is argument `n + 1`.
    pub(super) fn sized_arg(
        &mut self,
        n: u8,
        zero_ok: bool,
        null_ok: bool,
        reads: bool,
        writes: bool,
    ) -> Res {
        let (ptr, size) = (self.read(n)?, self.read(n + 1)?);
        if !size.is_scalar() {
            let text = format!("R{} type={} expected=scalar", n + 1, size.type_name());
            return refuse_reg(Code::ArgType, n + 1, text);
        }
        self.matters(&size);
        // No memory is as good as NULL.
        if ptr.is_null() && null_ok && size.s.is(0) {
            self.matters(&ptr);
            return Ok(());
        }
        if size.s.smin() < 0 {
            let text = format!("R{} min value is negative, either use unsigned or 'var &= const'", n + 1);
            return refuse_reg(Code::ArgSize, n + 1, text);
        }
        if size.s.umin() == 0 && !zero_ok {
            let text =
                format!("R{} invalid zero-sized read: u64=[{},{}]", n + 1, size.s.umin(), size.s.umax());
            return refuse_reg(Code::ArgSize, n + 1, text);
        }
        if size.s.umax() >= MAX_VAR_SIZE {
            let text =
                format!("R{} unbounded memory access, use 'var &= const' or 'if (var < const)'", n + 1);
            return refuse_reg(Code::ArgSize, n + 1, text);
        }
        self.memory_arg(n, size.s.umax() as u32, reads, writes)
    }

    /// Argument `n` is a constant number.
    pub(super) fn const_arg(&mut self, n: u8) -> Res<u64> {
        let reg = self.read(n)?;
        self.matters(&reg);
        match reg.value() {
            Some(value) => Ok(value),
            None => refuse_reg(Code::ArgConst, n, format!("R{n} must be a known constant")),
        }
    }

    /// Argument `n` is a number.
    pub(super) fn scalar_arg(&mut self, n: u8) -> Res<Reg> {
        let reg = self.read(n)?;
        if reg.is_scalar() {
            return Ok(reg);
        }
        refuse_reg(Code::ArgType, n, format!("R{n} is not a scalar"))
    }

    /// Argument `n` is a string that cannot change: in a frozen read-only map, with its NUL.
    pub(super) fn const_str(&mut self, n: u8) -> Res {
        let reg = self.read(n)?;
        let What::MapValue(map) = reg.what else {
            let text = format!("R{n} type={} expected=map_value", reg.type_name());
            return refuse_reg(Code::ArgType, n, text);
        };
        let desc = self.map(map);
        let Some(off) = reg.offset() else {
            return refuse_reg(Code::ArgConst, n, format!("R{n} is not a constant address'"));
        };
        let byte = |at: u32| (self.prog.read_only)(desc.id, at, 1);
        if byte(off as u32).is_none() {
            return refuse_reg(Code::ArgConst, n, format!("R{n} does not point to a readonly map'"));
        }
        if !(off as u32..desc.value_size).any(|at| byte(at) == Some(0)) {
            return refuse_reg(Code::ArgConst, n, "string is not zero-terminated");
        }
        Ok(())
    }

    /// Argument `n` is an initialised dynptr.
    pub(super) fn dynptr_arg(&mut self, n: u8) -> Res<Dynptr> {
        let reg = self.read(n)?;
        if reg.what == What::ConstDynptr {
            return Ok(Dynptr { id: u32::MAX, rdonly: reg.has(RDONLY), ref_id: 0 });
        }
        let (frame, off) = self.stack_place(n, 16, "expected pointer to stack or const struct bpf_dynptr")?;
        match self.st.frames[frame as usize].slot(off).special {
            Special::Dynptr { first: true, id, ref_id, rdonly } => Ok(Dynptr { id, rdonly, ref_id }),
            _ => {
                let text = format!("Expected an initialized dynptr as arg #{}", n - 1);
                refuse_reg(Code::Dynptr, n, text)
            }
        }
    }

    /// Argument `n` is where a dynptr is made.
    pub(super) fn dynptr_new(&mut self, n: u8, ref_id: u32, rdonly: bool) -> Res {
        let (frame, off) = self.stack_place(n, 16, "Dynptr has to be an uninitialized dynptr")?;
        let taken = |at: i64| matches!(self.st.frames[frame as usize].slot(at).special, Special::Dynptr { ref_id, .. } if ref_id != 0);
        if taken(off) || taken(off + 8) {
            return refuse_reg(Code::Dynptr, n, "Dynptr has to be an uninitialized dynptr");
        }
        self.stack_clobber(frame, off, off + 16)?;
        let id = self.fresh_id();
        for at in [off, off + 8] {
            let slot = self.st.frames[frame as usize].slot_mut(at);
            slot.bytes = [Byte::Special; 8];
            slot.special = Special::Dynptr { first: at == off, id, ref_id, rdonly };
        }
        Ok(())
    }
}

//! Memory as an argument of helpers, kfuncs and global functions. Mirrors `check_helper_mem_access()`, `check_mem_size_reg()`,
//! `check_reg_type()`, `process_dynptr_func()` of kernel/bpf/verifier.c, 7.3.

use sextant_abi::tables::bpf;

use super::reg::{OR_NULL, RDONLY, RINGBUF, Reg, TRUSTED, What};
use super::state::{Byte, Special};
use super::*;

/// Largest variable size of an argument (`BPF_MAX_VAR_SIZ`).
const MAX_VAR_SIZE: u64 = 1 << 29;

/// A dynptr in an argument.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dynptr {
    /// Its identity.
    pub(super) id: u32,
    /// What it and its clones must give back; 0: nothing.
    pub(super) ref_id: u32,
}

/// What a callee does with memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Use {
    pub(super) reads: bool,
    pub(super) writes: bool,
    /// It fills all of it: what was on the stack there does not matter (`MEM_UNINIT`).
    pub(super) fills: bool,
}

impl Use {
    /// Read.
    pub(super) const IN: Use = Use { reads: true, writes: false, fills: false };
    /// Written in part or whole.
    pub(super) const OUT: Use = Use { reads: false, writes: true, fills: false };
    /// Filled.
    pub(super) const FILL: Use = Use { reads: false, writes: true, fills: true };
    /// Read and written: all memory of kfuncs and global functions.
    pub(super) const BOTH: Use = Use { reads: true, writes: true, fills: false };
}

impl Env<'_> {
    /// Memory of a helper, of a fixed size: argument `n` is of a kind that helpers take as memory, and has `size` bytes.
    pub(super) fn memory_arg(&mut self, n: u8, size: u32, how: Use) -> Res {
        let reg = self.read(n)?;
        self.helper_memory(n, &reg, how, false)?;
        self.memory(n, &reg, size, how)
    }

    /// What helpers take as memory (`mem_types`, `check_reg_type()`), and at which offsets (`check_func_arg_reg_off()`).
    fn helper_memory(&self, n: u8, reg: &Reg, how: Use, null_ok: bool) -> Res {
        let readonly = !how.writes;
        let folded = if readonly { RDONLY } else { 0 } | if null_ok { OR_NULL } else { 0 };
        let flags = reg.type_flags() & !folded;
        let fits = match reg.what {
            What::Stack(_)
            | What::Packet
            | What::PacketMeta
            | What::MapKey(_)
            | What::MapValue(_)
            | What::Ctx => flags == 0,
            What::Mem(_) => flags & !reg::DYNMEM == 0 || flags == RINGBUF,
            What::Obj(_) => flags == TRUSTED,
            _ => false,
        };
        if !fits {
            if reg.has(OR_NULL) && !null_ok {
                return self.null_arg(n, reg);
            }
            let code = if reg.has(RDONLY) && !readonly { Code::Readonly } else { Code::ArgType };
            let text = format!(
                "R{n} type={} expected=fp, pkt, pkt_meta, map_key, map_value, mem, ringbuf_mem, buf, trusted_ptr_, ctx",
                self.describe(reg)
            );
            return refuse_reg(code, n, text);
        }
        if matches!(reg.what, What::Obj(_)) && !readonly {
            let text = format!("the helper may write into memory pointed by R{n} type={}", reg.type_name());
            return refuse_reg(Code::ObjWrite, n, text);
        }
        self.arg_offset(n, reg, Offset::Fixed)
    }

    /// The offsets that a pointer may have as an argument. Mirrors `__check_func_arg_reg_off()`.
    pub(super) fn arg_offset(&self, n: u8, reg: &Reg, allowed: Offset) -> Res {
        if allowed == Offset::Released && reg.offset() != Some(0) && reg.is_ptr() {
            let text =
                format!("R{n} must have zero offset when passed to release func or trusted arg to kfunc");
            return refuse_reg(Code::ArgType, n, text);
        }
        let flags = reg.type_flags();
        let fixed = match reg.what {
            What::Scalar | What::Uninit => return Ok(()),
            What::Stack(_) | What::Packet | What::PacketMeta | What::MapKey(_) | What::MapValue(_)
                if flags == 0 =>
            {
                return Ok(());
            }
            What::Mem(_) if matches!(flags, 0 | RDONLY | RINGBUF) => return Ok(()),
            What::Arena => return Ok(()),
            What::Ctx if self.prog.kind == crate::program::ProgKind::Syscall && allowed != Offset::Ctx => {
                return Ok(());
            }
            What::Ctx => return self.plain_ctx(n, reg),
            What::Obj(_) => reg.is_plain_object() && allowed != Offset::None,
            _ => false,
        };
        let name = reg.type_name();
        match reg.offset() {
            None => {
                let text = format!("variable {name} access var_off={} disallowed", reg.s);
                refuse_reg(Code::ArgType, n, text)
            }
            Some(at) if at < 0 => {
                let text = format!("negative offset {name} ptr R{n} off={at} disallowed");
                refuse_reg(Code::ArgType, n, text)
            }
            Some(at) if at != 0 && !fixed => {
                let text = format!("dereference of modified {name} ptr R{n} off={at} disallowed");
                refuse_reg(Code::ArgType, n, text)
            }
            _ => Ok(()),
        }
    }

    /// `size` bytes from `reg` on are memory that can be used so. Mirrors `check_helper_mem_access()`.
    pub(super) fn memory(&mut self, n: u8, reg: &Reg, size: u32, how: Use) -> Res {
        let Use { reads, writes, .. } = how;
        match reg.what {
            What::Stack(frame) => self.stack_arg(n, reg, frame, size, how),
            What::MapValue(map) => self.map_memory(n, reg, map, size, how),
            What::MapKey(_) if writes => {
                refuse_reg(Code::Readonly, n, format!("R{n} cannot write into {}", reg.type_name()))
            }
            What::MapKey(map) => {
                let bytes = self.map(map).key_size;
                self.bounds(n, reg, 0, size, bytes.into(), "map key, key_size")
            }
            What::Mem(_) if writes && reg.has(RDONLY) => {
                refuse_reg(Code::Readonly, n, format!("R{n} cannot write into {}", reg.type_name()))
            }
            // Of memory that nobody vouches for no byte is known to be there.
            What::Mem(bytes) => {
                let bytes = if bytes == u32::MAX { 0 } else { bytes };
                self.mem_bounds(n, reg, 0, size, bytes)
            }
            What::Packet | What::PacketMeta => self.packet_access(n, reg, 0, size, writes),
            What::Obj(_) => self.obj_arg(n, reg, size, reads, writes),
            What::Ctx if self.prog.kind == crate::program::ProgKind::Syscall => {
                self.ctx_bounds(n, reg, 0, size).map(|_| ())
            }
            _ if size == 0 && reg.is_null() => {
                self.matters(reg);
                Ok(())
            }
            _ => {
                let text = format!("R{n} type={} expected=fp", reg.type_name());
                refuse_reg(Code::ArgType, n, text)
            }
        }
    }

    fn map_memory(&mut self, n: u8, reg: &Reg, map: u32, size: u32, how: Use) -> Res {
        let desc = self.map(map);
        if how.writes && desc.rdonly {
            return refuse_reg(Code::Readonly, n, format!("R{n} write into map forbidden"));
        }
        if how.reads && desc.flags & bpf::BPF_F_WRONLY_PROG != 0 {
            return refuse_reg(Code::MapUse, n, "read from map forbidden");
        }
        self.map_bounds(n, reg, map, 0, size)?;
        let (min, span) = (reg.s.smin(), reg.s.smax() - reg.s.smin() + i64::from(size));
        if let Some(field) = desc.fields.touched(min, span).next() {
            let text = format!("{} cannot be accessed directly by helper", field.kind.name());
            return refuse_reg(Code::SpecialField, n, text);
        }
        Ok(())
    }

    /// Mirrors `check_stack_range_initialized()`, for a loader to whom stack that was never written is any number.
    fn stack_arg(&mut self, n: u8, reg: &Reg, frame: u8, size: u32, how: Use) -> Res {
        let (min, max) = (reg.s.smin(), reg.s.smax().saturating_add(i64::from(size)));
        if min < -state::MAX_STACK || max > 0 {
            let verb = if how.writes { "write to" } else { "read from" };
            let text = format!("invalid {verb} stack R{n} off={min} size={size}");
            return refuse_reg(Code::StackBounds, n, text);
        }
        if size == 0 {
            return Ok(());
        }
        let fills = how.fills && reg.offset().is_some();
        if !fills {
            let special =
                (min..max).find(|at| self.st.frames[frame as usize].slot(*at).special != Special::None);
            if let Some(at) = special {
                let text = format!(
                    "invalid read from stack R{n} off {min}+{} size {size}: a dynptr, iterator or irq flag is there",
                    at - min
                );
                return refuse_reg(Code::Dynptr, n, text);
            }
        }
        if how.reads || !fills {
            // What a helper reads may decide what it does; its numbers matter.
            for at in (min..max).rev() {
                let slot = self.st.frames[frame as usize].slot(at);
                if slot.spilled() > 0 {
                    let reg = slot.reg;
                    self.matters(&reg);
                }
            }
        }
        if how.writes {
            self.stack_clobber(frame, min, max)?;
        } else {
            self.grow(frame, min);
        }
        Ok(())
    }

    /// Memory of a helper whose size is argument `n + 1`. `zero_ok`: the size may be 0; `null_ok`: NULL will do, with size 0.
    pub(super) fn sized_arg(&mut self, n: u8, zero_ok: bool, null_ok: bool, how: Use) -> Res {
        let (ptr, size) = (self.read(n)?, self.read(n + 1)?);
        if ptr.is_null() && null_ok {
            self.matters(&ptr);
        } else {
            self.helper_memory(n, &ptr, how, null_ok)?;
        }
        if !size.is_scalar() {
            let text = format!("R{} type={} expected=scalar", n + 1, size.type_name());
            return refuse_reg(Code::ArgType, n + 1, text);
        }
        self.sized_memory(n, &ptr, zero_ok, how)
    }

    /// A pointer and the number of bytes behind it. Mirrors `check_mem_size_reg()`.
    pub(super) fn sized_memory(&mut self, n: u8, ptr: &Reg, zero_ok: bool, how: Use) -> Res {
        let size = self.read(n + 1)?;
        self.matters(&size);
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
        let how = Use { fills: how.fills && size.value().is_some(), ..how };
        self.memory(n, ptr, size.s.umax() as u32, how)
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
        if reg.has(OR_NULL) {
            return self.null_arg(n, &reg);
        }
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
            self.arg_offset(n, &reg, Offset::None)?;
            return Ok(Dynptr { id: reg.id, ref_id: 0 });
        }
        let (frame, off) = self.stack_place(n, 16, "expected pointer to stack or const struct bpf_dynptr")?;
        match self.st.frames[frame as usize].slot(off).special {
            Special::Dynptr { first: true, id, ref_id } => Ok(Dynptr { id, ref_id }),
            _ => {
                let text = format!("Expected an initialized dynptr as R{n}");
                refuse_reg(Code::Dynptr, n, text)
            }
        }
    }

    /// Argument `n` is where a dynptr is made; `ref_id` is what it must give back (a clone shares it with the first).
    pub(super) fn dynptr_new(&mut self, n: u8, ref_id: u32) -> Res {
        let (frame, off) = self.stack_place(n, 16, "Dynptr has to be an uninitialized dynptr")?;
        self.stack_clobber(frame, off, off + 16)?;
        let id = self.fresh_id();
        for at in [off, off + 8] {
            let slot = self.st.frames[frame as usize].slot_mut(at);
            slot.bytes = [Byte::Special; 8];
            slot.special = Special::Dynptr { first: at == off, id, ref_id };
        }
        Ok(())
    }

    /// What a dynptr and its clones hold is given back: all of them are gone, and their slices.
    pub(super) fn release_dynptr(&mut self, dynptr: Dynptr) -> Res {
        self.release(dynptr.ref_id)?;
        let slots = self.st.frames.iter().flat_map(|f| &f.stack);
        let ids: Vec<u32> = slots
            .filter_map(|slot| match slot.special {
                Special::Dynptr { id, ref_id, .. } if ref_id == dynptr.ref_id => Some(id),
                _ => None,
            })
            .collect();
        ids.into_iter().for_each(|id| self.forget_dynptr(id));
        Ok(())
    }
}

/// The offsets that an argument may have, beyond what memory may.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Offset {
    /// A known one into a kernel or allocated object.
    Fixed,
    /// None into an object either.
    None,
    /// None at all: the object is released.
    Released,
    /// None: it is the context as such.
    Ctx,
}

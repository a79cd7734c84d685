//! One instruction of the path. Mirrors `do_check_insn()`, `check_alu_op()`, `check_cond_jmp_op()`, `check_ld_imm()` of
//! kernel/bpf/verifier.c, 7.3.

use sextant_abi::image::Reloc;
use sextant_bpf::insn::{BPF_PSEUDO_MAP_VALUE, MAX_REG, imm64};
use sextant_bpf::opcode::{Alu, AtomicOp, Callee, Imm64, Kind, Operand, Order, Size};

use super::reg::{DELTA, DELTA32, OR_NULL, Reg, TRUSTED, What};
use super::*;
use crate::range::{Cnum32, Scalar, Tnum, alu};
use crate::structure::{jump_target, written};

impl Env<'_> {
    /// Executes the instruction at the path's `pc`.
    pub(super) fn step(&mut self) -> Res<Next> {
        let pc = self.st.pc;
        let insn = self.prog.insns[pc];
        let Some(kind) = self.cfg.kinds[pc] else {
            return refuse(Code::Structure, format!("invalid bpf_ld_imm64 insn at {pc}"));
        };
        if written(&insn, kind) == Some(MAX_REG) {
            return refuse(Code::Structure, "frame pointer is read only");
        }
        match kind {
            Kind::Alu { op, wide, operand } => self.alu(op, wide, operand)?,
            Kind::Neg { wide } => {
                let dst = self.read(insn.dst)?;
                if dst.is_ptr() {
                    self.any_number(insn.dst, [dst.node, 0])?;
                } else {
                    let node = self.node([dst.node, 0], 0);
                    self.set(insn.dst, Reg { node, ..Reg::scalar(alu::neg(wide, &dst.s)) });
                }
            }
            Kind::MovSx { bits, wide } => self.movsx(bits, wide)?,
            Kind::End { order, bits } => {
                let dst = self.read(insn.dst)?;
                if dst.is_ptr() {
                    self.any_number(insn.dst, [dst.node, 0])?;
                } else if order == Order::Le && bits == 64 {
                    // Nothing changes, the ties to other numbers neither.
                    self.set(insn.dst, Reg { s: alu::end(order, bits, &dst.s), ..dst });
                } else {
                    let node = self.node([dst.node, 0], 0);
                    self.set(insn.dst, Reg { node, ..Reg::scalar(alu::end(order, bits, &dst.s)) });
                }
            }
            Kind::AddrSpaceCast => self.addr_space_cast()?,
            Kind::LdImm64(what) => {
                self.ld_imm64(what)?;
                return Ok(Next::Goto(pc + 2));
            }
            Kind::Load { size, signed } => self.load(insn.dst, insn.src, insn.off, size, signed)?,
            Kind::LoadAcquire { size } => {
                let base = self.read(insn.src)?;
                if base.is_scalar() {
                    return self.bad_mem(insn.src, &base);
                }
                self.atomic_place(insn.src, "loads from")?;
                self.aligned(insn.src, &base, insn.off.into(), size.bytes())?;
                self.load(insn.dst, insn.src, insn.off, size, false)?;
            }
            Kind::Store { size, operand } => {
                let val = match operand {
                    Operand::Imm => Reg::constant(insn.imm as i64 as u64),
                    Operand::Reg => self.spilled(insn.src, insn.dst, insn.off, size)?,
                };
                self.read(insn.dst)?;
                self.store(insn.dst, insn.off, size, &val)?;
            }
            Kind::StoreRelease { size } => {
                let val = self.read(insn.src)?;
                let base = self.read(insn.dst)?;
                if base.is_scalar() {
                    return self.bad_mem(insn.dst, &base);
                }
                self.atomic_place(insn.dst, "stores into")?;
                self.aligned(insn.dst, &base, insn.off.into(), size.bytes())?;
                self.store(insn.dst, insn.off, size, &val)?;
            }
            Kind::Atomic { op, size, fetch } => self.atomic(op, size, fetch)?,
            Kind::LdSkb { ind, .. } => return self.load_skb(ind),
            Kind::Ja { .. } => {
                self.since.1 += 1;
                return Ok(Next::Goto(self.target()));
            }
            Kind::Jump { cond, wide, operand } => {
                self.since.1 += 1;
                return self.jump(cond, wide, operand);
            }
            Kind::MayGoto => return self.may_goto(),
            Kind::Call(callee) => {
                self.since.1 += 1;
                return match callee {
                    Callee::Helper => self.call_helper(),
                    Callee::Local => self.call_local(),
                    Callee::Kfunc => self.call_kfunc(),
                    Callee::Reg => refuse(Code::Unsupported, "indirect calls are not supported"),
                };
            }
            Kind::Exit => {
                self.since.1 += 1;
                return self.exit();
            }
        }
        Ok(Next::Goto(pc + 1))
    }

    pub(super) fn target(&self) -> usize {
        let pc = self.st.pc;
        jump_target(pc, &self.prog.insns[pc]).unwrap_or(0) as usize
    }

    /// A value made by this instruction.
    pub(super) fn node(&mut self, from: [u32; 2], via: u32) -> u32 {
        self.nodes.new_at(self.st.pc, from, via)
    }

    /// A register that must hold something.
    pub(super) fn read(&mut self, n: u8) -> Res<Reg> {
        let reg = *self.st.reg(n);
        if reg.what == What::Uninit {
            return refuse_reg(Code::Uninit, n, format!("R{n} !read_ok"));
        }
        Ok(reg)
    }

    /// Writes a register of the running frame.
    pub(super) fn set(&mut self, n: u8, reg: Reg) {
        *self.st.reg_mut(n) = reg;
    }

    /// A number about which only the bounds are known, made by this instruction.
    pub(super) fn number(&mut self, s: Scalar) -> Reg {
        Reg { node: self.node([0, 0], 0), ..Reg::scalar(s) }
    }

    pub(super) fn no_arith<T>(&self, n: u8, reg: &Reg) -> Res<T> {
        let name = reg.type_name();
        if reg.has(OR_NULL) {
            let text = format!("R{n} pointer arithmetic on {name} prohibited, null-check it first");
            return refuse_reg(Code::BadPointerMath, n, text);
        }
        refuse_reg(Code::BadPointerMath, n, format!("R{n} pointer arithmetic on {name} prohibited"))
    }

    fn alu(&mut self, op: Alu, wide: bool, operand: Operand) -> Res {
        let insn = self.prog.insns[self.st.pc];
        let src = match operand {
            Operand::Reg => self.read(insn.src)?,
            Operand::Imm => {
                let imm = insn.imm as i64 as u64;
                Reg::constant(if wide { imm } else { u64::from(imm as u32) })
            }
        };
        if op == Alu::Mov {
            return self.mov(wide, operand, &src);
        }
        let dst = self.read(insn.dst)?;
        let divides = matches!(op, Alu::Div | Alu::Mod | Alu::Sdiv | Alu::Smod);
        if operand == Operand::Imm && divides && insn.imm == 0 {
            return refuse(Code::Structure, "div by zero");
        }
        let shifts = matches!(op, Alu::Lsh | Alu::Rsh | Alu::Arsh);
        let width = if wide { 64 } else { 32 };
        if operand == Operand::Imm && shifts && !(0..width).contains(&insn.imm) {
            return refuse(Code::Structure, format!("invalid shift {}", insn.imm));
        }
        if wide {
            let arena = dst.what == What::Arena || src.what == What::Arena;
            if *self.arena_alu[self.st.pc].get_or_insert(arena) != arena {
                let text = "same insn cannot be used with and without arena pointer";
                return refuse(Code::BadPointerMath, text);
            }
        }
        if dst.is_ptr() || src.is_ptr() {
            return self.ptr_alu(op, wide, operand, &dst, &src);
        }
        let dst = self.fork_mask(op, &dst, &src)?;
        let s = alu::alu(op, wide, &dst.s, &src.s);
        let same = operand == Operand::Reg && insn.src == insn.dst;
        let from = [dst.node, if operand == Operand::Reg { src.node } else { 0 }];
        if let Some(delta) = tie(op, wide, &dst, &src).filter(|_| !same) {
            let flags = if wide { DELTA } else { DELTA | DELTA32 };
            // The tie rests on what was added.
            self.matters(&src);
            self.set(insn.dst, Reg { s, flags, delta, ..dst });
            return Ok(());
        }
        let node = self.node(from, 0);
        self.set(insn.dst, Reg { node, ..Reg::scalar(s) });
        Ok(())
    }

    /// A mask that is 0 or -1 (what `s>>= 63` leaves) meets a constant: two paths, each with a known result. The one on which it is 0
    /// executes the instruction again. Mirrors `maybe_fork_scalars()`.
    fn fork_mask(&mut self, op: Alu, dst: &Reg, src: &Reg) -> Res<Reg> {
        let (whole, low) = ((dst.s.smin(), dst.s.smax()), (dst.s.smin32(), dst.s.smax32()));
        if !matches!(op, Alu::And | Alu::Or)
            || src.s.value().is_none()
            || (whole != (-1, 0) && low != (-1, 0))
        {
            return Ok(*dst);
        }
        let known = |value: u64| match whole {
            (-1, 0) => Scalar::constant(value),
            _ => {
                let bits = dst.s.bits.with_low32(Tnum::constant(value));
                Scalar { bits, r32: Cnum32::constant(value as u32), ..dst.s }
            }
        };
        let (pc, n) = (self.st.pc, self.prog.insns[self.st.pc].dst);
        let node = self.node([dst.node, src.node], 0);
        let mut other = self.st.clone();
        *other.reg_mut(n) = Reg { node, ..Reg::scalar(known(0)) };
        self.push(other, pc)?;
        Ok(Reg { node, ..Reg::scalar(known(u64::MAX)) })
    }

    /// The number in `src`; its copy on the stack is tied to it from now on, if it is whole there.
    fn spilled(&mut self, src: u8, dst: u8, off: i16, size: Size) -> Res<Reg> {
        let val = self.read(src)?;
        let base = *self.st.reg(dst);
        let slot = base.offset().is_some_and(|at| (at + i64::from(off)) % 8 == 0);
        if matches!(base.what, What::Stack(_)) && slot && fits(&val, size.bytes() * 8) {
            return Ok(self.tied(src));
        }
        Ok(val)
    }

    /// The register with an id, so that what is learned of a copy is learned of it. Mirrors `assign_scalar_id_before_mov()`.
    pub(super) fn tied(&mut self, n: u8) -> Reg {
        let mut reg = *self.st.reg(n);
        self.tie_number(&mut reg);
        self.set(n, reg);
        reg
    }

    /// A number gets an id, unless it is known. One that differs from others by a constant leaves them.
    pub(super) fn tie_number(&mut self, reg: &mut Reg) {
        if !reg.is_scalar() {
            return;
        }
        if reg.has(DELTA) {
            untie(reg);
        }
        if reg.id == 0 && reg.s.value().is_none() {
            reg.id = self.fresh_id();
        }
    }

    fn mov(&mut self, wide: bool, operand: Operand, src: &Reg) -> Res {
        let insn = self.prog.insns[self.st.pc];
        if operand == Operand::Imm {
            let reg = self.number(src.s);
            self.set(insn.dst, reg);
            return Ok(());
        }
        if wide {
            let copy = self.tied(insn.src);
            self.set(insn.dst, copy);
            return Ok(());
        }
        if src.is_ptr() {
            // The low half of an address is a number.
            self.any_number(insn.dst, [src.node, 0])?;
            self.st.reg_mut(insn.dst).s = Scalar::UNKNOWN.zext32();
            return Ok(());
        }
        let (s, whole) = (src.s.zext32(), fits(src, 32));
        if whole {
            let copy = self.tied(insn.src);
            self.set(insn.dst, Reg { s, ..copy });
            return Ok(());
        }
        let node = self.node([src.node, 0], 0);
        self.set(insn.dst, Reg { node, ..Reg::scalar(s) });
        Ok(())
    }

    fn movsx(&mut self, bits: u8, wide: bool) -> Res {
        let insn = self.prog.insns[self.st.pc];
        let src = self.read(insn.src)?;
        if src.is_ptr() {
            self.any_number(insn.dst, [src.node, 0])?;
            if !wide {
                self.st.reg_mut(insn.dst).s = Scalar::UNKNOWN.zext32();
            }
            return Ok(());
        }
        let s = alu::movsx(bits, wide, &src.s);
        // The sign bit is 0: the number stays what it is.
        if fits(&src, u32::from(bits) - 1) {
            let copy = self.tied(insn.src);
            self.set(insn.dst, Reg { s, ..copy });
            return Ok(());
        }
        let node = self.node([src.node, 0], 0);
        self.set(insn.dst, Reg { node, ..Reg::scalar(s) });
        Ok(())
    }

    fn addr_space_cast(&mut self) -> Res {
        let insn = self.prog.insns[self.st.pc];
        if !matches!(insn.imm, 1 | 0x1_0000) {
            let text = "addr_space_cast insn can only convert between address space 1 and 0";
            return refuse(Code::Structure, text);
        }
        let src = self.read(insn.src)?;
        if !self.maps.iter().any(|m| m.map_type == sextant_abi::tables::bpf::BPF_MAP_TYPE_ARENA) {
            return refuse(
                Code::MapUse,
                "addr_space_cast insn can only be used in a program that has an associated arena",
            );
        }
        // imm 1: address space 0 <- 1, the form that programs dereference.
        let reg = match insn.imm {
            1 => Reg { node: self.node([0, 0], src.node), ..Reg::ptr(What::Arena, 0) },
            _ => self.number(Scalar::UNKNOWN),
        };
        self.set(insn.dst, reg);
        Ok(())
    }

    fn ld_imm64(&mut self, what: Imm64) -> Res {
        let pc = self.st.pc;
        let (insn, second) = (self.prog.insns[pc], self.prog.insns[pc + 1]);
        let reloc = self.cfg.relocs[pc];
        if let Some(func) = self.cfg.func_ref(self.prog, pc) {
            let node = self.node([0, 0], 0);
            self.set(insn.dst, Reg { node, ..Reg::ptr(What::Func(func as u32), 0) });
            return Ok(());
        }
        let node = self.node([0, 0], 0);
        let reg = match (reloc, what) {
            (Some(Reloc::Map(id)), _) => {
                let map = self.map_index(id)?;
                Reg { node, ..Reg::ptr(What::Map(map), 0) }
            }
            (Some(Reloc::MapValue(id, off)), _) => {
                let map = self.map_index(id)?;
                if self.map(map).map_type == sextant_abi::tables::bpf::BPF_MAP_TYPE_ARENA {
                    Reg { node, ..Reg::ptr(What::Arena, 0) }
                } else {
                    let s = Scalar::constant(u64::from(off));
                    Reg { node, s, ..Reg::ptr(What::MapValue(map), 0) }
                }
            }
            (Some(Reloc::Addr(_)), _) => Reg { node, ..self.kernel_symbol(insn.imm as u32) },
            (_, Imm64::Const) => Reg { node, ..Reg::constant(imm64(&insn, &second)) },
            (_, Imm64::BtfId) => Reg { node, ..Reg::constant(imm64(&insn, &second)) },
            _ => {
                let kind = if insn.src == BPF_PSEUDO_MAP_VALUE { "map value" } else { "map" };
                return refuse(
                    Code::MapUse,
                    format!("fd {} is not pointing to valid bpf_map ({kind})", insn.imm),
                );
            }
        };
        self.set(insn.dst, reg);
        Ok(())
    }

    /// A kernel variable, typed when BTF tells; or a function, of which only the address is used. Never NULL.
    fn kernel_symbol(&self, id: u32) -> Reg {
        use sextant_bpf::btf::{Kind as BtfKind, KindTag, TypeId};
        let untyped = Reg::ptr(What::Mem(u32::MAX), reg::RDONLY);
        let Some(btf) = self.prog.kernel_btf else { return untyped };
        let ty = match btf.kind(TypeId(id)) {
            BtfKind::Var { ty, .. } => ty,
            BtfKind::Func { .. } => return Reg::ptr(What::Mem(0), reg::RDONLY),
            _ => return untyped,
        };
        let desc = btf.resolve(*ty).ok().and_then(|ty| sextant_abi::types::find_type(btf.name(ty)));
        let percpu = btf.find(".data..percpu", KindTag::DataSec).is_some_and(|sec| match btf.kind(sec) {
            BtfKind::DataSec { vars, .. } => vars.iter().any(|v| v.var == TypeId(id)),
            _ => false,
        });
        match (desc, btf.size_of(*ty)) {
            // Nobody says that the variable stays: it is as any pointer that was found.
            (Some(desc), _) => {
                Reg::ptr(What::Obj(reg::Ty::Kernel(desc.name)), if percpu { reg::PERCPU } else { 0 })
            }
            (None, Ok(size)) if percpu => Reg::ptr(What::Mem(size as u32), reg::PERCPU | reg::RDONLY),
            (None, Ok(size)) => Reg::ptr(What::Mem(size as u32), reg::RDONLY),
            _ => untyped,
        }
    }

    fn map_index(&self, id: u32) -> Res<u32> {
        match self.maps.iter().position(|m| m.id == id) {
            Some(i) => Ok(i as u32),
            None => refuse(Code::MapUse, format!("map id {id} is not pointing to valid bpf_map")),
        }
    }

    /// Mirrors `atomic_ptr_type_ok()`: what else an access may not be is refused as a load or a store.
    fn atomic_place(&mut self, n: u8, what: &str) -> Res {
        let reg = self.read(n)?;
        let never = matches!(reg.what, What::Ctx | What::FlowKeys | What::Sock(_)) || reg.is_packet();
        // An untrusted address is read by a probing load, which is not atomic.
        let probed = what.starts_with("loads") && reg.has(reg::UNTRUSTED);
        if !never && !probed {
            return Ok(());
        }
        let text = format!("BPF_ATOMIC {what} R{n} {} is not allowed", reg.type_name());
        refuse_reg(Code::Atomic, n, text)
    }

    fn atomic(&mut self, op: AtomicOp, size: Size, fetch: bool) -> Res {
        let insn = self.prog.insns[self.st.pc];
        self.read(insn.src)?;
        let dst = self.read(insn.dst)?;
        if op == AtomicOp::Cmpxchg {
            self.read(0)?;
        }
        if dst.is_scalar() {
            return self.bad_mem(insn.dst, &dst);
        }
        self.atomic_place(insn.dst, "stores into")?;
        self.aligned(insn.dst, &dst, insn.off.into(), size.bytes())?;
        let old = self.load_value(insn.dst, insn.off, size, false)?;
        self.store(insn.dst, insn.off, size, &Reg::UNKNOWN)?;
        if fetch {
            let to = if op == AtomicOp::Cmpxchg { 0 } else { insn.src };
            // A pointer that was spilled there comes back as one.
            self.set(to, old);
        }
        Ok(())
    }
}

/// What `r += constant` or `r -= constant` adds, when the number stays tied to those of the same origin. On 32 bits the origin has no
/// upper half, so that the low halves say all.
fn tie(op: Alu, wide: bool, dst: &Reg, src: &Reg) -> Option<i32> {
    let by =
        if wide { src.s.value().map(|v| v as i64) } else { src.s.value32().map(|v| i64::from(v as i32)) }?;
    let by = i32::try_from(by).ok()?;
    if dst.id == 0 || dst.has(DELTA) || !(wide || fits(dst, 32)) {
        return None;
    }
    match op {
        Alu::Add => Some(by),
        Alu::Sub => by.checked_neg(),
        _ => None,
    }
}

/// Whether a number takes no more than so many bits.
pub(super) fn fits(reg: &Reg, bits: u32) -> bool {
    reg.is_scalar() && (bits >= 64 || reg.s.umax() >> bits == 0)
}

/// A number that others are no longer told of.
pub(super) fn untie(reg: &mut Reg) {
    reg.id = 0;
    reg.delta = 0;
    reg.flags &= !(DELTA | DELTA32);
}

/// An object pointer that nothing vouches for: the old kind.
pub(super) fn bare_object(reg: &Reg) -> bool {
    matches!(reg.what, What::Obj(_))
        && reg.ref_id == 0
        && !reg.has(TRUSTED | reg::RCU | reg::ALLOC | reg::NON_OWN)
}

//! The interpreter: one match over decoded ops.
//!
//! Must hold: every access passes the wall check right before it is made; `count` is exact at every call out.
//! `SAN` adds the object level and reads of unwritten registers; nothing else differs.
//! Mirrors ___bpf_prog_run of kernel/bpf/core.c, 7.3.

use sextant_bpf::opcode::{Alu, AtomicOp, Cond};

use crate::arena::Refused;
use crate::decode::{Code, Op, REASONS, atomic_code, func_at, with_rows};
use crate::error::{Fault, TrapKind};
use crate::exec::{Exec, Frame};
use crate::region::{Region, load, store};
use crate::sanitize::Written;
use crate::{Trap, helper, kfunc};

/// 64-bit arithmetic; `op` is a constant everywhere, so this folds to one case.
#[inline(always)]
pub(crate) fn alu64(op: Alu, a: u64, b: u64) -> u64 {
    match op {
        Alu::Add => a.wrapping_add(b),
        Alu::Sub => a.wrapping_sub(b),
        Alu::Mul => a.wrapping_mul(b),
        Alu::Div => a.checked_div(b).unwrap_or(0),
        Alu::Or => a | b,
        Alu::And => a & b,
        Alu::Lsh => a.wrapping_shl(b as u32),
        Alu::Rsh => a.wrapping_shr(b as u32),
        Alu::Mod => a.checked_rem(b).unwrap_or(a),
        Alu::Xor => a ^ b,
        Alu::Mov => b,
        Alu::Arsh => (a as i64).wrapping_shr(b as u32) as u64,
        Alu::Sdiv if b == 0 => 0,
        Alu::Sdiv => (a as i64).wrapping_div(b as i64) as u64,
        Alu::Smod if b == 0 => a,
        Alu::Smod => (a as i64).wrapping_rem(b as i64) as u64,
    }
}

/// 32-bit arithmetic; the upper half becomes zero.
#[inline(always)]
pub(crate) fn alu32(op: Alu, a: u64, b: u64) -> u64 {
    let (a, b) = (a as u32, b as u32);
    let result = match op {
        Alu::Add => a.wrapping_add(b),
        Alu::Sub => a.wrapping_sub(b),
        Alu::Mul => a.wrapping_mul(b),
        Alu::Div => a.checked_div(b).unwrap_or(0),
        Alu::Or => a | b,
        Alu::And => a & b,
        Alu::Lsh => a.wrapping_shl(b),
        Alu::Rsh => a.wrapping_shr(b),
        Alu::Mod => a.checked_rem(b).unwrap_or(a),
        Alu::Xor => a ^ b,
        Alu::Mov => b,
        Alu::Arsh => (a as i32).wrapping_shr(b) as u32,
        Alu::Sdiv if b == 0 => 0,
        Alu::Sdiv => (a as i32).wrapping_div(b as i32) as u32,
        Alu::Smod if b == 0 => a,
        Alu::Smod => (a as i32).wrapping_rem(b as i32) as u32,
    };
    result.into()
}

/// Whether a jump is taken.
#[inline(always)]
fn cond64(cond: Cond, a: u64, b: u64) -> bool {
    let (sa, sb) = (a as i64, b as i64);
    match cond {
        Cond::Eq => a == b,
        Cond::Gt => a > b,
        Cond::Ge => a >= b,
        Cond::Set => a & b != 0,
        Cond::Ne => a != b,
        Cond::Sgt => sa > sb,
        Cond::Sge => sa >= sb,
        Cond::Lt => a < b,
        Cond::Le => a <= b,
        Cond::Slt => sa < sb,
        Cond::Sle => sa <= sb,
    }
}

/// The same on the low halves (sign-extending both keeps every order).
#[inline(always)]
fn cond32(cond: Cond, a: u64, b: u64) -> bool {
    cond64(cond, a as i32 as i64 as u64, b as i32 as i64 as u64)
}

#[inline(always)]
pub(crate) fn sign_extend(val: u64, bits: u32) -> u64 {
    ((val << (64 - bits)) as i64 >> (64 - bits)) as u64
}

/// Byte order: `imm` from `decode::end_code`.
fn byte_order(imm: u64, val: u64) -> u64 {
    match imm {
        16 => val as u16 as u64,
        32 => val as u32 as u64,
        17 => (val as u16).swap_bytes().into(),
        33 => (val as u32).swap_bytes().into(),
        65 => val.swap_bytes(),
        _ => val,
    }
}

/// A program's load; `sanitize`: inside one object.
#[inline(always)]
pub(crate) fn mem_load(region: &Region, addr: u64, size: u32, sanitize: bool) -> Result<u64, Fault> {
    let ptr = region.wall::<false>(addr, size.into())?;
    if sanitize {
        region.check_object(addr, size.into(), false)?;
    }
    // SAFETY: the wall check says that these bytes are committed memory of the region.
    Ok(unsafe { load(ptr, size) })
}

/// A program's store.
#[inline(always)]
pub(crate) fn mem_store<const SAN: bool>(
    region: &Region,
    addr: u64,
    size: u32,
    val: u64,
) -> Result<(), Fault> {
    let ptr = region.wall::<true>(addr, size.into())?;
    if SAN {
        region.check_object(addr, size.into(), true)?;
    }
    // SAFETY: as in `mem_load`, and open to stores.
    unsafe { store(ptr, size, val) };
    Ok(())
}

/// An atomic read-modify-write: old value. Programs run one at a time, so plain accesses are atomic enough.
pub(crate) fn atomic<const SAN: bool>(
    region: &Region,
    op: &Op,
    addr: u64,
    regs: &mut [u64; 16],
) -> Result<(), Fault> {
    let size = (op.imm & 15) as u32;
    let ptr = region.wall::<true>(addr, size.into())?;
    if SAN {
        region.check_object(addr, size.into(), true)?;
    }
    // SAFETY: the wall check says that these bytes are committed memory of the region, open to stores.
    let old = unsafe { load(ptr, size) };
    let src = regs[(op.src & 15) as usize];
    let is = |kind: AtomicOp| op.imm >> 8 == atomic_code(kind, 0, false) >> 8;
    let new = match () {
        () if is(AtomicOp::Add) => old.wrapping_add(src),
        () if is(AtomicOp::Or) => old | src,
        () if is(AtomicOp::And) => old & src,
        () if is(AtomicOp::Xor) => old ^ src,
        () if is(AtomicOp::Xchg) => src,
        () if old == regs[0] & (u64::MAX >> (64 - 8 * size)) => src,
        () => old,
    };
    // SAFETY: as above.
    unsafe { store(ptr, size, new) };
    if is(AtomicOp::Cmpxchg) {
        regs[0] = old;
    } else if op.imm & 0x10 != 0 {
        regs[(op.src & 15) as usize] = old;
    }
    Ok(())
}

macro_rules! dispatch {
    ({ $self:ident, $op:ident, $dst:ident, $src:ident, $regs:ident, $pc:ident, $region:ident, $san:ident, $fail:ident, { $($rest:tt)* } }
        alu { $($alu:ident $ak:ident $ax:ident $ak32:ident $ax32:ident;)* }
        jump { $($cond:ident $jk:ident $jx:ident $jk32:ident $jx32:ident;)* }
        load { $(($lsize:literal, $signed:literal, $probe:literal) $load:ident;)* }
        store { $($size:literal $sk:ident $sx:ident;)* }
    ) => {
        match $op.code {
            $(
                Code::$ak => $regs[$dst] = alu64(Alu::$alu, $regs[$dst], $op.imm),
                Code::$ax => $regs[$dst] = alu64(Alu::$alu, $regs[$dst], $regs[$src]),
                Code::$ak32 => $regs[$dst] = alu32(Alu::$alu, $regs[$dst], $op.imm),
                Code::$ax32 => $regs[$dst] = alu32(Alu::$alu, $regs[$dst], $regs[$src]),
            )*
            $(
                Code::$jk => if cond64(Cond::$cond, $regs[$dst], $op.imm) { $pc = $op.off as usize },
                Code::$jx => if cond64(Cond::$cond, $regs[$dst], $regs[$src]) { $pc = $op.off as usize },
                Code::$jk32 => if cond32(Cond::$cond, $regs[$dst], $op.imm) { $pc = $op.off as usize },
                Code::$jx32 => if cond32(Cond::$cond, $regs[$dst], $regs[$src]) { $pc = $op.off as usize },
            )*
            $(
                Code::$load => {
                    let addr = $regs[$src].wrapping_add($op.off as i64 as u64);
                    // A probing load may read what was freed, so it gives the same with and without `SAN`.
                    match mem_load($region, addr, $lsize, $san && !$probe) {
                        Ok(val) if $signed => $regs[$dst] = sign_extend(val, $lsize * 8),
                        Ok(val) => $regs[$dst] = val,
                        Err(_) if $probe => $regs[$dst] = 0,
                        Err(fault) => match $self.load_refused($pc - 1, fault) {
                            Ok(val) if $signed => $regs[$dst] = sign_extend(val, $lsize * 8),
                            Ok(val) => $regs[$dst] = val,
                            Err(fault) => $fail!(fault.into()),
                        },
                    }
                }
            )*
            $(
                Code::$sk => {
                    let addr = $regs[$dst].wrapping_add($op.off as i64 as u64);
                    if let Err(fault) = mem_store::<$san>($region, addr, $size, $op.imm)
                        && let Err(fault) = $self.store_refused($pc - 1, fault, $op.imm)
                    {
                        $fail!(fault.into());
                    }
                }
                Code::$sx => {
                    let addr = $regs[$dst].wrapping_add($op.off as i64 as u64);
                    if let Err(fault) = mem_store::<$san>($region, addr, $size, $regs[$src])
                        && let Err(fault) = $self.store_refused($pc - 1, fault, $regs[$src])
                    {
                        $fail!(fault.into());
                    }
                }
            )*
            $($rest)*
        }
    };
}

impl Exec<'_> {
    /// Runs a function in a new frame to its exit.
    pub(crate) fn interp<const SAN: bool>(&mut self, start: u32, args: [u64; 5]) -> Result<u64, TrapKind> {
        let base = self.depth;
        let mut regs = [0u64; 16];
        regs[1..6].copy_from_slice(&args);
        regs[10] = self.push_frame::<SAN>()?;
        self.interp_from::<SAN>(base, start, regs)
    }

    /// Goes on at an instruction to the exit of the frame above `base`, also where compiled code has left.
    pub(crate) fn interp_from<const SAN: bool>(
        &mut self,
        base: usize,
        start: u32,
        mut regs: [u64; 16],
    ) -> Result<u64, TrapKind> {
        let region = self.region;
        let prog = self.prog;
        let ops: &[Op] = &prog.ops;
        let mut written = Written::entry(if base == 0 { self.entry_args } else { 5 });
        let mut pc = start as usize;
        let mut count = self.vm.insns.get();
        let mut limit = count + self.vm.left.get();

        // Ends the run with a trap at the current instruction.
        macro_rules! fail {
            ($kind:expr) => {{
                let kind: TrapKind = $kind;
                self.trap_at.get_or_insert(pc as u32 - 1);
                self.vm.insns.set(count);
                self.vm.left.set(limit - count.min(limit));
                while self.depth > base {
                    self.pop_frame::<SAN>();
                }
                return Err(kind);
            }};
        }
        // Calls out with exact counts.
        macro_rules! call_out {
            ($call:expr) => {{
                self.vm.insns.set(count);
                self.vm.left.set(limit - count);
                self.vm.calling.set((prog.id, pc as u32 - 1));
                let result = $call;
                count = self.vm.insns.get();
                limit = count + self.vm.left.get();
                match result {
                    Ok(r0) => regs[0] = r0,
                    Err(kind) => fail!(kind),
                }
                if SAN {
                    written.returned();
                }
            }};
        }
        macro_rules! call_local {
            ($target:expr) => {{
                let frame = Frame { ret: pc as u32, saved: [regs[6], regs[7], regs[8], regs[9]], written };
                match self.push_frame::<SAN>() {
                    Ok(fp) => regs[10] = fp,
                    Err(kind) => fail!(kind),
                }
                self.frames.push(frame);
                written = written.callee();
                pc = $target as usize;
            }};
        }

        loop {
            let op = &ops[pc];
            pc += 1;
            if count == limit {
                self.vm.insns.set(count);
                self.vm.calling.set((prog.id, pc as u32 - 1));
                match self.refill() {
                    Ok(more) => limit = count + more,
                    Err(kind) => fail!(kind),
                }
            }
            count += 1;
            if SAN {
                let executed = &prog.executed[pc - 1];
                executed.set(executed.get() + 1);
                if let Err(kind) = written.op(op) {
                    fail!(kind);
                }
            }
            // Registers are below 16 by construction; the mask says so to the compiler.
            let (dst, src) = ((op.dst & 15) as usize, (op.src & 15) as usize);
            with_rows!(dispatch! { self, op, dst, src, regs, pc, region, SAN, fail, {
                Code::LdImm64 => {
                    regs[dst] = op.imm;
                    pc += 1;
                }
                Code::Neg => regs[dst] = regs[dst].wrapping_neg(),
                Code::Neg32 => regs[dst] = (regs[dst] as u32).wrapping_neg().into(),
                Code::MovSx => regs[dst] = sign_extend(regs[src], op.imm as u32),
                Code::MovSx32 => regs[dst] = sign_extend(regs[src], op.imm as u32) as u32 as u64,
                Code::CastKern => {
                    let low = regs[src] & 0xffff_ffff;
                    regs[dst] = if low == 0 { 0 } else { op.imm | low };
                }
                Code::CastUser => {
                    let low = regs[src] & 0xffff_ffff;
                    regs[dst] = if low == 0 { 0 } else { op.imm | low };
                }
                Code::End => regs[dst] = byte_order(op.imm, regs[dst]),
                Code::Atomic => {
                    let addr = regs[dst].wrapping_add(op.off as i64 as u64);
                    if let Err(fault) = atomic::<SAN>(region, op, addr, &mut regs)
                        && let Err(fault) = self.atomic_refused(pc - 1, fault, op, &mut regs)
                    {
                        fail!(fault.into());
                    }
                }
                Code::Ja => pc = op.off as usize,
                Code::MayGoto => match self.may_goto_left.checked_sub(1) {
                    Some(left) => self.may_goto_left = left,
                    None => pc = op.off as usize,
                },
                Code::CallHelper => {
                    let args = [regs[1], regs[2], regs[3], regs[4], regs[5]];
                    call_out!(helper::call(self, op.imm as usize, args));
                }
                Code::CallKfunc => {
                    let args = [regs[1], regs[2], regs[3], regs[4], regs[5]];
                    call_out!(self.call_kfunc(op.imm as u32, args));
                }
                Code::CallCore => {
                    let args = [regs[1], regs[2], regs[3], regs[4], regs[5]];
                    call_out!(kfunc::call(self, op.imm as usize, args));
                }
                Code::CallLocal => call_local!(op.off),
                Code::CallReg => match func_at(regs[dst]) {
                    Some((id, insn)) if id == prog.id && (insn as usize) < ops.len() => call_local!(insn),
                    _ => fail!(TrapKind::BadInsn("the register holds no function of this program")),
                },
                Code::Exit => {
                    self.pop_frame::<SAN>();
                    if self.depth == base {
                        self.vm.insns.set(count);
                        self.vm.left.set(limit - count);
                        return Ok(regs[0]);
                    }
                    let frame = self.frames.pop().expect("a frame above the run's first was pushed by a call");
                    regs[6..10].copy_from_slice(&frame.saved);
                    regs[10] = self.frame_pointer(self.depth - 1);
                    written = frame.written.caller(written);
                    pc = frame.ret as usize;
                }
                Code::CallUnknown => fail!(helper::unknown(op.imm as u32)),
                Code::Bad => fail!(TrapKind::BadInsn(REASONS[op.imm as usize % REASONS.len()])),
            } });
        }
    }

    /// A load that the wall refused at slot `pc`: perhaps the arena's.
    #[cold]
    pub(crate) fn load_refused(&mut self, pc: usize, fault: Fault) -> Result<u64, Fault> {
        match self.refused(pc, fault) {
            Refused::Retry(addr) => self.region.bpf_load(addr, fault.size),
            Refused::Absorbed => Ok(0),
            Refused::Trap(fault) => Err(fault),
        }
    }

    #[cold]
    pub(crate) fn store_refused(&mut self, pc: usize, fault: Fault, val: u64) -> Result<(), Fault> {
        match self.refused(pc, fault) {
            Refused::Retry(addr) => self.region.bpf_store(addr, fault.size, val),
            Refused::Absorbed => Ok(()),
            Refused::Trap(fault) => Err(fault),
        }
    }

    #[cold]
    pub(crate) fn atomic_refused(
        &mut self,
        pc: usize,
        fault: Fault,
        op: &Op,
        regs: &mut [u64; 16],
    ) -> Result<(), Fault> {
        match self.refused(pc, fault) {
            Refused::Retry(addr) => atomic::<false>(self.region, op, addr, regs),
            Refused::Absorbed => Ok(()),
            Refused::Trap(fault) => Err(fault),
        }
    }

    pub(crate) fn call_kfunc(&mut self, id: u32, args: [u64; 5]) -> Result<u64, TrapKind> {
        self.host.kfunc(self.vm, id, args).map_err(|trap| self.kfunc_trap(trap))
    }

    #[cold]
    fn kfunc_trap(&mut self, trap: Trap) -> TrapKind {
        let kind = trap.kind.clone();
        if !trap.prog.is_empty() {
            self.nested = Some(trap);
        }
        kind
    }
}

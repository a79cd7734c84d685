//! Arithmetic on pointers. Mirrors `adjust_ptr_min_max_vals()` of kernel/bpf/verifier.c, 7.3.

use sextant_bpf::opcode::{Alu, Operand};

use super::reg::{OR_NULL, Reg, UNTRUSTED, What};
use super::*;
use crate::range::{Cnum32, Scalar};

/// Furthest a pointer may be moved.
const MAX_OFF: u64 = 1 << 29;

impl Env<'_> {
    /// Arithmetic of which one side is a pointer. Mirrors `adjust_reg_min_max_vals()`.
    pub(super) fn ptr_alu(&mut self, op: Alu, wide: bool, operand: Operand, dst: &Reg, src: &Reg) -> Res {
        let insn = self.prog.insns[self.st.pc];
        if dst.what == What::Arena || src.what == What::Arena {
            // Any arithmetic leaves a pointer into the arena one, of which only the low half counts.
            let node = self.node([0, 0], dst.node);
            self.set(insn.dst, Reg { node, ..Reg::ptr(What::Arena, 0) });
            return Ok(());
        }
        if dst.is_ptr() && src.is_ptr() {
            // Privileged programs may subtract pointers; the result is a number.
            if op == Alu::Sub {
                return self.any_number(insn.dst, [dst.node, src.node]);
            }
            let text = format!("R{} pointer {} pointer prohibited", insn.dst, symbol(op));
            return refuse_reg(Code::BadPointerMath, insn.dst, text);
        }
        let (ptr, num) = if dst.is_ptr() { (dst, src) } else { (src, dst) };
        if operand == Operand::Reg {
            self.matters(num);
        }
        self.move_ptr(op, wide, ptr, num, dst.is_ptr())
    }

    /// What is left of a pointer that an instruction makes a number: anything.
    pub(super) fn any_number(&mut self, n: u8, from: [u32; 2]) -> Res {
        let node = self.node([0, 0], if from[0] != 0 { from[0] } else { from[1] });
        self.set(n, Reg { node, ..Reg::UNKNOWN });
        Ok(())
    }

    /// Mirrors `adjust_ptr_min_max_vals()`.
    fn move_ptr(&mut self, op: Alu, wide: bool, ptr: &Reg, num: &Reg, ptr_is_dst: bool) -> Res {
        let n = self.prog.insns[self.st.pc].dst;
        if !wide {
            if op == Alu::Sub {
                return self.any_number(n, [ptr.node, num.node]);
            }
            return refuse_reg(Code::BadPointerMath, n, format!("R{n} 32-bit pointer arithmetic prohibited"));
        }
        if ptr.has(OR_NULL) {
            return self.no_arith(n, ptr);
        }
        let still = op == Alu::Add && num.s.is(0);
        match ptr.what {
            What::Map(_) | What::Func(_) | What::ConstDynptr if !still => return self.no_arith(n, ptr),
            What::PacketEnd | What::Sock(_) => return self.no_arith(n, ptr),
            What::FlowKeys if num.s.value().is_none() => return self.no_arith(n, ptr),
            // It is read with probing loads, wherever it points.
            What::Mem(_) if ptr.has(UNTRUSTED) => {
                self.set(n, *ptr);
                return Ok(());
            }
            _ => {}
        }
        self.sane_step(n, ptr, &num.s)?;
        self.sane_offset(n, ptr, &ptr.s)?;
        let back = match op {
            Alu::Add => false,
            Alu::Sub if !ptr_is_dst => {
                let text = format!("R{n} tried to subtract pointer from scalar");
                return refuse_reg(Code::BadPointerMath, n, text);
            }
            Alu::Sub if matches!(ptr.what, What::Stack(_)) => {
                let text = format!("R{n} subtraction from stack pointer prohibited");
                return refuse_reg(Code::BadPointerMath, n, text);
            }
            Alu::Sub => true,
            Alu::And | Alu::Or | Alu::Xor => {
                let text = format!("R{n} bitwise operator {} on pointer prohibited", symbol(op));
                return refuse_reg(Code::BadPointerMath, n, text);
            }
            _ => {
                let text = format!("R{n} pointer arithmetic with {} operator prohibited", symbol(op));
                return refuse_reg(Code::BadPointerMath, n, text);
            }
        };
        if ptr.is_packet() {
            return self.move_packet(back, ptr, num);
        }
        let by = if back {
            (num.s.r64.negate(), ptr.s.bits.sub(num.s.bits))
        } else {
            (num.s.r64, ptr.s.bits.add(num.s.bits))
        };
        // Of the low half of an offset nothing is kept but what the whole says.
        let s = Scalar { bits: by.1, r64: ptr.s.r64.add(by.0), r32: Cnum32::UNBOUNDED }.synced();
        self.sane_offset(n, ptr, &s)?;
        let node = self.node([num.node, 0], ptr.node);
        self.set(n, Reg { s, node, ..*ptr });
        Ok(())
    }

    /// What is added is known to be neither too low nor too high. Mirrors `check_reg_sane_offset_scalar()`.
    pub(super) fn sane_step(&self, n: u8, ptr: &Reg, s: &Scalar) -> Res {
        let (name, min) = (ptr.type_name(), s.smin());
        let text = match s.value().map(|v| v as i64) {
            Some(v) if v.unsigned_abs() >= MAX_OFF => {
                format!("math between {name} pointer and {v} is not allowed")
            }
            _ if min == i64::MIN => {
                format!("math between {name} pointer and register with unbounded min value is not allowed")
            }
            _ if min.unsigned_abs() >= MAX_OFF => {
                format!("value {min} makes {name} pointer be out of bounds")
            }
            _ => return Ok(()),
        };
        refuse_reg(Code::BadPointerMath, n, text)
    }

    /// Nor may the pointer be further away than one can point. Mirrors `check_reg_sane_offset_ptr()`.
    pub(super) fn sane_offset(&self, n: u8, ptr: &Reg, s: &Scalar) -> Res {
        let at = s.value().map_or(s.smin(), |v| v as i64);
        if at.unsigned_abs() < MAX_OFF && s.smin().unsigned_abs() < MAX_OFF {
            return Ok(());
        }
        let text = format!("{} pointer offset {at} is not allowed", ptr.type_name());
        refuse_reg(Code::BadPointerMath, n, text)
    }
}

fn symbol(op: Alu) -> &'static str {
    match op {
        Alu::Add => "+=",
        Alu::Sub => "-=",
        Alu::Mul => "*=",
        Alu::Div | Alu::Sdiv => "/=",
        Alu::Or => "|=",
        Alu::And => "&=",
        Alu::Lsh => "<<=",
        Alu::Rsh => ">>=",
        Alu::Mod | Alu::Smod => "%=",
        Alu::Xor => "^=",
        Alu::Mov => "=",
        Alu::Arsh => "s>>=",
    }
}

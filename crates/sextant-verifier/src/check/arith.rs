//! Arithmetic on pointers. Mirrors `adjust_ptr_min_max_vals()` of kernel/bpf/verifier.c, 7.3.

use sextant_bpf::opcode::{Alu, Operand};

use super::reg::{OR_NULL, Reg, What};
use super::*;
use crate::range::{Scalar, alu};

/// Furthest a pointer may be moved.
const MAX_OFF: u64 = 1 << 29;

impl Env<'_> {
    pub(super) fn ptr_alu(&mut self, op: Alu, wide: bool, operand: Operand, dst: &Reg, src: &Reg) -> Res {
        let insn = self.prog.insns[self.st.pc];
        if dst.what == What::Arena || src.what == What::Arena {
            let node = self.node([0, 0], dst.node);
            let reg = if wide { Reg::ptr(What::Arena, 0) } else { Reg::scalar(Scalar::bytes(4)) };
            self.set(insn.dst, Reg { node, ..reg });
            return Ok(());
        }
        if dst.is_ptr() && src.is_ptr() {
            // Privileged programs may subtract pointers; the result is a number.
            if op == Alu::Sub && wide {
                let reg = self.number(Scalar::UNKNOWN);
                self.set(insn.dst, reg);
                return Ok(());
            }
            let text = format!("R{} pointer {} pointer prohibited", insn.dst, symbol(op));
            return refuse_reg(Code::BadPointerMath, insn.dst, text);
        }
        let ptr_is_dst = dst.is_ptr();
        let (ptr, num, ptr_n) = if ptr_is_dst { (dst, src, insn.dst) } else { (src, dst, insn.src) };
        if operand == Operand::Reg {
            self.matters(num);
        }
        if !wide {
            if matches!(op, Alu::Sub) {
                let reg = self.number(Scalar::bytes(4));
                self.set(insn.dst, reg);
                return Ok(());
            }
            let text = format!("R{ptr_n} 32-bit pointer arithmetic prohibited");
            return refuse_reg(Code::BadPointerMath, ptr_n, text);
        }
        if ptr.has(OR_NULL) {
            return self.no_arith(ptr_n, ptr);
        }
        match ptr.what {
            What::Map(_) | What::Func(_) | What::ConstDynptr if !num.s.is(0) => {
                return self.no_arith(ptr_n, ptr);
            }
            What::PacketEnd | What::Sock(_) => return self.no_arith(insn.dst, ptr),
            What::FlowKeys if num.s.value().is_none() => return self.no_arith(insn.dst, ptr),
            What::Packet | What::PacketMeta if matches!(op, Alu::Add | Alu::Sub) => {
                if op == Alu::Sub && !ptr_is_dst {
                    let text = format!("R{} tried to subtract pointer from scalar", insn.dst);
                    return refuse_reg(Code::BadPointerMath, insn.dst, text);
                }
                return self.move_packet(op == Alu::Sub, ptr, num);
            }
            _ => {}
        }
        let s = match op {
            Alu::Add => alu::alu(Alu::Add, true, &ptr.s, &num.s),
            Alu::Sub if ptr_is_dst && matches!(ptr.what, What::Stack(_)) => {
                let text = format!("R{} subtraction from stack pointer prohibited", insn.dst);
                return refuse_reg(Code::BadPointerMath, insn.dst, text);
            }
            Alu::Sub if ptr_is_dst => alu::alu(Alu::Sub, true, &ptr.s, &num.s),
            Alu::Sub => {
                let text = format!("R{} tried to subtract pointer from scalar", insn.dst);
                return refuse_reg(Code::BadPointerMath, insn.dst, text);
            }
            _ => {
                let text = format!("R{} bitwise operator {} on pointer prohibited", insn.dst, symbol(op));
                return refuse_reg(Code::BadPointerMath, insn.dst, text);
            }
        };
        self.sane_offset(insn.dst, ptr, &num.s)?;
        self.sane_offset(insn.dst, ptr, &s)?;
        let node = self.node([num.node, 0], ptr.node);
        self.set(insn.dst, Reg { s, node, ..*ptr });
        Ok(())
    }

    /// Neither what is added nor the result may be further away than a pointer can point.
    pub(super) fn sane_offset(&self, n: u8, ptr: &Reg, s: &Scalar) -> Res {
        let name = ptr.type_name();
        let text = match s.value().map(|v| v as i64) {
            Some(v) if v.abs_diff(0) >= MAX_OFF => {
                format!("math between {name} pointer and {v} is not allowed")
            }
            Some(_) => return Ok(()),
            None if s.smin == i64::MIN => {
                format!("math between {name} pointer and register with unbounded min value is not allowed")
            }
            None if s.smin.abs_diff(0) >= MAX_OFF => {
                format!("value {} makes {name} pointer be out of bounds", s.smin)
            }
            None => return Ok(()),
        };
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

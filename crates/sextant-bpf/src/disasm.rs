//! Disassembler in the kernel's words: `7: (85) call bpf_trace_printk#6`.
//!
//! One line per instruction; a `ld_imm64` is one line for its two slots. Names of helpers, kfuncs, functions and maps come from
//! a callback; without one the kernel's own nameless forms are printed (`call unknown#6`, `map[fd:3]`). Any bit pattern has a
//! line: what the ISA does not know prints as `BUG_xx`, as the kernel does.
//! Mirrors kernel/bpf/disasm.c and bpftool's xlated dump, 7.3.

use std::fmt::Write;

use crate::insn::{Insn, imm64, is_ld_imm64};
use crate::opcode::{Alu, AtomicOp, Callee, Cond, Imm64, Kind, Operand, Order, Size, lookup};

/// Something outside the instruction that could have a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ref {
    /// Helper of this number.
    Helper(i32),
    /// Kfunc with this BTF id in the BTF object of this index (0: vmlinux).
    Kfunc(i32, i16),
    /// Function of the program that starts at this slot.
    Func(i64),
    /// A `ld_imm64` that is not a plain constant (or is one: the name then replaces the number), with its 64 bits.
    Imm64(Imm64, u64),
}

/// Names things: the slot of the instruction and what it refers to. `None`: no name.
pub type Namer<'a> = &'a dyn Fn(usize, Ref) -> Option<String>;

/// Names nothing.
pub fn nameless(_pc: usize, _what: Ref) -> Option<String> {
    None
}

/// The whole program, one `N: (xx) …` line per instruction.
pub fn program(insns: &[Insn], namer: Namer) -> String {
    let mut out = String::new();
    let mut pc = 0;
    while pc < insns.len() {
        out.push_str(&line(insns, pc, namer));
        out.push('\n');
        pc += width(&insns[pc]);
    }
    out
}

/// `N: (xx) text` of the instruction at `pc`; beyond the end: `N: (00) BUG_00`.
pub fn line(insns: &[Insn], pc: usize, namer: Namer) -> String {
    let code = insns.get(pc).map_or(0, |i| i.code);
    format!("{pc}: ({code:02x}) {}", text(insns, pc, namer))
}

/// Slots the instruction takes: 2 for a `ld_imm64`.
pub const fn width(insn: &Insn) -> usize {
    if is_ld_imm64(insn) { 2 } else { 1 }
}

/// The instruction at `pc` without number and code.
pub fn text(insns: &[Insn], pc: usize, namer: Namer) -> String {
    let insn = insns.get(pc).copied().unwrap_or_default();
    let Some(row) = lookup(&insn) else {
        return format!("BUG_{:02x}", insn.code);
    };
    let Insn { dst, src, off, imm, .. } = insn;
    match row.kind {
        Kind::Alu { op, wide, operand } => {
            format!("{} {} {}", reg(wide, dst), alu_sign(op), operand_dec(operand, wide, &insn))
        }
        Kind::Neg { wide } => format!("{0} = -{0}", reg(wide, dst)),
        Kind::MovSx { bits, wide } => format!("{} = (s{bits}){}", reg(wide, dst), reg(wide, src)),
        Kind::End { order, bits } => format!("r{dst} = {}{bits} r{dst}", order_name(order)),
        Kind::AddrSpaceCast => {
            format!("r{dst} = addr_space_cast(r{src}, {}, {})", imm as u32 >> 16, imm as u16)
        }
        Kind::LdImm64(form) => format!("r{dst} = {}", wide_imm(insns, pc, form, namer)),
        Kind::Load { size, signed } => format!("r{dst} = *({} *)(r{src} {off:+})", c_type(size, signed)),
        Kind::Store { size, operand } => {
            format!("*({} *)(r{dst} {off:+}) = {}", c_type(size, false), operand_dec(operand, true, &insn))
        }
        Kind::Atomic { op, size, fetch } => atomic(op, size, fetch, &insn),
        Kind::LoadAcquire { size } => {
            format!("r{dst} = load_acquire(({} *)(r{src} {off:+}))", c_type(size, false))
        }
        Kind::StoreRelease { size } => {
            format!("store_release(({} *)(r{dst} {off:+}), r{src})", c_type(size, false))
        }
        Kind::LdSkb { size, ind: false } => format!("r0 = *({} *)skb[{imm}]", c_type(size, false)),
        Kind::LdSkb { size, ind: true } => format!("r0 = *({} *)skb[r{src} + {imm}]", c_type(size, false)),
        Kind::Ja { long: false } => format!("goto pc{off:+}"),
        Kind::Ja { long: true } => format!("gotol pc{imm:+}"),
        Kind::MayGoto => format!("may_goto pc{off:+}"),
        Kind::Jump { cond, wide, operand } => {
            let right = match operand {
                Operand::Imm => format!("{imm:#x}"),
                Operand::Reg => reg(wide, src),
            };
            format!("if {} {} {right} goto pc{off:+}", reg(wide, dst), cond_sign(cond))
        }
        Kind::Call(callee) => call(callee, pc, &insn, namer),
        Kind::Exit => "exit".to_string(),
    }
}

fn reg(wide: bool, n: u8) -> String {
    format!("{}{n}", if wide { 'r' } else { 'w' })
}

fn operand_dec(operand: Operand, wide: bool, insn: &Insn) -> String {
    match operand {
        Operand::Imm => insn.imm.to_string(),
        Operand::Reg => reg(wide, insn.src),
    }
}

fn call(callee: Callee, pc: usize, insn: &Insn, namer: Namer) -> String {
    let imm = insn.imm;
    let name = |what| namer(pc, what).unwrap_or_else(|| "unknown".to_string());
    match callee {
        Callee::Helper => format!("call {}#{imm}", name(Ref::Helper(imm))),
        Callee::Kfunc => match namer(pc, Ref::Kfunc(imm, insn.off)) {
            Some(name) => format!("call {name}#{imm}"),
            None => format!("call kernel-function#{imm}"),
        },
        Callee::Local => {
            let mut text = format!("call pc{imm:+}");
            if let Some(name) = namer(pc, Ref::Func(pc as i64 + 1 + i64::from(imm))) {
                let _ = write!(text, "#{name}");
            }
            text
        }
        Callee::Reg => format!("callx r{}", insn.dst),
    }
}

fn wide_imm(insns: &[Insn], pc: usize, form: Imm64, namer: Namer) -> String {
    let first = insns.get(pc).copied().unwrap_or_default();
    let second = insns.get(pc + 1).copied().unwrap_or_default();
    let value = imm64(&first, &second);
    let what = match form {
        Imm64::Func => Ref::Func(pc as i64 + 1 + i64::from(first.imm)),
        _ => Ref::Imm64(form, value),
    };
    if let Some(name) = namer(pc, what) {
        return name;
    }
    match form {
        Imm64::Const => format!("{value:#x}"),
        Imm64::MapFd => format!("map[fd:{}]", first.imm),
        Imm64::MapValue => format!("map[fd:{}][0]+{}", first.imm, second.imm as u32),
        Imm64::BtfId => format!("btf_id[{}]", first.imm),
        Imm64::Func => format!("subprog[{:+}]", first.imm),
        Imm64::MapIdx => format!("map[idx:{}]", first.imm),
        Imm64::MapIdxValue => format!("map[idx:{}]+{}", first.imm, second.imm as u32),
    }
}

fn atomic(op: AtomicOp, size: Size, fetch: bool, insn: &Insn) -> String {
    let (ty, bits) = (c_type(size, false), if matches!(size, Size::Dw) { "64" } else { "" });
    let (src, place) = (insn.src, format!("r{} {:+}", insn.dst, insn.off));
    let (name, sign) = match op {
        AtomicOp::Add => ("add", "+="),
        AtomicOp::Or => ("or", "|="),
        AtomicOp::And => ("and", "&="),
        AtomicOp::Xor => ("xor", "^="),
        AtomicOp::Xchg => return format!("r{src} = atomic{bits}_xchg(({ty} *)({place}), r{src})"),
        AtomicOp::Cmpxchg => return format!("r0 = atomic{bits}_cmpxchg(({ty} *)({place}), r0, r{src})"),
    };
    match fetch {
        true => format!("r{src} = atomic{bits}_fetch_{name}(({ty} *)({place}), r{src})"),
        false => format!("lock *({ty} *)({place}) {sign} r{src}"),
    }
}

fn c_type(size: Size, signed: bool) -> String {
    format!("{}{}", if signed { 's' } else { 'u' }, size.bytes() * 8)
}

const fn order_name(order: Order) -> &'static str {
    match order {
        Order::Le => "le",
        Order::Be => "be",
        Order::Bswap => "bswap",
    }
}

const fn alu_sign(op: Alu) -> &'static str {
    match op {
        Alu::Add => "+=",
        Alu::Sub => "-=",
        Alu::Mul => "*=",
        Alu::Div => "/=",
        Alu::Or => "|=",
        Alu::And => "&=",
        Alu::Lsh => "<<=",
        Alu::Rsh => ">>=",
        Alu::Mod => "%=",
        Alu::Xor => "^=",
        Alu::Mov => "=",
        Alu::Arsh => "s>>=",
        Alu::Sdiv => "s/=",
        Alu::Smod => "s%=",
    }
}

const fn cond_sign(cond: Cond) -> &'static str {
    match cond {
        Cond::Eq => "==",
        Cond::Gt => ">",
        Cond::Ge => ">=",
        Cond::Set => "&",
        Cond::Ne => "!=",
        Cond::Sgt => "s>",
        Cond::Sge => "s>=",
        Cond::Lt => "<",
        Cond::Le => "<=",
        Cond::Slt => "s<",
        Cond::Sle => "s<=",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asm::assemble;

    #[track_caller]
    fn check(asm: &str, expected: &str) {
        assert_eq!(line(&assemble(asm).unwrap(), 0, &nameless), format!("0: {expected}"));
    }

    #[test]
    fn the_kernels_words() {
        for (asm, expected) in [
            ("mov %r6, %r1", "(bf) r6 = r1"),
            ("mov32 %r6, -5", "(b4) w6 = -5"),
            ("arsh %r6, 3", "(c7) r6 s>>= 3"),
            ("sdiv32 %r1, %r2", "(3c) w1 s/= w2"),
            ("neg %r1", "(87) r1 = -r1"),
            ("movsx832 %r1, %r2", "(bc) w1 = (s8)w2"),
            ("be16 %r1", "(dc) r1 = be16 r1"),
            ("bswap64 %r1", "(d7) r1 = bswap64 r1"),
            ("ldxw %r0, [%r1+4]", "(61) r0 = *(u32 *)(r1 +4)"),
            ("ldxsb %r0, [%r10-4]", "(91) r0 = *(s8 *)(r10 -4)"),
            ("stw [%r10-4], 7", "(62) *(u32 *)(r10 -4) = 7"),
            ("stxdw [%r10-8], %r1", "(7b) *(u64 *)(r10 -8) = r1"),
            ("lock add [%r1], %r2", "(db) lock *(u64 *)(r1 +0) += r2"),
            ("lock fetch or32 [%r1], %r2", "(c3) r2 = atomic_fetch_or((u32 *)(r1 +0), r2)"),
            ("lock cmpxchg [%r1+8], %r2", "(db) r0 = atomic64_cmpxchg((u64 *)(r1 +8), r0, r2)"),
            ("load_acquire h %r1, [%r2]", "(cb) r1 = load_acquire((u16 *)(r2 +0))"),
            ("store_release b [%r1], %r2", "(d3) store_release((u8 *)(r1 +0), r2)"),
            ("addr_space_cast %r1, %r2, 1", "(bf) r1 = addr_space_cast(r2, 0, 1)"),
            ("jne %r1, -1, +3", "(55) if r1 != 0xffffffff goto pc+3"),
            ("jslt32 %r1, %r2, -3", "(ce) if w1 s< w2 goto pc-3"),
            ("ja +0", "(05) goto pc+0"),
            ("ja32 +70000", "(06) gotol pc+70000"),
            ("may_goto +2", "(e5) may_goto pc+2"),
            ("call 195896080", "(85) call unknown#195896080"),
            ("call local -4", "(85) call pc-4"),
            ("lddw %r1, 0x1122334455667788", "(18) r1 = 0x1122334455667788"),
            ("lddw map_value %r1, 3, 16", "(18) r1 = map[fd:3][0]+16"),
            ("lddw func %r1, +8", "(18) r1 = subprog[+8]"),
            ("ldabsh 12", "(28) r0 = *(u16 *)skb[12]"),
            ("exit", "(95) exit"),
        ] {
            check(asm, expected);
        }
    }

    #[test]
    fn names_come_from_the_callback() {
        let p = assemble("call 6\ncall kfunc 9\nf:\nlddw map_fd %r1, 4\ncall local f\nexit").unwrap();
        let namer = |_pc: usize, what| match what {
            Ref::Helper(6) => Some("bpf_trace_printk".to_string()),
            Ref::Kfunc(9, 0) => Some("scx_bpf_now".to_string()),
            Ref::Imm64(Imm64::MapFd, 4) => Some("map[name:m]".to_string()),
            Ref::Func(2) => Some("f".to_string()),
            _ => None,
        };
        let expected = "0: (85) call bpf_trace_printk#6\n1: (85) call scx_bpf_now#9\n\
                        2: (18) r1 = map[name:m]\n4: (85) call pc-3#f\n5: (95) exit\n";
        assert_eq!(program(&p, &namer), expected);
    }

    #[test]
    fn any_bits_have_a_line() {
        for code in 0..=255u8 {
            let insn = Insn { code, dst: 15, src: 15, off: i16::MIN, imm: i32::MIN };
            assert!(!line(&[insn], 0, &nameless).is_empty());
        }
        assert_eq!(line(&[Insn { code: 0xff, ..Insn::default() }], 0, &nameless), "0: (ff) BUG_ff");
    }
}

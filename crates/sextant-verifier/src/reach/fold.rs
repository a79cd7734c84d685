//! Arithmetic and comparisons on what is known. RFC 9669, section 4.

use sextant_bpf::opcode::{Alu, Cond, Order};

use super::state::{State, Val, truncate};

/// The result of `a op b`. A frame pointer that arithmetic loses is reported to `state`.
pub fn alu(state: &mut State, op: Alu, wide: bool, a: Val, b: Val, same_reg: bool) -> Val {
    if op == Alu::Mov {
        return if wide { b } else { low_half(state, b) };
    }
    if same_reg && matches!(op, Alu::Sub | Alu::Xor) || matches!((op, b), (Alu::And, Val::Const(0))) {
        return Val::Const(0);
    }
    match (op, a, b) {
        (_, Val::Const(a), Val::Const(b)) if wide => Val::Const(alu64(op, a, b)),
        (_, Val::Const(a), Val::Const(b)) => Val::Const(u64::from(alu32(op, a as u32, b as u32))),
        (Alu::Add, p @ (Val::MapValue(..) | Val::Frame(_)), Val::Const(n))
        | (Alu::Add, Val::Const(n), p @ (Val::MapValue(..) | Val::Frame(_)))
            if wide =>
        {
            moved(p, n as i64)
        }
        (Alu::Sub, p @ (Val::MapValue(..) | Val::Frame(_)), Val::Const(n)) if wide => {
            moved(p, (n as i64).wrapping_neg())
        }
        _ => {
            state.escape(a);
            state.escape(b);
            Val::Unknown
        }
    }
}

fn moved(pointer: Val, by: i64) -> Val {
    match pointer {
        Val::MapValue(map, off) => Val::MapValue(map, off.wrapping_add(by)),
        Val::Frame(off) => Val::Frame(off.wrapping_add(by)),
        other => other,
    }
}

fn low_half(state: &mut State, val: Val) -> Val {
    state.escape(val);
    val.as_const().map_or(Val::Unknown, |v| Val::Const(truncate(v, 4)))
}

fn alu64(op: Alu, a: u64, b: u64) -> u64 {
    match op {
        Alu::Add => a.wrapping_add(b),
        Alu::Sub => a.wrapping_sub(b),
        Alu::Mul => a.wrapping_mul(b),
        Alu::Div => a.checked_div(b).unwrap_or(0),
        Alu::Mod => a.checked_rem(b).unwrap_or(a),
        Alu::Sdiv if b == 0 => 0,
        Alu::Sdiv => (a as i64).wrapping_div(b as i64) as u64,
        Alu::Smod if b == 0 => a,
        Alu::Smod => (a as i64).wrapping_rem(b as i64) as u64,
        Alu::Or => a | b,
        Alu::And => a & b,
        Alu::Xor => a ^ b,
        Alu::Lsh => a.wrapping_shl(b as u32),
        Alu::Rsh => a.wrapping_shr(b as u32),
        Alu::Arsh => (a as i64).wrapping_shr(b as u32) as u64,
        Alu::Mov => b,
    }
}

fn alu32(op: Alu, a: u32, b: u32) -> u32 {
    match op {
        Alu::Lsh => a.wrapping_shl(b),
        Alu::Rsh => a.wrapping_shr(b),
        Alu::Arsh => (a as i32).wrapping_shr(b) as u32,
        Alu::Sdiv if b == 0 => 0,
        Alu::Sdiv => (a as i32).wrapping_div(b as i32) as u32,
        Alu::Smod if b == 0 => a,
        Alu::Smod => (a as i32).wrapping_rem(b as i32) as u32,
        // The low half of these does not depend on the upper halves, which are 0 here.
        _ => alu64(op, u64::from(a), u64::from(b)) as u32,
    }
}

/// The low `bits` of `v`, sign-extended to 64 bits.
pub fn sign_extend(v: u64, bits: u32) -> u64 {
    let shift = 64 - bits;
    ((v << shift) as i64 >> shift) as u64
}

/// Byte order operation on the low `bits`.
pub fn end(order: Order, bits: u8, v: u64) -> u64 {
    match (order, bits) {
        (Order::Le, _) => truncate(v, u32::from(bits) / 8),
        (_, 16) => u64::from((v as u16).swap_bytes()),
        (_, 32) => u64::from((v as u32).swap_bytes()),
        _ => v.swap_bytes(),
    }
}

/// Whether the jump is taken, where that is known.
pub fn taken(cond: Cond, wide: bool, a: Val, b: Val) -> Option<bool> {
    match (a, b) {
        (Val::Const(a), Val::Const(b)) if wide => Some(compare(cond, a, b, a as i64, b as i64)),
        (Val::Const(a), Val::Const(b)) => {
            let (a, b) = (a as u32, b as u32);
            Some(compare(cond, u64::from(a), u64::from(b), i64::from(a as i32), i64::from(b as i32)))
        }
        (p, Val::Const(0)) if wide && p.is_null() == Some(false) => match cond {
            Cond::Eq | Cond::Le => Some(false),
            Cond::Ne | Cond::Gt => Some(true),
            _ => None,
        },
        _ => None,
    }
}

fn compare(cond: Cond, a: u64, b: u64, sa: i64, sb: i64) -> bool {
    match cond {
        Cond::Eq => a == b,
        Cond::Ne => a != b,
        Cond::Gt => a > b,
        Cond::Ge => a >= b,
        Cond::Lt => a < b,
        Cond::Le => a <= b,
        Cond::Set => a & b != 0,
        Cond::Sgt => sa > sb,
        Cond::Sge => sa >= sb,
        Cond::Slt => sa < sb,
        Cond::Sle => sa <= sb,
    }
}

/// What a register that was compared with a constant is on the given side of the jump.
pub fn refine(cond: Cond, wide: bool, a: Val, b: Val, taken: bool) -> Val {
    let equal = matches!((cond, taken), (Cond::Eq, true) | (Cond::Ne, false));
    let differs = matches!((cond, taken), (Cond::Eq, false) | (Cond::Ne, true));
    match (a, b) {
        (Val::Unknown | Val::NonNull, Val::Const(_)) if wide && equal => b,
        (Val::Unknown, Val::Const(0)) if differs => Val::NonNull,
        _ => a,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fold(op: Alu, wide: bool, a: u64, b: u64) -> Option<u64> {
        alu(&mut State::entry([Val::Unknown; 5]), op, wide, Val::Const(a), Val::Const(b), false).as_const()
    }

    #[test]
    fn corner_cases_of_the_rfc() {
        assert_eq!(fold(Alu::Div, true, 7, 0), Some(0));
        assert_eq!(fold(Alu::Mod, false, 0x1_0000_0007, 0), Some(7));
        assert_eq!(fold(Alu::Sdiv, true, i64::MIN as u64, u64::MAX), Some(i64::MIN as u64));
        assert_eq!(fold(Alu::Smod, false, 0x8000_0000, 0xffff_ffff), Some(0));
        assert_eq!(fold(Alu::Lsh, false, 1, 33), Some(2));
        assert_eq!(fold(Alu::Arsh, false, 0x8000_0000, 31), Some(0xffff_ffff));
        assert_eq!(fold(Alu::Sub, false, 0, 1), Some(0xffff_ffff));
        assert_eq!(fold(Alu::Mov, false, 0, u64::MAX), Some(0xffff_ffff));
        assert_eq!(sign_extend(0x80, 8), 0xffff_ffff_ffff_ff80);
        assert_eq!(end(Order::Be, 16, 0x11_2233), 0x3322);
        assert_eq!(taken(Cond::Sgt, false, Val::Const(0xffff_ffff), Val::Const(0)), Some(false));
        assert_eq!(taken(Cond::Gt, false, Val::Const(0xffff_ffff), Val::Const(0)), Some(true));
        assert_eq!(taken(Cond::Eq, true, Val::NonNull, Val::Const(0)), Some(false));
        assert_eq!(taken(Cond::Eq, false, Val::NonNull, Val::Const(0)), None);
    }
}

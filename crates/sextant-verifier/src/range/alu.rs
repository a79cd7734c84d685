//! Arithmetic on [`Scalar`]s: one function per instruction form. Mirrors `scalar_min_max_*()` of kernel/bpf/verifier.c, 7.3.
//!
//! Results are over-approximations (tested by random membership for every operation), no tighter than Linux's: there is no bound for
//! `x % n`, `x / n` or `1 << n` with an unknown right side.

use sextant_bpf::opcode::{Alu, Order};

use super::{Cnum32, Cnum64, Scalar, Tnum};

/// `dst op src`; on 32 bits the upper half of the result is zero, but for what Linux does not compute: there nothing is known.
/// Mirrors `adjust_scalar_min_max_vals()`.
pub fn alu(op: Alu, wide: bool, dst: &Scalar, src: &Scalar) -> Scalar {
    if op == Alu::Mov {
        return if wide { *src } else { src.zext32() };
    }
    if !computes(op, wide, src) {
        return Scalar::UNKNOWN;
    }
    let out = match op {
        Alu::Mov | Alu::Add => add(dst, src),
        Alu::Sub => sub(dst, src),
        Alu::Mul => mul(dst, src),
        Alu::And => and(dst, src),
        Alu::Or => or(dst, src),
        Alu::Xor => xor(dst, src),
        Alu::Lsh if wide => lsh(dst, src.value32().unwrap_or(0)),
        Alu::Rsh if wide => rsh(dst, src.value32().unwrap_or(0)),
        Alu::Arsh if wide => arsh(dst, src.value32().unwrap_or(0)),
        Alu::Lsh => lsh32(dst, src.value32().unwrap_or(0)),
        Alu::Rsh => rsh32(dst, src.value32().unwrap_or(0)),
        Alu::Arsh => arsh32(dst, src.value32().unwrap_or(0)),
        Alu::Div | Alu::Mod | Alu::Sdiv | Alu::Smod => divide(op, wide, dst, src),
    };
    let out = if wide { out } else { out.zext() };
    sane(out.synced())
}

/// `s + by`, as the sum of numbers of which one is known; on 32 bits the upper half of the result is zero.
pub fn shifted(wide: bool, s: &Scalar, by: i64) -> Scalar {
    let sum = add(s, &Scalar::constant(by as u64));
    if wide { sum.synced() } else { sum.zext32() }
}

/// Whether Linux computes a result: a divisor or a shift count must be known. Mirrors `is_safe_to_compute_dst_reg_range()`.
fn computes(op: Alu, wide: bool, src: &Scalar) -> bool {
    let known = match wide {
        true => src.bits.is_const() && src.r64.is_const(),
        false => src.bits.low32().is_const() && src.r32.is_const(),
    };
    match op {
        Alu::Div | Alu::Mod | Alu::Sdiv | Alu::Smod => known,
        Alu::Lsh | Alu::Rsh | Alu::Arsh => known && src.umax() < if wide { 64 } else { 32 },
        _ => true,
    }
}

/// Ranges that contradict each other say nothing. Mirrors `reg_bounds_sanity_check()`.
pub fn sane(s: Scalar) -> Scalar {
    let torn = s.is_empty()
        || s.value().is_some_and(|v| s.r64 != Cnum64::constant(v))
        || s.value32().is_some_and(|v| s.r32 != Cnum32::constant(v));
    if torn { Scalar { bits: s.bits, ..Scalar::UNKNOWN } } else { s }
}

/// The instruction on numbers, as it is executed.
pub fn concrete(op: Alu, wide: bool, a: u64, b: u64) -> u64 {
    if wide { concrete64(op, a, b) } else { u64::from(concrete32(op, a as u32, b as u32)) }
}

fn concrete64(op: Alu, a: u64, b: u64) -> u64 {
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
        Alu::Lsh => a << (b & 63),
        Alu::Rsh => a >> (b & 63),
        Alu::Arsh => ((a as i64) >> (b & 63)) as u64,
        Alu::Mov => b,
    }
}

fn concrete32(op: Alu, a: u32, b: u32) -> u32 {
    match op {
        Alu::Add => a.wrapping_add(b),
        Alu::Sub => a.wrapping_sub(b),
        Alu::Mul => a.wrapping_mul(b),
        Alu::Div => a.checked_div(b).unwrap_or(0),
        Alu::Mod => a.checked_rem(b).unwrap_or(a),
        Alu::Sdiv if b == 0 => 0,
        Alu::Sdiv => (a as i32).wrapping_div(b as i32) as u32,
        Alu::Smod if b == 0 => a,
        Alu::Smod => (a as i32).wrapping_rem(b as i32) as u32,
        Alu::Or => a | b,
        Alu::And => a & b,
        Alu::Xor => a ^ b,
        Alu::Lsh => a << (b & 31),
        Alu::Rsh => a >> (b & 31),
        Alu::Arsh => ((a as i32) >> (b & 31)) as u32,
        Alu::Mov => b,
    }
}

/// `dst = -dst`
pub fn neg(wide: bool, dst: &Scalar) -> Scalar {
    alu(Alu::Sub, wide, &Scalar::constant(0), dst)
}

/// `dst = sign-extended low bits of src`; on 32 bits the upper half of the result is zero. Mirrors `coerce_reg_to_size_sx()` and
/// `coerce_subreg_to_size_sx()`.
pub fn movsx(bits: u8, wide: bool, src: &Scalar) -> Scalar {
    if wide { movsx64(bits, src) } else { movsx32(bits, src).zext32() }
}

/// The low `bits` of a number, sign-extended.
fn extend(bits: u8, v: u64) -> i64 {
    let shift = 64 - u32::from(bits);
    ((v << shift) as i64) >> shift
}

/// What sign extension makes of signed bounds that differ in the low `bits` only, and do not change the sign.
fn extended(bits: u8, min: i64, max: i64) -> Option<(i64, i64)> {
    let top = |v: i64| (v as u64) >> bits;
    let (a, b) = (extend(bits, min as u64), extend(bits, max as u64));
    (top(min) == top(max) && (a >= 0) == (b >= 0)).then_some((a.min(b), a.max(b)))
}

fn movsx64(bits: u8, src: &Scalar) -> Scalar {
    if let Some(v) = src.value() {
        return Scalar::constant(extend(bits, v) as u64);
    }
    let kept = extended(bits, src.smin(), src.smax());
    let (min, max) = kept.unwrap_or((-(1 << (bits - 1)), (1 << (bits - 1)) - 1));
    let known = if kept.is_some() { Tnum::range(min as u64, max as u64) } else { Tnum::UNKNOWN };
    Scalar { bits: known, r64: Cnum64::signed(min, max), r32: Cnum32::signed(min as i32, max as i32) }
}

fn movsx32(bits: u8, src: &Scalar) -> Scalar {
    if let Some(v) = src.value() {
        let v = extend(bits, v) as u64;
        return Scalar { bits: Tnum::constant(v), r32: Cnum32::constant(v as u32), ..*src };
    }
    let kept = extended(bits, (src.smin32() as u32).into(), (src.smax32() as u32).into());
    let (min, max) = kept.unwrap_or((-(1 << (bits - 1)), (1 << (bits - 1)) - 1));
    let known = if kept.is_some() { Tnum::range(min as u64, max as u64) } else { Tnum::UNKNOWN };
    Scalar { bits: known.low32(), r32: Cnum32::signed(min as i32, max as i32), ..*src }
}

/// Byte order operations; the rest of the register is zero. Mirrors `scalar_byte_swap()`.
pub fn end(order: Order, bits: u8, dst: &Scalar) -> Scalar {
    let bytes = u32::from(bits) / 8;
    if order == Order::Le {
        return sane(dst.truncated(bytes).synced());
    }
    let swap = |v: u64| v.swap_bytes() >> (64 - u32::from(bits));
    let swapped = Tnum { value: swap(dst.bits.value), mask: swap(dst.bits.mask) };
    let out = Scalar { bits: swapped, ..Scalar::UNKNOWN };
    sane(if bits < 64 { out.truncated(bytes).synced() } else { out.synced() })
}

fn add(a: &Scalar, b: &Scalar) -> Scalar {
    Scalar { bits: a.bits.add(b.bits), r64: a.r64.add(b.r64), r32: a.r32.add(b.r32) }
}

fn sub(a: &Scalar, b: &Scalar) -> Scalar {
    let (r64, r32) = (a.r64.add(b.r64.negate()), a.r32.add(b.r32.negate()));
    Scalar { bits: a.bits.sub(b.bits), r64, r32 }
}

/// The range of the products of bounds; nothing where one of them does not fit.
macro_rules! products {
    ($range:ident, $a:expr, $b:expr) => {{
        let (a, b) = ($a, $b);
        let high = a.umax().checked_mul(b.umax());
        let unsigned = match high.zip(a.umin().checked_mul(b.umin())) {
            Some((max, min)) => $range::unsigned(min, max),
            None => $range::UNBOUNDED,
        };
        let corner = |x: bool, y: bool| {
            let x = if x { a.smax() } else { a.smin() };
            x.checked_mul(if y { b.smax() } else { b.smin() })
        };
        let corners = (corner(false, false), corner(false, true), corner(true, false), corner(true, true));
        let signed = match corners {
            (Some(p), Some(q), Some(r), Some(s)) => {
                $range::signed(p.min(q).min(r).min(s), p.max(q).max(r).max(s))
            }
            _ => $range::UNBOUNDED,
        };
        unsigned.intersect(signed)
    }};
}

fn mul(a: &Scalar, b: &Scalar) -> Scalar {
    let (r64, r32) = (products!(Cnum64, a.r64, b.r64), products!(Cnum32, a.r32, b.r32));
    Scalar { bits: a.bits.mul(b.bits), r64, r32 }
}

/// A result of bits: when both sides are known, so is it.
fn bitwise(bits: Tnum, src: &Scalar, r64: Cnum64, r32: Cnum32) -> Scalar {
    let mut out = Scalar { bits, r64, r32 };
    if bits.low32().is_const() && src.value32().is_some() {
        out.r32 = Cnum32::constant(bits.value as u32);
    }
    if bits.is_const() && src.value().is_some() {
        return Scalar::constant(bits.value);
    }
    out
}

fn and(a: &Scalar, b: &Scalar) -> Scalar {
    let bits = a.bits.and(b.bits);
    let r64 = Cnum64::unsigned(bits.value, a.umax().min(b.umax()));
    let r32 = Cnum32::unsigned(bits.value as u32, a.umax32().min(b.umax32()));
    let mut out = bitwise(bits, b, r64, r32);
    out.ranges_from_bits();
    out
}

fn or(a: &Scalar, b: &Scalar) -> Scalar {
    let bits = a.bits.or(b.bits);
    let r64 = Cnum64::unsigned(a.umin().max(b.umin()), bits.max());
    let r32 = Cnum32::unsigned(a.umin32().max(b.umin32()), bits.max() as u32);
    let mut out = bitwise(bits, b, r64, r32);
    out.ranges_from_bits();
    out
}

fn xor(a: &Scalar, b: &Scalar) -> Scalar {
    let bits = a.bits.xor(b.bits);
    let (r64, r32) = (Cnum64::unsigned(bits.value, bits.max()), (bits.value as u32, bits.max() as u32));
    bitwise(bits, b, r64, Cnum32::unsigned(r32.0, r32.1))
}

/// The low half shifted; its top bit must not get lost.
fn shifted_low(dst: &Scalar, n: u32) -> Cnum32 {
    if n > 31 || u64::from(dst.umax32()) > 1 << (31 - n) {
        return Cnum32::unsigned(0, u32::MAX);
    }
    // The kernel shifts as C does: what leaves the half is gone.
    Cnum32::unsigned(dst.umin32() << n, dst.umax32() << n)
}

fn lsh(dst: &Scalar, n: u32) -> Scalar {
    let unsigned = match dst.umax() > 1 << (63 - n) {
        true => Cnum64::UNBOUNDED,
        false => Cnum64::unsigned(dst.umin() << n, dst.umax() << n),
    };
    let r64 = match n {
        32 => {
            unsigned.intersect(Cnum64::signed(i64::from(dst.smin32()) << 32, i64::from(dst.smax32()) << 32))
        }
        _ => unsigned,
    };
    let mut out = Scalar { bits: dst.bits.lsh(n), r64, r32: shifted_low(dst, n) };
    out.ranges_from_bits();
    out
}

fn lsh32(dst: &Scalar, n: u32) -> Scalar {
    let bits = dst.bits.low32().lsh(n).low32();
    let mut out = Scalar { bits, r64: Cnum64::UNBOUNDED, r32: shifted_low(dst, n) };
    out.low_from_bits();
    out
}

fn rsh(dst: &Scalar, n: u32) -> Scalar {
    let r64 = Cnum64::unsigned(dst.umin() >> n, dst.umax() >> n);
    let mut out = Scalar { bits: dst.bits.rsh(n), r64, r32: Cnum32::UNBOUNDED };
    out.ranges_from_bits();
    out
}

fn rsh32(dst: &Scalar, n: u32) -> Scalar {
    let r32 = Cnum32::unsigned(dst.umin32() >> n, dst.umax32() >> n);
    let mut out = Scalar { bits: dst.bits.low32().rsh(n), r64: Cnum64::UNBOUNDED, r32 };
    out.low_from_bits();
    out
}

fn arsh(dst: &Scalar, n: u32) -> Scalar {
    let r64 = Cnum64::signed(dst.smin() >> n, dst.smax() >> n);
    let mut out = Scalar { bits: dst.bits.arsh(n, 64), r64, r32: Cnum32::UNBOUNDED };
    out.ranges_from_bits();
    out
}

fn arsh32(dst: &Scalar, n: u32) -> Scalar {
    let r32 = Cnum32::signed(dst.smin32() >> n, dst.smax32() >> n);
    let mut out = Scalar { bits: dst.bits.low32().arsh(n, 32), r64: Cnum64::UNBOUNDED, r32 };
    out.low_from_bits();
    out
}

/// Division by a known number. Of the result only the range of the width is known.
fn divide(op: Alu, wide: bool, dst: &Scalar, src: &Scalar) -> Scalar {
    let by = if wide { src.umin() } else { src.umin32().into() };
    match op {
        Alu::Div | Alu::Sdiv if by == 0 => return Scalar::constant(0),
        _ if by == 0 => return *dst,
        _ => {}
    }
    let (umin, umax) = match wide {
        true => (dst.umin(), dst.umax()),
        false => (dst.umin32().into(), dst.umax32().into()),
    };
    let (smin, smax) = match wide {
        true => (dst.smin(), dst.smax()),
        false => (dst.smin32().into(), dst.smax32().into()),
    };
    let unsigned = |min: u64, max: u64| match wide {
        true => Scalar { r64: Cnum64::unsigned(min, max), ..Scalar::UNKNOWN },
        false => Scalar { r32: Cnum32::unsigned(min as u32, max as u32), ..Scalar::UNKNOWN },
    };
    let signed = |(min, max): (i64, i64)| match wide {
        true => Scalar { r64: Cnum64::signed(min, max), ..Scalar::UNKNOWN },
        false => Scalar { r32: Cnum32::signed(min as i32, max as i32), ..Scalar::UNKNOWN },
    };
    let signed_by = if wide { by as i64 } else { i64::from(by as u32 as i32) };
    let lowest = if wide { i64::MIN } else { i32::MIN.into() };
    match op {
        Alu::Div => unsigned(umin / by, umax / by),
        Alu::Mod if umax < by => *dst,
        Alu::Mod => unsigned(0, umax.min(by - 1)),
        Alu::Sdiv => signed(quotients(smin, smax, signed_by, lowest)),
        _ => remainders(smin, smax, signed_by).map_or(*dst, signed),
    }
}

/// Division by a known number keeps or turns the order, unless the lowest number is divided by -1.
fn quotients(min: i64, max: i64, by: i64, lowest: i64) -> (i64, i64) {
    if min == lowest && by == -1 {
        return if max == lowest { (lowest, lowest) } else { (lowest, -(lowest + 1)) };
    }
    let (a, b) = (min / by, max / by);
    (a.min(b), a.max(b))
}

/// A remainder has the sign of the dividend and is smaller than the divisor; `None`: the number stays as it is.
fn remainders(min: i64, max: i64, by: i64) -> Option<(i64, i64)> {
    let most = (by.unsigned_abs() - 1) as i64;
    if min >= -most && max <= most {
        return None;
    }
    Some(match (min >= 0, max <= 0) {
        (true, _) => (0, max.min(most)),
        (_, true) => (min.max(-most), 0),
        _ => (-most, most),
    })
}

//! Arithmetic on [`Scalar`]s: one function per instruction form. Mirrors `scalar_min_max_*()` of kernel/bpf/verifier.c, 7.3.
//!
//! Results are over-approximations (tested by random membership for every operation). Constants are folded exactly.

use sextant_bpf::opcode::{Alu, Order};

use super::{Scalar, Tnum};

/// `dst op src`; on 32 bits the upper half of the result is zero.
pub fn alu(op: Alu, wide: bool, dst: &Scalar, src: &Scalar) -> Scalar {
    let width = if wide { 64 } else { 32 };
    let oversized = matches!(op, Alu::Lsh | Alu::Rsh | Alu::Arsh) && src.umax >= width;
    if oversized {
        // The machine masks the count; the kernel does not look.
        return if wide { Scalar::UNKNOWN } else { Scalar::UNKNOWN.zext32() };
    }
    let folded = if wide { dst.value().zip(src.value()) } else { low(dst).zip(low(src)) };
    if let Some((a, b)) = folded {
        return Scalar::constant(concrete(op, wide, a, b));
    }
    let mut out = match op {
        Alu::Mov => *src,
        Alu::Add => add(dst, src),
        Alu::Sub => sub(dst, src),
        Alu::Mul => mul(dst, src),
        Alu::And => and(dst, src),
        Alu::Or => or(dst, src),
        Alu::Xor => xor(dst, src),
        Alu::Lsh => lsh(wide, dst, src),
        Alu::Rsh => rsh(wide, dst, src),
        Alu::Arsh => arsh(wide, dst, src),
        Alu::Div => div(wide, dst, src),
        Alu::Mod => modulo(wide, dst, src),
        Alu::Sdiv => sdiv(wide, dst, src),
        Alu::Smod => smod(wide, dst, src),
    };
    out = out.synced();
    if wide { out } else { out.zext32() }
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

fn low(s: &Scalar) -> Option<u64> {
    s.value32().map(u64::from)
}

/// `dst = -dst`
pub fn neg(wide: bool, dst: &Scalar) -> Scalar {
    alu(Alu::Sub, wide, &Scalar::constant(0), dst)
}

/// `dst = sign-extended low bits of src`; on 32 bits the upper half of the result is zero.
pub fn movsx(bits: u8, wide: bool, src: &Scalar) -> Scalar {
    let extend = |v: u64| {
        let shift = 64 - u32::from(bits);
        (((v << shift) as i64) >> shift) as u64
    };
    let out = match src.value() {
        Some(v) => Scalar::constant(extend(v)),
        None => {
            let (min, max) = (-(1i64 << (bits - 1)), (1i64 << (bits - 1)) - 1);
            let shift = 64 - u32::from(bits);
            let known = src.bits.lsh(shift).arsh(shift, 64);
            let mut out = Scalar { bits: known, ..Scalar::signed(min, max) };
            if src.smin >= min && src.smax <= max {
                (out.smin, out.smax) = (src.smin, src.smax);
            } else if bits == 32 {
                (out.smin, out.smax) = (i64::from(src.smin32), i64::from(src.smax32));
            }
            out.umin = 0;
            out.umax = u64::MAX;
            (out.umin32, out.umax32, out.smin32, out.smax32) = (0, u32::MAX, i32::MIN, i32::MAX);
            out.synced()
        }
    };
    if wide { out } else { out.zext32() }
}

/// Byte order operations; the rest of the register is zero.
pub fn end(order: Order, bits: u8, dst: &Scalar) -> Scalar {
    let bytes = u32::from(bits) / 8;
    if order == Order::Le {
        return dst.truncated(bytes);
    }
    let swap = |v: u64| v.swap_bytes() >> (64 - u32::from(bits));
    Scalar::from_bits(Tnum { value: swap(dst.bits.value), mask: swap(dst.bits.mask) })
}

/// Nothing known but the bits.
fn only(bits: Tnum) -> Scalar {
    Scalar { bits, ..Scalar::UNKNOWN }
}

fn add(a: &Scalar, b: &Scalar) -> Scalar {
    let mut out = only(a.bits.add(b.bits));
    if let (Some(min), Some(max)) = (a.smin.checked_add(b.smin), a.smax.checked_add(b.smax)) {
        (out.smin, out.smax) = (min, max);
    }
    // When both ends wrap the order is kept as well.
    let (min, over_min) = a.umin.overflowing_add(b.umin);
    let (max, over_max) = a.umax.overflowing_add(b.umax);
    if over_min == over_max {
        (out.umin, out.umax) = (min, max);
    }
    if let (Some(min), Some(max)) = (a.smin32.checked_add(b.smin32), a.smax32.checked_add(b.smax32)) {
        (out.smin32, out.smax32) = (min, max);
    }
    let (min, over_min) = a.umin32.overflowing_add(b.umin32);
    let (max, over_max) = a.umax32.overflowing_add(b.umax32);
    if over_min == over_max {
        (out.umin32, out.umax32) = (min, max);
    }
    out
}

fn sub(a: &Scalar, b: &Scalar) -> Scalar {
    let mut out = only(a.bits.sub(b.bits));
    if let (Some(min), Some(max)) = (a.smin.checked_sub(b.smax), a.smax.checked_sub(b.smin)) {
        (out.smin, out.smax) = (min, max);
    }
    let (min, under_min) = a.umin.overflowing_sub(b.umax);
    let (max, under_max) = a.umax.overflowing_sub(b.umin);
    if under_min == under_max {
        (out.umin, out.umax) = (min, max);
    }
    if let (Some(min), Some(max)) = (a.smin32.checked_sub(b.smax32), a.smax32.checked_sub(b.smin32)) {
        (out.smin32, out.smax32) = (min, max);
    }
    let (min, under_min) = a.umin32.overflowing_sub(b.umax32);
    let (max, under_max) = a.umax32.overflowing_sub(b.umin32);
    if under_min == under_max {
        (out.umin32, out.umax32) = (min, max);
    }
    out
}

fn mul(a: &Scalar, b: &Scalar) -> Scalar {
    let mut out = only(a.bits.mul(b.bits));
    if let Some(max) = a.umax.checked_mul(b.umax) {
        (out.umin, out.umax) = (a.umin * b.umin, max);
    }
    if let Some((min, max)) = products(a.smin.into(), a.smax.into(), b.smin.into(), b.smax.into())
        .and_then(|(min, max)| i64::try_from(min).ok().zip(i64::try_from(max).ok()))
    {
        (out.smin, out.smax) = (min, max);
    }
    if let Some(max) = a.umax32.checked_mul(b.umax32) {
        (out.umin32, out.umax32) = (a.umin32 * b.umin32, max);
    }
    if let Some((min, max)) = products(a.smin32.into(), a.smax32.into(), b.smin32.into(), b.smax32.into())
        .and_then(|(min, max)| i32::try_from(min).ok().zip(i32::try_from(max).ok()))
    {
        (out.smin32, out.smax32) = (min, max);
    }
    out
}

/// Lowest and highest of the four corner products.
fn products(amin: i128, amax: i128, bmin: i128, bmax: i128) -> Option<(i128, i128)> {
    let corners = [amin * bmin, amin * bmax, amax * bmin, amax * bmax];
    corners.iter().min().copied().zip(corners.iter().max().copied())
}

fn and(a: &Scalar, b: &Scalar) -> Scalar {
    let mut out = only(a.bits.and(b.bits));
    out.umax = a.umax.min(b.umax);
    out.umax32 = a.umax32.min(b.umax32);
    if a.smax < 0 && b.smax < 0 {
        out.smax = a.smax.min(b.smax);
    }
    out
}

fn or(a: &Scalar, b: &Scalar) -> Scalar {
    let mut out = only(a.bits.or(b.bits));
    out.umin = a.umin.max(b.umin);
    out.umin32 = a.umin32.max(b.umin32);
    out
}

fn xor(a: &Scalar, b: &Scalar) -> Scalar {
    only(a.bits.xor(b.bits))
}

/// The shift count, if it is known; the hardware masks it.
fn count(wide: bool, src: &Scalar) -> Option<u32> {
    if wide { src.value().map(|v| v as u32 & 63) } else { src.value32().map(|v| v & 31) }
}

fn lsh(wide: bool, dst: &Scalar, src: &Scalar) -> Scalar {
    let Some(n) = count(wide, src) else { return lsh_unknown(dst, src) };
    let mut out = only(dst.bits.lsh(n));
    if dst.umax.leading_zeros() >= n {
        (out.umin, out.umax) = (dst.umin << n, dst.umax << n);
    }
    // A signed bound survives when shifting back gives the same number.
    let back = |v: i64| (v << n) >> n == v;
    if back(dst.smin) && back(dst.smax) {
        (out.smin, out.smax) = (dst.smin << n, dst.smax << n);
    }
    if n < 32 && dst.umax32.leading_zeros() >= n {
        (out.umin32, out.umax32) = (dst.umin32 << n, dst.umax32 << n);
    }
    out
}

/// By an unknown count: only the bits below the lowest one stay zero, and nothing shrinks if nothing is lost.
fn lsh_unknown(dst: &Scalar, src: &Scalar) -> Scalar {
    let zeros = dst.bits.max().trailing_zeros().min(63);
    let mut out = only(Tnum { value: 0, mask: u64::MAX << zeros });
    if src.umax < 64 && dst.umax.leading_zeros() as u64 >= src.umax {
        out.umin = dst.umin << src.umin;
        out.umax = dst.umax << src.umax;
    }
    out
}

fn rsh(wide: bool, dst: &Scalar, src: &Scalar) -> Scalar {
    let view = if wide { *dst } else { dst.zext32() };
    match count(wide, src) {
        Some(n) => {
            let mut out = only(view.bits.rsh(n));
            (out.umin, out.umax) = (view.umin >> n, view.umax >> n);
            out
        }
        None => {
            let width = if wide { 64 } else { 32 };
            let (min, max) = if src.umax < width { (src.umin, src.umax) } else { (0, width - 1) };
            Scalar { umin: view.umin >> max, umax: view.umax >> min, ..Scalar::UNKNOWN }
        }
    }
}

fn arsh(wide: bool, dst: &Scalar, src: &Scalar) -> Scalar {
    let Some(n) = count(wide, src) else {
        // Moves towards 0 or -1.
        let mut out = Scalar::UNKNOWN;
        if wide {
            (out.smin, out.smax) = (dst.smin.min(0), dst.smax.max(-1));
        } else {
            (out.smin32, out.smax32) = (dst.smin32.min(0), dst.smax32.max(-1));
        }
        return out;
    };
    if wide {
        let mut out = only(dst.bits.arsh(n, 64));
        (out.smin, out.smax) = (dst.smin >> n, dst.smax >> n);
        return out;
    }
    let mut out = only(Tnum::UNKNOWN.with_low32(dst.bits.low32().arsh(n, 32)));
    (out.smin32, out.smax32) = (dst.smin32 >> n, dst.smax32 >> n);
    out
}

fn div(wide: bool, dst: &Scalar, src: &Scalar) -> Scalar {
    let (dst, src) = if wide { (*dst, *src) } else { (dst.zext32(), src.zext32()) };
    if src.umax == 0 {
        return Scalar::constant(0);
    }
    let min = if src.umin == 0 { 0 } else { dst.umin / src.umax };
    Scalar { umin: min, umax: dst.umax / src.umin.max(1), ..Scalar::UNKNOWN }
}

fn modulo(wide: bool, dst: &Scalar, src: &Scalar) -> Scalar {
    let (dst, src) = if wide { (*dst, *src) } else { (dst.zext32(), src.zext32()) };
    // Modulo 0 leaves the number as it is.
    if src.umin > dst.umax || src.umax == 0 {
        return dst;
    }
    let max = if src.umin == 0 { dst.umax } else { dst.umax.min(src.umax - 1) };
    Scalar { umax: max, ..Scalar::UNKNOWN }
}

/// Signed bounds of the width that the instruction works on.
fn signed(wide: bool, s: &Scalar) -> (i64, i64) {
    if wide { (s.smin, s.smax) } else { (s.smin32.into(), s.smax32.into()) }
}

/// A result within signed bounds of that width.
fn within(wide: bool, min: i64, max: i64) -> Scalar {
    if wide {
        return Scalar { smin: min, smax: max, ..Scalar::UNKNOWN };
    }
    Scalar { smin32: min as i32, smax32: max as i32, ..Scalar::UNKNOWN }
}

/// The divisor, if it is known.
fn divisor(wide: bool, src: &Scalar) -> Option<i64> {
    if wide { src.value().map(|v| v as i64) } else { src.value32().map(|v| i64::from(v as i32)) }
}

/// Division by a known number keeps or turns the order, unless the lowest number is divided by -1.
fn sdiv(wide: bool, dst: &Scalar, src: &Scalar) -> Scalar {
    let lowest = if wide { i64::MIN } else { i32::MIN.into() };
    match (divisor(wide, src), signed(wide, dst)) {
        (Some(0), _) => Scalar::constant(0),
        (Some(-1), (min, _)) if min == lowest => Scalar::UNKNOWN,
        (Some(d), (min, max)) => within(wide, (min / d).min(max / d), (min / d).max(max / d)),
        (None, _) => Scalar::UNKNOWN,
    }
}

/// The result has the sign of the dividend and is smaller than the divisor.
fn smod(wide: bool, dst: &Scalar, src: &Scalar) -> Scalar {
    let Some(d) = divisor(wide, src) else { return Scalar::UNKNOWN };
    if d == 0 {
        return if wide { *dst } else { dst.zext32() };
    }
    let (min, max) = signed(wide, dst);
    let most = i64::try_from(d.unsigned_abs() - 1).unwrap_or(i64::MAX);
    if min >= -most && max <= most {
        return if wide { *dst } else { dst.zext32() };
    }
    within(wide, if min >= 0 { 0 } else { min.max(-most) }, if max <= 0 { 0 } else { max.min(most) })
}

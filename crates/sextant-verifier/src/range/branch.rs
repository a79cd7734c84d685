//! Conditional jumps on [`Scalar`]s: which way is certain, and what the way taken says of both sides. Mirrors
//! `is_scalar_branch_taken()` and `regs_refine_cond_op()` of kernel/bpf/verifier.c, 7.3.

use sextant_bpf::opcode::Cond;

use super::{Cnum32, Cnum64, Scalar, Tnum};

/// The condition on numbers.
pub fn holds(cond: Cond, wide: bool, a: u64, b: u64) -> bool {
    let (a, b) = if wide { (a, b) } else { (u64::from(a as u32), u64::from(b as u32)) };
    let (sa, sb) =
        if wide { (a as i64, b as i64) } else { (i64::from(a as u32 as i32), i64::from(b as u32 as i32)) };
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

/// The condition that holds when `cond` does not; `Set` has none.
pub fn inverse(cond: Cond) -> Option<Cond> {
    Some(match cond {
        Cond::Eq => Cond::Ne,
        Cond::Ne => Cond::Eq,
        Cond::Gt => Cond::Le,
        Cond::Ge => Cond::Lt,
        Cond::Lt => Cond::Ge,
        Cond::Le => Cond::Gt,
        Cond::Sgt => Cond::Sle,
        Cond::Sge => Cond::Slt,
        Cond::Slt => Cond::Sge,
        Cond::Sle => Cond::Sgt,
        Cond::Set => return None,
    })
}

/// One view of a scalar: bounds of the width that the jump looks at.
struct View {
    bits: Tnum,
    umin: u64,
    umax: u64,
    smin: i64,
    smax: i64,
}

fn view(s: &Scalar, wide: bool) -> View {
    if wide {
        return View { bits: s.bits, umin: s.umin(), umax: s.umax(), smin: s.smin(), smax: s.smax() };
    }
    View {
        bits: s.bits.low32(),
        umin: s.umin32().into(),
        umax: s.umax32().into(),
        smin: s.smin32().into(),
        smax: s.smax32().into(),
    }
}

/// Whether the jump is certainly taken or certainly not, by the bounds alone.
fn plain(cond: Cond, wide: bool, a: &Scalar, b: &Scalar) -> Option<bool> {
    let (x, y) = (view(a, wide), view(b, wide));
    let ordered = |yes: bool, no: bool| if yes { Some(true) } else { no.then_some(false) };
    let apart = |x: &View, y: &View| x.umin > y.umax || x.umax < y.umin || x.smin > y.smax || x.smax < y.smin;
    let disjoint = x.bits.intersect(y.bits).is_none()
        || apart(&x, &y)
        || (wide
            && apart(&View { bits: x.bits, ..view(a, false) }, &View { bits: y.bits, ..view(b, false) }));
    let known = x.bits.is_const() && y.bits.is_const();
    let same = known && x.bits.value == y.bits.value;
    match cond {
        Cond::Eq => ordered(same, disjoint),
        Cond::Ne => ordered(disjoint, same),
        Cond::Gt => ordered(x.umin > y.umax, x.umax <= y.umin),
        Cond::Ge => ordered(x.umin >= y.umax, x.umax < y.umin),
        Cond::Lt => ordered(x.umax < y.umin, x.umin >= y.umax),
        Cond::Le => ordered(x.umax <= y.umin, x.umin > y.umax),
        Cond::Sgt => ordered(x.smin > y.smax, x.smax <= y.smin),
        Cond::Sge => ordered(x.smin >= y.smax, x.smax < y.smin),
        Cond::Slt => ordered(x.smax < y.smin, x.smin >= y.smax),
        Cond::Sle => ordered(x.smax <= y.smin, x.smin > y.smax),
        Cond::Set if y.bits.is_const() || x.bits.is_const() => {
            ordered(x.bits.value & y.bits.value != 0, x.bits.max() & y.bits.max() == 0)
        }
        Cond::Set => None,
    }
}

/// Whether the jump is certainly taken or certainly not. Where the bounds do not say, a way on which they contradict each other is
/// none. Mirrors `is_scalar_branch_taken()`.
pub fn taken(cond: Cond, wide: bool, a: &Scalar, b: &Scalar) -> Option<bool> {
    if let Some(certain) = plain(cond, wide, a, b) {
        return Some(certain);
    }
    // For a mask that is not known the kernel does not try.
    let known = |s: &Scalar| if wide { s.value().is_some() } else { s.value32().is_some() };
    if cond == Cond::Set && !known(a) && !known(b) {
        return None;
    }
    let dead = |outcome| {
        let (a, b) = refine(cond, wide, outcome, a, b);
        a.is_empty() || b.is_empty()
    };
    if dead(false) {
        return Some(true);
    }
    dead(true).then_some(false)
}

/// Both sides on the way where the condition is `outcome`. An empty result means that the way cannot be taken. Mirrors
/// `regs_refine_cond_op()`.
pub fn refine(cond: Cond, wide: bool, outcome: bool, a: &Scalar, b: &Scalar) -> (Scalar, Scalar) {
    let (mut a, mut b) = (*a, *b);
    let cond = if outcome { Some(cond) } else { inverse(cond) };
    match cond {
        None => refine_set(wide, false, &mut a, &mut b),
        Some(Cond::Set) => refine_set(wide, true, &mut a, &mut b),
        Some(Cond::Eq) => equal(wide, &mut a, &mut b),
        Some(Cond::Ne) => exclude(wide, &mut a, &mut b),
        Some(Cond::Lt) => less(wide, &mut a, &mut b, 1),
        Some(Cond::Le) => less(wide, &mut a, &mut b, 0),
        Some(Cond::Gt) => less(wide, &mut b, &mut a, 1),
        Some(Cond::Ge) => less(wide, &mut b, &mut a, 0),
        Some(Cond::Slt) => sless(wide, &mut a, &mut b, 1),
        Some(Cond::Sle) => sless(wide, &mut a, &mut b, 0),
        Some(Cond::Sgt) => sless(wide, &mut b, &mut a, 1),
        Some(Cond::Sge) => sless(wide, &mut b, &mut a, 0),
    }
    (a.synced(), b.synced())
}

fn equal(wide: bool, a: &mut Scalar, b: &mut Scalar) {
    if wide {
        let r64 = a.r64.intersect(b.r64);
        let bits = a.bits.meet(b.bits);
        (a.r64, b.r64, a.bits, b.bits) = (r64, r64, bits, bits);
        return;
    }
    let r32 = a.r32.intersect(b.r32);
    let low = a.bits.low32().meet(b.bits.low32());
    for s in [a, b] {
        (s.r32, s.bits) = (r32, s.bits.with_low32(low));
    }
}

/// The number that a side is known to be, of the width.
fn known(s: &Scalar, wide: bool) -> Option<u64> {
    if wide { s.value() } else { s.value32().map(u64::from) }
}

/// The side that is not a constant, and the constant.
fn beside<'s>(wide: bool, a: &'s mut Scalar, b: &'s mut Scalar) -> Option<(&'s mut Scalar, u64)> {
    match (known(b, wide), known(a, wide)) {
        (Some(v), _) => Some((a, v)),
        (None, Some(v)) => Some((b, v)),
        (None, None) => None,
    }
}

/// Takes a constant off the ends of the range.
fn exclude(wide: bool, a: &mut Scalar, b: &mut Scalar) {
    let Some((s, v)) = beside(wide, a, b) else { return };
    if wide {
        s.r64 = s.r64.intersect(Cnum64 { base: v.wrapping_add(1), size: u64::MAX - 1 });
    } else {
        s.r32 = s.r32.intersect(Cnum32 { base: (v as u32).wrapping_add(1), size: u32::MAX - 1 });
    }
}

/// `a + gap <= b`, unsigned.
fn less(wide: bool, a: &mut Scalar, b: &mut Scalar, gap: u32) {
    if wide {
        let gap = u64::from(gap);
        a.r64 = a.r64.intersect(Cnum64::unsigned(0, b.umax().wrapping_sub(gap)));
        b.r64 = b.r64.intersect(Cnum64::unsigned(a.umin().wrapping_add(gap), u64::MAX));
        return;
    }
    a.r32 = a.r32.intersect(Cnum32::unsigned(0, b.umax32().wrapping_sub(gap)));
    b.r32 = b.r32.intersect(Cnum32::unsigned(a.umin32().wrapping_add(gap), u32::MAX));
}

/// `a + gap <= b`, signed.
fn sless(wide: bool, a: &mut Scalar, b: &mut Scalar, gap: i32) {
    if wide {
        let gap = i64::from(gap);
        a.r64 = a.r64.intersect(Cnum64::signed(i64::MIN, b.smax().wrapping_sub(gap)));
        b.r64 = b.r64.intersect(Cnum64::signed(a.smin().wrapping_add(gap), i64::MAX));
        return;
    }
    a.r32 = a.r32.intersect(Cnum32::signed(i32::MIN, b.smax32().wrapping_sub(gap)));
    b.r32 = b.r32.intersect(Cnum32::signed(a.smin32().wrapping_add(gap), i32::MAX));
}

fn refine_set(wide: bool, outcome: bool, a: &mut Scalar, b: &mut Scalar) {
    let Some((s, mask)) = beside(wide, a, b) else { return };
    let bits = if outcome {
        // One bit in the mask: it is set.
        if !mask.is_power_of_two() {
            return;
        }
        s.bits.or(Tnum::constant(mask))
    } else {
        (s.r64, s.r32) = (Cnum64::UNBOUNDED, Cnum32::UNBOUNDED);
        s.bits.and(Tnum::constant(!mask))
    };
    s.bits = if wide { bits } else { s.bits.with_low32(bits) };
}

//! Conditional jumps on [`Scalar`]s: which way is certain, and what the way taken says of both sides. Mirrors
//! `is_scalar_branch_taken()` and `regs_refine_cond_op()` of kernel/bpf/verifier.c, 7.3.

use sextant_bpf::opcode::Cond;

use super::{Scalar, Tnum};

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
        return View { bits: s.bits, umin: s.umin, umax: s.umax, smin: s.smin, smax: s.smax };
    }
    View {
        bits: s.bits.low32(),
        umin: s.umin32.into(),
        umax: s.umax32.into(),
        smin: s.smin32.into(),
        smax: s.smax32.into(),
    }
}

/// Whether the jump is certainly taken or certainly not.
pub fn taken(cond: Cond, wide: bool, a: &Scalar, b: &Scalar) -> Option<bool> {
    let (x, y) = (view(a, wide), view(b, wide));
    let ordered = |yes: bool, no: bool| {
        if yes {
            Some(true)
        } else if no {
            Some(false)
        } else {
            None
        }
    };
    let disjoint = x.umin > y.umax
        || x.umax < y.umin
        || x.smin > y.smax
        || x.smax < y.smin
        || x.bits.intersect(y.bits).is_none();
    let same = x.bits.is_const() && y.bits.is_const() && x.bits.value == y.bits.value;
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
        Cond::Set => ordered(x.bits.value & y.bits.value != 0, x.bits.max() & y.bits.max() == 0),
    }
}

/// Both sides on the way where the condition is `outcome`. An empty result means that the way cannot be taken.
pub fn refine(cond: Cond, wide: bool, outcome: bool, a: &Scalar, b: &Scalar) -> (Scalar, Scalar) {
    let (mut a, mut b) = (*a, *b);
    if cond == Cond::Set {
        refine_set(wide, outcome, &mut a, &b);
        return (a.synced(), b);
    }
    let cond = match outcome {
        true => Some(cond),
        false => inverse(cond),
    };
    let Some(cond) = cond else { return (a, b) };
    match cond {
        Cond::Eq => equal(wide, &mut a, &mut b),
        Cond::Ne => {
            exclude(wide, &mut a, &b);
            exclude(wide, &mut b, &a);
        }
        Cond::Lt => less(wide, &mut a, &mut b, 1),
        Cond::Le => less(wide, &mut a, &mut b, 0),
        Cond::Gt => less(wide, &mut b, &mut a, 1),
        Cond::Ge => less(wide, &mut b, &mut a, 0),
        Cond::Slt => sless(wide, &mut a, &mut b, 1),
        Cond::Sle => sless(wide, &mut a, &mut b, 0),
        Cond::Sgt => sless(wide, &mut b, &mut a, 1),
        Cond::Sge => sless(wide, &mut b, &mut a, 0),
        Cond::Set => {}
    }
    (a.synced(), b.synced())
}

fn equal(wide: bool, a: &mut Scalar, b: &mut Scalar) {
    if wide {
        let both = a.intersect(b);
        (*a, *b) = (both, both);
        return;
    }
    let Some(low) = a.bits.low32().intersect(b.bits.low32()) else {
        (a.umin, a.umax) = (1, 0);
        return;
    };
    let (umin, umax) = (a.umin32.max(b.umin32), a.umax32.min(b.umax32));
    let (smin, smax) = (a.smin32.max(b.smin32), a.smax32.min(b.smax32));
    for s in [a, b] {
        (s.umin32, s.umax32, s.smin32, s.smax32) = (umin, umax, smin, smax);
        s.bits = s.bits.with_low32(low);
    }
}

/// Takes a constant off the ends of the bounds.
fn exclude(wide: bool, a: &mut Scalar, b: &Scalar) {
    if wide {
        let Some(v) = b.value() else { return };
        if a.is(v) {
            (a.umin, a.umax) = (1, 0);
            return;
        }
        a.umin = a.umin.saturating_add(u64::from(a.umin == v));
        a.umax = a.umax.saturating_sub(u64::from(a.umax == v));
        a.smin = a.smin.saturating_add(i64::from(a.smin == v as i64));
        a.smax = a.smax.saturating_sub(i64::from(a.smax == v as i64));
        return;
    }
    let Some(v) = b.value32() else { return };
    if a.value32() == Some(v) {
        (a.umin, a.umax) = (1, 0);
        return;
    }
    a.umin32 = a.umin32.saturating_add(u32::from(a.umin32 == v));
    a.umax32 = a.umax32.saturating_sub(u32::from(a.umax32 == v));
    a.smin32 = a.smin32.saturating_add(i32::from(a.smin32 == v as i32));
    a.smax32 = a.smax32.saturating_sub(i32::from(a.smax32 == v as i32));
}

/// `a + gap <= b`, unsigned.
fn less(wide: bool, a: &mut Scalar, b: &mut Scalar, gap: u32) {
    if wide {
        match b.umax.checked_sub(gap.into()).zip(a.umin.checked_add(gap.into())) {
            Some((max, min)) => (a.umax, b.umin) = (a.umax.min(max), b.umin.max(min)),
            None => (a.umin, a.umax) = (1, 0),
        }
        return;
    }
    match b.umax32.checked_sub(gap).zip(a.umin32.checked_add(gap)) {
        Some((max, min)) => (a.umax32, b.umin32) = (a.umax32.min(max), b.umin32.max(min)),
        None => (a.umin, a.umax) = (1, 0),
    }
}

/// `a + gap <= b`, signed.
fn sless(wide: bool, a: &mut Scalar, b: &mut Scalar, gap: i32) {
    if wide {
        match b.smax.checked_sub(gap.into()).zip(a.smin.checked_add(gap.into())) {
            Some((max, min)) => (a.smax, b.smin) = (a.smax.min(max), b.smin.max(min)),
            None => (a.umin, a.umax) = (1, 0),
        }
        return;
    }
    match b.smax32.checked_sub(gap).zip(a.smin32.checked_add(gap)) {
        Some((max, min)) => (a.smax32, b.smin32) = (a.smax32.min(max), b.smin32.max(min)),
        None => (a.umin, a.umax) = (1, 0),
    }
}

fn refine_set(wide: bool, outcome: bool, a: &mut Scalar, b: &Scalar) {
    let Some(mask) = (if wide { b.value() } else { b.value32().map(u64::from) }) else { return };
    let known = if outcome {
        // One bit in the mask: it is set.
        if !mask.is_power_of_two() {
            return;
        }
        Tnum { value: mask, mask: !mask }
    } else {
        Tnum { value: 0, mask: !mask }
    };
    match a.bits.intersect(known) {
        Some(bits) => a.bits = bits,
        None => (a.umin, a.umax) = (1, 0),
    }
}

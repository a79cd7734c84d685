//! Soundness by membership: for random sets and members, every operation's result contains the concrete result, and
//! every branch keeps the members that take it. Deterministic.

use sextant_bpf::opcode::{Alu, Cond, Order};

use super::alu::{alu, concrete, end, movsx, neg};
use super::branch::{holds, inverse, refine, taken};
use super::*;

struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// Numbers where things go wrong: near 0, near the ends of the halves, and anywhere.
    fn number(&mut self) -> u64 {
        const EDGES: [u64; 10] = [
            0,
            1,
            0x7fff_ffff,
            0x8000_0000,
            0xffff_ffff,
            0x1_0000_0000,
            0x7fff_ffff_ffff_ffff,
            1 << 63,
            u64::MAX,
            64,
        ];
        let near = EDGES[self.below(10) as usize].wrapping_add(self.below(9)).wrapping_sub(4);
        match self.below(4) {
            0 => near,
            1 => self.below(200),
            2 => u64::from(self.next() as u32),
            _ => self.next() >> self.below(64),
        }
    }

    /// A set and a member.
    fn set(&mut self) -> (Scalar, u64) {
        let v = self.number();
        let other = self.number();
        let s = match self.below(8) {
            0 => Scalar::constant(v),
            1 => Scalar::UNKNOWN,
            2 => Scalar::unsigned(v.min(other), v.max(other)),
            3 => Scalar::signed((v as i64).min(other as i64), (v as i64).max(other as i64)),
            4 => {
                let mask = self.number();
                Scalar::from_bits(Tnum { value: v & !mask, mask })
            }
            5 => {
                let (a, b) = (v as u32, other as u32);
                Scalar { r32: Cnum32::unsigned(a.min(b), a.max(b)), ..Scalar::UNKNOWN }.synced()
            }
            6 => {
                let (a, b) = (v as i32, other as i32);
                Scalar { r32: Cnum32::signed(a.min(b), a.max(b)), ..Scalar::UNKNOWN }.synced()
            }
            _ => {
                let (mask, a, b) = (self.number(), v as i32, other as i32);
                let bits = Scalar::from_bits(Tnum { value: v & !mask, mask });
                let range = Scalar::unsigned(v.min(other), v.max(other));
                let low = Scalar { r32: Cnum32::signed(a.min(b), a.max(b)), ..Scalar::UNKNOWN };
                bits.intersect(&range).intersect(&low)
            }
        };
        assert!(s.contains(v), "{s:?} was built around {v:#x}");
        (s, v)
    }
}

const ALUS: [Alu; 14] = [
    Alu::Add,
    Alu::Sub,
    Alu::Mul,
    Alu::Div,
    Alu::Or,
    Alu::And,
    Alu::Lsh,
    Alu::Rsh,
    Alu::Mod,
    Alu::Xor,
    Alu::Mov,
    Alu::Arsh,
    Alu::Sdiv,
    Alu::Smod,
];
const CONDS: [Cond; 11] = [
    Cond::Eq,
    Cond::Gt,
    Cond::Ge,
    Cond::Set,
    Cond::Ne,
    Cond::Sgt,
    Cond::Sge,
    Cond::Lt,
    Cond::Le,
    Cond::Slt,
    Cond::Sle,
];

#[test]
fn alu_results_contain_the_concrete_result() {
    let mut rng = Rng(0x5e17);
    for _ in 0..60_000 {
        let ((a, x), (b, y)) = (rng.set(), rng.set());
        for (op, wide) in ALUS.iter().flat_map(|op| [(*op, true), (*op, false)]) {
            let (r, c) = (alu(op, wide, &a, &b), concrete(op, wide, x, y));
            assert!(r.contains(c), "{op:?} wide={wide} {x:#x} {y:#x} = {c:#x} not in {r:?}\n{a:?}\n{b:?}");
        }
    }
}

#[test]
fn unary_results_contain_the_concrete_result() {
    let mut rng = Rng(0x0bad);
    for _ in 0..60_000 {
        let (a, x) = rng.set();
        assert!(neg(true, &a).contains(x.wrapping_neg()), "{a:?} {x:#x}");
        assert!(neg(false, &a).contains(u64::from((x as u32).wrapping_neg())), "{a:?} {x:#x}");
        for (bits, wide) in [(8, true), (16, true), (32, true), (8, false), (16, false)] {
            let shift = 64 - u32::from(bits);
            let v = (((x << shift) as i64) >> shift) as u64;
            let v = if wide { v } else { u64::from(v as u32) };
            assert!(movsx(bits, wide, &a).contains(v), "movsx{bits} {wide} {a:?} {x:#x}");
        }
        for bits in [16u8, 32, 64] {
            let low = if bits == 64 { x } else { x & ((1 << bits) - 1) };
            assert!(end(Order::Le, bits, &a).contains(low));
            let swapped = low.swap_bytes() >> (64 - u32::from(bits));
            assert!(end(Order::Be, bits, &a).contains(swapped), "be{bits} {a:?} {x:#x}");
            assert!(end(Order::Bswap, bits, &a).contains(swapped));
        }
        for bytes in [1, 2, 4, 8] {
            let low = if bytes == 8 { x } else { x & ((1 << (bytes * 8)) - 1) };
            assert!(a.truncated(bytes).contains(low), "truncated {bytes} {a:?} {x:#x}");
        }
        assert!(a.zext32().contains(u64::from(x as u32)));
    }
}

#[test]
fn branches_keep_the_members_that_take_them() {
    let mut rng = Rng(0xb4a9);
    for _ in 0..100_000 {
        let ((a, x), (b, y)) = (rng.set(), rng.set());
        for (cond, wide) in CONDS.iter().flat_map(|c| [(*c, true), (*c, false)]) {
            let outcome = holds(cond, wide, x, y);
            if let Some(certain) = taken(cond, wide, &a, &b) {
                assert_eq!(certain, outcome, "{cond:?} wide={wide} {x:#x} {y:#x}\n{a:?}\n{b:?}");
            }
            let (ra, rb) = refine(cond, wide, outcome, &a, &b);
            assert!(
                ra.contains(x) && rb.contains(y),
                "{cond:?} wide={wide} {outcome} {x:#x} {y:#x}\n{a:?} -> {ra:?}\n{b:?} -> {rb:?}"
            );
        }
    }
}

#[test]
fn lattice_operations_keep_members() {
    let mut rng = Rng(0x1a77);
    for _ in 0..100_000 {
        let ((a, x), (b, y)) = (rng.set(), rng.set());
        let both = a.intersect(&b);
        assert!(!b.contains(x) || both.contains(x), "{a:?} {b:?} {x:#x}");
        assert!(!a.covers(&b) || a.contains(y));
    }
}

#[test]
fn inverses_are_inverse() {
    let mut rng = Rng(7);
    for _ in 0..10_000 {
        let (x, y) = (rng.number(), rng.number());
        for (cond, wide) in CONDS.iter().flat_map(|c| [(*c, true), (*c, false)]) {
            assert!(inverse(cond).is_none_or(|inv| holds(inv, wide, x, y) != holds(cond, wide, x, y)));
        }
    }
}

/// What verified programs rely on: precision, not only soundness.
#[test]
fn common_checks_give_the_expected_bounds() {
    let (idx, _) = refine(Cond::Lt, true, true, &Scalar::UNKNOWN, &Scalar::constant(64));
    assert_eq!((idx.umin(), idx.umax(), idx.smin(), idx.smax()), (0, 63, 0, 63));
    let scaled = alu(Alu::Lsh, true, &idx, &Scalar::constant(3));
    assert_eq!((scaled.umax(), scaled.bits.mask), (63 << 3, 0x1f8));
    let masked = alu(Alu::And, true, &Scalar::UNKNOWN, &Scalar::constant(7));
    assert_eq!((masked.umin(), masked.umax()), (0, 7));
    // A 32-bit signed check on a zero-extended value, as clang emits for `if (cpu < 0 || cpu >= 8)`.
    let cpu = Scalar::UNKNOWN.zext32();
    let (cpu, _) = refine(Cond::Sgt, false, true, &cpu, &Scalar::constant(-1i64 as u64));
    let (cpu, _) = refine(Cond::Slt, false, true, &cpu, &Scalar::constant(8));
    assert_eq!((cpu.umin(), cpu.umax()), (0, 7));
    // The shift pair that sign-extends an int.
    let shl = alu(Alu::Lsh, true, &cpu, &Scalar::constant(32));
    let sext = alu(Alu::Arsh, true, &shl, &Scalar::constant(32));
    assert_eq!((sext.smin(), sext.smax()), (0, 7));
    let rem = alu(Alu::Mod, true, &Scalar::UNKNOWN, &Scalar::constant(10));
    assert_eq!(rem.umax(), 9);
    assert_eq!(alu(Alu::Div, false, &Scalar::UNKNOWN, &Scalar::constant(1 << 20)).umax(), 4095);
}

/// And no more than Linux has: a program that needs more is refused there.
#[test]
fn unknown_divisors_and_shift_counts_give_no_bounds() {
    let (byte, ten) = (Scalar::bytes(1), Scalar::unsigned(1, 10));
    for op in [Alu::Div, Alu::Mod, Alu::Sdiv, Alu::Smod, Alu::Lsh, Alu::Rsh, Alu::Arsh] {
        for wide in [true, false] {
            assert!(alu(op, wide, &byte, &ten).is_unknown(), "{op:?} {wide}");
        }
    }
    let count = |n| alu(Alu::Lsh, true, &byte, &Scalar::constant(n));
    assert_eq!((count(4).umax(), count(55).umax()), (0xff0, 0xff << 55));
    // The top bit might be lost.
    assert_eq!(count(56).umax(), u64::MAX);
    assert!(alu(Alu::Rsh, false, &Scalar::UNKNOWN, &Scalar::constant(32)).is_unknown());
    // A division says nothing of the low half, but for what follows from the range of the whole.
    let tenth = alu(Alu::Div, true, &Scalar::unsigned(0, 1 << 40), &Scalar::constant(10));
    assert_eq!((tenth.umax(), tenth.umax32()), ((1 << 40) / 10, u32::MAX));
}

/// A way on which the bounds contradict each other is none.
#[test]
fn a_way_that_contradicts_itself_is_not_taken() {
    // Even numbers below 9 that are not below 8: 8 alone.
    let even = Scalar::from_bits(Tnum { value: 0, mask: 0xe });
    let (eight, _) = refine(Cond::Lt, true, true, &even, &Scalar::constant(9));
    let (eight, _) = refine(Cond::Ge, true, true, &eight, &Scalar::constant(7));
    assert_eq!(eight.value(), Some(8));
    assert_eq!(taken(Cond::Ne, true, &eight, &Scalar::constant(8)), Some(false));
    // -1 or 0 is below 1 as a signed number, whichever it is.
    assert_eq!(taken(Cond::Slt, true, &Scalar::signed(-1, 0), &Scalar::constant(1)), Some(true));
    assert_eq!(taken(Cond::Eq, true, &Scalar::signed(-4, 4), &Scalar::constant(5)), Some(false));
}

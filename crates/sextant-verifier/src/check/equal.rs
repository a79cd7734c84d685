//! Whether a state that was explored makes exploring another one superfluous. Mirrors `states_equal()` and what it calls, kernel/bpf/verifier.c,
//! 7.3.

use super::nodes::Nodes;
use super::reg::{DELTA32, Reg, What};
use super::state::{Byte, Frame, Ref, RefKind, Slot, Special, State};

/// How closely states are compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exact {
    /// The old one was explored to the end: only what mattered is compared.
    No,
    /// The old one is still being explored: every range must cover.
    Range,
    /// Identical: going round like this never ends.
    Full,
}

/// Ids are private to a state: old ones and new ones must correspond one to one.
#[derive(Default)]
struct Ids(Vec<(u32, u32)>);

impl Ids {
    fn same(&mut self, old: u32, new: u32) -> bool {
        if (old == 0) != (new == 0) {
            return false;
        }
        if old == 0 {
            return true;
        }
        match self.0.iter().find(|(o, n)| *o == old || *n == new) {
            Some((o, n)) => *o == old && *n == new,
            None => {
                self.0.push((old, new));
                true
            }
        }
    }

    /// Of numbers: an old one without id demands nothing.
    fn same_scalar(&mut self, old: u32, new: u32, fresh: &mut u32) -> bool {
        if old == 0 {
            return true;
        }
        *fresh -= 1;
        self.same(old, if new == 0 { *fresh } else { new })
    }
}

struct Compare<'a> {
    nodes: &'a Nodes,
    exact: Exact,
    ids: Ids,
    fresh: u32,
}

/// Whether `new` needs no exploring because `old` was (or is being) explored.
pub fn covered(old: &State, new: &State, exact: Exact, nodes: &Nodes) -> bool {
    if !old.same_chain(new) || old.sleepable != new.sleepable {
        return false;
    }
    let mut cmp = Compare { nodes, exact, ids: Ids::default(), fresh: u32::MAX };
    cmp.refs(old, new) && old.frames.iter().zip(&new.frames).all(|(o, n)| cmp.frame(o, n))
}

impl Compare<'_> {
    fn refs(&mut self, old: &State, new: &State) -> bool {
        let same = |this: &mut Self, (o, n): (&Ref, &Ref)| {
            let kind = match (o.kind, n.kind) {
                (RefKind::Lock(a), RefKind::Lock(b))
                | (RefKind::ResLock(a), RefKind::ResLock(b))
                | (RefKind::ResLockIrq(a), RefKind::ResLockIrq(b)) => {
                    a.what == b.what && this.ids.same(a.id, b.id)
                }
                (a, b) => a == b,
            };
            kind && this.ids.same(o.id, n.id)
        };
        old.rcu == new.rcu
            && old.preempt == new.preempt
            && old.refs.len() == new.refs.len()
            && old.refs.iter().zip(&new.refs).all(|pair| same(self, pair))
    }

    fn frame(&mut self, old: &Frame, new: &Frame) -> bool {
        old.callback_depth <= new.callback_depth
            && old.regs.iter().zip(&new.regs).take(10).all(|(o, n)| self.reg(o, n))
            && self.stack(old, new)
    }

    fn reg(&mut self, old: &Reg, new: &Reg) -> bool {
        if old.what == What::Uninit {
            return true;
        }
        if old.what != new.what || old.flags != new.flags {
            // A number that does not matter may be a pointer next time? No: pointers may not become numbers.
            return old.is_scalar() && new.is_scalar() && self.scalar(old, new);
        }
        match old.what {
            What::Scalar => self.scalar(old, new),
            What::Stack(_) => old.s == new.s,
            What::Packet | What::PacketMeta => {
                // More of the packet may be known to be there, not less; what is beyond its end stays there.
                let range = if old.range < 0 { old.range == new.range } else { old.range <= new.range };
                let exact = self.exact != Exact::Full || (old.s == new.s && old.range == new.range);
                range
                    && exact
                    && old.delta == new.delta
                    && old.s.covers(&new.s)
                    && self.ids.same(old.id, new.id)
            }
            What::Uninit | What::Arena | What::Func(_) => true,
            _ => {
                let offset = if self.exact == Exact::Full { old.s == new.s } else { old.s.covers(&new.s) };
                offset && self.ids.same(old.id, new.id) && self.ids.same(old.ref_id, new.ref_id)
            }
        }
    }

    fn scalar(&mut self, old: &Reg, new: &Reg) -> bool {
        match self.exact {
            Exact::Full => {
                old.s == new.s
                    && old.flags == new.flags
                    && old.delta == new.delta
                    && self.ids.same(old.id, new.id)
            }
            Exact::No if !self.nodes.is_marked(old.node) => true,
            _ => {
                old.s.covers(&new.s)
                    && (old.id == 0 || (old.delta == new.delta && old.has(DELTA32) == new.has(DELTA32)))
                    && self.ids.same_scalar(old.id, new.id, &mut self.fresh)
            }
        }
    }

    fn stack(&mut self, old: &Frame, new: &Frame) -> bool {
        if self.exact == Exact::Full && old.stack.len() > new.stack.len() {
            return false;
        }
        old.stack.iter().enumerate().all(|(i, o)| match new.stack.get(i) {
            Some(n) => self.slot(o, n),
            // What may be anything, or is not read, is there as well as not.
            None => o.bytes.iter().all(|b| matches!(b, Byte::Invalid | Byte::Misc)),
        })
    }

    /// Mirrors a round of `stacksafe()`: bytes from the highest address down.
    fn slot(&mut self, old: &Slot, new: &Slot) -> bool {
        let same = |at: usize| self.exact != Exact::Full || old.bytes[at] == new.bytes[at];
        if old.special != Special::None || new.special != Special::None {
            return self.exact != Exact::Full && old.special == Special::None && is_nothing(old)
                || self.special(&old.special, &new.special);
        }
        if !same(7) {
            return false;
        }
        if let (Some(o), Some(n)) = (number_in(old, 8), number_in(new, 8)) {
            return self.reg(&o, &n);
        }
        if !(4..8).rev().all(|at| same(at) && byte_fits(old.bytes[at], new.bytes[at])) || !same(3) {
            return false;
        }
        if let (Some(o), Some(n)) = (number_in(old, 4), number_in(new, 4)) {
            return self.reg(&o, &n);
        }
        (0..4).rev().all(|at| same(at) && byte_fits(old.bytes[at], new.bytes[at]))
            && (old.bytes[0] != Byte::Spill || self.reg(&old.reg, &new.reg))
    }

    fn special(&mut self, old: &Special, new: &Special) -> bool {
        match (*old, *new) {
            (Special::None, Special::None) => true,
            (
                Special::Iter { ty, first, ref_id, drained, flags, depth },
                Special::Iter { ty: t, first: f, ref_id: r, drained: d, flags: fl, depth: de },
            ) => {
                (ty, first, drained, flags) == (t, f, d, fl)
                    && (self.exact != Exact::Full || depth == de)
                    && self.ids.same(ref_id, r)
            }
            (Special::Dynptr { first, id, ref_id }, Special::Dynptr { first: f, id: i, ref_id: r }) => {
                first == f && self.ids.same(id, i) && self.ids.same(ref_id, r)
            }
            (Special::Irq { ref_id, with_lock }, Special::Irq { ref_id: r, with_lock: w }) => {
                with_lock == w && self.ids.same(ref_id, r)
            }
            _ => false,
        }
    }
}

/// Nothing that anybody reads.
fn is_nothing(slot: &Slot) -> bool {
    slot.bytes.iter().all(|b| matches!(b, Byte::Invalid | Byte::Misc))
}

/// The number that the lowest 4 or all 8 bytes of a slot hold, if it is one: what is not known may be any.
fn number_in(slot: &Slot, bytes: usize) -> Option<Reg> {
    if slot.bytes[bytes - 1] == Byte::Spill && slot.reg.is_scalar() {
        return Some(slot.reg);
    }
    let any = slot.bytes[..bytes].iter().all(|b| matches!(b, Byte::Invalid | Byte::Misc));
    any.then_some(Reg::UNKNOWN)
}

/// Whether what was right with `old` in a byte is right with `new`.
fn byte_fits(old: Byte, new: Byte) -> bool {
    match old {
        Byte::Invalid | Byte::Misc => true,
        other => other == new,
    }
}

/// `new` is cut because `old` covers it: the values that must matter in `new` where they matter in `old`.
pub fn pairs(old: &State, new: &State) -> Vec<(u32, u32)> {
    let mut out = Vec::new();
    for (o, n) in old.frames.iter().zip(&new.frames) {
        let regs = o.regs.iter().zip(&n.regs).filter(|(o, n)| o.is_scalar() && n.is_scalar());
        out.extend(regs.map(|(o, n)| (o.node, n.node)));
        let slots = o.stack.iter().zip(&n.stack);
        let spilled = slots.filter(|(o, n)| o.spilled() > 0 && n.spilled() > 0 && o.reg.is_scalar());
        out.extend(spilled.map(|(o, n)| (o.reg.node, n.reg.node)));
    }
    out.retain(|(old, new)| *old != 0 && *new != 0 && old != new);
    out
}

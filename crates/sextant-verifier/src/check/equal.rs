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
                (RefKind::Lock(a), RefKind::Lock(b)) | (RefKind::ResLock(a), RefKind::ResLock(b)) => {
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
            What::Uninit | What::Arena | What::Func(_) | What::ConstDynptr => true,
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
        if self.exact == Exact::Full && old.stack.len() != new.stack.len() {
            return false;
        }
        old.stack.iter().enumerate().all(|(i, o)| {
            let n = new.stack.get(i).copied().unwrap_or(Slot::EMPTY);
            self.slot(o, &n)
        })
    }

    fn slot(&mut self, old: &Slot, new: &Slot) -> bool {
        if old.special != Special::None || new.special != Special::None {
            // Special slots have a say even when nobody reads them again: they must be given back.
            let dead = self.exact == Exact::No && old.special == Special::None;
            return (dead && !self.nodes.is_marked(old.life)) || self.special(&old.special, &new.special);
        }
        if self.exact == Exact::No && !self.nodes.is_marked(old.life) {
            return true;
        }
        if self.exact == Exact::Full {
            return old.bytes == new.bytes && (old.spilled() == 0 || self.reg(&old.reg, &new.reg));
        }
        if old.spilled() == 8 {
            return self.reg(&old.reg, &as_reg(new));
        }
        let spill = old.spilled();
        if spill > 0 && !(new.spilled() == spill && self.reg(&old.reg, &new.reg)) {
            return false;
        }
        let pairs = old.bytes.iter().zip(&new.bytes).skip(spill as usize);
        pairs.into_iter().all(|(o, n)| match o {
            Byte::Invalid | Byte::Misc => *n != Byte::Special && !(new.holds_ptr() && *n == Byte::Spill),
            Byte::Zero => *n == Byte::Zero || (*n == Byte::Spill && new.reg.is_null() && self.is_marked(new)),
            Byte::Spill => *n == Byte::Spill,
            Byte::Special => false,
        })
    }

    fn is_marked(&self, slot: &Slot) -> bool {
        self.nodes.is_marked(slot.reg.node)
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
            (
                Special::Dynptr { first, id, ref_id, rdonly },
                Special::Dynptr { first: f, id: i, ref_id: r, rdonly: ro },
            ) => first == f && rdonly == ro && self.ids.same(id, i) && self.ids.same(ref_id, r),
            (Special::Irq { ref_id }, Special::Irq { ref_id: r }) => self.ids.same(ref_id, r),
            _ => false,
        }
    }
}

/// What an 8-byte load of the slot would give.
fn as_reg(slot: &Slot) -> Reg {
    match slot.spilled() {
        8 => slot.reg,
        _ if slot.bytes == [Byte::Zero; 8] => Reg::constant(0),
        _ => Reg::UNKNOWN,
    }
}

/// `new` is cut because `old` covers it: what matters in `old`, now or later, matters in `new`.
pub fn join(old: &State, new: &State, nodes: &mut Nodes, unfinished: bool) {
    let pair = |o: u32, n: u32, nodes: &mut Nodes| {
        if unfinished || nodes.is_marked(o) {
            nodes.joined(o, n);
        }
    };
    for (o, n) in old.frames.iter().zip(&new.frames) {
        for (o, n) in o.regs.iter().zip(&n.regs).filter(|(o, _)| o.is_scalar()) {
            pair(o.node, n.node, nodes);
        }
        for (o, n) in o.stack.iter().zip(&n.stack) {
            pair(o.life, n.life, nodes);
            if o.spilled() > 0 && o.reg.is_scalar() && n.spilled() > 0 {
                pair(o.reg.node, n.reg.node, nodes);
            }
        }
    }
}
